"""The comparison itself: what is measured in which order, what it may cost at worst, and turn after turn until it is
done, somebody stops it, or the money would be spent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ds2api.compare.asking import Sample
from ds2api.compare.children import Children
from ds2api.compare.places import Place
from ds2api.compare.question import Work
from ds2api.compare.worker import Job, Round
from ds2api.universal.estimate import input_tokens

__all__ = ["Budget", "Plan", "Run"]

# A place that answers nothing in so many measurements in a row is not asked any more: it would only be flooded.
_DEAD_TURNS = 2
_QUESTION_BYTES = 160  # of the shortest question's text (`question`)
Turn = tuple[Work, int, Place, int]  # work, step, place, round
Pids = Mapping[str, tuple[int, ...]]  # of a place's processes


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
                        yield work, step, place, number

    def job(self, turn: Turn, pids: tuple[int, ...] = ()) -> Job:
        work, step, place, _ = turn
        concurrency, rate = (1, float(step)) if self.by_rate else (step, 0.0)
        warm_up = 1 + min(4 if self.by_rate else step, self.requests)  # one alone, then all connections
        return Job(place, work, concurrency, rate, self.requests, self.seconds, warm_up, self.timeout_s, pids)

    def most_requests(self, turn: Turn) -> int:
        """At most, the warm-up included (which each client rounds up)."""
        job = self.job(turn)
        sent = min(self.requests, round(job.rate * self.seconds)) if self.by_rate else self.requests
        return sent + job.warm_up_requests + self.clients - 1

    @property
    def about_s(self) -> float:
        """How long it will take, about."""
        return sum(self.seconds * 1.1 + work.script.events * work.script.pace_ms / 666 for work, *_ in self.turns())


class Budget:
    """Tokens and money. `prices` are dollars a million tokens, in and out; None: unknown. What an answer does not tell
    is counted as if it had been as long as it may be."""

    def __init__(self, prices: tuple[float, float] | None, max_cost: float | None) -> None:
        self._prices, self._max_cost = prices, max_cost
        self.requests = self.input_tokens = self.output_tokens = 0

    def worst(self, plan: Plan, turns: Sequence[Turn]) -> tuple[int, int, int]:
        """Requests, tokens in, tokens out that `turns` may take at most."""
        counts = [(plan.most_requests(turn), turn[0]) for turn in turns]
        read, written = (sum(count * _most_tokens(work)[way] for count, work in counts) for way in (0, 1))
        return sum(count for count, _ in counts), read, written

    def cost(self, read: int, written: int) -> float | None:
        """In dollars."""
        return None if self._prices is None else (read * self._prices[0] + written * self._prices[1]) / 1e6

    def has_room(self, plan: Plan, turn: Turn) -> bool:
        """Whether `turn` cannot make it dearer than it may be, whatever the answers are."""
        _, read, written = self.worst(plan, [turn])
        cost = self.cost(self.input_tokens + read, self.output_tokens + written)
        return self._max_cost is None or cost is None or cost <= self._max_cost

    def spend(self, plan: Plan, turn: Turn, samples: Sequence[Sample]) -> None:
        warm_up, (read, written) = plan.job(turn).warm_up_requests, _most_tokens(turn[0])
        self.requests += len(samples) + warm_up
        self.input_tokens += warm_up * read + sum(read if (one := s.input_tokens) is None else one for s in samples)
        self.output_tokens += warm_up * written
        self.output_tokens += sum(written if (one := s.output_tokens) is None else one for s in samples)


@dataclass(slots=True)
class Run:
    """What was measured so far: `rounds` by (work, step, place). `stopped` says why it ended early."""

    plan: Plan
    budget: Budget
    rounds: dict[tuple[str, int, str], list[Round]] = field(default_factory=dict)
    done: int = 0
    stopped: str = ""
    left_out: dict[str, str] = field(default_factory=dict)  # place → why

    async def go(self, children: Children, pids: Pids, stop: asyncio.Event, on_turn: Callable[[Turn], None]) -> None:
        """Measure. `on_turn` hears of every turn before it begins. Raises `ChildFailed`."""
        stopping = asyncio.create_task(stop.wait())
        failed: dict[str, int] = {}
        try:
            for turn in self.plan.turns():
                work, step, place, _ = turn
                on_turn(turn)
                self.done += 1
                if place.name in self.left_out:
                    continue
                if not self.budget.has_room(self.plan, turn):
                    self.stopped = "the next measurement could have cost more than --max-cost allows"
                    return
                job = self.plan.job(turn, pids.get(place.name, ()))
                measuring = asyncio.create_task(children.measure(job, self.plan.clients))
                await asyncio.wait({measuring, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not measuring.done():
                    measuring.cancel()
                    self.stopped = "it was stopped by hand"
                    return
                found = measuring.result()
                self.rounds.setdefault((work.name, step, place.name), []).append(found)
                self.budget.spend(self.plan, turn, found.samples)
                is_dead = all(one.error for one in found.samples)
                failed[place.name] = failed.get(place.name, 0) + 1 if is_dead else 0
                if failed[place.name] == _DEAD_TURNS:
                    why = found.samples[-1].error if found.samples else "nothing could be sent"
                    self.left_out[place.name] = f"gave no good answer in {_DEAD_TURNS} measurements, at last: {why}"
        finally:
            stopping.cancel()


def _most_tokens(work: Work) -> tuple[int, int]:
    # Twice the usual guess: ids cost more tokens than words, and each dialect frames a question in some of its own.
    return 2 * input_tokens(max(work.prompt_bytes, _QUESTION_BYTES)), work.max_tokens
