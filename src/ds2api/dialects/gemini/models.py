"""Model lists in Gemini's shape, with its pages: `pageSize` (50, at most 1000) and an opaque `pageToken`
(ai.google.dev/api/models). What of a model is not known here is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo
from ds2api.dialects.gemini.place import resource_name
from ds2api.universal.errors import Problem

__all__ = ["written_model", "written_models"]

_DEFAULT_SIZE = 50
_MOST = 1000
_EMBEDS = ["embedContent", "batchEmbedContents"]
_GENERATES = ["generateContent", "streamGenerateContent", "countTokens"]


def written_models(models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
    """One page. Raises `Problem` for a size or a token that means nothing; a size above the most is the most."""
    size = min(_number(query, "pageSize") or _DEFAULT_SIZE, _MOST)
    start = _number(query, "pageToken")
    body: dict[str, Any] = {"models": [_entry(model) for model in models[start : start + size]]}
    if start + size < len(models):
        body["nextPageToken"] = str(start + size)
    return jsons.dump(body)


def written_model(model: ModelInfo) -> bytes:
    return jsons.dump(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": resource_name(model.id),
        "version": "001",
        "displayName": model.display_name or model.id,
        "description": f"Served by {model.owner}.",
        "supportedGenerationMethods": _EMBEDS if "embed" in model.id.lower() else _GENERATES,
    }
    if model.context_tokens is not None:
        entry["inputTokenLimit"] = model.context_tokens
    if model.abilities is not None:
        entry["thinking"] = "thinking" in model.abilities
    return entry


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Problem.bad_request(f"{name}: expected a number that is not negative, found {text[:20]!r}", name)
    return int(text)
