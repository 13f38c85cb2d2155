"""Errors: what an Ollama server says, read; and ours, written in its shape, ``{"error": "…"}``.

There is no code and no type: status and message decide (`mapping.md` §7). Reading is total; a proxy's page, an error
that is an object, nothing at all are errors too. Writing is a table over `Kind` (`mapping.md` §6). A client sees a
server's words only where they are about its own request, with what looks like a secret taken out (R156).
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

__all__ = ["broken", "message_for", "read_error", "read_line_error", "truncated", "write_error"]

_MESSAGE_CHARACTERS = 2000  # longer ones repeat the prompt

# `mapping.md` §6.
_WRITTEN: Mapping[Kind, int] = {
    Kind.BAD_REQUEST: 400,
    Kind.UNSUPPORTED: 400,
    Kind.CONTEXT_TOO_LONG: 400,
    Kind.CONTENT_REFUSED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.MODEL_NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.TOO_SLOW: 408,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED_MEDIA: 415,
    Kind.RATE_LIMITED: 429,
    Kind.QUOTA_EXHAUSTED: 429,
    Kind.INTERNAL: 500,
    Kind.UPSTREAM_FAILED: 502,
    Kind.UPSTREAM_BROKEN: 502,
    Kind.UPSTREAM_TRUNCATED: 502,
    Kind.UNREACHABLE: 502,
    Kind.OVERLOADED: 503,
    Kind.TIMEOUT: 504,
}
# The account's trouble is not the client's: its own key is fine.
_NOT_THE_CLIENTS = frozenset({Kind.UNAUTHENTICATED, Kind.FORBIDDEN})

# What a client reads where the provider's own words are not for it.
_OWN_WORDS: Mapping[Kind, str] = {
    Kind.UNAUTHENTICATED: "the provider refused the gateway's credential",
    Kind.FORBIDDEN: "the provider does not allow this to the gateway's account",
    Kind.RATE_LIMITED: "the provider's rate limit is reached",
    Kind.QUOTA_EXHAUSTED: "the quota of the gateway's account at the provider is used up",
    Kind.OVERLOADED: "the provider is overloaded",
    Kind.TIMEOUT: "the provider did not answer in time",
}

# Messages of `server/routes.go` and of the engine that say more than the status.
_BY_MESSAGE: tuple[tuple[re.Pattern[str], tuple[Fault, Kind]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"\bmodel\b.*\bnot found\b", (Fault.REQUEST, Kind.MODEL_NOT_FOUND)),
        (r"does not support \w+", (Fault.REQUEST, Kind.UNSUPPORTED)),
        (
            r"context (length|window|size)|exceeds? (the )?(available |maximum )?context",
            (Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        ),
        (r"server busy|maximum pending requests", (Fault.PROVIDER, Kind.OVERLOADED)),
    )
)
_quoted = re.compile(r"""['"]([^'"]+)['"]""").search


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """A server's error answer. Never raises."""
    try:
        value = jsons.parse(body) if body.strip() else None
    except jsons.JsonError:
        value = re.sub(r"<[^>]*>", " ", body[:_MESSAGE_CHARACTERS].decode("utf-8", "replace"))
    error = _read(value, status)
    if status == 404 and not isinstance(value, dict):
        error = error.with_(fault=Fault.PROVIDER)  # no Ollama lives at this address
    return error.with_(retry_after_s=retry_after_s(headers))


def read_line_error(line: dict[str, Any]) -> Error:
    """An error under a 200: a line of a stream, or a whole answer. It may name its status."""
    status = next((line[name] for name in ("status_code", "StatusCode", "status") if _is_status(line.get(name))), None)
    return _read(line, status).with_(status=status or 200)


def broken(what: str) -> Error:
    """The provider broke its protocol. `what` tells how."""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, f"the provider broke its protocol: {what}")


def truncated() -> Error:
    """The provider's bytes ended before its answer did."""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "the provider's stream ended before its answer was complete")


def write_error(error: Error, request_id: str) -> WrittenError:
    """Ours or a provider's, for an Ollama client. Total over `Kind`. The shape has no field for `request_id`: it stands
    in the head that the gateway writes."""
    status = _WRITTEN[error.kind]
    if error.kind in _NOT_THE_CLIENTS and error.fault in (Fault.ACCOUNT, Fault.PROVIDER):
        status = 502
    headers = []
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(0, math.ceil(error.retry_after_s)))))
    return WrittenError(status, jsons.dump({"error": message_for(error)}), tuple(headers))


def message_for(error: Error) -> str:
    """What a client is told. Some clients look for ``model 'x' not found`` to offer a download (R168)."""
    message = error.message
    if error.status is not None and error.fault is not Fault.REQUEST:
        message = _OWN_WORDS.get(error.kind, "the provider failed to answer")
    elif error.status is not None:
        message = masked(message)
    if error.kind is Kind.MODEL_NOT_FOUND and (name := _quoted(message)) and f"model '{name[1]}' not" not in message:
        message = f"model '{name[1]}' not found: {message}"
    if error.param and error.kind is not Kind.MODEL_NOT_FOUND and error.param not in message:
        message = f"{error.param}: {message}"
    return message


def _read(value: Any, status: int | None) -> Error:
    fields = value if isinstance(value, dict) else {}
    inner = fields.get("error", fields.get("message"))
    said = inner.get("message") if isinstance(inner, dict) else inner
    message = said if isinstance(said, str) else value if isinstance(value, str) else ""
    message = " ".join(message[:_MESSAGE_CHARACTERS].split())
    fault, kind = _judged(status, message)
    return Error(
        fault,
        kind,
        message or f"the provider answered {status or 'with an error'} and said nothing",
        status=status,
        details=fields or None,
    )


def _judged(status: int | None, message: str) -> tuple[Fault, Kind]:
    """A word of the message counts where the status leaves it open: in a stream, and in the statuses that the server
    uses for everything."""
    if status in (None, 400, 404, 500, 503):
        for pattern, meaning in _BY_MESSAGE:
            if pattern.search(message):
                return meaning
    return by_status(status)


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and 400 <= value < 600
