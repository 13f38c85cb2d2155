"""Writes parts of another dialect as Anthropic's content blocks.

Input that Anthropic cannot read (audio, video, a file of another provider) is refused: a model that answers about
what it never saw is the worst failure there is. Blank text is left out, since it is a 400 there (R053).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.messages import proofs
from ds2api.dialects.messages.writing import Writing
from ds2api.universal.parts import (
    Audio,
    Call,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Result,
    Source,
    Text,
    Video,
)

__all__ = ["assistant_blocks", "call_block", "result_block", "text_block", "user_blocks"]

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXT_TYPES = ("application/json", "application/xml", "application/x-yaml", "application/javascript")
# The first characters of base64 tell a file's kind: enough of each magic number to be no accident.
_MAGIC = (
    ("/9j/", "image/jpeg"),
    ("iVBORw0KGgo", "image/png"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi", "application/pdf"),
)


def text_block(part: Text, writing: Writing) -> list[dict[str, Any]]:
    """One block, or none for blank text."""
    path, losses = part.path, writing.losses
    writing.report_extra(part.extra, path)
    if part.citations:
        losses.report("dropped", f"{path}.annotations", "citations cannot be sent back in another protocol's form")
    if part.signature is not None:
        losses.report("dropped", path, "a signature on text has no place at this provider")
    if not part.text.strip():
        if part.text:
            losses.report("dropped", path, "text that is only white space is not taken")
        return []
    return [writing.mark({"type": "text", "text": part.text}, part.cache, path)]


def user_blocks(part: Part, writing: Writing) -> list[dict[str, Any]]:
    """Blocks of a user's part other than a result. Raises `Problem` for what cannot be carried."""
    match part:
        case Text():
            return text_block(part, writing)
        case Image():
            return [_image(part, writing)]
        case File():
            return [_document(part, writing)]
    raise _unsupported(part, writing)


def assistant_blocks(part: Part, writing: Writing) -> list[dict[str, Any]]:
    """Blocks of an assistant's part other than a call."""
    match part:
        case Text():
            return text_block(part, writing)
        case Refusal():
            writing.losses.report("approximated", part.path, "an earlier refusal is sent as text")
            return [{"type": "text", "text": part.text}] if part.text.strip() else []
        case Reasoning():
            return _thinking(part, writing)
        case Image() | File():
            raise writing.losses.refuse(part.path, "an assistant's turn takes text and tool calls only")
    raise _unsupported(part, writing)


def call_block(part: Call, writing: Writing) -> dict[str, Any]:
    """A `tool_use`, with the id that its result will ask for."""
    writing.report_extra(part.extra, part.path)
    if part.signature is not None:
        writing.losses.report("dropped", part.path, "a signature on a call is another provider's and is not portable")
    value, is_faithful = as_object(part.arguments, custom=part.custom)
    if not is_faithful:
        writing.losses.report("approximated", part.path, RAW_REASON)
    block = {
        "type": "tool_use",
        "id": writing.ids.begin(part.id),
        "name": writing.names.of(part.name),
        "input": value,
    }
    return writing.mark(block, part.cache, part.path)


def result_block(part: Result, call_id: str, writing: Writing) -> dict[str, Any]:
    """A `tool_result`. One text goes as a string, which may be empty."""
    writing.report_extra(part.extra, part.path)
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
    texts = [one for one in part.content if isinstance(one, Text)]
    if len(texts) == len(part.content) <= 1 and not any(one.cache for one in texts):
        for one in texts:
            writing.report_extra(one.extra, one.path)
        block["content"] = texts[0].text if texts else ""
    else:
        block["content"] = [inner for one in part.content for inner in user_blocks(one, writing)]
    if part.is_error:
        block["is_error"] = True
    return writing.mark(block, part.cache, part.path)


def _thinking(part: Reasoning, writing: Writing) -> list[dict[str, Any]]:
    losses = writing.losses
    if part.sealed is None:
        if part.text:
            reason = "reasoning without a proof of who did it is not taken by this provider"
            losses.report("dropped", part.path, reason)
        return []
    opened, reason = proofs.for_provider(part.sealed, writing.target)
    if opened is None:
        losses.report("dropped", part.path, reason)
        return []
    if opened.kind == "anthropic_redacted":
        return [{"type": "redacted_thinking", "data": opened.data}]
    return [{"type": "thinking", "thinking": part.text, "signature": opened.data}]


def _image(part: Image, writing: Writing) -> dict[str, Any]:
    path = part.path
    writing.report_extra(part.extra, path)
    if part.detail not in (None, "auto"):
        writing.losses.report("dropped", f"{path}.detail", "this provider chooses the detail of an image by itself")
    source = part.source
    if source.data is not None:
        media_type = _media_type(source)
        if media_type not in _IMAGE_TYPES:
            accepted = ", ".join(_IMAGE_TYPES)
            raise writing.losses.refuse(path, f"an image of type {media_type or 'unknown'}; accepted are {accepted}")
        wire = {"type": "base64", "media_type": media_type, "data": source.data}
    else:
        wire = _by_url(source, path, "an image", writing)
    return writing.mark({"type": "image", "source": wire}, part.cache, path)


def _document(part: File, writing: Writing) -> dict[str, Any]:
    path, source = part.path, part.source
    writing.report_extra(part.extra, path)
    if part.text is not None:
        wire: dict[str, Any] = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif source.data is not None:
        wire = _document_data(part, writing)
    else:
        wire = _by_url(source, path, "a document", writing)
    block: dict[str, Any] = {"type": "document", "source": wire}
    if part.name is not None:
        block["title"] = part.name
    if part.context is not None:
        block["context"] = part.context
    if part.citations is not None:
        block["citations"] = {"enabled": part.citations}
    return writing.mark(block, part.cache, path)


def _document_data(part: File, writing: Writing) -> dict[str, Any]:
    media_type, data = _media_type(part.source), part.source.data or ""
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type is not None and (media_type.startswith("text/") or media_type in _TEXT_TYPES):
        try:
            text = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise writing.losses.refuse(part.path, f"a {media_type} document that is not UTF-8 in base64") from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    kind = media_type or "an unknown type"
    raise writing.losses.refuse(part.path, f"a document of {kind}; accepted are application/pdf and text")


def _by_url(source: Source, path: str, what: str, writing: Writing) -> dict[str, Any]:
    if source.url is not None and source.url.startswith(("http://", "https://")):
        return {"type": "url", "url": source.url}
    if source.file_id is not None:
        raise writing.losses.refuse(path, f"{what} by file id: the file is known to another provider only")
    raise writing.losses.refuse(path, f"{what} without data; accepted are base64 data and an http or https URL")


def _media_type(source: Source) -> str | None:
    """What was said, in Anthropic's spelling; else what the data begins with."""
    if source.media_type is not None:
        said = source.media_type.split(";")[0].strip().lower()
        if said == "image/jpg":
            return "image/jpeg"
        if said != "application/octet-stream":
            return said
    for start, media_type in _MAGIC:
        if (source.data or "").startswith(start):
            return media_type
    return None


def _unsupported(part: Part, writing: Writing) -> Exception:
    match part:
        case Audio():
            reason = "audio is not taken by this provider"
        case Video():
            reason = "video is not taken by this provider"
        case Opaque():
            reason = f"{part.kind} is known to {part.dialect} only and cannot be sent to this provider"
        case Call():
            reason = "a tool call belongs in an assistant's turn"
        case Result():
            reason = "a tool's result belongs in a user's or tool's turn"
        case _:
            reason = f"{type(part).__name__.lower()} does not belong in this turn"
    return writing.losses.refuse(part.path, reason)
