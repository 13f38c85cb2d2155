"""A limit per minute as a GCRA bucket (ATM Forum 1996): one number, the theoretical arrival time.

No timer, and the exact moment of the next free slot. The burst is small on purpose: providers enforce a minute's limit
over seconds (`pool-model.md` §2).
"""

from __future__ import annotations

__all__ = ["Bucket"]

# A few seconds' worth of a minute's limit: OpenAI and Anthropic both document that 60 a minute may be enforced
# as one a second.
_BURST_S = 5.0


class Bucket:
    """GCRA over `limit` units a minute. `free_at(cost, now)` tells when, `take` takes."""

    __slots__ = ("_arrival", "_burst_s", "_seconds_a_unit", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._seconds_a_unit = 60.0 / limit
        # One unit must always fit, however small the limit.
        self._burst_s = max(_BURST_S, self._seconds_a_unit)
        self._arrival = float("-inf")

    def free_at(self, cost: float, now: float) -> float:
        """When `cost` units may go. A cost beyond the burst goes when the bucket is full (it can never fit
        better), so that a large request is late, not stuck."""
        need_s = min(cost * self._seconds_a_unit, self._burst_s)
        return max(now, self._arrival + need_s - self._burst_s)

    def pressure(self, now: float) -> float:
        """How much of what may go at once has been taken: 0 is full, 1 is empty, more is waiting."""
        return max(0.0, self._arrival - now) / self._burst_s

    def take(self, cost: float, now: float) -> None:
        self._arrival = max(self._arrival, now) + cost * self._seconds_a_unit

    def give(self, cost: float) -> None:
        """Give back what was reserved and not used."""
        self._arrival -= cost * self._seconds_a_unit

    def empty_until(self, at: float, cost: float) -> None:
        """The provider says that `cost` units fit at `at`, not sooner: then ours holds no more than its."""
        need_s = min(cost * self._seconds_a_unit, self._burst_s)
        self._arrival = max(self._arrival, at + self._burst_s - need_s)

    def limit_to(self, limit: float) -> None:
        """From now on `limit` units a minute. What was taken stays taken."""
        self.limit = limit
        self._seconds_a_unit = 60.0 / limit
        self._burst_s = max(_BURST_S, self._seconds_a_unit)
