"""The statistics: percentiles that mean what they say, and differences that are some."""

from __future__ import annotations

from statistics import median
from statistics import quantiles as by_the_library

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.compare.figures import Spread, is_clear, quantile, quantiles, spread

TIMES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=300)
ROUNDS = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=9)


@given(TIMES, st.floats(0, 1), st.floats(0, 1))
def test_a_quantile_lies_among_the_samples_and_grows_with_its_share(
    times: list[float], one: float, other: float
) -> None:
    ordered = sorted(times)
    low, high = (quantile(ordered, share) for share in sorted((one, other)))
    assert ordered[0] <= low <= ordered[-1]
    assert low <= high or low == pytest.approx(high)
    assert (quantile(ordered, 0), quantile(ordered, 1)) == (ordered[0], ordered[-1])


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=300))
def test_the_standard_library_says_the_same(times: list[float]) -> None:
    ordered = sorted(times)
    assert quantile(ordered, 0.5) == pytest.approx(median(times))
    theirs = by_the_library(times, n=100, method="inclusive")
    assert [quantile(ordered, share / 100) for share in range(1, 100)] == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, set()), (1, set()), (2, {"p50"}), (19, {"p50"}), (20, {"p50", "p95"}), (99, {"p50", "p95"}),
     (100, {"p50", "p95", "p99"})],
)  # fmt: skip
def test_a_percentile_needs_a_sample_beyond_it(count: int, told: set[str]) -> None:
    assert {name for name, value in quantiles([1.0] * count).items() if value is not None} == told


@given(ROUNDS, ROUNDS)
def test_a_difference_is_clear_both_ways_and_never_to_oneself(one: list[float], other: list[float]) -> None:
    first, second = spread(one), spread(other)
    assert first is not None
    assert second is not None
    assert is_clear(first, second) == is_clear(second, first)
    assert not is_clear(first, first)
    if is_clear(first, second):
        assert (first.middle < second.middle) == (max(one) < min(other))


def test_nothing_measured_is_no_spread() -> None:
    assert spread([]) is None
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
