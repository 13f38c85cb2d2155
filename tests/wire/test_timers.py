"""The timer wheel, under a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.wire.timers import Deadline, TimerWheel


class HandLoop:
    """As much of an event loop as a wheel needs. `turn_to` moves the clock and runs what is due."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[tuple[float, Callable[[], None], asyncio.TimerHandle]] = []
        self.failures: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        loop = self

        class Handle:
            def cancel(self) -> None:
                loop.timers = [timer for timer in loop.timers if timer[2] is not self]

        handle: Any = Handle()
        self.timers.append((when, callback, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def turn_to(self, when: float) -> None:
        while due := [timer for timer in self.timers if timer[0] <= when]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = when


@pytest.fixture
def loop() -> HandLoop:
    return HandLoop()


@pytest.fixture
def wheel(loop: HandLoop) -> TimerWheel:
    return TimerWheel(loop)  # type: ignore[arg-type]


def test_a_deadline_fires_once(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[float] = []
    deadline = wheel.after(2, lambda: fired.append(loop.now))
    loop.turn_to(1_001.9)
    assert not fired
    assert deadline.is_pending
    loop.turn_to(1_010)
    assert len(fired) == 1
    assert 1_002 <= fired[0] <= 1_002 + 1 / 64
    assert not deadline.is_pending


def test_a_touch_counts_from_the_touch(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[float] = []
    deadline = wheel.after(2, lambda: fired.append(loop.now))
    for second in (1_001, 1_002, 1_003):
        loop.turn_to(second)
        deadline.touch()
    loop.turn_to(1_004.9)
    assert not fired
    loop.turn_to(1_005.1)
    assert len(fired) == 1


def test_a_cancelled_deadline_is_gone_at_once(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[int] = []
    deadlines = [wheel.after(3_600, lambda: fired.append(1)) for _ in range(100)]
    assert len(wheel) == 100
    for deadline in deadlines:
        deadline.cancel()
        deadline.cancel()
    assert len(wheel) == 0
    loop.turn_to(10_000)
    assert not fired
    deadlines[0].touch()
    assert not deadlines[0].is_pending


def test_a_held_deadline_waits_for_its_restart(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[float] = []
    deadline = wheel.after(2, lambda: fired.append(loop.now))
    loop.turn_to(1_001)
    deadline.hold()
    loop.turn_to(1_100)
    assert not fired
    deadline.restart(3)
    loop.turn_to(1_102.9)
    assert not fired
    loop.turn_to(1_103.1)
    assert len(fired) == 1
    deadline.restart(1)
    loop.turn_to(1_200)
    assert len(fired) == 1


@given(st.lists(st.tuples(st.sampled_from(["hold", "restart", "touch"]), st.integers(1, 400), st.integers(1, 100))))
def test_a_deadline_that_comes_and_goes_is_never_early_and_hardly_late(steps: list[tuple[str, int, int]]) -> None:
    loop = HandLoop()
    wheel = TimerWheel(loop)
    fired: list[float] = []
    deadline = wheel.after(50, lambda: fired.append(loop.now))
    began_at, seconds, is_held = loop.now, 50.0, False
    for kind, amount, later in [*steps, ("restart", 7, 400)]:
        if kind == "hold":
            deadline.hold()
            is_held = True
        elif kind == "restart":
            deadline.restart(amount / 4)
            began_at, seconds, is_held = loop.now, amount / 4, False
        elif not is_held:
            deadline.touch()
            began_at = loop.now
        loop.turn_to(loop.now + later / 4)
        if fired:
            break
        # Two of the buckets that a limit of a minute or more has.
        assert is_held or loop.now <= began_at + seconds + 8
    assert not is_held
    assert fired
    assert began_at + seconds <= fired[0] <= began_at + seconds + 8


def test_many_exchanges_leave_few_buckets(loop: HandLoop, wheel: TimerWheel) -> None:
    for _ in range(50_000):
        loop.now += 0.01
        wheel.after(3_600, list).cancel()
    assert len(wheel._buckets) < 200
    assert len(loop.timers) <= 1


def test_one_timer_of_the_loop_for_all(loop: HandLoop, wheel: TimerWheel) -> None:
    for seconds in (5, 3, 9, 3, 1):
        wheel.after(seconds, list)
    assert len(loop.timers) == 1
    assert loop.timers[0][0] <= 1_001 + 1 / 64


def test_a_callback_may_make_and_cancel_deadlines(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[str] = []
    others: list[Deadline] = []

    def first() -> None:
        fired.append("first")
        for other in others:
            other.cancel()
        wheel.after(1, lambda: fired.append("second"))

    wheel.after(1, first)
    others.append(wheel.after(1.5, lambda: fired.append("cancelled")))
    loop.turn_to(1_005)
    assert fired == ["first", "second"]


def test_a_failing_callback_does_not_stop_the_others(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[int] = []

    def fail() -> None:
        raise RuntimeError("boom")

    wheel.after(1, fail)
    wheel.after(1, lambda: fired.append(1))
    wheel.after(2, lambda: fired.append(2))
    loop.turn_to(1_005)
    assert fired == [1, 2]
    assert [str(failure["exception"]) for failure in loop.failures] == ["boom"]


def test_a_closed_wheel_never_fires(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[int] = []
    wheel.after(1, lambda: fired.append(1))
    wheel.close()
    wheel.close()
    loop.turn_to(1_005)
    assert not fired
    assert not loop.timers


@given(st.lists(st.tuples(st.floats(0.001, 200), st.one_of(st.none(), st.floats(0, 100))), min_size=1, max_size=20))
def test_never_early_and_late_by_one_bucket_at_most(plan: list[tuple[float, float | None]]) -> None:
    loop = HandLoop()
    wheel = TimerWheel(loop)  # type: ignore[arg-type]
    fired: dict[int, float] = {}
    deadlines: list[Deadline] = []
    for number, (seconds, _) in enumerate(plan):
        deadlines.append(wheel.after(seconds, lambda number=number: fired.__setitem__(number, loop.now)))  # type: ignore[misc]
    last: dict[int, float] = {}
    for number, touched_at in sorted(
        ((number, 1_000 + touch) for number, (_, touch) in enumerate(plan) if touch is not None), key=lambda one: one[1]
    ):
        loop.turn_to(touched_at)
        if deadlines[number].is_pending:
            deadlines[number].touch()
            last[number] = touched_at
    loop.turn_to(2_000)
    for number, (seconds, _) in enumerate(plan):
        due = last.get(number, 1_000.0) + seconds
        slack = 4 if seconds > 60 else 0.25 if seconds > 4 else 1 / 64
        assert due - 1e-6 <= fired[number] <= due + slack + 1e-6


async def test_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    started = loop.time()
    TimerWheel(loop).after(0.02, lambda: done.set_result(loop.time()))
    assert await done - started >= 0.02


def test_a_wheel_that_stood_still_lets_what_came_be_read_first(loop: HandLoop, wheel: TimerWheel) -> None:
    fired: list[str] = []
    alive = wheel.after(2, lambda: fired.append("alive"))
    wheel.after(2, lambda: fired.append("dead"))
    loop.now += 10  # the timer is due since, and nothing was read
    loop.turn_to(loop.now)
    assert not fired, "the turn of reading is to come"
    alive.touch()
    loop.turn_to(loop.now + 0.01)
    assert fired == ["dead"]
    loop.turn_to(loop.now + 3)
    assert fired == ["dead", "alive"]
