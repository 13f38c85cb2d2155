"""Mistral's model cards (`BaseModelCard` of `mistralai` 3.7). Only chat is offered for sure; fill-in-the-middle and
the like depend on a provider that nobody is asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo

__all__ = ["write_model", "write_models"]

_CONTEXT_TOKENS = 131_072  # what most hosted models of two years take; clients cut their prompts to it
_ABILITIES = ("tools", "vision", "thinking")  # where nobody said: a client offers no tools to a model without the word


def write_models(models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
    return jsons.dump({"object": "list", "data": [_card(model) for model in models]})


def write_model(model: ModelInfo) -> bytes:
    return jsons.dump(_card(model))


def _card(model: ModelInfo) -> dict[str, Any]:
    abilities = _ABILITIES if model.abilities is None else model.abilities
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        "capabilities": {
            "completion_chat": True,
            "completion_fim": False,
            "function_calling": "tools" in abilities,
            "fine_tuning": False,
            "vision": "vision" in abilities,
            "reasoning": "thinking" in abilities,
        },
        "name": model.display_name or model.id,
        "description": None,
        "max_context_length": model.context_tokens or _CONTEXT_TOKENS,
        "aliases": [],
        "deprecation": None,
        "type": "base",
    }
