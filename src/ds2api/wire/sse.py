"""Reads server-sent events from bytes that come in any pieces (WHATWG HTML §9.2.6).

Lines end in CR LF, LF or CR and in nothing else: U+2028 inside JSON is data, so `splitlines` is never used, and
the split is made on bytes, before any UTF-8 is decoded, so that a character cut in two by a read needs no care.
A BOM at the start is dropped. Comments are told apart from events (they are a sign of life, not content).

Two differences from a browser, both wanted: an event without `data` is not dispatched but an `id` alone does not
make one either (httpx-sse gives an empty event there); and `end()` gives the last event although its blank line
never came, since providers do close without it and what it holds was sent whole (`streams.md` §9.6).

Cost: about 0.8 µs an event where a read holds many, 1.1 with a name (`bench/parts.py`). Memory: one event, at most
`limit_bytes`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOM", "DEFAULT_LIMIT_BYTES", "EventTooLarge", "SseEvent", "SseParser", "is_utf8"]

BOM = b"\xef\xbb\xbf"  # of UTF-8; WHATWG HTML §9.2.6 drops it at the start of a stream, and nowhere else
# One image of 4K as base64 in one event is about 20 MB (R035 asks for well over 4 MB).
DEFAULT_LIMIT_BYTES = 32 * 1024 * 1024

# What a line costs beside its bytes: an object of 33 bytes and its place in a list.
_LINE_BYTES = 48


class EventTooLarge(ValueError):
    """One event grew beyond the limit."""


@dataclass(slots=True)
class SseEvent:
    """One event. `name` is empty where no `event:` line stood; a `comment` has neither name nor data."""

    data: bytes
    name: bytes = b""
    comment: bool = False


class SseParser:
    """Feed bytes, get events. The same events for any cut of the same bytes.

    Raises `EventTooLarge`; after that the parser is done for.
    """

    __slots__ = ("_data", "_limit", "_name", "_rest", "_size", "_skip_lf", "_started")

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._rest = bytearray()  # an unfinished line
        self._skip_lf = False  # the last byte was a CR: an LF right behind it belongs to it
        self._started = False
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0
        self._limit = limit_bytes

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes; give the events that they complete."""
        events: list[SseEvent] = []
        if not data:
            return events
        if not self._started:
            data = self._without_bom(data)
            if not self._started:
                return events
        if self._skip_lf:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._feed_any(data, events)
            return events
        # The common case: LF only. One split, no search twice.
        if self._rest:
            end = data.find(b"\n")
            if end < 0:
                self._keep(data)
                return events
            line = bytes(self._rest) + data[:end]
            self._rest.clear()
            self._line(line, events)
            data = data[end + 1 :]
        lines = data.split(b"\n")
        tail = lines.pop()
        for line in lines:
            self._line(line, events)
        if tail:
            self._keep(tail)
        return events

    def end(self) -> list[SseEvent]:
        """The bytes are over: give what was complete but for its blank line."""
        events: list[SseEvent] = []
        if not self._started and self._rest:  # fewer bytes than a BOM
            self._started = True
        if self._rest:
            self._line(bytes(self._rest), events)
            self._rest.clear()
        self._line(b"", events)
        return events

    def _without_bom(self, data: bytes) -> bytes:
        data = bytes(self._rest) + data
        self._rest.clear()
        if len(data) < 3 and BOM.startswith(data):
            self._rest += data
            return b""
        self._started = True
        return data.removeprefix(BOM)

    def _keep(self, data: bytes) -> None:
        self._rest += data
        if self._size + len(self._rest) > self._limit:
            raise EventTooLarge(f"one event is larger than {self._limit} bytes")

    def _feed_any(self, data: bytes, events: list[SseEvent]) -> None:
        """Lines that end in CR, LF or CR LF, mixed. A CR at the very end closes its line at once; an LF that
        follows in the next read is skipped there."""
        self._skip_lf = data.endswith(b"\r")
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines[0] = bytes(self._rest) + lines[0]
        self._rest.clear()
        tail = lines.pop()
        for line in lines:
            self._line(line, events)
        if tail:
            self._keep(tail)

    def _line(self, line: bytes, events: list[SseEvent]) -> None:
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                if data or self._name:  # HTML dispatches an empty one too, but no protocol means anything by it
                    events.append(SseEvent(data, self._name))
                self._data = []
                self._size = 0
            self._name = b""
            return
        if line.startswith(b"data:"):
            self._add(line[6:] if line[5:6] == b" " else line[5:])
        elif line[0] == 0x3A:
            events.append(SseEvent(line[1:], comment=True))
        elif line.startswith(b"event:"):
            self._name = line[7:] if line[6:7] == b" " else line[6:]
        elif line == b"data":
            self._add(b"")
        elif line == b"event":
            self._name = b""
        # `id`, `retry` and unknown fields make no event.

    def _add(self, value: bytes) -> None:
        # An event of a million lines with nothing in them is large as well.
        self._size += len(value) + _LINE_BYTES
        if self._size > self._limit + _LINE_BYTES:
            raise EventTooLarge(f"one event is larger than {self._limit} bytes")
        self._data.append(value)


def is_utf8(data: bytes) -> bool:
    """Whether all of it is. The common case, ASCII, costs 30 ns for an event."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
