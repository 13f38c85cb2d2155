"""Whom an ask goes to now, and if to nobody, when somebody could serve it. Decides and changes nothing.

Per target in order, the account is: the one that the request is bound to (`pins`); else the conversation's own, which
is waited for a little (`home_wait_s`); else, of the lowest priority that can serve at all, the one with the most
headroom. Nobody overtakes who stands in line but a turn at its own account (`may_overtake`).
"""

from __future__ import annotations

from hashlib import blake2b

from ds2api.accounts.account import Account
from ds2api.accounts.ask import Ask
from ds2api.accounts.costs import Cost
from ds2api.accounts.directory import Directory
from ds2api.accounts.homes import Homes
from ds2api.accounts.lane import Lane, Service
from ds2api.accounts.shelf import Offer
from ds2api.accounts.verdicts import Verdict

__all__ = ["NEVER", "Chooser", "Outlook", "Pick"]

NEVER = float("inf")
# To move a conversation is dear when it costs so many times as much elsewhere (nothing stands in a cache there).
_DEAR = 2.0
# Who came so much later than the first in line may go before it at its own account: where all wait anyway, that costs
# the others hardly anything, and keeps half of the turns at home at full load.
_OVERTAKES_S = 1.0
# A hedge goes only where so much of what may go at once is there.
_SPARE = 0.5
_NOBODY: frozenset[str] = frozenset()


class Pick:
    """Whom the pool has chosen. `cached`: tokens that may stand in the account's cache."""

    __slots__ = ("account", "cached", "cost", "is_home", "offer", "why")

    def __init__(
        self, offer: Offer, account: Account, cost: Cost, why: str, is_home: bool, cached: float = 0.0
    ) -> None:
        self.offer = offer
        self.account = account
        self.cost = cost
        self.why = why
        self.is_home = is_home
        self.cached = cached


class Outlook:
    """When somebody could serve: `at` by time, if nobody stood before; `is_by_end`: the end of an attempt may do it;
    `line_s`: how long those take who stand before."""

    __slots__ = ("at", "cause", "is_by_end", "is_empty", "line_s")

    def __init__(self) -> None:
        self.at = NEVER
        self.cause: Verdict | None = None
        self.is_by_end = False
        self.is_empty = True
        self.line_s = 0.0

    def add(self, at: float, cause: Verdict | None, *, is_by_end: bool = False, line_s: float = 0.0) -> None:
        """One more way: at the time `at`, not before because of `cause`."""
        if at + line_s < self.at + self.line_s or (self.at == NEVER and self.cause is None):
            self.at, self.cause, self.line_s = at, cause, line_s
        self.is_by_end = self.is_by_end or is_by_end

    def wait_s(self, now: float) -> float | None:
        """None where no clock helps."""
        if self.at == NEVER:
            return 1.0 if self.is_by_end else None
        return max(self.at - now, self.line_s, 0.0)


class Chooser:
    """`wall_s` is the wall clock minus the pool's."""

    def __init__(self, directory: Directory, homes: Homes, wall_s: float) -> None:
        self._directory = directory
        self._homes = homes
        self._wall_s = wall_s

    def first(self, ask: Ask, now: float) -> tuple[int, Lane, Pick] | None:
        """The first target that can serve now, if nobody stands before this one there."""
        for index, target in enumerate(ask.targets):
            lane = self._directory.lane_of(target)
            if ask.spare_only and lane.line.count:
                continue
            pick = self.pick(lane, ask, now)
            if pick is not None:
                return index, lane, pick
        return None

    def pick(self, lane: Lane, ask: Ask, now: float, *, in_turn: bool = False) -> Pick | None:
        """The account of `lane` for `ask`, None if none can serve now; `in_turn`: it is the first in line."""
        service = lane.service
        if not service.is_quiet and service.free_at() > now:
            return None
        if ask.retries and self.backs_off(service, ask, now) is not None:
            return None
        if ask.pins:
            pinned = self.pinned(lane, ask, now)
            if pinned is not None:
                return self.pick_one(lane, pinned, ask, now, "the request is bound to it")
        is_first = in_turn or not lane.line.count
        known = self._homes.of(ask, service.provider.name)
        home = None if known is None else self._directory.accounts.get(known.account)
        if home is not None and home.id not in ask.avoid:
            if is_first or self.may_overtake(lane, ask, now, now):
                pick = self.pick_one(lane, home, ask, now, "home of the conversation")
                if pick is not None:
                    return pick
            if not in_turn and self.home_at(lane, home, ask, now) <= now + self.home_wait_s(lane, home, ask, now):
                return None
        if not is_first:
            return None
        cost = service.estimates.cost(
            ask.input_tokens, ask.output_limit, factor=None if known is None else known.factor
        )
        spot = None if ask.affinity is None else _digest(f"{ask.caller}\0{ask.affinity}")
        for avoid in (ask.avoid, _NOBODY) if ask.avoid and not ask.spare_only else (ask.avoid,):
            for shelf in lane.shelves:
                if spot is None:
                    found = shelf.find(cost, now, self._wall_s, avoid)
                else:
                    found = shelf.place(spot, cost, now, self._wall_s, avoid)
                if isinstance(found, float):
                    continue
                offer, account = found
                if ask.spare_only and offer.quota.headroom(now) < _SPARE:
                    continue
                why = "most headroom" if home is None else f"the home of the conversation, {home.id}, is spent"
                if shelf.tier.priority != lane.shelves[0].tier.priority:
                    why += f", priority {shelf.tier.priority}"
                return Pick(offer, account, cost, why, is_home=False)
        return None

    def pick_one(self, lane: Lane, account: Account, ask: Ask, now: float, why: str) -> Pick | None:
        """`account`, to which `ask` belongs, if it can serve now."""
        offer = lane.offer(account)
        if offer is None or account.is_full or account.ready_at > now:
            return None
        rest = account.rests.get(lane.service.model) if account.rests else None
        cost, cached = self.cost(lane, ask, account)
        if (rest is not None and rest.until > now) or offer.quota.is_full:
            return None
        if offer.quota.free_at(cost, now, self._wall_s) > now:
            return None
        return Pick(offer, account, cost, why, True, cached)

    def home(self, lane: Lane, ask: Ask) -> Account | None:
        """The account that served the conversation's turn before."""
        home = self._homes.of(ask, lane.service.provider.name)
        return None if home is None else self._directory.accounts.get(home.account)

    def home_at(self, lane: Lane, account: Account, ask: Ask, now: float) -> float:
        """When `account` can serve `ask` as far as time tells; infinity where it does not."""
        offer = lane.offer(account)
        rest = account.rests.get(lane.service.model)
        if offer is None or account.is_full or offer.quota.is_full or (rest is not None and rest.until > now):
            return NEVER
        cost, _ = self.cost(lane, ask, account)
        return max(account.ready_at, offer.quota.free_at(cost, now, self._wall_s), lane.service.free_at())

    def home_wait_s(self, lane: Lane, account: Account, ask: Ask, now: float) -> float:
        """How long its own account is worth waiting for: as long as what stands in its cache would take elsewhere."""
        offer, wait_s = lane.offer(account), self._directory.policy.home_wait_s
        if offer is None:
            return 0.0
        anew_s = offer.quota.seconds(self.cost(lane, ask)[0])
        at_home_s = offer.quota.seconds(self.cost(lane, ask, account)[0])
        if anew_s > _DEAR * at_home_s:  # moving it would take from the others what several turns take at home
            return max(wait_s, ask.deadline - now - wait_s)
        return max(wait_s, anew_s - at_home_s)

    def may_overtake(self, lane: Lane, ask: Ask, since: float, now: float) -> bool:
        """Whether a request that waits since `since` may be served before the first in line, at its own account: only
        if it came little later, its caller has had no more, and the first one still has time."""
        first = lane.line.first()
        if first is None:
            return True
        home = self.home(lane, ask)
        wait_s = 0.0 if home is None else self.home_wait_s(lane, home, ask, now)
        return (
            since <= first.since + max(wait_s, _OVERTAKES_S)
            and first.ask.deadline > now + _OVERTAKES_S
            and lane.line.lead(ask.caller, first.ask.caller) <= 0
        )

    def cost(self, lane: Lane, ask: Ask, account: Account | None = None) -> tuple[Cost, float]:
        """What is reserved for `ask` at `account` (elsewhere if None), and how much of it may stand in the cache."""
        home = self._homes.of(ask, lane.service.provider.name)
        if home is None:
            return lane.service.estimates.cost(ask.input_tokens, ask.output_limit), 0.0
        cached = home.tokens if account is not None and account.id == home.account else 0.0
        cost = lane.service.estimates.cost(ask.input_tokens, ask.output_limit, cached=cached, factor=home.factor)
        return cost, cached

    def likely_cost(self, lane: Lane, ask: Ask) -> Cost:
        """What `ask` will probably cost, at its own account if it has one."""
        estimates = lane.service.estimates
        home = self._homes.of(ask, lane.service.provider.name)
        if home is None:
            return estimates.cost(ask.input_tokens, ask.output_limit, caution=0.0)
        return estimates.cost(ask.input_tokens, ask.output_limit, cached=home.tokens, factor=home.factor, caution=0.0)

    def pinned(self, lane: Lane, ask: Ask, now: float) -> Account | None:
        """The account that made something in the request, unless it is out for good, or, where others could do as
        well, for longer than the caller is patient."""
        for tag in ask.pins:
            account = self._directory.by_tag.get(tag)
            if account is None or account.id not in lane.roster.bench_of or account.ready_at == NEVER:
                continue
            if ask.is_bound or account.is_full or self.home_at(lane, account, ask, now) <= ask.deadline:
                return account
        return None

    def backs_off(self, service: Service, ask: Ask, now: float) -> float | None:
        """Until when a retry waits after the provider's own fault; infinity where its budget is spent."""
        if service.provider.name not in ask.retries:
            return None
        if now < ask.not_before:
            return ask.not_before
        return None if service.provider.budget.has(now) else NEVER

    def outlook(self, ask: Ask, now: float) -> Outlook:
        """When somebody could serve `ask`, over all its targets."""
        outlook = Outlook()
        for _, lane in self._directory.lanes_of(ask):
            self.look_out(lane, ask, now, outlook)
        return outlook

    def look_out(self, lane: Lane, ask: Ask, now: float, outlook: Outlook) -> None:
        """Add what `lane` can do for `ask` to `outlook`."""
        service = lane.service
        if lane.roster.bench_of:
            outlook.is_empty = False
        backs_off_until = self.backs_off(service, ask, now)
        closed_until = max(service.free_at(), -NEVER if backs_off_until is None else backs_off_until)
        if closed_until > now:
            outlook.add(closed_until, service.cause, is_by_end=service.free_at() == NEVER and backs_off_until is None)
            return
        pinned = self.pinned(lane, ask, now) if ask.pins else None
        if pinned is not None:
            cause = pinned.cause or self._directory.quota(pinned, service.model).cause
            outlook.add(self.home_at(lane, pinned, ask, now), cause, is_by_end=pinned.is_full)
            return
        cost, _ = self.cost(lane, ask)
        seconds = lane.seconds(self.likely_cost(lane, ask)) if lane.line.count else None
        line_s = 0.0
        if seconds is not None:
            # Each account has on average half of what the next one needs.
            line_s = max(0.0, lane.line.wait_s(ask.caller, seconds) - seconds * lane.serving / 2)
        for shelf in lane.shelves:
            found = shelf.find(cost, now, self._wall_s)
            at = found if isinstance(found, float) else now  # else somebody stands before this one
            cause = shelf.cause(now) if at > now else None
            if at == NEVER:
                at, away = shelf.tier.next_return()
                cause = None if away is None else away.cause
            outlook.add(at, cause, is_by_end=bool(shelf.tier.full) or shelf.is_full, line_s=line_s)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
