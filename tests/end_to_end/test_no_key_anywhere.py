"""No key, of an account or of a caller, stands in anything that the gateway gives out: answers, errors, head fields,
logs of either form, `repr`, traces, the pool as its operator sees it, its state file. Providers that repeat the key in
their errors, as some do, are no way round it.

Beside this file every log of every gateway in this folder is searched (`harness.gateway_for`), every output of the
command line (`test_cli.py`), and whatever pytest captured of each test (`conftest.py`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, chat_events, chat_whole, messages_error, serve, sse
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.keys import assert_no_key, caller_key, caller_table, leaked, upstream_key
from tests.end_to_end.mock import Cut, Received, Reply, Reset, mock_upstream
from tests.end_to_end.raw import exchange
from tests.end_to_end.tables import provider, table
from tests.end_to_end.test_cli import run

import ds2api
from ds2api.gateway.callers import key_hash
from ds2api.slices import at_once

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
SAID = "Incorrect API key provided: {key}. See https://x/?key={key}"


def said(received: Received) -> str:
    return SAID.format(key=received.key)


def _error_event(received: Received) -> bytes:
    return sse({"type": "error", "error": {"type": "api_error", "message": said(received)}}, named=True)


# Ways in which a provider repeats the key that it was shown.
ANSWERS: dict[str, Callable[[Received], Reply]] = {
    "served": serve,
    **{
        f"{status}": lambda received, status=status: (  # type: ignore[misc]
            messages_error(status, "invalid_request_error", said(received), [("x-echo", received.key)])
            if received.target.endswith("/messages")
            else chat_error(status, said(received), code="invalid_api_key", headers=[("x-echo", received.key)])
        )
        for status in (400, 401, 403, 404, 422, 429, 500, 503)
    },
    "html": lambda received: Reply(502, [said(received).encode()], [("content-type", "text/html")], "length"),
    "no json": lambda received: Reply.json(said(received).encode()),
    "broken json": lambda received: Reply.json(b'{"choices": ' + said(received).encode()),
    "cut": lambda received: Reply(
        200, [json.dumps(chat_whole()).encode()[:9], Cut()], [("content-type", "application/json")]
    ),
    "reset": lambda _: Reply(before_head=[Reset()]),
    "stream error first": lambda received: Reply.sse(_error_event(received)),
    "stream error later": lambda received: Reply.sse(*chat_events()[:3], _error_event(received)),
    "redirect": lambda received: Reply(307, [b""], [("location", f"http://x/?key={received.key}")], "length"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", list(PATHS))
@pytest.mark.parametrize("log", ["text", "json"])
@pytest.mark.parametrize("name", ANSWERS)
def test_no_answer_and_no_log_line_holds_a_key(name: str, log: str, client: str, stream: bool) -> None:
    with mock_upstream(ANSWERS[name]) as mock:
        both = {"c": provider(mock.url, "chat"), "n": provider(mock.url, "messages")}
        settings = {"callers": caller_table("alice"), "log": log}
        with gateway_for({**table(both, {"c": "c/m", "n": "n/m"}), **settings}) as gateway:
            for model in ("c", "n"):
                body = json.dumps(
                    {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "stream": stream}
                )
                headers = {"content-type": "application/json", "authorization": f"Bearer {caller_key('alice')}"}
                answer = exchange(gateway.port, "POST", PATHS[client], body.encode(), headers)
                assert_no_key(answer.text, "an answer")
            assert mock.received
            assert all(received.key == upstream_key("a") for received in mock.received)
            assert caller_key("alice") not in str([received.headers for received in mock.received])
            assert_no_key(gateway.log(), "the log")


def test_a_key_in_the_wrong_place_is_not_repeated() -> None:
    """In the query, in the path, as the model's name, in a field: what came is shown, but never in the log's path."""
    key = caller_key("alice")
    with (
        mock_upstream(serve) as mock,
        gateway_for({**table({"p": provider(mock.url, "chat")}), "callers": caller_table("alice")}) as gateway,
    ):
        for path in (f"/v1/models?key={key}", f"/v1/chat/completions?key={key}", f"/healthz?key={key}"):
            for method in ("GET", "POST"):
                assert_no_key(exchange(gateway.port, method, path, b"{}").text, "an answer")
        assert_no_key(exchange(gateway.port, "GET", "/v1/models", headers={"authorization": key}).text, "an answer")
        assert_no_key(exchange(gateway.port, "GET", "/v1/models", headers={"x-api-key": key + "x"}).text, "an answer")
        assert_no_key(gateway.log(), "the log")


@pytest.mark.parametrize("name", ANSWERS)
def test_neither_the_pools_page_nor_its_file_holds_a_key(name: str, tmp_path: Path) -> None:
    """Whatever the provider said of the key, what is remembered of it says nothing."""
    state = tmp_path / "state.json"
    with mock_upstream(ANSWERS[name]) as mock:
        both = {"c": provider(mock.url, "chat"), "n": provider(mock.url, "messages")}
        settings = {"callers": caller_table("alice"), "admin": {"key_hash": key_hash(caller_key("admin"))}}
        kept = table(both, {"c": "c/m", "n": "n/m"}, pool={"state_file": str(state)})
        with gateway_for({**kept, **settings}) as gateway:
            for model in ("c", "n", "c"):
                body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 9})
                headers = {"content-type": "application/json", "authorization": f"Bearer {caller_key('alice')}"}
                exchange(gateway.port, "POST", PATHS["chat"], body.encode(), headers)
            assert mock.received
            admin = {"authorization": f"Bearer {caller_key('admin')}"}
            for path in ("pool", "pool?explain=c", "pool?explain=c&caller=alice", "accounts"):
                assert_no_key(exchange(gateway.port, "GET", f"/admin/{path}", headers=admin).text, f"/admin/{path}")
            for deed in ("drain", "rest", "revive"):
                path = f"/admin/accounts/c/a/{deed}"
                assert_no_key(exchange(gateway.port, "POST", path, b'{"for_s": 1}', admin).text, path)
            shown = run("pool", "--url", gateway.url, "--explain", "c", DS2API_ADMIN_KEY=caller_key("admin"))
            assert shown.returncode == 0, shown.stderr  # `run` searches what it printed
        assert_no_key(state.read_text(), "the state file")


def test_nobody_who_looks_at_objects_sees_a_key() -> None:
    with (
        mock_upstream(serve) as mock,
        gateway_for({**table({"p": provider(mock.url, "chat")}), "callers": caller_table("alice")}) as gateway,
    ):
        house = gateway.gateway.house
        seen: list[Any] = [
            gateway.gateway.config,
            gateway.gateway,
            house,
            house.providers,
            at_once(house.admission.pool.view(house.now())),
            at_once(house.admission.pool.snapshot(house.now())),
            gateway.account("p/a"),
            *house.providers["p"].secrets.values(),
        ]
        for one in seen:
            for shown in (repr(one), str(one), f"{one}", json.dumps(one, default=repr)):
                assert_no_key(shown, type(one).__name__)


def test_a_configuration_error_does_not_repeat_a_key() -> None:
    key = upstream_key("a")
    wrong: list[dict[str, Any]] = [
        {"accounts": [{"name": "a", "key_env": key}]},
        {"accounts": [{"name": "a", "key_file": "/nowhere"}], "base_ulr": "x"},
        {"accounts": [{"name": "a", "key": key + " with spaces"}]},
        {"accounts": [{"name": "a", "key": key, "key_env": "X"}]},
        {"accounts": [{"name": "a", "kee": key}]},
        {"accounts": key},
        {"accounts": [key]},
        {"accounts": [{"name": "a", "key": [key]}]},
        {"accounts": [{"name": "a", "key": key, "rpm": key}]},
        {"accounts": [{"name": "a", "key": key}], "headers": {"x-key": f"{key}\n"}},
        {"accounts": [{"name": "a", "key": key}], "base_url": f"http://user:{key}@127.0.0.1/"},
    ]
    for number, settings in enumerate(wrong):
        given = {"dialects": ["chat"], "base_url": "http://127.0.0.1:1/v1", **settings}
        with pytest.raises(ds2api.ConfigError) as raised:
            ds2api.from_mapping({"providers": {"p": given}}, {})
        assert_no_key(str(raised.value) + repr(raised.value), f"configuration error {number}")
    for callers in ({"alice": {"key_hash": key}}, {"alice": {"key": key}}, {"alice": key}):
        with pytest.raises(ds2api.ConfigError) as raised:
            ds2api.from_mapping(
                {"providers": {"openai": {"accounts": [{"name": "a", "key": key}]}}, "callers": callers}, {}
            )
        assert_no_key(str(raised.value), "configuration error of callers")


def test_the_search_itself_finds_a_key() -> None:
    assert leaked(io.StringIO(f"x{upstream_key('a')}").read())
    assert leaked(f"…{caller_key('alice')[-20:]}")
    assert not leaked("sk-…abcd")
