"""The command line as a person runs it: a process of its own, its output, its exit status."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.answers import serve, serve_text
from tests.end_to_end.keys import assert_no_key, upstream_key
from tests.end_to_end.mock import Hold, Mock, Received, Reply, mock_upstream
from tests.end_to_end.raw import connected, exchange, post_bytes, read_head

from ds2api.gateway.callers import key_hash

ROOT = Path(__file__).parents[2]
BOUND_S = 30
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of this machine only what a program needs: no proxy, no key, no home to write into (`tests/conftest.py`)."""
    names = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "XDG_STATE_HOME")
    kept = {name: value for name, value in os.environ.items() if name in names}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


def run(*words: str, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ds2api", *words],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
        env=environment(extra),
        cwd=cwd,
    )
    assert_no_key(done.stdout + done.stderr, f"the output of ds2api {' '.join(words)}")
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Process:
    """A `ds2api serve` that runs. Lines of both streams come through queues, so that waiting for one is an event."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.seen: list[str] = []
        self._lines: dict[str, queue.Queue[str | None]] = {"out": queue.Queue(), "err": queue.Queue()}
        self._threads = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", popen.stdout), ("err", popen.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str, stream: Any) -> None:
        for line in stream:
            self.seen.append(line)
            self._lines[name].put(line.rstrip("\n"))
        self._lines[name].put(None)

    def line(self, name: str = "out") -> str:
        line = self._lines[name].get(timeout=BOUND_S)
        assert line is not None, "the process ended: " + "".join(self.seen)
        return line

    def until(self, words: str, name: str = "err") -> str:
        while words not in (line := self.line(name)):
            pass
        return line

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(BOUND_S)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(BOUND_S)
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def serving(
    *words: str, cwd: Path, extra: Mapping[str, str] | None = None, command: str = "serve", **options: Any
) -> Iterator[Process]:
    popen = subprocess.Popen(
        [sys.executable, "-m", "ds2api", command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(extra),
        cwd=cwd,
        **options,
    )
    process = Process(popen)
    try:
        yield process
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        process.join()
    assert_no_key("".join(process.seen), "the output of ds2api serve")
    assert "Traceback" not in "".join(process.seen)


def banner(process: Process) -> tuple[list[str], int]:
    """The five lines, and the port in them."""
    lines = [process.line() for _ in range(5)]
    at = lines[1].split()[1].rstrip(";")
    return lines, int(at.rpartition(":")[2].rstrip("/")) if ":" in at and not at.startswith("unix:") else 0


def write_config(path: Path, mock: Mock, *, models: str = '"m" = "p/m"', accounts: str = "a", more: str = "") -> Path:
    listed = ", ".join(f'{{ name = "{name}", key_env = "KEY_{name.upper()}" }}' for name in accounts)
    path.write_text(
        f'listen = "127.0.0.1:0"\n{more}\n[providers.p]\ndialects = ["chat"]\nbase_url = "{mock.url}"\n'
        f"accounts = [{listed}]\n[models]\n{models}\n"
    )
    path.chmod(0o600)
    return path


KEYS = {"KEY_A": upstream_key("a"), "KEY_B": upstream_key("b")}


def test_a_terminal_that_knows_no_ellipsis_is_served_too(tmp_path: Path) -> None:
    with serving("--port", "0", cwd=tmp_path, extra={"PYTHONIOENCODING": "ascii"}) as process:
        assert "demo" in banner(process)[0][0]
        assert process.end() == 0


def test_serve_demo_tells_five_lines_and_the_one_to_try_works(tmp_path: Path) -> None:
    with serving("--port", "0", cwd=tmp_path) as process:
        lines, port = banner(process)
        assert "demo" in lines[0]
        assert "demo" in lines[2]
        assert "plenty" in lines[3]
        assert "demo-key-of-plenty" not in "".join(lines)
        assert lines[4].split()[:2] == ["try", "curl"]
        body = lines[4].partition("-d '")[2].rstrip("'").encode()
        answer = exchange(port, "POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert process.end() == 0


def is_refused_soon(port: int) -> bool:
    """The listener closes just after the line that says so: whoever comes in between is let in or cut."""
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            return True
    return False


def test_sigterm_lets_a_running_stream_finish(tmp_path: Path) -> None:
    hold = Hold()
    with mock_upstream(lambda received: serve(received, hold=hold)) as mock:
        config = write_config(tmp_path / "ds2api.toml", mock)
        with serving(cwd=tmp_path, extra=KEYS) as process:
            lines, port = banner(process)
            assert str(config.name) in lines[0]
            with connected(port, post_bytes("/v1/chat/completions", {**ASK, "stream": True})) as client:
                _, data = read_head(client)
                hold.wait_reached()
                process.popen.send_signal(signal.SIGTERM)
                process.until("stopping")
                assert is_refused_soon(port), "new clients are still let in"
                hold.release()
                while more := client.recv(65536):
                    data += more
            assert b"data: [DONE]" in data
            assert process.popen.wait(BOUND_S) == 0


def test_sighup_takes_a_good_file_and_refuses_a_broken_one(tmp_path: Path) -> None:
    with mock_upstream(serve_text) as mock:
        config = write_config(tmp_path / "gateway.toml", mock)
        with serving("--config", str(config), cwd=tmp_path, extra=KEYS) as process:
            _, port = banner(process)

            def models() -> list[str]:
                return sorted(model["id"] for model in exchange(port, "GET", "/v1/models").json["data"])

            assert models() == ["m"]
            write_config(config, mock, models='"m" = "p/m"\n"n" = "p/n"')
            process.popen.send_signal(signal.SIGHUP)
            process.until("in use")
            assert models() == ["m", "n"]
            config.write_text('listen = "127.0.0.1:0"\n[providers.p]\nbase_ulr = "x"\n')
            process.popen.send_signal(signal.SIGHUP)
            process.until("refused")
            process.until("base_ulr")
            assert models() == ["m", "n"]
            assert process.end() == 0


def test_sigint_ends_it_as_well(tmp_path: Path) -> None:
    with serving("--port", "0", cwd=tmp_path) as process:
        banner(process)
        assert process.end(signal.SIGINT) == 0


def test_an_open_gateway_beyond_loopback_must_be_asked_for(tmp_path: Path) -> None:
    refused = run("serve", "--listen", "0.0.0.0:0", cwd=tmp_path)
    assert refused.returncode == 1
    assert "--open" in refused.stderr
    assert "ds2api key new" in refused.stderr
    with serving("--listen", "0.0.0.0:0", "--open", cwd=tmp_path) as process:
        banner(process)
        assert process.end() == 0


def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with serving("--listen", f"unix:{path}", cwd=tmp_path) as process:
        banner(process)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(BOUND_S)
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert process.end() == 0
    assert not path.exists()


def test_an_inherited_descriptor_is_served(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        fd = listener.fileno()
        with serving("--listen", f"fd:{fd}", cwd=tmp_path, pass_fds=(fd,)) as process:
            banner(process)
            assert exchange(port, "GET", "/healthz").status == 200
            assert process.end() == 0


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        done = run("serve", "--port", str(listener.getsockname()[1]), cwd=tmp_path)
    assert done.returncode == 1
    assert "--port" in done.stderr


def test_check_tells_what_is_there(tmp_path: Path) -> None:
    with mock_upstream() as mock:
        write_config(tmp_path / "ds2api.toml", mock, accounts="ab")
        done = run("check", cwd=tmp_path, **KEYS)
    assert done.returncode == 0
    assert mock.url in done.stdout
    assert "model m" in done.stdout


def test_check_names_every_fault_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(
        'lisen = "x"\n[retries]\nmax = "many"\n[providers.opnai]\naccounts = [{ name = "a", key_env = "NOT_SET" }]\n'
        '[models]\n"m" = "nobody/m"\n'
    )
    done = run("check", "--config", str(bad), cwd=tmp_path)
    assert done.returncode == 1
    for words in ("bad.toml", "lisen", "listen", "max", "openai", "NOT_SET", "nobody"):
        assert words in done.stderr, words
    broken = tmp_path / "broken.toml"
    broken.write_text("listen = \n")
    done = run("check", "--config", str(broken), cwd=tmp_path)
    assert (done.returncode, "line 1" in done.stderr) == (1, True)
    assert run("check", "--config", str(tmp_path / "none.toml"), cwd=tmp_path).returncode == 1
    assert run("check", cwd=tmp_path).returncode == 1


def test_check_live_tells_which_keys_work(tmp_path: Path) -> None:
    class Judge(Mock):
        def reply_to(self, received: Received) -> Reply:
            if received.method == "GET" and received.key == upstream_key("b"):
                return Reply.json(
                    {"error": {"message": f"Incorrect API key: {received.key}", "code": "invalid_api_key"}}, 401
                )
            return super().reply_to(received)

    from tests.end_to_end.harness import Thread

    thread = Thread()
    try:
        mock = thread.enter(Judge())
        write_config(tmp_path / "ds2api.toml", mock, accounts="ab")
        done = run("check", "--live", cwd=tmp_path, **KEYS)
        rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("p/")}
        assert done.returncode == 1
        assert "401" in rows["p/b"]
        assert "401" not in rows["p/a"]
        write_config(tmp_path / "ds2api.toml", mock, accounts="a")
        assert run("check", "--live", cwd=tmp_path, **KEYS).returncode == 0
    finally:
        thread.close()


def test_key_new_makes_one_that_the_configuration_takes(tmp_path: Path) -> None:
    done = run("key", "new", "alice", cwd=tmp_path)
    assert done.returncode == 0
    key = next(line.strip() for line in done.stdout.splitlines() if line.strip().startswith("ds2-"))
    table = tomllib.loads(done.stdout[done.stdout.index("[callers") :])
    assert table == {"callers": {"alice": {"key_hash": key_hash(key)}}}
    assert run("key", "new", "alice", cwd=tmp_path).stdout != done.stdout
    assert run("key", "new", "no good", cwd=tmp_path).returncode == 2


def test_models_lists_what_clients_may_ask_for(tmp_path: Path) -> None:
    with mock_upstream() as mock:
        write_config(tmp_path / "ds2api.toml", mock, models='"fast" = "p/m"\n"x-*" = "p/*"')
        done = run("models", cwd=tmp_path, **KEYS)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "fast"
    assert "x-*" in done.stdout


def test_config_prints_a_file_that_parses(tmp_path: Path) -> None:
    done = run("config", cwd=tmp_path)
    assert done.returncode == 0
    table = tomllib.loads(done.stdout)
    assert table["timeouts"]["commit_after_s"] == 15
    assert table["limits"]["body_bytes"] == 33_554_432
    assert run("config", "--defaults", cwd=tmp_path).stdout == done.stdout


def test_version_and_help(tmp_path: Path) -> None:
    done = run("version", cwd=tmp_path)
    assert (done.returncode, done.stdout.startswith("ds2api ")) == (0, True)
    assert "Python" in done.stdout
    for words in (
        (),
        ("serve",),
        ("check",),
        ("key",),
        ("key", "new"),
        ("models",),
        ("config",),
        ("version",),
        ("bench",),
    ):
        helped = run(*words, "--help", cwd=tmp_path)
        assert helped.returncode == 0
        assert "usage" in helped.stdout.lower()


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("serve", "--port", "x"),
        ("serve", "--port", "70000"),
        ("serve", "--nope"),
        ("key",),
        ("key", "new"),
    ],
)
def test_wrong_usage_is_two(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
