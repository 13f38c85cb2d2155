"""A circuit for each (provider, model), and one for a provider that cannot be reached at all.

                 failures in a row              the time is over            the probe is accepted
    CLOSED ────────────────────────► OPEN ────────────────────► PROBING ────────────────────────► RAMP
       ▲                              ▲  ▲                         │ fails                        │ │ fails
       │                              │  └─────────────────────────┘                              │ │
       │                              └───────────────────────────────────────────────────────────│─┘
       └───────────────────────────────────────────────────────────── three seconds without a failure ──┘

A provider's fault blames no key, and the next key of an overloaded provider only adds load (`pool-model.md` §5). So
nothing is asked while the circuit is open; then one request goes ahead; then two at a time wait for their first byte,
and twice as many each half second, so that the old rate is back within seconds and no herd comes. The probe's place is
free again however the probe ends (R106).
"""

from __future__ import annotations

from enum import StrEnum
from math import log2
from random import Random

from ds2api.accounts.policy import Policy
from ds2api.accounts.verdicts import Verdict

__all__ = ["Circuit", "State"]

# An outage that lasts longer than this is asked more seldom.
_LONG_AFTER_S = 60.0
# A ramp: as many at a time at its beginning, doubled so often, over after so long (128 at a time by then).
_RAMP_FIRST, _RAMP_DOUBLED_S, _RAMP_S = 2, 0.5, 3.0
# Jitter of an opening, so that several gateways do not knock together.
_JITTER = 0.2


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    RAMP = "ramp"


class Circuit:
    """Closed at first. `begin` gives the attempt's round, which exactly one of `accept`, `fail` and `end` takes: what
    was begun before the circuit opened says nothing about what came after. While it `is_quiet` nobody need tell it of a
    beginning (in `round`) or of an answer: nothing would change."""

    __slots__ = (
        "_openings", "_ramp_at", "failures", "is_quiet", "open_until", "opened_at", "pending", "round", "state",
        "verdict",
    )  # fmt: skip

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.round = 0
        self.failures = 0  # in a row
        self.pending = 0  # attempts of this round, since it opened, of which nothing has been heard
        self.is_quiet = True  # closed, and nothing has failed since the last answer
        self.open_until = 0.0
        self.opened_at = 0.0  # of the outage, not of its last probe
        self.verdict: Verdict | None = None  # that opened it
        self._openings = 0  # in a row
        self._ramp_at = 0.0

    def free_at(self) -> float:
        """When an attempt may begin: in the past if it may now, infinity if only the end of the probe decides."""
        match self.state:
            case State.CLOSED:
                return float("-inf")
            case State.OPEN:
                return self.open_until
            case State.PROBING:
                return float("inf") if self.pending else float("-inf")
        return self._ramp_at + _RAMP_DOUBLED_S * log2(max(self.pending + 1, _RAMP_FIRST) / _RAMP_FIRST)

    def begin(self, now: float) -> int:
        """An attempt begins, which `free_at` allows. Returns its round."""
        if self.state is State.OPEN:
            self.state = State.PROBING
        elif self.state is State.RAMP and now >= self._ramp_at + _RAMP_S:
            self.state, self._openings, self.pending = State.CLOSED, 0, 0
            self.is_quiet = not self.failures
        if self.state is not State.CLOSED:
            self.pending += 1
        return self.round

    def end(self, round_: int) -> None:
        """The attempt is over, and nothing was heard of it."""
        if round_ == self.round and self.pending:
            self.pending -= 1

    def accept(self, round_: int, now: float) -> None:
        """The provider works: an answer has begun, or the request itself was called wrong. Instead of `end`."""
        if round_ != self.round:
            return
        if self.pending:
            self.pending -= 1
        self.failures = 0
        self.is_quiet = self.state is State.CLOSED
        if self.state is State.PROBING:
            self.state, self._ramp_at = State.RAMP, now

    def fail(self, round_: int, policy: Policy, verdict: Verdict, now: float, random: Random) -> bool:
        """The provider's fault. Returns whether this opened the circuit."""
        if round_ != self.round:
            return False
        self.failures += 1
        self.is_quiet = False
        if self.state is State.CLOSED:
            if self.failures < policy.circuit_failures:
                return False
            self.opened_at = now
        most_s = policy.circuit_most_s if now - self.opened_at < _LONG_AFTER_S else policy.circuit_long_s
        wait_s = min(policy.circuit_first_s * 2 ** min(self._openings, 16), most_s)
        self._openings += 1
        self.round += 1
        self.pending = 0
        self.state, self.verdict = State.OPEN, verdict
        self.open_until = now + wait_s * (1 + _JITTER * (random.random() - 0.5))
        return True
