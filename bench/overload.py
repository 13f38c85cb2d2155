"""More than there is: what a gateway does with several times the load that its provider takes, or that it takes itself.

python3 tools/dev.py bench --overload            two tables, and bench/results/overload.html with the curves

*The provider's capacity*: a mock that admits so many requests a second for each key and refuses the rest, as providers
do. Requests come by the clock, whatever becomes of those before (an open load: clients of a slow gateway do not ask
less). *The gateway's own*: a mock without limits, and more and more of the same until its one core is busy, and beyond.
Python throughout: no compiler is needed, and the client costs about as much as what it asks, so the second table shows
the shape of the curve and not the gateway's limit (`dev.py bench` measures that).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import cast

from bench.processes import CALLER_KEY, free_port, wait_for
from ds2api.compare.plots import Axes, figure, page
from ds2api.event_loop import run_loop

__all__ = ["Step", "main", "through"]

KEYS, A_SECOND_EACH = 4, 50  # the provider takes 200 a second: a tenth of what the gateway can do
SHARES = (0.5, 0.9, 1.0, 2.0, 5.0)
RATES = (250, 500, 1000, 1500, 2000, 3000)
STEP_S, SETTLE_S = 8.0, 3.0
PATIENCE_S = 1.0
_ANSWER_S = 0.02
_BURST_S = 0.5
PAGE = Path(__file__).parent / "results" / "overload.html"
ADMIN_KEY = "ds2-bench-admin-key-0123456789"
_WHOLE = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
).encode()  # fmt: skip
_REFUSAL = json.dumps({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}})


class Provider(asyncio.Protocol):
    """One connection of a provider that admits `a_second` requests a second for each key (0: all)."""

    full_at: dict[bytes, float] = {}  # noqa: RUF012 - of all connections, as a provider's books are
    a_second = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (split := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:split].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r", 1)[0] or 0)
            if len(self._data) < split + 4 + length:
                return
            self._data = self._data[split + 4 + length :]
            wait_s = self._wait_s(head.partition(b"authorization:")[2].split(b"\r", 1)[0])
            if head.startswith(b"get"):
                self._answer(200, b'{"object":"list","data":[]}', "")
            elif wait_s > 0:
                self._answer(429, _REFUSAL.encode(), f"retry-after-ms: {int(wait_s * 1000) + 1}\r\n")
            else:
                asyncio.get_running_loop().call_later(_ANSWER_S, self._answer, 200, _WHOLE, "")

    def _wait_s(self, key: bytes) -> float:
        if not self.a_second:
            return 0.0
        now, unit_s = time.monotonic(), 1 / self.a_second
        full_at = max(self.full_at.get(key, 0.0), now) + unit_s
        if full_at > now + _BURST_S:
            return full_at - now - _BURST_S
        self.full_at[key] = full_at
        return 0.0

    def _answer(self, status: int, body: bytes, fields: str) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{fields}content-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


@dataclass
class Step:
    """What came of one rate. Seconds of whoever was served and of whoever was refused; the gateway's memory at the end;
    how long its admin endpoint took meanwhile, at most."""

    rate: float
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    served_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    honest: int = 0  # refusals that say when to come again
    rss_bytes: int = 0
    admin_s: float = 0.0

    @property
    def served_rate(self) -> float:
        return len(self.served_s) / (STEP_S - SETTLE_S)


class _Asking(asyncio.Protocol):
    """One connection of the client: a request at a time."""

    def __init__(self) -> None:
        self._data = b""
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, mark, body = self._data.partition(b"\r\n\r\n")
        if mark and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0]):
            self._data = b""
            assert self._waiter is not None
            self._waiter.set_result((int(head[9:12]), head))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((0, b""))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status (0: the connection is gone) and head."""
        if self._transport is None:
            return 0, b""
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def is_open(self) -> bool:
        return self._transport is not None


async def load(port: int, rate: float, pid: int) -> Step:
    """`rate` requests a second by the clock, for `STEP_S`; those of the first `SETTLE_S` are not counted."""
    loop, step = asyncio.get_running_loop(), Step(rate)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}).encode()
    fields = f"host: x\r\nauthorization: Bearer {CALLER_KEY}\r\ncontent-type: application/json\r\n"
    request = f"POST /v1/chat/completions HTTP/1.1\r\n{fields}content-length: {len(body)}\r\n\r\n".encode() + body
    free: list[_Asking] = []
    began = loop.time()

    async def once(at: float) -> None:
        connection = free.pop() if free else None
        if connection is None:
            try:
                _, connection = await loop.create_connection(_Asking, "127.0.0.1", port)
            except OSError:
                step.statuses[0] += at >= SETTLE_S
                return
        status, head = await connection.ask(request)
        took_s = loop.time() - began - at
        if connection.is_open:
            free.append(connection)
        if at >= SETTLE_S:
            step.sent += 1
            step.statuses[status] += 1
            (step.served_s if status == 200 else step.refused_s).append(took_s)
            step.honest += status != 200 and b"retry-after" in head.lower()

    async def watch() -> None:
        asked = f"GET /admin/pool HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode()
        while True:
            _, connection = await loop.create_connection(_Asking, "127.0.0.1", port)
            before = loop.time()
            status, _ = await connection.ask(asked)
            connection.close()
            assert status == 200, f"the admin endpoint answered {status}"
            step.admin_s = max(step.admin_s, loop.time() - before)
            await asyncio.sleep(0.5)

    watching = loop.create_task(watch())
    running: set[asyncio.Task[None]] = set()
    for number in range(int(rate * STEP_S)):
        at = number / rate
        if (pause_s := began + at - loop.time()) > 0:
            await asyncio.sleep(pause_s)
        task = loop.create_task(once(at))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)
    step.rss_bytes = _rss_bytes(pid)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    for connection in free:
        connection.close()
    return step


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def world(a_second: float) -> Iterator[tuple[int, int]]:
    """A provider and a gateway before it, each a process: the gateway's port and process id."""
    with tempfile.TemporaryDirectory(prefix="ds2api-overload-") as folder:
        upstream, port = free_port(), free_port()
        limit = f", rpm = {a_second * 60:g}" if a_second else ""
        accounts = ", ".join(
            f'{{ name = "a{number}", key_env = "BENCH_KEY_{number}"{limit} }}' for number in range(KEYS)
        )
        file = Path(folder, "ds2api.toml")
        file.write_text(
            f"""
[retries]
patience_s = {PATIENCE_S}
[limits]
connections_per_address_count = 10000
[providers.p]
dialects = ["chat"]
base_url = "http://127.0.0.1:{upstream}/v1"
accounts = [{accounts}]
[models]
"m" = "p/m"
[callers.bench]
key_env = "BENCH_CALLER"
[admin]
key_env = "BENCH_ADMIN"
"""
        )
        file.chmod(0o600)
        keys = {f"BENCH_KEY_{number}": f"sk-bench-{number}-0123456789abcdef" for number in range(KEYS)}
        own = {"BENCH_CALLER": CALLER_KEY, "BENCH_ADMIN": ADMIN_KEY, "XDG_STATE_HOME": folder}
        paths = os.pathsep.join((str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")))
        environment = {**os.environ, **keys, **own, "PYTHONPATH": paths}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
        commands = [
            [sys.executable, "-m", "bench.overload", str(upstream), str(a_second)],
            [sys.executable, "-m", "ds2api", "serve", "--config", str(file), "--port", str(port)],
        ]
        running = []
        try:
            for command, place in zip(commands, (upstream, port), strict=True):
                running.append(subprocess.Popen(command, **quiet))  # type: ignore[call-overload]
                wait_for(place, running[-1])
            yield port, running[-1].pid
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)


async def through(a_second: float, rates: Sequence[float]) -> list[Step]:
    """Each rate in turn through one gateway, in front of a provider that takes `a_second` of each key (0: all)."""
    steps = []
    with world(a_second) as (port, pid):
        for rate in rates:
            print(f"\r{rate:g} requests a second".ljust(60), end="", file=sys.stderr, flush=True)
            steps.append(await load(port, rate, pid))
    print("\r".ljust(61) + "\r", end="", file=sys.stderr)
    return steps


def main() -> int:
    capacity = KEYS * A_SECOND_EACH
    limited = run_loop(through(A_SECOND_EACH, [share * capacity for share in SHARES]))
    own = run_loop(through(0, RATES))
    print(f"The provider takes {capacity} a second ({KEYS} keys), clients wait {PATIENCE_S:g} s in line:\n")
    print(_table(limited, capacity))
    print("\nA provider without limits, one core for the gateway:\n")
    print(_table(own, None))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(_page(limited, own, capacity), encoding="utf-8")
    print(f"\nwritten: bench/results/{PAGE.name}")
    worst = min(step.served_rate / min(step.rate, capacity) for step in limited)
    print(f"goodput at the worst step: {worst:.1%} of what could be served (the goal is 95 %)")
    return 0 if worst >= 0.95 else 1


def _table(steps: Sequence[Step], capacity: float | None) -> str:
    heads = ("asked a second", "served", "of what could be", "refused", "with retry-after", "served p50", "p99",
             "refused p50", "p99", "memory", "admin at most")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for step in steps:
        could = step.rate if capacity is None else min(step.rate, capacity)
        others = sorted((status, count) for status, count in step.statuses.items() if status != 200)
        cells = [f"{step.rate:g}", f"{step.served_rate:.0f}", f"{step.served_rate / could:.1%}"]
        cells.append(", ".join(f"{count} × {status or 'no answer'}" for status, count in others))
        cells.append(f"{step.honest / len(step.refused_s):.0%}" if step.refused_s else "")
        cells += [cell for seconds in (step.served_s, step.refused_s) for cell in _times(seconds)]
        cells += [f"{step.rss_bytes / 1e6:.0f} MB", f"{step.admin_s * 1000:.0f} ms"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _times(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and p99."""
    if len(seconds) < 2:
        return "", ""
    return f"{median(seconds) * 1000:.0f} ms", f"{quantiles(seconds, n=100)[98] * 1000:.0f} ms"


def _page(limited: Sequence[Step], own: Sequence[Step], capacity: float) -> str:
    def curves(title: str, caption: str, steps: Sequence[Step], most: float) -> str:
        axes = Axes((0, steps[-1].rate), (0, most), width=640, height=280, right=96)
        marks = axes.grid(
            {step.rate: f"{step.rate:g}" for step in steps},
            {most * part / 4: f"{most * part / 4:.0f}" for part in range(5)},
        )
        served = [(step.rate, step.served_rate) for step in steps]
        refused = [(step.rate, len(step.refused_s) / (STEP_S - SETTLE_S)) for step in steps]
        for points, kind, name in ((served, "a", "served"), (refused, "b", "refused")):
            x, y = points[-1]
            label = f'<text class="own {kind}" x="{axes.x(x) + 8:.1f}" y="{axes.y(y) + 4:.1f}">{name}</text>'
            marks += [axes.line(points, kind), label]
        return figure(title, caption, 640, 280, marks)

    return page(
        "Overload",
        [
            "<h1>More than there is</h1>",
            "<p>Requests that come by the clock, and what becomes of them each second.</p>",
            '<div class="pair">',
            curves("More than the provider takes", f"it takes {capacity:g} a second", limited, limited[-1].rate),
            curves("More than the gateway takes", "one core, in Python, beside its client", own, own[-1].rate),
            "</div>",
        ],
    )


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    Provider.a_second = float(sys.argv[2])
    run_loop(_serve(int(sys.argv[1])))
