"""Who is there: the accounts of a provider (that carry certain tags), by priority and limit group.

A *bench* is one limit group's accounts of one priority: what is chosen first, since a bucket belongs to the group; then
one of its accounts takes the turn. Only who may serve now sits on it. A *tier* is all benches of one priority. Whoever
is out is kept with the time of the return, and sits down again when somebody looks after that time.

Nothing here knows a model; `shelf` does. Adding, finding, sitting down and getting up are O(1) or O(log n).
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ds2api.accounts.account import Account

if TYPE_CHECKING:
    from ds2api.accounts.shelf import Offer

__all__ = ["Bench", "Roster", "Tier"]

# Places on the ring for each unit of weight: with 64 the shares of ten equal accounts differ by about a tenth, and the
# ring of 10,000 takes 25 MB. What falls unevenly is moved by the load (`shelf`).
_POINTS = 64
_POINTS_MOST = 200_000
_64_BITS = (1 << 64) - 1
# Accounts of one group that are looked at for one that is not avoided.
_LOOK = 16
_NEVER = float("inf")


class Bench:
    """The accounts of one limit group in one tier. `offers`: the models that it has served, on the shelves of its tier.
    `parked`: those that nobody looks at while nobody sits here."""

    __slots__ = ("accounts", "group", "in_flight", "offers", "parked", "seated", "share", "tier")

    def __init__(self, group: str, tier: Tier) -> None:
        self.group = group
        self.tier = tier
        self.accounts: dict[str, Account] = {}
        self.seated: OrderedDict[str, Account] = OrderedDict()
        self.offers: dict[str, Offer] = {}
        self.parked: list[Offer] = []
        self.in_flight = 0
        self.share = 0.0

    @property
    def load(self) -> float:
        return self.in_flight / self.share if self.share else float(self.in_flight)

    def seat(self, account: Account) -> None:
        """It may serve. Harmless twice."""
        if account.id in self.seated:
            return
        self.seated[account.id] = account
        if self.parked:
            parked, self.parked = self.parked, []
            for offer in parked:
                offer.shelf.put(offer)

    def unseat(self, account: Account) -> None:
        """It may not. Harmless twice."""
        self.seated.pop(account.id, None)

    def member(self, model: str, avoid: frozenset[str], now: float) -> Account | None:
        """Whose turn it is: the one that has waited longest, if it may serve `model` and is not to be avoided."""
        for account in itertools.islice(self.seated.values(), _LOOK):
            rest = account.rests.get(model)
            if account.id not in avoid and account.weight > 0 and (rest is None or rest.until <= now):
                return account
        return None

    def rests_until(self, model: str, now: float) -> float:
        """Where nobody may serve `model`, whomever one avoids: until when; else the past."""
        soonest = _NEVER
        for account in itertools.islice(self.seated.values(), _LOOK):
            rest = account.rests.get(model)
            if account.weight > 0:
                if rest is None or rest.until <= now:
                    return -_NEVER
                soonest = min(soonest, rest.until)
        return soonest if soonest < _NEVER else -_NEVER

    def took(self, account: Account) -> None:
        """It has just begun an attempt: the others go first next time."""
        self.in_flight += 1
        if len(self.seated) > 1 and account.id in self.seated:
            self.seated.move_to_end(account.id)


class Tier:
    """The accounts of one priority."""

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.benches: list[Bench] = []
        self._by_group: dict[str, Bench] = {}
        self.full: set[str] = set()  # whose next end frees a place
        self._away: list[tuple[float, int, Account]] = []  # a heap: when each may sit down again
        self._serials = itertools.count()
        self._ring: list[Account] = []  # around it, at the points of `_points`
        self._points: list[int] = []

    def add(self, account: Account) -> Bench:
        bench = self._bench(account.group)
        bench.accounts[account.id] = account
        bench.share += account.share
        bench.in_flight += account.in_flight  # it may have begun before this roster was made
        account.benches.append(bench)
        self.look_at(account)
        return bench

    def move(self, account: Account, bench: Bench) -> None:
        """Its group has been found out: from its own `bench` to the group's. What it has running counts there."""
        del bench.accounts[account.id]
        bench.unseat(account)
        bench.share -= account.share
        account.benches.remove(bench)
        bench.in_flight -= account.in_flight
        self.add(account)

    def look_at(self, account: Account) -> None:
        """Its health or what it has running has changed: it sits down, or gets up until its time."""
        bench = next(bench for bench in account.benches if bench.tier is self)
        ready_at = account.ready_at
        self.full.discard(account.id)
        if account.is_full:
            bench.unseat(account)
            if ready_at < _NEVER:
                self.full.add(account.id)
        elif ready_at == -_NEVER:
            bench.seat(account)
        else:
            bench.unseat(account)
            heapq.heappush(self._away, (ready_at, next(self._serials), account))

    def returns(self, now: float) -> None:
        """Whose time is over sits down."""
        away = self._away
        while away and away[0][0] <= now:
            _, _, account = heapq.heappop(away)
            if account.ready_at <= now and not account.is_full:
                for bench in account.benches:
                    if bench.tier is self:
                        bench.seat(account)

    def next_return(self) -> tuple[float, Account | None]:
        """When somebody is back, if nobody is there; infinity and whoever it is if no clock helps."""
        away = self._away
        while away:
            at, _, account = away[0]
            if account.ready_at == at and any(bench.tier is self for bench in account.benches):
                return at, account
            heapq.heappop(away)  # known better since
        return _NEVER, None

    def from_spot(self, spot: int, most: int) -> list[Account]:
        """The accounts at the next `most` points of a hash ring, from `spot` (64 bits) on: the same for everybody who
        asks, and as long as nobody comes or goes (Karger 1997)."""
        ring = self._ring or self._make_ring()
        start = bisect(self._points, spot)
        found = ring[start : start + most]
        while len(found) < most and len(found) < len(ring):
            found += ring[: most - len(found)]
        return found

    def _make_ring(self) -> list[Account]:
        accounts = [account for bench in self.benches for account in bench.accounts.values() if account.weight > 0]
        most = max(1, _POINTS_MOST // max(1, len(accounts)))
        ring = [
            (_mixed(account.spot, point), account)
            for account in accounts
            for point in range(min(most, max(1, round(_POINTS * account.weight))))
        ]
        ring.sort(key=lambda point: point[0])
        self._points = [point for point, _ in ring]
        self._ring = [account for _, account in ring]
        return self._ring

    def _bench(self, group: str) -> Bench:
        bench = self._by_group.get(group)
        if bench is None:
            bench = self._by_group[group] = Bench(group, self)
            self.benches.append(bench)
        return bench


class Roster:
    """The accounts of `provider` that carry all of `tags`, as tiers in the order of their priority."""

    def __init__(self, provider: str, tags: frozenset[str], accounts: Iterable[Account]) -> None:
        self.provider = provider
        self.tags = tags
        tiers: dict[int, Tier] = {}
        self.bench_of: dict[str, Bench] = {}  # by account
        for account in accounts:
            if tags <= account.tags:
                tier = tiers.setdefault(account.priority, Tier(account.priority))
                self.bench_of[account.id] = tier.add(account)
        self.tiers = [tiers[priority] for priority in sorted(tiers)]

    def regroup(self, account: Account) -> None:
        """`account.group` has changed."""
        bench = self.bench_of.get(account.id)
        if bench is not None:
            bench.tier.move(account, bench)
            self.bench_of[account.id] = next(one for one in account.benches if one.tier is bench.tier)


def _mixed(spot: int, point: int) -> int:
    """The finalizer of splitmix64 (Steele 2014)."""
    mixed = ((spot + point * 0x9E3779B97F4A7C15) & _64_BITS) * 0xBF58476D1CE4E5B9 & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return mixed ^ (mixed >> 31)
