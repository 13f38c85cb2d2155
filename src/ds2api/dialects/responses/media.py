"""Images, files and audio: links and ``data:`` URLs ⇄ universal sources."""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

from ds2api.universal.parts import Source

__all__ = ["media_type_of", "read_source", "written_url"]

# The first bytes of a file in base64, for data whose type nobody said (Ollama's `images`).
_SIGNATURES = (
    ("iVBOR", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"),
    ("JVBER", "application/pdf"),
)  # fmt: skip


def read_source(url: str) -> Source:
    """A link, or what a ``data:`` URL holds."""
    if url[:5].lower() != "data:":
        return Source(url=url)
    head, _, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    elif any(space in data for space in " \r\n\t"):
        data = "".join(data.split())
    return Source(data=data, media_type=media_type.strip().lower() or None)


def media_type_of(source: Source) -> str | None:
    """What was said, else what the first bytes say."""
    if source.media_type is not None or source.data is None:
        return source.media_type
    return next((kind for begin, kind in _SIGNATURES if source.data.startswith(begin)), None)


def written_url(source: Source) -> str | None:
    """The link, or the data as a URL; None for a file id."""
    if source.data is None:
        return source.url
    return f"data:{media_type_of(source) or 'application/octet-stream'};base64,{source.data}"
