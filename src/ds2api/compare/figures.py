"""Statistics of a comparison. Pure.

A percentile is said only where there are samples enough for one beyond it: p99 of forty answers would be the slowest
one under another name. The spread is that of the rounds: each place's rounds lie between the other's, so what differs
less than the rounds of one place among themselves is no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Spread", "is_clear", "quantile", "quantiles", "spread"]

_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of every round: the middle one, the least, the greatest."""

    middle: float
    low: float
    high: float


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the samples lie, between two of them where it falls so (type 7 of
    Hyndman and Fan, the default of NumPy and R). `ordered` is sorted and not empty."""
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    if ordered[below] == ordered[above]:
        return ordered[below]
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def quantiles(samples: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99; None where fewer than one sample lies beyond it."""
    ordered = sorted(samples)
    return {
        f"p{percent}": quantile(ordered, percent / 100) if len(ordered) * (100 - percent) >= 100 else None
        for percent in _PERCENTILES
    }


def spread(rounds: Sequence[float]) -> Spread | None:
    """None for no rounds."""
    return Spread(median(rounds), min(rounds), max(rounds)) if rounds else None


def is_clear(one: Spread, other: Spread) -> bool:
    """Whether no round of one place reached into the rounds of the other. By chance alone that happens to two equal
    places with five rounds each once in 126 comparisons, with three rounds once in ten."""
    return one.high < other.low or other.high < one.low
