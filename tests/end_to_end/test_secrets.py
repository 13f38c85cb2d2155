"""Keys: who answers without one, where they may be read from, who sees them, and that a whole run writes none anywhere."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.answers import serve
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import assert_no_key, caller_key, caller_table, leaked, upstream_key
from tests.end_to_end.mock import Cut, Mock, Received, Reply, mock_upstream
from tests.end_to_end.raw import connected, exchange
from tests.end_to_end.tables import provider, table
from tests.end_to_end.test_cli import banner, serving

import ds2api
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.callers import Caller, Callers, key_hash

SOURCE = Path(ds2api.__file__).parent
JSON = {"content-type": "application/json"}
# What answers to whoever asks (issue 8, part 5), and says nothing of models or accounts.
OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/"),
    ("HEAD", "/"),
    ("HEAD", "/api/hello"),
    ("GET", "/api/version"),
}


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(serve) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def keyed(mock: Mock) -> Iterator[Running]:
    providers = {"secret-provider": provider(mock.url, ["chat", "messages"], "secret-account")}
    with gateway_for(table(providers, {"secret-model": "secret-provider/m"}, callers=caller_table("alice"))) as running:
        yield running


def routes() -> list[tuple[str, str]]:
    every = {
        (route.method, route.path.replace("{model}", "secret-model").replace("{id}", "resp_1"))
        for dialect in DIALECTS.values()
        for route in dialect.routes
    }
    own = {
        ("GET", "/admin/pool"),
        ("GET", "/admin/accounts"),
        ("POST", "/admin/accounts/x/drain"),
        ("GET", "/api/hello"),
    }
    passed = {(method, "/providers/secret-provider/files") for method in ("GET", "POST", "DELETE")}
    return sorted(every | own | passed | {("GET", "/providers/nobody/x")})


@pytest.mark.parametrize(("method", "path"), routes(), ids=lambda one: one)
@pytest.mark.parametrize("key", [None, "wrong", "sk-ant-of-a-provider"])
def test_nothing_answers_without_a_key(keyed: Running, mock: Mock, method: str, path: str, key: str | None) -> None:
    if (method, path) in OPEN:
        return
    before = len(mock.received)
    headers = JSON | ({"authorization": f"Bearer {key}"} if key else {})
    answer = exchange(keyed.port, method, path, b'{"model":"secret-model"}' if method == "POST" else None, headers)
    # Google says 400 for a key that it does not know, and its SDK's users look for that.
    assert answer.status in (401, 403) or (answer.status == 400 and "API_KEY_INVALID" in answer.text), answer.text
    assert len(mock.received) == before
    assert "secret-provider" not in answer.text.replace(path, "") and "secret-account" not in answer.text
    assert key is None or key not in answer.text


@pytest.mark.parametrize(("method", "path"), sorted(OPEN | {("OPTIONS", "/v1/models"), ("OPTIONS", "*")}))
def test_what_answers_without_a_key_tells_nothing(keyed: Running, method: str, path: str) -> None:
    answer = exchange(keyed.port, method, path, headers={"accept": "application/json"})
    assert answer.status in (200, 204)
    assert "secret" not in answer.text and "account" not in answer.text


def test_R155_a_wrong_key_is_named_by_its_header_and_never_repeated(keyed: Running) -> None:
    wrong = "sk-ant-api03-somebody-typed-this"
    for name, value in (("authorization", f"Bearer {wrong}"), ("x-api-key", wrong), ("x-goog-api-key", wrong)):
        answer = exchange(keyed.port, "POST", "/v1/chat/completions", b"{}", {**JSON, name: value})
        assert (answer.status, f"`{name}`" in answer.text) == (401, True)
        assert wrong not in answer.text
    assert wrong not in keyed.log()


def test_R165_without_keys_it_serves_this_machine_only() -> None:
    given = table({"p": provider("http://127.0.0.1:1/v1", "chat")}, listen="0.0.0.0:0")
    with pytest.raises(ds2api.ConfigError, match="can be reached from other machines"):
        ds2api.Gateway(ds2api.from_mapping(given, {}))


def test_R165_a_caller_is_found_by_the_digest_of_its_key() -> None:
    """Equal beginnings of keys have unrelated digests, so a look-up by digest tells nothing by its timing."""
    callers = Callers([(key_hash(caller_key("alice")), Caller("alice"))])
    assert list(vars(callers)) == ["_by_hash"]
    assert list(callers._by_hash) == [key_hash(caller_key("alice"))]
    assert callers.identify({"x-api-key": caller_key("alice")}).name == "alice"


# --- where keys come from ---


def from_file(path: Path, mode: int) -> ds2api.Config:
    path.write_text(upstream_key("file") + "\n")
    path.chmod(mode)
    return ds2api.from_mapping({"providers": {"openai": {"accounts": [{"name": "a", "key_file": str(path)}]}}}, {})


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_file_of_our_own_is_read(tmp_path: Path, mode: int) -> None:
    assert from_file(tmp_path / "key", mode).warnings == ()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ds2api.ConfigError, match="chmod 600") as refused:
        from_file(tmp_path / "key", mode)
    assert_no_key(str(refused.value), "the error")


def test_a_mounted_key_file_is_read_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else made it, and container engines do so for all to read."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    (warning,) = from_file(tmp_path / "key", 0o644).warnings
    assert "can be read by others" in warning
    monkeypatch.undo()
    monkeypatch.setattr("ds2api.config_keys._MOUNTED", (str(tmp_path),))
    assert len(from_file(tmp_path / "key", 0o444).warnings) == 1


def test_a_key_command_sees_no_key(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w')); print('a-key-of-some-length')"
    accounts = [{"name": "c", "key_command": [sys.executable, "-c", program]}, {"name": "e", "key_env": "MY_OWN_KEY"}]
    given = {"MY_OWN_KEY": upstream_key("env"), "OPENAI_API_KEY": upstream_key("openai"), "SEAL": "s" * 40}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        ds2api.from_mapping({"providers": {"openai": {"accounts": accounts}}, "secret_env": "SEAL"}, os.environ)
    environment = json.loads(seen.read_text())
    assert environment["PATH"] == os.environ["PATH"]
    assert not set(given) & set(environment)


@pytest.mark.parametrize("module", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_runs_text_or_unpickles(module: Path) -> None:
    """No `eval`, no `exec`, no pickle, no shell; a key is revealed in one place."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "marshal.loads"), name
            assert not any(one.arg == "shell" for one in node.keywords)
            assert not name.endswith(".reveal") or module.name == "providers.py"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "marshal", "shelve", "ctypes"}


# --- every byte of a run ---


def misbehaving(received: Received) -> Reply:
    """Serves, refuses with the key in its words, cuts."""
    said = f"Incorrect API key provided: {received.key}".encode()
    faults = (
        lambda: serve(received),
        lambda: Reply.json(b'{"error":{"message":"' + said + b'"}}', 401, [("x-key", received.key)]),
        lambda: Reply(502, [said], [("content-type", "text/html")], "length"),
        lambda: Reply(200, [said[:9], Cut()], [("content-type", "application/json")]),
        lambda: Reply(302, [b""], [("location", f"http://127.0.0.1:1/?key={received.key}")], "length"),
    )
    return faults[received.number % len(faults)]()


def test_R153_no_byte_that_a_run_writes_holds_a_key(tmp_path: Path) -> None:
    """A program in a folder of its own: what it printed, every file that it made, how it is called, what its children
    were given. R153: key in the query, refusals, resets, a certificate that is none."""
    config = tmp_path / "ds2api.toml"
    seen = tmp_path / "of-the-command"
    key_file = tmp_path / "key-file"
    key_file.write_text(upstream_key("file"))
    key_file.chmod(0o600)
    program = f"import os; open({str(seen)!r}, 'w').write(repr(dict(os.environ))); print(os.environ['SHOWN'])"
    state = tmp_path / "state.json"
    with mock_upstream(misbehaving) as mock:
        tls = mock.url.replace("http:", "https:")
        config.write_text(f"""
            listen = "127.0.0.1:0"
            log = "json"
            pool.state_file = "{state}"
            pool.circuit_failures = 1000
            retries.patience_s = 0.1
            retries.pause_first_s = 0.01
            callers.alice.key_hash = "{key_hash(caller_key("alice"))}"
            admin.key_hash = "{key_hash(caller_key("admin"))}"
            models.m = "p/m"
            models.t = "t/m"
            [providers.p]
            dialects = ["chat", "messages", "gemini"]
            base_url = "{mock.url}"
            accounts = [
              {{ name = "e", key_env = "KEY_E" }}, {{ name = "f", key_file = "{key_file}" }},
              {{ name = "c", key_command = ["{sys.executable}", "-c", {json.dumps(program)}] }},
            ]
            [providers.t]
            dialects = ["chat"]
            base_url = "{tls}"
            accounts = [{{ name = "e", key_env = "KEY_T" }}]
        """)
        config.chmod(0o600)
        keys = {"KEY_E": upstream_key("e"), "KEY_T": upstream_key("t"), "SHOWN": "a-key-that-a-command-gives-0123"}
        extra = {**keys, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "xdg")}
        with serving("--config", str(config), cwd=tmp_path, extra=extra) as process:
            _, port = banner(process)
            alice, admin = (f"Bearer {caller_key(name)}" for name in ("alice", "admin"))
            said = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
            for number in range(40):
                body = json.dumps(
                    {**said, "model": "t" if number % 9 == 8 else "m", "stream": number % 2 == 1}
                ).encode()
                path = ("/v1/chat/completions", "/v1/messages")[number % 3 == 2]
                assert_no_key(exchange(port, "POST", path, body, {**JSON, "authorization": alice}).text, "an answer")
            by_query = f"/v1beta/models/m:generateContent?key={caller_key('alice')}"
            gemini = json.dumps({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}).encode()
            assert_no_key(exchange(port, "POST", by_query, gemini, JSON).text, "an answer")
            with connected(
                port, f"GET /{caller_key('alice')} HTTP/9.9\r\n{caller_key('alice')}\r\n\r\n".encode()
            ) as client:
                assert_no_key(client.recv(4_000).decode(), "a refusal")
            for path in (
                "/admin/pool",
                "/admin/pool?explain=m",
                "/healthz",
                "/readyz",
                f"/nowhere?key={upstream_key('e')}",
            ):
                assert_no_key(
                    exchange(port, "GET", path, headers={"authorization": admin}).text.replace(path, ""), path
                )
            shown = Path(f"/proc/{process.popen.pid}/cmdline")
            if shown.exists():
                assert_no_key(shown.read_text(), "how it is called")
            assert process.end() == 0
        assert mock.problems
        mock.problems.clear()  # a TLS hello is no HTTP: that handshake is to fail
        assert len(mock.received) > 8
        assert {received.key for received in mock.received} >= {upstream_key("e"), upstream_key("file"), keys["SHOWN"]}
    assert_no_key("".join(process.seen), "what it printed")
    assert keys["SHOWN"] not in "".join(process.seen)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path not in (key_file, config)]
    assert {state, seen} <= set(written)
    for path in written:
        text = path.read_bytes().decode("latin-1")
        assert not leaked(text), f"there is a key in {path.name}"
        assert path == seen or keys["SHOWN"] not in text
    assert state.stat().st_mode & 0o777 == 0o600
