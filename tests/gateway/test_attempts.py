"""Retries as stories, without a socket or a clock."""

from __future__ import annotations

import pytest

from ds2api.accounts import judge
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.settings import Retries
from ds2api.universal.errors import Error, Fault, Kind

LIMITED = Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "slow down", status=429)
BROKEN = Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, "oops", status=500)
WRONG = Error(Fault.REQUEST, Kind.BAD_REQUEST, "no", status=400)


def attempts(*providers: str, deadline: float = 100.0, most: int = 3, chance: float = 1.0) -> Attempts:
    return Attempts(Retries(max=most), providers or ("p",), deadline, lambda: chance)


def after(
    story: Attempts, error: Error, target: int = 0, account: str = "a", now: float = 0.0, *,
    patience_s: float = 10.0, sent: bool = False,
) -> TryAccount | GiveUp:  # fmt: skip
    return story.after(error, judge(error), target, account, now, patience_s=patience_s, content_sent=sent)


def pause(step: TryAccount | GiveUp, now: float = 0.0) -> float:
    assert isinstance(step, TryAccount)
    return step.not_before - now


def test_clients_own_fault_is_given_up_at_once() -> None:
    assert after(attempts("p", "q", "r"), WRONG) == GiveUp(WRONG)


def test_refusing_accounts_cost_no_retry_and_no_time() -> None:
    story = attempts(most=0)
    for number in range(20):
        step = after(story, LIMITED, account=f"a{number}", now=5.0)
        assert isinstance(step, TryAccount)
        assert (step.not_before, step.retries) == (0.0, frozenset())


def test_the_same_account_refusing_again_and_again_ends() -> None:
    story = attempts(most=2)
    steps = [after(story, LIMITED, account="a") for _ in range(4)]
    assert [isinstance(step, TryAccount) for step in steps] == [True, True, True, False]


def test_provider_faults_are_tried_again_as_often_as_allowed() -> None:
    story = attempts(most=2)
    assert isinstance(after(story, BROKEN, account="a"), TryAccount)
    assert isinstance(after(story, BROKEN, account="b"), TryAccount)
    assert after(story, BROKEN, account="c") == GiveUp(BROKEN)


def test_after_a_provider_fault_the_next_target_is_first_and_the_account_last() -> None:
    step = after(attempts("p", "q", "r"), BROKEN, target=0, account="x", now=3.0)
    assert step == TryAccount((1, 2, 0), frozenset({"x"}), frozenset({"p"}), 3.5)


def test_the_pause_doubles_and_half_of_it_is_chance() -> None:
    for chance, first_s in ((0.0, 0.25), (1.0, 0.5)):
        story = attempts("p", "q", chance=chance)
        for number, target in enumerate((0, 1, 0)):
            assert pause(after(story, BROKEN, target, f"a{number}", 7.0), 7.0) == first_s * 2**number


@pytest.mark.parametrize(
    ("announced_s", "patience_s", "pause_s"),
    [
        (3.0, 10.0, 3.0),  # what the provider says
        (30.0, 10.0, 0.5),  # beyond the patience: of no use
        (0.0, 10.0, 0.5),  # a wait of nothing is no invitation to hammer
        (None, 0.1, 0.0),  # who cannot wait is tried at once, out of the provider's budget
    ],
)
def test_an_announced_pause_wins_within_the_patience(
    announced_s: float | None, patience_s: float, pause_s: float
) -> None:
    step = after(attempts(), BROKEN.with_(retry_after_s=announced_s), patience_s=patience_s)
    assert pause(step) == pause_s


def test_a_provider_that_failed_stays_marked_when_an_account_fails_next() -> None:
    story = attempts("p", "q")
    after(story, BROKEN, target=0, account="p/a")
    step = after(story, LIMITED, target=1, account="q/a")
    assert step == TryAccount((1, 0), frozenset({"p/a", "q/a"}), frozenset({"p"}), 0.0)


def test_nothing_is_tried_again_after_content() -> None:
    assert after(attempts("p", "q"), BROKEN, sent=True) == GiveUp(BROKEN)


def test_r121_nothing_is_begun_that_cannot_end_in_time() -> None:
    assert after(attempts(deadline=120.0), BROKEN, now=119.5) == GiveUp(BROKEN)
    assert isinstance(after(attempts(deadline=120.0), BROKEN, now=10.0), TryAccount)
