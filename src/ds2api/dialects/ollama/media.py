"""Images as Ollama has them: bare base64, without a type. What type it is, the first bytes tell."""

from __future__ import annotations

import re

from ds2api.universal.errors import Problem
from ds2api.universal.parts import Source

__all__ = ["read_image"]

# Beginnings of files in base64: PNG, JPEG, GIF, RIFF (of which WebP is the only image), BMP.
_MAGIC = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk0", "image/bmp"),
)
_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_data_url = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.IGNORECASE).match


def read_image(text: str, path: str) -> Source:
    """The data and its type. A ``data:`` URL is taken too: clients of other protocols send it out of habit."""
    head = _data_url(text)
    media_type = head[1].lower() if head is not None and head[1] else None
    data = "".join((text[head.end() :] if head is not None else text).split())
    if not _base64(data):
        raise Problem.bad_request(f"{path}: expected an image as base64, without a URL", path)
    if media_type is None:
        media_type = next((kind for begin, kind in _MAGIC if data.startswith(begin)), None)
    return Source(data=data, media_type=media_type)
