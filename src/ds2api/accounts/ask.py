"""What is wanted of the pool, and what it answers: a lease, a place in the line, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ds2api.accounts.account import Account
from ds2api.accounts.costs import Cost
from ds2api.universal.errors import Kind

if TYPE_CHECKING:
    from ds2api.accounts.lane import Lane
    from ds2api.accounts.quota import Quota

__all__ = ["Ask", "Candidate", "Lease", "Refused"]


_NOTHING = Cost()


class Candidate(NamedTuple):
    """A place that may serve: the provider whose accounts to use (only those that carry all of `tags`), and its name of
    the model."""

    provider: str
    model: str
    tags: frozenset[str] = frozenset()


@dataclass(slots=True)
class Ask:
    """What is wanted. `deadline` is the clock at which the caller's patience ends."""

    targets: Sequence[Candidate]
    deadline: float
    caller: str = ""
    weight: float = 1.0  # the caller's share of the line
    affinity: str | None = None  # what stays the same over a conversation
    pins: tuple[str, ...] = ()  # tags of accounts that made something in the request
    # Nobody else can serve what is pinned (response ids, files). Otherwise the pinned one is waited for within the
    # patience, and somebody else serves if it takes longer.
    is_bound: bool = False
    input_tokens: float = 1.0  # a guess
    output_limit: float | None = None  # what the client allows
    avoid: frozenset[str] = frozenset()  # ids of accounts that failed this request: only when nobody else can serve
    retries: frozenset[str] = frozenset()  # providers that failed it by their own fault: their retry budget decides
    not_before: float = 0.0  # at those: the back-off
    spare_only: bool = False  # a hedge: at once, by an account with room to spare that is not avoided, or not at all


@dataclass(slots=True, eq=False)
class Lease:
    """An account, held for one attempt. Ends by exactly one of `Pool.settle` and `Pool.give_back`."""

    account: Account
    target: int  # index into `Ask.targets`
    model: str
    cost: Cost = _NOTHING
    begun_at: float = 0.0
    why: str = ""  # it was chosen, in a few words
    over: bool = False
    lane: Lane | None = None
    quota: Quota | None = None
    mark: tuple[float, ...] = ()  # of the quota at the beginning (`Quota.begin`)
    round: int = 0  # of the circuit
    provider_round: int = 0
    input_tokens: float = 0.0
    cached: float = 0.0  # tokens of the turn before, at its account
    conversation: tuple[str, str, str] | None = None
    running: int = 1  # attempts of the quota at its beginning, itself counted
    is_accepted: bool = False
    is_heard: bool = False  # the provider has said something: its circuits know
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody can serve within the deadline: `kind` is why the one who could soonest cannot now, RATE_LIMITED
    where it is only busy. `retry_after_s` is None where no clock helps."""

    kind: Kind
    retry_after_s: float | None
    reason: str = ""
