"""Cuts a stream into its lines: one JSON object each, ended by LF; a CR before it is white space to JSON.

The same lines for any cut, in linear time: an unfinished line is kept in pieces and joined once. Blank lines are none.
"""

from __future__ import annotations

from ds2api.wire.sse import DEFAULT_LIMIT_BYTES, EventTooLarge

__all__ = ["LineSplitter"]


class LineSplitter:
    """`feed` gives the lines that are complete, without their ends; `rest()` what is left at the end of the bytes.
    Raises `EventTooLarge`; after that the splitter is done for."""

    __slots__ = ("_held", "_held_bytes", "_limit_bytes")

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._limit_bytes = limit_bytes

    @property
    def holds(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        lines = data.split(b"\n")
        tail = lines.pop()
        if lines and self._held:
            lines[0] = b"".join((*self._held, lines[0]))
            self._held, self._held_bytes = [], 0
        if tail:
            self._held.append(tail)
            self._held_bytes += len(tail)
        if self._held_bytes > self._limit_bytes or any(len(line) > self._limit_bytes for line in lines):
            raise EventTooLarge(f"one line is larger than {self._limit_bytes} bytes")
        return [line for line in lines if line and not line.isspace()]

    def rest(self) -> bytes:
        rest = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        return rest
