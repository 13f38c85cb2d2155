"""Watches a relayed stream of Anthropic's: content, end, error and usage; every byte passes as it came.

A start event and pings are no content: Anthropic sends them before it says that it is overloaded, all under 200
(R032). An error event is taken out: the lane writes it anew, without whatever a provider may have put into its text.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.messages.errors import read_stream_error, truncated
from ds2api.dialects.messages.usage import read_usage
from ds2api.dialects.relay_tap import RelayTap

__all__ = ["MessagesTap"]

_SILENT_STARTS = frozenset({"text", "thinking"})  # blocks that say nothing by beginning
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class MessagesTap(RelayTap):
    """`forward` every piece, then `end`."""

    __slots__ = ("_has_finish",)
    marker = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def __init__(self) -> None:
        super().__init__()
        self._has_finish = False

    def note(self, data: bytes, name: bytes) -> bool:
        """See `RelayTap`."""
        try:
            event = jsons.parse_event(data)
        except jsons.JsonError:
            event = data.decode(errors="replace")
        kind = event.get("type") if isinstance(event, dict) else None
        if name == b"error" or kind == "error":
            self.error = read_stream_error(event)
            return True
        if not isinstance(event, dict):
            return self.refuse()
        match kind:
            case "content_block_delta":
                self.content_seen = True
                delta = event.get("delta")
                text = delta.get(_TEXTS.get(str(delta.get("type")), "")) if isinstance(delta, dict) else None
                self.delta_text = text if isinstance(text, str) else ""
            case "content_block_start":
                block = event.get("content_block")
                if isinstance(block, dict) and str(block.get("type")) not in _SILENT_STARTS:
                    self.content_seen = True
            case "message_start":
                self._note_message(event.get("message"), event.get("message"))
            case "message_delta":
                self._note_message(event.get("delta"), event)
            case "message_stop":
                self.ended = True
        return False

    def finish(self) -> None:
        """See `RelayTap`: a message with its stop reason is complete even if `message_stop` never came."""
        if self._has_finish:
            self.ended = True
        else:
            self.error = truncated()

    def _note_message(self, message: Any, holder: Any) -> None:
        usage = read_usage(holder.get("usage"), self.usage) if isinstance(holder, dict) else None
        if usage is not None:
            if self.usage is None:
                self.usage = usage
            else:
                self.usage.merge(usage)
        if isinstance(message, dict) and isinstance(message.get("stop_reason"), str):
            self._has_finish = True
            self.content_seen = True  # an answer that ends properly is one, even without a word
