"""A limit per minute as a GCRA bucket (ATM Forum 1996): one number, the time at which the bucket is full again.

No timer, and the exact moment of the next free slot. Since the number only moves when something is taken or given,
buckets keep their order while time passes, so that the emptiest of ten thousand is found in a heap (`shelf`).

The burst is small at first: providers enforce a minute's limit over seconds (`pool-model.md` §2: the rate is sure, a
burst of a whole minute is not, and what `remaining` says is no promise of one). An answer that was admitted although
the provider's bucket was emptier than ours can be widens it; a refusal that ours did not foresee narrows it.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["KINDS", "Bucket", "Source"]

Source = Literal["configured", "announced", "learned"]

# In the order of `Cost`; the words are those of the headers.
KINDS = ("requests", "tokens", "input-tokens", "output-tokens")

# A few seconds' worth of a minute's limit: OpenAI and Anthropic both document that 60 a minute may be enforced
# as one a second.
_BURST_S = 5.0
# What may go at once before anybody has said how full the bucket is: a new process does not know what the one before
# it has used.
_FIRST_S = 2.0
# Requests overtake each other on their way: one that is sent the moment it fits may be there before the one that made
# it wait. So ours holds a little less than the provider's; the rate is the same. Where it holds one request only,
# that is not possible, and each waits a little longer than it must.
_GUARD_S = 0.15
_GUARD_OF_ONE = 0.15
# Sums of floats are off by less.
_ROUNDING_S = 1e-6
# No provider counts over more than this (daily quotas are no bucket).
_BURST_MOST_S = 60.0
# Azure judges slices of a second. Where some hundred fit in a second, less than that has been seen to be refused.
_BURST_LEAST_S = 0.1
# How fast a burst that a refusal has narrowed is tried again: by a quarter in some 450 answers, since each try that
# fails is a refusal.
_BELIEVED = 1.0005


class Bucket:
    """`limit` units a minute of the kind `KINDS[kind]`. `free_at(cost)` tells when, `take` takes."""

    __slots__ = ("burst_s", "full_at", "is_exact", "kind", "limit", "source", "unit_s")

    def __init__(self, kind: int, limit: float, source: Source, since: float) -> None:
        self.kind = kind
        self.source: Source = source
        self.limit = limit
        self.unit_s = 60.0 / limit
        self.is_exact = False  # headers tell how full it is, to the tenth of a second
        self.burst_s = max(_BURST_S, self.unit_s)
        # Nobody of ours has taken anything since then. A whole unit must fit at first, however small the limit.
        self.full_at = since + self.burst_s - max(_FIRST_S, self.unit_s)

    @property
    def open_at(self) -> float:
        """When it holds anything at all. Does not change while time passes."""
        return self.full_at - self.burst_s

    def free_at(self, cost: float) -> float:
        """When `cost` units may go. A cost beyond the burst goes when the bucket is full (it can never fit better), so
        that a large request is late, not stuck."""
        return self.full_at - self.burst_s + min(cost * self.unit_s, self.burst_s) + self._guard_s

    @property
    def _guard_s(self) -> float:
        spare_s, of_one_s = self.burst_s - self.unit_s, self.unit_s * _GUARD_OF_ONE
        return min(_GUARD_S, spare_s if spare_s > of_one_s else of_one_s)

    def headroom(self, now: float) -> float:
        """How much of what may go at once is there: 1 is full, 0 is empty."""
        return min(1.0, max(0.0, (now - self.open_at) / self.burst_s))

    def take(self, cost: float, now: float) -> None:
        self.full_at = (self.full_at if self.full_at > now else now) + cost * self.unit_s

    def give(self, cost: float) -> None:
        """Give back what was reserved and not used."""
        self.full_at -= cost * self.unit_s

    def hold_until(self, at: float, cost: float) -> None:
        """The provider says that `cost` units fit at `at`, not sooner: then ours holds no more than its."""
        self.full_at = max(
            self.full_at, at - self._guard_s - _ROUNDING_S + self.burst_s - min(cost * self.unit_s, self.burst_s)
        )

    def limit_to(self, limit: float, source: Source) -> None:
        """From now on `limit` units a minute. What was taken stays taken."""
        if limit != self.limit:
            self.limit = limit
            self.unit_s = 60.0 / limit
            self.burst_s = max(self.burst_s, self.unit_s)
        self.source = source

    def widen_to(self, burst_s: float) -> None:
        """So many seconds' worth went at once, and were admitted."""
        self.burst_s = max(self.burst_s, min(burst_s, _BURST_MOST_S))

    @property
    def is_wide(self) -> bool:
        """Less could go at once (`narrow`)."""
        return self.burst_s > max(self.unit_s, _BURST_LEAST_S)

    def narrow(self) -> None:
        """Less may go at once than was thought: a limit of a minute is enforced over seconds, or others draw on it."""
        self.burst_s = max(self.burst_s / 2, self.unit_s, _BURST_LEAST_S)

    def believe(self) -> None:
        """An answer came: what a refusal has narrowed is widened again, slowly."""
        if self.burst_s < _BURST_S:
            self.burst_s = min(_BURST_S, self.burst_s * _BELIEVED)
