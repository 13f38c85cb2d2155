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
from types import TracebackType

from ds2api.compare.question import WORKS, Script
from ds2api.compare.worker import Job, Round, job_line, read_round
from ds2api.dialects.registry import DIALECTS

__all__ = ["ChildFailed", "Children", "listening_pids"]

_ROUND_BYTES = 1 << 28  # 100 bytes a sample: far more than a round holds
_START_S = 20.0  # a cold start on a busy machine takes under two
_CONFIG = """\
log = "text"
[pool]
state_file = "{folder}/state.json"
[providers.mock]
base_url = {{ {urls} }}
accounts = [{{ name = "a", key = "bench-key-a" }}, {{ name = "b", key = "bench-key-b" }}]
[providers.translated]
base_url = {{ messages = "{url}/anthropic" }}
accounts = [{{ name = "c", key = "bench-key-c" }}]
[models]
mock = "mock"
mock-over-messages = "translated/mock"
"""
_AT = re.compile(r"^  at +([^;,]+)", re.MULTILINE)


class ChildFailed(Exception):
    """One of our own processes ended or did not begin; the text is for a person."""


class Children:
    """Enter with ``async with``; leaving kills them all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Whatever this program was started from (a folder, one file, an installation), they find the same.
        self._environment = {**environment, "PYTHONPATH": os.pathsep.join(one or "." for one in sys.path)}
        self._running: list[Process] = []
        self._workers: list[Process] = []
        self._folder = tempfile.TemporaryDirectory(prefix="ds2api-bench-")

    async def __aenter__(self) -> Children:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
        for process in self._running:
            await process.wait()
        self._folder.cleanup()

    async def mock(self, address: str = "127.0.0.1:0", script: Script = WORKS["paced"].script) -> tuple[str, int]:
        """Its URL and its process."""
        words = [str(one) for one in (script.events, script.pace_ms, script.event_bytes)]
        process, line = await self._start(["-m", "ds2api.compare.mock", address, *words])
        return line.strip(), process.pid

    async def gateway(self, mock_url: str) -> tuple[str, int]:
        """One of ours in front of the mock, everything on: pool, access log, state file."""
        prefixes = {"chat": "openai", "responses": "openai", "messages": "anthropic"}
        urls = ", ".join(f'{name} = "{mock_url}/{prefixes.get(name, name)}"' for name in DIALECTS)
        file = Path(self._folder.name) / "ds2api.toml"
        file.touch(0o600)
        file.write_text(_CONFIG.format(folder=self._folder.name, urls=urls, url=mock_url), encoding="utf-8")
        words = ["-m", "ds2api", "serve", "--config", str(file), "--listen", "127.0.0.1:0"]
        process, said = await self._start(words, _AT)
        return said, process.pid

    async def measure(self, job: Job, count: int) -> Round:
        """Have `count` workers do `job` together."""
        while len(self._workers) < count:
            self._workers.append(await self._spawn(["-m", "ds2api.compare.worker"]))
        shares = [len(range(number, job.concurrency, count)) for number in range(count)]
        parts = [
            replace(job, concurrency=share, rate=job.rate / count, requests=max(job.requests // count, 1),
                    warm_up_requests=-(-job.warm_up_requests // count))
            for share in shares if share or job.rate
        ]  # fmt: skip
        return _joined(await asyncio.gather(*(self._ask(*pair) for pair in zip(self._workers, parts, strict=False))))

    async def _ask(self, worker: Process, job: Job) -> Round:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(job_line(job))
        line = await worker.stdout.readline()
        if not line:
            raise ChildFailed(f"the process that measures ended by itself (status {await worker.wait()})")
        return read_round(line)

    async def _start(self, words: Sequence[str], wanted: re.Pattern[str] = re.compile("(.+)")) -> tuple[Process, str]:
        """What it says in the first line that `wanted` finds something in."""
        errors = Path(self._folder.name) / f"{len(self._running)}.log"
        process = await self._spawn(words, errors)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_S):
                while line := (await process.stdout.readline()).decode(errors="replace"):
                    if found := wanted.search(line):
                        return process, found[1].strip()
        except TimeoutError:
            pass
        told = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ChildFailed(f"`{' '.join(words[1:3])}` did not start: {told[-1] if told else 'it said nothing'}")

    async def _spawn(self, words: Sequence[str], errors: Path | None = None) -> Process:
        log = errors.open("wb") if errors is not None else None
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdin=PIPE, stdout=PIPE, stderr=log, limit=_ROUND_BYTES,
                env=self._environment, start_new_session=True,
            )  # fmt: skip
        finally:
            if log is not None:
                log.close()
        self._running.append(process)
        return process


def _joined(rounds: Sequence[Round]) -> Round:
    """What several workers did at one time."""
    whole = rounds[0]
    for one in rounds[1:]:
        whole.samples += one.samples
        whole.opened += one.opened
        whole.unsent += one.unsent
        whole.wall_s = max(whole.wall_s, one.wall_s)
        whole.client_cpu = max(whole.client_cpu, one.client_cpu)
        whole.late_p99_s = max(whole.late_p99_s, one.late_p99_s)
        if whole.place_cpu_s is not None and one.place_cpu_s is not None:
            whole.place_cpu_s = max(whole.place_cpu_s, one.place_cpu_s)
    return whole


def listening_pids(port: int) -> tuple[int, ...]:
    """The processes of this user that listen on `port` of this machine, workers that inherited the socket included.
    Nothing where the system does not tell (it is Linux's ``/proc``)."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            continue
        sockets |= {
            f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port
        }
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd") if sockets else ():
        try:
            if any(os.readlink(one) in sockets for one in folder.iterdir()):  # noqa: PTH115 (a link to no path)
                found.append(int(folder.parent.name))
        except OSError:  # somebody else's, or gone
            continue
    return tuple(sorted(found))
