"""Who waits, and who is served when something becomes free.

A ticket stands in the line of each of its targets (`line`); one whose conversation has an account of its own waits for
that one alone at first, where it is worth it. A line is looked at again when its first could be served by time alone,
and whenever something of an account has changed: an end, an answer's headers, a return.

Most changes serve nobody (a head says that a bucket is as full as was thought), so the account that has changed is
asked first whether it can take the first in line; only then is the best one looked for. With a thousand in line that
took an exchange from 200 to 140 µs, and from 110 heap operations to 42 (`bench --pool --cost`).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ds2api.accounts.account import Account
from ds2api.accounts.ask import Ask, Lease, Refused
from ds2api.accounts.choosing import NEVER, Chooser, Outlook, Pick
from ds2api.accounts.directory import Directory
from ds2api.accounts.lane import Lane
from ds2api.accounts.line import Ticket

__all__ = ["Begin", "Grant", "Waiting"]

# Tickets that are looked at for one that is at home where something has become free.
_HOME_LOOK = 4
# A line is looked at again after this time at the soonest.
_LEAST_WAKE_S = 0.001


@dataclass(frozen=True, slots=True)
class Grant:
    """What became of a ticket."""

    ticket: Ticket
    outcome: Lease | Refused


# Starts an attempt: (ask, place of the target, lane, whom, now, whether it was its turn in the line).
Begin = Callable[[Ask, int, Lane, Pick, float, bool], Lease]


class Waiting:
    """`begin` starts an attempt; `refusal` words what an outlook means for who gives up."""

    def __init__(
        self, directory: Directory, chooser: Chooser, begin: Begin, refusal: Callable[[Outlook, float], Refused]
    ) -> None:
        self._directory = directory
        self._chooser = chooser
        self._begin = begin
        self._refusal = refusal
        self.tickets: dict[Ticket, None] = {}
        self._busy: dict[Lane, None] = {}  # lanes with somebody in line
        self._at_home: dict[str, deque[Ticket]] = {}  # by account: who waits for it, alone or also
        self._timers: list[tuple[float, int, Ticket | Lane]] = []
        self._serials = itertools.count()

    def add(self, ticket: Ticket, now: float) -> None:
        """It waits: for its own account alone at first, where that is worth it, then in the line of each target."""
        ask, chooser = ticket.ask, self._chooser
        self.tickets[ticket] = None
        ticket.joins_at = now
        self._set_timer(ask.deadline, ticket)
        for _, lane in self._directory.lanes_of(ask):
            pinned = chooser.pinned(lane, ask, now) if ask.pins else None
            home = pinned or (None if ask.avoid else chooser.home(lane, ask))
            if home is None:
                continue
            at = chooser.home_at(lane, home, ask, now)
            wait_s = NEVER if pinned is not None else chooser.home_wait_s(lane, home, ask, now)
            until = min(ask.deadline, now + wait_s)
            if at <= until or pinned is not None:
                ticket.joins_at = until
                self._set_timer(until, ticket)
                self._set_timer(max(at, now + _LEAST_WAKE_S), ticket)
                ticket.wake_at = min(at, until)
            if at <= ask.deadline or pinned is not None:
                ticket.home = home.id
                self._at_home.setdefault(home.id, deque()).append(ticket)
            break
        self._stand_in_line(ticket, now)

    def leave(self, ticket: Ticket) -> None:
        """It is over, served or not."""
        ticket.is_over = True
        self.tickets.pop(ticket, None)
        waiting = self._at_home.get(ticket.home) if ticket.home is not None else None
        while waiting and waiting[0].is_over:
            waiting.popleft()
        if waiting is not None and not waiting and ticket.home is not None:
            del self._at_home[ticket.home]
        for lane, _ in ticket.lanes:
            lane.line.leave(ticket)
            if not lane.line.count:
                self._busy.pop(lane, None)
                lane.wake_at = None

    def take_all(self) -> list[Ticket]:
        """Nobody waits any more. Returns who did, the longest first."""
        tickets = sorted(self.tickets, key=lambda ticket: ticket.since)
        for ticket in tickets:
            ticket.lanes.clear()
        for room in (self.tickets, self._busy, self._at_home, self._timers):
            room.clear()
        return tickets

    def tick(self, now: float) -> list[Grant]:
        """Time has passed: who can be served, and whose patience is over."""
        grants: list[Grant] = []
        timers = self._timers
        while timers and timers[0][0] <= now:
            at, _, one = heapq.heappop(timers)
            if isinstance(one, Lane):
                if one.wake_at == at:
                    one.wake_at = None
                    self._serve_lane(one, now, grants)
            elif not one.is_over:
                self._wake(one, now, grants)
        return grants

    def next_wake(self) -> float | None:
        """When `tick` has something to do by time alone; None if nobody waits."""
        timers = self._timers
        while timers:
            at, _, one = timers[0]
            if (one.wake_at == at) if isinstance(one, Lane) else not one.is_over:
                return at
            heapq.heappop(timers)
        return None

    def changed(self, account: Account, now: float) -> list[Grant]:
        """Something of `account` has changed: who can be served since."""
        grants: list[Grant] = []
        if not self.tickets:
            return grants
        for ticket in list(itertools.islice(self._at_home.get(account.id, ()), _HOME_LOOK)):
            if not ticket.is_over and not ticket.lanes:
                lease = self._choose(ticket.ask, now)
                if lease is None:
                    break
                self.leave(ticket)
                grants.append(Grant(ticket, lease))
        for lane in [lane for lane in self._busy if lane.service.provider.name == account.provider]:
            if self._may_serve(lane, account, now):
                self._serve_lane(lane, now, grants)
        return grants

    def _may_serve(self, lane: Lane, account: Account, now: float) -> bool:
        """Whether the line of `lane` is to be looked at, since `account` has changed. If that one alone cannot take
        the first, nobody can who could not before; it may be able to sooner than was thought."""
        first = lane.line.first()
        if first is None or first.ask.pins or lane.closed_until != lane.service.free_at():
            return True
        if lane.wake_at is not None and lane.wake_at <= now:
            return True
        at = self._chooser.home_at(lane, account, first.ask, now)
        if at <= now:
            return True
        if at < (NEVER if lane.wake_at is None else lane.wake_at):
            lane.wake_at = max(at, now + _LEAST_WAKE_S)
            self._set_timer(lane.wake_at, lane)
        return False

    def _choose(self, ask: Ask, now: float) -> Lease | None:
        """An account that can serve now, if nobody stands before this one."""
        found = self._chooser.first(ask, now)
        return None if found is None else self._begin(ask, *found, now, False)

    def _stand_in_line(self, ticket: Ticket, now: float) -> None:
        """In the line of each target where it does not stand yet and may."""
        if now < ticket.joins_at:
            return
        ask, chooser = ticket.ask, self._chooser
        for index, lane in self._directory.lanes_of(ask):
            if any(lane is one for one, _ in ticket.lanes):
                continue
            backs_off_until = chooser.backs_off(lane.service, ask, now)
            if backs_off_until is not None:
                if backs_off_until < ask.deadline:
                    self._set_timer(backs_off_until, ticket)
                continue
            ticket.lanes.append((lane, index))
            lane.line.push(ticket, lane.seconds(chooser.likely_cost(lane, ask)) or 1.0)
            self._busy[lane] = None
            if lane.wake_at is None:
                self._wake_lane(lane, ask, now)

    def _wake(self, ticket: Ticket, now: float, grants: list[Grant]) -> None:
        """A time that matters to `ticket` has come: of its own account, of its back-off, of the end of its patience."""
        ask = ticket.ask
        if not ticket.lanes and (lease := self._choose(ask, now)) is not None:
            self.leave(ticket)
            grants.append(Grant(ticket, lease))
        elif ask.deadline <= now:
            self.leave(ticket)
            grants.append(Grant(ticket, self._refusal(self._chooser.outlook(ask, now), now)))
        elif now >= ticket.joins_at:
            self._stand_in_line(ticket, now)
        elif ticket.home is not None and (home := self._directory.accounts.get(ticket.home)) is not None:
            lanes = self._directory.lanes_of(ask)
            at = min((self._chooser.home_at(lane, home, ask, now) for _, lane in lanes), default=NEVER)
            if now < at < ticket.joins_at:
                self._set_timer(at, ticket)

    def _serve_lane(self, lane: Lane, now: float, grants: list[Grant]) -> None:
        """Serve the line of `lane` as far as it goes now."""
        while (first := lane.line.first()) is not None:
            pick = self._chooser.pick(lane, first.ask, now, in_turn=True)
            if pick is None:
                self._wake_lane(lane, first.ask, now)
                return
            ticket, pick = self._at_home_first(lane, first, pick, now)
            target = next(index for one, index in ticket.lanes if one is lane)
            lease = self._begin(ticket.ask, target, lane, pick, now, ticket is first)
            self.leave(ticket)
            grants.append(Grant(ticket, lease))
        self._busy.pop(lane, None)
        lane.wake_at = None

    def _at_home_first(self, lane: Lane, first: Ticket, pick: Pick, now: float) -> tuple[Ticket, Pick]:
        """Whom the account of `pick` serves: the first in line, unless somebody little behind it is at home there."""
        if pick.is_home:
            return first, pick
        looked = 0
        for ticket in self._at_home.get(pick.account.id, ()):
            if ticket.is_over:
                continue
            looked += 1
            if looked > _HOME_LOOK:
                break
            if not any(one is lane for one, _ in ticket.lanes):
                continue
            if not self._chooser.may_overtake(lane, ticket.ask, ticket.since, now):
                break
            better = self._chooser.pick_one(lane, pick.account, ticket.ask, now, "home of the conversation")
            if better is not None:
                return ticket, better
        return first, pick

    def _wake_lane(self, lane: Lane, ask: Ask, now: float) -> None:
        """Look at the line of `lane` again when its first, `ask`, could be served by time alone."""
        outlook = Outlook()
        self._chooser.look_out(lane, ask, now, outlook)
        lane.closed_until = lane.service.free_at()
        lane.wake_at = None
        if outlook.at < NEVER:
            lane.wake_at = max(outlook.at, now + _LEAST_WAKE_S)
            self._set_timer(lane.wake_at, lane)

    def _set_timer(self, at: float, one: Ticket | Lane) -> None:
        heapq.heappush(self._timers, (at, next(self._serials), one))
