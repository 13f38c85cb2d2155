"""The processes of a comparison: the workers that measure, and where asked for the mock and a gateway of our own.

Each is in a session of its own, so that Ctrl-C reaches the one who decides and nobody else, and is killed at the end.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ds2api.compare.question import Script
from ds2api.compare.worker import Job, Round, job_line, read_round

__all__ = ["ChildFailed", "Children", "listening_pids"]

_ROUND_BYTES = 1 << 28  # 100 bytes a sample: far more than a round holds
_START_S = 20.0  # a cold start on a busy machine takes under two
_CONFIG = """\
pool = {{ state_file = "{folder}/state.json" }}
models = {{ mock = "mock", mock-over-messages = "translated/mock" }}
[providers.mock]
base_url = {{ chat = "{url}", messages = "{url}", gemini = "{url}" }}
accounts = [{{ name = "a", key = "bench-key-a" }}, {{ name = "b", key = "bench-key-b" }}]
[providers.translated]
base_url = {{ messages = "{url}" }}
accounts = [{{ name = "c", key = "bench-key-c" }}]
"""
_AT = re.compile(r"(http://[^\s;,]+)")


class ChildFailed(Exception):
    """One of our own processes ended or did not begin; the text is for a person."""


class Children:
    """Enter with ``async with``; leaving kills them all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Whatever this program was started from (a folder, one file, an installation), they find the same.
        path = os.pathsep.join(one or "." for one in sys.path)
        self._environment = {**environment, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
        self._running: list[Process] = []
        self._workers: list[Process] = []
        self._folder = tempfile.TemporaryDirectory(prefix="ds2api-bench-")

    async def __aenter__(self) -> Children:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
            await process.wait()
        self._folder.cleanup()

    async def mock(self, address: str, script: Script) -> tuple[str, int]:
        """Its URL and its process."""
        words = (str(one) for one in (script.events, script.pace_ms, script.event_bytes))
        return await self._serving("-m", "ds2api.compare.mock", address, *words)

    async def gateway(self, mock_url: str) -> tuple[str, int]:
        """One of ours in front of the mock, everything on: pool, access log, state file."""
        file = Path(self._folder.name) / "ds2api.toml"
        file.touch(0o600)
        file.write_text(_CONFIG.format(folder=self._folder.name, url=mock_url), encoding="utf-8")
        return await self._serving("-m", "ds2api", "serve", "--config", str(file), "--listen", "127.0.0.1:0")

    async def measure(self, job: Job, count: int) -> Round:
        """Have `count` workers do `job` together."""
        while len(self._workers) < count:
            self._workers.append(await self._spawn(["-m", "ds2api.compare.worker"]))
        warm_up = -(-job.warm_up_requests // count)
        each = replace(job, rate=job.rate / count, requests=max(job.requests // count, 1), warm_up_requests=warm_up)
        shares = [len(range(number, job.concurrency, count)) for number in range(count)]
        parts = [replace(each, concurrency=share) for share in shares if share or job.rate]
        return _joined(await asyncio.gather(*(self._ask(*pair) for pair in zip(self._workers, parts, strict=False))))

    async def _ask(self, worker: Process, job: Job) -> Round:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(job_line(job))
        line = await worker.stdout.readline()
        if not line:
            raise ChildFailed(f"the process that measures ended by itself (status {await worker.wait()})")
        return read_round(line)

    async def _serving(self, *words: str) -> tuple[str, int]:
        """Start a server that says its address."""
        errors = Path(self._folder.name) / f"{len(self._running)}.log"
        process = await self._spawn(words, errors)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_S):
                while line := (await process.stdout.readline()).decode(errors="replace"):
                    if found := _AT.search(line):
                        return found[1], process.pid
        except TimeoutError:
            pass
        told = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
        raise ChildFailed(f"`{' '.join(words[1:3])}` did not start: {told[-1]}")

    async def _spawn(self, words: Sequence[str], errors: Path | None = None) -> Process:
        log = os.open(errors, os.O_WRONLY | os.O_CREAT, 0o600) if errors is not None else None
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdin=PIPE, stdout=PIPE, stderr=log, limit=_ROUND_BYTES,
                env=self._environment, start_new_session=True,
            )  # fmt: skip
        finally:
            if log is not None:
                os.close(log)
        self._running.append(process)
        return process


def _joined(rounds: Sequence[Round]) -> Round:
    """What several workers did at one time."""
    whole = rounds[0]
    for one in rounds[1:]:
        for name in ("samples", "opened", "unsent"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        for name in ("wall_s", "client_cpu", "late_p99_s"):
            setattr(whole, name, max(getattr(whole, name), getattr(one, name)))
        if whole.place_cpu_s is not None and one.place_cpu_s is not None:
            whole.place_cpu_s = max(whole.place_cpu_s, one.place_cpu_s)
    return whole


def listening_pids(port: int) -> tuple[int, ...]:
    """The processes of this user that listen on `port` of this machine, workers that inherited the socket included.
    Nothing where the system does not tell (it is Linux's ``/proc``)."""
    tables = [one for one in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if one.exists()]
    rows = [line.split() for table in tables for line in table.read_text(encoding="ascii").splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd") if sockets else ():
        try:
            if any(os.readlink(one) in sockets for one in folder.iterdir()):  # noqa: PTH115 (a link to no path)
                found.append(int(folder.parent.name))
        except OSError:  # somebody else's, or gone
            continue
    return tuple(found)
