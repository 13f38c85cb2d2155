"""What a provider's answer says about the request, the account, the provider (`mapping.md` §7).

`judge` takes what a dialect's `read_error` read. The rules, in words: a key is killed only by an answer on the
allow-list, and only twice; a quota is suspended; a rate limit cools the account *for that model*, since nearly
every provider counts per model; an overload is the provider's and blames no key; everything else that is not
plainly the request's fault cools down. Unknown is never final.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ds2api.universal.errors import Error, Fault, Kind

__all__ = ["Action", "Scope", "Verdict", "judge"]


class Scope(StrEnum):
    """What a verdict is about."""

    REQUEST = "request"  # the client's own fault: nothing is marked, no other account would help
    MODEL = "model"  # this account, for this model
    ACCOUNT = "account"  # this account, whatever the model
    PROVIDER = "provider"  # no key is to blame


class Action(StrEnum):
    NONE = "none"
    COOL = "cool"  # out until a time
    SUSPEND = "suspend"  # quota or billing
    DOUBT = "doubt"  # a refused key: cool now, dead at the second proof
    REST = "rest"  # overload: out shortly, without blame


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wait_s` is what the provider announced, None where the policy decides. `reason` is for people and holds
    no text of the provider's that could hold a key: status, code or type only."""

    scope: Scope
    action: Action
    kind: Kind
    reason: str
    wait_s: float | None = None


def judge(error: Error) -> Verdict:
    """The verdict on the account that got `error`. Total: every error has one."""
    reason = _reason(error)
    match error.kind:
        case Kind.RATE_LIMITED:
            return Verdict(Scope.MODEL, Action.COOL, error.kind, reason, error.retry_after_s)
        case Kind.QUOTA_EXHAUSTED:
            return Verdict(Scope.ACCOUNT, Action.SUSPEND, error.kind, reason, error.retry_after_s)
        case Kind.UNAUTHENTICATED if error.fault is Fault.ACCOUNT:
            return Verdict(Scope.ACCOUNT, Action.DOUBT, error.kind, reason)
        case Kind.FORBIDDEN if error.fault is Fault.ACCOUNT:
            return Verdict(Scope.MODEL, Action.COOL, error.kind, reason, error.retry_after_s)
        case Kind.MODEL_NOT_FOUND if error.fault is not Fault.GATEWAY:
            return Verdict(Scope.MODEL, Action.COOL, error.kind, reason)
        case Kind.OVERLOADED | Kind.UPSTREAM_FAILED | Kind.UPSTREAM_BROKEN | Kind.UPSTREAM_TRUNCATED:
            return Verdict(Scope.PROVIDER, Action.REST, error.kind, reason, error.retry_after_s)
        case Kind.UNREACHABLE | Kind.TIMEOUT:
            return Verdict(Scope.PROVIDER, Action.REST, error.kind, reason)
    if error.fault is Fault.ACCOUNT:
        return Verdict(Scope.ACCOUNT, Action.COOL, error.kind, reason, error.retry_after_s)
    if error.fault is Fault.PROVIDER:
        return Verdict(Scope.PROVIDER, Action.REST, error.kind, reason, error.retry_after_s)
    return Verdict(Scope.REQUEST, Action.NONE, error.kind, reason)


def _reason(error: Error) -> str:
    words = [str(error.status)] if error.status else []
    words += [word for word in (error.code or error.type,) if word] or [error.kind.value]
    return " ".join(words)
