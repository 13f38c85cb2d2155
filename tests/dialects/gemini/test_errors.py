"""Errors, both ways: what Google's say about a key, and what a client reads of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.accounts.verdicts import Scope, judge
from ds2api.dialects.gemini import DIALECT
from ds2api.universal.errors import Error, Fault, Kind

QUOTA = "You exceeded your current quota, please check your plan and billing details."
TYPE = "type.googleapis.com/google.rpc."


def read(status: int, word: str, message: str = "m", *details: dict[str, Any], **headers: str) -> Error:
    body = {"error": {"code": status, "message": message, "status": word, "details": list(details)}}
    return DIALECT.read_error(status, headers, json.dumps(body).encode())


def reason(word: str) -> dict[str, Any]:
    return {"@type": TYPE + "ErrorInfo", "reason": word, "domain": "googleapis.com"}


def quota(identity: str, delay: str | None = None) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [{"@type": TYPE + "QuotaFailure", "violations": [{"quotaId": identity}]}]
    return details + ([] if delay is None else [{"@type": TYPE + "RetryInfo", "retryDelay": delay}])


@pytest.mark.parametrize(
    ("error", "fault", "kind"),
    [
        (read(400, "INVALID_ARGUMENT"), Fault.REQUEST, Kind.BAD_REQUEST),
        (read(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (read(400, "INVALID_ARGUMENT", "API key expired. Please renew it."), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (read(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."), Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        (read(400, "FAILED_PRECONDITION", "Please enable billing"), Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
        (read(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), Fault.PROVIDER, Kind.FORBIDDEN),
        (read(401, "UNAUTHENTICATED"), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (read(403, "PERMISSION_DENIED"), Fault.ACCOUNT, Kind.FORBIDDEN),
        (read(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (read(404, "NOT_FOUND", "models/x is not found for API version v1beta"), Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (read(404, "NOT_FOUND", "no such file"), Fault.REQUEST, Kind.NOT_FOUND),
        (read(429, "RESOURCE_EXHAUSTED"), Fault.ACCOUNT, Kind.RATE_LIMITED),
        (read(500, "INTERNAL"), Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (read(500, "INVALID_ARGUMENT"), Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (read(503, "UNAVAILABLE"), Fault.PROVIDER, Kind.OVERLOADED),
        (read(504, "DEADLINE_EXCEEDED"), Fault.PROVIDER, Kind.TIMEOUT),
        (DIALECT.read_error(404, {}, b"<html>404</html>"), Fault.PROVIDER, Kind.NOT_FOUND),
        (DIALECT.read_error(502, {}, b""), Fault.PROVIDER, Kind.UPSTREAM_FAILED),
    ],
)  # fmt: skip
def test_whose_fault_it_is(error: Error, fault: Fault, kind: Kind) -> None:
    assert (error.fault, error.kind) == (fault, kind)


def test_an_error_in_a_list_is_the_same_error() -> None:
    body = {
        "error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": quota("aPerMinute", "38s")}
    }
    alone, listed = (DIALECT.read_error(429, {}, json.dumps(one).encode()) for one in (body, [body]))
    assert alone == listed and alone.retry_after_s == 38


def test_r109_a_quota_of_the_minute_and_of_the_day_have_the_same_text() -> None:
    minute = read(429, "RESOURCE_EXHAUSTED", QUOTA, *quota("GenerateRequestsPerMinutePerProjectPerModel", "38s"))
    date = "Wed, 25 Nov 2026 07:00:00 GMT"
    day = read(429, "RESOURCE_EXHAUSTED", QUOTA, *quota("GenerateRequestsPerDayPerProjectPerModel", "36s"), date=date)
    unknown = read(429, "RESOURCE_EXHAUSTED", QUOTA, {"@type": TYPE + "RetryInfo", "retryDelay": "86400s"})
    assert (minute.retry_after_s, day.retry_after_s, unknown.retry_after_s) == (38, 3600, 86400)
    for error in (minute, day, unknown):
        verdict = judge(error)
        assert (verdict.scope, verdict.wait_s) == (Scope.MODEL, error.retry_after_s), "only this model on this account"
    assert day.code == "GenerateRequestsPerDayPerProjectPerModel"
    undated = read(429, "RESOURCE_EXHAUSTED", f"{QUOTA} limit: 0, model: gemini-x", {"retryDelay": "1s"})
    assert undated.retry_after_s == 86400


def test_a_wait_is_read_wherever_it_stands() -> None:
    assert read(429, "RESOURCE_EXHAUSTED", "Please retry in 10h17m5.5s.").retry_after_s == 10 * 3600 + 17 * 60 + 5.5
    assert DIALECT.read_error(503, {"Retry-After": "7"}, b"{}").retry_after_s == 7
    assert DIALECT.read_error(503, {"Retry-After": "soon"}, b"{}").retry_after_s is None


def test_r113_a_reason_stands_in_the_verdict() -> None:
    error = read(403, "PERMISSION_DENIED", "m", reason("VALIDATION_REQUIRED"))
    assert "VALIDATION_REQUIRED" in judge(error).reason


def test_r101_a_wait_is_told_in_googles_form() -> None:
    written = DIALECT.write_error(Error(Fault.GATEWAY, Kind.RATE_LIMITED, "all busy", None, 11.2), "req_1")
    error = json.loads(written.body)["error"]
    assert (written.status, error["code"], error["status"]) == (429, 429, "RESOURCE_EXHAUSTED")
    assert {"@type": TYPE + "RetryInfo", "retryDelay": "12s"} in error["details"]
    assert ("retry-after", "12") in written.headers
    assert DIALECT.read_error(429, {}, written.body).retry_after_s == 12


def test_the_gateways_own_401_is_a_400_as_the_provider_says_it() -> None:
    written = DIALECT.write_error(Error(Fault.GATEWAY, Kind.UNAUTHENTICATED, "no such key"), "")
    error = json.loads(written.body)["error"]
    assert (written.status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][0]["reason"] == "API_KEY_INVALID"
    account = DIALECT.write_error(Error(Fault.ACCOUNT, Kind.UNAUTHENTICATED, "sk-secret", status=401), "")
    assert account.status == 500 and b"sk-secret" not in account.body


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        (Kind.BAD_REQUEST, 400, "INVALID_ARGUMENT"), (Kind.CONTEXT_TOO_LONG, 400, "INVALID_ARGUMENT"), (Kind.FORBIDDEN, 403, "PERMISSION_DENIED"),
        (Kind.MODEL_NOT_FOUND, 404, "NOT_FOUND"), (Kind.TOO_LARGE, 400, "INVALID_ARGUMENT"), (Kind.QUOTA_EXHAUSTED, 429, "RESOURCE_EXHAUSTED"),
        (Kind.OVERLOADED, 503, "UNAVAILABLE"), (Kind.UPSTREAM_FAILED, 500, "INTERNAL"), (Kind.TIMEOUT, 504, "DEADLINE_EXCEEDED"),
    ],
)  # fmt: skip
def test_r171_every_kind_has_its_status_and_the_request_its_id(kind: Kind, status: int, word: str) -> None:
    written = DIALECT.write_error(Error(Fault.GATEWAY, kind, "why"), "req_7")
    error = json.loads(written.body)["error"]
    assert (written.status, error["code"], error["status"]) == (status, status, word)
    assert {"@type": TYPE + "RequestInfo", "requestId": "req_7"} in error["details"]


def test_r168_a_wrong_model_is_named_in_googles_shape() -> None:
    said = Error(
        Fault.REQUEST,
        Kind.MODEL_NOT_FOUND,
        "The model 'gemini-flahs' is not known. Did you mean 'gemini-flash'?",
        "model",
    )
    written = DIALECT.write_error(said, "")
    error = json.loads(written.body)["error"]
    assert written.status == 404 and "gemini-flash" in error["message"]
    assert error["details"][0]["fieldViolations"][0]["field"] == "model"


def test_r153_r156_a_key_in_a_providers_message_reaches_nobody() -> None:
    secret = "AIzaSyA-0123456789abcdefghijklmnopqrstu"
    error = read(400, "INVALID_ARGUMENT", f"bad field, see https://10.0.0.5/v1beta/models?key={secret}")
    assert secret.encode() not in DIALECT.write_error(error, "").body
    assert b"bad field" in DIALECT.write_error(error, "").body
    account = read(403, "PERMISSION_DENIED", f"project 77 of {secret} may not")
    assert b"project 77" not in DIALECT.write_error(account, "").body


@given(
    status=st.integers(300, 599),
    body=st.one_of(
        st.binary(max_size=80),
        st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["error", "details", "violations", "quotaId", "retryDelay", "message", "status", "reason", "fieldViolations", "field"]), inner, max_size=4),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)  # fmt: skip
def test_no_answer_breaks_the_reader(status: int, body: bytes) -> None:
    error = DIALECT.read_error(status, {"date": "nonsense"}, body)
    assert error.status == status and error.message
