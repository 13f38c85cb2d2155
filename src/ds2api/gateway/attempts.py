"""Whether to try again, and where: the pure half of an exchange's retries.

Given what the last attempt brought, `Attempts.after` says `TryAccount` or `GiveUp`. Waiting is not decided here:
it happens in the pool's line, whose tickets know the time. The rules:

* the request's own fault is the client's: given up at once, never held against a key;
* a fault of the account costs no retry: the pool knows now that it is out, and the next one is asked; only if the
  same account fails this request again does it cost one, so that no cool-down, however short, can make a loop;
* a fault of the provider costs one of `Retries.max`; the next attempt prefers another target (the next key of an
  overloaded provider only adds load), then another account, then the same one after its rest;
* once content has been written to the client nothing is tried again: two halves of two answers are worse than an
  honest error (R118);
* nothing is begun that cannot end within the exchange's time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ds2api.accounts import Scope, Verdict
from ds2api.gateway.settings import Retries
from ds2api.universal.errors import Error

__all__ = ["Attempts", "GiveUp", "TryAccount"]


@dataclass(frozen=True, slots=True)
class TryAccount:
    """Ask the pool for an account. `targets` are indexes into the exchange's targets, best first; `avoid` are
    accounts to take only when nothing else can serve."""

    targets: tuple[int, ...]
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the client `error`."""

    error: Error


@dataclass(slots=True)
class Attempts:
    """The attempts of one exchange. `deadline` is the clock at which it must be over."""

    retries: Retries
    target_count: int
    deadline: float
    count: int = 0
    faults: int = 0  # those that cost a retry
    last: Error | None = None
    _avoid: set[str] = field(default_factory=set)
    _failed: dict[int, int] = field(default_factory=dict)  # target → provider faults there

    def first(self) -> TryAccount:
        return TryAccount(tuple(range(self.target_count)))

    def begun(self) -> None:
        """An attempt starts."""
        self.count += 1

    def after(
        self, error: Error, verdict: Verdict, target: int, account: str, now: float, *, content_sent: bool
    ) -> TryAccount | GiveUp:
        """The attempt on `account` at `target` failed with `error`, which means `verdict`."""
        self.last = error
        if content_sent or verdict.scope is Scope.REQUEST:
            return GiveUp(error)
        if verdict.scope is Scope.PROVIDER or account in self._avoid:
            self.faults += 1
            if self.faults > self.retries.max:
                return GiveUp(error)
        self._avoid.add(account)
        if verdict.scope is Scope.PROVIDER:
            self._failed[target] = self._failed.get(target, 0) + 1
        if now + self.retries.attempt_least_s > self.deadline:
            return GiveUp(error)
        order = sorted(range(self.target_count), key=lambda index: (self._failed.get(index, 0), index))
        return TryAccount(tuple(order), frozenset(self._avoid))
