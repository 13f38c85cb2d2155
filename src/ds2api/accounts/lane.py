"""One model at one provider: what is known of it (`Service`), and where it is asked for (`Lane`).

A lane is a service for the accounts that carry certain tags: the shelves of their tiers, and the line of who waits.
"""

from __future__ import annotations

from collections.abc import Callable

from ds2api.accounts.account import Account
from ds2api.accounts.chance import Chance
from ds2api.accounts.circuit import Circuit
from ds2api.accounts.costs import Cost, Estimates
from ds2api.accounts.line import FairLine
from ds2api.accounts.quota import Quota
from ds2api.accounts.retry_budget import RetryBudget
from ds2api.accounts.roster import Bench, Roster
from ds2api.accounts.shelf import Offer, Shelf
from ds2api.accounts.verdicts import Verdict

__all__ = ["Lane", "Provider", "Service"]


class Provider:
    """What holds for all models of one provider: whether it can be reached, how many retries it bears."""

    __slots__ = ("budget", "circuit", "name")

    def __init__(self, name: str, retry_share: float) -> None:
        self.name = name
        self.circuit = Circuit()
        self.budget = RetryBudget(retry_share)


class Service:
    """`model` at `provider`, whoever asks."""

    __slots__ = ("chance", "circuit", "estimates", "model", "provider")

    def __init__(self, provider: Provider, model: str) -> None:
        self.provider = provider
        self.model = model
        self.chance = Chance()
        self.circuit = Circuit()
        self.estimates = Estimates()

    def free_at(self) -> float:
        """When the circuits let an attempt through (`Circuit.free_at`)."""
        return max(self.circuit.free_at(), self.provider.circuit.free_at())

    @property
    def is_quiet(self) -> bool:
        """Both circuits are: any attempt is let through, and need not be told of."""
        return self.circuit.is_quiet and self.provider.circuit.is_quiet

    @property
    def cause(self) -> Verdict | None:
        """Why they do not."""
        open_ = (one for one in (self.provider.circuit, self.circuit) if one.free_at() > float("-inf"))
        return next((one.verdict for one in open_), None)


class Lane:
    def __init__(self, service: Service, roster: Roster, quota_of: Callable[[Account, str], Quota]) -> None:
        self.service = service
        self.roster = roster
        self.line = FairLine()
        self.wake_at: float | None = None  # the line is looked at then
        self.closed_until = float("-inf")  # of the circuits, when the line was last looked at
        self.is_used = False  # somebody has asked for it since it was last thought of forgetting it
        self.shelves = [Shelf(tier, service.model, lambda one: quota_of(one, service.model)) for tier in roster.tiers]

    def offer(self, account: Account) -> Offer | None:
        """What `account` offers here; None if it does not belong to this lane."""
        bench: Bench | None = self.roster.bench_of.get(account.id)
        if bench is None:
            return None
        return self.shelves[self.roster.tiers.index(bench.tier)].offer(account, bench)

    def leave(self) -> list[Offer]:
        """Nobody will ask for it any more: its offers leave benches and quotas. Returns them."""
        offers = [offer for shelf in self.shelves for offer in shelf.offers]
        for offer in offers:
            offer.bench.offers.pop(self.service.model, None)
            if offer in offer.quota.offers:
                offer.quota.offers.remove(offer)
            if offer in offer.bench.parked:
                offer.bench.parked.remove(offer)
        return offers

    @property
    def serving(self) -> int:
        """How many limit groups may serve."""
        return sum(shelf.serving for shelf in self.shelves)

    def seconds(self, cost: Cost) -> float | None:
        """How much of the time of all accounts together `cost` takes, None where no limit is known."""
        rate = 0.0
        for shelf in self.shelves:
            seconds = shelf.seconds(cost)
            if seconds is None:
                return None
            rate += 1 / seconds if seconds > 0 else 0.0
        return 1 / rate if rate else None
