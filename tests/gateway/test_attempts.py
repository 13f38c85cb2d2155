"""Retries as stories, without a socket or a clock."""

from __future__ import annotations

from ds2api.accounts import judge
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.settings import Retries
from ds2api.universal.errors import Error, Fault, Kind

LIMITED = Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "slow down", status=429)
BROKEN = Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, "oops", status=500)
WRONG = Error(Fault.REQUEST, Kind.BAD_REQUEST, "no", status=400)


def attempts(targets: int = 1, deadline: float = 100.0, most: int = 3) -> Attempts:
    return Attempts(Retries(max=most), targets, deadline)


def after(story: Attempts, error: Error, target: int = 0, account: str = "a", now: float = 0.0, sent: bool = False):
    return story.after(error, judge(error), target, account, now, content_sent=sent)


def test_clients_own_fault_is_given_up_at_once() -> None:
    assert after(attempts(3), WRONG) == GiveUp(WRONG)


def test_refusing_accounts_cost_no_retry() -> None:
    story = attempts(most=0)
    for number in range(20):
        assert isinstance(after(story, LIMITED, account=f"a{number}"), TryAccount)


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
    assert after(attempts(3), BROKEN, target=0, account="x") == TryAccount((1, 2, 0), frozenset({"x"}))


def test_nothing_is_tried_again_after_content() -> None:
    assert after(attempts(2), BROKEN, sent=True) == GiveUp(BROKEN)


def test_nothing_is_begun_that_cannot_end_in_time() -> None:
    assert after(attempts(deadline=120.0), BROKEN, now=119.5) == GiveUp(BROKEN)
    assert isinstance(after(attempts(deadline=120.0), BROKEN, now=10.0), TryAccount)
