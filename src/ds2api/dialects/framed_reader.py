"""The hot half of a decoder of event streams: deltas in a known frame are taken here, the rest goes the general way.

A decoder gives its `read` (bytes of whole events → universal events, and whether the stream is over with them) and
feeds everything through `FramedReader.feed`. An event that `read` made one delta of teaches the frame for those that
follow; anything else that may have moved the parts makes it forgotten, so that a frame never outlives the part that
it stands for. Where no two events are alike it stops learning, and `read` gets whole reads at once.

A frame may leave out counts that differ from event to event: `latest` is the last event that was taken by one, for
whoever needs its counts, until `read` is given something newer. Text that no event was made of (`delta_splice`) is
told afterwards, in one piece, to a `hear` that measures it.
"""

from __future__ import annotations

from collections.abc import Callable

from ds2api import jsons
from ds2api.dialects.delta_frame import WINDOW_BYTES, DeltaFrame, EventSplitter, last_event
from ds2api.universal import events as ev

__all__ = ["FramedReader"]

# After so many events that taught no frame which fitted, none will.
_LESSONS = 64


class FramedReader:
    """One for each stream. `read(data, out)` appends to `out` and gives whether the stream is over."""

    __slots__ = ("_ending", "_frame", "_lessons", "_make", "_part", "_read", "_splitter", "hear", "latest")

    def __init__(
        self,
        read: Callable[[bytes, list[ev.Event]], bool],
        ending: bytes = b"\n\n",
        hear: Callable[[ev.Delta], None] | None = None,
    ) -> None:
        self._read = read
        self._ending = ending
        self._splitter: EventSplitter | None = EventSplitter(ending)
        self._frame: DeltaFrame | None = None
        self._part = -1
        self._make: type[ev.Delta] = ev.TextDelta
        self._lessons = _LESSONS
        self.latest = b""
        self.hear = hear

    def feed(self, data: bytes, out: list[ev.Event]) -> None:
        """Append the events that `data` completes."""
        splitter = self._splitter
        if splitter is None:
            self._read(data, out)
            return
        whole = splitter.split(data)
        if whole is None:
            self._splitter = None
            self._read(splitter.rest, out)
            return
        at, window = 0, len(whole)
        while at < len(whole):
            if self._frame is not None:
                used = self._take(whole[at : at + window], out)
                at, window = at + used, max(4 * used, WINDOW_BYTES)
                if used:
                    continue
            if self._lessons <= 0:
                self._splitter, self._frame = None, None
                self._read(whole[at:] + splitter.rest, out)
                break
            before = len(out)
            end = whole.find(self._ending, at)
            start, at = (
                at,
                end + len(self._ending) if end >= 0 else len(whole),
            )  # a blank line too many
            if self._read(whole[start:at], out):
                break
            self._learn(whole[start:end], out[before:])

    def _take(self, data: bytes, out: list[ev.Event]) -> int:
        """Append a delta for each of the events of the frame that `data` begins with; how many bytes those are."""
        raws, used = self.frame.cutter(self._ending)(data)
        if not used:
            return 0
        self.took(data, used, self._ending)
        written = b"\n".join(raws)
        texts = written.decode().split("\n")
        if b"\\" in written:
            texts = jsons.parse_event(b'["%b"]' % b'","'.join(raws))
        make, part = self._make, self._part
        out += [make(part, text) for text in texts]
        return used

    @property
    def ending(self) -> bytes:
        """How events end in this stream."""
        return b"" if self._splitter is None else self._splitter.ending

    @property
    def delta(self) -> ev.Delta | None:
        """An empty delta of the kind and part that the frame stands for; None where there is no frame, or something is
        held."""
        if self._frame is None or self._splitter is None or self._splitter.rest:
            return None
        return self._make(self._part, "")

    @property
    def frame(self) -> DeltaFrame:
        """Whose cutters may be used in place of `feed` as long as `delta` is not None; `took` is told of it."""
        assert self._frame is not None
        return self._frame

    def took(self, data: bytes, end: int, ending: bytes) -> None:
        """The events in `data` up to `end` were taken."""
        if self.frame.has_counts:
            self.latest = last_event(data, end, ending)

    def finish(self, out: list[ev.Event]) -> bool:
        """The bytes are over: what is left goes the general way. Gives whether the stream is over with it."""
        splitter, self._splitter = self._splitter, None
        return splitter is not None and self._read(splitter.rest, out)

    def _learn(self, event: bytes, made: list[ev.Event]) -> None:
        if len(made) == 1 and isinstance(made[0], ev.DELTAS) and made[0].choice == 0:
            self._lessons -= 1
            delta = made[0]
            frame = DeltaFrame.learn(event, delta.text)
            if frame is not None or delta.part != self._part:
                self._frame, self._make, self._part = frame, type(delta), delta.part
        elif not all(isinstance(one, ev.Alive) for one in made):
            self._frame = None
