"""`usageMetadata` ⇄ disjoint counters (`features.md` §5): cached tokens are part of the prompt, thoughts are *not* part
of the candidates, and total = prompt + tool prompts + candidates + thoughts.

proto3 leaves zeros out: where the total is known, a missing count of candidates follows from it. The block as it came
is kept for its own dialect.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.gemini.fields import NAME
from ds2api.universal.usage import Usage

__all__ = ["read_usage", "written_usage"]


def read_usage(block: Any) -> Usage | None:
    """Total: whatever is no whole number is not known. None where nothing was counted."""
    if not isinstance(block, dict) or not block:
        return None
    prompt, cached = _count(block, "promptTokenCount"), _count(block, "cachedContentTokenCount")
    candidates, thoughts = _count(block, "candidatesTokenCount"), _count(block, "thoughtsTokenCount")
    tool_prompt, total = _count(block, "toolUsePromptTokenCount"), _count(block, "totalTokenCount")
    if candidates is None and total is not None and prompt is not None:
        candidates = max(0, total - prompt - (tool_prompt or 0) - (thoughts or 0))
    return Usage(
        input_uncached=None if prompt is None else max(0, prompt - (cached or 0)),
        cache_read=cached,
        output_text=candidates,
        output_reasoning=thoughts,
        tool_prompt=tool_prompt,
        raw=(NAME, block),
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """The block for a client: as it came if Gemini counted, else what is known of it. Unknown counts are left out."""
    if usage.raw is not None and usage.raw[0] == NAME:
        block: dict[str, Any] = usage.raw[1]
        return block
    prompt = [one for one in (usage.input_uncached, usage.cache_read, usage.cache_write) if one is not None]
    counts = {
        "promptTokenCount": sum(prompt) if prompt else None,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": usage.output_text,
        "thoughtsTokenCount": usage.output_reasoning,
        "toolUsePromptTokenCount": usage.tool_prompt,
    }
    if usage.input_total is not None and usage.output_total is not None:
        counts["totalTokenCount"] = usage.input_total + usage.output_total
    return {name: count for name, count in counts.items() if count is not None}


def _count(block: dict[str, Any], name: str) -> int | None:
    value = block.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
