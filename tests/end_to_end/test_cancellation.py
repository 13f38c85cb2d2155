"""An exchange is ended at every point where it can be: at each of its suspensions and at each event of its streams.

A normal run is traced first; whatever it does is counted, and each count is a case. At that point the exchange's task is
cancelled, its client leaves, or its upstream breaks. Afterwards nothing may be left of it: no lease, nobody in line, no
upstream connection in use, no task, no buffer; its ending stands in the log once; and the next request is served.

`pytest tests/end_to_end/test_cancellation.py -s` prints how many cases there were.
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
import struct
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import coroutine
from typing import Any

import pytest
from tests.end_to_end import mock as mocks
from tests.end_to_end.answers import chat_error, serve
from tests.end_to_end.mock import Mock, Received, Reply, dialect_of
from tests.end_to_end.raw import post_bytes
from tests.end_to_end.tables import provider, table

import ds2api

MESSAGES = [{"role": "user", "content": "Hello"}]
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "count": "/v1/messages/count_tokens",
    "embed": "/v1/embeddings",
}
BOUND_S = 20


@dataclass(frozen=True)
class Scenario:
    """`streams`: what the upstream does, whatever was asked, if not None. `fails`: the first answer is a 500.
    `in_line`: another request has the only place at first."""

    client: str
    upstream: str
    stream: bool = False
    streams: bool | None = None
    fails: bool = False
    in_line: bool = False

    @property
    def request(self) -> bytes:
        body: dict[str, Any] = {"model": "m", "messages": MESSAGES}
        if self.client == "embed":
            body = {"model": "m", "input": "Hello"}
        elif self.client != "count":
            body |= {"max_tokens": 99, "stream": self.stream}
        return post_bytes(PATHS[self.client], body)


SCENARIOS = {
    "relayed stream": Scenario("chat", "chat", stream=True),
    "relayed answer": Scenario("messages", "messages"),
    "translated stream": Scenario("messages", "chat", stream=True),
    "translated answer": Scenario("chat", "messages"),
    "gathered": Scenario("chat", "messages", streams=True),
    "played": Scenario("messages", "chat", stream=True, streams=False),
    "tried again": Scenario("chat", "messages", stream=True, fails=True),
    "stood in line": Scenario("chat", "chat", stream=True, in_line=True),
    "tokens counted": Scenario("count", "messages"),
    "embedded": Scenario("embed", "chat"),
}
LEAVING = b"HTTP/1.1 200"


@dataclass
class Tracer:
    """Counts what the exchange in hand does, by kind; at the `wanted` one it calls `act`."""

    wanted: tuple[str, int] | None = None
    act: Callable[[], None] = lambda: None
    counts: dict[str, int] = field(default_factory=dict)
    is_on: bool = False

    def begin(self, wanted: tuple[str, int] | None, act: Callable[[], None]) -> None:
        self.wanted, self.act, self.counts, self.is_on = wanted, act, {}, True

    def saw(self, kind: str) -> None:
        if not self.is_on:
            return
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if (kind, self.counts[kind]) == self.wanted:
            self.act()

    def make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        """The task factory: the tasks of the server's connections are watched."""
        if self.is_on and getattr(work, "__qualname__", "") == "Server._serve":
            self.is_on = True
            work = self._watched(work)
        return asyncio.Task(work, loop=loop, **options)

    async def _watched(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await self._steps(work)  # a task of 3.12 takes no generator

    @coroutine
    def _steps(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        send: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        while True:
            try:
                awaited = send()
            except StopIteration as end:
                return end.value
            self.saw("suspension")
            try:
                yield awaited
                send = lambda: work.send(None)  # noqa: E731
            except BaseException as error:
                send = lambda error=error: work.throw(error)  # type: ignore[misc]  # noqa: E731


class Client(asyncio.Protocol):
    """Sends the request, counts what comes, and ends when the answer does."""

    def __init__(self, tracer: Tracer, request: bytes) -> None:
        self._tracer = tracer
        self._request = request
        self.data = b""
        self.gone = asyncio.get_running_loop().create_future()
        self.complete = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._leaves_early = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)
        if self._leaves_early:
            self.reset()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._tracer.saw("read")
        head, mark, body = self.data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        is_complete = len(body) >= int(lengths[0].split(b":")[1]) if lengths else body.endswith(b"0\r\n\r\n")
        if mark and is_complete and not self.complete.done():
            self.complete.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def reset(self) -> None:
        """Leave as a killed process does."""
        if self.transport is None:
            self._leaves_early = True
            return
        own = self.transport.get_extra_info("socket")
        if own is not None and own.fileno() >= 0:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Bench:
    """A gateway, its upstream and the tracer, on one loop."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tracer = Tracer()
        self.log = io.StringIO()
        self.mock = Mock(self._reply)
        self.gateway: ds2api.Gateway
        self._is_first = True
        self._blocker = asyncio.Event()

    def _reply(self, received: Received) -> Reply:
        if self.scenario.fails and self._is_first and received.target.endswith("/messages"):
            self._is_first = False
            return chat_error(500)
        if received.target.endswith("/count_tokens"):
            return Reply.json({"input_tokens": 11})
        if received.target.endswith("/embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            return Reply.json({"object": "list", "data": [vector], "model": "m", "usage": usage})
        if self.scenario.streams is not None:
            body = json.dumps(received.json | {"stream": self.scenario.streams}).encode()
            received = Received(0, 0, "POST", received.target, [], body)
            assert dialect_of(received.target)
        return serve(received)

    async def run(self, wanted: tuple[str, int] | None, how: str) -> Client:
        """One exchange, ended at `wanted` (None: by itself) by `how`."""
        loop = asyncio.get_running_loop()
        self._is_first = True
        port = int(self.gateway.url.rpartition(":")[2])
        pool = self.gateway.house.admission.pool
        blocker = None
        if self.scenario.in_line:
            blocker = pool.acquire(_ask(), self.gateway.house.admission.now())
            assert hasattr(blocker, "account")
        holder: list[Client] = []

        def act() -> None:
            if how == "cancel":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            elif how == "reset":
                for writer in list(self.mock._writers):
                    writer.transport.abort()
            elif holder:
                holder[0].reset()

        self.tracer.begin(wanted, act)

        def made() -> Client:
            holder.append(Client(self.tracer, self.scenario.request))
            return holder[0]

        _, client = await loop.create_connection(made, "127.0.0.1", port)
        if blocker is not None:
            await _until(lambda: pool.waiting > 0 or client.gone.done(), "it does not stand in line")
            self.gateway.house.admission.give_back(blocker)  # type: ignore[arg-type]
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait({client.gone, client.complete}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        self.tracer.is_on = False
        client.reset()
        await self.is_clean()
        return client

    async def is_clean(self) -> None:
        house, server = self.gateway.house, self.gateway._server
        assert server is not None
        pool = house.admission.pool
        await _until(lambda: server.statistics().connections == 0, "a connection is left")
        await _until(lambda: pool.in_flight == 0 and pool.waiting == 0, "a lease or a ticket is left")

        def unused() -> bool:
            statistics = house.client.statistics()
            return statistics.open == statistics.idle

        await _until(unused, "an upstream connection is in use")
        statistics = server.statistics()
        assert (statistics.exchanges, statistics.read_buffer_bytes, statistics.write_buffer_bytes) == (0, 0, 0)

    def endings(self) -> list[str]:
        """Of all exchanges so far, in the log."""
        self.gateway.house.log.flush()
        lines = [json.loads(line) for line in self.log.getvalue().splitlines() if line.startswith("{")]
        return [line["ending"] for line in lines if "ending" in line]


def _ask() -> Any:
    from ds2api.accounts import Ask, Candidate

    return Ask([Candidate("p", "m")], 1e12)


async def _until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(BOUND_S):
            while not holds():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(what) from None


async def _every_case(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> int:
    bench = Bench(scenario)
    loop = asyncio.get_running_loop()
    written = mocks._Connection._write

    async def write(self: Any, data: bytes | None, received: Received) -> None:
        await written(self, data, received)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the gateway reads it alone
        bench.tracer.saw("upstream event")

    monkeypatch.setattr(mocks._Connection, "_write", write)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bench.mock)
        rows = {"p": provider(bench.mock.url, scenario.upstream, "ab" if scenario.fails else "a")}
        if scenario.in_line:
            rows["p"]["accounts"][0]["concurrency"] = 1
        config = {
            "listen": "127.0.0.1:0",
            "log": "json",
            **table(rows),
            "retries": {"patience_s": BOUND_S, "pause_first_s": 0.001},
        }
        config["pool"] = {"circuit_failures": 100, "retry_share": 5.0}  # so many faults are no outage here
        gateway = ds2api.Gateway(ds2api.from_mapping(config, {}), log_stream=bench.log, grace_s=2.0, environment={})
        bench.gateway = await stack.enter_async_context(gateway)
        loop.set_task_factory(bench.tracer.make_task)  # type: ignore[arg-type]
        stack.callback(loop.set_task_factory, None)
        normal = await bench.run(None, "")
        assert normal.data.startswith(LEAVING), normal.data
        again = await bench.run(None, "")
        counts = dict(bench.tracer.counts)
        assert counts["suspension"] >= 2 and counts["read"] >= 1 and counts["upstream event"] >= 2
        tasks = len(asyncio.all_tasks())
        cases = 0
        for kind, count in counts.items():
            for number in range(1, count + 1):
                for how in ("cancel", "leave", "reset") if kind == "suspension" else ("leave", "reset"):
                    before, served = len(bench.endings()), _served(bench)
                    await bench.run((kind, number), how)
                    begun = _served(bench) - served
                    endings = bench.endings()[before:]
                    at = f"{how} at {kind} {number} of {count}"
                    assert len(endings) == begun <= 1, f"{at}: {endings}"
                    assert all(endings), f"{at}: an ending without a word"
                    fine = await bench.run(None, "")
                    assert fine.data.startswith(LEAVING), f"after {at}: {fine.data!r}"
                    assert _without_ids(fine.data) == _without_ids(again.data), f"after {at}"
                    await _until(lambda: len(asyncio.all_tasks()) <= tasks, f"{at}: a task is left")
                    cases += 1
    return cases


def _served(bench: Bench) -> int:
    server = bench.gateway._server
    assert server is not None
    return server.statistics().served


def _without_ids(data: bytes) -> int:
    """The length of an answer's body: ids and times differ, but not in length."""
    return len(data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_exchange_may_end_at_each_of_its_points(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = asyncio.run(_every_case(SCENARIOS[name], monkeypatch))
    print(f"{name}: {cases} cases")
    assert cases >= 12
