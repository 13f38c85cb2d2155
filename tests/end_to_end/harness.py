"""Runs a gateway, its demo upstream or a mock, on a loop of their own in a thread, so that sync and async SDKs can
talk to them through real sockets. Everything listens on free loopback ports: tests may run side by side."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import Any, TypeVar

from tests.end_to_end.keys import assert_no_key

import ds2api
from ds2api.accounts.account import Account
from ds2api.demo import DemoUpstream, demo_table

T = TypeVar("T")


class Thread:
    """A loop in a thread. `enter` enters async context managers there, `run` runs a coroutine there."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self.loop = loop_factory()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()

    def run(self, coroutine: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await coroutine

        return asyncio.run_coroutine_threadsafe(wrapped(), self.loop).result(timeout=60)

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        return self.run(self._stack.enter_async_context(manager))

    def close(self) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout=30)
            self.loop.close()


class Running:
    """A gateway that serves. `log()` is what it has logged so far."""

    def __init__(self, thread: Thread, gateway: ds2api.Gateway, stream: io.StringIO) -> None:
        self.thread = thread
        self.gateway = gateway
        self.stream = stream

    @property
    def url(self) -> str:
        return self.gateway.url

    def log(self) -> str:
        self.thread.run(_flush(self.gateway))
        return self.stream.getvalue()

    def leases(self) -> int:
        """How many accounts are in use at this moment."""
        return self.thread.run(_in_flight(self.gateway))

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def account(self, account_id: str) -> Account:
        """The account as the pool knows it. To look at only."""
        return self.gateway.house.admission.pool.account(account_id)

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` on the gateway's loop."""
        return self.thread.run(_called(function))

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Until `holds`, asked on the gateway's loop in each of its turns. Bounded."""
        self.thread.run(_until(holds, what))


async def _called(function: Callable[[], T]) -> T:
    return function()


async def _until(holds: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)
    assert holds(), what


async def _flush(gateway: ds2api.Gateway) -> None:
    await asyncio.sleep(0)
    gateway.house.log.flush()


async def _in_flight(gateway: ds2api.Gateway) -> int:
    return gateway.house.admission.pool.in_flight


@contextmanager
def gateway_for(
    table: dict[str, Any], *, environment: dict[str, str] | None = None, **options: Any
) -> Iterator[Running]:
    """A gateway with the configuration `table`, on a free port unless it says otherwise. Whatever it does, no key may
    stand in its log."""
    thread = Thread()
    stream = io.StringIO()
    config = ds2api.from_mapping({"listen": "127.0.0.1:0", **table}, environment or {})
    try:
        gateway = thread.enter(ds2api.Gateway(config, log_stream=stream, grace_s=2.0, environment={}, **options))
        yield Running(thread, gateway, stream)
    finally:
        thread.close()
    assert_no_key(stream.getvalue(), "the access log")


@contextmanager
def demo_gateway(pace_s: float = 0.0, **more: Any) -> Iterator[Running]:
    """A gateway in front of the demo upstream."""
    thread = Thread()
    try:
        upstream = thread.enter(DemoUpstream(pace_s))
        with gateway_for({**demo_table(upstream.base_url), **more}) as running:
            yield running
    finally:
        thread.close()
