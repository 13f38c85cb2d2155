"""SIGUSR2: a new process takes over in full load, and no client notices."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.answers import chat_whole, serve, sse
from tests.end_to_end.mock import Hold, Received, Reply, mock_upstream
from tests.end_to_end.raw import connected, exchange, post_bytes, read_head
from tests.end_to_end.test_cli import ASK, BOUND_S, KEYS, Process, banner, environment, serving, write_config

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGUSR2")

JSON = {"content-type": "application/json"}


class Chain:
    """The process that `process` began, and those that followed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.pids = [process.popen.pid]

    def follow(self) -> None:
        os.kill(self.pids[-1], signal.SIGUSR2)
        self.pids.append(int(self.process.until("serves now").split()[2]))


@contextlib.contextmanager
def chain(*words: str, cwd: Path) -> Iterator[tuple[Chain, int]]:
    with serving(*words, cwd=cwd, extra=KEYS) as process:
        found = Chain(process)
        try:
            yield found, banner(process)[1]
        finally:
            for pid in found.pids[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)


def ask_on_and_on(port: int, is_enough: threading.Event, done: list[int], failed: list[str]) -> None:
    """A client that keeps its connection, as SDKs do, and counts its answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    count = 0
    try:
        while not is_enough.is_set():
            connection.request("POST", "/v1/chat/completions", json.dumps(ASK), JSON)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status != 200 or body["choices"][0]["message"]["content"] != "Hello":
                failed.append(f"{answer.status} {body}")
            count += 1
    except (OSError, http.client.HTTPException) as error:
        failed.append(repr(error))
    finally:
        connection.close()
        done.append(count)


def test_three_processes_follow_each_other_in_full_load_and_nobody_is_refused_or_cut(tmp_path: Path) -> None:
    hold = Hold()
    first = sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                 "choices": [{"index": 0, "delta": {"content": "begun"}, "finish_reason": None}]})  # fmt: skip
    last = sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": {"content": " and ended"}, "finish_reason": "stop"}]}, done=True)  # fmt: skip
    held = Reply(200, [first, hold, last], [("content-type", "text/event-stream")])

    def script(received: Received) -> Reply:
        return held if b'"stream":true' in received.body.replace(b" ", b"") else Reply.json(chat_whole())

    with mock_upstream(script) as mock:
        write_config(tmp_path / "ds2api.toml", mock)
        with chain(cwd=tmp_path) as (found, port), connected(port) as stream:
            stream.sendall(post_bytes("/v1/chat/completions", {**ASK, "stream": True}))
            hold.wait_reached()
            is_enough, done, failed = threading.Event(), list[int](), list[str]()
            clients = [
                threading.Thread(target=ask_on_and_on, args=(port, is_enough, done, failed), daemon=True)
                for _ in range(4)
            ]
            for client in clients:
                client.start()
            for _ in range(3):
                found.follow()
            is_enough.set()
            for client in clients:
                client.join(BOUND_S)
            assert failed == []
            assert len(done) == 4 and min(done) > 3
            hold.release()
            head, text = read_head(stream)
            assert head.startswith("HTTP/1.1 200")
            while not text.endswith(b"0\r\n\r\n"):
                more = stream.recv(4096)
                assert more, text
                text += more
            assert b"begun" in text and b" and ended" in text and b"[DONE]" in text
            stream.close()  # else the old process keeps it for another request, as long as a stop may take
            assert found.process.popen.wait(BOUND_S) == 0
            assert exchange(port, "POST", "/v1/chat/completions", json.dumps(ASK).encode(), JSON).status == 200


def test_a_next_process_that_does_not_come_up_changes_nothing(tmp_path: Path) -> None:
    with mock_upstream(serve) as mock:
        file = write_config(tmp_path / "ds2api.toml", mock)
        with chain(cwd=tmp_path) as (found, port):
            file.write_text("listen = 7\n")
            os.kill(found.pids[0], signal.SIGUSR2)
            assert "ended with status" in found.process.until("this process goes on")
            assert exchange(port, "POST", "/v1/chat/completions", json.dumps(ASK).encode(), JSON).status == 200
            write_config(file, mock)
            found.follow()
            assert found.process.popen.wait(BOUND_S) == 0
            assert exchange(port, "POST", "/v1/chat/completions", json.dumps(ASK).encode(), JSON).status == 200


def test_a_unix_socket_stays_where_it_is(tmp_path: Path) -> None:
    where = tmp_path / "g.sock"
    with serving("--demo", "--listen", f"unix:{where}", cwd=tmp_path) as process:
        found = Chain(process)
        for _ in range(5):
            process.line()
        found.follow()
        try:
            assert process.popen.wait(BOUND_S) == 0
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(where))
                client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                with client.makefile("rb") as reader:
                    assert reader.readline().startswith(b"HTTP/1.1 200")
        finally:
            os.kill(found.pids[-1], signal.SIGTERM)
            process.until("stopping")
            process.until("stopping")


def test_the_service_manager_hears_who_serves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(BOUND_S)
        manager.bind(str(tmp_path / "notify"))
        with serving(
            "--demo", "--port", "0", cwd=tmp_path, extra={"NOTIFY_SOCKET": str(tmp_path / "notify")}
        ) as process:
            assert manager.recv(1000) == b"MAINPID=%d\nREADY=1" % process.popen.pid
            assert "NOTIFY" not in environment()
