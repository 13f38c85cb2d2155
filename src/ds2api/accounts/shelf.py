"""Where the account with the most headroom is found without looking at all: one shelf for each (tier, model).

An *offer* is one bench for one model: its limit group's quota, and what it has running. Offers lie in a heap by the
time at which their buckets hold anything at all (`Quota.open_at`), which does not change while time passes; where no
limit is known, by load. So a decision costs O(log n): whatever changes an offer puts it in again, and what the heap
still holds of before is dropped when it comes up. Who is full, or rests, lies elsewhere until an end or its time: in
the heap it would hide who stands behind. A bench is put on a shelf when its turn comes for the first time, one
with each decision, so that a model whose name somebody made up costs nothing.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from ds2api.accounts.account import Account
from ds2api.accounts.bucket import KINDS
from ds2api.accounts.costs import Cost
from ds2api.accounts.quota import Quota
from ds2api.accounts.roster import Bench, Tier
from ds2api.accounts.verdicts import Verdict

__all__ = ["Offer", "Shelf"]

# Offers that are looked at for one that this request fits, or may be served by: a request may be too large for the
# first ones, and accounts that failed it are left out.
_LOOK = 8
# A conversation is placed by its hash where the load allows: what the chosen one has less than the best may be this
# many seconds' worth of its limits.
_EVEN_S = 0.5
# Accounts on the ring that are looked at for that.
_RING_LOOK = 8
# Old entries are swept out when they are so many times the offers.
_STALE = 4


class Offer:
    """`bench` for one model. `version` counts its changes: older entries of the heap say nothing."""

    __slots__ = ("bench", "counted", "counted_version", "placed", "quota", "shelf", "version")

    def __init__(self, bench: Bench, quota: Quota, shelf: Shelf) -> None:
        self.bench = bench
        self.quota = quota
        self.shelf = shelf
        self.version = 0
        self.placed: tuple[float, float] | None = None  # where it lies in the heap: by its time, then by its load
        self.counted: tuple[float | None, ...] | None = None  # what the shelf's sums hold of it
        self.counted_version = -1


class Shelf:
    """The offers of `tier` for `model`. `quota_of` gives the quota of a bench's limit group."""

    def __init__(self, tier: Tier, model: str, quota_of: Callable[[Account], Quota]) -> None:
        self.tier = tier
        self.model = model
        self._quota_of = quota_of
        self._untouched = 0  # benches from here on have not been put in
        self._heap: list[tuple[float, float, int, int, Offer]] = []
        self._later: list[tuple[float, int, int, Offer]] = []  # those that rest, by the end of it
        self._serials = itertools.count()
        self.offers: list[Offer] = []  # of the benches that have been put in
        # Units a minute of each kind, over the offers that may serve; and how many of them have no such limit.
        self._rates = [0.0] * len(KINDS)
        self._unlimited = [0] * len(KINDS)
        self._full: set[Offer] = set()  # those that nobody looks at until an attempt of theirs ends
        self.serving = 0

    def offer(self, account: Account, bench: Bench) -> Offer:
        """The offer of `account`, which sits on `bench`."""
        offer = bench.offers.get(self.model)
        if offer is None:
            offer = bench.offers[self.model] = Offer(bench, self._quota_of(account), self)
            offer.quota.offers.append(offer)
            self.offers.append(offer)
            self.put(offer)
        return offer

    def put(self, offer: Offer) -> None:
        """It has changed, or is new. Where it lies as it must already, nothing is done."""
        bench, quota = offer.bench, offer.quota
        if not bench.seated:
            self._leave_heap(offer)
            if offer not in bench.parked:
                bench.parked.append(offer)
                self._count(offer, None)
            return
        if offer.counted is None or offer.counted_version != quota.limits_version:
            limits = [quota.bucket(kind) for kind in range(len(KINDS))]
            self._count(offer, tuple(None if one is None else one.limit for one in limits))
            offer.counted_version = quota.limits_version
        placed = (quota.open_at, bench.load)
        if placed == offer.placed:
            return
        offer.version += 1  # as `_leave_heap`
        self._full.discard(offer)
        offer.placed = placed
        heapq.heappush(self._heap, (*placed, next(self._serials), offer.version, offer))
        if len(self._heap) > _STALE * len(self.offers) + 64:
            self._heap[:] = [entry for entry in self._heap if entry[3] == entry[4].version]
            heapq.heapify(self._heap)

    def find(
        self, cost: Cost, now: float, wall_s: float, avoid: frozenset[str] = frozenset()
    ) -> tuple[Offer, Account] | float:
        """The offer with the most headroom that can take `cost` now, and its account; else when one could, as far as
        the first ones tell (infinity: no clock helps, somebody's end may)."""
        self.tier.returns(now)
        while self._later and self._later[0][0] <= now:
            self.put(heapq.heappop(self._later)[3])
        self._touch_next()
        heap = self._heap
        looked: list[tuple[float, float, int, int, Offer]] = []
        found: tuple[Offer, Account] | None = None
        soonest = float("inf")
        while (heap or self._touch_next()) and len(looked) < _LOOK + len(avoid):
            open_at, _, serial, version, offer = heap[0]
            if version != offer.version:
                heapq.heappop(heap)
                continue
            if not offer.bench.seated:
                heapq.heappop(heap)
                self.put(offer)  # parks it
                continue
            quota = offer.quota
            if quota.is_full:
                heapq.heappop(heap)
                self._leave_heap(offer)
                self._full.add(offer)
                continue
            account = offer.bench.member(self.model, avoid, now)
            rests_until = quota.out_until
            if account is None:
                rests_until = max(rests_until, offer.bench.rests_until(self.model, now))
            if rests_until > now:
                heapq.heappush(self._later, (rests_until, serial, version, offer))
                heapq.heappop(heap)
                self._leave_heap(offer)
                continue
            if quota.open_at > open_at:  # changed by way of another shelf
                offer.placed = (quota.open_at, offer.bench.load)
                heapq.heapreplace(heap, (*offer.placed, serial, version, offer))
                continue
            if open_at >= soonest:  # nobody behind can serve sooner, but who has never served
                if self._touch_next():
                    continue
                break
            if account is not None:
                free_at = quota.free_at(cost, now, wall_s)
                if free_at <= now:
                    found = offer, account
                    break
                soonest = min(soonest, free_at)
            looked.append(heapq.heappop(heap))
            self._touch_next()
        for entry in looked:
            heapq.heappush(heap, entry)
        if found is not None:
            return found
        return min(soonest, self._later[0][0]) if self._later else soonest

    def place(
        self, spot: int, cost: Cost, now: float, wall_s: float, avoid: frozenset[str]
    ) -> tuple[Offer, Account] | float:
        """As `find`, for a conversation whose hash is `spot`: the account that the hash names, unless others have
        clearly more headroom (consistent hashing with bounded loads, Mirrokni 2017)."""
        best = self.find(cost, now, wall_s, avoid)
        if isinstance(best, float):
            return best
        offer, account = best
        least = _headroom_s(offer, now) - _EVEN_S
        load = offer.bench.load
        for one in self.tier.from_spot(spot, _RING_LOOK):
            if one is account:
                return best
            bench = one.benches[0]
            if bench.tier is not self.tier:
                bench = next(bench for bench in one.benches if bench.tier is self.tier)
            rest = one.rests.get(self.model) if one.rests else None
            if one.id in avoid or one.id not in bench.seated or (rest is not None and rest.until > now):
                continue
            other = bench.offers.get(self.model) or self.offer(one, bench)
            if (
                bench.load <= load + 1 / max(bench.share, 1.0)
                and _headroom_s(other, now) >= least
                and not other.quota.is_full
                and other.quota.free_at(cost, now, wall_s) <= now
            ):
                return other, one
        return best

    @property
    def is_full(self) -> bool:
        """Whether somebody could serve at the end of an attempt, after a `find`."""
        return bool(self._full)

    def cause(self, now: float) -> Verdict | None:
        """Why the one who could serve soonest cannot now, after a `find` that found nobody."""
        if self._heap:
            return self._heap[0][4].quota.cause
        if not self._later:
            return None
        until, _, _, offer = self._later[0]
        rests = [account.rests.get(self.model) for account in itertools.islice(offer.bench.seated.values(), _LOOK)]
        return next((rest.cause for rest in rests if rest is not None and rest.until == until), offer.quota.cause)

    def seconds(self, cost: Cost) -> float | None:
        """How much of the time of all offers together `cost` takes; None where no limit is known."""
        if self._untouched < len(self.tier.benches):
            return None
        seconds = [
            60 * cost[kind] / rate
            for kind, rate in enumerate(self._rates)
            if rate > 0 and not self._unlimited[kind] and self.serving
        ]
        return max(seconds, default=None)

    def _leave_heap(self, offer: Offer) -> None:
        """What the heap holds of it says nothing any more."""
        offer.version += 1
        offer.placed = None
        self._full.discard(offer)

    def _count(self, offer: Offer, limits: tuple[float | None, ...] | None) -> None:
        for sign, counted in ((-1, offer.counted), (1, limits)):
            if counted is None:
                continue
            self.serving += sign
            for kind, limit in enumerate(counted):
                if limit is None:
                    self._unlimited[kind] += sign
                else:
                    self._rates[kind] += sign * limit
        offer.counted = limits

    def _touch_next(self) -> bool:
        """Put in one bench more where somebody sits. Returns whether there was one."""
        benches = self.tier.benches
        while self._untouched < len(benches):
            bench = benches[self._untouched]
            self._untouched += 1
            if bench.accounts and self.model not in bench.offers:
                self.offer(next(iter(bench.accounts.values())), bench)
                if bench.seated:
                    return True
        return False


def _headroom_s(offer: Offer, now: float) -> float:
    """Seconds' worth that it has at once."""
    buckets = offer.quota.buckets
    if not buckets:
        return float("inf")
    return min([min(now - bucket.open_at, bucket.burst_s) for bucket in buckets])
