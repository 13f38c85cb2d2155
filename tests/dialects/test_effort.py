"""Effort words and budgets: near each other, and never beyond what a model takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.dialects.effort import LOWEST_BUDGET_TOKENS, budget_of, effort_of, nearest
from ds2api.universal.request import EFFORTS, Effort


@given(st.sampled_from(EFFORTS), st.integers(1, 200_000))
def test_budget_is_legal_or_none_at_all(effort: Effort, limit: int) -> None:
    budget = budget_of(effort, limit)
    assert budget == 0 or LOWEST_BUDGET_TOKENS <= budget < limit
    if effort == "none":
        assert budget == 0


@given(st.integers(2000, 200_000))
def test_more_effort_is_never_less_budget(limit: int) -> None:
    budgets = [budget_of(effort, limit) for effort in EFFORTS]
    assert budgets == sorted(budgets)


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh"])
def test_word_survives_the_trip_through_a_budget(effort: Effort) -> None:
    assert effort_of(budget_of(effort, 100_000), 100_000) == effort


@pytest.mark.parametrize(("budget", "word"), [(0, "none"), (1024, "low"), (16_000, "medium"), (31_999, "xhigh")])
def test_budget_without_a_limit_is_judged_by_its_size(budget: int, word: str) -> None:
    assert effort_of(budget, None) == word


@pytest.mark.parametrize(
    ("effort", "accepted", "sent"),
    [
        ("high", ("low", "high"), "high"), ("max", ("low", "medium", "high"), "high"), ("medium", ("low", "high"), "low"),
        ("minimal", ("none", "low"), "low"), ("none", ("minimal", "low"), "minimal"), ("low", ("none",), None), ("low", (), None),
    ],
)  # fmt: skip
def test_nearest_word_is_sent(effort: Effort, accepted: tuple[Effort, ...], sent: Effort | None) -> None:
    assert nearest(effort, accepted) == sent
