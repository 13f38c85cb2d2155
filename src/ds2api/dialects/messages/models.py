"""Model lists in Anthropic's shape (`anthropic/types/model_info.py`, `pagination.py`).

`limit` is honoured (1 to 1000, default 20), `after_id` and `before_id` page; an id that is not in the list is
refused rather than answered with the first page again, which would make a client loop for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo
from ds2api.universal.errors import Problem

__all__ = ["write_model", "write_models"]

_DEFAULT_LIMIT = 20  # platform.claude.com, "List models"
_MOST = 1000


def write_models(models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
    """One page. Raises `Problem` for a `limit` or a cursor that means nothing."""
    limit = _limit(query.get("limit"))
    ids = [model.id for model in models]
    start, stop = 0, len(ids)
    if after := query.get("after_id"):
        start = _position(ids, after, "after_id") + 1
    if before := query.get("before_id"):
        stop = _position(ids, before, "before_id")
    if before and not after:
        page = models[max(start, stop - limit) : stop]
        has_more = stop - limit > start
    else:
        page = models[start : min(stop, start + limit)]
        has_more = start + limit < stop
    return jsons.dump(
        {
            "data": [_entry(model) for model in page],
            "has_more": has_more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


def write_model(model: ModelInfo) -> bytes:
    """One entry by itself."""
    return jsons.dump(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    # `created` 0 is the epoch, which Anthropic too writes for an unknown date.
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": created,
        "lifecycle": "active",
    }


def _limit(text: str | None) -> int:
    if text is None or text == "":
        return _DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:5]) <= _MOST:
        raise Problem.bad_request(f"limit: expected a number from 1 to {_MOST}, found {text[:20]!r}", "limit")
    return int(text)


def _position(ids: list[str], wanted: str, name: str) -> int:
    try:
        return ids.index(wanted)
    except ValueError:
        raise Problem.bad_request(f"{name}: no model {wanted[:80]!r} in the list", name) from None
