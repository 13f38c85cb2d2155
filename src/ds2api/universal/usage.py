"""Token counters, disjoint: no token is counted in two of them, and unknown is None, never 0.

Every protocol adds these up in its own way (`features.md` §5): chat's `prompt_tokens` holds the cached ones,
Anthropic's `input_tokens` does not; Gemini's candidates leave the thoughts out. Readers take a provider's
totals apart, writers put their own together again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

__all__ = ["Usage"]


@dataclass(slots=True)
class Usage:
    """Tokens of one answer. None is "the provider did not say"; 0 is "it said none"."""

    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None  # all cache writes together
    cache_write_5m: int | None = None  # of `cache_write`: the part kept for five minutes
    cache_write_1h: int | None = None  # of `cache_write`: the part kept for an hour
    output_text: int | None = None  # without reasoning; with it where `output_reasoning` is None
    output_reasoning: int | None = None
    tool_prompt: int | None = None  # Gemini: prompt tokens of server-side tools
    estimated: bool = False  # the gateway's own guess, not a provider's count
    raw: tuple[str, Any] | None = None  # (dialect, the usage object as it came), for that dialect's writer

    @property
    def input_total(self) -> int | None:
        """Everything that was read: uncached, cached, written to the cache, tool prompts."""
        total = self.input_uncached
        for more in (self.cache_read, self.cache_write, self.tool_prompt):
            if more is not None:
                total = more if total is None else total + more
        return total

    @property
    def output_total(self) -> int | None:
        """Everything that was generated, reasoning included."""
        text, reasoning = self.output_text, self.output_reasoning
        if text is None or reasoning is None:
            return reasoning if text is None else text
        return text + reasoning

    def merge(self, later: Usage) -> None:
        """Take over what `later` knows: the last value of each counter wins (they are cumulative), and what
        it does not mention stays (`message_delta` of Anthropic names the output only)."""
        for name in _NAMES:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)


_NAMES = tuple(one.name for one in fields(Usage))
