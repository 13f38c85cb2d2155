"""A circuit in every state under every event, and an outage told as a story."""

from __future__ import annotations

from random import Random

import pytest

from ds2api.accounts import Action, Policy, Scope, Verdict
from ds2api.accounts.circuit import Circuit, State
from ds2api.accounts.retry_budget import RetryBudget
from ds2api.universal.errors import Kind

DOWN = Verdict(Scope.PROVIDER, Action.REST, Kind.OVERLOADED, "503")
POLICY = Policy(circuit_failures=3)


def fail(circuit: Circuit, now: float) -> bool:
    return circuit.fail(circuit.begin(now), POLICY, DOWN, now, Random(1))


def circuit_in(state: State) -> tuple[Circuit, float]:
    """A circuit in `state`, and the time it is."""
    circuit = Circuit()
    if state is State.CLOSED:
        return circuit, 0.0
    assert [fail(circuit, 0.0) for _ in range(3)] == [False, False, True]
    if state is State.OPEN:
        return circuit, 0.0
    now = circuit.open_until
    round_ = circuit.begin(now)
    if state is State.RAMP:
        circuit.accept(round_, now)
    return circuit, now


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (State.CLOSED, "accept", State.CLOSED),
        (State.CLOSED, "fail", State.CLOSED),  # one is no evidence
        (State.CLOSED, "end", State.CLOSED),
        (State.OPEN, "accept", State.RAMP),  # its time over, one goes ahead
        (State.OPEN, "fail", State.OPEN),
        (State.OPEN, "end", State.PROBING),  # the next may go ahead
        (State.PROBING, "accept", State.RAMP),
        (State.PROBING, "fail", State.OPEN),
        (State.PROBING, "end", State.PROBING),
        (State.RAMP, "accept", State.RAMP),
        (State.RAMP, "fail", State.OPEN),
        (State.RAMP, "end", State.RAMP),
    ],
)
def test_every_state_under_every_event(state: State, event: str, after: State) -> None:
    circuit, now = circuit_in(state)
    if state is State.OPEN:
        now = circuit.open_until
    round_ = circuit.round if state is State.PROBING else circuit.begin(now)
    match event:
        case "accept":
            circuit.accept(round_, now)
        case "fail":
            circuit.fail(round_, POLICY, DOWN, now, Random(1))
        case _:
            circuit.end(round_)
    assert circuit.state is after
    assert circuit.pending == 0


def test_what_began_before_it_opened_says_nothing() -> None:
    circuit = Circuit()
    old = circuit.begin(0.0)
    while not fail(circuit, 0.0):
        pass
    circuit.accept(old, 0.1)
    assert circuit.fail(old, POLICY, DOWN, 0.1, Random(1)) is False
    circuit.end(old)
    assert (circuit.state, circuit.pending) == (State.OPEN, 0)


def test_an_outage_of_thirty_seconds_is_asked_some_eighteen_times_and_over_within_two() -> None:
    circuit, asked = Circuit(), 0
    while (now := max(0.0, circuit.free_at())) < 30.0:
        fail(circuit, now)
        asked += 1
    assert 12 <= asked <= 24
    assert circuit.free_at() < 30.0 + 2.5


def test_it_comes_back_on_a_slope() -> None:
    """Two wait for their first byte, then twice as many each half second; nobody holds a place by a long answer."""
    circuit, now = circuit_in(State.RAMP)
    begun = 0
    while circuit.free_at() <= now:
        circuit.begin(now)
        begun += 1
    assert begun == 2
    while circuit.free_at() <= now + 0.5:
        circuit.begin(now + 0.5)
        begun += 1
    assert begun == 4
    circuit.begin(now + 3.0)
    assert circuit.state is State.CLOSED


def test_retries_cannot_multiply_the_load() -> None:
    """A fifth of the first attempts, and ten in hand, whatever happens."""
    budget, retries = RetryBudget(0.2), 0
    for number in range(1000):
        budget.deposit()
        for _ in range(3):
            if budget.has(number * 0.001):
                budget.withdraw()
                retries += 1
    assert 200 <= retries <= 212
