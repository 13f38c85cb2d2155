"""Content parts of another dialect's turns and results: universal → wire.

What the server cannot be shown is refused with the client's path: a model that answers about what it never saw is the
worst failure there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api.dialects.responses.media import media_type_of, written_url
from ds2api.dialects.responses.writing import Writing
from ds2api.universal.parts import File, Image, Opaque, Part, Text

__all__ = ["plain_text", "written_content"]

Content = list[dict[str, Any]]


def written_content(parts: Sequence[Part], writing: Writing) -> Content:
    """Input parts; texts of nothing are left out (R053)."""
    return [one for part in parts for one in _written(part, writing)]


def plain_text(content: Content) -> str | None:
    """The text of content that is one text without marks: it goes as a string, the form that every server takes."""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        text: str = content[0]["text"]
        return text
    return None


def _written(part: Part, writing: Writing) -> Content:
    losses = writing.losses
    if isinstance(part, Opaque):
        losses.refuse_soft(part.path, f"{part.kind} is known to {part.dialect} only")
        return []
    writing.report_extra(part.extra, part.path)
    match part:
        case Text():
            if part.citations:
                losses.report("dropped", f"{part.path}.citations", "input holds no citations")
            if part.signature is not None:
                losses.report("dropped", part.path, "a signature on text has no place here")
            text = {"type": "input_text", "text": part.text}
            return [writing.mark(text, part.cache)] if part.text else []
        case Image():
            url = written_url(part.source)
            if url is None:
                raise losses.refuse(part.path, "the image's file id is known to another provider only")
            image = {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
            return [writing.mark(image, part.cache)]
        case File():
            return [writing.mark(_file(part, writing), part.cache)]
    noun = type(part).__name__.lower()
    raise losses.refuse(part.path, f"{noun} is not taken here: a responses server takes text, images and files")


def _file(part: File, writing: Writing) -> dict[str, Any]:
    losses, source = writing.losses, part.source
    if part.citations:
        losses.report("dropped", f"{part.path}.citations", "documents cannot be cited here")
    if part.text is not None:
        lines = [line for line in (part.name, part.context) if line]
        return {"type": "input_text", "text": "\n\n".join([*lines, part.text])}
    if part.context:
        losses.report("dropped", f"{part.path}.context", "files have no context here")
    url = written_url(source)
    if url is None:
        raise losses.refuse(part.path, "the document's file id is known to another provider only")
    if source.data is None:
        return {"type": "input_file", "file_url": url}
    kind = (media_type_of(source) or "application/pdf").rpartition("/")[2]
    return {"type": "input_file", "filename": part.name or f"document.{kind}", "file_data": url}
