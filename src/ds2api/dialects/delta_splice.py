"""From one dialect's deltas to another's without reading them: the JSON of a text is cut out of one frame and put into
another, as it stands.

A decoder knows the frame of the deltas that come (`framed_reader`), an encoder what it writes around each of its own
(`Around`), and JSON strings are escaped alike in all dialects; so between two other events a delta is bytes cut and
joined, no text is decoded and no object made. It is done only where the decoder's and the encoder's own way would give
the same bytes (a property test holds it to them for every pair of dialects), and for texts in the plain spelling.

Decoder and encoder stay in charge: `told` gives what was cut out as one delta, for whoever keeps account of the text
(the encoder, the steps in between), before they are given anything else. Memory: `_UNTOLD_BYTES`.

Cost: 0.5 µs an event alone in a read, 0.3 of eight; decoder, lane and encoder take 3.4 and 2.2 (`bench/parts.py`).
"""

from __future__ import annotations

from dataclasses import replace

from ds2api import jsons
from ds2api.dialects.contract import Around, Encoder
from ds2api.dialects.framed_reader import FramedReader
from ds2api.universal import events as ev

__all__ = ["Splice"]

# Of text that was passed and not told yet: telling it costs as much as one event the usual way, so that this is rare
# enough.
_UNTOLD_BYTES = 16 * 1024


class Splice:
    """For the deltas of one part, from `framed` into `around`. Good until either side is given anything else."""

    __slots__ = ("_around", "_between", "_delta", "_ending", "_framed", "_opening", "_untold", "_untold_bytes")

    def __init__(self, framed: FramedReader, delta: ev.Delta, around: Around) -> None:
        self._framed = framed
        self._delta = delta
        self._around = around
        self._opening = around.before + b'"'
        self._ending = b'"' + around.after
        self._between = b"" if around.joins else self._ending + self._opening
        self._untold: list[bytes] = []
        self._untold_bytes = 0

    @classmethod
    def between(cls, framed: FramedReader, encoder: Encoder) -> Splice | None:
        """None where there is nothing to splice, as things stand."""
        delta = framed.delta
        around = None if delta is None else encoder.around(delta)
        return None if delta is None or around is None else cls(framed, delta, around)

    @property
    def is_full(self) -> bool:
        """Somebody should hear of it now."""
        return self._untold_bytes > _UNTOLD_BYTES

    def take(self, events: list[bytes], *, every: bool) -> tuple[bytes, int]:
        """What the encoder would write for the first of `events`, whole ones without their blank lines and all of one
        read, and how many of them that are. `every`: for all of them, or nothing is taken."""
        raws = self._framed.raw_texts(events)
        if not raws or (every and len(raws) < len(events)):
            return b"", 0
        self._untold += raws
        around = self._around
        if around.number is None:
            made = self._between.join(raws)
            self._untold_bytes += len(made)
            return b"%b%b%b" % (self._opening, made, self._ending), len(raws)
        pieces: list[bytes] = []
        number = around.number
        for raw in raws:
            pieces += (self._opening, raw, self._ending % number)
            number += 1
        around.number = number
        made = b"".join(pieces)
        self._untold_bytes += len(made)
        return made, len(raws)

    def told(self) -> ev.Delta | None:
        """All that was taken, as one delta; None if there was nothing."""
        if not self._untold:
            return None
        text: str = jsons.parse_event(b'"' + b"".join(self._untold) + b'"')
        return replace(self._delta, text=text)
