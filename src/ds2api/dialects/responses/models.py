"""OpenAI's list of models. Its clients ask for it on the paths of chat; here it is for whoever embeds this dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo

__all__ = ["written_model", "written_models"]


def written_models(models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
    return jsons.dump({"object": "list", "data": [_entry(model) for model in models]})


def written_model(model: ModelInfo) -> bytes:
    return jsons.dump(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owner}
