"""Watches a relayed stream of lines: content, end, error and usage; every line passes as it came.

A line that has begun is held back until it ends, so that whatever else is written to the client stands between whole
lines. An error line is taken out: the lane writes it anew. Once content was seen, a read is only searched: inside of
JSON strings quotes are escaped, so ``"done":`` in the bytes is always a key, and where each is followed by ``false``
and no ``"error"`` stands, counting proves without parsing that nothing is told.
"""

from __future__ import annotations

from ds2api import jsons
from ds2api.dialects.delta_frame import DeltaFrame
from ds2api.dialects.ollama.answer_lines import message_of
from ds2api.dialects.ollama.errors import broken, read_line_error, truncated
from ds2api.dialects.ollama.figures import read_figures
from ds2api.dialects.ollama.lines import LineSplitter
from ds2api.universal.errors import Error, Kind
from ds2api.universal.usage import Usage
from ds2api.wire.sse import EventTooLarge, is_utf8

__all__ = ["OllamaTap"]


class OllamaTap:
    """See `contract.Tap`. One for each stream."""

    answer_id: str | None = None  # nothing can be asked for again here

    def __init__(self) -> None:
        self.content_seen = False
        self.ended = False
        self.error: Error | None = None
        self.usage: Usage | None = None
        self._lines = LineSplitter()
        self._frame: DeltaFrame | None = None  # of the first delta

    def forward(self, data: bytes) -> bytes:
        """See `contract.Tap`."""
        if self._is_over():  # what follows means nothing
            return b""
        is_whole = data.endswith(b"\n") and not self._lines.holds
        if is_whole and self.content_seen and _tells_nothing(data) and is_utf8(data):
            return data
        try:
            lines = self._lines.feed(data)
        except EventTooLarge as error:
            self.error = broken(str(error))
            return b""
        passed = self._pass(lines)
        if is_whole and len(passed) == len(lines):
            return data
        return b"".join(line + b"\n" for line in passed)

    def shortcut(self, data: bytes) -> tuple[bytes, int]:
        """See `contract.Tap`."""
        if self._frame is None or self._lines.holds or self._is_over():
            return b"", 0
        used = self._frame.cutter(b"\n", in_chunks=True)(data)[1]
        return data[:used], used

    def end(self) -> bytes:
        """See `contract.Tap`. The last line may lack its end."""
        rest = self._lines.rest()
        if self._is_over():
            return b""
        if self._look(rest):
            return rest + b"\n"
        if self.error is None or self.error.kind is Kind.UPSTREAM_BROKEN:  # cut in the middle
            self.error = truncated()
        return b""

    def _is_over(self) -> bool:
        return self.ended or self.error is not None

    def _pass(self, lines: list[bytes]) -> list[bytes]:
        """The lines up to an error or the end, or all."""
        for place, line in enumerate(lines):
            if not (self.content_seen and _tells_nothing(line) and is_utf8(line)):
                self._look(line)
                if self._is_over():
                    return lines[: place + self.ended]
        return lines

    def _look(self, line: bytes) -> bool:
        """Note what a line tells. Whether it ends the answer."""
        try:
            value = jsons.parse_event(line)
        except jsons.JsonError:
            value = None
        if not isinstance(value, dict):
            self.error = broken("a line is no JSON object")
        elif value.get("error"):
            self.error = read_line_error(value)
        elif value.get("done") is True:
            self.ended = self.content_seen = True
            self.usage = read_figures(value)
        elif not self.content_seen:
            message = message_of(value) or {}
            said = [name for name in ("content", "thinking", "tool_calls") if message.get(name)]
            self.content_seen = bool(said)
            if said in (["content"], ["thinking"]):
                self._frame = DeltaFrame.learn(line, str(message[said[0]]))
        return self.ended


def _tells_nothing(data: bytes) -> bool:
    count = data.count(b'"done":')
    return count > 0 and count == data.count(b'"done":false') and b'"error"' not in data and data.count(b"\n") <= count
