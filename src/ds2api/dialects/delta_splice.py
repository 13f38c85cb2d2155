"""From one dialect's deltas to another's without reading them: the JSON of a text is cut out of one frame and put into
another, as it stands.

A decoder knows the frame of the deltas that come (`framed_reader`), an encoder what it writes around each of its own
(`Around`), and JSON strings are escaped alike in all dialects; so between two other events a delta is bytes cut and
joined, no text is decoded and no object made. It is done only where the decoder's and the encoder's own way would give
the same bytes (a property test holds it to them for every pair of dialects), and for texts in the plain spelling.

Decoder and encoder stay in charge: `told` gives what was cut out as one delta, for whoever keeps account of the text
(the encoder, the steps in between), before they are given anything else. Memory: `_UNTOLD_BYTES`.

Cost: what `delta_frame` says, and 0.1 µs for an event in a read of many; decoder, lane and encoder take 2.2
(`bench/parts.py`).
"""

from __future__ import annotations

from dataclasses import replace

from ds2api import jsons
from ds2api.dialects.contract import Around, Encoder
from ds2api.dialects.framed_reader import FramedReader
from ds2api.universal import events as ev

__all__ = ["Splice"]

# Of the provider's bytes, whose text was passed and not told yet (a tenth of them): telling it costs as much as one
# event the usual way, so that this is rare enough.
_UNTOLD_BYTES = 64 * 1024


class Splice:
    """For the deltas of one part, from `framed` into `around`. Good until either side is given anything else.
    `is_full`: somebody should hear of them now."""

    __slots__ = (
        "_around", "_cut_chunks", "_delta", "_ending", "_framed", "_has_counts", "_opening", "_untold", "_untold_bytes",
        "is_full",
    )  # fmt: skip

    def __init__(self, framed: FramedReader, delta: ev.Delta, around: Around) -> None:
        self._framed = framed
        self._has_counts = framed.frame.has_counts
        self._delta = delta
        self._around = around
        self._opening = (around.before if around.number is None else around.before.replace(b"%", b"%%")) + b'"'
        self._ending = b'"' + around.after
        self._cut_chunks = framed.frame.cutter(framed.ending, as_written=True, in_chunks=True)
        self._untold: list[bytes] = []
        self._untold_bytes = 0
        self.is_full = False

    @classmethod
    def between(cls, framed: FramedReader, encoder: Encoder) -> Splice | None:
        """None where there is nothing to splice, as things stand."""
        delta = framed.delta
        around = None if delta is None else encoder.around(delta)
        return None if delta is None or around is None else cls(framed, delta, around)

    def take(self, data: bytes, *, in_chunks: bool = False) -> tuple[bytes, int]:
        """What the encoder would write for the first events in `data`, as far as they are such deltas, and how many
        bytes of `data` those are. `in_chunks`: `data` has each event in a chunk of its own."""
        framed = self._framed
        cut = self._cut_chunks if in_chunks else framed.frame.cutter(framed.ending, as_written=True)
        texts, used = cut(data)
        if not used:
            return b"", 0
        if self._has_counts:
            framed.took(data, used, framed.ending)
        # --- hot: one piece for all of them, without a call of Python's for any ---
        around, opening, ending, count = self._around, self._opening, self._ending, len(texts)
        self._untold += texts
        self._untold_bytes += used
        self.is_full = self._untold_bytes > _UNTOLD_BYTES
        if around.is_silent:
            return b"", used
        if around.number is None:
            made = b"%b%b%b" % (opening, (b"" if around.joins else ending + opening).join(texts), ending)
        else:
            values: list[bytes | int] = [0] * (2 * count)
            values[::2], values[1::2] = texts, range(around.number, around.number + count)
            around.number += count
            made = (opening + b"%b" + ending) * count % tuple(values)
        return made, used

    def told(self) -> ev.Delta | None:
        """All that was taken, as one delta; None if there was nothing."""
        if not self._untold:
            return None
        text: str = jsons.parse_event(b'"' + b"".join(self._untold) + b'"')
        delta = replace(self._delta, text=text)
        if self._framed.hear is not None:
            self._framed.hear(delta)
        return delta
