"""The pool's state over a restart: what is kept, how it is written, and that a bad file is nobody's trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, serve
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.keys import assert_no_key, upstream_key
from tests.end_to_end.mock import Received, Reply, mock_upstream
from tests.end_to_end.raw import exchange
from tests.end_to_end.tables import provider, table
from tests.end_to_end.test_cli import ROOT

from ds2api.records import StateFile
from ds2api.slices import Slices

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
# Writes ever new states of a megabyte and more, and says each time that it has.
WRITER = """
import sys
from pathlib import Path
from ds2api.records import StateFile
file = StateFile(Path(sys.argv[1]), print)
file.read()
for number in range(1_000_000):
    problem = file.write({"number": number, "filler": [number] * 500_000})
    print(problem or number, flush=True)
"""


def kept_by(path: Path) -> tuple[StateFile, list[str]]:
    notes: list[str] = []
    return StateFile(path, notes.append), notes


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_kill_at_any_moment_leaves_a_file_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for turns in range(0, 480_000, 30_000):  # the kill comes somewhere in the next round: making, writing, renaming
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT / "src")},
        )
        assert writer.stdout is not None
        with writer.stdout as said:
            lines = [said.readline().strip() for _ in range(2)]
            for _ in range(turns):
                pass
            writer.send_signal(signal.SIGKILL)
            lines += [line.strip() for line in said]
        writer.wait()
        assert all(line.isdecimal() for line in lines), lines
        file, notes = kept_by(path)
        state = file.read()
        assert notes == []
        assert state["filler"] == [state["number"]] * 500_000
        assert state["number"] >= int(lines[-1])  # what it had told of is there
        assert [one.name for one in tmp_path.iterdir()] == ["state.json"], "a half-written file was left"


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "state.json"
    assert kept_by(path)[0].write({"a": 1}) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert kept_by(path)[0].read() == {"a": 1}


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    file, _ = kept_by(path)
    file.write({"a": 1})
    first = path.stat().st_ino
    file.write({"a": 1})
    assert path.stat().st_ino == first
    file.write({"a": 2})
    assert path.stat().st_ino != first


@pytest.mark.parametrize(
    ("data", "words", "is_ours"),
    [
        (b"", "cannot be read", True),
        (b'{"format":"ds2api pool 1","pool":{"a"', "cannot be read", True),
        (b'{"format":"ds2api pool 1","pool":3}', "another version", True),
        (b'{"format":"ds2api pool 0","pool":{}}', "another version", True),
        (b'{"format":"ds2api pool 1","pool":{"a":"\xff"}}', "cannot be read", True),
        (b"[" * 100_000, "another program wrote it", False),
        (b'{"my": "thesis"}', "another program wrote it", False),
        (b"\x00" * 100, "another program wrote it", False),
    ],
)
def test_a_file_that_cannot_be_used_is_told_once_and_a_foreign_one_is_left_alone(
    data: bytes, words: str, is_ours: bool, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    file, notes = kept_by(path)
    assert file.read() == {}
    assert len(notes) == 1
    assert words in notes[0]
    assert str(path) in notes[0]
    asyncio.run(kept_once(file, {"new": 1}))
    assert (path.read_bytes() == data) == (not is_ours)
    assert len(notes) == 1


def walked(state: dict[str, Any]) -> Slices[dict[str, Any]]:
    yield
    return state


async def kept_once(file: StateFile, state: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    stopped.set()
    await file.keep(lambda: walked(state), stopped)


def test_a_huge_file_and_a_device_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(10**10)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for one, words in (
        (path, "10,000,000,000 bytes"),
        (tmp_path / "folder", "no regular"),
        (tmp_path / "pipe", "no re"),
    ):
        kept, notes = kept_by(one)
        assert kept.read() == {}
        assert words in notes[0]


def test_where_nothing_can_be_written_it_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    file, notes = kept_by(tmp_path / "file" / "state.json")
    file.read()
    turn = 0

    async def keep() -> None:
        stopped = asyncio.Event()

        def snapshot() -> Slices[dict[str, Any]]:
            nonlocal turn
            turn += 1
            if turn == 3:
                stopped.set()
            return walked({"turn": turn})

        await file.keep(snapshot, stopped, every_s=0.0)

    asyncio.run(keep())
    assert turn == 4
    assert len([note for note in notes if "cannot be written" in note]) == 1


def refuse_a(received: Received) -> Reply:
    if received.key == upstream_key("a"):
        return chat_error(401, "Incorrect API key provided", code="invalid_api_key")
    return serve(received)


def test_a_restart_asks_no_dead_key_again(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with mock_upstream(refuse_a) as mock:
        kept = {"refused_key_s": 0.001, "state_file": str(path)}
        settings = table({"p": provider(mock.url, "chat", "a", "b")}, pool=kept)

        def of_a() -> int:
            return [received.key for received in mock.received].count(upstream_key("a"))

        with gateway_for(settings) as gateway:
            account = gateway.account("p/a")
            number = 0
            while account.health != "dead":
                number += 1
                gateway.wait_until(
                    lambda: account.out_until < gateway.gateway.house.now() or account.health == "dead", "rest"
                )
                ask(gateway.port, f"Hello {number}")
        assert of_a() == 2
        document = json.loads(path.read_bytes())
        assert document["format"] == "ds2api pool 1"
        assert_no_key(path.read_text(), "the state file")
        with gateway_for(settings) as gateway:
            assert gateway.account("p/a").health == "dead"
            for number in range(8):
                ask(gateway.port, f"Again {number}")
            gateway.wait_until(lambda: gateway.gateway.house.admission.pool.in_flight == 0, "the answers end")
        assert of_a() == 2


def test_a_broken_state_stops_no_start(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b'{"format":"ds2api pool 1","pool":{"accounts":[1,null,{"id":3}],"groups":"x","wall_s":"y"}}')
    with mock_upstream(serve) as mock:
        settings = table({"p": provider(mock.url, "chat")}, pool={"state_file": str(path)})
        with gateway_for(settings) as gateway:
            assert ask(gateway.port, "Hello") == 200
            assert "state file" in gateway.log()


def test_nothing_is_written_unless_asked(tmp_path: Path) -> None:
    with mock_upstream(serve) as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        assert gateway.gateway.config.state_path is None
        assert ask(gateway.port, "Hello") == 200


def ask(port: int, text: str) -> int:
    body = json.dumps({**HELLO, "messages": [{"role": "user", "content": text}]}).encode()
    answer = exchange(port, "POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    return answer.status
