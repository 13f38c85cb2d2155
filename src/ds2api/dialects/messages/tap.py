"""Watches a relayed stream of Anthropic's: content, end, error and usage; every byte passes as it came.

Only the events that say something are parsed: `message_start`, `message_delta`, `message_stop`, `error`, and block
starts while no content was seen. A start event and pings are no content: Anthropic sends them before it says that
it is overloaded, all under 200 (R032). Anthropic's streams always hold usage, so nothing is ever taken out.
"""

from __future__ import annotations

from ds2api import jsons
from ds2api.dialects.messages.errors import broken, read_stream_error, truncated
from ds2api.dialects.messages.usage import read_usage
from ds2api.universal.errors import Error
from ds2api.universal.usage import Usage
from ds2api.wire.sse import EventTooLarge, SseEvent, SseParser

__all__ = ["MessagesTap"]

_SILENT_STARTS = frozenset({"text", "thinking"})  # blocks that say nothing by beginning


class MessagesTap:
    """`forward` every piece, then `end`."""

    def __init__(self) -> None:
        self.content_seen = False
        self.ended = False
        self.error: Error | None = None
        self.usage: Usage | None = None
        self._parser = SseParser()
        self._has_finish = False

    def forward(self, data: bytes) -> bytes:
        if self.error is None and not self.ended:
            try:
                received = self._parser.feed(data)
            except EventTooLarge as error:
                self.error = broken(str(error))
            else:
                self._watch(received)
        return data

    def end(self) -> bytes:
        if self.error is None and not self.ended:
            try:
                self._watch(self._parser.end())
            except EventTooLarge as error:
                self.error = broken(str(error))
        if self.error is None and not self.ended:
            if self._has_finish:
                self.ended = True
            else:
                self.error = truncated()
        return b""

    def _watch(self, received: list[SseEvent]) -> None:
        for event in received:
            if event.comment:
                continue
            name = event.name or _named(event.data)
            if name == b"content_block_delta":
                self.content_seen = True
            elif name == b"message_stop":
                self.ended = True
                return
            elif name == b"error" or name in (b"message_start", b"message_delta"):
                self._read(name, event.data)
                if self.error is not None:
                    return
            elif name == b"content_block_start" and not self.content_seen:
                self._read(name, event.data)

    def _read(self, name: bytes, raw: bytes) -> None:
        try:
            data = jsons.parse(raw)
        except jsons.JsonError:
            data = raw.decode(errors="replace") if name == b"error" else {}
        if name == b"error":
            self.error = read_stream_error(data)
            return
        if not isinstance(data, dict):
            return
        if name == b"content_block_start":
            block = data.get("content_block")
            if isinstance(block, dict) and block.get("type") not in _SILENT_STARTS:
                self.content_seen = True
            return
        message = data.get("message" if name == b"message_start" else "delta")
        holder = message if name == b"message_start" else data
        usage = read_usage(holder.get("usage"), self.usage) if isinstance(holder, dict) else None
        if usage is not None:
            if self.usage is None:
                self.usage = usage
            else:
                self.usage.merge(usage)
        if isinstance(message, dict) and isinstance(message.get("stop_reason"), str):
            self._has_finish = True
            self.content_seen = True  # an answer that ends properly is one, even without a word


def _named(data: bytes) -> bytes:
    """The type of an event that has no `event:` line, which some compatible servers leave out."""
    try:
        value = jsons.parse(data)
    except jsons.JsonError:
        return b""
    kind = value.get("type") if isinstance(value, dict) else None
    return kind.encode() if isinstance(kind, str) else b""
