"""Errors of this dialect: OpenAI's shape (`dialects/openai_errors`), and the three forms that its streams know.

In a stream: a nested ``error`` event (recorded), the documented flat one, and `response.failed`, whose response holds
the error. For a client it is always `response.failed`: what Codex and the SDK read, and the last event (`streams.md`
§9.4); its `code` is a word of `ResponseError` or one that OpenAI was recorded to say there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds2api.dialects.openai_errors import error_object, read_chunk_error, read_error, write_error
from ds2api.universal.errors import Error, Fault, Kind

__all__ = [
    "broken", "previous_not_found", "read_error", "read_stream_error", "response_error", "truncated", "write_error",
]  # fmt: skip

_CODES: Mapping[Kind, str] = {
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA_EXHAUSTED: "insufficient_quota",
    Kind.CONTEXT_TOO_LONG: "context_length_exceeded",
    Kind.BAD_REQUEST: "invalid_prompt",
    Kind.UNSUPPORTED: "invalid_prompt",
    Kind.CONTENT_REFUSED: "invalid_prompt",
    Kind.TOO_LARGE: "invalid_prompt",
}


def read_stream_error(event: Mapping[str, Any]) -> Error:
    """The error of an `error` event, of a failed response, or of an object with ``"error"``. Total."""
    response = event.get("response")
    inner = response.get("error") if isinstance(response, dict) else event.get("error")
    if inner is None:
        inner = {name: event[name] for name in ("code", "message", "param") if name in event}
    return read_chunk_error({"error": inner or {"message": "The provider failed to answer and said nothing."}})


def response_error(error: Error) -> dict[str, Any]:
    """The value of ``"error"`` in a failed response."""
    return {"code": _CODES.get(error.kind, "server_error"), "message": error_object(error)["message"]}


def previous_not_found(identity: str) -> Error:
    """In the provider's own words and code."""
    message = f"Previous response with id '{identity[:80]}' not found."
    path = "previous_response_id"
    return Error(Fault.REQUEST, Kind.BAD_REQUEST, message, path, code="previous_response_not_found")


def broken(what: str) -> Error:
    """The provider broke its protocol."""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, f"The provider's answer cannot be read: {what}.")


def truncated() -> Error:
    message = "The provider's stream stopped before the answer was complete."
    return Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, message)
