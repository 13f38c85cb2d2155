"""One error for the whole house: what went wrong, whose fault it is, what to say about it.

Dialects read a provider's error into an `Error` and write an `Error` in the shape of their clients
(`dialects/*/errors.py`: a total table over `Kind`). The pool reads the same `Error` to decide what it says
about the account. Nothing here knows a status code's bytes or a socket.

`Problem` is the exception that carries one: raised by whoever refuses, caught at one place, the exchange.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

__all__ = ["Error", "Fault", "Kind", "Problem"]


class Fault(StrEnum):
    """Whose fault it is. It decides who is told and whether another try can help."""

    REQUEST = "request"
    GATEWAY = "gateway"
    ACCOUNT = "account"
    PROVIDER = "provider"


class Kind(StrEnum):
    """What went wrong, in words that every dialect has a shape for (`mapping.md` §6)."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"  # the request is right, but this target cannot express it
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_REFUSED = "content_refused"  # a provider's policy stopped the request
    UNAUTHENTICATED = "unauthenticated"  # the caller's key to the gateway, or the account's at the provider
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"  # no such path or resource
    MODEL_NOT_FOUND = "model_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_SLOW = "too_slow"  # the client did not finish its request in time
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"  # content-type or content-encoding
    CONFLICT = "conflict"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"  # no clock helps: money or a monthly limit
    OVERLOADED = "overloaded"
    UPSTREAM_FAILED = "upstream_failed"  # the provider answered with a failure of its own
    UPSTREAM_BROKEN = "upstream_broken"  # the provider broke its protocol
    UPSTREAM_TRUNCATED = "upstream_truncated"  # the provider stopped in the middle
    UNREACHABLE = "unreachable"  # no connection to the provider
    TIMEOUT = "timeout"  # the provider did not answer in time
    INTERNAL = "internal"  # our bug


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong.

    `message` is for a person: it names the field or the limit, what came, and what would be accepted; it
    never holds a key. `param` is the path of the field in the sender's own request. `retry_after_s` is the
    true time, None where no clock helps. `status`, `code`, `type` and `details` are what the provider said,
    for the pool and for clients of the same dialect; None where the gateway speaks for itself.
    """

    fault: Fault
    kind: Kind
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    status: int | None = None
    code: str | None = None
    type: str | None = None
    details: Any = field(default=None, compare=False)

    def with_(self, **changes: Any) -> Error:
        """The same error with some fields changed."""
        return replace(self, **changes)


class Problem(Exception):
    """Raised to end what is being done with `error`."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error

    @classmethod
    def bad_request(cls, message: str, param: str | None = None) -> Problem:
        """The sender's request is wrong at `param`."""
        return cls(Error(Fault.REQUEST, Kind.BAD_REQUEST, message, param))

    @classmethod
    def unsupported(cls, message: str, param: str | None = None) -> Problem:
        """The request is right, but cannot be carried to the target it is meant for."""
        return cls(Error(Fault.REQUEST, Kind.UNSUPPORTED, message, param))
