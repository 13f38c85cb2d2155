"""Watches a relayed chat stream: content, end, error and usage; the bytes pass as they came.

Where only the gateway asked for usage (R094) two things are taken out: the usage chunk, with empty `choices`, and the
``"usage":null`` that providers then put on every other chunk. An error chunk is taken out as well: the lane writes it
anew, without whatever a provider may have put into its text.

Most servers' events fit one frame and are only compared (`relay_tap`). OpenAI pads every event to another length; of
such a stream the first events are parsed, the others searched for a few byte patterns: inside of JSON strings quotes
are escaped, so ``"usage":null`` in the bytes is always a key with its value, never text, and where every such key has
a null, counting proves without parsing that nothing is told.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.errors import read_chunk_error
from ds2api.dialects.chat.finish import failure_of
from ds2api.dialects.openai_usage import read_usage
from ds2api.dialects.relay_tap import RelayTap
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.usage import Usage
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES

__all__ = ["ChatTap"]

_CONTENT = (
    "content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning", "reasoning_details",
    "annotations", "audio", "images",
)  # fmt: skip
_TEXTS = ("content", "reasoning_content", "reasoning")

_NO_USAGE = b',"usage":null'

# How many deltas are parsed in the hope of a frame: enough for every phase of an answer, nothing for a long one.
_LESSONS = 32


class ChatTap(RelayTap):
    """See `contract.Tap`. One for each stream."""

    __slots__ = ("_finished", "_lessons", "_strip_usage", "removed")

    marker = b"data: [DONE]\n\n"

    def __init__(self, *, strip_usage: bool, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        super().__init__(limit_bytes)
        self._strip_usage = strip_usage
        self.removed = b""  # the null that a provider puts on every chunk, and the client did not ask for
        self._finished: dict[int, bool] = {}  # choices of which something telling was read → they are finished
        self._lessons = _LESSONS

    def forward(self, data: bytes) -> bytes:
        """See `contract.Tap`."""
        passed = super().forward(data)
        return passed.replace(self.removed, b"") if self.removed else passed

    def note(self, data: bytes, name: bytes) -> bool:
        """See `RelayTap`."""
        if data[:6] == b"[DONE]":
            self.ended = True
            return False
        try:
            chunk = jsons.parse_event(data)
        except jsons.JsonError:
            return self.refuse()
        if not isinstance(chunk, dict):
            return self.refuse()
        if chunk.get("error") or name == b"error" or chunk.get("object") == "error":
            self.error = read_chunk_error(chunk)
            return True
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if usage is None and "usage" in chunk and self._strip_usage:
            self.removed = _NO_USAGE
        groq = chunk.get("x_groq")
        if not usage and isinstance(groq, dict):
            usage = groq.get("usage")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._note_choice(choice)
                usage = usage or choice.get("usage")
        if not isinstance(usage, dict):
            return False
        self.delta_text = ""
        self.usage = self.usage or Usage()
        self.usage.merge(read_usage(usage, "chat"))
        return self._strip_usage and choices == []

    def finish(self) -> None:
        """See `RelayTap`: complete without its marker if every choice has its finish reason."""
        if self._finished and all(self._finished.values()):
            self.ended = True
        else:
            message = "The provider's stream stopped before the answer was complete."
            self.error = Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, message)

    def _look(self, event: bytes) -> bool:
        """Most events that fit no frame tell nothing either: they need not be parsed once content was seen."""
        if self.content_seen and event.endswith(b"}") and not _is_telling(event):
            self._lessons -= 1
            if self._lessons < 0:
                return False
        return super()._look(event)

    def _note_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index", 0)
        delta = choice.get("delta")
        word = choice.get("finish_reason")
        if isinstance(index, int):
            self._finished[index] = bool(word) or self._finished.get(index, False)
        if isinstance(word, str):
            self.error = self.error or failure_of(word)
            self.content_seen = True
        elif isinstance(delta, dict):
            self.content_seen = self.content_seen or any(delta.get(name) for name in _CONTENT)
            texts = [text for name in _TEXTS if isinstance(text := delta.get(name), str) and text]
            calls = delta.get("tool_calls")
            if isinstance(calls, list) and len(calls) == 1 and isinstance(calls[0], dict):
                function = calls[0].get("function")
                text = function.get("arguments") if isinstance(function, dict) else None
                texts += [text] if isinstance(text, str) and text else []
            self.delta_text = texts[0] if len(texts) == 1 else ""


def _is_telling(event: bytes) -> bool:
    """Whether an event may say more than a delta."""
    return (
        b'"error"' in event
        or b"[DONE]" in event
        or b"event:" in event
        or not _is_always_null(event, b'"usage"')
        or not _is_always_null(event, b'"finish_reason"')
    )


def _is_always_null(event: bytes, key: bytes) -> bool:
    count = event.count(key)
    if count:
        count -= event.count(key + b":null")
    return not count or count == event.count(key + b": null")
