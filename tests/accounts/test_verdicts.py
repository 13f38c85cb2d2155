"""Every error has a verdict, and the ones that matter have the right one."""

from __future__ import annotations

import pytest

from ds2api.accounts import Action, Scope, judge
from ds2api.universal.errors import Error, Fault, Kind


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("kind", list(Kind))
def test_every_error_has_a_verdict(fault: Fault, kind: Kind) -> None:
    verdict = judge(Error(fault, kind, "m"))
    assert (verdict.scope is Scope.REQUEST) == (verdict.action is Action.NONE)
    if fault is Fault.REQUEST and kind in (Kind.BAD_REQUEST, Kind.UNSUPPORTED, Kind.CONTEXT_TOO_LONG):
        assert verdict.action is Action.NONE, "the client's own fault is never held against a key"


@pytest.mark.parametrize(
    ("error", "scope", "action"),
    [
        (Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "m", status=429), Scope.MODEL, Action.COOL),
        (Error(Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED, "m", status=402), Scope.ACCOUNT, Action.SUSPEND),
        (Error(Fault.ACCOUNT, Kind.UNAUTHENTICATED, "m", status=401), Scope.ACCOUNT, Action.DOUBT),
        (Error(Fault.ACCOUNT, Kind.MODEL_NOT_FOUND, "m", status=404), Scope.MODEL, Action.COOL),
        (Error(Fault.PROVIDER, Kind.OVERLOADED, "m", status=529), Scope.PROVIDER, Action.REST),
        (Error(Fault.PROVIDER, Kind.UNREACHABLE, "m"), Scope.PROVIDER, Action.REST),
        (Error(Fault.REQUEST, Kind.UNAUTHENTICATED, "m"), Scope.REQUEST, Action.NONE),
    ],
)
def test_the_table(error: Error, scope: Scope, action: Action) -> None:
    verdict = judge(error)
    assert (verdict.scope, verdict.action) == (scope, action)


def test_reason_never_repeats_the_providers_text() -> None:
    error = Error(Fault.ACCOUNT, Kind.UNAUTHENTICATED, "Incorrect key sk-secret", status=401, code="invalid_api_key")
    assert judge(error).reason == "401 invalid_api_key"
