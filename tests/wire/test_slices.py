"""A large request leaves in slices, each in a turn of its own, and none while the line is full."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ds2api.wire.errors import Disconnected
from ds2api.wire.origin import Origin
from ds2api.wire.pool import Pool
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.timers import TimerWheel
from ds2api.wire.upstream_connection import UpstreamConnection

SLICE = 262_144
BODY = bytes(range(256)) * 4096  # four slices


class Line:
    """A transport that takes all and remembers it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        """Nothing to drop."""


async def begun() -> tuple[UpstreamConnection, Line, asyncio.Task[Any]]:
    loop, pool, line = asyncio.get_running_loop(), Pool(10), Line()
    connection = UpstreamConnection(Origin("http", "h", 1), pool, TimerWheel(loop), Limits(), Timeouts())
    connection.connection_made(line)  # type: ignore[arg-type]
    asking = loop.create_task(connection.exchange("POST", b"HEAD", BODY, 10.0))
    await asyncio.sleep(0)
    return connection, line, asking


async def test_a_slice_a_turn() -> None:
    connection, line, asking = await begun()
    assert line.writes == [b"HEAD", BODY[:SLICE]]
    for turn in range(2, 5):
        await asyncio.sleep(0)
        assert b"".join(line.writes[1:]) == BODY[: SLICE * turn]
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await asking
    assert connection.is_usable
    connection.close()


async def test_nothing_leaves_while_the_line_is_full() -> None:
    connection, line, asking = await begun()
    connection.pause_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(line.writes) == 2
    connection.resume_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    assert b"".join(line.writes[1:]) == BODY
    connection.close()
    with pytest.raises(Disconnected):
        await asking


async def test_who_answers_before_the_last_slice_gets_no_more_and_no_second_request() -> None:
    connection, line, asking = await begun()
    connection.pause_writing()
    connection.data_received(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
    assert (await asking).status == 413
    assert not connection.is_usable
    connection.resume_writing()
    assert len(line.writes) == 2


async def test_a_cut_between_two_slices_is_one_of_sending() -> None:
    connection, _, asking = await begun()
    connection.connection_lost(None)
    with pytest.raises(Disconnected) as caught:
        await asking
    assert caught.value.phase == "send"
