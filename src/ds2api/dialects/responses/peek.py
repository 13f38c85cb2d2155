"""What routing and the pool need of a request: one walk over the parsed body, nothing built.

Types are checked only for what is read here; everything else is for `request_in` or, on relay, for the provider.

*Affinity* is a hash of the conversation's own beginning: instructions and what was said before the first answer, with
the client's cache key and user id where it gave them. All of it together, since a shared prompt, or one user's id on
all traffic, must not gather everybody on one account (`pool-model.md`).
"""

from __future__ import annotations

import hashlib
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Peek
from ds2api.dialects.reading import maybe_boolean, maybe_integer, maybe_text, text_of, wrong_type
from ds2api.universal.envelope import PREFIX
from ds2api.universal.errors import Problem

__all__ = ["peek"]

# Of a picture's data: enough to tell two apart without hashing megabytes (its length goes in as well).
_MEDIA_CHARACTERS = 512
_MEDIA = frozenset({"input_image", "input_file", "input_audio"})
_TEXTS = ("text", "refusal", "arguments")


def peek(body: dict[str, Any], path: str) -> Peek:
    """See `contract.Dialect.peek`."""
    if "model" not in body:
        raise Problem.bad_request("model: required, the name of a model", "model")
    model = text_of(body["model"], "model")
    if not model:
        raise Problem.bad_request("model: expected a model's name, found an empty string", "model")
    given = body.get("input")
    if given is not None and not isinstance(given, (str, list)):
        raise wrong_type(given, "input", "a string or an array of items")
    walk = _Walk(body)
    walk.content(maybe_text(body.get("instructions"), "instructions"))
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given or ():
        if isinstance(item, dict):
            walk.item(item)
    for name in ("tools", "text"):
        if body.get(name):
            walk.text_bytes += len(jsons.dump(body[name]))
    return Peek(
        model,
        maybe_boolean(body.get("stream"), "stream") or False,
        maybe_integer(body.get("max_output_tokens"), "max_output_tokens"),
        walk.text_bytes,
        walk.media_count,
        affinity=walk.affinity(),
        pins=tuple(walk.pins),
        wants_usage=True,
        previous_id=maybe_text(body.get("previous_response_id"), "previous_response_id") or None,
    )


class _Walk:
    """One pass over the items."""

    __slots__ = ("_beginning", "_has_user", "_is_beginning", "media_count", "pins", "text_bytes")

    def __init__(self, body: dict[str, Any]) -> None:
        self.text_bytes = 0
        self.media_count = 0
        self.pins: dict[str, None] = {}  # in order, each once
        self._beginning = hashlib.blake2b(digest_size=16)
        self._is_beginning = True
        self._has_user = False
        for name in ("prompt_cache_key", "safety_identifier", "user"):
            value = body.get(name)
            if isinstance(value, str):
                self._beginning.update(f"{name}={value}\n".encode("utf-8", "replace"))

    def affinity(self) -> str | None:
        return self._beginning.hexdigest() if self._has_user else None

    def item(self, item: dict[str, Any]) -> None:
        role = item.get("role")
        if role == "user":
            self._is_beginning = self._is_beginning and not self._has_user
            self._has_user = True
        elif role not in ("system", "developer"):
            self._is_beginning = False
        if self._is_beginning and isinstance(role, str):
            self._beginning.update(f"{role}\n".encode())
        encrypted = item.get("encrypted_content")
        if isinstance(encrypted, str) and encrypted.startswith(PREFIX):
            self.pins[encrypted] = None
        for name in ("content", "summary", "output", "arguments", "input"):
            self.content(item.get(name))

    def content(self, content: Any) -> None:
        if isinstance(content, str):
            self._text(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict):
                    self._part(part)

    def _part(self, part: dict[str, Any]) -> None:
        if str(part.get("type")) in _MEDIA:
            self.media_count += 1
            if self._is_beginning:
                for value in part.values():
                    if isinstance(value, str):
                        self._beginning.update(f"{len(value)}:{value[:_MEDIA_CHARACTERS]}".encode("utf-8", "replace"))
            return
        for name in _TEXTS:
            if isinstance(part.get(name), str):
                self._text(part[name])

    def _text(self, text: str) -> None:
        if text.isascii() and not self._is_beginning:  # as nearly all of a long conversation
            self.text_bytes += len(text)
            return
        raw = text.encode("utf-8", "replace")
        self.text_bytes += len(raw)
        if self._is_beginning:
            self._beginning.update(raw)
