"""Reads the content blocks of a client's request into universal parts.

A block of a type that this gateway has no word for (server tools and their results, search results, container
uploads, whatever comes next) is an `Opaque`: it goes back to Anthropic as it came, and other dialects name it when
they refuse it. Fields without a universal word go into `extra` likewise. Where a known field holds more than the
universal word for it (an odd `source`, a `cache_control` with further fields), the whole field stands in `extra`
as well, and its own dialect's writer prefers that.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.messages.citations import read_citation
from ds2api.dialects.messages.fields import BlockFields
from ds2api.dialects.reading import at, list_of, object_of, one_of, text_of, wrong_type
from ds2api.universal.errors import Problem
from ds2api.universal.parts import (
    CacheMark,
    Call,
    Extra,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Result,
    Sealed,
    Source,
    Text,
)

__all__ = ["extra_of", "read_cache", "read_content", "read_part"]

_NAME = "messages"

_SOURCE_FIELDS: dict[str, frozenset[str]] = {
    "base64": frozenset({"type", "media_type", "data"}),
    "url": frozenset({"type", "url"}),
    "file": frozenset({"type", "file_id"}),
    "text": frozenset({"type", "media_type", "data"}),
}


def read_content(value: Any, path: str) -> tuple[list[Part], bool]:
    """A `content` or `system`: its parts, and whether it was one string."""
    if isinstance(value, str):
        return [Text(value, path=path)], True
    if not isinstance(value, list):
        raise wrong_type(value, path, "a string or an array of content blocks")
    return [read_part(block, f"{path}[{index}]") for index, block in enumerate(value)], False


def read_part(value: Any, path: str) -> Part:
    """One content block. Raises `Problem` naming the field."""
    block = object_of(value, path)
    if len(block) == 2 and block.get("type") == "text" and type(text := block.get("text")) is str:
        return Text(text, path=path)  # most of most conversations
    if "type" not in block:
        raise Problem.bad_request(f"{path}.type: required, a string", f"{path}.type")
    kind = text_of(block["type"], f"{path}.type")
    fields = BlockFields(block, path)
    fields.take("type")
    match kind:
        case "text":
            return _text(fields)
        case "image" | "document":
            return _media(kind, block, fields)
        case "thinking":
            return _thinking(fields)
        case "redacted_thinking":
            proof = Sealed("anthropic_redacted", fields.text("data"))
            return Reasoning(sealed=proof, redacted=True, path=path, extra=extra_of(fields))
        case "tool_use":
            cache = read_cache(fields)
            arguments = jsons.dump(fields.object("input")).decode()
            id_, name = fields.text("id"), fields.text("name")
            return Call(id_, name, arguments, cache=cache, path=path, extra=extra_of(fields))
        case "tool_result":
            return _result(fields)
    return Opaque(_NAME, kind, block, path)


def extra_of(fields: BlockFields) -> Extra | None:
    """What nobody took."""
    rest = fields.rest()
    return Extra(_NAME, rest) if rest else None


def read_cache(fields: BlockFields) -> CacheMark | None:
    """Takes `cache_control`; what a mark has no word for goes back among the fields as it came."""
    path = fields.at("cache_control")
    wire = fields.maybe_object("cache_control")
    if wire is None:
        return None
    one_of(wire.get("type"), f"{path}.type", ("ephemeral",))
    ttl = wire.get("ttl")
    if ttl is not None:
        ttl = text_of(ttl, f"{path}.ttl")
    if wire.keys() - {"type", "ttl"}:
        fields.put_back("cache_control", wire)
    return CacheMark(ttl, path)


def _text(fields: BlockFields) -> Text:
    cache = read_cache(fields)
    text = Text(fields.text("text"), cache=cache, path=fields.path)
    if "citations" in fields:
        cited = fields.maybe_array("citations")
        text.citations = [
            citation
            for index, one in enumerate(cited or [])
            if (citation := read_citation(object_of(one, f"{fields.path}.citations[{index}]"))) is not None
        ]
        if not text.citations:
            fields.put_back("citations", cited)
    text.extra = extra_of(fields)
    return text


def _thinking(fields: BlockFields) -> Reasoning:
    text = fields.text("thinking")
    signature = fields.maybe_text("signature")
    proof = Sealed("anthropic_signature", signature) if signature else None
    return Reasoning(text, sealed=proof, path=fields.path, extra=extra_of(fields))


def _result(fields: BlockFields) -> Result:
    cache = read_cache(fields)
    path = fields.at("content")
    result = Result(fields.text("tool_use_id"), [], cache=cache, path=fields.path)
    if "content" in fields:
        value = fields.take("content")
        if value is None or value == []:
            fields.put_back("content", value)
        else:
            result.content, result.plain = read_content(value, path)
    result.is_error = fields.maybe_boolean("is_error")
    result.extra = extra_of(fields)
    return result


def _media(kind: str, block: dict[str, Any], fields: BlockFields) -> Part:
    path = fields.at("source")
    wire = fields.object("source")
    given = text_of(wire.get("type"), f"{path}.type")
    cache = read_cache(fields)
    if given == "content" and kind == "document":
        text = _joined(wire.get("content"), f"{path}.content")
        if text is None:
            return Opaque(_NAME, kind, block, fields.path)
        fields.put_back("source", wire)
        file = File(Source(media_type="text/plain"), cache, fields.path, text=text)
    else:
        source = _source(given, wire, path)
        if source is None or (given == "text" and kind == "image"):
            return Opaque(_NAME, kind, block, fields.path)
        if wire.keys() - _SOURCE_FIELDS[given]:
            fields.put_back("source", wire)
        if kind == "image":
            return Image(source, cache, fields.path, extra_of(fields))
        if given == "text":
            file = File(Source(media_type=source.media_type), cache, fields.path, text=source.data)
        else:
            file = File(source, cache, fields.path)
    file.name = fields.maybe_text("title")
    file.context = fields.maybe_text("context")
    if "citations" in fields:
        config = fields.maybe_object("citations")
        enabled = config.get("enabled") if config is not None else None
        if config is not None and isinstance(enabled, bool) and len(config) == 1:
            file.citations = enabled
        else:
            fields.put_back("citations", config)
    file.extra = extra_of(fields)
    return file


def _source(kind: str, wire: dict[str, Any], path: str) -> Source | None:
    """None for a kind of source that is not known."""

    def needed(name: str) -> str:
        if name not in wire:
            raise Problem.bad_request(f"{path}.{name}: required, a string", f"{path}.{name}")
        return text_of(wire[name], f"{path}.{name}")

    match kind:
        case "base64" | "text":
            return Source(data=needed("data"), media_type=needed("media_type"))
        case "url":
            return Source(url=needed("url"))
        case "file":
            return Source(file_id=needed("file_id"))
    return None


def _joined(value: Any, path: str) -> str | None:
    """The text of a document given in pieces; None if a piece is no text."""
    if isinstance(value, str):
        return value
    pieces = [object_of(block, at(path, index)) for index, block in enumerate(list_of(value, path))]
    texts = [piece["text"] for piece in pieces if piece.get("type") == "text" and isinstance(piece.get("text"), str)]
    return "\n".join(texts) if len(texts) == len(pieces) else None
