"""What routing and the pool need of a chat request: one walk over the parsed body, nothing built.

Types are checked only for what is read here; everything else is for `request_in` or, on relay, for the provider.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.reasoning import google_proof
from ds2api.dialects.contract import Peek
from ds2api.dialects.reading import maybe_boolean, maybe_integer, maybe_object, object_at, wrong_type
from ds2api.dialects.walk import IDENTITIES, Walk
from ds2api.universal.envelope import PREFIX
from ds2api.universal.errors import Problem

__all__ = ["peek"]

_IDENTITIES = frozenset(IDENTITIES)


def peek(body: dict[str, Any], path: str) -> Peek:
    """See `contract.Dialect.peek`."""
    if "model" not in body:
        raise Problem.bad_request("model: required, the name of a model", "model")
    model = body["model"]
    if not isinstance(model, str):
        raise wrong_type(model, "model", "a string")
    if not model:
        raise Problem.bad_request("model: expected a model's name, found an empty string", "model")
    if "messages" not in body:
        raise Problem.bad_request("messages: required, an array of messages", "messages")
    messages = body["messages"]
    if not isinstance(messages, list):
        raise wrong_type(messages, "messages", "an array")
    stream, limit = body.get("stream"), None
    for name in ("max_completion_tokens", "max_tokens"):
        if limit is None and name in body:
            limit = maybe_integer(body[name], name)
    include = None
    if "stream_options" in body:
        options = maybe_object(body["stream_options"], "stream_options")
        include = maybe_boolean((options or {}).get("include_usage"), "stream_options.include_usage")
    walk = _Walk()
    if not _IDENTITIES.isdisjoint(body):
        walk.identify(body)
    walk.messages(messages)
    for name in ("tools", "functions", "response_format"):
        if body.get(name):
            walk.text_bytes += len(jsons.dump(body[name]))
    return Peek(
        model,
        stream if isinstance(stream, bool) else maybe_boolean(stream, "stream") or False,
        limit,
        walk.text_bytes,
        walk.media_count,
        (maybe_integer(body["n"], "n", 1) or 1) if "n" in body else 1,
        walk.affinity(),
        tuple(walk.pins),
        include or False,
    )


class _Walk(Walk):
    """One pass over the messages."""

    __slots__ = ()

    def messages(self, messages: list[Any]) -> None:
        """All of them. What a long conversation mostly is costs a fifth of a call each: text, behind its beginning."""
        is_past = False
        for index, message in enumerate(messages):
            if is_past and type(message) is dict and (len(message) == 2 or message.get("role") != "assistant"):
                content = message.get("content")
                if type(content) is str and content.isascii():
                    self.text_bytes += len(content)
                    continue
            self._message(message if type(message) is dict else object_at(message, "messages", index))
            is_past = self.has_user and not self.is_beginning

    def _message(self, message: dict[str, Any]) -> None:
        role = message.get("role")
        if role == "assistant":
            self.is_beginning = False
            self._assistant(message)
        elif role == "user":
            self.is_beginning = self.is_beginning and not self.has_user
            if self.is_beginning:
                self.beginning.update(b"user\n")
            self.has_user = True
        elif isinstance(role, str) and self.is_beginning:
            self.beginning.update(role.encode("utf-8", "replace"))
        content = message.get("content")
        if isinstance(content, str):
            self.text(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict):
                    self._part(part)

    def _part(self, part: dict[str, Any]) -> None:
        text = part.get("text")
        if isinstance(text, str):
            self.text(text)
            return
        kind = part.get("type")
        if not isinstance(kind, str):
            return
        if kind in ("thinking", "redacted_thinking"):
            self._pin(part.get("signature"))
            self._pin(part.get("data"))
            if isinstance(part.get("thinking"), str):
                self.text(part["thinking"])
        elif kind != "refusal":
            value = part.get(kind)
            self.media(value.values() if isinstance(value, dict) else (value,))

    def _assistant(self, message: dict[str, Any]) -> None:
        for name in ("reasoning_content", "reasoning", "refusal"):
            if isinstance(message.get(name), str):
                self.text(message[name])
        for name in ("reasoning_details", "thinking_blocks"):
            entries = message.get(name)
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict):
                    self._pin(entry.get("signature"))
                    self._pin(entry.get("data"))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if not isinstance(call, dict):
                continue
            self._pin(google_proof(call.get("extra_content")))
            for name, field in (("function", "arguments"), ("custom", "input")):
                inner = call.get(name)
                if isinstance(inner, dict) and isinstance(inner.get(field), str):
                    self.text(inner[field])

    def _pin(self, value: Any) -> None:
        if isinstance(value, str) and value.startswith(PREFIX):
            self.pins[value] = None
