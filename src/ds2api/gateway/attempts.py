"""Whether to try again, where and when: the pure half of an exchange's retries.

Given what the last attempt brought, `Attempts.after` says `TryAccount` or `GiveUp`. Waiting is not done here: it
happens in the pool's line, whose tickets know the time. The rules:

* the request's own fault is the client's: given up at once, never held against a key;
* a fault of the account costs no retry and no time: the pool knows now that it is out, and the next one is asked; only
  if the same account fails this request again does it cost a retry, so that no cool-down, however short, can make a
  loop;
* a fault of the provider costs one of `Retries.max`; the next attempt prefers another target (the next key of an
  overloaded provider only adds load), then another account, then the same one after its rest. Whoever asks the
  provider that failed does so after a pause, and out of that provider's own budget (`Ask.retries`); a target that has
  not failed is asked at once;
* the pause is what the provider announced, else it doubles, with jitter, so that those who failed together do not come
  again together. One that is longer than the client's patience is left out: who cannot wait is tried at once or not;
* once content has been written to the client nothing is tried again: two halves of two answers are worse than an
  honest error (R118);
* nothing is begun that cannot end within the exchange's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ds2api.accounts import Scope, Verdict
from ds2api.gateway.settings import Retries
from ds2api.universal.errors import Error

__all__ = ["Attempts", "GiveUp", "TryAccount", "first_step"]


@dataclass(frozen=True, slots=True)
class TryAccount:
    """Ask the pool for an account. `targets` are indexes into the exchange's targets, best first; `avoid` are
    accounts to take only when nothing else can serve; `retries` are providers that failed by their own fault, which
    are not asked before the clock `not_before`."""

    targets: tuple[int, ...]
    avoid: frozenset[str] = frozenset()
    retries: frozenset[str] = frozenset()
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the client `error`."""

    error: Error


@lru_cache(64)
def first_step(target_count: int) -> TryAccount:
    """Before anything was tried."""
    return TryAccount(tuple(range(target_count)))


@dataclass(slots=True)
class Attempts:
    """The attempts of one exchange. `providers` are those of its targets, in order; `deadline` is the clock at which
    it must be over; `random` gives 0 … 1."""

    retries: Retries
    providers: Sequence[str]
    deadline: float
    random: Callable[[], float]
    faults: int = 0  # those that cost a retry
    last: Error | None = None
    _avoid: set[str] = field(default_factory=set)
    _failed: dict[int, int] = field(default_factory=dict)  # target → provider faults there

    def after(
        self,
        error: Error,
        verdict: Verdict,
        target: int,
        account: str,
        now: float,
        *,
        patience_s: float,
        content_sent: bool,
    ) -> TryAccount | GiveUp:
        """The attempt on `account` at `target` failed with `error`, which means `verdict`. `patience_s` is how long
        the client may still stand in line."""
        self.last = error
        if content_sent or verdict.scope is Scope.REQUEST:
            return GiveUp(error)
        is_provider = verdict.scope is Scope.PROVIDER
        if is_provider or account in self._avoid:
            self.faults += 1
            if self.faults > self.retries.max:
                return GiveUp(error)
        self._avoid.add(account)
        pause_s = 0.0
        if is_provider:
            pause_s = self._pause_s(verdict.wait_s, patience_s)
            self._failed[target] = self._failed.get(target, 0) + 1
        if now + self.retries.attempt_least_s > self.deadline:
            return GiveUp(error)
        order = sorted(range(len(self.providers)), key=lambda index: (self._failed.get(index, 0), index))
        return TryAccount(
            tuple(order),
            frozenset(self._avoid),
            frozenset(self.providers[index] for index in self._failed),
            now + pause_s if pause_s > 0 else 0.0,
        )

    def _pause_s(self, announced_s: float | None, patience_s: float) -> float:
        doubled = self.retries.pause_first_s * 2 ** sum(self._failed.values())
        pauses = (announced_s or None, doubled * (1 + self.random()) / 2)
        return next((one for one in pauses if one is not None and one < patience_s), 0.0)
