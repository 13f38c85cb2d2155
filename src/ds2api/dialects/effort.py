"""How much to think: effort words and token budgets, and the nearest of what a model takes (`mapping.md` §2).

The shares of the output limit are OpenRouter's published ones (openrouter.ai/docs, reasoning tokens), which most
clients that set either have been tuned to; Anthropic refuses budgets below 1,024.
"""

from __future__ import annotations

from collections.abc import Sequence

from ds2api.universal.request import EFFORTS, Effort

__all__ = ["LOWEST_BUDGET_TOKENS", "budget_of", "effort_of", "nearest"]

LOWEST_BUDGET_TOKENS = 1024

_SHARES: tuple[tuple[Effort, float], ...] = (
    ("minimal", 0.10),
    ("low", 0.20),
    ("medium", 0.50),
    ("high", 0.80),
    ("xhigh", 0.95),
)


def budget_of(effort: Effort, max_output_tokens: int) -> int:
    """The thinking budget for `effort`, below `max_output_tokens`. 0 for "none" and where 1,024 do not fit."""
    if effort == "none" or max_output_tokens <= LOWEST_BUDGET_TOKENS:
        return 0
    share = dict(_SHARES).get(effort, _SHARES[-1][1])
    return min(max(LOWEST_BUDGET_TOKENS, int(max_output_tokens * share)), max_output_tokens - 1)


def effort_of(budget_tokens: int, max_output_tokens: int | None) -> Effort:
    """The effort nearest to a budget; without an output limit, by the size that clients use for each word."""
    if budget_tokens <= 0:
        return "none"
    share = budget_tokens / (max_output_tokens if max_output_tokens and max_output_tokens > 0 else 32_000)
    return min(_SHARES[1:], key=lambda one: abs(one[1] - share))[0]


def nearest(effort: Effort, accepted: Sequence[Effort]) -> Effort | None:
    """`effort` itself or the nearest word of `accepted`, the lower of two as near; None where none is accepted.

    "none" is an order, not a degree: it is only met by itself or by the lowest there is.
    """
    if not accepted:
        return None
    place = EFFORTS.index(effort)
    candidates = [one for one in accepted if one != "none"] if effort != "none" else list(accepted)
    if not candidates:
        return None
    return min(candidates, key=lambda one: (abs(EFFORTS.index(one) - place), EFFORTS.index(one)))
