"""The program and its own process: descriptors, core dumps, and what happens when the system gives no more."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import sys
from pathlib import Path

import pytest
from tests.end_to_end.raw import exchange
from tests.end_to_end.test_cli import BOUND_S, banner, serving

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def limit_to(soft: int, hard: int) -> None:
    """In the child, before the program starts."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=BOUND_S)


@linux
def test_it_takes_all_descriptors_that_it_may_and_dumps_no_core(tmp_path: Path) -> None:
    with serving("--demo", "--port", "0", cwd=tmp_path, preexec_fn=lambda: limit_to(100, 200)) as process:
        banner(process)
        limits = Path(f"/proc/{process.popen.pid}/limits").read_text()
        rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
        assert rows["Max open files"] == ["200", "200"]
        assert rows["Max core file size"][0] == "0"


def test_more_idle_connections_than_descriptors_keep_nobody_out(tmp_path: Path) -> None:
    """They are closed for who comes next, and there is always a descriptor left for an upstream."""
    with (
        serving("--demo", "--port", "0", cwd=tmp_path, preexec_fn=lambda: limit_to(80, 80)) as process,
        contextlib.ExitStack() as idle,
    ):
        _, port = banner(process)
        for _ in range(300):
            idle.enter_context(connect(port))
        body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "x"}]}).encode()
        for _ in range(3):
            answer = exchange(port, "POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            assert answer.status == 200, answer.text
        assert process.popen.poll() is None


def test_half_sent_heads_on_every_descriptor_end_and_then_it_serves(tmp_path: Path) -> None:
    """Accepting waits while each connection owes its head; their time limit frees them."""
    file = tmp_path / "ds2api.toml"
    file.write_text(
        'listen = "127.0.0.1:0"\n[timeouts]\nhead_total_s = 0.5\nclose_linger_s = 0.2\n[providers.p]\ndialects = ["chat"]\n'
        'base_url = "http://127.0.0.1:1/v1"\naccounts = [{ name = "a", key = "k-k-k-k-k-k-k" }]\n'
    )
    file.chmod(0o600)
    with (
        serving("--config", str(file), cwd=tmp_path, preexec_fn=lambda: limit_to(64, 64)) as process,
        contextlib.ExitStack() as slow,
    ):
        _, port = banner(process)
        for _ in range(100):
            slow.enter_context(connect(port)).sendall(b"GET /healthz HT")
        assert exchange(port, "GET", "/healthz").status == 200
