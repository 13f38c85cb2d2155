"""Errors, both ways: every kind has a status and a shape that the real SDK reads, and nothing a provider says
about accounts or networks reaches a client."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import ErrorResponse
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.messages.sdk import client

from ds2api.dialects.messages import DIALECT
from ds2api.dialects.messages.errors import read_stream_error
from ds2api.universal.errors import Error, Fault, Kind

STATUS = {
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


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_the_status_and_the_shape_that_the_sdk_reads(kind: Kind) -> None:
    written = DIALECT.write_error(Error(Fault.GATEWAY, kind, "what went wrong", param="tools[0]"), "req_1")
    body = json.loads(written.body)
    assert (written.status, body["error"]["type"]) == STATUS[kind]
    assert "what went wrong" in body["error"]["message"]
    assert "tools[0]" in body["error"]["message"]
    assert body["request_id"] == "req_1"
    if body["error"]["type"] not in ("request_too_large", "conflict_error"):  # not in the SDK's closed union
        ErrorResponse.model_validate(body)
    with (
        client(written.status, dict(written.headers), written.body) as sdk,
        pytest.raises(anthropic.APIStatusError) as raised,
    ):
        sdk.messages.create(model="alias", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert raised.value.status_code == written.status
    assert raised.value.type == body["error"]["type"]


@pytest.mark.parametrize(
    ("wait_s", "headers"),
    [
        (None, {}),
        (0.2, {"retry-after": "1"}),
        (30.0, {"retry-after": "30"}),
        (3600.0, {"retry-after": "3600", "x-should-retry": "false"}),
    ],
)
def test_wait_is_the_true_one_and_a_long_one_is_not_slept_through(
    wait_s: float | None, headers: dict[str, str]
) -> None:
    written = DIALECT.write_error(Error(Fault.GATEWAY, Kind.RATE_LIMITED, "wait", retry_after_s=wait_s), "r")
    assert dict(written.headers) == headers


@pytest.mark.parametrize("kind", [Kind.QUOTA_EXHAUSTED, Kind.CONFLICT])
def test_what_no_clock_helps_is_not_tried_again(kind: Kind) -> None:
    assert dict(DIALECT.write_error(Error(Fault.GATEWAY, kind, "x"), "r").headers) == {"x-should-retry": "false"}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("fault", [Fault.ACCOUNT, Fault.PROVIDER])
def test_providers_words_about_accounts_and_networks_are_never_repeated(fault: Fault, kind: Kind) -> None:  # R156
    said = "Incorrect API key provided: sk-abcd1234. org-77 at http://10.0.0.5:8000"
    written = DIALECT.write_error(Error(fault, kind, said, status=401, type="authentication_error"), "r")
    for secret in (b"sk-abcd1234", b"org-77", b"10.0.0.5"):
        assert secret not in written.body


def test_providers_words_about_the_request_are_repeated_without_keys() -> None:
    said = "max_tokens: too big (key sk-ant-abcd1234efgh at http://10.0.0.5:8000)"
    message = json.loads(DIALECT.write_error(Error(Fault.REQUEST, Kind.BAD_REQUEST, said, status=400), "r").body)[
        "error"
    ]["message"]
    assert message.startswith("max_tokens: too big")
    assert "sk-ant" not in message
    assert "10.0.0.5" not in message


def test_too_long_a_prompt_is_said_in_the_words_that_clients_look_for() -> None:
    error = Error(
        Fault.REQUEST, Kind.CONTEXT_TOO_LONG, "This model's maximum context length is 8192 tokens", status=400
    )
    assert b"prompt is too long: This model's" in DIALECT.write_error(error, "r").body


def body(kind: str, message: str = "words", **fields: Any) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, **fields}, "request_id": "req_p"}
    ).encode()


@pytest.mark.parametrize(
    ("status", "raw", "fault", "kind"),
    [
        (401, body("authentication_error", "invalid x-api-key"), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (401, body("authentication_error", "CORS requests are not allowed"), Fault.REQUEST, Kind.BAD_REQUEST),
        (400, body("invalid_request_error", details={"error_code": "organization_on_hold"}), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (400, body("invalid_request_error", details={"error_code": "claude_code_key_creator_not_member"}), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (403, body("permission_error"), Fault.ACCOUNT, Kind.FORBIDDEN),
        (402, body("billing_error"), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (400, body("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (400, body("invalid_request_error", "You have reached your specified API usage limits."), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (429, body("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (429, body("rate_limit_error", details={"error_code": "contract_spend_limit_reached"}), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (429, body("rate_limit_error"), Fault.ACCOUNT, Kind.RATE_LIMITED),
        (429, body("rate_limit_error", details={"error_code": "ramp_limit_exceeded"}), Fault.ACCOUNT, Kind.RATE_LIMITED),
        (529, body("overloaded_error"), Fault.PROVIDER, Kind.OVERLOADED),
        (500, body("api_error"), Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (504, body("timeout_error"), Fault.PROVIDER, Kind.TIMEOUT),
        (503, body("invalid_request_error", details={"error_code": "cmek_key_disabled"}), Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (503, body("invalid_request_error"), Fault.PROVIDER, Kind.OVERLOADED),
        (400, body("invalid_request_error"), Fault.REQUEST, Kind.BAD_REQUEST),
        (400, body("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        (400, body("invalid_request_error", "Output blocked by content filtering policy"), Fault.REQUEST, Kind.CONTENT_REFUSED),
        (404, body("not_found_error", "model: claude-x"), Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (404, body("not_found_error", "Not found"), Fault.REQUEST, Kind.NOT_FOUND),
        (413, body("request_too_large"), Fault.REQUEST, Kind.TOO_LARGE),
        (413, b"<html>413</html>", Fault.REQUEST, Kind.TOO_LARGE),
        (409, body("conflict_error"), Fault.REQUEST, Kind.CONFLICT),
        (422, body("invalid_request_error"), Fault.REQUEST, Kind.BAD_REQUEST),
        (401, b"<html>", Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (502, b"<html>Bad gateway</html>", Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (503, b"", Fault.PROVIDER, Kind.OVERLOADED),
        (418, b"[]", Fault.REQUEST, Kind.BAD_REQUEST),
        (599, b"null", Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (429, b'[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]', Fault.ACCOUNT, Kind.RATE_LIMITED),
        (400, b'{"error":"words"}', Fault.REQUEST, Kind.BAD_REQUEST),
        (400, b'{"message":"words"}', Fault.REQUEST, Kind.BAD_REQUEST),
    ],
)  # fmt: skip
def test_answer_says_whose_fault_it_is(status: int, raw: bytes, fault: Fault, kind: Kind) -> None:
    error = DIALECT.read_error(status, {}, raw)
    assert (error.fault, error.kind, error.status) == (fault, kind, status)
    assert error.message


def test_what_was_said_is_kept() -> None:
    raw = body("rate_limit_error", "slow down", details={"error_code": "ramp_limit_exceeded"})
    error = DIALECT.read_error(429, {"Retry-After": "7"}, raw)
    assert (error.message, error.type, error.code) == ("slow down", "rate_limit_error", "ramp_limit_exceeded")
    assert error.details == {"error_code": "ramp_limit_exceeded"}
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_wait_is_read_in_every_spelling(headers: dict[str, str], wait_s: float | None) -> None:
    assert DIALECT.read_error(429, headers, b"").retry_after_s == wait_s


@given(
    status=st.integers(100, 999),
    raw=st.binary(max_size=60) | st.sampled_from([b"{", b'{"error":{"type":[1],"message":{}}}', b"[[]]"]),
)
def test_reading_never_raises(status: int, raw: bytes) -> None:
    error = DIALECT.read_error(status, {}, raw)
    assert DIALECT.write_error(error, "r").status == STATUS[error.kind][0]


@pytest.mark.parametrize(
    "said", ["at http://10.0.0.5", {"message": "at http://10.0.0.5"}, {"type": "error", "error": "at http://10.0.0.5"}]
)
def test_words_inside_a_stream_are_not_repeated_either(said: Any) -> None:
    error = read_stream_error(said)
    assert error.message == "at http://10.0.0.5"
    assert b"10.0.0.5" not in DIALECT.write_error(error, "r").body
