"""Errors: read for whose fault they are, written so that the real SDK understands them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.sdk import error_of

from ds2api.dialects.chat import DIALECT
from ds2api.dialects.chat.errors import read_chunk_error
from ds2api.universal.errors import Error, Fault, Kind


def read(status: int, body: Any, headers: dict[str, str] | None = None) -> Error:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECT.read_error(status, headers or {}, raw)


def openai_error(message: str = "m", kind: str | None = None, code: Any = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


@pytest.mark.parametrize(
    ("status", "body", "fault", "kind"),
    [
        # OpenAI
        (401, openai_error(code="invalid_api_key"), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (401, openai_error("You must be a member of an organization"), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (403, openai_error(code="unsupported_country_region_territory"), Fault.PROVIDER, Kind.FORBIDDEN),
        (403, openai_error("Country, region, or territory not supported"), Fault.PROVIDER, Kind.FORBIDDEN),
        (403, openai_error("You are not allowed to sample from this model"), Fault.ACCOUNT, Kind.FORBIDDEN),
        (404, openai_error(code="model_not_found"), Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (429, openai_error(kind="insufficient_quota", code="insufficient_quota"), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (429, openai_error(kind="insufficient_quota", code="credit_balance_exhausted"), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (429, openai_error(kind="insufficient_quota", code="project_spend_limit_exceeded"), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (429, openai_error(kind="tokens", code="rate_limit_exceeded"), Fault.ACCOUNT, Kind.RATE_LIMITED),
        (429, openai_error(code="slow_down"), Fault.ACCOUNT, Kind.RATE_LIMITED),
        (429, openai_error(), Fault.ACCOUNT, Kind.RATE_LIMITED),
        (400, openai_error(code="context_length_exceeded"), Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        (400, openai_error("This model's maximum context length is 8192 tokens"), Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        (400, openai_error(code="content_policy_violation"), Fault.REQUEST, Kind.CONTENT_REFUSED),
        (400, openai_error(code="unsupported_parameter", param="max_tokens"), Fault.REQUEST, Kind.UNSUPPORTED),
        (400, openai_error(code="invalid_value"), Fault.REQUEST, Kind.BAD_REQUEST),
        (408, openai_error(), Fault.PROVIDER, Kind.TIMEOUT),
        (409, openai_error(), Fault.PROVIDER, Kind.CONFLICT),
        (413, openai_error(), Fault.REQUEST, Kind.TOO_LARGE),
        (422, openai_error(), Fault.REQUEST, Kind.BAD_REQUEST),
        (500, openai_error(kind="server_error"), Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (503, openai_error(code="server_is_overloaded"), Fault.PROVIDER, Kind.OVERLOADED),
        # Azure
        (400, {"error": {"code": "content_filter", "innererror": {}, "message": "m"}}, Fault.REQUEST, Kind.CONTENT_REFUSED),
        (404, {"error": {"code": "DeploymentNotFound", "message": "m"}}, Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (429, openai_error("The system is experiencing high demand", code="429"), Fault.PROVIDER, Kind.OVERLOADED),
        # DeepSeek, Mistral, OpenRouter, Google's chat layer, Ollama, vLLM
        (402, openai_error("Insufficient Balance", "unknown_error", "invalid_request_error"), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (400, {"object": "error", "message": "bad order", "type": "invalid_request_message_order", "code": "3230"}, Fault.REQUEST, Kind.BAD_REQUEST),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "extra"}]}, Fault.REQUEST, Kind.BAD_REQUEST),
        (429, {"error": {"code": 429, "message": "m", "metadata": {"provider_name": "Google"}}}, Fault.PROVIDER, Kind.RATE_LIMITED),
        (403, {"error": {"code": 403, "message": "flagged by moderation"}}, Fault.REQUEST, Kind.CONTENT_REFUSED),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (404, {"error": 'model "x" not found, try pulling it first'}, Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        # what is no API at all
        (404, b"404 page not found", Fault.PROVIDER, Kind.NOT_FOUND),
        (502, b"<html><body>Bad Gateway</body></html>", Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (524, b"", Fault.PROVIDER, Kind.TIMEOUT),
        (302, b"", Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (418, b"[]", Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    ],
)  # fmt: skip
def test_error_is_read_for_whose_fault_it_is(status: int, body: Any, fault: Fault, kind: Kind) -> None:
    error = read(status, body)
    assert (error.fault, error.kind) == (fault, kind)
    assert error.status == status
    assert error.message


@given(st.integers(300, 599), st.binary(max_size=60))
def test_reading_is_total_over_garbage(status: int, body: bytes) -> None:
    error = read(status, body)
    assert error.message
    assert DIALECT.write_error(error, "r").status >= 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "param", "detail", "metadata"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.integers(300, 599), _JSON)
def test_reading_is_total_over_json(status: int, body: Any) -> None:
    assert read(status, body).message
    if isinstance(body, dict):
        assert read_chunk_error(body).message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert read(429, openai_error(), headers).retry_after_s == seconds


SDK_CLASSES = {
    400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError,
    404: openai.NotFoundError, 409: openai.ConflictError, 422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}  # fmt: skip


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_an_error_that_the_sdk_understands(kind: Kind, fault: Fault) -> None:
    error = Error(fault, kind, "what happened", "messages[0]", retry_after_s=12)
    written = DIALECT.write_error(error, "req_1")
    raised = error_of(written.status, dict(written.headers), written.body)
    assert raised.status_code == written.status
    assert type(raised) is SDK_CLASSES.get(written.status, type(raised))
    assert raised.message.endswith("what happened") or "what happened" in raised.message
    assert raised.param == "messages[0]"
    assert raised.type
    assert raised.code is not None or kind is Kind.BAD_REQUEST
    assert dict(written.headers)["retry-after"] == "12"
    assert dict(written.headers)["retry-after-ms"] == "12000"


@pytest.mark.parametrize("kind", [Kind.UNAUTHENTICATED, Kind.FORBIDDEN])
def test_trouble_of_the_accounts_is_not_the_clients_401(kind: Kind) -> None:
    assert DIALECT.write_error(Error(Fault.GATEWAY, kind, "m"), "r").status in {401, 403}
    assert DIALECT.write_error(Error(Fault.ACCOUNT, kind, "m", status=401), "r").status == 502


@pytest.mark.parametrize(("seconds", "expected"), [(30, None), (61, "false"), (7200, "false")])
def test_client_is_told_not_to_wait_for_hours(seconds: float, expected: str | None) -> None:
    written = DIALECT.write_error(Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "m", retry_after_s=seconds), "r")
    assert dict(written.headers).get("x-should-retry") == expected
    assert dict(written.headers)["retry-after"] == str(seconds)


def test_exhausted_quota_is_not_retried() -> None:
    written = DIALECT.write_error(Error(Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED, "m"), "r")
    assert written.headers == (("x-should-retry", "false"),)
    assert json.loads(written.body)["error"]["code"] == "insufficient_quota"


def test_retry_after_is_rounded_up() -> None:
    written = DIALECT.write_error(Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "m", retry_after_s=0.2), "r")
    assert dict(written.headers) == {"retry-after": "1", "retry-after-ms": "200"}


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 502, 503])
def test_providers_words_about_its_key_never_reach_the_client(status: int) -> None:
    """R156: auth and network faults are told in the gateway's own words."""
    error = read(status, openai_error("Incorrect API key provided: sk-abcd1234. org-77 at http://10.0.0.5:8000"))
    written = DIALECT.write_error(error, "r").body.decode()
    for secret in ("sk-abcd1234", "org-77", "10.0.0.5", "Incorrect"):
        assert secret not in written


def test_words_about_the_request_reach_the_client_without_secrets() -> None:
    """R156, its other half: a 400 is passed on, with keys, org ids and inner hosts taken out."""
    message = "Invalid 'messages[3]' for sk-abcd1234 of org-77 at http://10.0.0.5:8000/v1 (text or image_url expected)"
    error = read(400, openai_error(message, "invalid_request_error", "invalid_value", "messages[3]"))
    told = json.loads(DIALECT.write_error(error, "r").body)["error"]
    assert told["message"].startswith("Invalid 'messages[3]' for ")
    assert told["message"].endswith("(text or image_url expected)")
    assert (told["param"], told["code"]) == ("messages[3]", "invalid_value")
    for secret in ("sk-abcd1234", "org-77", "10.0.0.5"):
        assert secret not in told["message"]


@pytest.mark.parametrize(
    ("chunk", "kind", "status"),
    [
        ({"error": {"message": "m", "code": 502}}, Kind.UPSTREAM_FAILED, 502),
        ({"error": {"message": "m", "code": "429"}}, Kind.RATE_LIMITED, 429),
        ({"error": {"message": "m", "type": "overloaded_error"}}, Kind.OVERLOADED, 200),
        ({"error": "boom"}, Kind.UPSTREAM_FAILED, 200),
        ({"error": {"message": "m", "status_code": 400, "code": "tool_use_failed"}}, Kind.BAD_REQUEST, 400),
        ({"error": {"message": "m", "type": "invalid_request_error"}}, Kind.BAD_REQUEST, 200),
        ({"object": "error", "message": "m", "code": 400}, Kind.BAD_REQUEST, 400),
    ],
)
def test_error_under_a_200_says_its_status_in_the_object(chunk: dict[str, Any], kind: Kind, status: int) -> None:
    error = read_chunk_error(chunk)
    assert (error.kind, error.status) == (kind, status)
