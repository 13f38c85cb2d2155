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
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import TypeVar

from ds2api import jsons
from ds2api.compare.asking import Asking, Sample, client_for
from ds2api.compare.figures import quantile
from ds2api.compare.places import Place
from ds2api.compare.question import Script, Work
from ds2api.event_loop import run_loop

__all__ = ["Job", "Round", "job_line", "main", "measure", "read_job", "read_round", "round_line"]

_TICK_S = 0.01
# A timer of the loop fires late by up to a millisecond: what leaves less late than this counts from when it left.
_TIMER_S = 0.002
# Requests under way at a fixed rate, beyond which none is sent: the place does not keep up.
_MOST_UNDER_WAY = 4_096
_T = TypeVar("_T")


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
    """What came of a job. `cold_s` is what the first request of the warm-up took; `unsent` were due when too many were
    under way. Shares are of one core (`client_cpu`) and of all (`idle`). None is what nobody could see."""

    samples: list[Sample] = field(default_factory=list)
    cold_s: float = 0.0
    wall_s: float = 0.0
    client_cpu: float = 0.0
    late_p99_s: float = 0.0
    opened: int = 0
    unsent: int = 0
    place_cpu_s: float | None = None
    place_rss_bytes: int | None = None
    idle: float | None = None


async def measure(job: Job, environment: Mapping[str, str]) -> Round:
    """Do `job`. Raises `ValueError` and `Problem` for what cannot be asked."""
    client = client_for(job.place, environment, job.timeout_s, max(job.concurrency, int(job.rate) + 1))
    done, late = Round(), [0.0]
    ticking = asyncio.create_task(_tick(late))
    try:
        asking = Asking(job.place, job.work, client, environment, job.timeout_s)
        done.cold_s = (await asking.ask()).total_s
        await asyncio.gather(*(asking.ask() for _ in range(job.warm_up_requests - 1)))
        late.clear()
        opened, cpu_s, began = client.statistics().opened, time.process_time(), time.perf_counter()
        place_s, idle = _told(lambda: _cpu_s(job.pids)), _told(_idle_ticks)
        await (_by_the_clock if job.rate else _in_turn)(job, asking, done)
        done.wall_s = time.perf_counter() - began
        done.client_cpu = (time.process_time() - cpu_s) / done.wall_s
        done.opened = client.statistics().opened - opened
        if job.pids and place_s is not None and (place_then_s := _told(lambda: _cpu_s(job.pids))) is not None:
            done.place_cpu_s, done.place_rss_bytes = place_then_s - place_s, _told(lambda: _rss_bytes(job.pids))
        if idle is not None and (then := _told(_idle_ticks)) is not None and then[1] > idle[1]:
            done.idle = (then[0] - idle[0]) / (then[1] - idle[1])
        done.late_p99_s = quantile(sorted(late), 0.99) if late else 0.0
    finally:
        ticking.cancel()
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
    apart_s = min(done.cold_s, job.seconds) / job.concurrency
    await asyncio.gather(*(one(number * apart_s) for number in range(job.concurrency)))


async def _by_the_clock(job: Job, asking: Asking, done: Round) -> None:
    began = time.perf_counter()
    under_way: set[asyncio.Task[None]] = set()

    async def one(due: float | None) -> None:
        done.samples.append(await asking.ask(due))

    for number in range(min(job.requests, round(job.rate * job.seconds))):
        due = began + number / job.rate
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        if len(under_way) >= _MOST_UNDER_WAY:
            done.unsent += 1
            continue
        task = asyncio.create_task(one(due if time.perf_counter() - due > _TIMER_S else None))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


async def _tick(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + _TICK_S
        await asyncio.sleep(_TICK_S)
        late.append(time.perf_counter() - due)


def _told(read: Callable[[], _T]) -> _T | None:
    """What the system tells of its processes (Linux's ``/proc``); None where it does not."""
    try:
        return read()
    except (OSError, ValueError, IndexError):
        return None


def _cpu_s(pids: tuple[int, ...]) -> float:
    """What the scheduler counted for the threads of `pids`."""
    files = [one for pid in pids for one in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(one.read_text().split()[0]) for one in files) / 1e9


def _rss_bytes(pids: tuple[int, ...]) -> int:
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf("SC_PAGE_SIZE")


def _idle_ticks() -> tuple[int, int]:
    """What this machine's cores idled so far, and all there was."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def job_line(job: Job) -> bytes:
    return jsons.dump(asdict(job)) + b"\n"


def read_job(line: bytes) -> Job:
    raw = jsons.parse_object(line)
    work = {**raw["work"], "script": Script(**raw["work"]["script"])}
    return Job(**{**raw, "place": Place(**raw["place"]), "work": Work(**work), "pids": tuple(raw["pids"])})


def round_line(done: Round) -> bytes:
    return jsons.dump({**asdict(done), "samples": [astuple(one) for one in done.samples]}) + b"\n"


def read_round(line: bytes) -> Round:
    raw = jsons.parse_object(line)
    return Round(**{**raw, "samples": [Sample(*one) for one in raw["samples"]]})


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
