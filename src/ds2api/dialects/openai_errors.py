"""Errors in OpenAI's shape: what a provider says, read; and ours, written. Chat and responses share it.

Reading is total: OpenAI's object, an error that is a string, Google's one-element list, Mistral's flat object and
its 422 `detail`, a gateway's HTML, nothing at all. What it means for the key, the provider or the request is
`mapping.md` §7; a word in `code` beats the status, and what nobody knows is never the end of a key.

Writing is a total table over `Kind` (`mapping.md` §6). A client sees a provider's words only where they are about
its own request, with what looks like a secret taken out; for everything else it reads ours (R156).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import WrittenError
from ds2api.dialects.error_reading import BY_STATUS, retry_after_s
from ds2api.dialects.masking import masked
from ds2api.universal.errors import Error, Fault, Kind

__all__ = ["error_object", "read_chunk_error", "read_error", "write_error"]

_MESSAGE_CHARACTERS = 2000  # longer ones repeat the prompt

_QUOTA_CODES = frozenset({
    "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded", "billing_hard_limit_reached",
    "project_spend_limit_exceeded", "organization_usage_limit_exceeded", "billing_not_active", "insufficient_balance",
})  # fmt: skip

_INPUT_CODES = frozenset({
    "invalid_prompt", "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url",
    "image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode", "image_file_too_large",
    "unsupported_image_media_type", "empty_image_file", "failed_to_download_image", "image_file_not_found",
    "invalid_encrypted_content",
})  # fmt: skip
_POLICY_CODES = frozenset({"bio_policy", "misalignment_policy_violation", "image_content_policy_violation"})

# Words of `code` or `type` that decide whatever the status is.
_BY_WORD: Mapping[str, tuple[Fault, Kind]] = {
    "invalid_api_key": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    "account_deactivated": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    "authentication_error": (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    **dict.fromkeys(_QUOTA_CODES, (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED)),
    "rate_limit_exceeded": (Fault.ACCOUNT, Kind.RATE_LIMITED),
    "rate_limit_error": (Fault.ACCOUNT, Kind.RATE_LIMITED),
    "slow_down": (Fault.ACCOUNT, Kind.RATE_LIMITED),
    "context_length_exceeded": (Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
    "string_above_max_length": (Fault.REQUEST, Kind.BAD_REQUEST),
    # `ResponseError.code`: what a response can fail with that is the request's own affair.
    **dict.fromkeys(_INPUT_CODES, (Fault.REQUEST, Kind.BAD_REQUEST)),
    **dict.fromkeys(_POLICY_CODES, (Fault.REQUEST, Kind.CONTENT_REFUSED)),
    "previous_response_not_found": (Fault.REQUEST, Kind.BAD_REQUEST),
    "content_filter": (Fault.REQUEST, Kind.CONTENT_REFUSED),
    "content_policy_violation": (Fault.REQUEST, Kind.CONTENT_REFUSED),
    "moderation_blocked": (Fault.REQUEST, Kind.CONTENT_REFUSED),
    "model_not_found": (Fault.REQUEST, Kind.MODEL_NOT_FOUND),
    "deploymentnotfound": (Fault.REQUEST, Kind.MODEL_NOT_FOUND),
    "unsupported_parameter": (Fault.REQUEST, Kind.UNSUPPORTED),
    "unsupported_value": (Fault.REQUEST, Kind.UNSUPPORTED),
    "server_is_overloaded": (Fault.PROVIDER, Kind.OVERLOADED),
    "service_unavailable": (Fault.PROVIDER, Kind.OVERLOADED),
    "service_unavailable_error": (Fault.PROVIDER, Kind.OVERLOADED),
    "overloaded_error": (Fault.PROVIDER, Kind.OVERLOADED),
    "engine_overloaded": (Fault.PROVIDER, Kind.OVERLOADED),
    # This gateway's region, not the key: another provider can help, another account cannot.
    "unsupported_country_region_territory": (Fault.PROVIDER, Kind.FORBIDDEN),
}


# Messages that say more than status and code, each met at servers that have no code for it.
_BY_MESSAGE: tuple[tuple[re.Pattern[str], frozenset[int], tuple[Fault, Kind]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), frozenset(statuses), meaning)
    for pattern, statuses, meaning in (
        (
            r"context (length|window)|maximum context|prompt is too long|too many tokens|input is too long",
            (400, 413, 422),
            (Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        ),
        # Google's chat layer answers 400 to a bad key.
        (r"api[ _]key (not valid|is invalid|expired)|api_key_invalid", (400,), (Fault.ACCOUNT, Kind.UNAUTHENTICATED)),
        (r"insufficient (balance|credits|funds)", (400, 403, 429), (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED)),
        (r"high demand|overloaded|at capacity", (429,), (Fault.PROVIDER, Kind.OVERLOADED)),
        (r"country|region|territory", (403,), (Fault.PROVIDER, Kind.FORBIDDEN)),
        (r"moderation|flagged", (403,), (Fault.REQUEST, Kind.CONTENT_REFUSED)),
        (
            r"\bmodel\b.*(not found|not exist)|(no such|unknown) model",
            (400, 404),
            (Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        ),
    )
)

# status, `type`, `code`. Codes are OpenAI's where it has one.
_WRITTEN: Mapping[Kind, tuple[int, str, str | None]] = {
    Kind.BAD_REQUEST: (400, "invalid_request_error", None),
    Kind.UNSUPPORTED: (400, "invalid_request_error", "unsupported_parameter"),
    Kind.CONTEXT_TOO_LONG: (400, "invalid_request_error", "context_length_exceeded"),
    Kind.CONTENT_REFUSED: (400, "invalid_request_error", "content_policy_violation"),
    Kind.UNAUTHENTICATED: (401, "invalid_request_error", "invalid_api_key"),
    Kind.FORBIDDEN: (403, "permission_error", "forbidden"),
    Kind.NOT_FOUND: (404, "invalid_request_error", "not_found"),
    Kind.MODEL_NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    Kind.METHOD_NOT_ALLOWED: (405, "invalid_request_error", "method_not_allowed"),
    Kind.TOO_SLOW: (408, "invalid_request_error", "request_timeout"),
    Kind.TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    Kind.UNSUPPORTED_MEDIA: (415, "invalid_request_error", "unsupported_media_type"),
    Kind.CONFLICT: (409, "invalid_request_error", "conflict"),
    Kind.RATE_LIMITED: (429, "rate_limit_error", "rate_limit_exceeded"),
    Kind.QUOTA_EXHAUSTED: (429, "insufficient_quota", "insufficient_quota"),
    Kind.OVERLOADED: (503, "server_error", "service_unavailable"),
    Kind.UPSTREAM_FAILED: (502, "server_error", "upstream_failed"),
    Kind.UPSTREAM_BROKEN: (502, "server_error", "upstream_broken"),
    Kind.UPSTREAM_TRUNCATED: (502, "server_error", "upstream_truncated"),
    Kind.UNREACHABLE: (502, "server_error", "upstream_unreachable"),
    Kind.TIMEOUT: (504, "server_error", "upstream_timeout"),
    Kind.INTERNAL: (500, "server_error", "internal_error"),
}

# The account's trouble is not the client's: its own key is fine, so it must not read 401 or 403.
_WRITTEN_FOR_ACCOUNT: Mapping[Kind, tuple[int, str, str | None]] = {
    Kind.UNAUTHENTICATED: (502, "server_error", "upstream_unauthenticated"),
    Kind.FORBIDDEN: (502, "server_error", "upstream_forbidden"),
}

# What a client reads where the provider's own words are not for it.
_OWN_WORDS: Mapping[Kind, str] = {
    Kind.UNAUTHENTICATED: "The provider did not accept the gateway's credential.",
    Kind.FORBIDDEN: "The provider does not allow this to the gateway's account.",
    Kind.RATE_LIMITED: "The provider's rate limit is reached. Please try again later.",
    Kind.QUOTA_EXHAUSTED: "The quota of the gateway's account at the provider is used up.",
    Kind.OVERLOADED: "The provider is overloaded. Please try again later.",
    Kind.UPSTREAM_FAILED: "The provider failed to answer.",
    Kind.TIMEOUT: "The provider did not answer in time.",
    Kind.CONFLICT: "The provider reported a conflict. Please try again.",
    Kind.METHOD_NOT_ALLOWED: "The provider does not know this call.",
}

# The same request would fail again, and some clients try everything five times (R135, R174).
_FINAL = frozenset({Kind.QUOTA_EXHAUSTED, Kind.TOO_LARGE, Kind.MODEL_NOT_FOUND})
# openai gives up beyond 120 s anyway, anthropic sleeps whatever is said (`mapping.md` §6).
_RETRY_LIMIT_S = 60


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """A provider's error answer. Never raises."""
    try:
        parsed = jsons.parse(body) if body.strip() else None
    except jsons.JsonError:
        parsed = None
    error = _read(status, parsed, body)
    return error.with_(retry_after_s=retry_after_s(headers))


def read_chunk_error(chunk: Mapping[str, Any]) -> Error:
    """An error inside of a stream or under a 200. Its status is in the object, if anywhere."""
    inner = chunk.get("error")
    status = 0
    for one in (inner, chunk):
        if isinstance(one, dict):
            for name in ("code", "status_code", "status"):
                value = one.get(name)
                if isinstance(value, str) and value.isdigit():
                    value = int(value)
                if isinstance(value, int) and 400 <= value < 600 and not status:
                    status = value
    return _read(status, chunk, b"")


def error_object(error: Error) -> dict[str, Any]:
    """The value of ``"error"``, for a body or an event."""
    _, kind, code = _row(error)
    if error.fault is Fault.REQUEST and error.code and error.kind in {Kind.BAD_REQUEST, Kind.UNSUPPORTED}:
        code = error.code
    return {"message": _message(error), "type": kind, "param": error.param, "code": code}


def write_error(error: Error, request_id: str) -> WrittenError:
    """Ours or a provider's, for a client. Total over `Kind`. The shape has no field for `request_id`: it stands in
    the head that the gateway writes."""
    status = _row(error)[0]
    headers: list[tuple[str, str]] = []
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
        headers.append(("retry-after-ms", str(math.ceil(error.retry_after_s * 1000))))
    if error.kind in _FINAL or (error.retry_after_s or 0) > _RETRY_LIMIT_S:
        headers.append(("x-should-retry", "false"))
    return WrittenError(status, jsons.dump({"error": error_object(error)}), tuple(headers))


def _row(error: Error) -> tuple[int, str, str | None]:
    if error.fault in {Fault.ACCOUNT, Fault.PROVIDER} and error.kind in _WRITTEN_FOR_ACCOUNT:
        return _WRITTEN_FOR_ACCOUNT[error.kind]
    return _WRITTEN[error.kind]


def _message(error: Error) -> str:
    """Ours as it is; a provider's only about the request, masked."""
    if error.status is None:
        return error.message
    if error.fault is Fault.REQUEST:
        return masked(error.message)
    return _OWN_WORDS.get(error.kind, "The provider failed to answer.")


def _read(status: int, parsed: Any, body: bytes) -> Error:
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    whole = parsed if isinstance(parsed, dict) else {}
    inner = whole.get("error")
    said = inner if isinstance(inner, dict) else whole
    message = _said_message(inner, said, parsed, body)
    code, kind_word = _word(said.get("code")), _word(said.get("type"))
    fault, kind = _classify(status, code, kind_word, message, said, is_json=isinstance(parsed, dict))
    param = said.get("param")
    return Error(
        fault,
        kind,
        message or f"The provider answered {status or 'with an error'} and said nothing.",
        param if isinstance(param, str) else None,
        status=status or 200,
        code=code,
        type=kind_word,
        details=said or None,
    )


def _said_message(inner: Any, said: Mapping[str, Any], parsed: Any, body: bytes) -> str:
    message: Any = inner if isinstance(inner, str) else said.get("message", said.get("msg"))
    if message is None and "detail" in said:
        message = said["detail"]
    if isinstance(message, (dict, list)):
        message = jsons.dump(message).decode()
    if not isinstance(message, str):
        # A page of some proxy: its text without the tags is more than nothing.
        text = parsed if isinstance(parsed, str) else body[:_MESSAGE_CHARACTERS].decode("utf-8", "replace")
        message = "" if isinstance(parsed, (dict, list)) else re.sub(r"<[^>]*>", " ", text)
    return " ".join(message[:_MESSAGE_CHARACTERS].split())


def _word(value: Any) -> str | None:
    if isinstance(value, str):
        return value[:100] or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _classify(
    status: int, code: str | None, kind_word: str | None, message: str, said: Mapping[str, Any], *, is_json: bool
) -> tuple[Fault, Kind]:
    by_message = next(
        (meaning for pattern, statuses, meaning in _BY_MESSAGE if status in statuses and pattern.search(message)), None
    )
    for word in (code, kind_word):
        meaning = _BY_WORD.get(word.lower()) if word else None
        if meaning is not None:
            # "rate_limit_exceeded" beside a text about the provider's own load (Azure).
            if meaning[1] is Kind.RATE_LIMITED and by_message is not None:
                return by_message
            return meaning
    if by_message is not None:
        return by_message
    if status == 429 and isinstance(said.get("metadata"), dict) and said["metadata"].get("provider_name"):
        # OpenRouter passes on somebody else's limit: the key here is not at its own.
        return Fault.PROVIDER, Kind.RATE_LIMITED
    if status == 404 and not is_json:
        return Fault.PROVIDER, Kind.NOT_FOUND  # no API lives at this address
    known = BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500 or status < 400:
        if kind_word == "invalid_request_error" and not status:
            return Fault.REQUEST, Kind.BAD_REQUEST
        return Fault.PROVIDER, Kind.UPSTREAM_FAILED
    return Fault.PROVIDER, Kind.UPSTREAM_FAILED
