"""The pool as stories under a hand-held clock, and its invariants over random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.accounts import (
    Account,
    AccountLimits,
    Action,
    Announced,
    Ask,
    Candidate,
    Grant,
    Health,
    Lease,
    Policy,
    Pool,
    Refused,
    Scope,
    Ticket,
    Verdict,
)  # fmt: skip
from ds2api.slices import at_once
from ds2api.universal.errors import Kind

MODEL = "m"


def limited(wait_s: float | None = None) -> Verdict:
    return Verdict(Scope.MODEL, Action.COOL, Kind.RATE_LIMITED, "429", wait_s)


DEAD_KEY = Verdict(Scope.ACCOUNT, Action.DOUBT, Kind.UNAUTHENTICATED, "401 invalid_api_key")
OVERLOADED = Verdict(Scope.PROVIDER, Action.REST, Kind.OVERLOADED, "529 overloaded_error")
NO_QUOTA = Verdict(Scope.ACCOUNT, Action.SUSPEND, Kind.QUOTA_EXHAUSTED, "429 insufficient_quota")


def pool_of(*names: str, limits: AccountLimits | None = None, policy: Policy | None = None, **kinds: str) -> Pool:
    return Pool(
        [Account(f"p/{name}", "p", limits or AccountLimits(), tag=f"tag-{name}", **kinds) for name in names], policy
    )


def ask(deadline: float = 10.0, **more: object) -> Ask:
    return Ask([Candidate("p", MODEL)], deadline, **more)  # type: ignore[arg-type]


def leased(answer: object) -> Lease:
    assert isinstance(answer, Lease), answer
    return answer


def test_load_is_spread_over_idle_accounts() -> None:
    pool = pool_of("a", "b", "c")
    taken = [leased(pool.acquire(ask(), 0.0)).account.id for _ in range(6)]
    assert sorted(taken) == ["p/a", "p/a", "p/b", "p/b", "p/c", "p/c"]


def test_rate_limited_account_is_skipped_until_its_time_and_not_longer() -> None:
    pool = pool_of("a", "b")
    first = leased(pool.acquire(ask(), 0.0))
    pool.settle(first, limited(30.0), 0.0)
    assert {leased(pool.acquire(ask(), 1.0)).account.id for _ in range(5)} == {"p/b"}
    assert leased(pool.acquire(ask(), 30.0)).account is first.account


def test_rate_limit_holds_for_its_model_only() -> None:
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), limited(3600.0), 0.0)
    assert isinstance(pool.acquire(Ask([Candidate("p", "other")], 10.0), 1.0), Lease)


def test_new_cool_down_never_shortens_an_old_one() -> None:
    pool = pool_of("a")
    one, two = leased(pool.acquire(ask(), 0.0)), leased(pool.acquire(ask(), 0.0))
    pool.settle(one, limited(100.0), 0.0)
    pool.settle(two, limited(1.0), 0.0)
    refused = pool.acquire(ask(deadline=50.0), 40.0)
    assert refused == Refused(Kind.RATE_LIMITED, 60.0, "429")


def test_wait_of_nothing_is_no_invitation_to_hammer() -> None:
    pool = pool_of("a")
    now, waits = 0.0, []
    for _ in range(5):
        pool.settle(leased(pool.acquire(ask(deadline=now), now)), limited(0.0), now)
        ticket = pool.acquire(ask(deadline=now + 100.0), now)
        assert isinstance(ticket, Ticket)
        pool.cancel(ticket)
        waits.append(ticket.wake_at - now)
        now = ticket.wake_at
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_reset_header_decides_where_the_429_names_no_time() -> None:
    from ds2api.accounts.announced import Dimension

    pool = pool_of("a")
    announced = Announced(None, {"tokens": Dimension(1000, 0, 42.0)})
    pool.settle(leased(pool.acquire(ask(), 0.0)), limited(), 0.0, announced=announced)
    assert pool.acquire(ask(deadline=5.0), 2.0) == Refused(Kind.RATE_LIMITED, 40.0, "429")


def test_accounts_of_one_limit_group_cool_together() -> None:
    pool = Pool([Account("p/a", "p", group="org"), Account("p/b", "p", group="org"), Account("p/c", "p")])
    lease = leased(pool.acquire(ask(), 0.0))
    assert lease.account.id == "p/a"
    pool.settle(lease, limited(60.0), 0.0)
    assert {leased(pool.acquire(ask(), 1.0)).account.id for _ in range(4)} == {"p/c"}


@pytest.mark.parametrize("kind", [Kind.MODEL_NOT_FOUND, Kind.FORBIDDEN])
def test_model_that_an_account_may_not_use_is_no_reason_to_wait(kind: Kind) -> None:
    pool = pool_of("a", policy=Policy(no_model_s=600.0))
    no_access = Verdict(Scope.MODEL, Action.COOL, kind, "404 model_not_found")
    pool.settle(leased(pool.acquire(ask(), 0.0)), no_access, 0.0)
    assert pool.acquire(ask(deadline=10.0), 0.0) == Refused(kind, 600.0, "404 model_not_found")
    assert isinstance(pool.acquire(Ask([Candidate("p", "other")], 10.0), 0.0), Lease)


def test_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    pool = pool_of("a")
    no_model = Verdict(Scope.MODEL, Action.COOL, Kind.MODEL_NOT_FOUND, "404")
    for number in range(5000):
        wanted = Ask([Candidate("p", f"made up {number}")], 10.0)
        pool.settle(leased(pool.acquire(wanted, 0.0)), no_model, 0.0)
    assert len(pool.account("p/a").rests) <= 512
    assert isinstance(pool.acquire(Ask([Candidate("p", "made up 4999")], 10.0), 0.0), Refused), "the latest is known"


def test_dead_key_needs_two_proofs_and_is_never_tried_again() -> None:
    pool = pool_of("a", policy=Policy(refused_key_s=30.0))
    account = pool.account("p/a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), DEAD_KEY, 0.0)
    assert account.health is Health.COOLING
    pool.settle(leased(pool.acquire(ask(deadline=40.0), 30.0)), DEAD_KEY, 30.0)
    assert account.health is Health.DEAD
    assert pool.acquire(ask(deadline=1e9), 1e8) == Refused(Kind.UNAUTHENTICATED, None, "401 invalid_api_key")


def test_success_between_two_refusals_takes_the_first_proof_back() -> None:
    pool = pool_of("a", policy=Policy(refused_key_s=1.0))
    pool.settle(leased(pool.acquire(ask(), 0.0)), DEAD_KEY, 0.0)
    pool.settle(leased(pool.acquire(ask(), 1.0)), None, 1.0)
    pool.settle(leased(pool.acquire(ask(), 2.0)), DEAD_KEY, 2.0)
    assert pool.account("p/a").health is Health.COOLING


def test_spent_quota_suspends_at_once_and_is_probed_after_its_time() -> None:
    pool = pool_of("a", policy=Policy(suspended_s=3600.0))
    pool.settle(leased(pool.acquire(ask(), 0.0)), NO_QUOTA, 0.0)
    assert pool.acquire(ask(), 1.0) == Refused(Kind.QUOTA_EXHAUSTED, 3599.0, "429 insufficient_quota")
    probe = leased(pool.acquire(ask(deadline=3700.0), 3600.0))
    pool.settle(probe, None, 3601.0)
    assert pool.account("p/a").health is Health.READY


def test_overload_blames_no_key() -> None:
    pool = pool_of("a")
    for attempt in range(20):
        answer = pool.acquire(ask(deadline=1e6), attempt * 100.0)
        pool.settle(leased(answer), OVERLOADED, attempt * 100.0)
    assert pool.account("p/a").health is Health.READY
    assert pool.account("p/a").refused == 0


def test_next_target_serves_when_the_first_has_nobody() -> None:
    pool = Pool([Account("p/a", "p"), Account("q/b", "q")])
    wanted = Ask([Candidate("p", "m"), Candidate("q", "n")], 10.0)
    pool.settle(leased(pool.acquire(wanted, 0.0)), limited(60.0), 0.0)
    lease = leased(pool.acquire(wanted, 1.0))
    assert (lease.account.id, lease.target, lease.model) == ("q/b", 1, "n")


def test_request_waits_for_a_short_announced_time_and_is_served_then() -> None:
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), limited(3.5), 0.0)
    ticket = pool.acquire(ask(deadline=10.0), 0.0)
    assert isinstance(ticket, Ticket)
    assert ticket.wake_at == 3.5
    assert pool.next_wake() == 3.5
    assert pool.tick(3.4) == []
    (grant,) = pool.tick(3.5)
    assert grant.ticket is ticket
    assert isinstance(grant.outcome, Lease)


def test_hopeless_request_is_refused_at_once_with_the_true_time() -> None:
    pool = pool_of("a", "b", "c")
    for lease, wait_s in zip([leased(pool.acquire(ask(), 0.0)) for _ in range(3)], (40.0, 12.0, 90.0), strict=True):
        pool.settle(lease, limited(wait_s), 0.0)
    assert pool.acquire(ask(deadline=10.0), 0.0) == Refused(Kind.RATE_LIMITED, 12.0, "429")
    assert pool.waiting == 0


def test_freed_account_goes_to_the_first_in_line_within_the_same_call() -> None:
    pool = pool_of("a", limits=AccountLimits(concurrency=1))
    running = leased(pool.acquire(ask(), 0.0))
    first, second = pool.acquire(ask(), 1.0), pool.acquire(ask(), 2.0)
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    (grant,) = pool.give_back(running, 3.0)
    assert grant.ticket is first
    assert isinstance(pool.acquire(ask(), 3.0), Ticket), "nobody may slip in before the line"


def test_patience_that_ends_in_line_is_an_honest_refusal() -> None:
    pool = pool_of("a", limits=AccountLimits(concurrency=1))
    leased(pool.acquire(ask(), 0.0))
    ticket = pool.acquire(ask(deadline=5.0), 0.0)
    assert isinstance(ticket, Ticket)
    (grant,) = pool.tick(5.0)
    assert grant.ticket is ticket
    assert isinstance(grant.outcome, Refused)
    assert (grant.outcome.kind, grant.outcome.reason) == (Kind.RATE_LIMITED, "busy")
    assert pool.waiting == 0


def test_who_leaves_the_line_is_never_granted() -> None:
    pool = pool_of("a", limits=AccountLimits(concurrency=1))
    running = leased(pool.acquire(ask(), 0.0))
    ticket = pool.acquire(ask(), 0.0)
    assert isinstance(ticket, Ticket)
    pool.cancel(ticket)
    pool.cancel(ticket)
    assert pool.give_back(running, 1.0) == []
    assert pool.in_flight == 0


def test_conversation_stays_with_its_account_and_moves_once() -> None:
    pool = pool_of("a", "b", "c", "d", "e")
    turns = []
    for turn in range(10):
        lease = leased(pool.acquire(ask(deadline=1e6, affinity="talk", caller="alice"), turn * 10.0))
        turns.append(lease.account.id)
        pool.settle(lease, limited(1e6) if turn == 4 else None, turn * 10.0)
    assert len(set(turns[:5])) == 1
    assert len(set(turns[5:])) == 1
    assert turns[0] != turns[5]


def test_many_conversations_spread() -> None:
    pool = pool_of("a", "b", "c", "d", "e")
    homes = {leased(pool.acquire(ask(affinity=f"talk {n}"), 0.0)).account.id for n in range(20)}
    assert len(homes) == 5


def test_pinned_account_wins_over_load() -> None:
    pool = pool_of("a", "b", "c")
    for _ in range(9):
        leased(pool.acquire(ask(), 0.0))
    for _ in range(5):
        assert leased(pool.acquire(ask(pins=("tag-b",)), 0.0)).account.id == "p/b"


def test_avoided_account_serves_only_when_nobody_else_can() -> None:
    pool = pool_of("a", "b")
    assert leased(pool.acquire(ask(avoid=frozenset({"p/a"})), 0.0)).account.id == "p/b"
    assert isinstance(pool.acquire(ask(avoid=frozenset({"p/a", "p/b"})), 0.0), Lease)


def test_requests_a_minute_are_spread_over_the_minute() -> None:
    pool = pool_of("a", limits=AccountLimits(rpm=60))
    served, now = 0, 0.0
    while now < 120.0:
        answer = pool.acquire(ask(deadline=now + 100.0), now)
        if isinstance(answer, Lease):
            served += 1
            pool.settle(answer, None, now)
        else:
            assert isinstance(answer, Ticket)
            pool.cancel(answer)
            now = answer.wake_at
    assert 120 <= served <= 126, "the rate, plus a few seconds' burst"


def test_a_lease_ends_once() -> None:
    pool = pool_of("a")
    lease = leased(pool.acquire(ask(), 0.0))
    pool.settle(lease, None, 1.0)
    assert pool.give_back(lease, 1.0) == []
    with pytest.raises(ValueError, match="ended already"):
        pool.settle(lease, None, 1.0)
    assert pool.in_flight == 0


def test_new_configuration_keeps_health_and_gives_a_changed_key_a_new_chance() -> None:
    pool = pool_of("a", "b")
    for name in ("a", "b"):
        account = pool.account(f"p/{name}")
        account.fail(MODEL, NO_QUOTA, Policy(), 0.0)
    running = Account("p/a", "p", tag="tag-a"), Account("p/b", "p", tag="another key"), Account("p/c", "p")
    pool.replace(running, Policy(), 1.0)
    assert [one.health for one in at_once(pool.view(1.0)).accounts] == [Health.SUSPENDED, Health.READY, Health.READY]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "serve", "limit", "dead", "overload", "quota", "give_back", "cancel", "tick"]),
        st.integers(0, 7),
        st.floats(0.0, 20.0),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.sampled_from([None, 1, 2]))
def test_leases_equal_running_attempts_whatever_happens(
    steps: list[tuple[str, int, float]], accounts: int, concurrency: int | None
) -> None:
    """Over any history: a lease is counted once, no account has more than its concurrency, no dead one serves,
    the line holds nobody who could be served."""
    pool = pool_of(*"abcd"[:accounts], limits=AccountLimits(concurrency=concurrency))
    running: list[Lease] = []
    waiting: list[Ticket] = []
    now = 0.0

    def take(grants: list[Grant]) -> None:
        for grant in grants:
            waiting.remove(grant.ticket)
            if isinstance(grant.outcome, Lease):
                running.append(grant.outcome)

    verdicts = {"serve": None, "limit": limited(7.0), "dead": DEAD_KEY, "overload": OVERLOADED, "quota": NO_QUOTA}
    for step, pick, seconds in steps:
        now += seconds
        if step == "ask":
            answer = pool.acquire(ask(deadline=now + 10.0), now)
            if isinstance(answer, Lease):
                assert answer.account.health is not Health.DEAD
                running.append(answer)
            elif isinstance(answer, Ticket):
                waiting.append(answer)
        elif step in verdicts and running:
            take(pool.settle(running.pop(pick % len(running)), verdicts[step], now))
        elif step == "give_back" and running:
            take(pool.give_back(running.pop(pick % len(running)), now))
        elif step == "cancel" and waiting:
            pool.cancel(waiting.pop(pick % len(waiting)))
        elif step == "tick":
            take(pool.tick(now))
        assert pool.in_flight == len(running)
        assert pool.waiting == len(waiting)
        for lease in running:
            assert concurrency is None or lease.account.in_flight <= concurrency
    for lease in list(running):
        running.remove(lease)
        take(pool.give_back(lease, now))
    for lease in running:
        pool.give_back(lease, now)
    assert pool.in_flight == 0
