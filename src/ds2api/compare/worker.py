"""The process that measures: a job in, a round out, as lines of JSON.

    python -m ds2api.compare.worker

A process of its own, so that neither the drawing of tables nor another worker stands in its way. Each job begins with
a warm-up, whose answers are thrown away but for the very first: it tells how cold the place was. Then either so many
connections ask again and again (closed loop), or requests leave by the clock whatever became of those before (`rate`;
open loop): only that shows what a place does to people who do not wait for each other. There a request's time counts
from when it was due. The worker watches itself too: its share of a core, and how late its own timers are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from ds2api import jsons
from ds2api.compare.asking import Asking, Sample
from ds2api.compare.figures import quantile
from ds2api.compare.places import Place
from ds2api.compare.question import Script, Work
from ds2api.event_loop import run_loop
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.upstream import Client

__all__ = ["Job", "Round", "job_line", "main", "measure", "read_job", "read_round", "round_line"]

_TICK_S = 0.01
# A timer of the loop fires late by up to a millisecond: what leaves less late than this counts from when it left.
_TIMER_S = 0.002
# Requests under way at a fixed rate, beyond which none is sent: the place does not keep up.
_MOST_UNDER_WAY = 4_096
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1


@dataclass(frozen=True, slots=True)
class Job:
    """`concurrency` connections, or (`rate` above 0) so many requests a second; until `requests` were sent or
    `seconds` are over. `pids` are the place's processes, if they are on this machine."""

    place: Place
    work: Work
    concurrency: int
    rate: float
    requests: int
    seconds: float
    warm_up_requests: int
    timeout_s: float
    pids: tuple[int, ...] = ()


@dataclass(slots=True)
class Round:
    """What came of a job. `first` is the first request of the warm-up. `place_cpu_s` is None where nobody could see."""

    samples: list[Sample] = field(default_factory=list)
    first: Sample = field(default_factory=Sample)
    wall_s: float = 0.0
    client_cpu: float = 0.0  # of one core
    late_p99_s: float = 0.0
    opened: int = 0
    unsent: int = 0  # due, but too many were under way
    place_cpu_s: float | None = None
    place_rss_bytes: int | None = None
    idle: float | None = None  # the part of this machine's cores that nobody used


async def measure(job: Job, environment: Mapping[str, str]) -> Round:
    """Do `job`. Raises `ValueError` and `Problem` for what cannot be asked."""
    limits = Limits(upstream_idle_count=max(job.concurrency, int(job.rate) + 1, 1))
    client = Client(limits=limits, timeouts=Timeouts(first_byte_idle_s=job.timeout_s))
    done = Round()
    try:
        asking = Asking(job.place, job.work, client, environment, job.timeout_s)
        if job.warm_up_requests:
            done.first = await asking.ask()
            await asyncio.gather(*(asking.ask() for _ in range(job.warm_up_requests - 1)))
        late: list[float] = []
        ticking = asyncio.create_task(_tick(late))
        opened, cpu_s, place_s = client.statistics().opened, time.process_time(), _cpu_s(job.pids)
        idle, all_ = _idle_and_all()
        began = time.perf_counter()
        if job.rate:
            await _by_the_clock(job, asking, done)
        else:
            await _in_turn(job, asking, done)
        done.wall_s = max(time.perf_counter() - began, 1e-9)
        done.client_cpu = (time.process_time() - cpu_s) / done.wall_s
        done.opened = client.statistics().opened - opened
        if place_s is not None:
            ended_s = _cpu_s(job.pids)
            done.place_cpu_s = None if ended_s is None else ended_s - place_s
            done.place_rss_bytes = _rss_bytes(job.pids)
        idle_then, all_then = _idle_and_all()
        done.idle = (idle_then - idle) / (all_then - all_) if all_then > all_ else None
        ticking.cancel()
        done.late_p99_s = quantile(sorted(late), 0.99) if late else 0.0
    finally:
        client.close()
    return done


async def _in_turn(job: Job, asking: Asking, done: Round) -> None:
    left = job.requests

    async def one(wait_s: float) -> None:
        nonlocal left
        await asyncio.sleep(wait_s)
        until = time.perf_counter() + job.seconds
        while left > 0 and time.perf_counter() < until:
            left -= 1
            done.samples.append(await asking.ask())

    # Spread over the time of one answer: begun together, streams of one length would end and begin together for ever,
    # and the first words would be those of a stampede.
    apart_s = min(done.first.total_s, job.seconds) / job.concurrency
    await asyncio.gather(*(one(number * apart_s) for number in range(job.concurrency)))


async def _by_the_clock(job: Job, asking: Asking, done: Round) -> None:
    began = time.perf_counter()
    under_way: set[asyncio.Task[Sample]] = set()

    def finish(task: asyncio.Task[Sample]) -> None:
        under_way.discard(task)
        if not task.cancelled():
            done.samples.append(task.result())

    for number in range(min(job.requests, round(job.rate * job.seconds))):
        due = began + number / job.rate
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        if len(under_way) >= _MOST_UNDER_WAY:
            done.unsent += 1
            continue
        is_late = time.perf_counter() - due > _TIMER_S
        task = asyncio.create_task(asking.ask(due if is_late else None))
        under_way.add(task)
        task.add_done_callback(finish)
    if under_way:
        await asyncio.wait(under_way)
        await asyncio.sleep(0)  # the last callbacks


async def _tick(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + _TICK_S
        await asyncio.sleep(_TICK_S)
        late.append(time.perf_counter() - due)


def _cpu_s(pids: tuple[int, ...]) -> float | None:
    """What the scheduler counted for the threads of `pids`; None where it does not say."""
    try:
        files = [one for pid in pids for one in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        spent = sum(int(one.read_text(encoding="ascii").split()[0]) for one in files)
    except (OSError, ValueError, IndexError):
        return None
    return spent / 1e9 if spent else None


def _rss_bytes(pids: tuple[int, ...]) -> int | None:
    try:
        pages = 0
        for pid in pids:
            pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * _PAGE_BYTES or None


def _idle_and_all() -> tuple[int, int]:
    """What the cores of this machine did so far, in clock ticks; zeros where the system does not say."""
    try:
        ticks = [int(one) for one in Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return ticks[3] + ticks[4], sum(ticks)


def job_line(job: Job) -> bytes:
    return jsons.dump(asdict(job)) + b"\n"


def read_job(line: bytes) -> Job:
    raw = jsons.parse_object(line)
    work = raw.pop("work")
    work["script"] = Script(**work["script"])
    return Job(Place(**raw.pop("place")), Work(**work), pids=tuple(raw.pop("pids")), **raw)


def round_line(done: Round) -> bytes:
    told: dict[str, Any] = asdict(done)
    told["samples"] = [astuple(one) for one in done.samples]
    return jsons.dump(told) + b"\n"


def read_round(line: bytes) -> Round:
    raw = jsons.parse_object(line)
    samples = [Sample(*one) for one in raw.pop("samples")]
    return Round(samples, Sample(**raw.pop("first")), **raw)


async def _work() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        sys.stdout.buffer.write(round_line(await measure(read_job(line), os.environ)))
        sys.stdout.buffer.flush()


def main() -> None:
    """See the opening of this file."""
    run_loop(_work())


if __name__ == "__main__":
    main()
