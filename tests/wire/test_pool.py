"""The pool's invariants, over random histories of takes, returns, ends and closings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ds2api.wire.errors import LocalError
from ds2api.wire.pool import Pool
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.upstream import Origin
from ds2api.wire.upstream_connection import UpstreamConnection, UpstreamState

ORIGINS = (Origin("http", "a", 80), Origin("http", "b", 80))
IDLE_COUNT = 3


class FakeTransport:
    """A transport that notes what is done to it; the loop's part is played by hand."""

    def __init__(self) -> None:
        self.closing = False
        self.written = b""

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    close = abort

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None


class FakeWheel:
    """Deadlines that the history fires."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def after(self, seconds: float, callback: Any) -> Any:
        class Deadline:
            is_pending = True
            is_held = False
            seconds = 1.0

            def fire(self) -> None:
                if self.is_pending and not self.is_held:
                    self.is_pending = False
                    callback()

            def hold(self) -> None:
                self.is_held = True

            def restart(self, seconds: float) -> None:
                self.is_held = False

            def cancel(self) -> None:
                self.is_pending = False

        return Deadline()


def new_connection(pool: Pool, origin: Origin) -> UpstreamConnection:
    wheel: Any = FakeWheel()
    transport: Any = FakeTransport()
    connection = UpstreamConnection(origin, pool, wheel, Limits(), Timeouts())
    connection.connection_made(transport)
    return connection


class Histories(RuleBasedStateMachine):
    """Each step is something that the world does; after each the invariants hold."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(IDLE_COUNT)
        self.held: list[UpstreamConnection] = []  # given to somebody, who alone may use or close them
        self.all: list[UpstreamConnection] = []
        self.lost: set[int] = set()  # whose connection_lost was called

    def idle(self) -> list[UpstreamConnection]:
        return [connection for connection in self.all if connection.state is UpstreamState.IDLE]

    @rule(origin=st.sampled_from(ORIGINS))
    def request(self, origin: Origin) -> None:
        connection = self.pool.take(origin)
        if connection is None:
            assert not [one for one in self.idle() if one.origin == origin], "an unused connection was overlooked"
            connection = new_connection(self.pool, origin)
            self.all.append(connection)
        assert connection not in self.held
        assert connection.origin == origin
        assert connection.state is UpstreamState.RESERVED
        self.held.append(connection)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), keeps=st.booleans(), rest=st.sampled_from([b"", b"x"]))
    def answer(self, data: st.DataObject, keeps: bool, rest: bytes) -> None:
        connection = data.draw(st.sampled_from(self.held))
        self.held.remove(connection)
        if connection.state is UpstreamState.CLOSED:
            return
        connection.state = UpstreamState.BODY
        connection._keep_alive = keeps
        connection.answer_complete(rest)
        assert (connection.state is UpstreamState.IDLE) is (keeps and not rest)

    @precondition(lambda self: self.idle())
    @rule(data=st.data(), how=st.sampled_from(["speak", "eof", "reset", "expire"]))
    def idle_ends(self, data: st.DataObject, how: str) -> None:
        connection = data.draw(st.sampled_from(self.idle()))
        if how == "speak":
            connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
        elif how == "eof":
            connection.eof_received()
        elif how == "reset":
            self.lose(connection, ConnectionResetError())
        else:
            deadline: Any = connection._deadline
            deadline.fire()
        assert connection.state is UpstreamState.CLOSED

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def holder_gives_up(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(self.held))
        self.held.remove(connection)
        connection.close()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def used_connection_ends(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(self.held))
        self.lose(connection, None)

    @rule()
    def loop_turns(self) -> None:
        for connection in self.all:
            transport: Any = connection._transport
            if transport.closing and id(connection) not in self.lost:
                self.lose(connection, None)

    def lose(self, connection: UpstreamConnection, error: Exception | None) -> None:
        if id(connection) not in self.lost:
            self.lost.add(id(connection))
            connection.connection_lost(error)

    @invariant()
    def nobody_is_closed_while_reserved(self) -> None:
        for connection in self.held:
            transport: Any = connection._transport
            if id(connection) not in self.lost:
                assert not transport.closing
                assert connection.state is UpstreamState.RESERVED

    @invariant()
    def what_is_idle_is_stacked_and_bounded(self) -> None:
        stacked = [connection for stack in self.pool._stacks.values() for connection in stack]
        assert sorted(map(id, stacked)) == sorted(map(id, self.idle()))
        for origin in ORIGINS:
            assert self.pool.idle_of(origin) <= IDLE_COUNT
        assert self.pool.idle_count == len(stacked)

    @invariant()
    def what_is_open_is_counted(self) -> None:
        assert self.pool.open_count == len(self.all) - len(self.lost)


TestHistories = Histories.TestCase
TestHistories.settings = settings(stateful_step_count=40)


def test_only_an_idle_connection_can_be_reserved() -> None:
    pool = Pool(1)
    connection = new_connection(pool, ORIGINS[0])
    with pytest.raises(LocalError, match="reserved"):
        connection.reserve()


async def test_a_request_cancelled_as_its_answer_comes_closes_nobody_elses_connection() -> None:
    """The complete answer has put the connection back, and in the same turn of the loop somebody else took it."""
    pool = Pool(1)
    connection = new_connection(pool, ORIGINS[0])
    task = asyncio.ensure_future(connection.exchange("GET", b"GET / HTTP/1.1\r\n\r\n", b"", 5))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert pool.take(ORIGINS[0]) is connection
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert connection.state is UpstreamState.RESERVED
    assert not connection._transport.is_closing()  # type: ignore[union-attr]


def test_a_closed_pool_takes_nothing_back() -> None:
    pool = Pool(1)
    connection = new_connection(pool, ORIGINS[0])
    connection.state = UpstreamState.BODY
    connection._keep_alive = True
    pool._closed = True
    connection.answer_complete(b"")
    assert connection.state is UpstreamState.CLOSED
    assert pool.take(ORIGINS[0]) is None


@pytest.mark.parametrize("state", list(UpstreamState))
@pytest.mark.parametrize("event", ["data", "eof", "lost", "close"])
def test_every_state_answers_every_event(state: UpstreamState, event: str) -> None:
    """Whatever comes, whenever: no exception, and a closed connection stays closed."""
    pool = Pool(1)
    connection = new_connection(pool, ORIGINS[0])
    if state is UpstreamState.IDLE:
        connection.state = UpstreamState.BODY
        connection._keep_alive = True
        connection.answer_complete(b"")
    elif state is UpstreamState.BODY:
        connection.state = UpstreamState.WAITING
        connection._method = "GET"
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
    elif state is UpstreamState.CLOSED:
        connection.close()
    else:
        connection.state = state
    assert connection.state is state
    if event == "data":
        connection.data_received(b"x")
    elif event == "eof":
        connection.eof_received()
    elif event == "lost":
        connection.connection_lost(None)
    else:
        connection.close()
    survives = event == "data" and state is UpstreamState.BODY
    survives = survives or (event == "data" and state is UpstreamState.WAITING)
    if not survives:
        assert connection.state is UpstreamState.CLOSED
