"""Errors: what Anthropic says, read; what the gateway says, written in Anthropic's shape.

Reading is total: a proxy's HTML page, a list, a bare string and no bytes at all are errors too. The table of
`mapping.md` §7 decides whose fault it is; the type word decides before the status, since in a stream there is
only the word. A 400 is the request's fault but for the few answers named there (holds, spending limits).

Writing is a table over `Kind`. What a provider said about our account or our network is never repeated to a
client (R156): it may name keys, organisations and hosts. What it said about the client's own request is, with
whatever looks like a key taken out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import WrittenError
from ds2api.dialects.error_reading import by_status, retry_after_s
from ds2api.dialects.masking import masked
from ds2api.universal.errors import Error, Fault, Kind

__all__ = ["broken", "error_object", "read_error", "read_stream_error", "truncated", "write_error"]

# Status and type word for each kind (`mapping.md` §6; `anthropic/types/shared/error_type.py`).
_WRITTEN: dict[Kind, tuple[int, str]] = {
    Kind.BAD_REQUEST: (400, "invalid_request_error"),
    Kind.UNSUPPORTED: (400, "invalid_request_error"),
    Kind.CONTEXT_TOO_LONG: (400, "invalid_request_error"),
    Kind.CONTENT_REFUSED: (400, "invalid_request_error"),
    Kind.UNAUTHENTICATED: (401, "authentication_error"),
    Kind.FORBIDDEN: (403, "permission_error"),
    Kind.NOT_FOUND: (404, "not_found_error"),
    Kind.MODEL_NOT_FOUND: (404, "not_found_error"),
    Kind.METHOD_NOT_ALLOWED: (405, "invalid_request_error"),
    Kind.TOO_SLOW: (408, "timeout_error"),
    Kind.TOO_LARGE: (413, "request_too_large"),
    Kind.UNSUPPORTED_MEDIA: (415, "invalid_request_error"),
    Kind.CONFLICT: (409, "conflict_error"),
    Kind.RATE_LIMITED: (429, "rate_limit_error"),
    Kind.QUOTA_EXHAUSTED: (402, "billing_error"),
    Kind.OVERLOADED: (529, "overloaded_error"),
    Kind.UPSTREAM_FAILED: (502, "api_error"),
    Kind.UPSTREAM_BROKEN: (502, "api_error"),
    Kind.UPSTREAM_TRUNCATED: (502, "api_error"),
    Kind.UNREACHABLE: (502, "api_error"),
    Kind.TIMEOUT: (504, "timeout_error"),
    Kind.INTERNAL: (500, "api_error"),
}

# What a client is told instead of a provider's own words about our account or our network.
_OWN_WORDS: dict[Kind, str] = {
    Kind.UNAUTHENTICATED: "the provider refused the gateway's credential for this model",
    Kind.FORBIDDEN: "the gateway's account may not use this model or feature at the provider",
    Kind.MODEL_NOT_FOUND: "the provider does not offer this model to the gateway's account",
    Kind.NOT_FOUND: "the provider does not know this model or path",
    Kind.RATE_LIMITED: "the provider's rate limit is reached for every account that may serve this model",
    Kind.QUOTA_EXHAUSTED: "the quota or balance at the provider is used up for every account that may serve this model",
    Kind.OVERLOADED: "the provider is overloaded",
    Kind.UNREACHABLE: "the provider could not be reached",
    Kind.TIMEOUT: "the provider did not answer in time",
}
_OTHER_WORDS = "the provider failed to answer"

# Above this wait the SDK is told not to try again: it would sleep for exactly that long (`mapping.md` §6).
_LONGEST_RETRY_S = 60

_BY_TYPE: dict[str, tuple[Fault, Kind]] = {
    "invalid_request_error": (Fault.REQUEST, Kind.BAD_REQUEST),
    "authentication_error": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    "billing_error": (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    "permission_error": (Fault.ACCOUNT, Kind.FORBIDDEN),
    "not_found_error": (Fault.REQUEST, Kind.NOT_FOUND),
    "conflict_error": (Fault.REQUEST, Kind.CONFLICT),
    "request_too_large": (Fault.REQUEST, Kind.TOO_LARGE),
    "rate_limit_error": (Fault.ACCOUNT, Kind.RATE_LIMITED),
    "timeout_error": (Fault.PROVIDER, Kind.TIMEOUT),
    "overloaded_error": (Fault.PROVIDER, Kind.OVERLOADED),
    "api_error": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
}
# `error.details.error_code` (`anthropic/types/shared/*_details.py`): the account's, whatever the status.
_BY_CODE: dict[str, tuple[Fault, Kind]] = {
    "organization_on_hold": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    "claude_code_key_creator_not_member": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    "enforced_spend_limit_reached": (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    "contract_spend_limit_reached": (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    "linked_organization_spend_limit_reached": (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    "linked_organization_billing_unavailable": (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    "ramp_limit_exceeded": (Fault.ACCOUNT, Kind.RATE_LIMITED),
    "cmek_context_unavailable": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    "cmek_key_disabled": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    "cmek_key_network_blocked": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    "cmek_key_unreachable": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
}
# A 400 whose message alone tells it. The first three are the account's money ("You have reached your specified
# API usage limits", "Your credit balance is too low to access the Anthropic API", a workspace's spend limit).
_SPENT = re.compile(r"spend(?:ing)? limit|api usage limits|credit balance is too low", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"prompt is too long|exceeds? (?:the )?context (?:limit|window)|input is too long", re.IGNORECASE
)
_FILTERED = re.compile(r"content filtering policy", re.IGNORECASE)
_TOO_LONG_WORDS = "prompt is too long"  # what clients look for
_MESSAGE_CHARACTERS = 2000


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """What a provider's error answer says. Never raises."""
    try:
        value = jsons.parse(body)
    except jsons.JsonError:
        value = None
    return _read(value, status, retry_after_s(headers))


def read_stream_error(value: Any) -> Error:
    """The same for the object in an `event: error`, where no status is (R032). Never raises. It came under a 200,
    which tells whoever writes it that these are a provider's words, to be masked or left out."""
    return _read(value, None, None).with_(status=200)


def broken(what: str) -> Error:
    """The provider broke its protocol. `what` tells how."""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, f"the provider broke its protocol: {what}")


def truncated() -> Error:
    """The provider's bytes ended before its answer did."""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "the provider's stream ended before its answer was complete")


def write_error(error: Error, request_id: str) -> WrittenError:
    """`error` in Anthropic's shape, with the headers that its SDK obeys."""
    status, _ = _WRITTEN[error.kind]
    headers: list[tuple[str, str]] = []
    if error.retry_after_s is not None:
        wait_s = max(0, math.ceil(error.retry_after_s))
        headers.append(("retry-after", str(wait_s)))
        if wait_s > _LONGEST_RETRY_S:
            headers.append(("x-should-retry", "false"))
    elif error.kind in (Kind.QUOTA_EXHAUSTED, Kind.CONFLICT, Kind.TOO_LARGE, Kind.MODEL_NOT_FOUND):
        # The SDK would try a 409 again, and other clients all of these: the same request would only fail again.
        headers.append(("x-should-retry", "false"))
    return WrittenError(status, jsons.dump(error_object(error, request_id)), tuple(headers))


def error_object(error: Error, request_id: str) -> dict[str, Any]:
    """The error's JSON, the same for an answer and for an `event: error`."""
    _, word = _WRITTEN[error.kind]
    return {"type": "error", "error": {"type": word, "message": _message(error)}, "request_id": request_id}


def _message(error: Error) -> str:
    provider_spoke = error.status is not None or error.type is not None or error.code is not None
    if provider_spoke and error.fault is not Fault.REQUEST:
        return _OWN_WORDS.get(error.kind, _OTHER_WORDS)
    message = masked(error.message) if provider_spoke else error.message
    if error.kind is Kind.CONTEXT_TOO_LONG and _TOO_LONG_WORDS not in message.lower():
        message = f"{_TOO_LONG_WORDS}: {message}"
    if error.param and error.param not in message:
        message = f"{error.param}: {message}"
    return message


def _read(value: Any, status: int | None, wait_s: float | None) -> Error:
    if isinstance(value, list) and value:  # one gateway wraps its errors in a list of one
        value = value[0]
    inner = value.get("error", value) if isinstance(value, dict) else value
    fields = inner if isinstance(inner, dict) else {}
    word = _text(fields.get("type"))
    details = fields.get("details")
    code = _text(details.get("error_code")) if isinstance(details, dict) else None
    code = code or _text(fields.get("code"))
    message = _text(fields.get("message")) or _text(fields.get("detail")) or _text(inner) or ""
    fault, kind = _judged(status, word, code, message)
    return Error(
        fault,
        kind,
        message[:_MESSAGE_CHARACTERS] or (f"the provider answered {status}" if status else "the provider failed"),
        param=_text(fields.get("param")),
        retry_after_s=wait_s,
        status=status,
        code=code,
        # Inside a 200 the word may be all that tells a provider's text from our own (`_message`).
        type=word or ("error" if status is None else None),
        details=details,
    )


def _judged(status: int | None, word: str | None, code: str | None, message: str) -> tuple[Fault, Kind]:
    if code is not None and code in _BY_CODE:
        return _BY_CODE[code]
    known = _BY_TYPE.get(word or "")
    if status is not None and status >= 500 and known is not None and known[0] is Fault.REQUEST:
        known = None  # a server failure is never the request's fault, whatever the body says
    if known is None or (known[1] is Kind.BAD_REQUEST and status not in (None, 400, 422)):
        known = by_status(status)
    fault, kind = known
    if kind is Kind.UNAUTHENTICATED and "CORS" in message:  # about the client's browser, not about the key
        return Fault.REQUEST, Kind.BAD_REQUEST
    if kind is Kind.NOT_FOUND and "model" in message.lower():
        return Fault.REQUEST, Kind.MODEL_NOT_FOUND
    if kind is Kind.BAD_REQUEST:
        if _SPENT.search(message):
            return Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED
        if _TOO_LONG.search(message):
            return fault, Kind.CONTEXT_TOO_LONG
        if _FILTERED.search(message):
            return fault, Kind.CONTENT_REFUSED
    return fault, kind


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
