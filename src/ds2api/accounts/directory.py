"""Who is there, and what is known of each: accounts and providers from the configuration; models, their lanes and
their limits as they are asked for.

A model's name may come from a client, so what is kept of models is bounded: the one that nobody has asked for since the
last sweep is forgotten, with its limits. (Leases keep what they need.)
"""

from __future__ import annotations

from collections.abc import Iterable

from ds2api.accounts.account import ORGANISATION, Account
from ds2api.accounts.ask import Ask, Candidate
from ds2api.accounts.lane import Lane, Provider, Service
from ds2api.accounts.policy import Policy
from ds2api.accounts.quota import Quota
from ds2api.accounts.roster import Roster

__all__ = ["Directory"]

_LANES_MOST = 1024
# (limit group, model): some 1 KB each.
_QUOTAS_MOST = 65_536


class Directory:
    """`began_at` is when the pool began to count."""

    def __init__(self, policy: Policy, began_at: float) -> None:
        self.policy = policy
        self.accounts: dict[str, Account] = {}
        self.by_tag: dict[str, Account] = {}
        self.services: dict[tuple[str, str], Service] = {}
        self.lanes: dict[Candidate, Lane] = {}
        self.quotas: dict[tuple[str, str, str], Quota] = {}  # (provider, limit group, model)
        self._began_at = began_at
        self._providers: dict[str, Provider] = {}
        self._rosters: dict[tuple[str, frozenset[str]], Roster] = {}

    def add(self, account: Account) -> None:
        """Raises `ValueError` for a second account of one id."""
        if account.id in self.accounts:
            raise ValueError(f"two accounts are called {account.id!r}")
        self.accounts[account.id] = account
        if account.tag:
            self.by_tag[account.tag] = account
        if account.provider not in self._providers:
            self._providers[account.provider] = Provider(account.provider, self.policy.retry_share)

    def replace(self, accounts: Iterable[Account], policy: Policy) -> None:
        """A new configuration. Accounts that stay keep their health and what they have running; limits that the
        configuration has not changed keep what was learned."""
        known, quotas = self.accounts, self.quotas
        self.policy = policy
        self.accounts, self.by_tag, self.quotas = {}, {}, {}
        for new in accounts:
            old = known.pop(new.id, None)
            if old is not None:
                limits = (old.limits, old.model_limits)
                new = old.update(new)
                if limits == (new.limits, new.model_limits):
                    for key in [key for key in quotas if key[:2] == (new.provider, new.group)]:
                        self.quotas[key] = quotas.pop(key)
            self.add(new)
        for quota in quotas.values():
            quota.offers.clear()
        for gone in known.values():
            gone.benches.clear()
        self.clear()

    def clear(self) -> None:
        """Whose turn it is, is found out anew; what is known of each stays."""
        self._rosters.clear()
        self.lanes.clear()
        for account in self.accounts.values():
            account.benches.clear()
        for quota in self.quotas.values():
            quota.offers.clear()

    def lanes_of(self, ask: Ask) -> list[tuple[int, Lane]]:
        """Where `ask` may be served, each with its place in `Ask.targets`."""
        return [(index, self.lane_of(target)) for index, target in enumerate(ask.targets)]

    def lane_of(self, target: Candidate) -> Lane:
        """Where `target` may serve; made if nobody has asked for it."""
        lane = self.lanes.get(target)
        if lane is None:
            lane = self._make_lane(target)
        lane.is_used = True
        return lane

    def quota(self, account: Account, model: str) -> Quota:
        """What the limit group of `account` may take of `model`."""
        key = (account.provider, account.group, model)
        quota = self.quotas.get(key)
        if quota is None:
            limits = account.limits_for(model)
            most = None if limits is account.limits else limits.concurrency  # the account's own counts all models
            quota = self.quotas[key] = Quota(account.group, model, limits, account.day_zone, self._began_at, most)
        return quota

    def quotas_of(self, account: Account) -> list[Quota]:
        """All that its limit group has. Walks all."""
        return [quota for key, quota in self.quotas.items() if key[:2] == (account.provider, account.group)]

    def join(self, account: Account, organisation: str) -> None:
        """A header says whose key it is: the first of an organisation brings what has been learned, since the buckets
        are the same. A group that is configured stays."""
        if account.group != account.id or account.id not in self.accounts:
            return
        group = f"{ORGANISATION} {organisation}"
        for key in [key for key in self.quotas if key[:2] == (account.provider, account.group)]:
            quota = self.quotas.pop(key)
            quota.group = group
            self.quotas.setdefault((key[0], group, key[2]), quota)
        account.group = group
        for roster in self._rosters.values():
            roster.regroup(account)

    def _make_lane(self, target: Candidate) -> Lane:
        while len(self.lanes) >= _LANES_MOST or len(self.quotas) >= _QUOTAS_MOST:
            if not self._forget_lane():
                break
        name = target.provider
        roster = self._rosters.get((name, target.tags))
        if roster is None:
            own = [account for account in self.accounts.values() if account.provider == name]
            roster = self._rosters[name, target.tags] = Roster(name, target.tags, own)
        service = self.services.get((name, target.model))
        if service is None:
            provider = self._providers.setdefault(name, Provider(name, self.policy.retry_share))
            service = self.services[name, target.model] = Service(provider, target.model)
        lane = self.lanes[target] = Lane(service, roster, self.quota)
        return lane

    def _forget_lane(self) -> bool:
        """One that nobody waits in, and that has not been asked for since it was last looked at here (second chance).
        Returns whether there was one."""
        for _ in range(2 * len(self.lanes)):
            key = next(iter(self.lanes))
            lane = self.lanes.pop(key)
            if lane.is_used or lane.line.count:
                lane.is_used = False
                self.lanes[key] = lane
                continue
            for offer in lane.leave():
                if not offer.quota.offers:
                    self.quotas.pop((lane.roster.provider, offer.quota.group, lane.service.model), None)
            if not any(other[:2] == key[:2] for other in self.lanes):  # for other tags
                self.services.pop(key[:2], None)
            return True
        return False
