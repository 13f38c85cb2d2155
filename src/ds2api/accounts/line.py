"""Where requests wait for one model at one provider: a fair line.

Start-time fair queueing (Goyal 1996): each caller has a clock that goes on by what is served to it, divided by its
weight; who is furthest behind goes first, and whoever comes anew starts at the line's clock, not at zero. So a caller
that asks for less than its share waits as if it were alone, and a greedy one waits for itself. What is counted is the
part of the accounts' time that a request takes (the dominant limit of its cost), not requests.

A caller's own requests are served in the order in which they came. A ticket may stand in several lines (one for each
target); whichever serves it first has it, the others drop it when it comes up. Serving costs O(log callers).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ds2api.accounts.ask import Ask

if TYPE_CHECKING:
    from ds2api.accounts.lane import Lane

__all__ = ["FairLine", "Ticket"]

# Of so many callers it is looked at how much each has waiting; of more, all are thought to have as much.
_COUNTED = 32


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the line. `wake_at` is the earliest clock at which it could be served by time alone, as far as was
    known when it was given out."""

    ask: Ask
    wake_at: float
    since: float = 0.0
    is_over: bool = False
    lanes: list[tuple[Lane, int]] = field(default_factory=list)  # where it stands, and for which target
    seconds: float = 0.0  # of the accounts' time that it takes
    joins_at: float = 0.0  # till then it waits for `home` alone
    home: str | None = None  # the account that it also waits for


class _Queue:
    """One caller's tickets in one line."""

    __slots__ = ("clock", "count", "seconds", "tickets")

    def __init__(self, clock: float) -> None:
        self.clock = clock
        self.count = 0  # those that are not over
        self.seconds = 0.0  # of the accounts' time that they take
        self.tickets: deque[Ticket] = deque()


class FairLine:
    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._heap: list[tuple[float, int, _Queue]] = []
        self._serials = itertools.count()
        self._clock = 0.0
        self.count = 0
        self.seconds = 0.0

    def push(self, ticket: Ticket, seconds: float) -> None:
        """At the end, with so much of the accounts' time to be spent on it."""
        ticket.seconds = seconds
        queue = self._queues.get(ticket.ask.caller)
        if queue is None:
            queue = self._queues[ticket.ask.caller] = _Queue(self._clock)
        if not queue.tickets:
            queue.clock = max(queue.clock, self._clock)
            heapq.heappush(self._heap, (queue.clock, next(self._serials), queue))
        queue.tickets.append(ticket)
        queue.count += 1
        queue.seconds += seconds
        self.count += 1
        self.seconds += seconds

    def first(self) -> Ticket | None:
        """Whose turn it is."""
        while self._heap:
            clock, serial, queue = self._heap[0]
            while queue.tickets and queue.tickets[0].is_over:
                queue.tickets.popleft()
            if not queue.tickets:
                heapq.heappop(self._heap)
            elif clock < queue.clock:  # served out of turn
                heapq.heapreplace(self._heap, (queue.clock, serial, queue))
            else:
                return queue.tickets[0]
        if self._queues:  # the line is empty: who comes next starts alike
            self._queues.clear()
            self._clock = 0.0
        return None

    def charge(self, caller: str, weight: float, seconds: float, *, is_turn: bool) -> None:
        """`caller` is served while somebody waits, which takes `seconds` of the accounts' time; `is_turn`: it was its
        turn, else it has overtaken."""
        queue = self._queues.get(caller)
        if queue is None:
            queue = self._queues[caller] = _Queue(self._clock)
        if is_turn:
            self._clock = max(self._clock, queue.clock)
        queue.clock += seconds / max(weight, 1e-3)

    def leave(self, ticket: Ticket) -> None:
        """`ticket` is over, served or not."""
        queue = self._queues.get(ticket.ask.caller)
        if queue is None:
            return
        self.count -= 1
        queue.count -= 1
        queue.seconds -= ticket.seconds
        self.seconds = self.seconds - ticket.seconds if self.count else 0.0

    def lead(self, caller: str, other: str) -> float:
        """By how much `caller` has had more than `other`."""
        mine, theirs = self._queues.get(caller), self._queues.get(other)
        return (self._clock if mine is None else mine.clock) - (self._clock if theirs is None else theirs.clock)

    def wait_s(self, caller: str, seconds: float) -> float:
        """How long until one more request of `caller` is served, which takes `seconds` of the accounts' time: all that
        wait go before it, or, where its caller has few, as much of each other caller's as of its own."""
        own = self._queues.get(caller)
        mine_s = seconds + (own.seconds if own is not None else 0.0)
        if len(self._queues) > _COUNTED:
            active = len(self._heap) + (own is None or not own.count)
            return min(self.seconds + seconds, mine_s * max(1, active))
        others = (queue.seconds for queue in self._queues.values() if queue is not own)
        return mine_s + sum(other_s if other_s < mine_s else mine_s for other_s in others)

    def waiting(self) -> dict[str, int]:
        """By caller, for people."""
        return {caller: queue.count for caller, queue in self._queues.items() if queue.count}

    def tickets(self) -> list[Ticket]:
        return [ticket for queue in self._queues.values() for ticket in queue.tickets if not ticket.is_over]
