"""The pool as people see it: a snapshot, and why a choice falls as it does. Walks everything; never on the hot path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ds2api.accounts.account import ORGANISATION, Account, Health
from ds2api.accounts.bucket import KINDS
from ds2api.accounts.circuit import Circuit, State
from ds2api.accounts.costs import Cost
from ds2api.accounts.lane import Lane, Service
from ds2api.accounts.quota import Quota
from ds2api.slices import Slices, sliced

__all__ = [
    "AccountView", "Choice", "CircuitView", "Explanation", "GroupView", "LineView", "PoolView", "QuotaView",
    "account_view", "make_view", "why_not",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision. `account` is empty where there was none."""

    at: float
    caller: str
    model: str
    account: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whom the pool would choose and why, and of each other account why not: (id, reason)."""

    chosen: str | None
    why: str
    others: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class QuotaView:
    """One limit of one model. `headroom`: 0 to 1 of what may go at once; `free_in_s`: until something may."""

    model: str
    dimension: str
    limit: float
    source: str
    headroom: float
    free_in_s: float


@dataclass(frozen=True, slots=True)
class AccountView:
    """`out_for_s` is 0 where it serves, None where no clock helps. `resting`: seconds by model."""

    id: str
    provider: str
    group: str
    priority: int
    tags: list[str]
    health: Health
    in_flight: int
    served: int
    refused: int
    out_for_s: float | None
    reason: str
    since_s: float | None
    last_verdict: str
    last_verdict_s: float | None
    resting: dict[str, float]
    quotas: list[QuotaView]


@dataclass(frozen=True, slots=True)
class CircuitView:
    """`model` is empty for the provider as a whole."""

    provider: str
    model: str
    state: str
    opens_in_s: float
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class LineView:
    provider: str
    model: str
    tags: list[str]
    waiting: int
    longest_wait_s: float
    callers: dict[str, int]
    next_in_s: float | None


@dataclass(frozen=True, slots=True)
class GroupView:
    """Accounts that share their limits. `found`: the pool has found it out from headers."""

    name: str
    provider: str
    accounts: list[str]
    found: bool


@dataclass(frozen=True, slots=True)
class PoolView:
    accounts: list[AccountView]
    circuits: list[CircuitView]
    lines: list[LineView]
    groups: list[GroupView]
    recent: Sequence[Choice]


def make_view(
    now: float,
    accounts: Iterable[Account],
    quotas: Mapping[tuple[str, str, str], Quota],
    services: Iterable[Service],
    lanes: Iterable[Lane],
    recent: Sequence[Choice],
    wall_s: float,
) -> Slices[PoolView]:
    by_group: dict[tuple[str, str], list[Quota]] = {}
    for named in sliced(quotas.items()):
        for (provider, group, _), quota in named:
            by_group.setdefault((provider, group), []).append(quota)
        yield
    members: dict[tuple[str, str], list[str]] = {}
    views = []
    for part in sliced(accounts):
        for account in part:
            members.setdefault((account.provider, account.group), []).append(account.id)
            views.append(account_view(account, by_group.get((account.provider, account.group), []), now, wall_s))
        yield
    circuits = {}
    for service in services:
        circuits[service.provider.name, service.model] = service.circuit
        circuits[service.provider.name, ""] = service.provider.circuit
    groups = []
    for shared in sliced(members.items()):
        groups += [
            GroupView(group, provider, ids, group.startswith(ORGANISATION))
            for (provider, group), ids in shared
            if len(ids) > 1 or group != ids[0]
        ]
        yield
    return PoolView(
        views,
        [
            _circuit(name, model, one, now)
            for (name, model), one in circuits.items()
            if one.failures or one.state is not State.CLOSED
        ],
        [_line(lane, now) for lane in lanes if lane.line.count],
        groups,
        recent,
    )


def why_not(account: Account, quota: Quota, cost: Cost, closed_s: float, now: float, wall_s: float) -> str:
    """Why `account` could not serve now, in a few words; empty if it could."""
    rest = account.rests.get(quota.model)
    free_in_s = quota.free_at(cost, now, wall_s) - now
    if account.health is not Health.READY:
        return f"{account.health}{_for(account.ready_at - now)}: {_reason(account) or 'the operator'}"
    if closed_s > 0:
        return f"the provider is failing{_for(closed_s)}"
    if rest is not None and rest.until > now:
        return f"not for this model{_for(rest.until - now)}: {rest.cause.reason}"
    if account.is_full:
        return f"{account.in_flight} requests are running, which is its limit"
    if account.weight <= 0:
        return "its weight is 0"
    if free_in_s > 0:
        return f"its limit is reached{_for(free_in_s)}"
    return ""


def _for(seconds: float) -> str:
    return "" if seconds in (float("inf"), float("-inf")) else f" for {seconds:.1f} s"


def account_view(account: Account, quotas: Sequence[Quota], now: float, wall_s: float) -> AccountView:
    resting = {model: rest.until - now for model, rest in account.rests.items() if rest.until > now}
    resting |= {quota.model: quota.out_until - now for quota in quotas if quota.out_until > now}
    cooling = account.health is Health.READY and bool(resting)
    ready_at = account.ready_at
    return AccountView(
        account.id,
        account.provider,
        account.group,
        account.priority,
        sorted(account.tags),
        Health.COOLING if cooling else account.health,
        account.in_flight,
        account.served,
        account.refused,
        None if ready_at == float("inf") else max(0.0, ready_at - now),
        _reason(account) or next((quota.cause.reason for quota in quotas if quota.cause is not None), ""),
        None if account.health is Health.READY else now - account.since,
        "" if account.last is None else account.last.reason,
        None if account.last is None else now - account.last_at,
        resting,
        [
            QuotaView(
                quota.model,
                KINDS[bucket.kind],
                bucket.limit,
                bucket.source,
                bucket.headroom(now) if quota.out_until <= now else 0.0,
                max(0.0, bucket.free_at(1.0) - now, quota.out_until - now),
            )
            for quota in quotas
            for bucket in quota.buckets
        ]
        + [_daily(quota, now, wall_s) for quota in quotas if quota.daily is not None],
    )


def _daily(quota: Quota, now: float, wall_s: float) -> QuotaView:
    daily, wall = quota.daily, now + wall_s
    assert daily is not None
    left = 1.0 if wall >= daily.ends_at else max(0.0, 1.0 - daily.used / daily.limit)
    return QuotaView(quota.model, "requests/day", daily.limit, "configured", left, daily.free_at(wall) - wall)


def _reason(account: Account) -> str:
    causes = [account.cause, *(rest.cause for rest in account.rests.values())]
    return next((cause.reason for cause in causes if cause is not None), "")


def _circuit(provider: str, model: str, circuit: Circuit, now: float) -> CircuitView:
    opens_in_s = max(0.0, circuit.open_until - now) if circuit.state is State.OPEN else 0.0
    reason = "" if circuit.verdict is None else circuit.verdict.reason
    return CircuitView(provider, model, circuit.state, opens_in_s, circuit.failures, reason)


def _line(lane: Lane, now: float) -> LineView:
    longest_s = max((now - ticket.since for ticket in lane.line.tickets()), default=0.0)
    return LineView(
        lane.service.provider.name,
        lane.service.model,
        sorted(lane.roster.tags),
        lane.line.count,
        longest_s,
        lane.line.waiting(),
        None if lane.wake_at is None else max(0.0, lane.wake_at - now),
    )
