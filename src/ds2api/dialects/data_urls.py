"""``data:`` URLs (RFC 2397), in which OpenAI's protocols carry files, and links."""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

from ds2api.universal.parts import Source

__all__ = ["read_source"]


def read_source(url: str) -> Source:
    """A link, or what a ``data:`` URL holds."""
    if url[:5].lower() != "data:":
        return Source(url=url)
    comma = url.find(",")
    if comma < 0:
        comma = len(url)
    head, data = url[5:comma], url[comma + 1 :]  # megabytes, copied once
    media_type, *parameters = head.split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    elif any(space in data for space in " \r\n\t"):
        data = "".join(data.split())
    return Source(data=data, media_type=media_type.strip().lower() or None)
