"""The relayed body: the client's bytes with the model's name exchanged, and usage asked for where it was not."""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.splice import replace_value, top_level_span

__all__ = ["rewrite"]

_ASKED = b'{"include_usage":true}'


def rewrite(raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
    """See `contract.Dialect.rewrite`. Other members of `stream_options` stay as they are."""
    if body.get("model") != model:
        raw = replace_value(raw, "model", jsons.dump(model))
    if not ask_usage or not body.get("stream"):
        return raw
    options = body.get("stream_options")
    if not isinstance(options, dict):
        return replace_value(raw, "stream_options", _ASKED)
    if options.get("include_usage") is True:
        return raw
    span = top_level_span(raw, "stream_options")
    assert span is not None  # the parsed body has it
    return b"".join((raw[: span[0]], replace_value(raw[span[0] : span[1]], "include_usage", b"true"), raw[span[1] :]))
