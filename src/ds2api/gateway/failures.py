"""What went wrong, said as one `Error`, whoever found out: the wire, a provider's answer, the pool.

The words for clients are made here: they name the provider as the operator does, the reason and the setting that
decides, never an address, a key or a provider's own text.
"""

from __future__ import annotations

from collections.abc import Sequence

from ds2api.accounts import Announced, Refused, Verdict, judge
from ds2api.gateway.endings import Ending
from ds2api.gateway.routes import ResolvedTarget
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.usage import Usage
from ds2api.wire.errors import ConnectFailed, PeerError

__all__ = [
    "AttemptFailed", "attempt_failed", "client_error", "connection_failed", "ending_of", "idle_error",
    "nobody_can_serve", "redirect_error",
]  # fmt: skip

_CLIENT_KINDS = {408: Kind.TOO_SLOW, 413: Kind.TOO_LARGE, 415: Kind.UNSUPPORTED_MEDIA}


class AttemptFailed(Exception):
    """One attempt failed with `error`; `verdict` is what that says about the account, `announced` what the
    provider's headers said of its limits, `usage` what it cost all the same."""

    def __init__(self, error: Error, announced: Announced | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.verdict: Verdict = judge(error)
        self.announced = announced
        self.usage: Usage | None = None


def client_error(error: PeerError) -> Error:
    """What the wire found wrong with the client's request body."""
    return Error(Fault.REQUEST, _CLIENT_KINDS.get(error.status_hint, Kind.BAD_REQUEST), error.message)


def connection_failed(error: PeerError, provider: str) -> AttemptFailed:
    """The connection to the provider failed. Its address is the operator's affair and is not told."""
    if isinstance(error, ConnectFailed):
        kind, message = Kind.UNREACHABLE, f"cannot be reached ({error.phase})"
    else:
        kind, message = Kind.TIMEOUT if error.status_hint == 504 else Kind.UPSTREAM_BROKEN, error.message
    return AttemptFailed(Error(Fault.PROVIDER, kind, f"provider {provider!r}: {message}"))


def attempt_failed(error: Error, provider: str) -> AttemptFailed:
    """`error` came with or instead of an answer of the provider's."""
    if error.kind in (Kind.UPSTREAM_TRUNCATED, Kind.UPSTREAM_BROKEN) and provider not in error.message:
        error = error.with_(message=f"provider {provider!r}: {error.message}")
    return AttemptFailed(error)


def redirect_error(status: int, provider: str) -> Error:
    """A redirect is never followed: it would carry key and prompt to another origin."""
    message = f"provider {provider!r} answered {status}, a redirect; the gateway never follows one"
    return Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message, status=status)


def idle_error(seconds: float) -> Error:
    """A streaming provider gave no sign of life for `seconds`."""
    message = f"the provider sent nothing for {seconds:g} seconds (`timeouts.event_idle_s`)"
    return Error(Fault.PROVIDER, Kind.TIMEOUT, message)


def nobody_can_serve(refused: Refused, last: Error | None, places: Sequence[ResolvedTarget]) -> Error:
    """No account within the caller's patience: why, and when it may be worth asking again. `last` is what the
    last attempt of this exchange brought, if there was one."""
    providers = ", ".join(sorted({place.provider.name for place in places}))
    wait_s = refused.retry_after_s
    match refused.kind:
        case _ if last is not None and last.fault is Fault.PROVIDER:
            return last.with_(retry_after_s=last.retry_after_s or wait_s)
        case Kind.RATE_LIMITED:
            message = f"every account at {providers} has reached its rate limit"
        case Kind.QUOTA_EXHAUSTED:
            message = f"every account at {providers} has used up its quota"
        case Kind.MODEL_NOT_FOUND:
            message = f"no account at {providers} may use the model {places[0].model!r}"
            return Error(Fault.ACCOUNT, Kind.MODEL_NOT_FOUND, message, "model")
        case Kind.UNAUTHENTICATED | Kind.FORBIDDEN:
            message = f"{providers} refuses the accounts that this gateway has ({refused.reason})"
            return Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, message)
        case _:
            message = f"{providers} cannot serve now ({refused.reason})"
            return Error(Fault.PROVIDER, refused.kind, message, retry_after_s=wait_s)
    if wait_s is not None:
        message += f"; the next one is free in {max(1, round(wait_s + 0.5))} s"
    return Error(Fault.ACCOUNT, refused.kind, message, retry_after_s=wait_s)


def ending_of(error: Error, *, content_sent: bool) -> Ending:
    """The one word for an exchange that ended with `error`."""
    if error.fault is Fault.GATEWAY:
        return Ending.TIMED_OUT if error.kind is Kind.TIMEOUT else Ending.GATEWAY_FAILED
    if error.fault is Fault.REQUEST:
        return Ending.PROVIDER_REFUSED if error.status is not None else Ending.REFUSED
    if error.kind is Kind.TIMEOUT:
        return Ending.TIMED_OUT
    return Ending.PROVIDER_CUT if content_sent else Ending.PROVIDER_FAILED
