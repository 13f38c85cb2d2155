"""A call's arguments: JSON text on the universal side, an object in the protocols that know objects only.

Anthropic, Gemini and Ollama take nothing else, and their SDKs fail on it. What is no object goes as
``{"_raw": "…"}``, with a loss (`mapping.md` §2, Args); nothing at all is ``{}``. The free text of a custom tool goes
as ``{"input": "…"}``.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons

__all__ = ["RAW_REASON", "as_object"]

RAW_REASON = "the arguments are no JSON object; they stand as text in _raw"


def as_object(arguments: str, *, custom: bool) -> tuple[dict[str, Any], bool]:
    """The object for `arguments`, and whether it holds them as they were meant."""
    if custom:
        return {"input": arguments}, True
    if not arguments.strip():
        return {}, True
    try:
        value = jsons.parse(arguments)
    except jsons.JsonError:
        return {"_raw": arguments}, False
    return (value, True) if isinstance(value, dict) else ({"_raw": arguments}, False)
