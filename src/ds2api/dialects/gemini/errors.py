"""Errors: what Google says, read; and ours, written in Google's shape (google.rpc.Status as JSON).

Reading is total: the object, a list of one (streams without ``alt=sse``), a proxy's page, nothing at all. The details
tell more than the status: an `ErrorInfo` whose reason is a bad key under a 400, a `QuotaFailure` whose `quotaId` says
whether the minute or the day is used up under the same 429, text and `retryDelay` (R109, `mapping.md` §7).

A day's quota begins again at midnight Pacific (ai.google.dev/gemini-api/docs/rate-limits), counted here from the
answer's own date at UTC-8: at most an hour late in summer.

Writing is a total table over `Kind` (`mapping.md` §6). A provider's words reach a client only where they are about its
own request, with what looks like a key taken out (R156).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import WrittenError
from ds2api.dialects.error_reading import BY_STATUS, by_status
from ds2api.dialects.masking import masked
from ds2api.universal.days import PACIFIC, next_midnight
from ds2api.universal.errors import Error, Fault, Kind

__all__ = ["broken", "error_object", "read_error", "read_stream_error", "truncated", "write_error"]

_MESSAGE_CHARACTERS = 2000  # longer ones repeat the prompt
_DAY_S = 86_400
_TYPE = "type.googleapis.com/google.rpc."

# HTTP status and canonical word for each kind (`google/rpc/code.proto`).
_WRITTEN: Mapping[Kind, tuple[int, str]] = {
    Kind.BAD_REQUEST: (400, "INVALID_ARGUMENT"),
    Kind.UNSUPPORTED: (400, "INVALID_ARGUMENT"),
    Kind.CONTEXT_TOO_LONG: (400, "INVALID_ARGUMENT"),
    Kind.CONTENT_REFUSED: (400, "INVALID_ARGUMENT"),
    Kind.UNAUTHENTICATED: (400, "INVALID_ARGUMENT"),
    Kind.FORBIDDEN: (403, "PERMISSION_DENIED"),
    Kind.NOT_FOUND: (404, "NOT_FOUND"),
    Kind.MODEL_NOT_FOUND: (404, "NOT_FOUND"),
    Kind.METHOD_NOT_ALLOWED: (405, "UNIMPLEMENTED"),
    Kind.TOO_SLOW: (408, "DEADLINE_EXCEEDED"),
    Kind.TOO_LARGE: (400, "INVALID_ARGUMENT"),
    Kind.UNSUPPORTED_MEDIA: (415, "INVALID_ARGUMENT"),
    Kind.CONFLICT: (409, "ABORTED"),
    Kind.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED"),
    Kind.QUOTA_EXHAUSTED: (429, "RESOURCE_EXHAUSTED"),
    Kind.OVERLOADED: (503, "UNAVAILABLE"),
    Kind.UPSTREAM_FAILED: (500, "INTERNAL"),
    Kind.UPSTREAM_BROKEN: (500, "INTERNAL"),
    Kind.UPSTREAM_TRUNCATED: (500, "INTERNAL"),
    Kind.UNREACHABLE: (500, "INTERNAL"),
    Kind.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
    Kind.INTERNAL: (500, "INTERNAL"),
}
# The account's trouble is not the client's: its own key is fine.
_WRITTEN_FOR_ACCOUNT: Mapping[Kind, tuple[int, str]] = {
    Kind.UNAUTHENTICATED: (500, "INTERNAL"),
    Kind.FORBIDDEN: (500, "INTERNAL"),
}
_OWN_WORDS: Mapping[Kind, str] = {
    Kind.UNAUTHENTICATED: "The provider did not accept the gateway's credential.",
    Kind.FORBIDDEN: "The provider does not allow this to the gateway's account.",
    Kind.RATE_LIMITED: "The provider's rate limit is reached. Please try again later.",
    Kind.QUOTA_EXHAUSTED: "The quota of the gateway's account at the provider is used up.",
    Kind.OVERLOADED: "The model is overloaded. Please try again later.",
    Kind.TIMEOUT: "The provider did not answer in time.",
}

_BY_WORD: Mapping[str, tuple[Fault, Kind]] = {
    "INVALID_ARGUMENT": (Fault.REQUEST, Kind.BAD_REQUEST),
    "OUT_OF_RANGE": (Fault.REQUEST, Kind.BAD_REQUEST),
    "FAILED_PRECONDITION": (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    "UNAUTHENTICATED": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    "PERMISSION_DENIED": (Fault.ACCOUNT, Kind.FORBIDDEN),
    "NOT_FOUND": (Fault.REQUEST, Kind.NOT_FOUND),
    "RESOURCE_EXHAUSTED": (Fault.ACCOUNT, Kind.RATE_LIMITED),
    "UNIMPLEMENTED": (Fault.REQUEST, Kind.UNSUPPORTED),
    "UNAVAILABLE": (Fault.PROVIDER, Kind.OVERLOADED),
    "DEADLINE_EXCEEDED": (Fault.PROVIDER, Kind.TIMEOUT),
    "INTERNAL": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    "UNKNOWN": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    "ABORTED": (Fault.PROVIDER, Kind.CONFLICT),
    "CANCELLED": (Fault.PROVIDER, Kind.UPSTREAM_FAILED),
}
# `ErrorInfo.reason` (google/api/error_reason.proto): the key or its project is gone, whatever the status.
_DEAD = frozenset(
    {"API_KEY_INVALID", "API_KEY_EXPIRED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED", "USER_PROJECT_DENIED"}
)
_BILLING = frozenset({"BILLING_DISABLED", "BILLING_STATE_INVALID"})

_BAD_KEY = re.compile(r"api key (not valid|expired|not found)|reported as leaked", re.IGNORECASE)
_LOCATION = re.compile(r"location is not supported", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"(input )?token count .*exceeds|exceeds the maximum number of tokens|context (length|window)", re.IGNORECASE
)
_MODEL = re.compile(r"models?/\S+ is not found|\bmodel\b.*not (found|exist)", re.IGNORECASE)
_NO_TIER = re.compile(r"\blimit: 0\b")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """A provider's error answer. Never raises."""
    try:
        value = jsons.parse(body) if body.strip() else None
    except jsons.JsonError:
        value = body[:_MESSAGE_CHARACTERS].decode("utf-8", "replace")
    return _read(status, {name.lower(): one for name, one in headers.items()}, value)


def read_stream_error(value: Any) -> Error:
    """An error inside of a stream or under a 200: its status is its code."""
    said = _inner(value)
    code = said.get("code") if isinstance(said, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    return _read(status, {}, value)


def broken(what: str) -> Error:
    """The provider broke its protocol. `what` tells how."""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, f"The provider broke its protocol: {what}.")


def truncated() -> Error:
    message = "The provider's stream stopped before the answer was complete."
    return Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, message)


def error_object(error: Error, request_id: str = "") -> dict[str, Any]:
    """The value of ``"error"``, for a body or an event."""
    status, word = _row(error)
    message = _message(error)
    details: list[dict[str, Any]] = []
    if error.kind is Kind.UNAUTHENTICATED and status == 400:
        metadata = {"service": "generativelanguage.googleapis.com"}
        info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": metadata}
        details.append({"@type": _TYPE + "ErrorInfo", **info})
    if error.param is not None:
        violation = {"field": error.param, "description": message}
        details.append({"@type": _TYPE + "BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{math.ceil(error.retry_after_s)}s"})
    if request_id:
        details.append({"@type": _TYPE + "RequestInfo", "requestId": request_id})
    written: dict[str, Any] = {"code": status, "message": message, "status": word}
    return written | ({"details": details} if details else {})


def write_error(error: Error, request_id: str) -> WrittenError:
    """Ours or a provider's, for a Gemini client. Total over `Kind`. google-genai reads no header; others do."""
    headers: list[tuple[str, str]] = []
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
    return WrittenError(_row(error)[0], jsons.dump({"error": error_object(error, request_id)}), tuple(headers))


def _row(error: Error) -> tuple[int, str]:
    if error.fault in (Fault.ACCOUNT, Fault.PROVIDER) and error.kind in _WRITTEN_FOR_ACCOUNT:
        return _WRITTEN_FOR_ACCOUNT[error.kind]
    return _WRITTEN[error.kind]


def _message(error: Error) -> str:
    """Ours as it is; a provider's only about the request, masked."""
    if error.status is None:
        message = error.message
    elif error.fault is Fault.REQUEST:
        message = masked(error.message)
    else:
        return _OWN_WORDS.get(error.kind, "The provider failed to answer.")
    return f"{error.param}: {message}" if error.param and error.param not in message else message


def _inner(value: Any) -> Any:
    if isinstance(value, list) and value:
        value = value[0]
    return value.get("error", value) if isinstance(value, dict) else value


def _read(status: int, headers: Mapping[str, str], value: Any) -> Error:
    said = _inner(value)
    fields: dict[str, Any] = said if isinstance(said, dict) else {}
    text = fields.get("message") if fields else said if isinstance(said, str) else None
    message = " ".join(re.sub(r"<[^>]*>", " ", text)[:_MESSAGE_CHARACTERS].split()) if isinstance(text, str) else ""
    word = fields.get("status")
    word = word if isinstance(word, str) else None
    listed = fields.get("details")
    details = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    reason = next((one["reason"] for one in details if isinstance(one.get("reason"), str)), None)
    quota = next((quota for one in details if (quota := _quota_id(one)) is not None), None)
    fault, kind = _judged(status, word, reason, message)
    retry_after_s = _retry_after_s(headers, details, message)
    is_daily = quota is not None and "PerDay" in quota
    if kind is Kind.RATE_LIMITED and (is_daily or _NO_TIER.search(message)):
        retry_after_s = max(_until_midnight_s(headers.get("date")), retry_after_s or 0.0)
    violation = next((one for detail in details for one in _listed(detail.get("fieldViolations"))), {})
    param = violation.get("field")
    return Error(
        fault,
        kind,
        message or f"The provider answered {status or 'with an error'} and said nothing.",
        param if isinstance(param, str) and param else None,
        retry_after_s,
        status=status or 200,
        code=quota or reason if kind is Kind.RATE_LIMITED else reason or quota,
        type=word,
        details=listed,
    )


def _judged(status: int, word: str | None, reason: str | None, message: str) -> tuple[Fault, Kind]:
    if reason in _DEAD or (status in (400, 401, 403) and _BAD_KEY.search(message)):
        return Fault.ACCOUNT, Kind.UNAUTHENTICATED
    if reason in _BILLING:
        return Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED
    named = BY_STATUS.get(status)
    known = _BY_WORD.get(word or "") or named
    if status >= 500 and (known is None or known[0] is Fault.REQUEST):
        known = named or (Fault.PROVIDER, Kind.UPSTREAM_FAILED)  # a server failure is never the request's fault
    if known is None:
        return by_status(status)
    if word == "FAILED_PRECONDITION" and _LOCATION.search(message):
        return Fault.PROVIDER, Kind.FORBIDDEN  # this gateway's region, not the key
    if known[1] is Kind.BAD_REQUEST and _TOO_LONG.search(message):
        return Fault.REQUEST, Kind.CONTEXT_TOO_LONG
    if known[1] is Kind.NOT_FOUND:
        if _MODEL.search(message):
            return Fault.REQUEST, Kind.MODEL_NOT_FOUND
        if word is None:
            return Fault.PROVIDER, Kind.NOT_FOUND  # no API lives at this address
    return known


def _listed(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _quota_id(detail: dict[str, Any]) -> str | None:
    """The day's before the minute's where both are named."""
    ids = [one["quotaId"] for one in _listed(detail.get("violations")) if isinstance(one.get("quotaId"), str)]
    return next((one for one in ids if "PerDay" in one), ids[0] if ids else None)


def _retry_after_s(headers: Mapping[str, str], details: list[dict[str, Any]], message: str) -> float | None:
    """`RetryInfo.retryDelay`, the header, or "Please retry in 10h17m…" of the message."""
    for one in details:
        delay = _duration_s(one.get("retryDelay"))
        if delay is not None:
            return delay
    try:
        seconds = float(headers["retry-after"])
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    except (KeyError, ValueError):
        pass  # absent, or a date, which Google does not send
    found = re.search(r"retry in ((?:[\d.]+(?:h|ms|m|s))+)", message)
    return _duration_s(found[1]) if found else None


def _duration_s(value: Any) -> float | None:
    pieces = _DURATION.findall(value) if isinstance(value, str) else []
    if not pieces or "".join(number + unit for number, unit in pieces) != value:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in pieces)


def _until_midnight_s(date: str | None) -> float:
    """A day where the answer does not say when it was given."""
    try:
        now = parsedate_to_datetime(date or "")
        now_s = now.timestamp() if now.tzinfo is not None else None
    except ValueError:
        now_s = None
    return _DAY_S if now_s is None else next_midnight(now_s, PACIFIC) - now_s
