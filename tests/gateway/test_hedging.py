"""When a second attempt is begun: the times of a place, and the budget."""

from __future__ import annotations

import pytest

from ds2api.gateway.hedging import Hedging

HERE, THERE = ("p", "m", True), ("p", "m", False)


def test_fewer_than_twenty_times_say_nothing() -> None:
    hedging = Hedging()
    for number in range(19):
        hedging.took(HERE, float(number))
    assert hedging.late_s(HERE) is None
    hedging.took(HERE, 19.0)
    assert hedging.late_s(HERE) == 19.0
    assert hedging.late_s(THERE) is None, "streams and whole answers are apart"


def test_late_is_what_five_of_a_hundred_are() -> None:
    hedging = Hedging()
    for number in range(100):
        hedging.took(HERE, float((number * 37) % 100))
    late_s = hedging.late_s(HERE)
    assert late_s is not None
    assert sum(time_s >= late_s for time_s in range(100)) == 5


def test_old_times_are_forgotten() -> None:
    hedging = Hedging()
    for time_s in [9.0] * 500 + [1.0] * 200:
        hedging.took(HERE, time_s)
    assert hedging.late_s(HERE) == 1.0


def test_the_budget_is_a_share_of_the_requests_and_bounded() -> None:
    hedging = Hedging()
    begun = 0
    for _ in range(1000):
        hedging.asked()
        if hedging.can_afford:
            hedging.spend()
            begun += 1
    assert begun == pytest.approx(50, abs=1)
    for _ in range(10_000):
        hedging.asked()
    saved = 0
    while hedging.can_afford:
        hedging.spend()
        saved += 1
    assert saved in (9, 10)


def test_places_are_bounded() -> None:
    hedging = Hedging()
    for number in range(2000):
        for _ in range(20):
            hedging.took(("p", f"m{number}", True), 1.0)
    assert hedging.late_s(("p", "m0", True)) is None
    assert hedging.late_s(("p", "m1999", True)) == 1.0
