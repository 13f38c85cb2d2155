"""More requests than one core serves: some are refused, and only then. Under a clock that is turned by hand, with a
model of a loop in which every request costs what it costs here (0.4 ms in five turns, 0.2 ms refused)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ds2api.gateway.load import Load
from ds2api.universal.errors import Fault, Kind, Problem

LAG_S, SERVE_S, REFUSE_S, TURNS = 0.1, 0.0004, 0.0002, 5


@dataclass
class Loop:
    """As much of an event loop as `Load` needs, and the requests that pass it."""

    now: float = 1_000.0
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)  # of whoever was served
    refused: int = 0

    def __post_init__(self) -> None:
        self.load = Load(self, LAG_S, self.notes.append)  # type: ignore[arg-type]
        self.stages: list[list[float]] = [[] for _ in range(TURNS - 1)]

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self.timers.append((when, callback))

    def turn(self, came_at: list[float], other_s: float = 0.0) -> None:
        """One turn in which these requests are found, and other work is done."""
        due = [callback for when, callback in self.timers if when <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for callback in due:
            callback()
        cost_s = other_s + SERVE_S / TURNS * sum(map(len, self.stages))
        self.waits_s += [self.now - at for at in self.stages[-1]]
        taken = []
        for at in came_at:
            try:
                self.load.check()
                taken.append(at)
                cost_s += SERVE_S / TURNS
            except Problem as problem:
                assert (problem.error.fault, problem.error.kind) == (Fault.GATEWAY, Kind.OVERLOADED)
                assert problem.error.retry_after_s
                self.refused += 1
                cost_s += REFUSE_S
        self.stages = [taken, *self.stages[:-1]]
        self.now += max(cost_s, 0.001)

    def run(self, a_second: float, seconds: float, other_s: Callable[[int], float] = lambda turn: 0.0) -> None:
        began_at, came, turn = self.now, 0, 0
        while self.now < began_at + seconds:
            here = int((self.now - began_at) * a_second)
            self.turn([began_at + number / a_second for number in range(came, here)], other_s(turn))
            came, turn = here, turn + 1


@pytest.mark.parametrize("a_second", [100, 1_000, 2_300])
def test_what_can_be_served_is_served(a_second: float) -> None:
    loop = Loop()
    loop.run(a_second, 20)
    assert (loop.refused, loop.notes) == (0, [])


@pytest.mark.parametrize("a_second", [2_700, 3_000, 3_500])
def test_of_more_than_can_be_served_most_is_served_in_time(a_second: float) -> None:
    loop = Loop()
    loop.run(a_second, 5)  # until it has settled
    loop.waits_s.clear()
    loop.run(a_second, 20)
    could = (1 - a_second * REFUSE_S) / (SERVE_S - REFUSE_S)
    assert len(loop.waits_s) / 20 > 0.9 * could
    assert sorted(loop.waits_s)[int(len(loop.waits_s) * 0.99)] < 2.0
    assert "timeouts.loop_lag_s" in loop.notes[0]


def test_when_it_is_over_every_request_is_served_again() -> None:
    loop = Loop()
    loop.run(3_500, 10)
    assert loop.refused
    loop.run(500, 5)
    before = loop.refused
    loop.run(2_000, 10)
    assert loop.refused == before
    assert loop.notes[-1].startswith("every request is served again")


@pytest.mark.parametrize("pause_s", [0.3, 2.0, 60.0])
def test_a_single_pause_refuses_nobody(pause_s: float) -> None:
    """A collection of garbage, a stopped process, a sleeping laptop."""
    loop = Loop()
    loop.run(500, 20, lambda turn: pause_s if turn == 100 else 0.0)
    assert loop.refused == 0


def test_a_busy_neighbour_who_leaves_the_core_now_and_then_refuses_nobody() -> None:
    """Late for 0.8 s of each second, for ever, but never without end."""
    loop = Loop()
    loop.run(100, 60, lambda turn: 0.2 if turn % 200 < 4 else 0.0)
    assert loop.refused == 0


def test_nothing_ticks_while_nobody_asks() -> None:
    loop = Loop()
    loop.run(100, 1)
    loop.run(0.001, 5)
    assert loop.timers == []
