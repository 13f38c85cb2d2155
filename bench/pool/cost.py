"""What a decision costs: microseconds of CPU for one acquire, hear and settle, at 10, 1,000 and 10,000 accounts.

Four states: *spread* (all have room), *spent* (every account has just used what it may, one slot comes free for each
request), each with and without conversations, and *line* (the same with 1,000 in the line, served by the clock). Heap
operations are counted in a pass of their own, since counting is slow. Only the ratio of 10,000 accounts to 10 is a
goal: machines differ.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import FrameType
from typing import Any

from ds2api.accounts import Account, AccountLimits, Ask, Candidate, Lease, Pool
from ds2api.universal.usage import Usage

__all__ = ["SIZES", "Cost", "costs", "table"]

SIZES = (10, 1_000, 10_000)
STATES = ("spread", "spread, conversations", "spent", "spent, conversations", "line of 1,000")
MOST_RATIO = 4.0
# Requests a minute of one account.
_RPM = 60.0
_ROUNDS = 5
_COUNT = 1_000
_HEAP = ("heappush", "heappop", "heappushpop", "heapreplace", "heapify")


@dataclass(frozen=True)
class Cost:
    state: str
    accounts: int
    microseconds: float
    heap_operations: float


class _Load:
    """A pool in one state, and a clock that goes on so that one request finds room."""

    def __init__(self, state: str, accounts: int) -> None:
        limits = AccountLimits(rpm=_RPM)
        self.pool = Pool([Account(f"p/{number}", "p", limits) for number in range(accounts)], random=Random(1))
        self.now = 1_000.0
        self._number = 0
        self._has_conversations, self._conversations = "conversations" in state, 10 * accounts
        self._step_s = 60 / _RPM / accounts * (10 if state.startswith("spread") else 1.001)
        if not state.startswith("spread"):
            self._spend(accounts)
        while state.startswith("line") and self.pool.waiting < 1_000:
            if isinstance(answer := self.pool.acquire(self._ask(), self.now), Lease):
                self._end(answer)

    def _ask(self, *, is_alone: bool = False) -> Ask:
        self._number += 1
        affinity = str(self._number % self._conversations) if self._has_conversations and not is_alone else None
        return Ask([Candidate("p", "m")], self.now + 1e6, affinity=affinity, input_tokens=1_000, output_limit=500)

    def _spend(self, accounts: int) -> None:
        """Use everything up, so that free slots come one after another: all accounts are full, each is used once at
        another moment, and then all that is left goes at once."""
        self.now += 60.0
        for _ in range(accounts):
            self.one()
        while not self.pool.waiting:
            if isinstance(answer := self.pool.acquire(self._ask(is_alone=True), self.now), Lease):
                self._end(answer)

    def _end(self, lease: Lease) -> None:
        self.pool.hear(lease, self.now)
        self.pool.settle(lease, None, self.now, usage=Usage(900, 100, output_text=200))

    def one(self) -> None:
        """One request through the pool; in the line's state it stands at its end, and the first is served."""
        self.now += self._step_s
        answer = self.pool.acquire(self._ask(), self.now)
        if isinstance(answer, Lease):
            self._end(answer)
            return
        for grant in self.pool.tick(self.now):
            if isinstance(grant.outcome, Lease):
                self._end(grant.outcome)


def _microseconds(act: Callable[[], None]) -> float:
    """The best round: what is above it is other programs."""
    best = float("inf")
    for _ in range(_ROUNDS):
        before = time.process_time()
        for _ in range(_COUNT):
            act()
        best = min(best, time.process_time() - before)
    return best / _COUNT * 1e6


def _heap_operations(act: Callable[[], None]) -> float:
    count = 0

    def look(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call" and argument.__name__ in _HEAP

    sys.setprofile(look)
    try:
        for _ in range(_COUNT):
            act()
    finally:
        sys.setprofile(None)
    return count / _COUNT


def costs(say: Callable[[str], None]) -> list[Cost]:
    found = []
    for state in STATES:
        for accounts in SIZES:
            say(f"{state}, {accounts:,} accounts")
            load = _Load(state, accounts)
            found.append(Cost(state, accounts, _microseconds(load.one), _heap_operations(load.one)))
    say("")
    return found


def table(found: list[Cost]) -> tuple[str, bool]:
    """The table, and whether the goal is reached."""
    lines = ["| state | " + " | ".join(f"{size:,} accounts" for size in SIZES) + " | ratio |", "|---" * 5 + "|"]
    reached = True
    for state in STATES:
        row = [one for one in found if one.state == state]
        ratio = row[-1].microseconds / row[0].microseconds
        reached = reached and ratio <= MOST_RATIO
        cells = [f"{one.microseconds:.1f} µs, {one.heap_operations:.1f} heap operations" for one in row]
        lines.append(f"| {state} | " + " | ".join(cells) + f" | {ratio:.2f} |")
    return "\n".join(lines), reached
