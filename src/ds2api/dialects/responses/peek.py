"""What routing and the pool need of a request: one walk over the parsed body, nothing built.

Types are checked only for what is read here; everything else is for `request_in` or, on relay, for the provider.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Peek
from ds2api.dialects.reading import maybe_boolean, maybe_integer, maybe_text, text_of, wrong_type
from ds2api.dialects.walk import Walk
from ds2api.universal.envelope import PREFIX
from ds2api.universal.errors import Problem

__all__ = ["peek"]

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
    walk = _Walk()
    walk.identify(body)
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


class _Walk(Walk):
    """One pass over the items."""

    __slots__ = ()

    def item(self, item: dict[str, Any]) -> None:
        role = item.get("role")
        if role == "user":
            self.is_beginning = self.is_beginning and not self.has_user
            self.has_user = True
        elif role not in ("system", "developer"):
            self.is_beginning = False
        if self.is_beginning and isinstance(role, str):
            self.beginning.update(f"{role}\n".encode())
        encrypted = item.get("encrypted_content")
        if isinstance(encrypted, str) and encrypted.startswith(PREFIX):
            self.pins[encrypted] = None
        for name in ("content", "summary", "output", "arguments", "input"):
            self.content(item.get(name))

    def content(self, content: Any) -> None:
        if isinstance(content, str):
            self.text(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict):
                    self._part(part)

    def _part(self, part: dict[str, Any]) -> None:
        if str(part.get("type")) in _MEDIA:
            self.media(part.values())
            return
        for name in _TEXTS:
            if isinstance(part.get(name), str):
                self.text(part[name])
