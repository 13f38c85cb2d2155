"""`ds2api bench`: from the command line to the three reports, and the talk with the person in between.

Nothing is asked of another machine, and nothing but one short question of this one, before the person has seen how
much it will be at most and has said yes; unless the built-in mock is what answers, which costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ds2api import __version__
from ds2api.compare.children import ChildFailed, Children, listening_pids
from ds2api.compare.document import document
from ds2api.compare.mock import MODEL, serve
from ds2api.compare.page import write_page
from ds2api.compare.places import Place, read_places, with_keys, with_models
from ds2api.compare.plan import Budget, Plan
from ds2api.compare.probing import NotUsable, Probed, probe
from ds2api.compare.question import WORKS, Script, Work
from ds2api.compare.running import Run
from ds2api.compare.table import text_of
from ds2api.event_loop import run_loop
from ds2api.text_table import PLAIN

__all__ = ["bench"]

# What is done where nobody says otherwise: with the mock, and with a model that costs money and time.
_FREE = {"works": "json,stream,paced", "steps": (1, 8, 64), "rounds": 5, "requests": 100_000, "seconds": 1.0}
_PAID = {"works": "json,stream", "steps": (1, 4), "rounds": 3, "requests": 8, "seconds": 60.0}
_QUICK = {"steps": (8,), "rounds": 3, "seconds": 0.3}


class _Refused(Exception):
    """Why nothing is done, as a sentence; `status` is the command's exit status."""

    def __init__(self, sentence: str, status: int = 2) -> None:
        super().__init__(sentence)
        self.status = status


def bench(options: argparse.Namespace, arguments: Sequence[str], environment: Mapping[str, str], out: TextIO) -> int:
    """The command. Returns the exit status: 1 if a place gave no answers."""
    try:
        if options.mock is not None and not options.urls:
            return run_loop(_serve_mock(options))
        return run_loop(_Bench(options, arguments, environment, out).run())
    except (_Refused, NotUsable, ChildFailed, ValueError) as error:
        print(f"ds2api bench: {error}", file=sys.stderr)
        return error.status if isinstance(error, _Refused) else 2 if isinstance(error, ValueError) else 1
    except OSError as error:
        print(f"ds2api bench: {error.strerror or error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 143


async def _serve_mock(options: argparse.Namespace) -> int:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    print(
        f"The mock model {MODEL!r} answers in every protocol, with any key, until Ctrl-C. Its address, to put into\n"
        "the configuration of the gateway to be measured (docs/benchmarking.md has examples):"
    )
    serving = asyncio.create_task(serve(f"127.0.0.1:{options.mock}", _script(options, WORKS["paced"].script)))
    await asyncio.wait({serving, asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    return 0


def _script(options: argparse.Namespace, usual: Script) -> Script:
    given = {"events": options.events, "pace_ms": options.pace_ms, "event_bytes": options.event_bytes}
    return replace(usual, **{name: value for name, value in given.items() if value is not None})


class _Bench:
    """One comparison."""

    def __init__(
        self, options: argparse.Namespace, arguments: Sequence[str], environment: Mapping[str, str], out: TextIO
    ) -> None:
        self._options, self._environment, self._out = options, environment, out
        self._is_plain = "utf" not in (out.encoding or "").lower()
        self._is_live = out.isatty()
        self._began = time.monotonic()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._about = {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["ds2api", *arguments]),
            "ds2api": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": cores,
        }

    async def run(self) -> int:
        options = self._options
        this = asyncio.current_task()
        assert this is not None
        for name in (signal.SIGTERM, signal.SIGHUP):  # the children are ended, however this ends
            asyncio.get_running_loop().add_signal_handler(name, this.cancel)
        if options.max_cost is not None and options.price is None:
            raise _Refused("--max-cost needs --price IN,OUT, the model's price: nobody here knows it")
        async with AsyncExitStack() as stack:
            children = await stack.enter_async_context(Children(self._environment))
            places, known_pids = await self._places(children)
            probed = await self._probe(places)
            is_free = all(one.of_mock for one in probed)
            plan, budget = self._plan(probed, is_free=is_free), Budget(options.price, options.max_cost)
            if not is_free:
                self._agree([one.place for one in probed], plan, budget)
            pids = {
                one.place.name: known_pids.get(one.place.name) or listening_pids(one.place.endpoint().origin.port)
                for one in probed
                if one.place.is_local
            }
            told = await self._measure(plan, budget, probed, pids, children)
        return self._report(told)

    async def _places(self, children: Children) -> tuple[list[Place], dict[str, tuple[int, ...]]]:
        """Those on the command line, behind the mock if that was asked for; else ours, direct and through."""
        options = self._options
        places = read_places(options.urls, options.dialect)
        pids: dict[str, tuple[int, ...]] = {}
        if options.mock is not None or not places:
            url, pid = await children.mock(f"127.0.0.1:{options.mock or 0}", _script(options, WORKS["paced"].script))
            direct = Place("direct", url, options.dialect or "chat", MODEL)
            pids["direct"] = (pid,)
            if not places:
                at, pid = await children.gateway(url)
                through = replace(direct, name="ds2api", url=at)
                places = [through, replace(through, name="ds2api, translated", model="mock-over-messages")]
                pids |= {one.name: (pid,) for one in places}
            places = [direct, *(one if one.model else replace(one, model=MODEL) for one in places)]
        return with_models(with_keys(places, options.key_env, self._environment), options.model), pids

    async def _probe(self, places: Sequence[Place]) -> list[Probed]:
        """One short question to each; after a yes if it leaves this machine."""
        far = [one for one in places if not one.is_local]
        if far:
            for one in far:
                if not one.model:
                    raise _Refused(f"which model of {one.name}? Name it with --model {one.name}=MODEL")
            known = [replace(one, dialect=one.dialect or "chat") for one in places]
            guessed = [Probed(one, of_mock=False, connect_s=0.0) for one in known]
            self._agree(known, self._plan(guessed, is_free=False), Budget(self._options.price, self._options.max_cost))
        return [await probe(one, self._environment, self._options.timeout) for one in places]

    def _plan(self, probed: Sequence[Probed], *, is_free: bool) -> Plan:
        options = self._options
        usual: dict[str, Any] = {**(_FREE if is_free else _PAID), **(_QUICK if options.quick and is_free else {})}
        names = (options.work or usual["works"]).split(",")
        if unknown := [name for name in names if name not in WORKS]:
            raise _Refused(f"--work: there is no {unknown[0]!r}; there are {', '.join(WORKS)}")
        works = [
            replace(
                WORKS[name],
                script=_script(options, WORKS[name].script) if name == "paced" else self._unpaced(WORKS[name]),
                prompt_bytes=options.prompt_bytes,
                max_tokens=options.max_tokens,
            )
            for name in names
        ]
        return Plan(
            tuple(one.place for one in probed),
            tuple(works),
            options.rate or options.concurrency or usual["steps"],
            bool(options.rate),
            options.rounds or usual["rounds"],
            options.requests or usual["requests"],
            options.seconds or usual["seconds"],
            options.timeout,
            options.clients,
        )

    def _unpaced(self, work: Work) -> Script:
        return replace(_script(self._options, work.script), pace_ms=0)

    def _agree(self, places: Sequence[Place], plan: Plan, budget: Budget) -> None:
        """Say what it takes at most, and ask once. Raises `_Refused`."""
        if self._options.yes:
            return
        requests, read, written = budget.worst(plan, list(plan.turns()))
        cost = budget.cost(read, written)
        money = f"about ${cost:,.2f}" if cost is not None else "a cost that --price IN,OUT would tell"
        if self._options.max_cost is not None:
            money += f", and never beyond ${self._options.max_cost:g}"
        hosts = ", ".join(f"{one.name} ({one.host}, model {one.model})" for one in places)
        print(
            f"This may spend money: at most {requests:,} requests to {hosts}; at most {read:,} tokens in and "
            f"{written:,} out; {money}.",
            file=sys.stderr,
        )
        if not sys.stdin.isatty():
            raise _Refused("nobody is here to say yes; --yes says it")
        print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise _Refused("nothing was measured", 1)
        self._options.yes = True

    async def _measure(
        self,
        plan: Plan,
        budget: Budget,
        probed: Sequence[Probed],
        pids: Mapping[str, tuple[int, ...]],
        children: Children,
    ) -> dict[str, Any]:
        run, stop = Run(plan, budget), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, stop.set)
        turns = sum(1 for _ in plan.turns())
        about = f"{turns} measurements, about {plan.about_s / 60:.1f} minutes; Ctrl-C ends it and shows what there is."
        print(about, file=sys.stderr, flush=True)
        self._began = time.monotonic()
        try:
            if self._is_live:
                self._out.write("\x1b[?1049h\x1b[?25l")
            await run.go(children, pids, stop, lambda run, what: self._show(run, what, turns, probed))
        finally:
            if self._is_live:
                self._out.write("\x1b[?25h\x1b[?1049l")
            self._out.flush()
            loop.remove_signal_handler(signal.SIGINT)
        return document(run, probed, self._about)

    def _show(self, run: Run, what: str, turns: int, probed: Sequence[Probed]) -> None:
        """The table so far, over the old one; off a terminal a line a turn."""
        line = f"{run.done / turns:4.0%}  {what}"
        if not self._is_live:
            if (run.done % (run.plan.rounds * len(probed))) == 0:
                print(line.rpartition(" · round")[0], file=sys.stderr, flush=True)
            return
        size = shutil.get_terminal_size()
        spent_s = time.monotonic() - self._began
        left = f" · {spent_s / run.done * (turns - run.done):.0f} s left" if run.done > 2 else ""
        lines = [f"{line}{left}"[: size.columns], "", *text_of(document(run, probed, self._about), size.columns)]
        text = "\n".join(lines[: size.lines - 1])
        text = text.translate(PLAIN) if self._is_plain else text
        self._out.write("\x1b[H" + text.replace("\n", "\x1b[K\r\n") + "\x1b[J")
        self._out.flush()

    def _report(self, told: Mapping[str, Any]) -> int:
        text = "\n".join(text_of(told, max(shutil.get_terminal_size((140, 24)).columns, 80)))
        print(text.translate(PLAIN) if self._is_plain else text, file=self._out)
        as_json = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
        for file, written in ((self._options.json, as_json), (self._options.html, write_page(told))):
            if file is not None:
                Path(file).write_text(written, encoding="utf-8")
                print(f"wrote {file}", file=sys.stderr)
        return 1 if told["left_out"] or not told["cells"] else 0
