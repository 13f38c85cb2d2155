"""Puts interleaved parts one after the other, for protocols that keep one block open (`streams.md` §9.3).

A chat provider may stream two tool calls in turns; Anthropic's and OpenAI Responses' clients know one open
block. The first part that opens goes straight through; what belongs to a later one waits until the earlier is
closed. Nothing is lost and nothing changes order within a part. Where nothing interleaves (nearly always) it
costs one comparison an event.
"""

from __future__ import annotations

from ds2api.universal import events as ev

__all__ = ["Sequencer"]


class Sequencer:
    """`order(events)` gives them back with at most one part open at any time.

    A part that is still open when `Finished`, `Ended` or `Failed` comes is closed first. Memory: what the
    provider sends for later parts while the first is open.
    """

    __slots__ = ("_closed", "_current", "_waiting")

    def __init__(self) -> None:
        self._current: int | None = None
        self._waiting: dict[int, list[ev.Event]] = {}  # part → its events, in order of appearance
        self._closed: set[int] = set()  # parts that waited and are complete

    @property
    def current(self) -> int | None:
        """The part that goes straight through."""
        return self._current

    def order(self, events: list[ev.Event]) -> list[ev.Event]:
        """The same events, parts one after the other."""
        ordered: list[ev.Event] = []
        for event in events:
            part = getattr(event, "part", None)
            if part is None:
                if isinstance(event, (ev.Finished, ev.Ended, ev.Failed)):
                    self._flush(ordered, every=True)
                ordered.append(event)
            elif part == self._current:
                ordered.append(event)
                if type(event) is ev.PartFinished:
                    self._current = None
                    if self._waiting:
                        self._flush(ordered, every=False)
            elif self._current is None and type(event) is ev.PartStarted:
                self._current = part
                ordered.append(event)
            else:
                self._waiting.setdefault(part, []).append(event)
                if type(event) is ev.PartFinished:
                    self._closed.add(part)
        return ordered

    def _flush(self, ordered: list[ev.Event], *, every: bool) -> None:
        if every and self._current is not None:
            ordered.append(ev.PartFinished(self._current))
            self._current = None
        while self._waiting and self._current is None:
            part, waiting = next(iter(self._waiting.items()))
            del self._waiting[part]
            ordered += waiting
            if part in self._closed:
                self._closed.discard(part)
            elif every:
                ordered.append(ev.PartFinished(part))
            else:
                self._current = part
