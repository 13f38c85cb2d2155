"""Errors: what providers say is understood, and clients read ours through the real SDK."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.dialects.responses.recordings import REQUESTS
from tests.dialects.responses.sdk import error_of

from ds2api.dialects.responses import DIALECT
from ds2api.dialects.responses.errors import read_stream_error
from ds2api.universal.errors import Error, Fault, Kind


def read(status: int, **fields: Any) -> Error:
    return DIALECT.read_error(status, {}, json.dumps({"error": fields}).encode())


@pytest.mark.parametrize(
    ("status", "fields", "fault", "kind"),
    [
        (401, {"code": "invalid_api_key"}, Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (429, {"code": "rate_limit_exceeded"}, Fault.ACCOUNT, Kind.RATE_LIMITED),
        (429, {"type": "insufficient_quota"}, Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (400, {"code": "context_length_exceeded"}, Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        (400, {"code": "invalid_encrypted_content"}, Fault.REQUEST, Kind.BAD_REQUEST),
        (400, {"code": "previous_response_not_found"}, Fault.REQUEST, Kind.BAD_REQUEST),
        (404, {"code": "model_not_found"}, Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (500, {"code": "server_error"}, Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (503, {"code": "server_is_overloaded"}, Fault.PROVIDER, Kind.OVERLOADED),
    ],
)
def test_what_a_provider_says(status: int, fields: dict[str, Any], fault: Fault, kind: Kind) -> None:
    error = read(status, message="m", **fields)
    assert (error.fault, error.kind) == (fault, kind)


def test_r127_a_missing_item_is_no_missing_model() -> None:
    error = read(
        404, type="invalid_request_error", message="Item with id 'rs_1' not found. Items are not persisted", code=None
    )
    assert (error.fault, error.kind) == (Fault.REQUEST, Kind.NOT_FOUND)


def test_recorded_refusals_are_the_requests_fault() -> None:
    refused = [one for one in REQUESTS if one.status == 400]
    assert len(refused) >= 3
    for recording in refused:
        error = DIALECT.read_error(400, {}, json.dumps(recording.response).encode())
        assert error.fault is Fault.REQUEST, recording.name
        assert error.message == recording.response["error"]["message"]


@pytest.mark.parametrize(
    "event", [{}, {"type": "error"}, {"response": {}}, {"response": {"error": None}}, {"error": "x"}]
)
def test_an_error_that_says_nothing_is_still_one(event: dict[str, Any]) -> None:
    error = read_stream_error(event)
    assert (error.fault, error.kind) == (Fault.PROVIDER, Kind.UPSTREAM_FAILED)
    assert error.message


@pytest.mark.parametrize(
    ("code", "fault", "kind"),
    [
        ("invalid_prompt", Fault.REQUEST, Kind.BAD_REQUEST), ("image_too_large", Fault.REQUEST, Kind.BAD_REQUEST),
        ("bio_policy", Fault.REQUEST, Kind.CONTENT_REFUSED), ("server_error", Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    ],
)  # fmt: skip
def test_what_a_response_fails_with(code: str, fault: Fault, kind: Kind) -> None:
    error = read_stream_error({"response": {"status": "failed", "error": {"code": code, "message": "m"}}})
    assert (error.fault, error.kind) == (fault, kind)


@pytest.mark.parametrize(
    ("error", "status", "code", "shape"),
    [
        (Error(Fault.GATEWAY, Kind.UNAUTHENTICATED, "m"), 401, "invalid_api_key", openai.AuthenticationError),
        (Error(Fault.REQUEST, Kind.MODEL_NOT_FOUND, "m"), 404, "model_not_found", openai.NotFoundError),
        (Error(Fault.REQUEST, Kind.TOO_LARGE, "m"), 413, "request_too_large", openai.APIStatusError),
        (
            Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "m", retry_after_s=12),
            429,
            "rate_limit_exceeded",
            openai.RateLimitError,
        ),
        (Error(Fault.REQUEST, Kind.CONTEXT_TOO_LONG, "m"), 400, "context_length_exceeded", openai.BadRequestError),
        (Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, "m"), 502, "upstream_failed", openai.InternalServerError),
    ],
    ids=["401", "404", "413", "429", "400", "502"],
)
def test_r171_the_sdk_reads_every_kind(
    error: Error, status: int, code: str, shape: type[openai.APIStatusError]
) -> None:
    written = DIALECT.write_error(error, "req_1")
    seen = error_of(written.status, dict(written.headers), written.body)
    assert isinstance(seen, shape)
    assert (seen.status_code, seen.code) == (status, code)


def test_r156_what_a_provider_says_of_the_account_stays_inside() -> None:
    error = read(
        401, code="invalid_api_key", message="Incorrect API key provided: sk-abcd1234. org-77 at http://10.0.0.5:8000"
    )
    assert not any(word in DIALECT.write_error(error, "r").body for word in (b"sk-", b"org-", b"10.0"))
    about_the_request = read(
        400, type="invalid_request_error", message="bad input for key sk-abcd1234 at input[0]", code=None
    )
    body = DIALECT.write_error(about_the_request, "r").body
    assert b"input[0]" in body
    assert b"sk-abcd" not in body


def test_unknown_previous_answer_is_said_in_the_providers_words() -> None:
    assert DIALECT.answer_keeper is not None
    written = DIALECT.write_error(DIALECT.answer_keeper.unknown_previous("resp_x"), "r")
    assert (written.status, json.loads(written.body)["error"]) == (400, {
        "message": "Previous response with id 'resp_x' not found.", "type": "invalid_request_error",
        "param": "previous_response_id", "code": "previous_response_not_found"})  # fmt: skip
