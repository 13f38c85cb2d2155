"""Who decides: ours, the two that peers use, and one that sees what nobody can see.

*Shuffle* and *round robin* with a cool-down are what gateways do that do not schedule: take any account (or the next
one), and let one that was refused rest for a fixed time. Neither waits: where all rest, the client is refused. *Ideal*
looks into the provider's buckets and lets requests stand in one line, first come first served.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from bench.pool.rules import Provider, Work
from bench.pool.simulate import Simulation
from bench.pool.traffic import Turn
from ds2api.accounts import Account, Action, Announced, Ask, Grant, Lease, Refused, Ticket, Verdict
from ds2api.universal.errors import Kind

__all__ = ["Cooldown", "Ideal"]

# LiteLLM's default (`cooldown_time`).
_COOLDOWN_S = 5.0


class Cooldown:
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
                return Lease(account, index, target.model, ask.estimate)
        return Refused(Kind.RATE_LIMITED, min(self._until.values(), default=now) - now, "all rest")

    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, used: float | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:  # fmt: skip
        lease.over = True
        if verdict is not None and verdict.action is not Action.NONE:
            self._until[lease.account.id] = now + _COOLDOWN_S
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


class Ideal:
    """Knows every level of every bucket and what each request will cost."""

    def __init__(self, accounts: Sequence[Account], providers: dict[str, Provider]) -> None:
        self._accounts = list(accounts)
        self._providers = providers
        self._line: list[tuple[Ticket, Turn]] = []
        self._homes: dict[str | None, str] = {}
        self._next: float | None = None
        self.simulation: Simulation | None = None

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused:
        assert self.simulation is not None and self.simulation.asking is not None
        turn = self.simulation.asking
        lease = None if self._line else self._serve(ask, turn, now)
        if lease is not None:
            return lease
        ticket = Ticket(ask, ask.deadline)
        self._line.append((ticket, turn))
        self._look(now)
        return ticket

    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, used: float | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:  # fmt: skip
        lease.over = True
        return []

    def give_back(self, lease: Lease, now: float) -> list[Grant]:
        lease.over = True
        return []

    def cancel(self, ticket: Ticket) -> None:
        self._line = [one for one in self._line if one[0] is not ticket]

    def tick(self, now: float) -> list[Grant]:
        grants: list[Grant] = []
        while self._line:
            ticket, turn = self._line[0]
            if ticket.ask.deadline <= now:
                grants.append(Grant(ticket, Refused(Kind.RATE_LIMITED, 1.0)))
            else:
                lease = self._serve(ticket.ask, turn, now)
                if lease is None:
                    break
                grants.append(Grant(ticket, lease))
                self._line.pop(0)
                self._next = now + 1e-6  # the provider takes this one first
                return grants
            self._line.pop(0)
        self._look(now)
        return grants

    def next_wake(self) -> float | None:
        return self._next

    def _look(self, now: float) -> None:
        """When the first in line can be served, or gives up."""
        self._next = None
        if self._line:
            ticket, turn = self._line[0]
            waits = [self._wait_s(account, turn, now) for account in self._accounts]
            self._next = min(ticket.ask.deadline, now + max(1e-6, min(waits)))

    def _wait_s(self, account: Account, turn: Turn, now: float) -> float:
        provider = self._providers[account.provider]
        key = provider.keys[account.id.partition("/")[2]]
        cached = turn.prompt_tokens - turn.new_tokens if self._homes.get(str(turn.conversation)) == account.id else 0
        work = Work(turn.prompt_tokens, cached, turn.output_tokens, turn.max_tokens, turn.prompt_tokens)
        return provider.wait_s(key, turn.model, work, now)

    def _serve(self, ask: Ask, turn: Turn, now: float) -> Lease | None:
        best, best_level = None, -1.0
        home = self._homes.get(ask.affinity)
        for account in self._accounts:
            if self._wait_s(account, turn, now) > 1e-9:
                continue
            provider = self._providers[account.provider]
            buckets = provider.buckets(provider.keys[account.id.partition("/")[2]].organisation, turn.model)
            level = min(bucket.now(now) / bucket.most for bucket in buckets) + (1.0 if account.id == home else 0.0)
            if level > best_level:
                best, best_level = account, level
        if best is None:
            return None
        self._homes[ask.affinity] = best.id
        index = [target.provider for target in ask.targets].index(best.provider)
        return Lease(best, index, turn.model, ask.estimate)
