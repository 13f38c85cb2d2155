"""The library: a gateway inside somebody else's program, on whatever loop runs there."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import openai
import pytest
import uvloop

import ds2api
from ds2api.demo import DemoUpstream, demo_table

RUNNERS: dict[str, Callable[[Any], Any]] = {
    "asyncio": lambda main: asyncio.run(main()),
    "asyncio-debug": lambda main: asyncio.run(main(), debug=True),
    "uvloop": lambda main: uvloop.run(main()),
    "anyio": lambda main: anyio.run(main, backend="asyncio"),
    "anyio-uvloop": lambda main: anyio.run(main, backend="asyncio", backend_options={"use_uvloop": True}),
}
runners = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)


async def nothing_runs_on() -> None:
    """Nothing of the gateway is left in the host's loop, but for tasks that have been cancelled in this very turn."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - {asyncio.current_task()} == set()


async def hello(url: str) -> str:
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="demo-over-messages", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


@runners
def test_a_gateway_serves_inside_a_program(run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with DemoUpstream(0.0) as upstream:
            config = ds2api.from_mapping({"listen": "127.0.0.1:0", **demo_table(upstream.base_url)}, {})
            async with ds2api.Gateway(config, log_stream=io.StringIO()) as gateway:
                assert "Hello" in await hello(gateway.url)
                port = int(gateway.url.rpartition(":")[2])
            with pytest.raises(OSError, match=r"."):
                await asyncio.open_connection("127.0.0.1", port)
        await nothing_runs_on()

    run(main)
    gc.collect()


def test_inside_a_task_group_that_is_cancelled() -> None:
    async def main() -> None:
        log = io.StringIO()
        async with DemoUpstream(0.0) as upstream:
            config = ds2api.from_mapping({"listen": "127.0.0.1:0", **demo_table(upstream.base_url)}, {})
            started = anyio.Event()
            urls: list[str] = []

            async def serve() -> None:
                async with ds2api.Gateway(config, log_stream=log, grace_s=0.0) as gateway:
                    urls.append(gateway.url)
                    started.set()
                    await anyio.sleep_forever()

            async with anyio.create_task_group() as group:
                group.start_soon(serve)
                await started.wait()
                texts = [await hello(urls[0]) for _ in range(2)]
                group.cancel_scope.cancel()
            assert all("Hello" in text for text in texts)
            async with httpx2.AsyncClient() as client:
                with pytest.raises(httpx2.ConnectError):
                    await client.get(urls[0])

    anyio.run(main, backend="asyncio")


def test_two_gateways_in_one_program() -> None:
    async def main() -> None:
        async with DemoUpstream(0.0) as upstream:
            config = ds2api.from_mapping({"listen": "127.0.0.1:0", **demo_table(upstream.base_url)}, {})
            async with (
                ds2api.Gateway(config, log_stream=io.StringIO()) as one,
                ds2api.Gateway(config, log_stream=io.StringIO()) as two,
            ):
                assert one.url != two.url
                texts = await asyncio.gather(hello(one.url), hello(two.url))
                assert all("Hello" in text for text in texts)

    asyncio.run(main())


def test_an_address_that_is_taken_raises_and_leaves_nothing() -> None:
    async def main() -> None:
        async with DemoUpstream(0.0) as upstream:
            table = demo_table(upstream.base_url)
            async with ds2api.Gateway(
                ds2api.from_mapping({"listen": "127.0.0.1:0", **table}, {}), log_stream=io.StringIO()
            ) as first:
                taken = first.url.removeprefix("http://")
                second = ds2api.Gateway(
                    ds2api.from_mapping({"listen": ["127.0.0.1:0", taken], **table}, {}), log_stream=io.StringIO()
                )
                with pytest.raises(OSError, match=r"."):
                    await second.__aenter__()
                assert "Hello" in await hello(first.url)
        await nothing_runs_on()

    asyncio.run(main())


def test_reload_keeps_the_accounts_health_and_refuses_exposure() -> None:
    async def main() -> None:
        async with DemoUpstream(0.0) as upstream:
            table = {"listen": "127.0.0.1:0", **demo_table(upstream.base_url)}
            async with ds2api.Gateway(ds2api.from_mapping(table, {}), log_stream=io.StringIO()) as gateway:
                for _ in range(3):
                    await hello(gateway.url)
                account = gateway.house.admission.pool.account("demo-messages/plenty")
                served = account.served
                gateway.reload(ds2api.from_mapping({**table, "retries": {"max": 1}}, {}))
                assert gateway.house.retries.max == 1
                assert gateway.house.admission.pool.account("demo-messages/plenty").served == served > 0
                with pytest.raises(ds2api.ConfigError):
                    gateway.reload(ds2api.from_mapping({**table, "listen": "0.0.0.0:0"}, {}))
                assert "Hello" in await hello(gateway.url)

    asyncio.run(main())


def test_beyond_loopback_without_keys_is_refused() -> None:
    config = ds2api.from_mapping({"listen": "0.0.0.0:0", **demo_table("http://127.0.0.1:1/v1")}, {})
    with pytest.raises(ds2api.ConfigError, match="key"):
        ds2api.Gateway(config)
    ds2api.Gateway(config, is_open=True)
