"""One account: its limits, its health, what it has running.

Health is one enum and one method that sets it. Apart from it stands what holds for one model only (a model this key
may not use): `rests`, a time per model. Rate limits are no matter of an account but of its limit group (`quota`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import TYPE_CHECKING

from ds2api.accounts.policy import Policy
from ds2api.accounts.verdicts import Action, Scope, Verdict
from ds2api.universal.errors import Kind

if TYPE_CHECKING:
    from ds2api.accounts.roster import Bench

__all__ = ["ORGANISATION", "Account", "AccountLimits", "Health", "Rest"]

# How a limit group is called that was found out from headers.
ORGANISATION = "organisation"

# Models that one account remembers something against. Their names come from clients, so they are bounded; a provider
# has some hundred. The oldest is forgotten, which costs one refused attempt.
_RESTS_MOST = 512
# What an account without a `concurrency` counts as beside others that have one.
_CONCURRENCY = 8


class Health(StrEnum):
    READY = "ready"
    COOLING = "cooling"  # until `out_until`
    SUSPENDED = "suspended"  # quota or billing; one probe at `out_until`
    DEAD = "dead"  # proven; only the operator brings it back
    DRAINING = "draining"  # the operator takes it out


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What the configuration says; None is "not said". A minute, but for `concurrency` (at a time, all models together)
    and `rpd` (a day). The others hold for each model apart, as nearly all providers count (`pool-model.md` §1)."""

    rpm: float | None = None
    tpm: float | None = None
    itpm: float | None = None
    otpm: float | None = None
    rpd: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """Not before `until`, because of `cause`."""

    until: float
    cause: Verdict


@dataclass(slots=True, eq=False)
class Account:
    """`id` is unique ("openai/a") and shown to people; `tag` is a hash for envelopes. No key is here."""

    id: str
    provider: str
    limits: AccountLimits = field(default_factory=AccountLimits)
    group: str = ""  # accounts that share a bucket; its own id where not said
    weight: float = 1.0  # its share where no limit decides; 0: only what is bound to it
    tag: str = ""
    priority: int = 0  # the lower serve first, the next when they are spent
    tags: frozenset[str] = frozenset()
    model_limits: tuple[tuple[str, AccountLimits], ...] = ()  # by pattern; the first that fits
    day_zone: str = "UTC"  # whose midnight ends a daily quota
    health: Health = Health.READY
    out_until: float = 0.0
    cause: Verdict | None = None  # why it is not READY (None: the operator), and since when
    since: float = 0.0
    in_flight: int = 0
    is_probing: bool = False  # while it is out, one attempt goes ahead; the others follow its success
    served: int = 0
    refused: int = 0
    last: Verdict | None = None  # the last that was not "served", and when
    last_at: float = float("-inf")
    rests: dict[str, Rest] = field(default_factory=dict)  # by model
    spot: int = 0  # where it stands among all accounts, for affinity: a hash of its id
    benches: list[Bench] = field(default_factory=list)  # where it is to be found; kept by the rosters
    _in_a_row: int = 0  # refusals since the last success
    _proofs: int = 0

    def __post_init__(self) -> None:
        self.group = self.group or self.id
        self.spot = int.from_bytes(blake2b(self.id.encode(), digest_size=8).digest(), "big")

    def update(self, new: Account) -> Account:
        """Take over what the configuration says in `new`, and keep the rest. A changed key is a new chance."""
        if new.tag != self.tag:
            self.revive()
        if self.group.startswith(ORGANISATION) and new.group == new.id and new.tag == self.tag:
            new.group = self.group  # what was found out stays found
        self.limits, self.model_limits, self.day_zone = new.limits, new.model_limits, new.day_zone
        self.group, self.weight, self.tag, self.priority, self.tags = (
            new.group, new.weight, new.tag, new.priority, new.tags,
        )  # fmt: skip
        return self

    def limits_for(self, model: str) -> AccountLimits:
        return next((limits for pattern, limits in self.model_limits if fnmatchcase(model, pattern)), self.limits)

    @property
    def ready_at(self) -> float:
        """When it may serve as far as its health goes: a time in the past if it may now, infinity if no clock helps."""
        match self.health:
            case Health.READY:
                return float("-inf")
            case Health.DEAD | Health.DRAINING:
                return float("inf")
        return self.out_until

    @property
    def is_full(self) -> bool:
        """No further attempt now, until one ends."""
        if self.health is not Health.READY and self.is_probing:
            return True
        return self.limits.concurrency is not None and self.in_flight >= self.limits.concurrency

    @property
    def share(self) -> float:
        """Its part of a load that no rate limit divides."""
        return self.weight * (self.limits.concurrency or _CONCURRENCY)

    def succeed(self, model: str, begun_at: float) -> None:
        """An answer came to an attempt that began at `begun_at`: what was held against the account before that, for
        this model, is over. (The end of a long answer from before says nothing of the key.)"""
        self.served += 1
        if begun_at < self.last_at:
            return
        self.rests.pop(model, None)
        self._proofs = self._in_a_row = 0
        if self.health in (Health.COOLING, Health.SUSPENDED):
            self._set(Health.READY, 0.0, None, 0.0)

    def fail(self, model: str, verdict: Verdict, policy: Policy, now: float) -> None:
        """Apply what `verdict` says about the account itself. A new cool-down never shortens an old one."""
        self.last, self.last_at = verdict, now
        if verdict.action is Action.NONE or verdict.scope is Scope.PROVIDER:
            return
        self.refused += 1
        match verdict.action:
            case Action.DOUBT:
                self._proofs += 1
                if self._proofs >= policy.proofs:
                    self._set(Health.DEAD, float("inf"), verdict, now)
                else:
                    self._cool(now + policy.refused_key_s, verdict, now)
            case Action.SUSPEND:
                wait_s = max(policy.suspended_s, verdict.wait_s or 0.0)
                if self.health not in (Health.DEAD, Health.DRAINING):
                    self._set(Health.SUSPENDED, max(now + wait_s, self.out_until), verdict, now)
            case Action.COOL if verdict.scope is Scope.ACCOUNT:
                self._in_a_row += 1
                wait_s = policy.cool_s(self._in_a_row, verdict.wait_s)
                self._cool(now + wait_s, verdict, now)
            case Action.COOL if verdict.kind is not Kind.RATE_LIMITED:
                self._rest(model, now + max(policy.no_model_s, verdict.wait_s or 0.0), verdict)

    def rest(self, until: float, now: float) -> None:
        """The operator lets it rest. A dead or suspended one stays what it is."""
        if self.health in (Health.READY, Health.COOLING):
            self._set(Health.COOLING, until, None, now)

    def revive(self) -> None:
        """The operator says that the account is good again."""
        self._set(Health.READY, 0.0, None, 0.0)
        self._proofs = self._in_a_row = 0
        self.rests.clear()

    def drain(self, now: float) -> None:
        """The operator takes the account out; what runs finishes."""
        self._set(Health.DRAINING, float("inf"), None, now)

    def restore(self, health: Health, until: float, cause: Verdict | None, since: float, proofs: int) -> None:
        """As a process before this one has left it."""
        self._set(health, until, cause, since)
        self._proofs = proofs

    @property
    def proofs(self) -> int:
        """How often in a row its key was refused."""
        return self._proofs

    def rest_model(self, model: str, until: float, cause: Verdict) -> None:
        """As a process before this one has left it."""
        self._rest(model, until, cause)

    def _rest(self, model: str, until: float, cause: Verdict) -> None:
        known = self.rests.pop(model, None)  # the latest stand last
        self.rests[model] = Rest(until, cause) if known is None or until > known.until else known
        if len(self.rests) > _RESTS_MOST:
            del self.rests[next(iter(self.rests))]

    def _cool(self, until: float, cause: Verdict, now: float) -> None:
        if self.health in (Health.READY, Health.COOLING):
            self._set(Health.COOLING, max(until, self.out_until), cause, now)

    def _set(self, health: Health, until: float, cause: Verdict | None, now: float) -> None:
        self.health, self.out_until, self.cause, self.since = health, until, cause, now
