"""What the gateway holds and how it bears what is large or slow: memory, start, a large body, a slow reader.

    python3 tools/dev.py bench --limits

Needs no compiler: mock and clients are in this process, the gateway in one of its own. Memory is what the kernel calls
resident (`VmRSS`, and its highest, `VmHWM`).
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench import counts
from bench.processes import free_port
from bench.ratio import started

__all__ = ["measure_all"]

_ROOT = Path(__file__).parent.parent
_MB = 1_000_000
_STREAMS = 2_000
_MANY_STREAMS = 9_000  # as many as 20,000 descriptors allow: two each, here and there
_MANY_STREAMS = 9_000  # as many as 20,000 descriptors allow: two each, here and there
_IMAGE_BYTES = 10 * _MB
_ANSWER_BYTES = 50 * _MB
_CHUNK = b"%x\r\n%b\r\n" % (64 * 1024, b"x" * (64 * 1024))


class _Endless(counts.Mock):
    """Answers a request for files with a body of `_ANSWER_BYTES`, at the pace of whoever reads."""

    sent = 0
    room: asyncio.Event

    def data_received(self, data: bytes) -> None:
        if b"/files" not in data:  # the gateway asks for models of its own accord
            super().data_received(data)
            return
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(head)
        self.room = asyncio.Event()
        self.room.set()
        self.sending = asyncio.ensure_future(self._send())

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    async def _send(self) -> None:
        while _Endless.sent < _ANSWER_BYTES:
            await self.room.wait()
            self.transport.write(_CHUNK)
            _Endless.sent += len(_CHUNK)
            await asyncio.sleep(0)


def measure_all() -> dict[str, float]:
    """Every figure by its name, as it is printed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        found = asyncio.run(_memory(_STREAMS))
        if hard > 2 * _MANY_STREAMS + 100:
            many = asyncio.run(_memory(_MANY_STREAMS))
            each = many[f"one open quiet stream, of {_MANY_STREAMS:,} (KB)"]
            total = many["idle memory (MB)"] + each * _MANY_STREAMS / 1000
            found[f"the whole gateway with {_MANY_STREAMS:,} open quiet streams (MB)"] = total
        found |= asyncio.run(_slow_reader())
        for upstream in ("chat", "messages"):
            found |= asyncio.run(_large_body(upstream))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found["second start to first answer, from the source (s)"] = _second_start([sys.executable, "-m", "ds2api"])
    zipapp = _ROOT / "dist" / "ds2api.pyz"
    if zipapp.exists():
        found["second start to first answer, zipapp (s)"] = _second_start([sys.executable, str(zipapp)])
    return found


@contextmanager
def _resident(pid: int, word: str) -> Iterator[list[float]]:
    """How much `VmRSS` or `VmHWM` has grown since, in bytes."""
    before, grown = _kernel_bytes(pid, word), [0.0]
    yield grown
    grown[0] = _kernel_bytes(pid, word) - before


def _kernel_bytes(pid: int, word: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition(f"{word}:")[2].split()[0]) * 1024


async def _memory(streams: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    counts.Mock.kind, counts.Mock.began = "stream", asyncio.Event()
    mock = await loop.create_server(counts.Mock, "127.0.0.1", 0, backlog=4096)
    clients: list[Any] = []
    with started(mock.sockets[0].getsockname()[1], is_floor=False) as (pid, port):
        found = {"idle memory (MB)": _kernel_bytes(pid, "VmRSS") / _MB}
        request = counts.request_of("chat", "messages-m", streams=True)
        with _resident(pid, "VmRSS") as grown:
            for _ in range(streams):
                _, client = await loop.create_connection(counts.Client, "127.0.0.1", port)
                client.transport.write(request)
                await counts.Mock.began.wait()
                counts.Mock.began.clear()
                assert counts.Mock.streaming is not None
                for _ in range(4):  # its first words; then it is quiet
                    counts.Mock.streaming.more()
                await client.wait(lambda data: b"word number 1" in data)
                clients.append(client)
        found[f"one open quiet stream, of {streams:,} (KB)"] = grown[0] / streams / 1000
        for client in clients:
            client.transport.close()
    mock.close()
    return found


class _Patient(counts.Mock):
    """Keeps the pieces of a large request apart until it is whole, so that it holds up nobody's loop itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.came = bytearray()

    def data_received(self, data: bytes) -> None:
        self.came += data
        end = self.came.find(b"\r\n\r\n", 0, 8192) + 4
        head = bytes(self.came[:end])
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if end > 3 and len(self.came) >= end + length:
            self.came.clear()
            super().data_received(head.partition(b"\r\n")[0] + b"\r\n\r\n")


async def _large_body(upstream: str) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    mock = await loop.create_server(_Patient, "127.0.0.1", 0)
    with started(mock.sockets[0].getsockname()[1], is_floor=False) as (pid, port):
        _, client = await loop.create_connection(counts.Client, "127.0.0.1", port)
        _, other = await loop.create_connection(counts.Client, "127.0.0.1", port)
        small = counts.request_of("chat", "chat-m", streams=False)
        image = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,' + b"A" * _IMAGE_BYTES + b'"}}'
        body = counts.body_of("chat", f"{upstream}-m", streams=False).replace(
            b'"Question number 1"', b"[" + image + b"]"
        )
        head = small.partition(b"\r\n\r\n")[0].partition(b"content-length: ")[0]
        pauses: list[float] = []

        async def ask() -> None:
            while True:
                began_at = time.perf_counter()
                await counts.exchange(other, small, streams=False, on_event=lambda number: None)
                pauses.append(time.perf_counter() - began_at)

        await counts.exchange(client, small, streams=False, on_event=lambda number: None)
        with _resident(pid, "VmHWM") as grown:
            asking = loop.create_task(ask())
            request = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
            await counts.exchange(client, request, streams=False, on_event=lambda number: None)
            asking.cancel()
        for one in (client, other):
            one.transport.close()
    mock.close()
    usual = sorted(pauses)[len(pauses) // 2]
    way = "relayed" if upstream == "chat" else f"for {upstream}"
    return {
        f"memory for an image of 10 MB, {way} (times its size)": grown[0] / _IMAGE_BYTES,
        f"longest wait of a small request beside it, {way} (ms over the usual)": (max(pauses) - usual) * 1000,
    }


async def _slow_reader() -> dict[str, float]:
    loop = asyncio.get_running_loop()
    mock = await loop.create_server(_Endless, "127.0.0.1", 0)
    with started(mock.sockets[0].getsockname()[1], is_floor=False) as (pid, port):
        _, client = await loop.create_connection(counts.Client, "127.0.0.1", port)
        with _resident(pid, "VmHWM") as grown:
            request = b"GET /providers/upchat/v1/files HTTP/1.1\r\nhost: h\r\nauthorization: Bearer %b\r\n\r\n"
            client.transport.write(request % counts.KEY.encode())
            await client.wait(lambda data: len(data) > 100_000)
            client.transport.pause_reading()
            sent = -1
            while sent != _Endless.sent:  # until nothing moves any more
                sent = _Endless.sent
                await asyncio.sleep(0.5)
        client.transport.close()
    mock.close()
    return {
        "memory for a reader who has stopped in an answer of 50 MB (MB)": grown[0] / _MB,
        "taken from the provider by then, mostly into the kernel's buffers (MB)": sent / _MB,
    }


def _second_start(command: list[str]) -> float:
    """From the start of the process to its first answer, the median of five; the first start, which makes caches, is
    not counted."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(_ROOT / "src"), "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(6):
            port = free_port()
            began_at = time.perf_counter()
            process = subprocess.Popen(
                [*command, "serve", "--demo", "--port", str(port)],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                times.append(asyncio.run(_until_answered(port)) - began_at)
            finally:
                process.terminate()
                process.wait(10)
    return median(times[1:])


async def _until_answered(port: int) -> float:
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.002)
                continue
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
            if await reader.read(12) == b"HTTP/1.1 200":
                writer.close()
                return time.perf_counter()
