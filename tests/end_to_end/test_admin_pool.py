"""The pool as its operator sees it, and what they do to it: over HTTP, and by `ds2api pool` in a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, serve
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import assert_no_key, caller_key, caller_table, upstream_key
from tests.end_to_end.mock import Hold, Mock, Received, Reply, mock_upstream
from tests.end_to_end.raw import Answer, exchange
from tests.end_to_end.tables import accounts, provider, table
from tests.end_to_end.test_cli import BOUND_S, KEYS, banner, environment, run, serving, write_config

import ds2api
from ds2api.gateway.callers import key_hash

ADMIN = {"admin": {"key_hash": key_hash(caller_key("admin"))}}
JSON = {"content-type": "application/json"}


def as_admin(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    sent = {"authorization": f"Bearer {caller_key('admin')}", **headers}
    answer = exchange(port, method, path, None if body is None else json.dumps(body).encode(), sent)
    assert_no_key(answer.text, "an answer of /admin")
    return answer


def ask(port: int, text: str = "Hello", **headers: str) -> Answer:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    return exchange(port, "POST", "/v1/chat/completions", json.dumps(body).encode(), {**JSON, **headers})


def limited_a(received: Received) -> Reply:
    if received.key == upstream_key("a"):
        return chat_error(429, type_="requests", code="rate_limit_exceeded", headers=[("retry-after", "30")])
    return serve(received)


def keys_of(mock: Mock) -> list[str]:
    return [name for received in mock.received for name in "abc" if received.key == upstream_key(name)]


@pytest.fixture
def two() -> Iterator[tuple[Mock, Running]]:
    up = {"accounts": [*accounts("a", "b", rpm=600), *accounts("c", weight=0, limit_group="org", tags=["eu"])]}
    with mock_upstream(limited_a) as mock:
        providers = {"p": {**provider(mock.url, "chat"), **up}}
        with gateway_for({**table(providers), **ADMIN, "callers": caller_table("alice", weight=2)}) as gateway:
            yield mock, gateway


def alice() -> dict[str, str]:
    return {"authorization": f"Bearer {caller_key('alice')}"}


def test_pool_tells_all_that_a_page_shows(two: tuple[Mock, Running]) -> None:
    _, gateway = two
    for number in range(4):
        assert ask(gateway.port, f"Hello {number}", **alice()).status == 200
    shown = as_admin(gateway.port, "GET", "/admin/pool").json
    assert set(shown) == {"accounts", "circuits", "lines", "groups", "recent"}
    by_id = {one["id"]: one for one in shown["accounts"]}
    assert list(by_id) == ["p/a", "p/b", "p/c"]
    limited, serves, idle = by_id["p/a"], by_id["p/b"], by_id["p/c"]
    assert (limited["health"], limited["reason"]) == ("cooling", "429 rate_limit_exceeded")
    assert 0 < limited["resting"]["m"] <= 30
    assert limited["last_verdict"] == "429 rate_limit_exceeded"
    assert limited["last_verdict_s"] >= 0
    assert (serves["health"], serves["served"], serves["out_for_s"], serves["in_flight"]) == ("ready", 4, 0, 0)
    quota = next(one for one in serves["quotas"] if one["dimension"] == "requests")
    assert (quota["limit"], quota["source"], quota["model"]) == (600, "configured", "m")
    assert 0 <= quota["headroom"] < 1
    assert (idle["served"], idle["tags"]) == (0, ["eu"])
    newest = shown["recent"][-1]
    assert (newest["caller"], newest["model"], newest["account"]) == ("alice", "m", "p/b")
    assert newest["why"]
    assert newest["ago_s"] >= 0
    assert as_admin(gateway.port, "GET", "/admin/accounts").json.keys() == {"accounts"}


def test_explain_says_whom_a_request_would_meet_and_why_no_other(two: tuple[Mock, Running]) -> None:
    mock, gateway = two
    ask(gateway.port, **alice())
    before = len(mock.received)
    told = as_admin(gateway.port, "GET", "/admin/pool?explain=m&caller=alice").json["explanation"]
    assert (told["model"], told["caller"], told["chosen"]) == ("m", "alice", "p/b")
    assert told["why"]
    others = {one["account"]: one["reason"] for one in told["others"]}
    assert set(others) == {"p/a", "p/c"}
    assert "weight is 0" in others["p/c"]
    assert others["p/a"]
    assert as_admin(gateway.port, "GET", "/admin/pool?explain=m").json["explanation"]["caller"] == "anonymous"
    unknown = as_admin(gateway.port, "GET", "/admin/pool?explain=m&caller=alise")
    assert (unknown.status, "did you mean 'alice'?" in unknown.text) == (404, True)
    unknown = as_admin(gateway.port, "GET", "/admin/pool?explain=gpt-5")
    assert (unknown.status, "gpt-5" in unknown.text) == (404, True)
    assert len(mock.received) == before


def test_a_drained_account_finishes_and_takes_nothing_until_it_is_revived() -> None:
    hold = Hold()

    def script(received: Received) -> Reply:
        is_first = received.key == upstream_key("a")
        return serve(received, hold=hold) if is_first and not hold.reached.is_set() else serve(received)

    with (
        mock_upstream(script) as mock,
        gateway_for({**table({"p": {**provider(mock.url, "chat"), "accounts": accounts("a")}}), **ADMIN}) as gateway,
        ThreadPoolExecutor(1) as threads,
    ):
        running = threads.submit(ask, gateway.port)
        hold.wait_reached()
        drained = as_admin(gateway.port, "POST", "/admin/accounts/p/a/drain")
        assert drained.status == 200
        account = drained.json["account"]
        assert (account["id"], account["health"], account["in_flight"]) == ("p/a", "draining", 1)
        assert exchange(gateway.port, "GET", "/readyz").status == 503
        refused = ask(gateway.port)
        assert refused.status >= 400
        hold.release()
        assert running.result(BOUND_S).status == 200
        assert keys_of(mock) == ["a"]
        assert as_admin(gateway.port, "POST", "/admin/accounts/p%2Fa/revive").json["account"]["health"] == "ready"
        assert exchange(gateway.port, "GET", "/readyz").status == 200
        assert ask(gateway.port).status == 200
        assert keys_of(mock) == ["a", "a"]


def test_an_account_rests_for_as_long_as_it_is_told() -> None:
    with (
        mock_upstream(serve) as mock,
        gateway_for({**table({"p": provider(mock.url, "chat", "a", "b")}), **ADMIN}) as gateway,
    ):
        rested = as_admin(gateway.port, "POST", "/admin/accounts/p/a/rest", {"for_s": 60}).json["account"]
        assert 59 < rested["out_for_s"] <= 60
        for number in range(6):
            assert ask(gateway.port, f"Hello {number}").status == 200
        assert set(keys_of(mock)) == {"b"}
        assert as_admin(gateway.port, "POST", "/admin/accounts/p/a/revive").json["account"]["out_for_s"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/admin/accounts/p/x/drain", None, 404, "there is no account 'p/x'; did you mean 'p/"),
        ("POST", "/admin/accounts/p/a/explode", None, 404, "/admin/accounts/ID/drain"),
        ("POST", "/admin/accounts//drain", None, 404, "/admin/accounts/ID/drain"),
        ("GET", "/admin/accounts/p/a/drain", None, 405, "allowed: POST"),
        ("POST", "/admin/pool", None, 405, "allowed: GET, HEAD"),
        ("GET", "/admin/nothing", None, 404, "there are /admin/pool"),
        ("POST", "/admin/accounts/p/a/rest", None, 400, "for_s: wanted a number of seconds up to 604,800"),
        ("POST", "/admin/accounts/p/a/rest", {"for_s": -1}, 400, "for_s: wanted"),
        ("POST", "/admin/accounts/p/a/rest", {"for_s": True}, 400, "for_s: wanted"),
        ("POST", "/admin/accounts/p/a/rest", {"for_s": 1e300}, 400, "for_s: wanted"),
        ("POST", "/admin/accounts/p/a/rest", [60], 400, "the request body is"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    method: str, path: str, body: Any, status: int, words: str, two: tuple[Mock, Running]
) -> None:
    answer = as_admin(two[1].port, method, path, body)
    assert answer.status == status
    assert words in answer.json["error"]["message"]
    assert (answer.header("allow") is not None) == (status == 405)
    assert all(one["health"] == "ready" for one in as_admin(two[1].port, "GET", "/admin/accounts").json["accounts"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_pool_is_the_operators(method: str, two: tuple[Mock, Running]) -> None:
    path = "/admin/pool" if method == "GET" else "/admin/accounts/p/a/drain"
    for headers in ({}, alice(), {"authorization": "Bearer wrong"}):
        assert exchange(two[1].port, method, path, headers=headers).status == 401
    assert as_admin(two[1].port, method, path, origin="http://page.example").status == 200


def test_a_page_in_a_browser_cannot_drain_an_account_without_a_key() -> None:
    with mock_upstream(serve) as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        path = "/admin/accounts/p/a/drain"
        refused = exchange(gateway.port, "POST", path, headers={"origin": "http://page.example"})
        assert (refused.status, "key_hash" in refused.text) == (403, True)
        assert gateway.account("p/a").health == "ready"
        assert exchange(gateway.port, "POST", path).status == 200


def test_a_key_that_comes_with_sighup_serves_those_who_wait(tmp_path: Path) -> None:
    hold = Hold()

    def script(received: Received) -> Reply:
        return serve(received, hold=hold) if received.key == upstream_key("a") else serve(received)

    with mock_upstream(script) as mock, ThreadPoolExecutor(2) as threads:
        config = write_config(tmp_path / "ds2api.toml", mock, more="[retries]\npatience_s = 25\n")
        config.write_text(config.read_text().replace('key_env = "KEY_A"', 'key_env = "KEY_A", concurrency = 1'))
        with serving(cwd=tmp_path, extra=KEYS) as process:
            _, port = banner(process)
            first = threads.submit(ask, port, "first")
            hold.wait_reached()
            second = threads.submit(ask, port, "second")
            while not exchange(port, "GET", "/admin/pool").json["lines"]:
                pass
            text = config.read_text()
            config.write_text(text.replace("concurrency = 1 }", 'concurrency = 1 }, { name = "b", key_env = "KEY_B" }'))
            process.popen.send_signal(signal.SIGHUP)
            process.until("in use")
            assert second.result(BOUND_S).body.endswith(b"data: [DONE]\n\n")
            assert not first.done()
            assert keys_of(mock) == ["a", "b"]
            hold.release()
            assert first.result(BOUND_S).status == 200
            assert process.end() == 0


def test_a_key_of_another_place_never_leaves_with_a_request_that_waited() -> None:
    """The provider's URL changes while a request stands in line: it may not carry the new key to the old URL."""
    hold = Hold()
    with (
        mock_upstream(lambda received: serve(received, hold=hold)) as old,
        mock_upstream(serve) as new,
        ThreadPoolExecutor(2) as threads,
    ):

        def settings(url: str, *names: str) -> dict[str, Any]:
            up = {**provider(url, "chat"), "accounts": accounts(*names, concurrency=1)}
            return {"listen": "127.0.0.1:0", **table({"p": up}), "retries": {"patience_s": 25}}

        with gateway_for(settings(old.url, "a")) as gateway:
            first = threads.submit(ask, gateway.port, "first")
            hold.wait_reached()
            second = threads.submit(ask, gateway.port, "second")
            pool = gateway.gateway.house.admission.pool
            gateway.wait_until(lambda: pool.waiting == 1, "the second stands in line")
            gateway.call(lambda: gateway.gateway.reload(ds2api.from_mapping(settings(new.url, "a", "b"), {})))
            answer = second.result(BOUND_S)
            assert (answer.status, "configuration changed" in answer.text) == (500, True)
            assert ask(gateway.port, "third").status == 200
            assert (keys_of(old), keys_of(new)) == (["a"], ["b"])
            hold.release()
            assert first.result(BOUND_S).status == 200


def test_the_command_shows_and_changes_a_running_gateway(tmp_path: Path) -> None:
    with mock_upstream(limited_a) as mock:
        admin = f'[admin]\nkey_hash = "{key_hash(caller_key("admin"))}"'
        config = write_config(tmp_path / "gateway.toml", mock, accounts="ab", more=admin)
        with serving("--config", str(config), cwd=tmp_path, extra=KEYS) as process:
            _, port = banner(process)
            ask(port, "one")
            ask(port, "two")
            url = ("--url", f"http://127.0.0.1:{port}")
            key = {"DS2API_ADMIN_KEY": caller_key("admin")}
            page = run("pool", *url, cwd=tmp_path, COLUMNS="80", **key)
            assert page.returncode == 0, page.stderr
            assert max(map(len, page.stdout.splitlines())) <= 80
            assert "2 accounts: 1 cooling, 1 ready" in page.stdout
            assert "for m · 429 rate_limit_exceeded" in page.stdout
            assert "\x1b" not in page.stdout
            assert json.loads(run("pool", *url, "--json", cwd=tmp_path, **key).stdout)["accounts"][1]["served"] == 2
            explained = run("pool", *url, "--explain", "m", cwd=tmp_path, **key)
            assert explained.stdout.startswith("m for anonymous → p/b: ")
            assert "\n  p/a  " in explained.stdout
            assert "no new requests" in run("pool", *url, "drain", "p/b", cwd=tmp_path, **key).stdout
            assert "1 draining" in run("pool", *url, cwd=tmp_path, **key).stdout
            assert "for 60 s" in run("pool", *url, "rest", "p/b", "--for", "60", cwd=tmp_path, **key).stdout
            revived = run("pool", *url, "revive", "p/b", "--key-env", "MINE", cwd=tmp_path, MINE=caller_key("admin"))
            assert "is ready" in revived.stdout
            for words, said in (
                (("drain", "p/nobody"), "there is no account 'p/nobody'; there are: p/a, p/b"),
                (("--explain", "gpt-5"), "gpt-5"),
            ):
                wrong = run("pool", *url, *words, cwd=tmp_path, **key)
                assert (wrong.returncode, said in wrong.stderr, wrong.stdout) == (1, True, ""), wrong.stderr
            keyless = run("pool", *url, cwd=tmp_path)
            assert (keyless.returncode, "$DS2API_ADMIN_KEY" in keyless.stderr) == (1, True)
            assert process.end() == 0
    assert run("pool", "explode", "p/a", cwd=tmp_path).returncode == 2
    assert run("pool", "rest", "p/a", "--for", "-1", cwd=tmp_path).returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_on_a_terminal_it_is_drawn_again_until_ctrl_c(tmp_path: Path) -> None:
    import pty

    with mock_upstream(serve) as mock, gateway_for(table({"p": provider(mock.url, "chat", "a", "b")})) as gateway:
        parent, child = pty.openpty()
        words = [sys.executable, "-m", "ds2api", "pool", "--url", gateway.url]
        extra = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONIOENCODING": "utf-8"}
        seen = b""

        def more() -> bytes:
            # The other end stays open here: a terminal that nobody has open any more may say so before its last words.
            assert select.select([parent], [], [], BOUND_S)[0], seen
            return os.read(parent, 65536)

        with Popen(words, stdout=child, stdin=child, stderr=child, env=environment(extra), cwd=tmp_path) as process:
            try:
                while seen.count(b"\x1b[H") < 2:
                    seen += more()
                process.send_signal(signal.SIGINT)
                while b"\x1b[?1049l" not in seen:
                    seen += more()
                assert process.wait(BOUND_S) == 0
            finally:
                process.kill()
                os.close(child)
                os.close(parent)
        assert seen.startswith(b"\x1b[?1049h")
        assert b"2 accounts: 2 ready" in seen
        assert b"\x1b[32m" in seen
        assert b"Traceback" not in seen
