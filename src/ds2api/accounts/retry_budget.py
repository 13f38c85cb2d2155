"""How many attempts may follow a provider's own fault: a share of all attempts there, and a few in hand.

(Finagle's retry budget.) Whatever happens, retries cannot multiply the load of a provider that is in trouble.
"""

from __future__ import annotations

__all__ = ["RetryBudget"]

# In hand for a quiet gateway, and how fast they come back by time alone.
_IN_HAND = 10.0
_EVERY_S = 1.0
_MOST = 100.0


class RetryBudget:
    """Of one provider. `deposit` for each first attempt, `withdraw` for each retry."""

    __slots__ = ("_at", "_level", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._level = _IN_HAND
        self._at = float("-inf")

    def deposit(self) -> None:
        self._level = min(_MOST, self._level + self._share)

    def has(self, now: float) -> bool:
        if self._level < _IN_HAND:
            self._level = min(_IN_HAND, self._level + (now - self._at) / _EVERY_S)
        self._at = now
        return self._level >= 1.0

    def withdraw(self) -> None:
        self._level -= 1.0
