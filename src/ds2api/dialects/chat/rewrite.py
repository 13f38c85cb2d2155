"""The relayed body: the client's bytes with the model's name exchanged, and usage asked for where it was not."""

from __future__ import annotations

from typing import Any

from ds2api.dialects.splice import append_member, replace_value, top_level_span, with_model

__all__ = ["rewrite"]

_ASKED = b'{"include_usage":true}'


def rewrite(raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
    """See `contract.Dialect.rewrite`. Other members of `stream_options` stay as they are."""
    raw = with_model(raw, body, model)
    if not ask_usage or not body.get("stream"):
        return raw
    options = body.get("stream_options")
    if "stream_options" not in body:
        return append_member(raw, "stream_options", _ASKED)
    if not isinstance(options, dict):
        return replace_value(raw, "stream_options", _ASKED)
    if options.get("include_usage") is True:
        return raw
    span = top_level_span(raw, "stream_options")
    assert span is not None  # the parsed body has it
    return b"".join((raw[: span[0]], replace_value(raw[span[0] : span[1]], "include_usage", b"true"), raw[span[1] :]))
