"""The pool as a state machine under any order of events: what must hold, holds after each of them.

Asks of several callers with and without conversations, heads, answers, every kind of verdict, clients that leave, time,
the operator's deeds, new configurations, a restart. Held: a lease is counted once and ends once; no account has more
running than it may, no dead one serves, no limit group begins more than its limit allows; nobody waits beyond the
patience, a caller's plain requests are served in their order, and in the end everybody is served or told.
"""

from __future__ import annotations

import json
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
)
from ds2api.accounts.announced import Dimension
from ds2api.slices import at_once
from ds2api.universal.errors import Kind
from ds2api.universal.usage import Usage

RPM = 30.0
POLICY = Policy(suspended_s=60.0, no_model_s=20.0)
VERDICTS = {
    "limited, with a time": Verdict(Scope.MODEL, Action.COOL, Kind.RATE_LIMITED, "429", 3.0),
    "limited": Verdict(Scope.MODEL, Action.COOL, Kind.RATE_LIMITED, "429"),
    "key refused": Verdict(Scope.ACCOUNT, Action.DOUBT, Kind.UNAUTHENTICATED, "401"),
    "quota": Verdict(Scope.ACCOUNT, Action.SUSPEND, Kind.QUOTA_EXHAUSTED, "429"),
    "no model": Verdict(Scope.MODEL, Action.COOL, Kind.MODEL_NOT_FOUND, "404"),
    "overloaded": Verdict(Scope.PROVIDER, Action.REST, Kind.OVERLOADED, "529"),
    "unreachable": Verdict(Scope.PROVIDER, Action.REST, Kind.UNREACHABLE, "unreachable"),
    "the request's fault": Verdict(Scope.REQUEST, Action.NONE, Kind.BAD_REQUEST, "400"),
}
TARGETS = (
    (Candidate("p", "m"),),
    (Candidate("p", "n"),),
    (Candidate("p", "m"), Candidate("q", "m")),
    (Candidate("p", "m", frozenset({"eu"})),),
)


def accounts(more: int = 0, key: str = "1") -> list[Account]:
    one = AccountLimits(rpm=RPM)
    return [
        Account("p/a", "p", AccountLimits(rpm=RPM, concurrency=2), tag=f"a{key}", tags=frozenset({"eu"})),
        Account("p/b", "p", one, group="g", tag="b"),
        Account("p/c", "p", one, group="g", tag="c", tags=frozenset({"eu"})),
        Account("p/d", "p", AccountLimits(concurrency=1), tag="d", priority=1),
        Account("q/e", "q", AccountLimits(tpm=60_000.0), tag="e"),
        *(Account(f"p/more-{number}", "p", one, tag=f"more-{number}") for number in range(more)),
    ]


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pool = Pool(accounts(), POLICY, random=Random(1))
        self.running: list[Lease] = []
        self.waiting: list[Ticket] = []
        self.starts: dict[tuple[str, str], list[float]] = {}

    def begun(self, lease: Lease) -> None:
        assert lease.account.health is not Health.DEAD
        assert lease.account.health is not Health.DRAINING
        self.running.append(lease)
        if lease.account.id in ("p/a", "p/b", "p/c"):
            starts = self.starts.setdefault((lease.account.group, lease.model), [])
            starts.append(self.now)
            # Ten seconds' worth, the burst of five, and the one that always fits.
            late = [at for at in starts if at > self.now - 10.0]
            assert len(late) <= RPM / 60 * (10.0 + 5.0) + 1

    def take(self, grants: list[Grant]) -> None:
        for grant in grants:
            self.waiting.remove(grant.ticket)
            if isinstance(grant.outcome, Lease):
                self.begun(grant.outcome)
                mine = grant.ticket.ask
                if mine.affinity is None and not mine.avoid and not mine.retries:
                    for other in self.waiting:
                        theirs = other.ask
                        is_alike = (theirs.caller, theirs.affinity, theirs.avoid, theirs.retries) == (
                            mine.caller, None, frozenset(), frozenset(),
                        )  # fmt: skip
                        if is_alike and theirs.targets == mine.targets:
                            assert other.since >= grant.ticket.since, "in the order in which they came"

    @initialize()
    def begin(self) -> None:
        assert (self.pool.in_flight, self.pool.waiting) == (0, 0)

    @rule(
        places=st.sampled_from(TARGETS),
        caller=st.sampled_from(["alice", "bob"]),
        conversation=st.sampled_from([None, None, "x", "y"]),
        patience_s=st.sampled_from([0.0, 1.0, 10.0]),
        tokens=st.sampled_from([10, 5000]),
        avoid=st.sampled_from([frozenset[str](), frozenset({"p/a"})]),
        is_retry=st.booleans(),
        pinned=st.sampled_from([(), (), ("b",), ("gone",)]),
        is_bound=st.booleans(),
    )
    def ask(
        self, places: tuple[Candidate, ...], caller: str, conversation: str | None, patience_s: float, tokens: int,
        avoid: frozenset[str], is_retry: bool, pinned: tuple[str, ...], is_bound: bool,
    ) -> None:  # fmt: skip
        ask = Ask(
            places, self.now + patience_s, caller, 2.0 if caller == "bob" else 1.0, conversation, pinned, is_bound,
            tokens, 100, avoid, frozenset({"p"}) if is_retry else frozenset(), self.now + 0.5 if is_retry else 0.0,
        )  # fmt: skip
        answer = self.pool.acquire(ask, self.now)
        if isinstance(answer, Lease):
            self.begun(answer)
        elif isinstance(answer, Ticket):
            self.waiting.append(answer)
        else:
            assert answer.retry_after_s is None or answer.retry_after_s >= 0

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 50), remaining=st.sampled_from([None, 0.0, 10.0]))
    def hear(self, pick: int, remaining: float | None) -> None:
        lease = self.running[pick % len(self.running)]
        told = {} if remaining is None else {"requests": Dimension(60.0, remaining, 5.0)}
        self.take(self.pool.hear(lease, self.now, Announced(None, told)))

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 50), usage=st.sampled_from([None, Usage(input_uncached=900, output_text=50)]))
    def serve(self, pick: int, usage: Usage | None) -> None:
        self.take(self.pool.settle(self.running.pop(pick % len(self.running)), None, self.now, usage=usage))

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 50), verdict=st.sampled_from(sorted(VERDICTS)))
    def fail(self, pick: int, verdict: str) -> None:
        self.take(self.pool.settle(self.running.pop(pick % len(self.running)), VERDICTS[verdict], self.now))

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 50))
    def give_back(self, pick: int) -> None:
        lease = self.running.pop(pick % len(self.running))
        self.take(self.pool.give_back(lease, self.now))
        assert self.pool.give_back(lease, self.now) == []

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 50))
    def leave(self, pick: int) -> None:
        ticket = self.waiting.pop(pick % len(self.waiting))
        self.pool.cancel(ticket)
        self.pool.cancel(ticket)

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        """With a tick at each time that the pool wants one, as the gateway's timer does."""
        until = self.now + seconds
        for _ in range(10_000):
            wake_at = self.pool.next_wake()
            if wake_at is None or wake_at > until:
                break
            self.now = max(self.now, wake_at)
            self.take(self.pool.tick(self.now))
        else:
            raise AssertionError("the pool wants to be woken without end")
        self.now = until

    @rule(account=st.sampled_from(["p/a", "p/b", "q/e"]), deed=st.sampled_from(["drain", "rest", "revive"]))
    def operate(self, account: str, deed: str) -> None:
        match deed:
            case "drain":
                self.take(self.pool.drain(account, self.now))
            case "rest":
                self.take(self.pool.rest(account, 5.0, self.now))
            case _:
                self.take(self.pool.revive(account, self.now))
                self.starts.clear()  # the operator says that what was counted is void

    @rule(more=st.integers(0, 2), key=st.sampled_from(["1", "2"]))
    def configure(self, more: int, key: str) -> None:
        self.take(self.pool.replace(accounts(more, key), POLICY, self.now))

    @precondition(lambda self: not self.running and not self.waiting)
    @rule()
    def restart(self) -> None:
        saved = json.loads(json.dumps(at_once(self.pool.snapshot(self.now))))
        health = {account.id: account.health for account in self.pool.accounts}
        self.pool = Pool(accounts(), POLICY, random=Random(1), began_at=self.now)
        assert self.pool.restore(saved, self.now) == []
        for account in self.pool.accounts:
            if account.id != "p/a":  # whose key may have been another
                assert account.health is health[account.id]

    @invariant()
    def everything_is_counted_once(self) -> None:
        pool = self.pool
        assert pool.in_flight == len(self.running)
        assert pool.waiting == len(self.waiting)
        by_account: dict[str, int] = {}
        for lease in self.running:
            by_account[lease.account.id] = by_account.get(lease.account.id, 0) + 1
        for account in pool.accounts:
            assert account.in_flight == by_account.get(account.id, 0)
            assert account.limits.concurrency is None or account.in_flight <= account.limits.concurrency
        for account in pool.accounts:
            for bench in account.benches:
                assert bench.in_flight == sum(one.in_flight for one in bench.accounts.values())
        view = at_once(pool.view(self.now))
        assert all(0.0 <= quota.headroom <= 1.0 for account in view.accounts for quota in account.quotas)
        assert sum(line.waiting for line in view.lines) >= 0

    def teardown(self) -> None:
        """Everybody who waits is served or told, and nothing is left."""
        for _ in range(200):
            if not self.waiting and not self.running:
                break
            while self.running:
                self.take(self.pool.settle(self.running.pop(), None, self.now))
            self.pass_time(1.0)
        assert (self.pool.in_flight, self.pool.waiting) == (0, 0)
        assert (self.running, self.waiting) == ([], [])
        assert self.pool.next_wake() is None


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_refusal_is_an_answer() -> None:
    """Nobody is there: told at once, with a reason."""
    answer = Pool([]).acquire(Ask([Candidate("p", "m")], 10.0), 0.0)
    assert answer == Refused(Kind.UPSTREAM_FAILED, None, "no account is configured for this model")
