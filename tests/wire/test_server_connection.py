"""The whole product of states and events of a client connection, and bytes at random: nothing is ever left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.helpers import echo, get, post, refuse

from ds2api.wire.server import Incoming, Server
from ds2api.wire.server_connection import ServerConnection, State
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.timers import Deadline, TimerWheel


class PlayedTransport:
    """A transport whose side of the story is told by the test."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closing = False
        self.aborted = False
        self.eof_written = False
        self.reading = True
        self.waiting_bytes = 0

    def write(self, data: bytes) -> None:
        assert not self.eof_written, "written behind the end"
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_written = True

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert high > low

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def get_extra_info(self, name: str) -> None:
        return None


class Played:
    """One connection, its task, its transport."""

    def __init__(self, handler: Any) -> None:
        self.server = Server(
            handler, refuse, limits=Limits(read_ahead_bytes=1_000, head_bytes=1_000), timeouts=Timeouts()
        )
        self.server.wheel = TimerWheel(asyncio.get_running_loop())
        self.transport = PlayedTransport()
        self.connection = ServerConnection(self.server, "http", "127.0.0.1")
        played: Any = self.transport
        self.connection.connection_made(played)
        self.task = asyncio.ensure_future(self.connection.run(handler))

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Whatever state it is in: once the transport is lost, all is over and nothing is left."""
        self.connection.connection_lost(None)
        await self.settle()
        assert self.task.done()
        assert self.task.cancelled() or self.task.exception() is None
        assert self.connection.state is State.CLOSED
        statistics = self.server.statistics()
        assert (statistics.connections, statistics.idle, statistics.exchanges) == (0, 0, 0)
        assert len(self.server.wheel) == 0


async def hold(incoming: Incoming) -> None:
    """Begins its answer and never ends it."""
    await incoming.read_body()
    incoming.start(200, [])
    incoming.write(b"part")
    await asyncio.get_running_loop().create_future()


async def brought_to(state: State) -> Played:
    played = Played(hold)
    await played.settle()
    connection = played.connection
    if state is State.HEAD:
        connection.data_received(b"GET / HT")
    elif state is State.EXCHANGE:
        connection.data_received(get())
    elif state is State.CLOSING:
        connection.data_received(b"nonsense\r\n\r\n")
    elif state is State.CLOSED:
        connection.connection_lost(None)
    await played.settle()
    assert connection.state is state
    return played


def fire(deadline: Deadline | None) -> None:
    """As the wheel does."""
    if deadline is not None and deadline._callback is not None:
        callback = deadline._callback
        deadline.cancel()
        callback()


def deadline_passes(connection: ServerConnection) -> None:
    fire(connection._deadline)


EVENTS: dict[str, Any] = {
    "a request": lambda connection: connection.data_received(get("/next")),
    "half a request": lambda connection: connection.data_received(b"POST /x HTTP/1.1\r\nHo"),
    "nonsense": lambda connection: connection.data_received(b"\x00\xff\r\n\r\n"),
    "a lot": lambda connection: connection.data_received(get() * 200),
    "eof": lambda connection: connection.eof_received(),
    "reset": lambda connection: connection.connection_lost(ConnectionResetError()),
    "pause": lambda connection: connection.pause_writing(),
    "resume": lambda connection: connection.resume_writing(),
    "deadline": deadline_passes,
    "cut off": lambda connection: connection.cut_off(),
    "close idle": lambda connection: connection.close_idle(),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
async def test_every_state_answers_every_event(state: State, event: Any) -> None:
    played = await brought_to(state)
    event(played.connection)
    await played.settle()
    if state is State.CLOSED:
        assert played.connection.state is State.CLOSED
    await played.end()


@pytest.mark.parametrize("second", EVENTS.values(), ids=EVENTS.keys())
@pytest.mark.parametrize("first", EVENTS.values(), ids=EVENTS.keys())
async def test_two_events_in_one_turn_of_the_loop(first: Any, second: Any) -> None:
    for state in (State.IDLE, State.EXCHANGE):
        played = await brought_to(state)
        first(played.connection)
        second(played.connection)
        await played.settle()
        await played.end()


PIECES = st.one_of(
    st.sampled_from([
        get("/a"), post("/b", b"body"), b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n", b"0\r\n\r\n", b"\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n", b"Host: h\r\n",
        b"Content-Length: 3\r\n", b"Expect: 100-continue\r\n",
    ]),
    st.binary(max_size=12),
)  # fmt: skip


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_bytes_at_random_leave_nothing_behind(pieces: list[bytes], ends: bool) -> None:
    async def story() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        played = Played(echo)
        for piece in pieces:
            if played.connection.state is not State.CLOSED:
                played.connection.data_received(piece)
            await asyncio.sleep(0)
        await played.settle()
        if ends:
            played.connection.eof_received()
        await played.end()
        assert not reported, reported

    asyncio.run(story())


async def test_reading_pauses_while_an_answer_is_made_and_goes_on_behind_it() -> None:
    may_end = asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        await may_end.wait()
        await echo(incoming)

    played = Played(handler)
    await played.settle()
    played.connection.data_received(get())
    played.connection.data_received(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n" + b"x" * 1_000)
    assert not played.transport.reading
    may_end.set()
    await played.settle()
    assert played.transport.reading
    played.connection.data_received(b"x" * 4_000)
    await played.settle()
    assert bytes(played.transport.written).endswith(b"x" * 5_000)
    await played.end()


async def test_what_waits_to_be_written_is_not_cut_by_the_linger() -> None:
    """A slow reader gets the rest of its last answer as long as it takes some of it."""

    async def handler(incoming: Incoming) -> None:
        incoming.respond(200, [], b"x" * 1_000)

    played = Played(handler)
    await played.settle()
    played.transport.waiting_bytes = 1_000
    played.connection.data_received(get("/", "Connection: close"))
    await played.settle()
    assert played.connection.state is State.CLOSING
    for waiting in (500, 100, 0):
        played.transport.waiting_bytes = waiting
        deadline_passes(played.connection)
        assert not played.transport.aborted
    deadline_passes(played.connection)
    assert played.transport.aborted
    await played.end()


async def test_a_reader_that_takes_nothing_is_cut_and_one_that_takes_little_is_not() -> None:
    played = await brought_to(State.EXCHANGE)
    played.transport.waiting_bytes = 1_000
    played.connection.pause_writing()
    for waiting in (900, 800):
        played.transport.waiting_bytes = waiting
        fire(played.connection._write_deadline)
        assert not played.transport.aborted
    fire(played.connection._write_deadline)
    assert played.transport.aborted
    await played.end()
