"""Virtual time: turns come, a scheduler says who serves them, the provider's rules say what that brings.

The scheduler is asked and told through the doors of `ds2api.accounts.Pool`, as the gateway does it; what a refusal
means is the word of the gateway's own dialects and `judge`, and whether to try again is the gateway's own `Attempts`.
An attempt reaches its provider a few hundredths of a second after it was granted, and not always as many: two sent in
order may arrive closer together than they left. Nothing sleeps: ten minutes of traffic take a second.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from random import Random

from bench.pool.figures import Attempt, Figures
from bench.pool.rules import Admitted, Provider, Refusal, Work
from bench.pool.schedulers import Ideal, Scheduler
from bench.pool.traffic import Turn, ideal_work
from ds2api.accounts import Ask, Candidate, Grant, Lease, Pool, Refused, Ticket, judge, read_announced
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount, first_step
from ds2api.gateway.settings import Retries
from ds2api.universal.usage import Usage

__all__ = ["PATIENCE_S", "WALL_S", "Simulation", "ideal_wait_s", "weight"]

PATIENCE_S = 10.0
# From the gateway to the provider: same continent, connection open.
NETWORK_S = (0.01, 0.04)
# The wall's clock minus ours: some headers are dates.
WALL_S = 1_700_000_000.0


class _Exchange:
    """One turn on its way. `owner` is the scheduler that it asked last."""

    __slots__ = ("admitted_at", "attempts", "deadline", "got", "is_over", "lease", "owner", "step", "ticket", "turn",
                 "work")  # fmt: skip

    def __init__(self, turn: Turn, attempts: Attempts, deadline: float, owner: Scheduler) -> None:
        self.turn = turn
        self.attempts = attempts
        self.deadline = deadline
        self.owner = owner
        self.step: TryAccount | GiveUp = first_step(len(attempts.providers))
        self.ticket: Ticket | None = None
        self.lease: Lease | None = None
        self.work: Work | None = None  # while it is at the provider
        self.got: Admitted | None = None
        self.admitted_at = 0.0
        self.is_over = False


class Simulation:
    """`providers` by name, in the order of the targets. The span from `since` to `until` is measured. `restart` is
    when another process takes over, and how it comes from the old one's scheduler: what runs is brought to its end by
    the old one, whoever waits or comes asks the new one."""

    def __init__(
        self, scheduler: Scheduler, providers: Mapping[str, Provider], turns: Sequence[Turn], *, until: float,
        since: float = 0.0, random: Random | None = None, patience_s: float = PATIENCE_S,
        restart: tuple[float, Callable[[Scheduler, float], Scheduler]] | None = None,
    ) -> None:  # fmt: skip
        self._scheduler = scheduler
        self._providers = dict(providers)
        self._names = list(providers)
        self._turns = turns
        self._until, self._since = until, since
        self._random = random or Random(1)
        self._restart = restart
        self._patience_s = patience_s
        self._network_s = (0.0, 0.0) if isinstance(scheduler, Ideal) else NETWORK_S
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._waiting: dict[Ticket, _Exchange] = {}
        self._home: dict[int, str] = {}  # conversation → account of the turn before
        self._dead: set[str] = set()  # accounts whose death is known
        self._wake_at: float | None = None
        self.now = 0.0
        self.figures = Figures()

    def run(self) -> Figures:
        for turn in self._turns:
            self._later(turn.at, lambda turn=turn: self._arrive(turn))  # type: ignore[misc]
        if self._restart is not None:
            self._later(self._restart[0], self._start_again)
        while self._queue:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            self._set_wake()
        pool = self._scheduler
        if isinstance(pool, Pool) and (pool.in_flight or pool.waiting):
            self.figures.left_over = f"{pool.in_flight} leases and {pool.waiting} waiting are left"
        return self.figures

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (at, next(self._numbers), act))

    def _arrive(self, turn: Turn) -> None:
        if self._is_measured(turn):
            self.figures.asked[turn.caller] += 1
            self.figures.asked_weight[turn.caller] += self._weight(turn)
        attempts = Attempts(Retries(), self._names, self.now + 3600, self._random.random)
        exchange = _Exchange(turn, attempts, self.now + self._patience_s, self._scheduler)
        if turn.leaves_after_s is not None:
            self._later(self.now + turn.leaves_after_s, lambda: self._leave(exchange))
        self._ask(exchange)

    def _ask(self, exchange: _Exchange) -> None:
        step, turn = exchange.step, exchange.turn
        assert isinstance(step, TryAccount)
        exchange.owner = self._scheduler
        ask = Ask(
            [Candidate(self._names[index], turn.model) for index in step.targets],
            exchange.deadline,
            caller=turn.caller,
            affinity=str(turn.conversation),
            input_tokens=turn.guess,
            output_limit=turn.sizes[2],
            avoid=step.avoid,
            retries=step.retries,
            not_before=step.not_before,
        )
        if isinstance(self._scheduler, Ideal):
            self._scheduler.asking = turn
        answer = self._scheduler.acquire(ask, self.now)
        if isinstance(answer, Ticket):
            exchange.ticket = answer
            self._waiting[answer] = exchange
        else:
            self._granted(exchange, answer)

    def _granted(self, exchange: _Exchange, answer: Lease | Refused) -> None:
        exchange.ticket = None
        if isinstance(answer, Refused):
            if self._is_measured(exchange.turn) and answer.retry_after_s is not None:
                self.figures.told_waits.append((answer.retry_after_s, self._true_wait_s(exchange.turn)))
            self._give_up(exchange, answer.kind.value)
            return
        exchange.lease = answer
        self.figures.late[answer.account.id] += answer.account.id in self._dead
        self._later(self.now + self._random.uniform(*self._network_s), lambda: self._reach(exchange, answer))

    def _reach(self, exchange: _Exchange, lease: Lease) -> None:
        """The attempt is with the provider."""
        if exchange.is_over:
            return
        turn, account = exchange.turn, lease.account
        provider = self._providers[account.provider]
        work, got = provider.attempt(_key(lease), turn.model, turn.conversation, turn.sizes, self.now)
        status = got.status if isinstance(got, Refusal) else 0
        self.figures.attempts.append(
            Attempt(self.now, provider.name, account.id, status, self._is_measured(turn)),
        )
        if isinstance(got, Refusal):
            self._later(self.now + got.after_s, lambda: self._refused(exchange, lease, got))
            return
        exchange.work, exchange.got, exchange.admitted_at = work, got, self.now
        if self._is_measured(turn):
            self.figures.waits.append(self.now - turn.at)
            if not turn.is_first and turn.conversation in self._home:
                self.figures.turns_after += 1
                self.figures.turns_same += self._home[turn.conversation] == account.id
        self._home[turn.conversation] = account.id
        self._later(self.now + (got.total_s if turn.is_whole else got.first_byte_s), lambda: self._head(exchange))
        self._later(self.now + got.total_s, lambda: self._answered(exchange))

    def _head(self, exchange: _Exchange) -> None:
        lease, got = exchange.lease, exchange.got
        if not exchange.is_over and lease is not None and got is not None:
            announced = read_announced(got.headers, WALL_S + self.now)
            self._grants(exchange.owner, exchange.owner.hear(lease, self.now, announced))

    def _answered(self, exchange: _Exchange) -> None:
        if exchange.is_over:
            return
        exchange.is_over = True
        turn, work, lease, got = exchange.turn, exchange.work, exchange.lease, exchange.got
        assert work is not None and lease is not None and got is not None
        self._providers[lease.account.provider].finished(_key(lease), turn.model, work, self.now)
        if self._is_measured(turn):
            self.figures.served[turn.caller] += 1
            self.figures.served_weight[turn.caller] += self._weight(turn)
        if self._since <= exchange.admitted_at < self._until:
            self.figures.good += self._weight(turn)
        usage = Usage(work.input_tokens - work.cached_tokens, work.cached_tokens, output_text=work.output_tokens)
        announced = read_announced(got.headers, WALL_S + exchange.admitted_at)
        self._grants(exchange.owner, exchange.owner.settle(lease, None, self.now, usage=usage, announced=announced))

    def _refused(self, exchange: _Exchange, lease: Lease, got: Refusal) -> None:
        if got.cause in ("revoked", "spent", "daily"):
            self._dead.add(lease.account.id)
        if exchange.is_over:
            return
        provider = self._providers[lease.account.provider]
        error = DIALECTS[provider.rules.speaks].read_error(got.status, got.headers, got.body)
        verdict = judge(error)
        announced = read_announced(got.headers, WALL_S + self.now)
        self._grants(exchange.owner, exchange.owner.settle(lease, verdict, self.now, announced=announced))
        step = exchange.step
        assert isinstance(step, TryAccount)
        target = step.targets[lease.target]
        exchange.step = exchange.attempts.after(
            error, verdict, target, lease.account.id, self.now, content_sent=False,
            patience_s=exchange.deadline - self.now,
        )  # fmt: skip
        if isinstance(exchange.step, GiveUp):
            self._give_up(exchange, f"{got.status}")
        else:
            self._ask(exchange)

    def _give_up(self, exchange: _Exchange, word: str) -> None:
        exchange.is_over = True
        if self._is_measured(exchange.turn):
            self.figures.visible[word] += 1

    def _leave(self, exchange: _Exchange) -> None:
        if exchange.is_over:
            return
        exchange.is_over = True
        if exchange.ticket is not None:
            self._waiting.pop(exchange.ticket, None)
            exchange.owner.cancel(exchange.ticket)
        elif exchange.lease is not None and not exchange.lease.over:
            if exchange.work is not None and exchange.got is not None:
                share = (self.now - exchange.admitted_at) / exchange.got.total_s
                provider = self._providers[exchange.lease.account.provider]
                provider.finished(_key(exchange.lease), exchange.turn.model, exchange.work, self.now, share)
            self._grants(exchange.owner, exchange.owner.give_back(exchange.lease, self.now))

    def _start_again(self) -> None:
        assert self._restart is not None
        self._scheduler = self._restart[1](self._scheduler, self.now)
        self._wake_at = None
        waiting, self._waiting = self._waiting, {}
        for exchange in waiting.values():
            self._ask(exchange)

    def _grants(self, owner: Scheduler, grants: Sequence[Grant]) -> None:
        for grant in grants:
            exchange = self._waiting.pop(grant.ticket, None)
            if exchange is not None:
                self._granted(exchange, grant.outcome)
            elif isinstance(grant.outcome, Lease):
                self._grants(owner, owner.give_back(grant.outcome, self.now))

    def _set_wake(self) -> None:
        at = self._scheduler.next_wake()
        if at is None or (self._wake_at is not None and self.now < self._wake_at <= at):
            return
        self._wake_at = max(at, self.now)
        self._later(self._wake_at, self._tick)

    def _tick(self) -> None:
        if self._wake_at is not None and self.now >= self._wake_at:
            self._wake_at = None
            self._grants(self._scheduler, self._scheduler.tick(self.now))

    def _is_measured(self, turn: Turn) -> bool:
        return self._since <= turn.at < self._until

    def _weight(self, turn: Turn) -> float:
        return weight(next(iter(self._providers.values())), turn)

    def _true_wait_s(self, turn: Turn) -> float:
        waiting = [exchange.turn for exchange in self._waiting.values()]
        return ideal_wait_s(next(iter(self._providers.values())), turn, waiting, self.now)


def weight(provider: Provider, turn: Turn) -> float:
    """The request's share of what all organisations may take in a minute."""
    work = ideal_work(turn)
    counts = provider.totals(turn.model)
    return max((count.total(work) / limit for count, limit in counts), default=1.0)


def ideal_wait_s(provider: Provider, turn: Turn, waiting: Sequence[Turn], now: float) -> float:
    """When an ideal line in which `waiting` stand would admit `turn` (`figures` says how that is meant)."""
    backlog: dict[str, list[Turn]] = {turn.caller: []}
    for one in waiting:
        if one.model == turn.model:
            backlog.setdefault(one.caller, []).append(one)
    places = len(backlog[turn.caller]) + 1
    before = [one for line in backlog.values() for one in line[:places]]
    return provider.line_wait_s([ideal_work(one) for one in (*before, turn)], turn.model, now)


def _key(lease: Lease) -> str:
    return lease.account.id.partition("/")[2]
