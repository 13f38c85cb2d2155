"""From a name to a socket: the race of RFC 8305, with attempts that are played."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from tests.wire.helpers import within

from ds2api.wire import addresses
from ds2api.wire.addresses import connect_first, interleave, resolve

V4, V6 = socket.AF_INET, socket.AF_INET6


def test_families_take_turns_in_the_order_of_the_resolver() -> None:
    mixed = interleave([(V6, 1), (V6, 2), (V6, 3), (V4, 4), (V4, 5)])
    assert [address[1] for address in mixed] == [1, 4, 2, 5, 3]
    assert interleave([]) == []


async def test_a_literal_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    class Loop:
        def getaddrinfo(self, *_: object, **__: object) -> None:
            raise AssertionError("looked up")

    monkeypatch.setattr(addresses.asyncio, "get_running_loop", Loop)
    assert await resolve("127.0.0.1", 80) == [(V4, ("127.0.0.1", 80))]
    assert (await resolve("::1", 80))[0][0] is V6
    monkeypatch.undo()
    assert asyncio.get_running_loop() is loop


async def test_a_name_is_looked_up() -> None:
    found = await resolve("localhost", 80)
    assert found
    assert {address[1][1] for address in found} == {80}


class Attempts:
    """Plays `_connect`: what becomes of each address, and which sockets were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **plan: Any) -> None:
        self.plan = plan
        self.started: list[str] = []
        self.made: dict[str, socket.socket] = {}
        self.cancelled: list[str] = []
        monkeypatch.setattr(addresses, "_connect", self.connect)

    async def connect(self, address: tuple[Any, str]) -> socket.socket:
        name = address[1]
        self.started.append(name)
        outcome = self.plan[name]
        try:
            if outcome == "hang":
                await asyncio.get_running_loop().create_future()
            if isinstance(outcome, Exception):
                raise outcome
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        self.made[name] = socket.socket()
        return self.made[name]

    async def run(self, *names: str) -> str:
        async with within():
            winner = await connect_first([(V4, name) for name in names], stagger_s=0.01)
        try:
            return next(name for name, made in self.made.items() if made is winner)
        finally:
            winner.close()


async def test_the_first_wins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, a="works", b="works")
    assert await attempts.run("a", "b") == "a"
    assert attempts.started == ["a"]


async def test_a_failure_starts_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, a=OSError("refused"), b="works", c="works")
    assert await attempts.run("a", "b", "c") == "b"
    assert attempts.started == ["a", "b"]


async def test_a_hanging_attempt_is_overtaken_and_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, a="hang", b="hang", c="works")
    assert await attempts.run("a", "b", "c") == "c"
    await asyncio.sleep(0)
    assert attempts.cancelled == ["a", "b"]


async def test_if_all_fail_the_first_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, a=OSError("first"), b=OSError("second"))
    with pytest.raises(OSError, match="first"):
        await attempts.run("a", "b")
    with pytest.raises(OSError, match="no address"):
        await attempts.run()


async def test_cancelling_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, a="hang", b="hang")
    task = asyncio.ensure_future(attempts.run("a", "b"))
    async with within():
        while len(attempts.started) < 2:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await asyncio.sleep(0)
    assert sorted(attempts.cancelled) == ["a", "b"]


async def test_what_a_loser_reached_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connect in the same turn of the loop: the preferred one is given, the other closed."""
    gate = asyncio.Event()
    made: dict[str, socket.socket] = {}

    async def connect(address: tuple[Any, str]) -> socket.socket:
        await gate.wait()
        made[address[1]] = socket.socket()
        return made[address[1]]

    monkeypatch.setattr(addresses, "_connect", connect)
    task = asyncio.ensure_future(connect_first([(V4, "a"), (V4, "b")], stagger_s=0.001))
    async with within():
        await asyncio.sleep(0.01)
        gate.set()
        winner = await task
        assert winner is made["a"]
        while made["b"].fileno() >= 0:
            await asyncio.sleep(0)
    winner.close()


async def test_over_loopback() -> None:
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    where = listening.sockets[0].getsockname()
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses
    connected = await connect_first([(V4, closed.getsockname()), (V4, where)])
    assert connected.getpeername() == where
    connected.close()
    with pytest.raises(ConnectionRefusedError):
        await connect_first([(V4, closed.getsockname())])
    closed.close()
    listening.close()
