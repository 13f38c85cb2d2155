"""What clients and editors look around for: model lists, one model's description, a version (R173).

A gateway has no weights: sizes are 0, the digest is a hash of the name (it only has to be the same every time), and
every model counts as loaded, since none has to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo
from ds2api.dialects.ollama.answer_lines import written_created
from ds2api.universal.errors import Error, Fault, Kind, Problem

__all__ = ["write_model", "write_models", "write_note"]

# Editors refuse a server that is older than what they need (VS Code asks for 0.6.4); this is the first release that
# speaks all of what is spoken here: degrees of thinking, ids of calls, log-probabilities.
_VERSION = "0.13.0"
# What most hosted models of two years take: editors cut their prompts to it, and show nothing where it is missing.
_CONTEXT_TOKENS = 131_072
_ABILITIES = ("tools", "vision", "thinking")  # where nobody said: an editor offers no tools to a model without the word
_NEVER = "2100-01-01T00:00:00Z"  # loaded for good


def write_models(models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
    """`/api/tags`, or `/api/ps`."""
    is_running = path.partition("?")[0].rstrip("/").endswith("/ps")
    entries = [_entry(model) for model in models]
    if is_running:
        for model, entry in zip(models, entries, strict=True):
            del entry["modified_at"]
            entry |= {"expires_at": _NEVER, "size_vram": 0, "context_length": model.context_tokens or _CONTEXT_TOKENS}
    return jsons.dump({"models": entries})


def write_model(model: ModelInfo) -> bytes:
    """`/api/show`."""
    details = _details(model)
    abilities = _ABILITIES if model.abilities is None else model.abilities
    family = details["family"]
    return jsons.dump(
        {
            "license": "",
            "modelfile": f"FROM {model.id}",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": details,
            "model_info": {
                "general.architecture": family,
                "general.basename": model.display_name or model.id,
                f"{family}.context_length": model.context_tokens or _CONTEXT_TOKENS,
            },
            "capabilities": ["completion", *abilities],
            "modified_at": written_created(model.created),
        }
    )


def write_note(path: str) -> bytes:
    """`/api/version`. Raises `Problem` for any other path."""
    if not path.partition("?")[0].rstrip("/").endswith("/version"):
        raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))
    return jsons.dump({"version": _VERSION})


def _entry(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.id,
        "model": model.id,
        "modified_at": written_created(model.created),
        "size": 0,
        "digest": hashlib.sha256(model.id.encode("utf-8", "replace")).hexdigest(),
        "details": _details(model),
    }


def _details(model: ModelInfo) -> dict[str, Any]:
    family = model.owner or "unknown"
    return {
        "parent_model": "",
        "format": "remote",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    }
