"""Writes parts of another dialect as Gemini's parts.

Input that Gemini cannot read is refused: a model that answers about what it never saw is the worst failure there is.
Empty text is left out (R053). A link goes as `fileData`, which Gemini fetches itself, and is reported.
"""

from __future__ import annotations

import mimetypes
from typing import Any

from ds2api import jsons
from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.gemini.writing import Writing
from ds2api.universal.parts import (
    Audio,
    Call,
    File,
    Image,
    Media,
    Opaque,
    Part,
    Refusal,
    Result,
    Source,
    Text,
    Video,
)  # fmt: skip

__all__ = ["Parts", "call_part", "content_parts", "response_part"]

Parts = list[dict[str, Any]]

# The first characters of base64 tell a file's kind: enough of each magic number to be no accident.
_MAGIC = (
    ("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"),
    ("JVBERi", "application/pdf"), ("SUQz", "audio/mp3"), ("T2dnUw", "audio/ogg"), ("ZkxhQw", "audio/flac"),
)  # fmt: skip
_DEFAULTS: dict[type[Media], str] = {
    Image: "image/jpeg", Audio: "audio/wav", Video: "video/mp4", File: "application/pdf",
}  # fmt: skip


def _text_part(part: Text | Refusal, writing: Writing) -> Parts:
    """One part, or none for blank text."""
    writing.report_extra(part.extra, part.path)
    if isinstance(part, Text):
        writing.report_mark(part.cache, part.path)
        if part.citations:
            reason = "citations cannot be sent back in another protocol's form"
            writing.losses.report("dropped", f"{part.path}.annotations", reason)
    if not part.text.strip():
        if part.text:
            writing.losses.report("dropped", part.path, "text that is only white space is left out")
        return []
    return [{"text": part.text}]


def content_parts(part: Part, writing: Writing) -> Parts:
    """The parts for anything but a call, a result or a thought. Raises `Problem` for what cannot be carried."""
    match part:
        case Text():
            return _text_part(part, writing)
        case Refusal():
            writing.losses.report("approximated", part.path, "this provider has no refusals: it was sent as text")
            return _text_part(part, writing)
        case File() if part.text is not None:
            if part.citations:
                writing.losses.report("dropped", f"{part.path}.citations", "documents cannot be cited here")
            writing.report_mark(part.cache, part.path)
            writing.report_extra(part.extra, part.path)
            return [{"text": "\n\n".join([line for line in (part.name, part.context) if line] + [part.text])}]
        case Media():
            return [_media(part, writing)]
        case Opaque():
            writing.losses.refuse_soft(part.path, f"{part.kind} of {part.dialect} has no form at this provider")
            return []
    raise writing.losses.refuse(part.path, f"a {type(part).__name__.lower()} has no place here")


def call_part(part: Call, writing: Writing) -> dict[str, Any]:
    writing.report_extra(part.extra, part.path)
    writing.report_mark(part.cache, part.path)
    value, is_faithful = as_object(part.arguments, custom=part.custom)
    if not is_faithful:
        writing.losses.report("approximated", part.path, RAW_REASON)
    call: dict[str, Any] = {"id": part.id} if part.id else {}
    return {"functionCall": call | {"name": writing.names.of(part.name), "args": value}}


def response_part(result: Result, name: str, writing: Writing, following: Parts) -> dict[str, Any]:
    """The `functionResponse`: its response is always an object (R049). Media go into it, or, where the model takes
    none there, to `following`."""
    writing.report_extra(result.extra, result.path)
    writing.report_mark(result.cache, result.path)
    texts: list[str] = []
    media: Parts = []
    for part in result.content:
        for written in content_parts(part, writing):
            if "text" in written:
                texts.append(written["text"])
            else:
                media.append(written)
    response: dict[str, Any] = {"id": result.call_id} if result.call_id else {}
    response |= {"name": name, "response": _response("\n".join(texts), is_error=bool(result.is_error))}
    if media and writing.capabilities.media_results:
        response["parts"] = media
    elif media:
        reason = f"{writing.target.model} takes no media in a tool's result: they follow it"
        writing.losses.report("approximated", result.path, reason)
        following += media
    return {"functionResponse": response}


def _response(text: str, *, is_error: bool) -> dict[str, Any]:
    """A JSON object goes as it is, unless it holds a ``$ref``, which is a 400 there (`mapping.md` §9)."""
    if is_error:
        return {"error": text}
    if text.lstrip().startswith("{"):
        try:
            value = jsons.parse(text)
        except jsons.JsonError:
            value = None
        if isinstance(value, dict) and not isinstance(value, jsons.Twice) and not _holds_reference(value):
            return value
    return {"output": text}


def _holds_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return "$ref" in value or any(_holds_reference(one) for one in value.values())
    return isinstance(value, list) and any(_holds_reference(one) for one in value)


def _media(part: Media, writing: Writing) -> dict[str, Any]:
    path, losses = part.path, writing.losses
    writing.report_extra(part.extra, path)
    writing.report_mark(part.cache, path)
    if isinstance(part, Image) and part.detail not in (None, "auto"):
        losses.report("dropped", f"{path}.detail", "this provider takes no detail for one image")
    if isinstance(part, File):
        for name, value in (("citations", part.citations), ("context", part.context)):
            if value:
                losses.report("dropped", f"{path}.{name}", f"documents have no {name} here")
    source = part.source
    if source.data is not None:
        return {"inlineData": {"mimeType": _media_type(part, source, source.data), "data": source.data}}
    if source.url is None:
        raise losses.refuse(path, "this file is known to another provider only: send its bytes")
    guessed = source.media_type or mimetypes.guess_type(source.url.partition("?")[0])[0] or _DEFAULTS[type(part)]
    losses.report("approximated", path, "the link is given to the provider, which fetches it itself")
    return {"fileData": {"mimeType": guessed, "fileUri": source.url}}


def _media_type(part: Media, source: Source, data: str) -> str:
    said = source.media_type
    if said is not None and not said.endswith("/*"):
        return said
    if isinstance(part, Audio) and part.format is not None:
        return f"audio/{part.format}"
    return next((kind for begin, kind in _MAGIC if data.startswith(begin)), _DEFAULTS[type(part)])
