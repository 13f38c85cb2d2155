"""What will be asked, how much of it, and what it may cost at worst. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ds2api.compare.asking import Sample
from ds2api.compare.places import Place
from ds2api.compare.question import Question, Work
from ds2api.compare.worker import Job
from ds2api.universal.estimate import input_tokens

__all__ = ["Budget", "Plan", "Turn"]


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` are numbers of connections, or with `by_rate` requests a second. `requests` and `seconds` bound each
    measurement."""

    places: tuple[Place, ...]
    works: tuple[Work, ...]
    steps: tuple[int, ...]
    by_rate: bool
    rounds: int
    requests: int
    seconds: float
    timeout_s: float
    clients: int = 1

    def turns(self) -> Iterator[Turn]:
        """Every measurement, in order. Within a round all places are measured one after the other, each round beginning
        with another one, so that what slows the machine for a while slows all of them."""
        for work in self.works:
            for step in self.steps:
                for number in range(self.rounds):
                    shift = number % len(self.places)
                    for place in (*self.places[shift:], *self.places[:shift]):
                        yield Turn(work, step, place, number)

    def job(self, turn: Turn, pids: tuple[int, ...]) -> Job:
        concurrency, rate = (1, float(turn.step)) if self.by_rate else (turn.step, 0.0)
        warm_up = 1 + min(4 if self.by_rate else concurrency, self.requests)  # one alone, then all connections
        return Job(
            turn.place, turn.work, concurrency, rate, self.requests, self.seconds, warm_up, self.timeout_s, pids
        )  # fmt: skip

    def most_requests(self, turn: Turn) -> int:
        """At most, the warm-up included (which each client rounds up)."""
        job = self.job(turn, ())
        most = min(self.requests, round(job.rate * self.seconds) or 1) if self.by_rate else self.requests
        return most + job.warm_up_requests + self.clients - 1

    @property
    def about_s(self) -> float:
        """How long it will take, about."""
        paced = {work.name: work.script.events * work.script.pace_ms / 1000 for work in self.works}
        return sum(self.seconds * 1.1 + 1.5 * paced[turn.work.name] for turn in self.turns())


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement: a place's turn."""

    work: Work
    step: int
    place: Place
    round_number: int


class Budget:
    """Tokens and money. `prices` are dollars a million tokens, in and out; None: unknown. What an answer does not tell
    is counted as if it had been as long as it may be."""

    def __init__(self, prices: tuple[float, float] | None, max_cost: float | None) -> None:
        self._prices, self._max_cost = prices, max_cost
        self.requests = self.input_tokens = self.output_tokens = 0

    def worst(self, plan: Plan, turns: Sequence[Turn]) -> tuple[int, int, int]:
        """Requests, tokens in, tokens out that `turns` may take at most."""
        requests = read = written = 0
        for turn in turns:
            count = plan.most_requests(turn)
            requests += count
            read += count * _asked_tokens(turn)
            written += count * turn.work.max_tokens
        return requests, read, written

    def cost(self, read: int, written: int) -> float | None:
        """In dollars."""
        return None if self._prices is None else (read * self._prices[0] + written * self._prices[1]) / 1e6

    def has_room(self, plan: Plan, turn: Turn) -> bool:
        """Whether `turn` cannot make it dearer than it may be, whatever the answers are."""
        _, read, written = self.worst(plan, [turn])
        cost = self.cost(self.input_tokens + read, self.output_tokens + written)
        return self._max_cost is None or cost is None or cost <= self._max_cost

    def spend(self, plan: Plan, turn: Turn, samples: Sequence[Sample]) -> None:
        warm_up = plan.job(turn, ()).warm_up_requests
        self.requests += len(samples) + warm_up
        self.input_tokens += warm_up * _asked_tokens(turn)
        self.output_tokens += warm_up * turn.work.max_tokens
        for one in samples:
            self.input_tokens += _asked_tokens(turn) if one.input_tokens is None else one.input_tokens
            self.output_tokens += turn.work.max_tokens if one.output_tokens is None else one.output_tokens

    @property
    def spent(self) -> float | None:
        return self.cost(self.input_tokens, self.output_tokens)


def _asked_tokens(turn: Turn) -> int:
    return input_tokens(Question(turn.place.dialect, turn.place.model, turn.place.flavour, turn.work).text_bytes)
