"""One account: its limits, its health, what it has running.

Health is one enum and one method that sets it. Apart from it stands what holds for one model only (a rate limit,
a model this key may not use): `rests`, a time per model. An account may be READY and still rest for a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from ds2api.accounts.bucket import Bucket
from ds2api.accounts.policy import Policy
from ds2api.accounts.verdicts import Action, Scope, Verdict
from ds2api.universal.errors import Kind

__all__ = ["Account", "AccountLimits", "Health", "Rest"]

# What only people can mend: access that was not granted.
_NO_ACCESS = (Kind.MODEL_NOT_FOUND, Kind.FORBIDDEN)

# Models that one account remembers something against. Their names come from clients, so they are bounded; a provider
# has some hundred. The oldest is forgotten, which costs one refused attempt.
_RESTS_MOST = 512


class Health(StrEnum):
    READY = "ready"
    COOLING = "cooling"  # until `out_until`
    SUSPENDED = "suspended"  # quota or billing; one probe at `out_until`
    DEAD = "dead"  # proven; only the operator brings it back
    DRAINING = "draining"  # the operator takes it out


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What the configuration says; None is "not said". Per minute, but for `concurrency`."""

    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """Not before `until`, because of `cause`."""

    until: float
    cause: Verdict


@dataclass(slots=True)
class Account:
    """`id` is unique ("openai/a") and shown to people; `tag` is a hash for envelopes. No key is here."""

    id: str
    provider: str
    limits: AccountLimits = field(default_factory=AccountLimits)
    group: str = ""  # accounts that share a bucket; its own id where not said
    weight: float = 1.0
    tag: str = ""
    health: Health = Health.READY
    out_until: float = 0.0
    cause: Verdict | None = None  # why it is not READY (None: the operator), and since when
    since: float = 0.0
    in_flight: int = 0
    served: int = 0
    refused: int = 0
    last_used: float = float("-inf")
    rests: dict[str, Rest] = field(default_factory=dict)  # by model
    _in_a_row: dict[str, int] = field(default_factory=dict)  # model → refusals since the last success
    spot: int = 0  # where it stands among all accounts, for affinity: a hash of its id
    _proofs: int = 0
    _requests: Bucket | None = None
    _tokens: Bucket | None = None

    def __post_init__(self) -> None:
        self.group = self.group or self.id
        self.spot = int.from_bytes(blake2b(self.id.encode(), digest_size=8).digest(), "big")
        self._requests = Bucket(self.limits.rpm) if self.limits.rpm else None
        self._tokens = Bucket(self.limits.tpm) if self.limits.tpm else None

    def update(self, new: Account) -> Account:
        """Take over what the configuration says in `new`, and keep the rest."""
        if new.tag != self.tag:
            self.revive()
        if new.limits != self.limits:
            self.limits, self._requests, self._tokens = new.limits, new._requests, new._tokens
        self.group, self.weight, self.tag = new.group, new.weight, new.tag
        return self

    def ready_at(self, model: str, cost: float, now: float) -> float:
        """The earliest time at which this account may take a request for `model`: `now` if it may at once,
        infinity if no clock helps. A full `concurrency` is no time: ask `is_full`."""
        if self.health in (Health.DEAD, Health.DRAINING):
            return float("inf")
        at = now
        if self.health is not Health.READY:
            at = max(at, self.out_until)
        if (rest := self.rests.get(model)) is not None:
            at = max(at, rest.until)
        if self._requests is not None:
            at = max(at, self._requests.free_at(1, now))
        if self._tokens is not None:
            at = max(at, self._tokens.free_at(cost, now))
        return at

    @property
    def is_full(self) -> bool:
        return self.limits.concurrency is not None and self.in_flight >= self.limits.concurrency

    @property
    def load(self) -> float:
        return self.in_flight / self.weight

    def pressure(self, now: float) -> float:
        """Of the tightest configured limit (`Bucket.pressure`)."""
        pressures = [one.pressure(now) for one in (self._requests, self._tokens) if one is not None]
        if self.limits.concurrency is not None:
            pressures.append(self.in_flight / self.limits.concurrency)
        return max(pressures, default=0.0)

    def begin(self, cost: float, now: float) -> None:
        """An attempt starts. A probe of an account that was out makes it READY again only by its success."""
        self.in_flight += 1
        self.last_used = now
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(cost, now)

    def finish(self) -> None:
        """The attempt is over, however it ended."""
        self.in_flight -= 1

    def correct(self, reserved: float, used: float) -> None:
        """The real cost is known."""
        if self._tokens is not None:
            self._tokens.give(reserved - used)

    def succeed(self, model: str) -> None:
        """An answer came: whatever was held against the account for this model is over."""
        self.served += 1
        self._forget(model)
        self._proofs = 0
        if self.health in (Health.COOLING, Health.SUSPENDED):
            self._set(Health.READY, 0.0, None, 0.0)

    def fail(self, model: str, verdict: Verdict, policy: Policy, now: float) -> None:
        """Apply `verdict`. A new cool-down never shortens an old one."""
        match verdict.action:
            case Action.NONE:
                return
            case Action.DOUBT:
                self.refused += 1
                self._proofs += 1
                if self._proofs >= policy.proofs:
                    self._set(Health.DEAD, float("inf"), verdict, now)
                else:
                    self._cool(now + policy.refused_key_s, verdict, now)
            case Action.SUSPEND:
                self.refused += 1
                wait_s = max(policy.suspended_s, verdict.wait_s or 0.0)
                if self.health is not Health.DEAD:
                    self._set(Health.SUSPENDED, max(now + wait_s, self.out_until), verdict, now)
            case Action.COOL:
                self.refused += 1
                if verdict.kind in _NO_ACCESS:
                    self.rest(model, now + max(policy.no_model_s, verdict.wait_s or 0.0), verdict)
                    return
                until = now + self._wait_s(model, verdict, policy.cool_first_s, policy.cool_most_s, policy)
                if verdict.scope is Scope.ACCOUNT:
                    self._cool(until, verdict, now)
                else:
                    self.rest(model, until, verdict)
            case Action.REST:
                wait_s = self._wait_s(model, verdict, policy.overload_first_s, policy.overload_most_s, policy)
                self.rest(model, now + wait_s, verdict)

    def rest(self, model: str, until: float, cause: Verdict) -> None:
        """Not for `model` before `until` (never shortens)."""
        known = self.rests.get(model)
        if known is None or until > known.until:
            self.rests.pop(model, None)  # the latest stand last
            self.rests[model] = Rest(until, cause)
            if len(self.rests) > _RESTS_MOST:
                self._forget(next(iter(self.rests)))

    def _forget(self, model: str) -> None:
        self.rests.pop(model, None)
        self._in_a_row.pop(model, None)

    def cause_for(self, model: str) -> Verdict | None:
        """Why it does not serve `model` just now, None if nothing was held against it."""
        rest = self.rests.get(model)
        return self.cause if rest is None or self.health in (Health.DEAD, Health.SUSPENDED) else rest.cause

    def revive(self) -> None:
        """The operator says that the account is good again."""
        self._set(Health.READY, 0.0, None, 0.0)
        self._proofs = 0
        self._in_a_row.clear()
        self.rests.clear()

    def drain(self, now: float) -> None:
        """The operator takes the account out; what runs finishes."""
        self._set(Health.DRAINING, float("inf"), None, now)

    def _wait_s(self, model: str, verdict: Verdict, first_s: float, most_s: float, policy: Policy) -> float:
        row = self._in_a_row.get(model, 0)
        self._in_a_row[model] = row + 1
        if verdict.wait_s is not None:
            least_s = min(policy.announced_least_s * 2 ** min(row, 16), most_s)
            return float(min(max(verdict.wait_s, least_s), policy.announced_most_s))
        return float(min(first_s * 2 ** min(row, 16), most_s))

    def _cool(self, until: float, cause: Verdict, now: float) -> None:
        if self.health in (Health.READY, Health.COOLING):
            self._set(Health.COOLING, max(until, self.out_until), cause, now)

    def _set(self, health: Health, until: float, cause: Verdict | None, now: float) -> None:
        self.health, self.out_until, self.cause, self.since = health, until, cause, now
