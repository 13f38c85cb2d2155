"""A gateway under mixed traffic, faults, disconnects, reloads and clock jumps, for minutes or hours.

    python3 tools/dev.py soak --minutes 20

Six clients' dialects over six upstreams', one of them over TLS and one over a unix socket, JSON and streams, half of
the models hedged. One in five upstream requests goes wrong in one of seven ways; one client in four leaves in the
middle; every few seconds the configuration is read again (an account comes or goes), the wall clock jumps, or the whole
process stands still for a second. Then the traffic ends, and everything must be where it was: no lease held, nobody in
line, tasks and descriptors as many as before, and memory that grew by no more than 1 MB an hour after the fifth minute
(in a shorter run: after its first half, and then it is only shown, since the resident size moves by more than that in
minutes). At last a next process takes over in traffic (SIGUSR2): the old one must end by itself, and nobody be refused.
Exit status 1 if not.

Writes a page with plots, `soak.html`, and the samples behind it. Traffic and upstream run in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ds2api.compare.asking import Asking, client_for
from ds2api.compare.mock import MODEL, MockUpstream
from ds2api.compare.places import Place
from ds2api.compare.plots import Axes, figure, page
from ds2api.compare.question import WORKS
from ds2api.dialects.contract import Dialect
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.wire.settings import TlsServer
from ds2api.wire.upstream import Client

HERE = Path(__file__).resolve().parent
PREFIXES = {"chat": "openai", "responses": "openai", "messages": "anthropic"}
# How many of a hundred upstream requests. Few are limited: the pool learns from each, and would let ever fewer go.
FAULTS = {"none": 83, "limited": 1, "overloaded": 3, "failed": 3, "html": 2, "reset": 3, "cut": 3, "stalled": 2}
LEAVE_SHARE = 0.25
# Of each client's dialect, upstream and work: the pool remembers 65,536 in all, and would fill for an hour.
CONVERSATIONS = 8
WORKERS = 24
THINK_S = 0.1
DISTURBED_EACH_S = 4.0
ALLOWED_MB_PER_HOUR = 1.0
WARM_UP_S = 300.0
QUIET_S = 30.0
HANDED_OVER_S = 1.0
OVER_TLS, OVER_UNIX = "chat", "messages"
HEDGED = ("chat", "responses", "gemini")


_CERTIFICATE = (
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=soak", "-addext", "subjectAltName=IP:127.0.0.1",
)  # fmt: skip


class FaultyUpstream(MockUpstream):
    """The mock, going wrong as `FAULTS` says."""

    def __init__(self, soak: Soak, address: str = "127.0.0.1:0", tls: TlsServer | None = None) -> None:
        super().__init__(address)
        self._chance = soak.chance
        self._tls = tls
        self.faults = soak.faults

    async def __aenter__(self) -> Self:
        bound = await self._server.listen(self._address, tls=self._tls)
        self.base_url = "http://localhost" if bound.startswith("unix:") else f"http{'s' if self._tls else ''}://{bound}"
        return self

    async def answer(self, incoming: Any, dialect: Dialect, raw: bytes, request_id: str) -> None:
        (fault,) = self._chance.choices(list(FAULTS), list(FAULTS.values()))
        self.faults[fault] += 1
        if fault == "none":
            await super().answer(incoming, dialect, raw, request_id)
        elif fault == "limited":
            raise Problem(Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "Rate limit reached", retry_after_s=0.5))
        elif fault in ("overloaded", "failed"):
            kind = Kind.OVERLOADED if fault == "overloaded" else Kind.UPSTREAM_FAILED
            raise Problem(Error(Fault.PROVIDER, kind, "Something went wrong"))
        elif fault == "html":
            incoming.respond(200, [("content-type", "text/html")], b"<html>Bad gateway</html>")
        elif fault == "reset":
            incoming.abort()
        else:
            incoming.start(200, [("content-type", dialect.stream_type)])
            incoming.write(b'data: {"id":"x","object":"chat.completion.chunk","choi')
            await asyncio.sleep(3 if fault == "stalled" else 0.01)
            incoming.abort()


@dataclass
class Soak:
    """One run. `samples` are taken each second; `endings` count what clients saw."""

    minutes: float
    folder: Path
    chance: random.Random
    samples: list[dict[str, float]] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    disturbances: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    upstreams: dict[str, str] = field(default_factory=dict)  # of a dialect: its provider's URL and what belongs to it
    url: str = ""
    process: asyncio.subprocess.Process | None = None

    async def run(self) -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            await self._start_upstreams(stack)
            await self._start()
            assert self.process is not None
            stack.push_async_callback(self._end_all)
            client = client_for(Place("gateway", self.url), {}, 30.0, WORKERS)
            stack.callback(client.close)
            await self._traffic(client, 0.5)  # what is loaded, cached or opened once is there
            before = await self._quiet()
            began = time.monotonic()
            helpers = [
                asyncio.create_task(self._watch(began)),
                asyncio.create_task(self._disturb()),
            ]
            await self._traffic(client, self.minutes * 60)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._write_config(2)
            after = await self._quiet(like=before)
            refused_before = self._refused()
            status = await self._hand_over(client)
        self._end_told_bugs()
        return {
            "minutes": self.minutes, "before": before, "after": after, "samples": self.samples,
            "requests": sum(self.endings.values()), "endings": dict(self.endings.most_common()),
            "faults": dict(self.faults), "disturbances": dict(self.disturbances), "exit_status": status,
            "refused_in_handover": self._refused() - refused_before,
        }  # fmt: skip

    async def _start_upstreams(self, stack: AsyncExitStack) -> None:
        plain = await stack.enter_async_context(FaultyUpstream(self))
        path = str(self.folder / "upstream")
        local = await stack.enter_async_context(FaultyUpstream(self, f"unix:{path}"))
        certificate, key = str(self.folder / "certificate.pem"), str(self.folder / "key.pem")
        secure = None
        if shutil.which("openssl"):
            making = [*_CERTIFICATE, "-out", certificate, "-keyout", key]
            await asyncio.to_thread(subprocess.run, making, check=True, capture_output=True)
            secure = await stack.enter_async_context(FaultyUpstream(self, tls=TlsServer(certificate, key)))
        else:
            print("openssl is not here: no upstream over TLS", file=sys.stderr)
        for name in DIALECTS:
            upstream, more = plain, ""
            if name == OVER_UNIX:
                upstream, more = local, f'unix = "{path}"'
            elif name == OVER_TLS and secure is not None:
                upstream, more = secure, f'ca_file = "{certificate}"'
            self.upstreams[name] = f'base_url = {{ {name} = "{upstream.base_url}/{PREFIXES.get(name, name)}" }}\n{more}'

    async def _hand_over(self, client: Client) -> int | None:
        """A next process takes over while clients ask; the status with which the old one ends, which takes as long as
        its answers do."""
        assert self.process is not None
        traffic = asyncio.create_task(self._traffic(client, HANDED_OVER_S))
        await asyncio.sleep(HANDED_OVER_S / 4)
        old_pid = (await self._control("count"))["pid"]
        self.process.send_signal(signal.SIGUSR2)
        await traffic
        for _ in range(1_200):  # a minute; `wait` would wait for the next process, too, which has the same output
            if self.process.returncode is not None:
                break
            await asyncio.sleep(0.05)
        told = await self._control("count")
        assert told["pid"] != old_pid, "the old process still answers"
        return self.process.returncode

    async def _end_all(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        await self.process.stdout.read()  # the next process holds the pipe, too: it ends with the last of them
        await self.process.wait()

    def _refused(self) -> int:
        return sum(count for ending, count in self.endings.items() if ending.startswith("not reached"))

    async def _start(self) -> None:
        self._write_config(2)
        words = [
            "-m",
            "bench.soak_gateway",
            str(self.folder / "control"),
            "serve",
            "--config",
            str(self.folder / "c.toml"),
        ]
        source = os.pathsep.join((str(HERE.parent / "src"), str(HERE.parent)))
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, "PYTHONPATH": source}, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        for _ in range(5):
            line = (await self.process.stdout.readline()).decode()
            if line.startswith("  at "):
                self.url = line.split()[1].rstrip(";")
        if not self.url:
            raise SystemExit("the gateway did not start: " + (self.folder / "log").read_text())

    def _write_config(self, accounts: int) -> None:
        """With so many accounts a provider."""
        lines = [
            'listen = "127.0.0.1:0"',
            f'pool = {{ state_file = "{self.folder / "state.json"}" }}',
            "[timeouts]\nkeepalive_idle_s = 1\nupstream_keepalive_idle_s = 1\nfirst_byte_idle_s = 2\nevent_idle_s = 1",
            # What is remembered is bounded, and here so tightly that the bounds are reached within a minute.
            "[store]\nanswers_bytes = 200_000\nthoughts_bytes = 100_000\npins = 100",
            "[models]",
            *(
                f'over-{name} = {{ targets = ["{name}/{MODEL}"], hedge = {str(name in HEDGED).lower()} }}'
                for name in DIALECTS
            ),
        ]
        for name in DIALECTS:
            keys = ", ".join(f'{{ name = "{n}", key = "soak-key-{name}-{n}" }}' for n in "abcd"[:accounts])
            lines += [f"[providers.{name}]", self.upstreams[name], 'auth = "bearer"', f"accounts = [{keys}]"]
        file = self.folder / "c.toml"
        file.touch(0o600)
        file.write_text("\n".join(lines) + "\n")

    async def _traffic(self, client: Client, seconds: float) -> None:
        until = time.monotonic() + seconds
        askings = [
            Asking(
                Place("gateway", f"{self.url}/{PREFIXES.get(name, name)}", name, f"over-{over}"), work, client, {}, 30.0
            )
            for name in DIALECTS
            for over in DIALECTS
            for work in WORKS.values()
        ]
        for asking in askings:
            asking.ids = CONVERSATIONS

        async def one() -> None:
            while time.monotonic() < until:
                leaves = self.chance.random() < LEAVE_SHARE
                try:
                    async with asyncio.timeout(self.chance.expovariate(20) if leaves else 60):
                        sample = await self.chance.choice(askings).ask()
                    self.endings[sample.error or "answered"] += 1
                except TimeoutError:
                    self.endings["left"] += 1
                await asyncio.sleep(self.chance.random() * THINK_S)

        await asyncio.gather(*(one() for _ in range(WORKERS)))

    async def _disturb(self) -> None:
        assert self.process is not None
        while True:
            await asyncio.sleep(DISTURBED_EACH_S)
            what = self.chance.choice(("reload", "reload", "clock", "stop"))
            self.disturbances[what] += 1
            if what == "reload":
                self._write_config(self.chance.randint(1, 4))
                self.process.send_signal(signal.SIGHUP)
            elif what == "clock":
                await self._control(f"clock {self.chance.choice((-86_400, -60, 0, 60, 3_600, 86_400))}")
            else:
                self.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(1)
                self.process.send_signal(signal.SIGCONT)

    async def _watch(self, began: float) -> None:
        while True:
            await asyncio.sleep(1)
            self.samples.append({"at_s": time.monotonic() - began, **await self._counts()})

    async def _quiet(self, like: dict[str, float] | None = None) -> dict[str, float]:
        """The counts once nothing runs: as soon as nobody is served and tasks and descriptors are as in `like`, or have
        stood still for two seconds; after `QUIET_S` whatever they are."""
        until, seen = time.monotonic() + QUIET_S, []
        while time.monotonic() < until:
            await asyncio.sleep(0.5)
            seen.append(await self._counts())
            same = [like, seen[-1]] if like is not None else seen[-4:]
            names = ("tasks", "descriptors")
            is_still = len(same) > 1 and len({tuple(one[name] for name in names) for one in same}) == 1
            if seen[-1]["leases"] == seen[-1]["waiting"] == 0 and is_still and (like is not None or len(seen) > 3):
                break
        return seen[-1]

    async def _counts(self) -> dict[str, float]:
        counts = await self._control("count")
        host, _, port = self.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /admin/pool HTTP/1.0\r\nhost: localhost\r\n\r\n")
        view = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
        writer.close()
        await writer.wait_closed()
        leases, waiting = (
            sum(one["in_flight"] for one in view["accounts"]),
            sum(one["waiting"] for one in view["lines"]),
        )
        return {**counts, "leases": leases, "waiting": waiting}

    async def _control(self, line: str) -> dict[str, float]:
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "control"))
        writer.write(line.encode() + b"\n")
        told: dict[str, float] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return told

    def _end_told_bugs(self) -> None:
        """A traceback in the gateway's log is a failure of its own."""
        log = (self.folder / "log").read_text(errors="replace")
        self.endings["TRACEBACKS IN THE LOG"] = log.count("Traceback")


def growth_mb_per_hour(samples: Sequence[dict[str, float]], after_s: float) -> float:
    """The slope of resident memory by least squares, over the samples after `after_s`. 0 for fewer than two."""
    points = [(one["at_s"] / 3600, one["rss_bytes"] / 1e6) for one in samples if one["at_s"] >= after_s]
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return float(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)


def judged(told: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    wrong = []
    before, after = told["before"], told["after"]
    wrong += [f"{after[name]:.0f} {name} at the end" for name in ("leases", "waiting") if after[name]]
    for name in ("tasks", "descriptors"):
        if after[name] != before[name]:
            wrong.append(f"{name}: {before[name]:.0f} before, {after[name]:.0f} after")
    if told["minutes"] * 60 >= 2 * WARM_UP_S and told["growth_mb_per_hour"] > ALLOWED_MB_PER_HOUR:
        wrong.append(f"memory grew by {told['growth_mb_per_hour']:.1f} MB an hour after the fifth minute")
    if told["exit_status"] != 0:
        wrong.append(f"the gateway ended with status {told['exit_status']}")
    if told["refused_in_handover"]:
        wrong.append(f"{told['refused_in_handover']} were refused while the next process took over")
    wrong += [f"{told['endings'][bug]} {bug}" for bug in ("TRACEBACKS IN THE LOG",) if told["endings"].get(bug)]
    wrong += [] if told["endings"].get("answered") else ["nothing was answered"]
    wrong += [f"{told['endings'][bad]} × {bad}" for bad in ("somebody else's answer", "altered answer", "time limit")
              if told["endings"].get(bad)]  # fmt: skip
    return wrong


def report(told: dict[str, Any]) -> str:
    """The page."""
    wrong = judged(told)
    verdict = "Everything is where it was." if not wrong else "Not as it should be: " + "; ".join(wrong) + "."
    grew = f"{told['growth_mb_per_hour']:.1f} MB an hour after {told['growth_after_s']:.0f} s"
    rows = [*told["endings"].items(), *((f"upstream: {name}", count) for name, count in told["faults"].items())]
    rows += [(f"disturbed: {name}", count) for name, count in told["disturbances"].items()]
    cells = "".join(f"<tr><td>{name}</td><td>{count:,}</td></tr>" for name, count in rows)
    plots = [
        _plot(told, "rss_bytes", "Resident memory, MB", 1e6),
        _plot(told, "descriptors", "Descriptors", 1),
        _plot(told, "tasks", "Tasks", 1),
        _plot(told, "leases", "Leases", 1),
    ]
    return page(
        "ds2api soak",
        [
            f"<h1>{told['minutes']:g} minutes of soak</h1><p><b>{verdict}</b></p>",
            f"<p>{told['requests']:,} requests. Memory grew by {grew}.</p>",
            '<div class="pair">', *plots, "</div>",
            f'<div class="scroll"><table><tbody>{cells}</tbody></table></div>',
        ],
    )  # fmt: skip


def _plot(told: dict[str, Any], name: str, title: str, unit: float) -> str:
    few = told["samples"][:: len(told["samples"]) // 400 + 1]  # as many as a plot can show
    points = [(one["at_s"], one[name] / unit) for one in few]
    high = max(value for _, value in points) * 1.1 or 1.0
    last = points[-1][0]
    axes = Axes((0.0, last), (0.0, high), width=460, height=220, right=36)
    marks = axes.grid({0: "0", last: f"{last / 60:.1f} min"}, {high * n / 4: f"{high * n / 4:.0f}" for n in range(5)})
    start, end = (told[at][name] / unit for at in ("before", "after"))
    return figure(title, f"before {start:.0f}, after {end:.0f}", 460, 220, [*marks, axes.line(points, "a")])


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and disturbances (default 1)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where soak.html and soak.json go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ds2api-soak-") as folder:
        told = asyncio.run(Soak(options.minutes, Path(folder), random.Random(options.seed)).run())
    told["growth_after_s"] = min(WARM_UP_S, options.minutes * 30)
    told["growth_mb_per_hour"] = growth_mb_per_hour(told["samples"], told["growth_after_s"])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.html").write_text(report(told), encoding="utf-8")
    (options.out / "soak.json").write_text(json.dumps(told), encoding="utf-8")
    for name in ("endings", "faults", "disturbances", "before", "after"):
        print(f"{name}: {told[name]}")
    print(f"memory grew by {told['growth_mb_per_hour']:.1f} MB an hour after {told['growth_after_s']:.0f} s")
    wrong = judged(told)
    print("everything is where it was" if not wrong else "NOT as it should be: " + "; ".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
