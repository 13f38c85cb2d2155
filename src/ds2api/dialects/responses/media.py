"""Images, files and audio: what type they have, and universal sources as links and ``data:`` URLs."""

from __future__ import annotations

from ds2api.universal.parts import Source

__all__ = ["media_type_of", "written_url"]

# The first bytes of a file in base64, for data whose type nobody said (Ollama's `images`).
_SIGNATURES = (
    ("iVBOR", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"),
    ("JVBER", "application/pdf"),
)  # fmt: skip


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
