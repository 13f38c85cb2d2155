"""The answer to a token count: one number (`anthropic/types/message_tokens_count.py`)."""

from __future__ import annotations

from typing import Any

from ds2api import jsons

__all__ = ["read_token_count", "write_token_count"]


def write_token_count(count: int) -> bytes:
    """``{"input_tokens": count}``."""
    return jsons.dump({"input_tokens": count})


def read_token_count(body: Any) -> int | None:
    """The number; None for an answer that holds none."""
    count = body.get("input_tokens") if isinstance(body, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
