"""When a second attempt is worth its price: the pure half of hedging (Dean and Barroso 2013).

A first byte that is later than 95 of 100 were at this place is probably on a slow path, and a second attempt on
another account brings one sooner. It costs a second admission, so the budget is a share of all requests that may be
hedged, whatever happens: a provider that becomes slow as a whole is not asked twice as often.

The times are of attempts that brought something, and of those that were overtaken (they are at least as long as that).
Streams and whole answers are apart: the first byte of one is the last of the other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

__all__ = ["Hedging"]

# Of 20 times the slowest is the 95th percentile; fewer say nothing about it.
_SAMPLES_LEAST = 20
# Enough that one outlier does not move the percentile, few enough that an hour's slowness is forgotten in minutes.
_SAMPLES_MOST = 200
_PERCENTILE = 0.95
# Dean and Barroso: hedging after the 95th percentile adds about 5 % of load, and takes most of the tail.
_BUDGET_SHARE = 0.05
# What an idle time may save up. gRPC's throttle (gRFC A6) starts from 10 tokens, too.
_BUDGET_MOST = 10.0
# Places whose times are kept; models' names may come from clients. The oldest is measured anew.
_PLACES_MOST = 1024

_Place = tuple[str, str, bool]  # provider, model, whether it streams


class _Times:
    """The last times of one place, in order of arrival and in order of length."""

    __slots__ = ("_arrived", "_sorted")

    def __init__(self) -> None:
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        if len(self._arrived) == _SAMPLES_MOST:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]
        self._arrived.append(seconds)
        insort(self._sorted, seconds)

    @property
    def late_s(self) -> float | None:
        count = len(self._sorted)
        return self._sorted[min(count - 1, int(count * _PERCENTILE))] if count >= _SAMPLES_LEAST else None


class Hedging:
    """All places of one gateway, and the budget that they share."""

    def __init__(self) -> None:
        self._times: dict[_Place, _Times] = {}
        self._budget = 0.0

    def asked(self) -> None:
        """A request came that may be hedged."""
        self._budget = min(_BUDGET_MOST, self._budget + _BUDGET_SHARE)

    def late_s(self, place: _Place) -> float | None:
        """After what time a first byte is late there; None as long as too little is known."""
        times = self._times.get(place)
        return None if times is None else times.late_s

    def took(self, place: _Place, seconds: float) -> None:
        """An attempt there had its first byte after `seconds`, or had none by then when it was overtaken."""
        times = self._times.get(place)
        if times is None:
            if len(self._times) >= _PLACES_MOST:
                del self._times[next(iter(self._times))]
            times = self._times[place] = _Times()
        times.add(seconds)

    @property
    def can_afford(self) -> bool:
        return self._budget >= 1.0

    def spend(self) -> None:
        """A second attempt is begun."""
        self._budget -= 1.0
