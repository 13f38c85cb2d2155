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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ds2api import __version__
from ds2api.compare.asking import NotUsable, probe
from ds2api.compare.children import ChildFailed, Children, listening_pids
from ds2api.compare.document import document
from ds2api.compare.mock import MODEL, serve
from ds2api.compare.page import write_page
from ds2api.compare.places import Place, read_places, with_keys, with_models
from ds2api.compare.question import WORKS, Script, Work
from ds2api.compare.running import Budget, Plan, Run
from ds2api.compare.table import text_of
from ds2api.event_loop import run_loop
from ds2api.text_table import PLAIN

__all__ = ["bench"]

# What is done where nobody says otherwise: with the mock, and with a model that costs money and time.
_FREE = {"work": "json,stream,paced", "concurrency": (1, 8, 64), "rounds": 5, "requests": 100_000, "seconds": 1.0}
_PAID = {"work": "json,stream", "concurrency": (1, 4), "rounds": 3, "requests": 8, "seconds": 60.0}
_QUICK = {"concurrency": (8,), "rounds": 3, "seconds": 0.3}


class _Refused(Exception):
    """Why nothing is done, as a sentence."""


def bench(options: argparse.Namespace, arguments: Sequence[str], environment: Mapping[str, str], out: TextIO) -> int:
    """The command. Returns the exit status: 1 if a place gave no answers."""
    try:
        if options.mock is not None and not options.urls:
            return run_loop(_serve_mock(options))
        return run_loop(_compare(options, shlex.join(["ds2api", *arguments]), environment, out))
    except (_Refused, NotUsable, ChildFailed, ValueError, OSError) as error:
        print(f"ds2api bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, _Refused | ValueError) else 1
    except asyncio.CancelledError:
        return 143


async def _serve_mock(options: argparse.Namespace) -> int:
    _end_on(signal.SIGINT, signal.SIGTERM)
    print(
        f"The mock model {MODEL!r} answers in every protocol, with any key, until Ctrl-C. Its address, to put into\n"
        "the configuration of the gateway to be measured (docs/benchmarking.md has examples):"
    )
    try:
        await serve(f"127.0.0.1:{options.mock}", _script(options, WORKS["paced"]))
    except asyncio.CancelledError:
        pass
    return 0


def _end_on(*signals: signal.Signals) -> None:
    """Cancel what runs, so that its children are ended too."""
    task = asyncio.current_task()
    assert task is not None
    for one in signals:
        asyncio.get_running_loop().add_signal_handler(one, task.cancel)


def _script(options: argparse.Namespace, work: Work) -> Script:
    given = {"events": options.events, "pace_ms": options.pace_ms, "event_bytes": options.event_bytes}
    if not work.script.pace_ms:
        del given["pace_ms"]
    return replace(work.script, **{name: value for name, value in given.items() if value is not None})


async def _compare(options: argparse.Namespace, command: str, environment: Mapping[str, str], out: TextIO) -> int:
    _end_on(signal.SIGTERM, signal.SIGHUP)
    if options.max_cost is not None and options.price is None:
        raise _Refused("--max-cost needs --price IN,OUT, the model's price: nobody here knows it")
    async with Children(environment) as children:
        places, pids = await _places(options, children, environment)
        if not all(one.is_local for one in places):  # one question would leave this machine already
            _agree(options, _plan(options, places, _PAID))
        probed = [await probe(one, environment, options.timeout) for one in places]
        places, is_free = [place for place, _ in probed], all(of_mock for _, of_mock in probed)
        plan = _plan(options, places, {**_FREE, **(_QUICK if options.quick else {})} if is_free else _PAID)
        if not is_free:
            _agree(options, plan)
        for one in places:
            if one.is_local and one.name not in pids:
                pids[one.name] = listening_pids(one.endpoint().origin.port)
        run = Run(plan, Budget(options.price, options.max_cost))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        about = {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"), "command": command, "ds2api": __version__,
            "python": platform.python_version(), "cores": cores,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        }  # fmt: skip
        await _measure(run, children, pids, out, lambda: document(run, probed, about))
    return _report(document(run, probed, about), options, out)


def _report(told: Mapping[str, Any], options: argparse.Namespace, out: TextIO) -> int:
    _write(out, "\n".join(text_of(told, max(shutil.get_terminal_size((140, 24)).columns, 80))) + "\n")
    as_json = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
    for file, written in ((options.json, as_json), (options.html, write_page(told))):
        if file is not None:
            Path(file).write_text(written, encoding="utf-8")
            print(f"wrote {file}", file=sys.stderr)
    return 1 if told["left_out"] or not told["cells"] else 0


async def _places(
    options: argparse.Namespace, children: Children, environment: Mapping[str, str]
) -> tuple[list[Place], dict[str, tuple[int, ...]]]:
    """Those on the command line, the mock before them if it was asked for; else ours, direct and through."""
    places = [replace(one, model=MODEL) if one.is_local else one for one in read_places(options.urls, options.dialect)]
    pids: dict[str, tuple[int, ...]] = {}
    if options.mock is not None or not places:
        url, pid = await children.mock(f"127.0.0.1:{options.mock or 0}", _script(options, WORKS["paced"]))
        direct = Place("direct", url, options.dialect or "chat", MODEL)
        pids["direct"] = (pid,)
        if not places:
            at, pid = await children.gateway(url)
            through = replace(direct, name="ds2api", url=at)
            places = [through, replace(through, name="ds2api, translated", model="mock-over-messages")]
            pids |= {one.name: (pid,) for one in places}
        places = [direct, *places]
    places = with_models(with_keys(places, options.key_env, environment), options.model)
    if unnamed := [one.name for one in places if not one.model]:
        raise _Refused(f"which model of {unnamed[0]}? Name it with --model {unnamed[0]}=MODEL")
    return places, pids


def _plan(options: argparse.Namespace, places: Sequence[Place], usual: Mapping[str, Any]) -> Plan:
    names = (options.work or usual["work"]).split(",")
    if unknown := [name for name in names if name not in WORKS]:
        raise _Refused(f"--work: there is no {unknown[0]!r}; there are {', '.join(WORKS)}")
    more = {"prompt_bytes": options.prompt_bytes, "max_tokens": options.max_tokens}
    works = [replace(WORKS[name], script=_script(options, WORKS[name]), **more) for name in names]
    steps = options.rate or options.concurrency or usual["concurrency"]
    rounds, requests, seconds = (getattr(options, name) or usual[name] for name in ("rounds", "requests", "seconds"))
    places = [one if one.dialect else replace(one, dialect="chat") for one in places]
    by_rate, timeout_s, clients = bool(options.rate), options.timeout, options.clients
    return Plan(tuple(places), tuple(works), steps, by_rate, rounds, requests, seconds, timeout_s, clients)


def _agree(options: argparse.Namespace, plan: Plan) -> None:
    """Say what it takes at most, and ask, once. Raises `_Refused`."""
    if options.yes:
        return
    budget = Budget(options.price, options.max_cost)
    requests, read, written = budget.worst(plan, list(plan.turns()))
    cost = budget.cost(read, written)
    money = f"about ${cost:,.2f}" if cost is not None else "a cost that --price IN,OUT would tell"
    money += f", and never beyond ${options.max_cost:g}" if options.max_cost is not None else ""
    hosts = ", ".join(f"{one.name} ({one.host}, model {one.model})" for one in plan.places)
    most = f"at most {requests:,} requests to {hosts}; at most {read:,} tokens in and {written:,} out; {money}"
    print(f"This may spend money: beside a short question to each, {most}.", file=sys.stderr)
    if not sys.stdin.isatty():
        raise _Refused("nobody is here to say yes; --yes says it")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    options.yes = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not options.yes:
        raise _Refused("nothing was measured")


async def _measure(run: Run, children: Children, pids: Mapping[str, tuple[int, ...]], out: TextIO, told: Any) -> None:
    """With the table so far on a screen of its own; off a terminal with a line for each work and step."""
    turns, began, stop = sum(1 for _ in run.plan.turns()), time.monotonic(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    most = f"{turns} measurements, up to {run.plan.about_s / 60:.1f} minutes"
    print(f"{most}; Ctrl-C ends it and shows what there is.", file=sys.stderr, flush=True)

    def show(turn: tuple[Work, int, Place, int]) -> None:
        work, step, place, number = turn
        line = f"{run.done / turns:4.0%}  {work.name} at {step}"
        if not out.isatty():
            if number == 0 and place is run.plan.places[0]:
                print(line, file=sys.stderr, flush=True)
            return
        size = shutil.get_terminal_size()
        left_s = (time.monotonic() - began) / max(run.done, 1) * (turns - run.done)
        line += f" · round {number + 1} · {place.name}" + (f" · {left_s:.0f} s left" if run.done > 2 else "")
        lines = [line[: size.columns], "", *text_of(told(), size.columns)][: size.lines - 1]
        _write(out, "\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[J")

    try:
        if out.isatty():
            _write(out, "\x1b[?1049h\x1b[?25l")
        await run.go(children, pids, stop, show)
    finally:
        if out.isatty():
            _write(out, "\x1b[?25h\x1b[?1049l")


def _write(out: TextIO, text: str) -> None:
    is_plain = "utf" not in (out.encoding or "").lower()
    out.write(text.translate(PLAIN).encode("ascii", "replace").decode() if is_plain else text)
    out.flush()
