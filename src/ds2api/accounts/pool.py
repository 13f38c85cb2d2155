"""The pool: asks in, leases, tickets and refusals out.

`acquire` decides and returns; whoever asked does the waiting. Where nobody can serve at once, the request stands in the
fair line of each of its targets until a bucket, an end or a return lets it go: no request waits at a spent account
while another is free. What is given back goes to the first in line within the same call (`settle`, `give_back`), so
there is no window in which an account looks free and is not (the classic gap of connection pools, `style.md` §5).

A request that would wait longer than its caller's patience is refused at once, with the time that it would take.

Cost: O(log accounts) an ask, a word and an end (`bench --pool --cost`): no list of accounts is walked. The rooms
behind: `directory` (who is there, what is known of each), `choosing` (whom an ask goes to), `waiting` (who stands in
line), `shelf` (who has most), `quota` (what a limit group may take), `circuit` (whether a provider works).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from ds2api.accounts.account import Account, Health
from ds2api.accounts.announced import Announced
from ds2api.accounts.ask import Ask, Lease, Refused
from ds2api.accounts.choosing import NEVER, Chooser, Outlook, Pick
from ds2api.accounts.costs import Cost
from ds2api.accounts.directory import Directory
from ds2api.accounts.homes import Homes
from ds2api.accounts.lane import Lane
from ds2api.accounts.line import Ticket
from ds2api.accounts.memory import restore, save
from ds2api.accounts.policy import Policy
from ds2api.accounts.quota import Quota
from ds2api.accounts.verdicts import Action, Scope, Verdict
from ds2api.accounts.view import AccountView, Choice, Explanation, PoolView, account_view, make_view, why_not
from ds2api.accounts.waiting import Grant, Waiting
from ds2api.slices import Slices
from ds2api.universal.errors import Kind
from ds2api.universal.usage import Usage

__all__ = ["Grant", "Pool"]

# Choices that are kept for people to look at.
_RECENT = 100
# Whoever is refused because of the line is told up to so much more than the truth, so that not all come back at once.
_JITTER = 0.05
# How much of its caller's patience a wait in line may be thought to take: the thought is right within some percent,
# and to be refused after the wait is worse than before it.
_PATIENCE_SHARE = 0.95


class Pool:
    """All accounts. Every method takes `now`, a clock that never goes back. `random` is for jitter; `wall_s` is the
    wall clock minus the pool's, for what ends at midnight. Raises `ValueError` for two accounts of one id."""

    def __init__(
        self,
        accounts: Iterable[Account],
        policy: Policy | None = None,
        *,
        random: Random | None = None,
        wall_s: float = 0.0,
        began_at: float = 0.0,
    ) -> None:
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._wall_s = wall_s
        self._directory = Directory(policy or Policy(), began_at)
        self._homes = Homes()
        self._chooser = Chooser(self._directory, self._homes, wall_s)
        self._waiting = Waiting(self._directory, self._chooser, self._begin, self._refusal)
        self._in_flight = 0
        self._recent: deque[tuple[float, Ask, Lease | Refused | Ticket]] = deque(maxlen=_RECENT)
        for account in accounts:
            self._directory.add(account)

    # What an exchange asks and tells.

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused:
        """An account for `ask`, a place in the line, or a refusal. Never waits."""
        answer: Lease | Ticket | Refused | None
        found = self._chooser.first(ask, now)
        if found is not None:
            answer = self._begin(ask, *found, now)
        else:
            ticket = Ticket(ask, ask.deadline, now)
            answer = self._refused(ticket, now)
            if answer is None:
                self._waiting.add(ticket, now)
                answer = ticket
        self._recent.append((now, ask, answer))
        return answer

    def hear(self, lease: Lease, now: float, announced: Announced | None = None) -> list[Grant]:
        """The provider has accepted the attempt: the head of its answer is here. Returns who in the line is served by
        what that tells. May be left out; then `settle` says the same, late."""
        if announced is not None and (announced.dimensions or announced.organisation):
            self._read(lease, announced, now, is_accepted=True)
        self._accept(lease, now)
        if self._waiting.tickets or (lease.quota is not None and lease.quota.buckets):
            return self._changed(lease, now)
        return []

    def settle(
        self,
        lease: Lease,
        verdict: Verdict | None,
        now: float,
        *,
        usage: Usage | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:
        """The attempt is over: `verdict` None means that it was served. Raises `ValueError` for a lease that is over.

        Returns who in the line is served by what became free.
        """
        if lease.over:
            raise ValueError("this lease has ended already")
        lane, quota = lease.lane, lease.quota
        assert lane is not None and quota is not None, "a lease of this pool"
        if announced is not None and not lease.is_accepted:
            self._read(lease, announced, now, is_accepted=verdict is None)
        if verdict is None:
            self._accept(lease, now)
            lease.account.succeed(lease.model, lease.begun_at)
            if usage is not None:
                if quota.buckets:
                    quota.settle(lease.cost, _used(lease.cost, usage))
                lane.service.estimates.learn(lease.input_tokens, lease.cached, usage)
                self._homes.learn(lease, usage)
        else:
            self._failed(lease, verdict, announced, now)
        self._end(lease)
        return self._changed(lease, now)

    def give_back(self, lease: Lease, now: float) -> list[Grant]:
        """The attempt ended without a word about the account (the client left, the request was refused).
        Synchronous, so that no cancellation can stop it. Twice is harmless."""
        if lease.over:
            return []
        _, quota = _parts(lease)
        quota.leave(lease.begun_at)
        self._end(lease)
        return self._changed(lease, now)

    def cancel(self, ticket: Ticket) -> None:
        """Leave the line. Twice, or after the grant, is harmless."""
        if not ticket.is_over:
            self._waiting.leave(ticket)

    def tick(self, now: float) -> list[Grant]:
        """Time has passed: who can be served, and whose patience is over."""
        return self._waiting.tick(now)

    def next_wake(self) -> float | None:
        """The clock at which `tick` has something to do by time alone; None if nobody waits."""
        return self._waiting.next_wake()

    # What the operator does.

    def replace(self, accounts: Iterable[Account], policy: Policy, now: float) -> list[Grant]:
        """A new configuration: accounts that stay keep their health and what they have running, new ones come,
        the others serve no more (their leases end as ever). A changed key (`tag`) is a new chance. Whoever waits keeps
        the place in the line, and is told if nobody can serve any more."""
        tickets = self._waiting.take_all()
        self._directory.replace(accounts, policy)
        grants: list[Grant] = []
        for ticket in tickets:
            found = self._chooser.first(ticket.ask, now)
            outcome = self._refused(ticket, now) if found is None else self._begin(ticket.ask, *found, now)
            if outcome is None:
                self._waiting.add(ticket, now)
            else:
                ticket.is_over = True
                grants.append(Grant(ticket, outcome))
        return grants

    def account(self, account_id: str) -> Account:
        """Raises `KeyError` for an unknown id."""
        return self._directory.accounts[account_id]

    def drain(self, account_id: str, now: float) -> list[Grant]:
        """Take it out; what runs finishes. Raises `KeyError`."""
        account = self._directory.accounts[account_id]
        account.drain(now)
        return self._look_at(account, now)

    def rest(self, account_id: str, seconds: float, now: float) -> list[Grant]:
        """Nothing for it for so long. Raises `KeyError`."""
        account = self._directory.accounts[account_id]
        account.rest(now + seconds, now)
        return self._look_at(account, now)

    def revive(self, account_id: str, now: float) -> list[Grant]:
        """It is good again, whatever was held against it. Raises `KeyError`."""
        account = self._directory.accounts[account_id]
        account.revive()
        for quota in self._directory.quotas_of(account):
            quota.revive()
            _put(quota)
        return self._look_at(account, now)

    # What people and other rooms look at.

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._waiting.tickets)

    @property
    def in_flight(self) -> int:
        """How many leases are out."""
        return self._in_flight

    @property
    def accounts(self) -> Iterable[Account]:
        """In the order of the configuration."""
        return self._directory.accounts.values()

    @property
    def recent(self) -> list[Choice]:
        """The last choices, the newest last."""
        return [_choice(*one) for one in self._recent]

    def view(self, now: float) -> Slices[PoolView]:
        """All of it, for people."""
        return make_view(
            now,
            self._directory.accounts.values(),
            self._directory.quotas,
            self._directory.services.values(),
            self._directory.lanes.values(),
            self.recent,
            self._wall_s,
        )

    def account_view(self, account_id: str, now: float) -> AccountView:
        """One account, for people. Raises `KeyError`."""
        account = self._directory.accounts[account_id]
        return account_view(account, self._directory.quotas_of(account), now, self._wall_s)

    def explain(self, ask: Ask, now: float) -> Explanation:
        """Whom `acquire` would choose for `ask` now, and why each of the others would not be. Changes nothing that
        anybody else would notice; walks all accounts of the targets."""
        chooser, lanes = self._chooser, self._directory.lanes_of(ask)
        first = chooser.first(ask, now)
        found = None if first is None else first[2]
        outlook = chooser.outlook(ask, now)
        reason = outlook.cause.reason if outlook.cause is not None else "all are spent or busy"
        others: list[tuple[str, str]] = []
        for _, lane in lanes:
            cost, _ = chooser.cost(lane, ask)
            closed_s = lane.service.free_at() - now
            for account_id in lane.roster.bench_of:
                account = self._directory.accounts[account_id]
                if found is None or account is not found.account:
                    quota = self.quota(account, lane.service.model)
                    why = why_not(account, quota, cost, closed_s, now, self._wall_s)
                    if not why and found is not None:
                        is_tier = account.priority > found.account.priority
                        why = f"is of priority {account.priority}" if is_tier else "has less headroom"
                    others.append((account.id, why or "others stand in line before"))
        return Explanation(None if found is None else found.account.id, reason if found is None else found.why, others)

    def snapshot(self, now: float) -> Slices[dict[str, Any]]:
        """What a process after this one should know, as plain JSON values: who is out and till when, which limits were
        learned and how full they are, which keys are of one organisation. No key, no name of a caller."""
        return save(self._directory.accounts.values(), self._directory.quotas, now, self._wall_s)

    def restore(self, saved: dict[str, Any], now: float) -> list[str]:
        """Go on where `snapshot` left off. Returns what was left out, in sentences; never raises for what a file may
        hold. Before anything is asked."""
        problems = restore(saved, self._directory.accounts, self.quota, now, self._wall_s)
        self._directory.clear()
        return problems

    def quota(self, account: Account, model: str) -> Quota:
        """What the limit group of `account` may take of `model`."""
        return self._directory.quota(account, model)

    # How an attempt begins and ends.

    def _begin(self, ask: Ask, target: int, lane: Lane, pick: Pick, now: float, is_turn: bool = False) -> Lease:
        service, account, quota = lane.service, pick.account, pick.offer.quota
        if lane.line.count:
            lane.line.charge(ask.caller, ask.weight, lane.seconds(pick.cost) or 1.0, is_turn=is_turn)
        mark = quota.begin(pick.cost, now, self._wall_s)
        own, provider = service.circuit, service.provider
        lease = Lease(
            account, target, service.model, pick.cost, now, pick.why, False, lane, quota, mark,
            own.round if own.is_quiet else own.begin(now),
            provider.circuit.round if provider.circuit.is_quiet else provider.circuit.begin(now),
            ask.input_tokens, pick.cached, is_probe=account.health is not Health.READY, running=quota.in_flight,
        )  # fmt: skip
        self._in_flight += 1
        account.in_flight += 1
        account.is_probing = account.is_probing or lease.is_probe
        for bench in account.benches:
            bench.took(account)
            if account.is_full:
                bench.tier.look_at(account)
        if provider.name in ask.retries:
            provider.budget.withdraw()
        else:
            provider.budget.deposit()
        for offer in quota.offers:
            offer.shelf.put(offer)
        self._homes.begin(ask, lease, provider.name)
        return lease

    def _end(self, lease: Lease) -> None:
        lane, quota, account = lease.lane, lease.quota, lease.account
        assert lane is not None and quota is not None, "a lease of this pool"
        lease.over = True
        quota.in_flight -= 1
        self._in_flight -= 1
        was_full = account.is_full
        account.in_flight -= 1
        if lease.is_probe:
            account.is_probing = False
        if not lease.is_heard and not lane.service.is_quiet:
            lane.service.circuit.end(lease.round)
            lane.service.provider.circuit.end(lease.provider_round)
        for bench in account.benches:
            bench.in_flight -= 1
            if was_full or lease.is_probe:
                bench.tier.look_at(account)

    def _accept(self, lease: Lease, now: float) -> None:
        if not lease.is_accepted:
            lease.is_accepted = True
            lane, quota = _parts(lease)
            quota.accept(lease.running, lease.begun_at)
            lane.service.chance.accept(now)
            self._hear_from(lease, now)

    def _hear_from(self, lease: Lease, now: float) -> None:
        """The provider has answered, whatever it has said."""
        if not lease.is_heard:
            lease.is_heard = True
            assert lease.lane is not None, "a lease of this pool"
            service = lease.lane.service
            if not service.is_quiet:
                service.circuit.accept(lease.round, now)
                service.provider.circuit.accept(lease.provider_round, now)

    def _failed(self, lease: Lease, verdict: Verdict, announced: Announced | None, now: float) -> None:
        lane, quota = _parts(lease)
        account, service = lease.account, lane.service
        if verdict.wait_s is None and announced is not None and verdict.action is Action.COOL:
            wait_s = announced.retry_after_s
            verdict = replace(verdict, wait_s=announced.exhausted_s if wait_s is None else wait_s)
        policy = self._directory.policy
        account.fail(lease.model, verdict, policy, now)
        if verdict.scope is not Scope.PROVIDER:
            self._hear_from(lease, now)
        elif not lease.is_heard:
            lease.is_heard = True
            unreachable = verdict.kind is Kind.UNREACHABLE
            failed, other = service.circuit, service.provider.circuit
            rounds = lease.round, lease.provider_round
            if unreachable:
                failed, other, rounds = other, failed, rounds[::-1]
            failed.fail(rounds[0], policy, verdict, now, self._random)
            other.end(rounds[1])
        if verdict.kind is Kind.RATE_LIMITED and verdict.scope is not Scope.PROVIDER:
            quota.refuse(lease.cost, lease.begun_at, lease.running, verdict, announced, policy, service.chance, now)
        else:
            quota.leave(lease.begun_at)
            if verdict.kind is Kind.UNREACHABLE:  # nothing was sent
                quota.give_back(lease.cost)
        for bench in account.benches:
            bench.tier.look_at(account)

    def _read(self, lease: Lease, announced: Announced, now: float, *, is_accepted: bool) -> None:
        """What headers say: whose key it is, what its limits are."""
        if announced.organisation:
            self._directory.join(lease.account, announced.organisation)
        _, quota = _parts(lease)
        quota.hear(announced, lease.begun_at, now, lease.cost, lease.mark, is_accepted=is_accepted)

    # Who is refused, and who is served.

    def _refused(self, ticket: Ticket, now: float) -> Refused | None:
        """Whether nobody can serve within its caller's patience; then the reason and the true time."""
        ask = ticket.ask
        if ask.spare_only:
            return Refused(Kind.RATE_LIMITED, None, "no account has room to spare")
        outlook = self._chooser.outlook(ask, now)
        patience_s = (ask.deadline - now) * (_PATIENCE_SHARE if outlook.line_s else 1.0)
        if len(self._waiting.tickets) >= self._directory.policy.line_most:
            return Refused(Kind.RATE_LIMITED, max(1.0, outlook.wait_s(now) or 0.0), "the line is full")
        if patience_s > 0 and (outlook.is_by_end or (outlook.wait_s(now) or NEVER) <= patience_s or outlook.at <= now):
            ticket.wake_at = min(outlook.at, ask.deadline)
            return None
        return self._refusal(outlook, now)

    def _refusal(self, outlook: Outlook, now: float) -> Refused:
        if outlook.is_empty:
            return Refused(Kind.UPSTREAM_FAILED, None, "no account is configured for this model")
        wait_s = outlook.wait_s(now)
        if wait_s is not None and outlook.line_s:
            wait_s *= 1 + _JITTER * self._random.random()
        if outlook.cause is None:
            return Refused(Kind.RATE_LIMITED, wait_s, "busy" if outlook.is_by_end else "limit reached")
        return Refused(outlook.cause.kind, wait_s, outlook.cause.reason)

    def _changed(self, lease: Lease, now: float) -> list[Grant]:
        """Something about the account of `lease` has changed."""
        assert lease.quota is not None, "a lease of this pool"
        for offer in lease.quota.offers:
            offer.shelf.put(offer)
        return self._waiting.changed(lease.account, now) if self._waiting.tickets else []

    def _look_at(self, account: Account, now: float) -> list[Grant]:
        for bench in account.benches:
            bench.tier.look_at(account)
        return self._waiting.changed(account, now)


def _put(quota: Quota) -> None:
    """Something of it has changed: it is put in its place on each shelf."""
    for offer in quota.offers:
        offer.shelf.put(offer)


def _parts(lease: Lease) -> tuple[Lane, Quota]:
    assert lease.lane is not None and lease.quota is not None, "a lease of this pool"
    return lease.lane, lease.quota


def _used(reserved: Cost, usage: Usage) -> Cost:
    """What the answer has really cost; what nobody said stays as reserved."""
    total, output = usage.input_total, usage.output_total
    uncached = None if total is None else total - (usage.cache_read or 0)
    return Cost(
        reserved.requests,
        reserved.tokens if total is None else float(total + (output or 0)),
        reserved.input if uncached is None else float(max(uncached, 0)),
        reserved.output if output is None else float(output),
    )


def _choice(at: float, ask: Ask, answer: Lease | Refused | Ticket) -> Choice:
    account, why = "", "stands in line"
    if isinstance(answer, Lease):
        account, why = answer.account.id, answer.why
    elif isinstance(answer, Refused):
        why = f"refused: {answer.reason}"
    return Choice(at, ask.caller, ask.targets[0].model if ask.targets else "", account, why)
