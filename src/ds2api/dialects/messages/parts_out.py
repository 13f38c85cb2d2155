"""Writes universal parts back as the content blocks that they were read from: Anthropic's own, unchanged.

Used where the part came from Anthropic's dialect: a request on its way back to it, an answer on its way to its
client. Parts of other dialects are `foreign_parts`'s and `response`'s affair.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.messages.citations import write_citation
from ds2api.universal.parts import (
    CacheMark,
    Call,
    Extra,
    File,
    Image,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Result,
    Source,
    Text,
)

__all__ = ["cache_control", "own_block", "own_content", "own_fields"]

_NAME = "messages"


def own_fields(extra: Extra | None) -> dict[str, Any]:
    """The fields that came from this dialect and go back to it."""
    return {} if extra is None else extra.get(_NAME)


def cache_control(mark: CacheMark | None) -> dict[str, Any]:
    """``{"cache_control": …}`` for a mark; nothing for none."""
    if mark is None:
        return {}
    return {"cache_control": {"type": "ephemeral"} if mark.ttl is None else {"type": "ephemeral", "ttl": mark.ttl}}


def own_content(parts: list[Part], *, plain: bool) -> str | list[dict[str, Any]]:
    """A `content`: one string where it was one, else its blocks."""
    if plain and len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [own_block(part) for part in parts]


def own_block(part: Part) -> dict[str, Any]:
    """The block of a part that this dialect has a word for."""
    match part:
        case Opaque():
            return part.data
        case Text():
            block: dict[str, Any] = {"type": "text", "text": part.text}
            extra = own_fields(part.extra)
            cited = [wire for citation in part.citations if (wire := write_citation(citation)) is not None]
            return {**block, **cache_control(part.cache), **extra, **({"citations": cited} if cited else {})}
        case Refusal():
            return {"type": "text", "text": part.text}
        case Reasoning():
            proof = part.sealed.data if part.sealed is not None else ""
            if part.redacted:
                block = {"type": "redacted_thinking", "data": proof}
            else:
                block = {"type": "thinking", "thinking": part.text, "signature": proof}
            return {**block, **own_fields(part.extra)}
        case Call():
            given = jsons.parse(part.arguments) if part.arguments else {}
            block = {"type": "tool_use", "id": part.id, "name": part.name, "input": given}
            return {**block, **cache_control(part.cache), **own_fields(part.extra)}
        case Result():
            block = {"type": "tool_result", "tool_use_id": part.call_id}
            if part.content:
                block["content"] = own_content(part.content, plain=part.plain)
            if part.is_error is not None:
                block["is_error"] = part.is_error
            return {**block, **cache_control(part.cache), **own_fields(part.extra)}
        case File():
            return _document(part)
        case Image():
            block = {"type": "image", "source": _source(part.source)}
            return {**block, **cache_control(part.cache), **own_fields(part.extra)}
        case Media():  # no audio or video was ever read from this dialect
            raise ValueError(f"{type(part).__name__} has no block in this dialect")


def _document(file: File) -> dict[str, Any]:
    if file.text is not None:
        media_type = file.source.media_type or "text/plain"
        source: dict[str, Any] = {"type": "text", "media_type": media_type, "data": file.text}
    else:
        source = _source(file.source)
    block: dict[str, Any] = {"type": "document", "source": source}
    if file.name is not None:
        block["title"] = file.name
    if file.context is not None:
        block["context"] = file.context
    if file.citations is not None:
        block["citations"] = {"enabled": file.citations}
    return {**block, **cache_control(file.cache), **own_fields(file.extra)}


def _source(source: Source) -> dict[str, Any]:
    if source.url is not None:
        return {"type": "url", "url": source.url}
    if source.file_id is not None:
        return {"type": "file", "file_id": source.file_id}
    return {"type": "base64", "media_type": source.media_type, "data": source.data}
