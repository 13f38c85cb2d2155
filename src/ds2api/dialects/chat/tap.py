"""Watches a relayed chat stream: the bytes pass as they came, what they say is noted.

The tap knows nothing of most events: it looks for a few byte patterns in all that one read completed, and parses
only events that hold a usage object, an error, a finish reason or ``[DONE]``; until the first content it parses every
event, which is two or three. Inside of JSON strings quotes are escaped, so ``"usage":null`` in the bytes is always a
key with its value, never text: where every such key has a null, counting proves it without parsing.

One thing it may change (R094): the usage chunk, with empty `choices`, that only the gateway asked for. For that an
unfinished event is held back; else bytes leave at once. Lines may end in LF, CR LF or CR, cut anywhere.

Cost: what searching a few patterns in the bytes costs, about that of one JSON parse for an event that comes alone and
half of it where a read holds many (`bench/`, tap). Memory: one event, at most `limit_bytes`; one that is larger
passes unread.
"""

from __future__ import annotations

import re
from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.errors import read_chunk_error
from ds2api.dialects.chat.finish import failure_of
from ds2api.dialects.openai_usage import read_usage
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.usage import Usage
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES, SseParser

__all__ = ["ChatTap"]

_LINE_END = rb"(?>\r\n|\n|\r)"
_BLANK = re.compile(_LINE_END + _LINE_END)
_CONTENT = (
    "content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning", "reasoning_details",
    "annotations", "audio", "images",
)  # fmt: skip


class ChatTap:
    """See `contract.Tap`. One for each stream."""

    __slots__ = (
        "_before", "_finished", "_held", "_is_blind", "_limit_bytes", "_strip_usage", "content_seen", "ended", "error",
        "usage",
    )  # fmt: skip

    def __init__(self, *, strip_usage: bool, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.content_seen = False
        self.ended = False
        self.error: Error | None = None
        self.usage: Usage | None = None
        self._strip_usage = strip_usage
        self._limit_bytes = limit_bytes
        self._held = bytearray()  # an unfinished event: kept back, or (without stripping) a copy
        self._before = b""  # the last two bytes of an unfinished event: a blank line may begin there
        self._is_blind = False  # within an event that is too large to be read
        self._finished: dict[int, bool] = {}  # choices of which something telling was read → they are finished

    def forward(self, data: bytes) -> bytes:
        """See `contract.Tap`."""
        if self.content_seen and not self._held and _is_plain_delta(data) and not self._is_blind:
            return data
        before = self._before
        joined = before + data if before else data
        cut = _last_blank_end(joined) - len(before)
        if cut <= 0:
            self._before = joined[-2:]
            return self._keep(data)
        if self._is_blind:
            self._is_blind = False
            self._before = b""
            first = _blank_end(joined, 0, has_cr=True) - len(before)
            return data[:first] + self.forward(data[first:]) if first < len(data) else data
        whole = bytes(self._held) + data[:cut] if self._held else data[:cut]
        self._held.clear()
        passed = self._read(whole)
        rest = data[cut:]
        self._before = rest[-2:]
        if not self._strip_usage:
            self._keep(rest)
            return data
        return passed + self._keep(rest) if rest else passed

    def end(self) -> bytes:
        """See `contract.Tap`."""
        whole = bytes(self._held)
        self._held.clear()
        passed = self._read(whole) if whole else b""
        if not self.ended and self.error is None:
            if self._finished and all(self._finished.values()):
                self.ended = True
            else:
                message = "The provider's stream stopped before the answer was complete."
                self.error = Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, message)
        return passed if self._strip_usage else b""

    def _keep(self, data: bytes) -> bytes:
        """Hold an unfinished event, or a copy of it."""
        if self._is_blind:
            return data
        self._held += data
        if len(self._held) <= self._limit_bytes:
            return b"" if self._strip_usage else data
        self._is_blind = True
        held = bytes(self._held)
        self._held.clear()
        return held if self._strip_usage else data

    def _read(self, whole: bytes) -> bytes:
        """Complete events: note what they tell, give them back less the usage chunk."""
        if self.content_seen and not _is_telling(whole):
            return whole
        kept: list[bytes] = []
        start = passed = 0
        has_cr = b"\r" in whole
        while start < len(whole):
            end = _blank_end(whole, start, has_cr=has_cr)
            event = whole[start:end]
            if (not self.content_seen or _is_telling(event)) and self._note(event):
                kept.append(whole[passed:start])
                passed = end
            start = end
        return b"".join((*kept, whole[passed:])) if kept else whole

    def _note(self, event: bytes) -> bool:
        """Note what one event tells. Whether it is the usage chunk that is to be taken out."""
        parser = SseParser(self._limit_bytes + 1)
        for one in parser.feed(event) + parser.end():
            if one.comment:
                continue
            if one.data[:6] == b"[DONE]":
                self.ended = self.error is None  # OpenRouter marks the end behind an error, too
                continue
            try:
                chunk = jsons.parse_event(one.data)
            except jsons.JsonError:
                continue  # relayed as it is: the client's parser names it
            if isinstance(chunk, dict) and self._note_chunk(chunk, one.name):
                return self._strip_usage
        return False

    def _note_chunk(self, chunk: dict[str, Any], name: bytes) -> bool:
        if self.error is None and (chunk.get("error") or name == b"error" or chunk.get("object") == "error"):
            self.error = read_chunk_error(chunk)
            return False
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        groq = chunk.get("x_groq")
        if not usage and isinstance(groq, dict):
            usage = groq.get("usage")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._note_choice(choice)
                usage = usage or choice.get("usage")
        if isinstance(usage, dict):
            self.usage = self.usage or Usage()
            self.usage.merge(read_usage(usage, "chat"))
            return choices == []
        return False

    def _note_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index", 0)
        delta = choice.get("delta")
        word = choice.get("finish_reason")
        if isinstance(index, int):
            self._finished[index] = bool(word) or self._finished.get(index, False)
        if isinstance(word, str):
            self.error = self.error or failure_of(word)
            self.content_seen = True
        elif isinstance(delta, dict) and any(delta.get(name) for name in _CONTENT):
            self.content_seen = True


def _is_plain_delta(data: bytes) -> bool:
    """Whether `data` is one whole event of a delta, spelled as most servers do. The reader of single events, which
    come one a read where the model is slow; whatever it does not know goes the long way."""
    return (
        data.endswith(b"}\n\n")
        and data.startswith(b"data: {")
        and data.find(b"\n") == len(data) - 2
        and b"\r" not in data
        and b'"error"' not in data
        and _is_always_null(data, b'"finish_reason"')
        and _is_always_null(data, b'"usage"')
    )


def _is_telling(data: bytes) -> bool:
    """Whether an event in `data` may say more than a delta."""
    return (
        b'"error"' in data
        or b"[DONE]" in data
        or b"event:" in data
        or not _is_always_null(data, b'"usage"')
        or not _is_always_null(data, b'"finish_reason"')
    )


def _is_always_null(data: bytes, key: bytes) -> bool:
    count = data.count(key)
    if count:
        count -= data.count(key + b":null")
    return not count or count == data.count(key + b": null")


def _last_blank_end(data: bytes) -> int:
    """Where the last blank line of `data` ends; 0 where there is none."""
    if b"\r" not in data:
        at = data.rfind(b"\n\n")
        return at + 2 if at >= 0 else 0
    end = 0
    for found in _BLANK.finditer(data):
        end = found.end()
    return end


def _blank_end(data: bytes, start: int, *, has_cr: bool) -> int:
    """Where the first blank line behind `start` ends; the end of `data` where there is none."""
    if not has_cr:
        at = data.find(b"\n\n", start)
        return at + 2 if at >= 0 else len(data)
    found = _BLANK.search(data, start)
    return found.end() if found is not None else len(data)
