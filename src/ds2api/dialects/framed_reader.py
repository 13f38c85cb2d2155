"""The hot half of a decoder of event streams: deltas in a known frame are taken here, the rest goes the general way.

A decoder gives its `read` (bytes of whole events → universal events, and whether the stream is over with them) and
feeds everything through `FramedReader.feed`. An event that `read` made one delta of teaches the frame for those that
follow; anything else that may have moved the parts makes it forgotten, so that a frame never outlives the part that
it stands for. Where no two events are alike it stops learning, and `read` gets whole reads at once.

A frame may leave out counts that differ from event to event: `latest` is the last event that was taken by one, for
whoever needs its counts, until `read` is given something newer.
"""

from __future__ import annotations

from collections.abc import Callable

from ds2api.dialects.delta_frame import DeltaFrame, EventSplitter
from ds2api.universal import events as ev

__all__ = ["FramedReader"]

# After so many events that taught no frame which fitted, none will.
_LESSONS = 64


class FramedReader:
    """One for each stream. `read(data, out)` appends to `out` and gives whether the stream is over."""

    __slots__ = ("_ending", "_frame", "_lessons", "_make", "_part", "_read", "_splitter", "latest")

    def __init__(self, read: Callable[[bytes, list[ev.Event]], bool], ending: bytes = b"\n\n") -> None:
        self._read = read
        self._ending = ending
        self._splitter: EventSplitter | None = EventSplitter(ending)
        self._frame: DeltaFrame | None = None
        self._part = -1
        self._make: type[ev.Delta] = ev.TextDelta
        self._lessons = _LESSONS
        self.latest = b""

    def feed(self, data: bytes, out: list[ev.Event]) -> None:
        """Append the events that `data` completes."""
        splitter = self._splitter
        if splitter is None:
            self._read(data, out)
            return
        events = splitter.split(data)
        if events is None:
            self._splitter = None
            self._read(splitter.rest, out)
            return
        at, count = 0, len(events)
        while at < count:
            if self._frame is not None:
                first = at
                at = self._frame.take(events, at, self._make, self._part, out)
                if at > first:
                    self.latest = events[at - 1]
                if at == count:
                    break
            if self._lessons <= 0:
                self._splitter, self._frame = None, None
                self._read(self._ending.join((*events[at:], splitter.rest)), out)
                break
            before = len(out)
            if self._read(events[at] + self._ending, out):
                break
            self._learn(events[at], out[before:])
            at += 1

    @property
    def ending(self) -> bytes:
        """How events end in this stream."""
        return b"" if self._splitter is None else self._splitter.ending

    @property
    def is_learned(self) -> bool:
        """There is a frame, for now."""
        return self._frame is not None

    @property
    def delta(self) -> ev.Delta | None:
        """An empty delta of the kind and part that the frame stands for; None where there is no frame, or something is
        held."""
        if self._frame is None or self._splitter is None or self._splitter.rest:
            return None
        return self._make(self._part, "")

    def raw_texts(self, events: list[bytes]) -> list[bytes] | None:
        """In place of `feed`, as long as `delta` was not None: what stands in the texts' places of the first of
        `events`, whole ones without their blank lines (`DeltaFrame.raw_texts`). None: nothing was taken."""
        assert self._frame is not None
        raws = self._frame.raw_texts(events)
        if raws:
            self.latest = events[len(raws) - 1]
        return raws

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
