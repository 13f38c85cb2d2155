"""The pool: asks in, leases, tickets and refusals out.

`acquire` decides and returns; whoever asked does the waiting. Per target in order, the account is: the one that the
request is bound to (`pins`); else the conversation's own, which is waited for a little (`Policy.home_wait_s`); else, of
the lowest priority that can serve at all, the one with the most headroom. Where nobody can serve at once, the request
stands in the fair line of each of its targets (`line`) until a bucket, an end or a return lets it go: no request waits
at a spent account while another is free, and nobody overtakes but a turn at its own account (`_may_overtake`). What is
given back goes to the first in line within the same call (`settle`, `give_back`), so there is no window in which an
account looks free and is not (the classic gap of connection pools, `style.md` §5).

A request that would wait longer than its caller's patience is refused at once, with the time that it would take.

Cost: O(log accounts) an ask, a word and an end (`bench --pool --cost`): no list of accounts is walked. The rooms
behind: `roster` (who is there), `shelf` (who has most), `quota` (what a limit group may take), `circuit` (whether a
provider works), `line` (whose turn it is).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple

from ds2api.accounts.account import ORGANISATION, Account, Health
from ds2api.accounts.announced import Announced
from ds2api.accounts.ask import Ask, Candidate, Lease, Refused
from ds2api.accounts.costs import Cost
from ds2api.accounts.lane import Lane, Provider, Service
from ds2api.accounts.line import Ticket
from ds2api.accounts.memory import restore, save
from ds2api.accounts.policy import Policy
from ds2api.accounts.quota import Quota
from ds2api.accounts.roster import Roster
from ds2api.accounts.shelf import Offer
from ds2api.accounts.verdicts import Action, Scope, Verdict
from ds2api.accounts.view import Choice, Explanation, PoolView, make_view, why_not
from ds2api.universal.errors import Kind
from ds2api.universal.usage import Usage

__all__ = ["Grant", "Pool"]

# Models' names come from clients, so what is learned of each is bounded; the oldest is learned anew.
_QUOTAS_MOST = 65_536
_LANES_MOST = 1024
# Conversations whose account is remembered: some 15 MB. The one that spoke longest ago is placed anew.
_HOMES_MOST = 65_536
# Choices that are kept for people to look at.
_RECENT = 100
# Whoever is refused because of the line is told up to so much more than the truth, so that not all come back at once.
_JITTER = 0.05
# How much of its caller's patience a wait in line may be thought to take: the thought is right within some percent,
# and to be refused after the wait is worse than before it.
_PATIENCE_SHARE = 0.95
# Tickets that are looked at for one that is at home where something has become free.
_HOME_LOOK = 4
# To move a conversation is dear when it costs so many times as much elsewhere (nothing stands in a cache there).
_DEAR = 2.0
# A hedge goes only where so much of what may go at once is there.
_SPARE = 0.5
# A line is looked at again after this time at the soonest.
_LEAST_WAKE_S = 0.001
_NEVER = float("inf")
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Grant:
    """What became of a ticket."""

    ticket: Ticket
    outcome: Lease | Refused


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
        self._policy = policy or Policy()
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._wall_s = wall_s
        self._began_at = began_at
        self._accounts: dict[str, Account] = {}
        self._by_tag: dict[str, Account] = {}
        self._providers: dict[str, Provider] = {}
        self._rosters: dict[tuple[str, frozenset[str]], Roster] = {}
        self._services: dict[tuple[str, str], Service] = {}
        self._lanes: dict[tuple[str, str, frozenset[str]], Lane] = {}
        self._quotas: dict[tuple[str, str, str], Quota] = {}  # (provider, limit group, model)
        self._homes: dict[tuple[str, str, str], _Home] = {}  # by (caller, conversation, provider)
        self._busy: dict[Lane, None] = {}  # lanes with somebody in line
        self._at_home: dict[str, deque[Ticket]] = {}  # by account: who waits for it, alone or also
        self._timers: list[tuple[float, int, Ticket | Lane]] = []
        self._serials = itertools.count()
        self._tickets: dict[Ticket, None] = {}  # who waits
        self._in_flight = 0
        self._recent: deque[tuple[float, Ask, Lease | Refused | Ticket]] = deque(maxlen=_RECENT)
        for account in accounts:
            if account.id in self._accounts:
                raise ValueError(f"two accounts are called {account.id!r}")
            self._know(account)

    # What an exchange asks and tells.

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused:
        """An account for `ask`, a place in the line, or a refusal. Never waits."""
        answer: Lease | Ticket | Refused | None = self._choose(ask, now)
        if answer is None:
            ticket = Ticket(ask, ask.deadline, now)
            answer = self._refused(ticket, now) or self._wait(ticket, now)
        self._recent.append((now, ask, answer))
        return answer

    def hear(self, lease: Lease, now: float, announced: Announced | None = None) -> list[Grant]:
        """The provider has accepted the attempt: the head of its answer is here. Returns who in the line is served by
        what that tells. May be left out; then `settle` says the same, late."""
        if announced is not None:
            self._read(lease, announced, now, is_accepted=True)
        self._accept(lease, now)
        return self._changed(lease, now)

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
        lane, quota = _parts(lease)
        if announced is not None and not lease.is_accepted:
            self._read(lease, announced, now, is_accepted=verdict is None)
        if verdict is None:
            self._accept(lease, now)
            lease.account.succeed(lease.model, lease.begun_at)
            if usage is not None:
                quota.settle(lease.cost, _used(lease.cost, usage))
                lane.service.estimates.learn(lease.input_tokens, lease.cached, usage)
                self._remember(lease, usage)
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
            self._leave(ticket)

    def tick(self, now: float) -> list[Grant]:
        """Time has passed: who can be served, and whose patience is over."""
        grants: list[Grant] = []
        timers = self._timers
        while timers and timers[0][0] <= now:
            at, _, one = heapq.heappop(timers)
            if isinstance(one, Lane):
                if one.wake_at == at:
                    one.wake_at = None
                    self._serve_lane(one, now, grants)
            elif not one.is_over:
                self._wake(one, now, grants)
        return grants

    def next_wake(self) -> float | None:
        """The clock at which `tick` has something to do by time alone; None if nobody waits."""
        timers = self._timers
        while timers:
            at, _, one = timers[0]
            if (one.wake_at == at) if isinstance(one, Lane) else not one.is_over:
                return at
            heapq.heappop(timers)
        return None

    # What the operator does.

    def replace(self, accounts: Iterable[Account], policy: Policy, now: float) -> list[Grant]:
        """A new configuration: accounts that stay keep their health and what they have running, new ones come,
        the others serve no more (their leases end as ever). A changed key (`tag`) is a new chance. Whoever waits keeps
        the place in the line, and is told if nobody can serve any more."""
        known, told = self._accounts, self._quotas
        tickets = sorted(self._tickets, key=lambda ticket: ticket.since)
        self._policy = policy
        self._accounts, self._by_tag, self._quotas = {}, {}, {}
        for rooms in (self._rosters, self._lanes, self._busy, self._at_home, self._timers):
            rooms.clear()
        for new in accounts:
            old = known.pop(new.id, None)
            if old is not None:
                limits = (old.limits, old.model_limits)
                new = old.update(new)
                new.benches.clear()
                if limits == (new.limits, new.model_limits):
                    for key in [key for key in told if key[:2] == (new.provider, new.group)]:
                        self._quotas[key] = told.pop(key)
            self._know(new)
        for gone in known.values():
            gone.benches.clear()
        for quota in (*told.values(), *self._quotas.values()):
            quota.offers.clear()
        self._tickets.clear()
        grants: list[Grant] = []
        for ticket in tickets:
            ticket.lanes.clear()
            outcome = self._choose(ticket.ask, now) or self._refused(ticket, now)
            if outcome is None:
                self._wait(ticket, now)
            else:
                ticket.is_over = True
                grants.append(Grant(ticket, outcome))
        return grants

    def account(self, account_id: str) -> Account:
        """Raises `KeyError` for an unknown id."""
        return self._accounts[account_id]

    def drain(self, account_id: str, now: float) -> list[Grant]:
        """Take it out; what runs finishes. Raises `KeyError`."""
        account = self._accounts[account_id]
        account.drain(now)
        return self._look_at(account, now)

    def rest(self, account_id: str, seconds: float, now: float) -> list[Grant]:
        """Nothing for it for so long. Raises `KeyError`."""
        account = self._accounts[account_id]
        account.rest(now + seconds, now)
        return self._look_at(account, now)

    def revive(self, account_id: str, now: float) -> list[Grant]:
        """It is good again, whatever was held against it. Raises `KeyError`."""
        account = self._accounts[account_id]
        account.revive()
        for (provider, group, _), quota in self._quotas.items():
            if (provider, group) == (account.provider, account.group):
                quota.revive()
                self._put(quota)
        return self._look_at(account, now)

    # What people and other rooms look at.

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._tickets)

    @property
    def in_flight(self) -> int:
        """How many leases are out."""
        return self._in_flight

    @property
    def accounts(self) -> Iterable[Account]:
        """In the order of the configuration."""
        return self._accounts.values()

    @property
    def recent(self) -> list[Choice]:
        """The last choices, the newest last."""
        return [_choice(*one) for one in self._recent]

    def view(self, now: float) -> PoolView:
        """A snapshot for people."""
        return make_view(
            now,
            self._accounts.values(),
            self._quotas,
            self._services.values(),
            self._lanes.values(),
            self.recent,
            self._wall_s,
        )

    def explain(self, ask: Ask, now: float) -> Explanation:
        """Whom `acquire` would choose for `ask` now, and why each of the others would not be. Changes nothing that
        anybody else would notice; walks all accounts of the targets."""
        picks = (self._pick(lane, ask, now) for _, lane in self._lanes_of(ask))
        found = next((pick for pick in picks if pick is not None), None)
        outlook = self._outlook(ask, now)
        reason = outlook.cause.reason if outlook.cause is not None else "all are spent or busy"
        others: list[tuple[str, str]] = []
        for _, lane in self._lanes_of(ask):
            cost, _ = self._cost(lane, ask)
            closed_s = lane.service.free_at() - now
            for account_id in lane.roster.bench_of:
                account = self._accounts[account_id]
                if found is None or account is not found.account:
                    quota = self.quota(account, lane.service.model)
                    others.append((account.id, why_not(account, quota, cost, closed_s, now, self._wall_s)))
        return Explanation(None if found is None else found.account.id, reason if found is None else found.why, others)

    def snapshot(self, now: float) -> dict[str, Any]:
        """What a process after this one should know, as plain JSON values: who is out and till when, which limits were
        learned and how full they are, which keys are of one organisation. No key, no name of a caller."""
        return save(self._accounts.values(), self._quotas, now, self._wall_s)

    def restore(self, saved: dict[str, Any], now: float) -> list[str]:
        """Go on where `snapshot` left off. Returns what was left out, in sentences; never raises for what a file may
        hold. Before anything is asked."""
        problems = restore(saved, self._accounts, self.quota, now, self._wall_s)
        self._rosters.clear()
        self._lanes.clear()
        for account in self._accounts.values():
            account.benches.clear()
        for quota in self._quotas.values():
            quota.offers.clear()
        return problems

    def quota(self, account: Account, model: str) -> Quota:
        """What the limit group of `account` may take of `model`."""
        key = (account.provider, account.group, model)
        quota = self._quotas.get(key)
        if quota is None:
            if len(self._quotas) >= _QUOTAS_MOST:
                self._forget_quota()
            limits = account.limits_for(model)
            most = None if limits is account.limits else limits.concurrency  # the account's own counts all models
            quota = self._quotas[key] = Quota(account.group, model, limits, account.day_zone, self._began_at, most)
        return quota

    # How it is decided.

    def _choose(self, ask: Ask, now: float) -> Lease | None:
        """An account that can serve now, if nobody stands before this one."""
        for index, lane in self._lanes_of(ask):
            if ask.spare_only and lane.line.count:
                continue
            pick = self._pick(lane, ask, now)
            if pick is not None:
                return self._begin(ask, index, lane, pick, now)
        return None

    def _pick(self, lane: Lane, ask: Ask, now: float, *, in_turn: bool = False) -> _Pick | None:
        """The account of `lane` for `ask`, None if none can serve now; `in_turn`: it is the first in line."""
        service = lane.service
        if service.free_at() > now or self._backs_off(service, ask, now) is not None:
            return None
        if ask.pins:
            pinned = self._pinned(lane, ask, now)
            if pinned is not None:
                return self._pick_one(lane, pinned, ask, now, "the request is bound to it", is_home=True)
        is_first = in_turn or not lane.line.count
        home = self._home(lane, ask)
        if home is not None and home.id not in ask.avoid:
            if is_first or self._may_overtake(lane, ask, now, now):
                pick = self._pick_one(lane, home, ask, now, "home of the conversation", is_home=True)
                if pick is not None:
                    return pick
            if not in_turn and self._home_at(lane, home, ask, now) <= now + self._home_wait_s(lane, home, ask, now):
                return None
        if not is_first:
            return None
        cost, _ = self._cost(lane, ask)
        spot = None if ask.affinity is None else _digest(f"{ask.caller}\0{ask.affinity}")
        for avoid in (ask.avoid, _NOBODY) if ask.avoid and not ask.spare_only else (ask.avoid,):
            for shelf in lane.shelves:
                if spot is None:
                    found = shelf.find(cost, now, self._wall_s, avoid)
                else:
                    found = shelf.place(spot, cost, now, self._wall_s, avoid)
                if isinstance(found, float):
                    continue
                offer, account = found
                if ask.spare_only and offer.quota.headroom(now) < _SPARE:
                    continue
                why = "most headroom" if home is None else f"the home of the conversation, {home.id}, is spent"
                if shelf.tier.priority != lane.shelves[0].tier.priority:
                    why += f", priority {shelf.tier.priority}"
                return _Pick(offer, account, cost, why, False)
        return None

    def _pick_one(self, lane: Lane, account: Account, ask: Ask, now: float, why: str, *, is_home: bool) -> _Pick | None:
        """`account`, if it can serve now."""
        offer = lane.offer(account)
        if offer is None or account.is_full or account.ready_at > now:
            return None
        rest = account.rests.get(lane.service.model)
        cost, cached = self._cost(lane, ask, account)
        if (rest is not None and rest.until > now) or offer.quota.is_full:
            return None
        if offer.quota.free_at(cost, now, self._wall_s) > now:
            return None
        return _Pick(offer, account, cost, why, is_home, cached)

    def _home_at(self, lane: Lane, account: Account, ask: Ask, now: float) -> float:
        """When `account` can serve `ask` as far as time tells; infinity where it does not."""
        offer = lane.offer(account)
        rest = account.rests.get(lane.service.model)
        if offer is None or account.is_full or offer.quota.is_full or (rest is not None and rest.until > now):
            return _NEVER
        cost, _ = self._cost(lane, ask, account)
        return max(account.ready_at, offer.quota.free_at(cost, now, self._wall_s), lane.service.free_at())

    def _home(self, lane: Lane, ask: Ask) -> Account | None:
        """The account that served the conversation's turn before."""
        home = self._last_turn(lane, ask)
        return None if home is None else self._accounts.get(home.account)

    def _last_turn(self, lane: Lane, ask: Ask) -> _Home | None:
        if ask.affinity is None:
            return None
        return self._homes.get((ask.caller, ask.affinity, lane.service.provider.name))

    def _cost(self, lane: Lane, ask: Ask, account: Account | None = None) -> tuple[Cost, float]:
        """What is reserved for `ask` at `account` (elsewhere if None), and how much of it may stand in the cache."""
        home = self._last_turn(lane, ask)
        if home is None:
            return lane.service.estimates.cost(ask.input_tokens, ask.output_limit), 0.0
        cached = home.tokens if account is not None and account.id == home.account else 0.0
        cost = lane.service.estimates.cost(ask.input_tokens, ask.output_limit, cached=cached, factor=home.factor)
        return cost, cached

    def _likely_cost(self, lane: Lane, ask: Ask) -> Cost:
        """What `ask` will probably cost, at its own account if it has one."""
        estimates = lane.service.estimates
        home = self._last_turn(lane, ask)
        if home is None:
            return estimates.cost(ask.input_tokens, ask.output_limit, caution=0.0)
        return estimates.cost(ask.input_tokens, ask.output_limit, cached=home.tokens, factor=home.factor, caution=0.0)

    def _remember(self, lease: Lease, usage: Usage) -> None:
        """The next turn's prompt holds this one and its answer, and is guessed as this one was."""
        home = None if lease.conversation is None else self._homes.get(lease.conversation)
        total = usage.input_total
        if lease.conversation is None or home is None or home.account != lease.account.id or not total:
            return
        factor = total / max(lease.input_tokens, 1.0)
        tokens = lease.input_tokens + (usage.output_total or 0) / factor
        self._homes[lease.conversation] = _Home(home.account, max(home.tokens, tokens), factor)

    def _home_wait_s(self, lane: Lane, account: Account, ask: Ask, now: float) -> float:
        """How long its own account is worth waiting for: as long as what stands in its cache would take elsewhere."""
        offer = lane.offer(account)
        if offer is None:
            return 0.0
        anew_s = offer.quota.seconds(self._cost(lane, ask)[0])
        at_home_s = offer.quota.seconds(self._cost(lane, ask, account)[0])
        if anew_s > _DEAR * at_home_s:  # moving it would take from the others what several turns take at home
            return max(self._policy.home_wait_s, ask.deadline - now - self._policy.home_wait_s)
        return max(self._policy.home_wait_s, anew_s - at_home_s)

    def _pinned(self, lane: Lane, ask: Ask, now: float) -> Account | None:
        """The account that made something in the request, unless it is out for good, or, where others could do as
        well, for longer than the caller is patient."""
        for tag in ask.pins:
            account = self._by_tag.get(tag)
            if account is None or account.id not in lane.roster.bench_of or account.ready_at == _NEVER:
                continue
            if ask.is_bound or account.is_full or self._home_at(lane, account, ask, now) <= ask.deadline:
                return account
        return None

    def _backs_off(self, service: Service, ask: Ask, now: float) -> float | None:
        """Until when a retry waits after the provider's own fault; infinity where its budget is spent."""
        if service.provider.name not in ask.retries:
            return None
        if now < ask.not_before:
            return ask.not_before
        return None if service.provider.budget.has(now) else _NEVER

    def _begin(self, ask: Ask, target: int, lane: Lane, pick: _Pick, now: float, *, is_turn: bool = False) -> Lease:
        service, account, quota = lane.service, pick.account, pick.offer.quota
        if lane.line.count:
            lane.line.charge(ask.caller, ask.weight, lane.seconds(pick.cost) or 1.0, is_turn=is_turn)
        mark = quota.begin(pick.cost, now, self._wall_s)
        lease = Lease(
            account, target, service.model, pick.cost, now, pick.why, False, lane, quota, mark,
            service.circuit.begin(now), service.provider.circuit.begin(now), ask.input_tokens, pick.cached,
            is_probe=account.health is not Health.READY, running=quota.in_flight,
        )  # fmt: skip
        self._in_flight += 1
        account.in_flight += 1
        account.is_probing = account.is_probing or lease.is_probe
        for bench in account.benches:
            bench.took(account)
            if account.is_full:
                bench.tier.look_at(account)
        if service.provider.name in ask.retries:
            service.provider.budget.withdraw()
        else:
            service.provider.budget.deposit()
        self._put(quota)
        if ask.affinity is not None:
            lease.conversation = (ask.caller, ask.affinity, service.provider.name)
            home = self._homes.pop(lease.conversation, None)  # the latest stand last
            factor = None if home is None else home.factor
            self._homes[lease.conversation] = _Home(account.id, ask.input_tokens, factor)
            if len(self._homes) > _HOMES_MOST:
                del self._homes[next(iter(self._homes))]
        return lease

    def _end(self, lease: Lease) -> None:
        lane, quota = _parts(lease)
        account = lease.account
        lease.over = True
        quota.end()
        self._in_flight -= 1
        was_full = account.is_full
        account.in_flight -= 1
        if lease.is_probe:
            account.is_probing = False
        if not lease.is_heard:
            lane.service.circuit.end(lease.round)
            lane.service.provider.circuit.end(lease.provider_round)
        for bench in account.benches:
            bench.in_flight -= 1
            if was_full or lease.is_probe:
                bench.tier.look_at(account)

    def _accept(self, lease: Lease, now: float) -> None:
        if not lease.is_accepted:
            lease.is_accepted = True
            _, quota = _parts(lease)
            quota.accept(lease.running, lease.begun_at)
            self._hear_from(lease, now)

    def _hear_from(self, lease: Lease, now: float) -> None:
        """The provider has answered, whatever it has said."""
        if not lease.is_heard:
            lease.is_heard = True
            lane, _ = _parts(lease)
            lane.service.circuit.accept(lease.round, now)
            lane.service.provider.circuit.accept(lease.provider_round, now)

    def _failed(self, lease: Lease, verdict: Verdict, announced: Announced | None, now: float) -> None:
        lane, quota = _parts(lease)
        account, service = lease.account, lane.service
        if verdict.wait_s is None and announced is not None and verdict.action is Action.COOL:
            wait_s = announced.retry_after_s
            verdict = replace(verdict, wait_s=announced.exhausted_s if wait_s is None else wait_s)
        account.fail(lease.model, verdict, self._policy, now)
        if verdict.scope is not Scope.PROVIDER:
            self._hear_from(lease, now)
        elif not lease.is_heard:
            lease.is_heard = True
            unreachable = verdict.kind is Kind.UNREACHABLE
            failed, other = service.circuit, service.provider.circuit
            rounds = lease.round, lease.provider_round
            if unreachable:
                failed, other, rounds = other, failed, rounds[::-1]
            failed.fail(rounds[0], self._policy, verdict, now, self._random)
            other.end(rounds[1])
        if verdict.kind is Kind.RATE_LIMITED and verdict.scope is not Scope.PROVIDER:
            quota.refuse(lease.cost, lease.running, verdict, announced, self._policy, now)
        else:
            quota.leave(lease.begun_at)
        for bench in account.benches:
            bench.tier.look_at(account)

    def _read(self, lease: Lease, announced: Announced, now: float, *, is_accepted: bool) -> None:
        """What headers say: whose key it is, what its limits are."""
        account = lease.account
        if announced.organisation and account.group == account.id and account.id in self._accounts:
            group = f"{ORGANISATION} {announced.organisation}"
            own = [key for key in self._quotas if key[:2] == (account.provider, account.group)]
            for key in own:
                # The first of the organisation brings what has been learned; the buckets are the same.
                quota = self._quotas.pop(key)
                quota.group = group
                self._quotas.setdefault((key[0], group, key[2]), quota)
            account.group = group
            for roster in self._rosters.values():
                roster.regroup(account)
        _, quota = _parts(lease)
        quota.hear(announced, lease.begun_at, now, lease.cost, lease.mark, is_accepted=is_accepted)

    # Who waits, and who is served.

    def _refused(self, ticket: Ticket, now: float) -> Refused | None:
        """Whether nobody can serve within its caller's patience; then the reason and the true time."""
        ask = ticket.ask
        if ask.spare_only:
            return Refused(Kind.RATE_LIMITED, None, "no account has room to spare")
        outlook = self._outlook(ask, now)
        patience_s = (ask.deadline - now) * (_PATIENCE_SHARE if outlook.line_s else 1.0)
        if len(self._tickets) >= self._policy.line_most:
            return Refused(Kind.RATE_LIMITED, max(1.0, outlook.wait_s(now) or 0.0), "the line is full")
        if patience_s > 0 and (outlook.is_by_end or (outlook.wait_s(now) or _NEVER) <= patience_s or outlook.at <= now):
            ticket.wake_at = min(outlook.at, ask.deadline)
            return None
        return self._refusal(outlook, now)

    def _refusal(self, outlook: _Outlook, now: float) -> Refused:
        if outlook.is_empty:
            return Refused(Kind.UPSTREAM_FAILED, None, "no account is configured for this model")
        wait_s = outlook.wait_s(now)
        if wait_s is not None and outlook.line_s:
            wait_s *= 1 + _JITTER * self._random.random()
        if outlook.cause is None:
            return Refused(Kind.RATE_LIMITED, wait_s, "busy" if outlook.is_by_end else "limit reached")
        return Refused(outlook.cause.kind, wait_s, outlook.cause.reason)

    def _outlook(self, ask: Ask, now: float) -> _Outlook:
        """When somebody could serve `ask`, over all its targets."""
        outlook = _Outlook()
        for _, lane in self._lanes_of(ask):
            self._look_out(lane, ask, now, outlook)
        return outlook

    def _look_out(self, lane: Lane, ask: Ask, now: float, outlook: _Outlook) -> None:
        service = lane.service
        if lane.roster.bench_of:
            outlook.is_empty = False
        backs_off_until = self._backs_off(service, ask, now)
        closed_until = max(service.free_at(), -_NEVER if backs_off_until is None else backs_off_until)
        if closed_until > now:
            outlook.add(closed_until, service.cause, is_by_end=service.free_at() == _NEVER and backs_off_until is None)
            return
        pinned = self._pinned(lane, ask, now) if ask.pins else None
        if pinned is not None:
            cause = pinned.cause or self.quota(pinned, service.model).cause
            outlook.add(self._home_at(lane, pinned, ask, now), cause, is_by_end=pinned.is_full)
            return
        cost, _ = self._cost(lane, ask)
        seconds = lane.seconds(self._likely_cost(lane, ask)) if lane.line.count else None
        line_s = 0.0
        if seconds is not None:
            # Each account has on average half of what the next one needs.
            line_s = max(0.0, lane.line.wait_s(ask.caller, seconds) - seconds * lane.serving / 2)
        for shelf in lane.shelves:
            found = shelf.find(cost, now, self._wall_s)
            at = found if isinstance(found, float) else now  # else somebody stands before this one
            cause = None
            if at == _NEVER:
                at, away = shelf.tier.next_return()
                cause = None if away is None else away.cause
                rest = shelf.soonest_rest(now)
                if rest is not None and rest.until < at:
                    at, cause = rest.until, rest.cause
            elif at > now and (first := shelf.first()) is not None:
                cause = first.quota.cause
            outlook.add(at, cause, is_by_end=bool(shelf.tier.full) or shelf.is_full, line_s=line_s)

    def _wait(self, ticket: Ticket, now: float) -> Ticket:
        """It waits: for its own account alone at first, where that is worth it, then in the line of each target."""
        ask = ticket.ask
        self._tickets[ticket] = None
        ticket.joins_at = now
        self._set_timer(ask.deadline, ticket)
        for _, lane in self._lanes_of(ask):
            pinned = self._pinned(lane, ask, now) if ask.pins else None
            home = pinned or (None if ask.avoid else self._home(lane, ask))
            if home is None:
                continue
            at = self._home_at(lane, home, ask, now)
            until = (
                ask.deadline if pinned is not None else min(ask.deadline, now + self._home_wait_s(lane, home, ask, now))
            )
            if at <= until or pinned is not None:
                ticket.joins_at = until
                self._set_timer(until, ticket)
                self._set_timer(max(at, now + _LEAST_WAKE_S), ticket)
                ticket.wake_at = min(at, until)
            if at <= ask.deadline or pinned is not None:
                ticket.home = home.id
                self._at_home.setdefault(home.id, deque()).append(ticket)
            break
        self._stand_in_line(ticket, now)
        return ticket

    def _stand_in_line(self, ticket: Ticket, now: float) -> None:
        """In the line of each target where it does not stand yet and may."""
        if now < ticket.joins_at:
            return
        ask = ticket.ask
        for index, lane in self._lanes_of(ask):
            if any(lane is one for one, _ in ticket.lanes):
                continue
            backs_off_until = self._backs_off(lane.service, ask, now)
            if backs_off_until is not None:
                if backs_off_until < ask.deadline:
                    self._set_timer(backs_off_until, ticket)
                continue
            ticket.lanes.append((lane, index))
            lane.line.push(ticket, lane.seconds(self._likely_cost(lane, ask)) or 1.0)
            self._busy[lane] = None
            if lane.wake_at is None:
                self._wake_lane(lane, ask, now)

    def _wake(self, ticket: Ticket, now: float, grants: list[Grant]) -> None:
        """A time that matters to `ticket` has come: of its own account, of its back-off, of the end of its patience."""
        ask = ticket.ask
        if not ticket.lanes and (lease := self._choose(ask, now)) is not None:
            self._leave(ticket)
            grants.append(Grant(ticket, lease))
        elif ask.deadline <= now:
            self._leave(ticket)
            grants.append(Grant(ticket, self._refusal(self._outlook(ask, now), now)))
        elif now >= ticket.joins_at:
            self._stand_in_line(ticket, now)
        elif ticket.home is not None and (home := self._accounts.get(ticket.home)) is not None:
            at = min((self._home_at(lane, home, ask, now) for _, lane in self._lanes_of(ask)), default=_NEVER)
            if now < at < ticket.joins_at:
                self._set_timer(at, ticket)

    def _changed(self, lease: Lease, now: float) -> list[Grant]:
        """Something about the account of `lease` has changed."""
        _, quota = _parts(lease)
        self._put(quota)
        return self._serve(lease.account, now)

    def _look_at(self, account: Account, now: float) -> list[Grant]:
        for bench in account.benches:
            bench.tier.look_at(account)
        return self._serve(account, now)

    def _put(self, quota: Quota) -> None:
        for offer in quota.offers:
            offer.shelf.put(offer)

    def _serve(self, account: Account, now: float) -> list[Grant]:
        """Who can be served since something of `account` has become free."""
        grants: list[Grant] = []
        if not self._tickets:
            return grants
        waiting = self._at_home.get(account.id)
        if waiting:
            for ticket in list(itertools.islice(waiting, _HOME_LOOK)):
                if not ticket.is_over and not ticket.lanes:
                    lease = self._choose(ticket.ask, now)
                    if lease is None:
                        break
                    self._leave(ticket)
                    grants.append(Grant(ticket, lease))
        for lane in [lane for lane in self._busy if lane.service.provider.name == account.provider]:
            self._serve_lane(lane, now, grants)
        return grants

    def _serve_lane(self, lane: Lane, now: float, grants: list[Grant]) -> None:
        """Serve the line of `lane` as far as it goes now."""
        while (first := lane.line.first()) is not None:
            pick = self._pick(lane, first.ask, now, in_turn=True)
            if pick is None:
                self._wake_lane(lane, first.ask, now)
                return
            ticket, pick = self._at_home_first(lane, first, pick, now)
            target = next(index for one, index in ticket.lanes if one is lane)
            lease = self._begin(ticket.ask, target, lane, pick, now, is_turn=ticket is first)
            self._leave(ticket)
            grants.append(Grant(ticket, lease))
        self._busy.pop(lane, None)
        lane.wake_at = None

    def _at_home_first(self, lane: Lane, first: Ticket, pick: _Pick, now: float) -> tuple[Ticket, _Pick]:
        """Whom the account of `pick` serves: the first in line, unless somebody little behind it is at home there."""
        waiting = self._at_home.get(pick.account.id)
        if not waiting or pick.is_home:
            return first, pick
        looked = 0
        for ticket in list(waiting):
            if ticket.is_over:
                continue
            looked += 1
            if looked > _HOME_LOOK:
                break
            if not any(one is lane for one, _ in ticket.lanes):
                continue
            if not self._may_overtake(lane, ticket.ask, ticket.since, now):
                break
            better = self._pick_one(lane, pick.account, ticket.ask, now, "home of the conversation", is_home=True)
            if better is not None:
                return ticket, better
        return first, pick

    def _may_overtake(self, lane: Lane, ask: Ask, since: float, now: float) -> bool:
        """Whether a request that waits since `since` may be served before the first in line, at its own account: only
        if it came little later, its caller has had no more, and the first one still has time."""
        first = lane.line.first()
        if first is None:
            return True
        home = self._home(lane, ask)
        wait_s = self._policy.home_wait_s if home is None else self._home_wait_s(lane, home, ask, now)
        return (
            since <= first.since + wait_s
            and first.ask.deadline > now + self._policy.home_wait_s
            and lane.line.lead(ask.caller, first.ask.caller) <= 0
        )

    def _wake_lane(self, lane: Lane, ask: Ask, now: float) -> None:
        """Look at the line of `lane` again when its first, `ask`, could be served by time alone."""
        outlook = _Outlook()
        self._look_out(lane, ask, now, outlook)
        lane.wake_at = None
        if outlook.at < _NEVER:
            lane.wake_at = max(outlook.at, now + _LEAST_WAKE_S)
            self._set_timer(lane.wake_at, lane)

    def _leave(self, ticket: Ticket) -> None:
        ticket.is_over = True
        self._tickets.pop(ticket, None)
        waiting = self._at_home.get(ticket.home) if ticket.home is not None else None
        while waiting and waiting[0].is_over:
            waiting.popleft()
        if waiting is not None and not waiting and ticket.home is not None:
            del self._at_home[ticket.home]
        for lane, _ in ticket.lanes:
            lane.line.leave(ticket)
            if not lane.line.count:
                self._busy.pop(lane, None)
                lane.wake_at = None

    def _set_timer(self, at: float, one: Ticket | Lane) -> None:
        heapq.heappush(self._timers, (at, next(self._serials), one))

    # Who is there.

    def _know(self, account: Account) -> None:
        self._accounts[account.id] = account
        if account.tag:
            self._by_tag[account.tag] = account
        if account.provider not in self._providers:
            self._providers[account.provider] = Provider(account.provider, self._policy.retry_share)

    def _lanes_of(self, ask: Ask) -> list[tuple[int, Lane]]:
        lanes = self._lanes
        return [
            (index, lanes.get((target.provider, target.model, target.tags)) or self._lane(target))
            for index, target in enumerate(ask.targets)
        ]

    def _lane(self, target: Candidate) -> Lane:
        if len(self._lanes) >= _LANES_MOST:
            self._forget_lane()
        name = target.provider
        roster = self._rosters.get((name, target.tags))
        if roster is None:
            own = [account for account in self._accounts.values() if account.provider == name]
            roster = self._rosters[name, target.tags] = Roster(name, target.tags, own)
        service = self._services.get((name, target.model))
        if service is None:
            provider = self._providers.setdefault(name, Provider(name, self._policy.retry_share))
            service = self._services[name, target.model] = Service(provider, target.model)
        lane = self._lanes[name, target.model, target.tags] = Lane(service, roster, self.quota)
        return lane

    def _forget_lane(self) -> None:
        """The oldest without a line: what it held is found anew. (Leases keep what they need.)"""
        for key, lane in self._lanes.items():
            if not lane.line.count:
                for offer in [offer for shelf in lane.shelves for offer in shelf.offers]:
                    bench = offer.bench
                    bench.offers.pop(lane.service.model, None)
                    if offer in offer.quota.offers:
                        offer.quota.offers.remove(offer)
                    if offer in bench.parked:
                        bench.parked.remove(offer)
                    if offer.quota.is_blank and not offer.quota.offers:
                        self._quotas.pop((lane.roster.provider, bench.group, lane.service.model), None)
                del self._lanes[key]
                if not any(other[:2] == key[:2] for other in self._lanes):  # for other tags
                    self._services.pop(key[:2], None)
                return

    def _forget_quota(self) -> None:
        """The oldest that nobody offers."""
        for key, quota in self._quotas.items():
            if not quota.offers:
                del self._quotas[key]
                return


class _Home(NamedTuple):
    """The account of a conversation's last turn; how many tokens it was guessed to have with its answer; how many there
    really were for each."""

    account: str
    tokens: float
    factor: float | None


class _Pick:
    """Whom the pool has chosen."""

    __slots__ = ("account", "cached", "cost", "is_home", "offer", "why")

    def __init__(
        self, offer: Offer, account: Account, cost: Cost, why: str, is_home: bool, cached: float = 0.0
    ) -> None:
        self.offer = offer
        self.account = account
        self.cost = cost
        self.why = why
        self.is_home = is_home
        self.cached = cached


class _Outlook:
    """When somebody could serve: `at` by time, if nobody stood before; `is_by_end`: the end of an attempt may do it;
    `line_s`: how long those take who stand before."""

    __slots__ = ("at", "cause", "is_by_end", "is_empty", "line_s")

    def __init__(self) -> None:
        self.at = _NEVER
        self.cause: Verdict | None = None
        self.is_by_end = False
        self.is_empty = True
        self.line_s = 0.0

    def add(self, at: float, cause: Verdict | None, *, is_by_end: bool = False, line_s: float = 0.0) -> None:
        """One more way: at the time `at`, not before because of `cause`."""
        if at + line_s < self.at + self.line_s or (self.at == _NEVER and self.cause is None):
            self.at, self.cause, self.line_s = at, cause, line_s
        self.is_by_end = self.is_by_end or is_by_end

    def wait_s(self, now: float) -> float | None:
        """None where no clock helps."""
        if self.at == _NEVER:
            return 1.0 if self.is_by_end else None
        return max(self.at - now, self.line_s, 0.0)


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


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
