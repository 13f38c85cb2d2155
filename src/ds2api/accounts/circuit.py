"""A circuit for each (provider, model), and one for a provider that cannot be reached at all.

                 failures in a row              the time is over            the probe is accepted
    CLOSED ────────────────────────► OPEN ────────────────────► PROBING ────────────────────────► RAMP
       ▲                              ▲  ▲                         │ fails                        │ │ fails
       │                              │  └─────────────────────────┘                              │ │
       │                              └───────────────────────────────────────────────────────────│─┘
       └──────────────────────────────────────────────────────── as many at a time as before ─────┘

A provider's fault blames no key, and the next key of an overloaded provider only adds load (`pool-model.md` §5). So
nothing is asked while the circuit is open; then one request goes ahead; then as many at a time as were accepted, two
for each, so that the old rate is back within some round trips and no herd comes. The probe's place is free again
however the probe ends (R106).
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from ds2api.accounts.policy import Policy
from ds2api.accounts.verdicts import Verdict

__all__ = ["Circuit", "State"]

# An outage that lasts longer than this is asked more seldom.
_LONG_AFTER_S = 60.0
# What a ramp ends at where nothing is known of the load before.
_RAMP_LEAST = 8
# Jitter of an opening, so that several gateways do not knock together.
_JITTER = 0.2


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    RAMP = "ramp"


class Circuit:
    """Closed at first. `begin` gives the attempt's round, which `accept`, `fail` and exactly one `end` take: what was
    begun before the circuit opened says nothing about what came after."""

    __slots__ = ("_openings", "_peak", "_window", "failures", "in_flight", "open_until", "opened_at", "round", "state",
                 "verdict")  # fmt: skip

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.round = 0
        self.failures = 0  # in a row
        self.in_flight = 0  # of this round
        self.open_until = 0.0
        self.opened_at = 0.0  # of the outage, not of its last probe
        self.verdict: Verdict | None = None  # that opened it
        self._openings = 0  # in a row
        self._peak = 0
        self._window = 0

    def free_at(self) -> float:
        """When an attempt may begin: in the past if it always may, infinity if the end of one that runs decides."""
        match self.state:
            case State.CLOSED:
                return float("-inf")
            case State.OPEN:
                return self.open_until
        return float("-inf") if self.in_flight < self._window else float("inf")

    def begin(self) -> int:
        """An attempt begins, which `free_at` allows. Returns its round."""
        if self.state is State.OPEN:
            self.state, self._window = State.PROBING, 1
        self.in_flight += 1
        if self.state is State.CLOSED and self.in_flight > self._peak:
            self._peak = self.in_flight
        return self.round

    def end(self, round_: int) -> None:
        """The attempt is over, whatever came of it."""
        if round_ == self.round:
            self.in_flight -= 1

    def accept(self, round_: int) -> None:
        """The provider works: an answer has begun, or the request itself was called wrong."""
        if round_ != self.round:
            return
        self.failures = 0
        if self.state is State.PROBING:
            self.state, self._window = State.RAMP, 2
        elif self.state is State.RAMP:
            self._window += 1
            if self._window >= max(_RAMP_LEAST, self._peak):
                self.state, self._openings, self._peak = State.CLOSED, 0, self.in_flight

    def fail(self, round_: int, policy: Policy, verdict: Verdict, now: float, random: Random) -> bool:
        """The provider's fault. Returns whether this opened the circuit."""
        if round_ != self.round:
            return False
        self.failures += 1
        if self.state is State.CLOSED:
            if self.failures < policy.circuit_failures:
                return False
            self.opened_at = now
        most_s = policy.circuit_most_s if now - self.opened_at < _LONG_AFTER_S else policy.circuit_long_s
        wait_s = min(policy.circuit_first_s * 2 ** min(self._openings, 16), most_s)
        self._openings += 1
        self.round += 1
        self.in_flight = 0
        self.state, self.verdict = State.OPEN, verdict
        self.open_until = now + wait_s * (1 + _JITTER * (random.random() - 0.5))
        return True
