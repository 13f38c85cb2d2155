"""What providers say when they refuse, as the exception that the client's own SDK raises: its class, message, code and
request id, for each client and each upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from tests.end_to_end.answers import chat_error, is_messages, messages_error
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.keys import assert_no_key, upstream_key
from tests.end_to_end.mock import Received, Reply, mock_upstream
from tests.end_to_end.sdk import MODES, Mode, ask_chat, ask_messages
from tests.end_to_end.tables import provider, table

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
ID = "req_of_the_provider"

# What happened → chat's own answer (status, type, code), messages' own (status, type), what each SDK raises with
# which status. A refused key of the gateway's is no 401 of the client's.
CASES: dict[str, tuple[tuple[int, str, str | None], tuple[int, str], tuple[type, int], tuple[type, int]]] = {
    "bad request": (
        (400, "invalid_request_error", None),
        (400, "invalid_request_error"),
        (openai.BadRequestError, 400),
        (anthropic.BadRequestError, 400),
    ),
    "bad key": (
        (401, "invalid_request_error", "invalid_api_key"),
        (401, "authentication_error"),
        (openai.InternalServerError, 502),
        (anthropic.InternalServerError, 502),
    ),
    "no such model": (
        (404, "invalid_request_error", "model_not_found"),
        (404, "not_found_error"),
        (openai.NotFoundError, 404),
        (anthropic.NotFoundError, 404),
    ),
    "rate limit": (
        (429, "requests", "rate_limit_exceeded"),
        (429, "rate_limit_error"),
        (openai.RateLimitError, 429),
        (anthropic.RateLimitError, 429),
    ),
    "failure": (
        (500, "server_error", None),
        (500, "api_error"),
        (openai.InternalServerError, 502),
        (anthropic.InternalServerError, 502),
    ),
    "overload": (
        (503, "server_error", "service_unavailable"),
        (529, "overloaded_error"),
        (openai.InternalServerError, 503),
        (anthropic.OverloadedError, 529),
    ),
}
REQUEST_FAULTS = ("bad request",)
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: f"{mode[0]}-{'stream' if mode[1] else 'whole'}")


def script_for(case: str) -> Callable[[Received], Reply]:
    chat, messages = CASES[case][0], CASES[case][1]

    def script(received: Received) -> Reply:
        said = f"temperature is wrong for model m ({upstream_key('a')})"
        if is_messages(received):
            return messages_error(messages[0], messages[1], said, [("request-id", ID)])
        return chat_error(chat[0], said, type_=chat[1], code=chat[2], headers=[("x-request-id", ID)])

    return script


@modes
@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("case", CASES)
def test_openai_sdk_raises_its_own_class(case: str, upstream: str, mode: Mode) -> None:
    expected, status = CASES[case][2]
    with mock_upstream(script_for(case)) as mock, gateway_for(table({"prov": provider(mock.url, upstream)})) as gateway:
        with pytest.raises(openai.APIStatusError) as raised:
            ask_chat(gateway.url, mode, model="m", messages=HELLO)
        error = raised.value
        assert (type(error), error.status_code) == (expected, status)
        assert error.request_id in (ID, error.response.headers["x-ds2api-request-id"])
        assert error.response.headers["x-ds2api-request-id"] in gateway.log()
        assert error.type
        if case in REQUEST_FAULTS:
            assert "temperature is wrong" in error.message
            assert error.request_id == ID
        if case == "rate limit":
            assert error.code == "rate_limit_exceeded"
            assert int(error.response.headers["retry-after"]) >= 1
        assert_no_key(error.response.text + str(error.response.headers), "an error answer")
        assert gateway.leases() == 0


@modes
@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("case", CASES)
def test_anthropic_sdk_raises_its_own_class(case: str, upstream: str, mode: Mode) -> None:
    expected, status = CASES[case][3]
    with mock_upstream(script_for(case)) as mock, gateway_for(table({"prov": provider(mock.url, upstream)})) as gateway:
        with pytest.raises(anthropic.APIStatusError) as raised:
            ask_messages(gateway.url, mode, model="m", messages=HELLO)
        error = raised.value
        assert (type(error), error.status_code) == (expected, status)
        assert error.request_id in (ID, error.response.headers["x-ds2api-request-id"])
        body: Any = error.body
        assert body["type"] == "error"
        assert body["error"]["type"]
        assert body["request_id"]
        if case in REQUEST_FAULTS:
            assert "temperature is wrong" in body["error"]["message"]
            assert error.request_id == ID
        if case == "rate limit":
            assert int(error.response.headers["retry-after"]) >= 1
        assert_no_key(error.response.text + str(error.response.headers), "an error answer")
        assert gateway.leases() == 0


@pytest.mark.parametrize("page", [b"<html>502 Bad Gateway</html>", b"", b"\xff\xfe", b"[]", b'{"error":null}', b'"x"'])
@pytest.mark.parametrize("status", [302, 404, 418, 500, 502])
def test_answers_that_are_no_errors_of_any_dialect_are_told_apart(status: int, page: bytes) -> None:
    with (
        mock_upstream(
            lambda _: Reply(status, [page], [("content-type", "text/html"), ("location", "http://x/")], "length")
        ) as mock,
        gateway_for(table({"prov": provider(mock.url, ["chat", "messages"])})) as gateway,
    ):
        with pytest.raises(openai.APIStatusError) as chat:
            ask_chat(gateway.url, ("sync", False), model="m", messages=HELLO)
        with pytest.raises(anthropic.APIStatusError) as messages:
            ask_messages(gateway.url, ("sync", True), model="m", messages=HELLO)
        for error in (chat.value, messages.value):
            assert error.status_code in (400, 404, 418, 429, 502, 503, 529)
            assert "location" not in error.response.headers


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"choices":[]}', b"<html></html>", b"\xff"])
def test_a_200_that_is_no_answer_is_a_502_with_the_providers_name(body: bytes) -> None:
    with (
        mock_upstream(lambda _: Reply.json(body)) as mock,
        gateway_for(table({"prov": provider(mock.url, "chat")}, {"m": "prov/m"})) as gateway,
    ):
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as raised:
                ask_chat(gateway.url, ("sync", stream), model="m", messages=HELLO)
            assert raised.value.status_code == 502
            assert "prov" in raised.value.message


def test_an_upstream_that_cannot_be_reached_is_a_502_that_hides_its_address() -> None:
    with mock_upstream() as mock:
        port = mock.url.rpartition(":")[2]
    with gateway_for(table({"prov": provider(mock.url, "chat")})) as gateway:
        with pytest.raises(openai.InternalServerError) as raised:
            ask_chat(gateway.url, ("sync", False), model="m", messages=HELLO)
        assert raised.value.status_code == 502
        assert "prov" in raised.value.message
        assert port.removesuffix("/v1") not in raised.value.response.text
