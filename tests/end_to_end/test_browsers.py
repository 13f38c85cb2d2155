"""What a page in a browser may ask of a gateway on the same machine, and read (R143)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.end_to_end.answers import serve
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import caller_key, caller_table
from tests.end_to_end.mock import Mock, mock_upstream
from tests.end_to_end.raw import Answer, exchange
from tests.end_to_end.tables import provider, table

PAGE = "https://chat.example.com"
CHAT = "/v1/chat/completions"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, x-api-key, anthropic-version, x-stainless-os",
}


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(serve) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def open_gateway(mock: Mock) -> Iterator[Running]:
    browsers = {"origins": [PAGE], "hosts": ["gateway.example.com"]}
    with gateway_for(table({"p": provider(mock.url, "chat")}, browsers=browsers)) as running:
        yield running


@pytest.fixture(scope="module")
def keyed_gateway(mock: Mock) -> Iterator[Running]:
    with gateway_for(
        table({"p": provider(mock.url, "chat")}, browsers={"origins": [PAGE]}, callers=caller_table("alice"))
    ) as running:
        yield running


def ask(gateway: Running, headers: dict[str, str], *, stream: bool = False) -> Answer:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream}).encode()
    return exchange(gateway.port, "POST", CHAT, body, {"content-type": "application/json", **headers})


def cors(answer: Answer) -> list[str]:
    return sorted(name for name, _ in answer.headers if name.startswith("access-control-"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8787"}, 200),
        ({"host": "LOCALHOST."}, 200),
        ({"host": "[::1]:8787"}, 200),
        ({"host": "192.168.1.7:8787"}, 200),
        ({"host": "chat.localhost"}, 200),
        ({"host": "gateway"}, 200),
        ({"host": "gateway.example.com"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example:8787"}, 403),
        ({"origin": PAGE}, 200),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"origin": "https://gateway.example.com"}, 200),
        ({"origin": "vscode-webview://abc"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "https://localhost.evil.example"}, 403),
        ({"origin": "http://192.168.1.7"}, 403),
        ({"origin": "http://printer"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "chrome-extension://abc"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_a_gateway_without_keys_serves_no_page_of_a_stranger(
    open_gateway: Running, mock: Mock, headers: dict[str, str], status: int
) -> None:
    before = len(mock.received)
    answer = ask(open_gateway, headers)
    assert answer.status == status, answer.text
    assert len(mock.received) - before == (status == 200)
    if status == 403:
        assert answer.json["error"]["message"].count("[browsers]") == 1
        for path in ("/v1/models", "/healthz", "/admin/pool", "/providers/p/files"):
            assert exchange(open_gateway.port, "GET", path, headers=headers).status == 403


def test_where_a_key_is_asked_any_page_may_that_has_one(keyed_gateway: Running) -> None:
    key = {"authorization": f"Bearer {caller_key('alice')}"}
    for headers in ({"origin": "https://evil.example"}, {"host": "gateway.example"}, {"origin": "null"}):
        answer = ask(keyed_gateway, {**headers, **key})
        assert (answer.status, cors(answer)) == (200, [])
        assert ask(keyed_gateway, headers).status == 401


def test_R143_a_preflight_is_answered_before_a_key_is_asked(keyed_gateway: Running) -> None:
    answer = exchange(keyed_gateway.port, "OPTIONS", CHAT, headers={"origin": PAGE, **PREFLIGHT})
    assert answer.status == 204
    assert answer.header("access-control-allow-origin") == PAGE
    assert answer.header("access-control-allow-methods") == "POST, OPTIONS"
    assert answer.header("access-control-allow-headers") == PREFLIGHT["access-control-request-headers"]
    assert answer.header("vary") == "origin"


@pytest.mark.parametrize("stream", [False, True])
def test_R143_every_answer_can_be_read_errors_and_streams_too(keyed_gateway: Running, stream: bool) -> None:
    key = {"authorization": f"Bearer {caller_key('alice')}"}
    for headers, status in ((key, 200), ({"authorization": "Bearer wrong"}, 401), ({}, 401)):
        answer = ask(keyed_gateway, {"origin": PAGE, **headers}, stream=stream)
        assert (answer.status, answer.header("access-control-allow-origin")) == (status, PAGE)
    missing = exchange(keyed_gateway.port, "GET", "/nowhere", headers={"origin": PAGE})
    assert (missing.status, missing.header("access-control-allow-origin")) == (404, PAGE)


def test_R143_a_page_that_is_not_listed_reads_nothing(keyed_gateway: Running) -> None:
    for method, path in (("OPTIONS", CHAT), ("POST", CHAT), ("GET", "/healthz")):
        answer = exchange(keyed_gateway.port, method, path, b"{}", {"origin": "https://evil.example", **PREFLIGHT})
        assert cors(answer) == []


def test_a_401_names_how_to_authenticate(keyed_gateway: Running) -> None:
    """RFC 9110 §15.5.2."""
    for path in (CHAT, "/v1/messages", "/api/chat", "/v1/models"):
        method = "GET" if path.endswith("models") else "POST"
        answer = exchange(keyed_gateway.port, method, path, b"{}", {"content-type": "application/json"})
        assert (answer.status, answer.header("www-authenticate")) == (401, 'Bearer realm="ds2api"'), path
