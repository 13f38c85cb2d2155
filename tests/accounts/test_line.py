"""The fair line: whose turn it is, for any mix of callers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ds2api.accounts import Ask, Ticket
from ds2api.accounts.line import FairLine


def ticket(caller: str, weight: float = 1.0) -> Ticket:
    return Ticket(Ask([], 10.0, caller, weight), 0.0)


def serve(line: FairLine, seconds: float = 1.0) -> Ticket | None:
    first = line.first()
    if first is not None:
        line.charge(first.ask.caller, first.ask.weight, seconds, is_turn=True)
        first.is_over = True
        line.leave(first)
    return first


def test_a_greedy_caller_waits_for_itself() -> None:
    line = FairLine()
    for _ in range(100):
        line.push(ticket("greedy"), 1.0)
    for _ in range(3):
        line.push(ticket("modest"), 1.0)
    served = [serve(line) for _ in range(8)]
    assert Counter(one.ask.caller for one in served if one is not None)["modest"] == 3
    assert line.wait_s("modest", 1.0) == 2.0, "beside the greedy one's next"
    assert line.wait_s("greedy", 1.0) == line.count + 1


def test_weights_divide_the_turns() -> None:
    line = FairLine()
    for _ in range(90):
        line.push(ticket("heavy", 2.0), 1.0)
        line.push(ticket("light"), 1.0)
    counts = Counter(one.ask.caller for one in (serve(line) for _ in range(60)) if one is not None)
    assert 38 <= counts["heavy"] <= 42


def test_who_was_away_gets_no_arrears() -> None:
    line = FairLine()
    for _ in range(20):
        line.push(ticket("early"), 1.0)
    for _ in range(10):
        serve(line)
    for _ in range(10):
        line.push(ticket("late"), 1.0)
    counts = Counter(one.ask.caller for one in (serve(line) for _ in range(10)) if one is not None)
    assert 4 <= counts["late"] <= 6


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["push", "serve", "leave"])), max_size=80))
def test_everybody_is_served_once_in_the_own_order(steps: list[tuple[str, str]]) -> None:
    line, waiting, number = FairLine(), dict[str, list[Ticket]](), 0
    for caller, step in steps:
        mine = waiting.setdefault(caller, [])
        if step == "push":
            number += 1
            mine.append(ticket(caller))
            line.push(mine[-1], 0.5)
        elif step == "leave" and mine:
            gone = mine.pop(len(mine) // 2)
            gone.is_over = True
            line.leave(gone)
        elif step == "serve" and (first := serve(line, 0.5)) is not None:
            assert waiting[first.ask.caller].pop(0) is first
        assert line.count == sum(map(len, waiting.values()))
        assert abs(line.seconds - 0.5 * line.count) < 1e-9
    while (first := serve(line, 0.5)) is not None:
        assert waiting[first.ask.caller].pop(0) is first
    assert not any(waiting.values())
