"""Whether the gateway itself has more to do than it can: how late its loop runs, and how many requests it takes then.

All that a request needs is done in turns of one loop. When more comes in than one core can do, each turn takes longer
than the one before, everybody waits in all of them, and in the end nobody is served in time. So a timer looks how late
it is. A loop that is late once says nothing (a collection of garbage, a stopped process, a neighbour on the machine);
one that was late every time for a while does: the idea of CoDel (RFC 8289 §3), which looks at a queue's least delay in
an interval, not at its greatest.

What was taken a second while it was late is what can be done, for a loop that is late is never idle. A part of it is
taken from then on and the rest refused at the door, which costs half of serving a small one. The part goes down while
the loop stays late and up while it is not; when nobody had to be refused for a while, it is over.

Only who asks a model is refused; what runs is never cut, health and the operator's paths always answer. Nothing ticks
while nobody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ds2api.universal.errors import Error, Fault, Kind, Problem

__all__ = ["Load"]

_LOOK_S = 0.05
# CoDel's interval is 20 times its target of 5 ms. Looks are late themselves, so a number of them counts, too.
_INTERVAL_S = 1.0
_LOOKS_LEAST = 4
_FIRST_PART = 0.8
# Down at most once in `_DOWN_EACH_S`, since what waits already has to be got through first; up with each look.
_DOWN, _DOWN_EACH_S, _UP = 0.8, 0.5, 1.03
# Below, refusing the rest is what costs, and lowering gains little: a refusal is about half of what a small request is.
_LEAST_PART = 0.3
_LEAST_A_SECOND = 1.0
_BURST_S = 0.25  # tokens are given out once a turn, and turns are long here
_CALM_LOOKS = 20
_RETRY_AFTER_S = 1.0


class Load:
    """`loop_lag_s` is how late the loop may be. `note` gets a sentence for the operator when refusing begins and when
    it is over."""

    __slots__ = (
        "_calm_count",
        "_due_at",
        "_filled_at",
        "_has_come",
        "_is_looking",
        "_late_count",
        "_late_since",
        "_least",
        "_loop",
        "_loop_lag_s",
        "_lowered_at",
        "_note",
        "_refused_before",
        "_taken",
        "_tokens",
        "a_second",
        "refused_count",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, loop_lag_s: float, note: Callable[[str], None]) -> None:
        self._loop = loop
        self._loop_lag_s = loop_lag_s
        self._note = note
        self._is_looking = self._has_come = False
        self._due_at = self._late_since = self._lowered_at = self._filled_at = 0.0
        self._late_count = self._calm_count = 0
        self._taken = 0  # since it is late
        self._tokens = self._least = 0.0
        self._refused_before = 0  # until the last look
        self.refused_count = 0  # since refusing began
        self.a_second: float | None = None  # how many requests are taken; None: all

    def check(self) -> None:
        """A new request came. Raises `Problem` if it is one too many."""
        self._has_come = True
        if not self._is_looking:
            self._is_looking = True
            self._look_later()
        if self.a_second is None:
            self._taken += 1
            return
        now = self._loop.time()
        refill = (now - self._filled_at) * self.a_second
        self._tokens, self._filled_at = min(self._tokens + refill, 1.0 + self.a_second * _BURST_S), now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return
        self.refused_count += 1
        message = "more requests come than this gateway can serve at a time; send it again in a moment"
        raise Problem(Error(Fault.GATEWAY, Kind.OVERLOADED, message, retry_after_s=_RETRY_AFTER_S))

    def _look_later(self) -> None:
        self._due_at = self._loop.time() + _LOOK_S
        self._loop.call_at(self._due_at, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._due_at > self._loop_lag_s:
            self._is_late(now)
        else:
            self._is_in_time()
        self._refused_before = self.refused_count
        self._is_looking = self._has_come or self.a_second is not None
        self._has_come = False
        if self._is_looking:
            self._look_later()

    def _is_late(self, now: float) -> None:
        self._calm_count = 0
        if not self._late_count:
            self._late_since, self._taken = self._due_at, 0
        self._late_count += 1
        late_for_s = now - self._late_since
        if self.a_second is not None:
            if now - self._lowered_at >= _DOWN_EACH_S:
                self.a_second, self._lowered_at = max(self._least, self.a_second * _DOWN), now
        elif self._late_count >= _LOOKS_LEAST and late_for_s >= _INTERVAL_S:
            most = max(_LEAST_A_SECOND, self._taken / late_for_s)
            self.a_second, self._least = _FIRST_PART * most, _LEAST_PART * most
            self._lowered_at = self._filled_at = now
            self._tokens = 0.0
            self.refused_count = self._refused_before = 0
            self._note(
                f"more requests come than one process can serve: its loop is {now - self._due_at:.1f} s late; "
                f"{self.a_second:.0f} a second are taken, the others refused (timeouts.loop_lag_s)"
            )

    def _is_in_time(self) -> None:
        self._late_count = 0
        if self.a_second is None:
            return
        self.a_second *= _UP
        self._calm_count = self._calm_count + 1 if self.refused_count == self._refused_before else 0
        if self._calm_count >= _CALM_LOOKS:
            self.a_second, self._calm_count = None, 0
            self._note(f"every request is served again; {self.refused_count} were refused")
