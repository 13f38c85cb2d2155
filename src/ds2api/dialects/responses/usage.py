"""The usage block of a response: OpenAI's arithmetic under other names (`features.md` §5)."""

from __future__ import annotations

from typing import Any

from ds2api.dialects import openai_usage
from ds2api.dialects.responses.origin import NAME
from ds2api.universal.usage import Usage

__all__ = ["read_usage", "written_usage"]

_NAMES = (
    ("input_tokens", "prompt_tokens"),
    ("output_tokens", "completion_tokens"),
    ("input_tokens_details", "prompt_tokens_details"),
    ("output_tokens_details", "completion_tokens_details"),
)


def read_usage(block: Any) -> Usage | None:
    """The counters of `block`. Total: what is no object tells nothing."""
    if not isinstance(block, dict):
        return None
    renamed = {chat: block.get(name) for name, chat in _NAMES} | {"total_tokens": block.get("total_tokens")}
    usage = openai_usage.read_usage(renamed, NAME)
    usage.raw = (NAME, block)
    return usage


def written_usage(usage: Usage | None) -> dict[str, Any] | None:
    """The block for a client; null where nothing was counted (R011). The SDK's type wants all of its fields."""
    if usage is None:
        return None
    if usage.raw is not None and usage.raw[0] == NAME:
        block: dict[str, Any] = usage.raw[1]
        return block
    if usage.input_total is None and usage.output_total is None:
        return None
    read, written = usage.input_total or 0, usage.output_total or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.output_reasoning or 0},
        "total_tokens": read + written,
    }
