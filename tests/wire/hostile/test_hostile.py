"""The hostile table against a whole gateway on real sockets: each row in one piece and a byte at a time.

`python -m tests.wire.hostile` prints the same table beside nginx's result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.end_to_end.harness import Thread
from tests.wire.hostile.house import gateway
from tests.wire.hostile.referee import Recorder, Seen, faults, play
from tests.wire.hostile.rows import Row, pass_on, post, refused, served
from tests.wire.hostile.table import TABLE

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

Table = tuple[Thread, Recorder, tuple[str, int], tuple[str, int]]


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    thread = Thread(new_event_loop)
    try:
        recorder = thread.enter(Recorder())
        patient, hasty = (thread.enter(gateway(recorder, is_hasty=is_hasty)) for is_hasty in (False, True))
        yield thread, recorder, patient, hasty
    finally:
        thread.close()


@pytest.mark.parametrize("row", TABLE, ids=[f"{row.kind}: {row.name}"[:70] for row in TABLE])
def test_each_row_has_a_right_outcome(table: Table, row: Row) -> None:
    thread, recorder, patient, hasty = table
    for by_bytes in (False,) if row.is_slow else (False, True):
        seen = thread.run(play(row, hasty if row.is_slow else patient, recorder, by_bytes=by_bytes))
        assert faults(row, seen) == [], f"{row.section}: {seen}"


def test_the_table_is_as_large_as_it_is_said_to_be() -> None:
    assert len(TABLE) >= 700
    assert len({(row.kind, row.name) for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        (refused("r", "", b""), Seen([200], canary=True)),
        (refused("r", "", b""), Seen([400], canary=True)),
        (refused("r", "", b""), Seen([400, 200], closed=True)),
        (refused("r", "", b""), Seen([], closed=True)),
        (served("s", "", b""), Seen([200], canary=True)),
        (served("s", "", b""), Seen([400], closed=True)),
    ],
)
def test_the_referee_sees_a_wrong_outcome(row: Row, seen: Seen) -> None:
    assert faults(row, seen)


async def _naive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers each head it sees and takes no notice of bodies: it falls for every smuggler."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def test_the_canary_finds_a_hidden_request() -> None:
    async def story() -> list[str]:
        server = await asyncio.start_server(_naive, "127.0.0.1", 0)
        async with server, Recorder() as recorder:
            row = served("hidden", "", post(body=pass_on("/hidden")), pass_on("/hidden"))
            return faults(row, await play(row, server.sockets[0].getsockname()[:2], recorder))

    assert asyncio.run(story())
