"""OpenAI's usage block, taken apart into disjoint counters and put together again (`features.md` §5).

`prompt_tokens` holds cached and cache-written tokens, `completion_tokens` holds reasoning. Accents that were
recorded and are read here: cached tokens under three more names; xAI's completion *without* its reasoning and
Google's without its thoughts, both of which show in the total. What was not said stays None; an explicit 0
stays 0. The block as it came is kept in `raw` and written back whole by the dialect that read it.
"""

from __future__ import annotations

from typing import Any

from ds2api.universal.usage import Usage

__all__ = ["read_usage", "written_usage"]


# Where it stands beside the details, or in place of them: DeepSeek, Moonshot and Hugging Face, Mistral (recorded).
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
_NAMED_CACHED = frozenset(_CACHED)


def read_usage(block: dict[str, Any], dialect: str) -> Usage:
    """The counters of `block`. Total: whatever is no whole number is not known."""
    prompt, completion, total = block.get("prompt_tokens"), block.get("completion_tokens"), block.get("total_tokens")
    if not (type(prompt) is type(completion) is type(total) is int and min(prompt, completion, total) >= 0):
        prompt, completion = _count(block, "prompt_tokens"), _count(block, "completion_tokens")
        total = _count(block, "total_tokens")
    cached = written = reasoning = None
    if isinstance(details := block.get("prompt_tokens_details"), dict):
        cached, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    if isinstance(details := block.get("completion_tokens_details"), dict):
        reasoning = _count(details, "reasoning_tokens")
    if cached is None and not _NAMED_CACHED.isdisjoint(block):
        cached = next((one for name in _CACHED if (one := _count(block, name)) is not None), None)
    if total is not None and prompt is not None and completion is not None and total > prompt + completion:
        # More than the sum: what was thought is outside of the completion. xAI names it, Google does not.
        beyond = total - prompt - completion
        if reasoning is None or reasoning in {0, beyond}:
            reasoning = beyond
            completion += beyond
    return Usage(
        input_uncached=None if prompt is None else max(0, prompt - (cached or 0) - (written or 0)),
        cache_read=cached,
        cache_write=written,
        output_text=None if completion is None else max(0, completion - (reasoning or 0)),
        output_reasoning=reasoning,
        raw=(dialect, block),
    )


def written_usage(usage: Usage, dialect: str) -> dict[str, Any]:
    """The block for a client: as it came if `dialect` read it, else put together from what is known.

    The SDKs take no null for the three totals: an unknown side is written as 0, and the caller says so.
    """
    if usage.raw is not None and usage.raw[0] == dialect:
        block: dict[str, Any] = usage.raw[1]
        return block
    prompt, completion = usage.input_total or 0, usage.output_total or 0
    written: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    prompt_details = {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}
    known = {name: count for name, count in prompt_details.items() if count is not None}
    if known:
        written["prompt_tokens_details"] = known
    if usage.output_reasoning is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.output_reasoning}
    return written


def _count(block: dict[str, Any], name: str) -> int | None:
    value = block.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
