"""Who decides: ours, the two that peers use, and one that sees what nobody can see.

*Shuffle* and *round robin* with a cool-down are what gateways do that do not schedule: take any account (or the next
one), and let one that was refused rest for a fixed time. Neither waits: where all rest, the client is refused. *Ideal*
looks into the provider's buckets, knows what each request will cost, and lets requests stand in one line a model; whom
it could not serve within its patience it refuses at the door (a line that drops people at its head serves small
requests only).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from bench.pool.rules import Provider, Work
from bench.pool.traffic import Turn, ideal_work
from ds2api.accounts import Account, Action, Announced, Ask, Grant, Lease, Refused, Ticket, Verdict
from ds2api.universal.errors import Kind
from ds2api.universal.usage import Usage

__all__ = ["Cooldown", "Ideal", "Scheduler"]

# LiteLLM's default (`cooldown_time`).
_COOLDOWN_S = 5.0
# How long a turn waits for the account that has its conversation in its cache, under an ideal scheduler; nobody does in
# a longer line, where only the order decides: as long as under ours. Where cached input is free, the cache is the
# capacity.
_HOME_S, _LOOK = 0.3, 8
_FREE_HOME_S, _FREE_LOOK = 8.5, 60
# How much sooner than its deadline a request must be due to be let into the ideal line.
_MARGIN_S = 0.5


class Scheduler(Protocol):
    """The doors of `ds2api.accounts.Pool` that a request goes through."""

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused: ...
    def hear(self, lease: Lease, now: float, announced: Announced | None = None) -> list[Grant]: ...
    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, usage: Usage | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]: ...  # fmt: skip
    def give_back(self, lease: Lease, now: float) -> list[Grant]: ...
    def cancel(self, ticket: Ticket) -> None: ...
    def tick(self, now: float) -> list[Grant]: ...
    def next_wake(self) -> float | None: ...


class _Plain:
    """What a scheduler that learns nothing and lets nobody wait does at most doors."""

    def hear(self, lease: Lease, now: float, announced: Announced | None = None) -> list[Grant]:
        return []

    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, usage: Usage | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:  # fmt: skip
        lease.over = True
        return []

    def give_back(self, lease: Lease, now: float) -> list[Grant]:
        lease.over = True
        return []

    def cancel(self, ticket: Ticket) -> None:
        """Nobody waits."""

    def tick(self, now: float) -> list[Grant]:
        return []

    def next_wake(self) -> float | None:
        return None


class Cooldown(_Plain):
    """Shuffle, or round robin where `random` is None."""

    def __init__(self, accounts: Sequence[Account], random: Random | None) -> None:
        self._accounts = list(accounts)
        self._random = random
        self._turn = 0
        self._until: dict[str, float] = {}

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused:
        for index, target in enumerate(ask.targets):
            free = [
                one
                for one in self._accounts
                if one.provider == target.provider and self._until.get(one.id, 0.0) <= now and one.id not in ask.avoid
            ]
            if free:
                if self._random is not None:
                    account = self._random.choice(free)
                else:
                    self._turn += 1
                    account = free[self._turn % len(free)]
                return Lease(account, index, target.model)
        return Refused(Kind.RATE_LIMITED, max(0.0, min(self._until.values(), default=now) - now), "all rest")

    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, usage: Usage | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:  # fmt: skip
        if verdict is not None and verdict.action is not Action.NONE:
            self._until[lease.account.id] = now + _COOLDOWN_S
        return super().settle(lease, verdict, now)


class Ideal(_Plain):
    """Knows every level of every bucket and what each request will cost. `asking` is the turn of the next ask."""

    def __init__(self, accounts: Sequence[Account], providers: dict[str, Provider], speed: float = 1.0) -> None:
        self._by_provider = {name: [one for one in accounts if one.provider == name] for name in providers}
        self._providers = providers
        self._worked: Turn | None = None
        self._work: Work | None = None  # of `_worked`: the same everywhere, where a cache changes no cost
        self._is_free = any(one.rules.announces == "anthropic" for one in providers.values())
        home_s, self._look = (_FREE_HOME_S, _FREE_LOOK) if self._is_free else (_HOME_S, _LOOK)
        self._home_s, self._margin_s = home_s / speed, _MARGIN_S / speed
        self._lines: dict[str, list[tuple[Ticket, Turn]]] = {}
        self._homes: dict[int, Account] = {}
        self._next: float | None = None
        self.asking: Turn | None = None

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused:
        turn = self.asking
        assert turn is not None
        line = self._lines.setdefault(turn.model, [])
        lease = None if line else self._serve(ask, turn, now)
        if lease is not None:
            return lease
        provider = self._providers[ask.targets[0].provider]
        if len(ask.targets) == 1 and line:
            works = [ideal_work(one) for _, one in line] + [ideal_work(turn)]
            wait_s = provider.line_wait_s(works, turn.model, now)
            if now + wait_s > ask.deadline - self._margin_s:
                return Refused(Kind.RATE_LIMITED, wait_s)
        ticket = Ticket(ask, ask.deadline)
        line.append((ticket, turn))
        self._next = now if self._next is None or len(line) == 1 else self._next
        return ticket

    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, usage: Usage | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:  # fmt: skip
        self._next = now  # a place may be free where places are counted
        return super().settle(lease, verdict, now)

    def give_back(self, lease: Lease, now: float) -> list[Grant]:
        self._next = now
        return super().give_back(lease, now)

    def cancel(self, ticket: Ticket) -> None:
        for model, line in self._lines.items():
            self._lines[model] = [one for one in line if one[0] is not ticket]

    def tick(self, now: float) -> list[Grant]:
        self._next = None
        for line in self._lines.values():
            grant = self._first(line, now)
            if grant is not None:
                # One at a time: the provider takes this one first, and its buckets are looked at again.
                self._next = now + 1e-6
                return [grant]
        return []

    def next_wake(self) -> float | None:
        return self._next

    def _first(self, line: list[tuple[Ticket, Turn]], now: float) -> Grant | None:
        looks_for_home = len(line) <= self._look
        for place, (ticket, turn) in enumerate(line[: self._look]):
            if ticket.ask.deadline <= now:
                line.pop(place)
                return Grant(ticket, Refused(Kind.RATE_LIMITED, 1.0))
            lease = self._serve(ticket.ask, turn, now, looks_for_home=looks_for_home)
            if lease is not None:
                line.pop(place)
                return Grant(ticket, lease)
            home = self._homes.get(turn.conversation)
            waits_for_home = looks_for_home and home is not None and now < turn.at + self._home_s
            if home is not None and waits_for_home:
                soonest = now + max(1e-6, min(self._wait_s(home, turn, now), turn.at + self._home_s - now))
            else:
                waits = [
                    self._wait_s(account, turn, now)
                    for target in ticket.ask.targets
                    for account in self._by_provider[target.provider]
                ]
                soonest = now + max(1e-6, min(waits, default=60.0))
            self._next = min(soonest, ticket.ask.deadline, float("inf") if self._next is None else self._next)
            if not waits_for_home:
                return None
        return None

    def _wait_s(self, account: Account, turn: Turn, now: float) -> float:
        provider = self._providers[account.provider]
        key = provider.keys[account.id.partition("/")[2]]
        work = self._work
        if turn is not self._worked or self._is_free:
            is_free = self._is_free
            work = provider.work(key, turn.model, turn.conversation, turn.sizes, now) if is_free else ideal_work(turn)
            self._worked, self._work = turn, work
        assert work is not None
        return provider.wait_s(key, turn.model, work, now)

    def _serve(self, ask: Ask, turn: Turn, now: float, *, looks_for_home: bool = True) -> Lease | None:
        home = self._homes.get(turn.conversation)
        for index, target in enumerate(ask.targets):
            accounts = self._by_provider[target.provider]
            if home is not None and home.provider == target.provider:
                wait_s = self._wait_s(home, turn, now)
                if wait_s == 0:
                    return Lease(home, index, target.model)
                if looks_for_home and now + wait_s < turn.at + self._home_s:
                    return None
            free = [one for one in accounts if self._wait_s(one, turn, now) == 0]
            if free:
                best = max(free, key=lambda one: self._level(one, turn.model, now))
                self._homes[turn.conversation] = best
                return Lease(best, index, target.model)
        return None

    def _level(self, account: Account, model: str, now: float) -> float:
        provider = self._providers[account.provider]
        buckets = provider.buckets(provider.keys[account.id.partition("/")[2]].organisation, model)
        return min(bucket.now(now) / bucket.most for bucket in buckets)
