"""What a process remembers of the one before it, as plain JSON values: no key, no content, no caller.

Times are the wall's, since the clock of a process ends with it. Whatever does not fit (an account that is gone, another
key, a figure of another type) is left out with a sentence: a file may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ds2api.accounts.account import ORGANISATION, Account, Health
from ds2api.accounts.bucket import KINDS
from ds2api.accounts.quota import Quota
from ds2api.accounts.verdicts import Action, Scope, Verdict
from ds2api.slices import Slices, sliced
from ds2api.universal.errors import Kind

__all__ = ["restore", "save"]

_FORMAT = 1
# Wall times beyond this say "for ever".
_EVER = 1e12


def save(
    accounts: Iterable[Account], quotas: Mapping[tuple[str, str, str], Quota], now: float, wall_s: float
) -> Slices[dict[str, Any]]:
    saved: dict[str, Any] = {"format": _FORMAT, "accounts": [], "quotas": []}
    for part in sliced(accounts):
        saved["accounts"] += [_saved(account, now, wall_s) for account in part if _has_something(account, now)]
        yield
    for named in sliced(quotas.items()):
        saved["quotas"] += [
            _saved_quota(key, quota, now, wall_s) for key, quota in named if quota.buckets or quota.out_until > now
        ]
        yield
    return saved


def restore(
    saved: Mapping[str, Any],
    accounts: Mapping[str, Account],
    quota_of: Callable[[Account, str], Quota],
    now: float,
    wall_s: float,
) -> list[str]:
    if saved.get("format") != _FORMAT:
        return [f"it is of format {str(saved.get('format'))[:20]!r}, not {_FORMAT}"]
    problems: list[str] = []
    by_group: dict[tuple[str, str], Account] = {}
    for one in _listed(saved, "accounts"):
        account = accounts.get(str(one.get("id")))
        if account is None or one.get("tag") != account.tag:
            continue  # gone, or another key: a new chance
        try:
            _restore_account(account, one, now, wall_s)
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"account {account.id}: {type(error).__name__} in what was saved")
    for account in accounts.values():
        by_group.setdefault((account.provider, account.group), account)
    for one in _listed(saved, "quotas"):
        member = by_group.get((str(one.get("provider")), str(one.get("group"))))
        if member is None:
            continue
        try:
            _restore_quota(quota_of(member, str(one["model"])), one, now, wall_s)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            problems.append(f"limits of {member.group}: {type(error).__name__} in what was saved")
    return problems


def _has_something(account: Account, now: float) -> bool:
    return (
        account.health is not Health.READY
        or bool(account.proofs)
        or account.group.startswith(ORGANISATION)
        or any(rest.until > now for rest in account.rests.values())
    )


def _saved(account: Account, now: float, wall_s: float) -> dict[str, Any]:
    return {
        "id": account.id,
        "tag": account.tag,
        "health": account.health.value,
        "until": _wall(account.out_until, wall_s),
        "since": _wall(account.since, wall_s),
        "cause": _saved_verdict(account.cause),
        "proofs": account.proofs,
        "organisation": account.group if account.group.startswith(ORGANISATION) else None,
        "rests": [
            [model, _wall(rest.until, wall_s), _saved_verdict(rest.cause)]
            for model, rest in account.rests.items()
            if rest.until > now
        ],
    }


def _saved_quota(key: tuple[str, str, str], quota: Quota, now: float, wall_s: float) -> dict[str, Any]:
    provider, group, model = key
    return {
        "provider": provider,
        "group": group,
        "model": model,
        "out_until": _wall(quota.out_until, wall_s) if quota.out_until > now else None,
        "cause": _saved_verdict(quota.cause) if quota.out_until > now else None,
        "day": [quota.daily.used, quota.daily.ends_at] if quota.daily is not None and quota.daily.used else None,
        "buckets": [
            [KINDS[one.kind], one.limit, one.source, _wall(one.full_at, wall_s), one.burst_s] for one in quota.buckets
        ],
    }


def _restore_account(account: Account, one: Mapping[str, Any], now: float, wall_s: float) -> None:
    health = Health(one["health"])
    until = _clock(one["until"], wall_s)
    cause = _verdict(one["cause"])
    if health is not Health.READY:
        account.restore(health, until, cause, min(now, _clock(one["since"], wall_s)), int(one["proofs"]))
    else:
        account.restore(health, 0.0, None, 0.0, int(one["proofs"]))
    organisation = one.get("organisation")
    if isinstance(organisation, str) and organisation.startswith(ORGANISATION) and account.group == account.id:
        account.group = organisation
    for model, rest_until, rest_cause in one["rests"]:
        verdict = _verdict(rest_cause)
        if verdict is not None:
            account.rest_model(str(model), _clock(rest_until, wall_s), verdict)


def _restore_quota(quota: Quota, one: Mapping[str, Any], now: float, wall_s: float) -> None:
    if one["out_until"] is not None:
        quota.out_until = _clock(one["out_until"], wall_s)
        quota.cause = _verdict(one["cause"])
    if one["day"] is not None and quota.daily is not None:
        quota.daily.used, quota.daily.ends_at = float(one["day"][0]), float(one["day"][1])
    for name, limit, source, full_at, burst_s in one["buckets"]:
        # What was full then is full now; what was used up has been filling since.
        quota.remember(
            KINDS.index(name), float(limit), str(source), max(_clock(full_at, wall_s), now - 1.0), float(burst_s)
        )


def _saved_verdict(verdict: Verdict | None) -> list[Any] | None:
    if verdict is None:
        return None
    return [verdict.scope.value, verdict.action.value, verdict.kind.value, verdict.reason, verdict.wait_s]


def _verdict(saved: Any) -> Verdict | None:
    if saved is None:
        return None
    scope, action, kind, reason, wait_s = saved
    return Verdict(
        Scope(scope), Action(action), Kind(kind), str(reason)[:200], wait_s if wait_s is None else float(wait_s)
    )


def _wall(at: float, wall_s: float) -> float:
    return min(max(at + wall_s, 0.0), _EVER)


def _clock(wall: Any, wall_s: float) -> float:
    return float("inf") if float(wall) >= _EVER else float(wall) - wall_s


def _listed(saved: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = saved.get(name)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
