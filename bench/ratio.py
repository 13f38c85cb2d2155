"""The one guard that has to do with time: CPU of an event that comes alone, ours beside the floor's, and wide.

Gateway and floor are processes of their own; what sends to them and takes from them is this one, so no compiler is
needed. Scheduler statistics give the CPU time of each, so that a busy neighbour disturbs it little.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

import ds2api
from bench import counts
from bench.processes import free_port, wait_for

__all__ = ["FLOOR_HASH", "RATIO_MOST", "floor_hash", "measured", "started"]

# A floor that is made slower makes every ratio better: its source is frozen.
FLOOR_HASH = "b672cd59cd4ec3d4"
_FLOOR = Path(__file__).with_name("floor.py")
# Measured 2.2 to 2.4 (two cores, seven processes beside it); 2.8 to 3.1 before events went from frame to frame.
RATIO_MOST = 3.5
_STREAMS = 20


def floor_hash() -> str:
    return hashlib.sha256(_FLOOR.read_bytes()).hexdigest()[:16]


def measured() -> float:
    """How many times the floor's CPU ours takes for one relayed event in a stream of events that come one by one."""
    return asyncio.run(_measured())


async def _measured() -> float:
    loop = asyncio.get_running_loop()
    counts.Mock.kind, counts.Mock.began = "stream", asyncio.Event()
    mock = await loop.create_server(counts.Mock, "127.0.0.1", 0)
    upstream = mock.sockets[0].getsockname()[1]
    try:
        with started(upstream, is_floor=True) as (floor, floor_port), started(upstream, is_floor=False) as ours:
            return await _spent(*ours) / await _spent(floor, floor_port)
    finally:
        mock.close()


async def _spent(pid: int, port: int) -> float:
    _, client = await asyncio.get_running_loop().create_connection(counts.Client, "127.0.0.1", port)
    request = counts.request_of("chat", "chat-m", streams=True)
    before = 0.0
    async with asyncio.timeout(60):
        for number in range(_STREAMS + 1):
            if number == 1:  # the first is not counted
                before = _cpu_s(pid)
            client.data.clear()
            client.transport.write(request)
            await counts.Mock.began.wait()
            counts.Mock.began.clear()
            mock, counts.Mock.streaming = counts.Mock.streaming, None
            assert mock is not None
            mock.more()  # says nothing yet: the head waits for what does
            while not counts.is_whole(client.data):
                client.arrived.clear()
                mock.more()
                await client.arrived.wait()
    client.transport.close()
    return _cpu_s(pid) - before


def _cpu_s(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def started(upstream: int, *, is_floor: bool) -> Iterator[tuple[int, int]]:
    """The process id and port of a relay in front of `upstream`."""
    port = free_port()
    root = _FLOOR.parent.parent
    command = [str(_FLOOR)] if is_floor else ["-m", "bench.ratio"]
    process = subprocess.Popen(
        [sys.executable, *command, str(port), str(upstream)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root / "src")}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(port, process)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(10)


async def _serve(port: int, upstream: int) -> None:
    table = counts.config(upstream) | {"listen": f"127.0.0.1:{port}"}
    table["limits"] = {"connections_per_address_count": 16_384}  # all of them are one client's
    made = ds2api.from_mapping(table, counts.ENVIRONMENT)
    async with ds2api.Gateway(made, log_stream=io.StringIO(), environment={}):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:])))
