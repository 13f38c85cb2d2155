"""Virtual time: turns come, a scheduler says who serves them, the provider's rules say what that brings.

The scheduler is asked and told through the doors of `ds2api.accounts.Pool`, as the gateway does it, and whether to try
again is the gateway's own `Attempts`. Nothing sleeps: a week of traffic takes as long as its events take to compute.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.pool.rules import Admitted, Provider, Refusal, Work
from bench.pool.traffic import Turn
from ds2api.accounts import Announced, Ask, Candidate, Grant, Lease, Refused, Ticket, Verdict, judge, read_announced
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.settings import Retries

__all__ = ["Figures", "Scheduler", "Simulation"]

PATIENCE_S = 10.0


class Scheduler(Protocol):
    """The doors of `ds2api.accounts.Pool` that a request goes through."""

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused: ...
    def settle(
        self, lease: Lease, verdict: Verdict | None, now: float, *, used: float | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]: ...  # fmt: skip
    def give_back(self, lease: Lease, now: float) -> list[Grant]: ...
    def cancel(self, ticket: Ticket) -> None: ...
    def tick(self, now: float) -> list[Grant]: ...
    def next_wake(self) -> float | None: ...


@dataclass
class Figures:
    """What `pool-model.md` §6 wants to know of one run."""

    asked: int = 0
    served: int = 0
    served_units: float = 0.0  # requests answered in full that were admitted within the span
    visible: Counter[str] = field(default_factory=Counter)  # what clients saw instead of an answer
    attempts: int = 0
    refused: int = 0
    waits: list[float] = field(default_factory=list)
    turns_after: int = 0
    turns_same: int = 0

    def wait_s(self, share: float) -> float:
        waits = sorted(self.waits)
        return waits[min(len(waits) - 1, int(len(waits) * share))] if waits else 0.0

    @property
    def waste(self) -> float:
        return self.refused / max(1, self.attempts)

    @property
    def affinity(self) -> float:
        return self.turns_same / max(1, self.turns_after)


class _Exchange:
    """One turn on its way."""

    __slots__ = ("attempts", "deadline", "is_over", "lease", "provider", "step", "ticket", "turn", "work")

    def __init__(self, turn: Turn, attempts: Attempts, deadline: float) -> None:
        self.turn = turn
        self.attempts = attempts
        self.deadline = deadline
        self.step: TryAccount | GiveUp = attempts.first()
        self.ticket: Ticket | None = None
        self.lease: Lease | None = None
        self.work: Work | None = None
        self.provider: Provider | None = None
        self.is_over = False


class Simulation:
    """`providers` by name, in the order of the targets. `until` ends the measured span; `since` begins it."""

    def __init__(
        self, scheduler: Scheduler, providers: Mapping[str, Provider], turns: Sequence[Turn], *, until: float,
        since: float = 0.0, patience_s: float = PATIENCE_S, retries: Retries | None = None,
    ) -> None:  # fmt: skip
        self._scheduler = scheduler
        self._providers = dict(providers)
        self._turns = turns
        self._until, self._since = until, since
        self._patience_s = patience_s
        self._retries = retries or Retries()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._waiting: dict[int, _Exchange] = {}
        self._home: dict[int, tuple[str, str]] = {}  # conversation → (key, organisation) of the turn before
        self._wake_at: float | None = None
        self.now = 0.0
        self.asking: Turn | None = None  # for the ideal scheduler, which knows what a request will cost
        self.figures = Figures()

    def run(self) -> Figures:
        for turn in self._turns:
            self._later(turn.at, lambda turn=turn: self._arrive(turn))  # type: ignore[misc]
        while self._queue:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            self._set_wake()
        return self.figures

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (at, next(self._numbers), act))

    def _arrive(self, turn: Turn) -> None:
        if self._is_measured(turn):
            self.figures.asked += 1
        attempts = Attempts(self._retries, len(self._providers), self.now + 3600)
        exchange = _Exchange(turn, attempts, self.now + self._patience_s)
        if turn.leaves_after_s is not None:
            self._later(self.now + turn.leaves_after_s, lambda: self._leave(exchange))
        self._ask(exchange)

    def _ask(self, exchange: _Exchange) -> None:
        step, turn = exchange.step, exchange.turn
        assert isinstance(step, TryAccount)
        names = list(self._providers)
        guess = int(turn.prompt_tokens * turn.guess)
        ask = Ask(
            [Candidate(names[index], turn.model) for index in step.targets], exchange.deadline, turn.caller,
            str(turn.conversation), (), guess + turn.max_tokens, step.avoid,
        )  # fmt: skip
        self.asking = turn
        answer = self._scheduler.acquire(ask, self.now)
        if isinstance(answer, Ticket):
            exchange.ticket = answer
            self._waiting[id(answer)] = exchange
        else:
            self._granted(exchange, answer)

    def _granted(self, exchange: _Exchange, answer: Lease | Refused) -> None:
        exchange.ticket = None
        if isinstance(answer, Refused):
            self._give_up(exchange, answer.kind.value, answer.retry_after_s)
            return
        step, turn = exchange.step, exchange.turn
        assert isinstance(step, TryAccount)
        exchange.lease = answer
        exchange.attempts.begun()
        name = answer.account.id.partition("/")[2]
        provider = self._providers[answer.account.provider]
        key = provider.keys[name]
        home = self._home.get(turn.conversation)
        cached = turn.prompt_tokens - turn.new_tokens if home is not None and home[1] == key.organisation else 0
        work = Work(
            turn.prompt_tokens, cached, turn.output_tokens, turn.max_tokens, int(turn.prompt_tokens * turn.guess)
        )
        exchange.work, exchange.provider = work, provider
        got = provider.attempt(name, turn.model, work, self.now)
        if self._is_measured(turn):
            self.figures.attempts += 1
            self.figures.refused += isinstance(got, Refusal)
        if isinstance(got, Refusal):
            self._later(self.now + got.after_s, lambda: self._refused(exchange, answer, got))
            return
        if self._is_measured(turn):
            self.figures.waits.append(self.now - turn.at)
            if home is not None:
                self.figures.turns_after += 1
                self.figures.turns_same += home[0] == name
        self._home[turn.conversation] = (name, key.organisation)
        admitted_at = self.now
        self._later(self.now + got.total_s, lambda: self._answered(exchange, answer, got, admitted_at))

    def _answered(self, exchange: _Exchange, lease: Lease, got: Admitted, admitted_at: float) -> None:
        if exchange.is_over:
            return
        exchange.is_over = True
        turn, work, provider = exchange.turn, exchange.work, exchange.provider
        assert work is not None and provider is not None
        provider.finished(lease.account.id.partition("/")[2], turn.model, work, self.now)
        if self._is_measured(turn):
            self.figures.served += 1
        if self._since <= admitted_at < self._until:
            self.figures.served_units += 1
        announced = read_announced(got.headers, self.now)
        used = work.input_tokens + work.output_tokens
        self._grants(self._scheduler.settle(lease, None, self.now, used=used, announced=announced))

    def _refused(self, exchange: _Exchange, lease: Lease, got: Refusal) -> None:
        if exchange.is_over:
            return
        body = b'{"error":{"message":"no","type":"%s","code":"%s"}}' % (got.code.encode(), got.code.encode())
        error = DIALECTS["chat"].read_error(got.status, got.headers, body)
        verdict = judge(error)
        name = lease.account.provider
        announced = read_announced(got.headers, self.now)
        self._grants(self._scheduler.settle(lease, verdict, self.now, announced=announced))
        step = exchange.step
        assert isinstance(step, TryAccount)
        target = list(self._providers).index(name)
        exchange.step = exchange.attempts.after(error, verdict, target, lease.account.id, self.now, content_sent=False)
        if isinstance(exchange.step, GiveUp):
            self._give_up(exchange, f"{got.status}", None)
        else:
            self._ask(exchange)

    def _give_up(self, exchange: _Exchange, word: str, retry_after_s: float | None) -> None:
        exchange.is_over = True
        if self._is_measured(exchange.turn):
            self.figures.visible[word] += 1

    def _leave(self, exchange: _Exchange) -> None:
        if exchange.is_over:
            return
        exchange.is_over = True
        if exchange.ticket is not None:
            self._waiting.pop(id(exchange.ticket), None)
            self._scheduler.cancel(exchange.ticket)
        elif exchange.lease is not None and not exchange.lease.over:
            if exchange.provider is not None and exchange.provider.running:
                exchange.provider.left()
            self._grants(self._scheduler.give_back(exchange.lease, self.now))

    def _grants(self, grants: Sequence[Grant]) -> None:
        for grant in grants:
            exchange = self._waiting.pop(id(grant.ticket), None)
            if exchange is not None:
                self._granted(exchange, grant.outcome)
            elif isinstance(grant.outcome, Lease):
                self._grants(self._scheduler.give_back(grant.outcome, self.now))

    def _set_wake(self) -> None:
        at = self._scheduler.next_wake()
        if at is None or (self._wake_at is not None and self.now < self._wake_at <= at):
            return
        self._wake_at = max(at, self.now)
        self._later(self._wake_at, self._tick)

    def _tick(self) -> None:
        if self._wake_at is not None and self.now >= self._wake_at:
            self._wake_at = None
            self._grants(self._scheduler.tick(self.now))

    def _is_measured(self, turn: Turn) -> bool:
        return self._since <= turn.at < self._until
