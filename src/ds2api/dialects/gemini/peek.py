"""What routing and the pool need of a Gemini request: one walk over the parsed body, nothing built.

The place says model and stream; fields of those names in the body mean nothing here (R146). Types are checked only for
what is read.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Peek
from ds2api.dialects.gemini.place import read_place
from ds2api.dialects.gemini.proofs import envelope_in
from ds2api.dialects.reading import list_of, maybe_integer, maybe_object, object_at
from ds2api.dialects.walk import Walk
from ds2api.universal.errors import Problem

__all__ = ["peek"]

_MEDIA = ("inlineData", "inline_data", "fileData", "file_data")
_SYSTEM = ("systemInstruction", "system_instruction")


def peek(body: dict[str, Any], path: str) -> Peek:
    """See `contract.Dialect.peek`."""
    place = read_place(path)
    inner = _either(body, "generateContentRequest", "generate_content_request")
    if isinstance(inner, dict) and place.verb == "countTokens":
        body = inner
    if "contents" not in body:
        raise Problem.bad_request("contents: required, an array of contents", "contents")
    contents = list_of(body["contents"], "contents")
    name = "generationConfig" if "generationConfig" in body else "generation_config"
    config = maybe_object(body.get(name), name) or {}
    limit = maybe_integer(_either(config, "maxOutputTokens", "max_output_tokens"), f"{name}.maxOutputTokens")
    choices = maybe_integer(_either(config, "candidateCount", "candidate_count"), f"{name}.candidateCount", 1)
    walk = _Walk()
    for system in _SYSTEM:
        walk.content(body.get(system))
    for index, content in enumerate(contents):
        walk.turn(object_at(content, "contents", index))
    if body.get("tools"):
        walk.text_bytes += len(jsons.dump(body["tools"]))
    return Peek(
        place.model,
        place.is_stream,
        limit,
        walk.text_bytes,
        walk.media_count,
        choices or 1,
        walk.affinity(),
        tuple(walk.pins),
        wants_usage=True,
        form="array" if place.is_array else "",
        can_relay=not place.is_array,
    )


def _either(fields: dict[str, Any], name: str, snake: str) -> Any:
    value = fields.get(name)
    return fields.get(snake) if value is None else value


class _Walk(Walk):
    """One pass over the contents."""

    __slots__ = ()

    def turn(self, content: dict[str, Any]) -> None:
        if content.get("role") == "model" or self.has_user:
            self.is_beginning = False
        else:
            self.has_user = True
            self.beginning.update(b"user\n")
        self.content(content)

    def content(self, content: Any) -> None:
        parts = content.get("parts") if isinstance(content, dict) else content
        if isinstance(parts, str):
            self.text(parts)
        for part in parts if isinstance(parts, list) else (parts,):
            if isinstance(part, dict):
                self._part(part)

    def _part(self, part: dict[str, Any]) -> None:
        for name in ("thoughtSignature", "thought_signature"):
            signature = part.get(name)
            envelope = envelope_in(signature) if isinstance(signature, str) else None
            if envelope is not None:
                self.pins[envelope] = None
        text = part.get("text")
        if isinstance(text, str):
            self.text(text)
            return
        for name, value in part.items():
            if name in _MEDIA and isinstance(value, dict):
                self.media(value.values())
            elif isinstance(value, dict):
                self.text_bytes += len(jsons.dump(value))
