"""Every scenario by every scheduler on every seed, over the machine's cores; the worst seed is what counts.

One task is one scenario and one seed: the ideal scheduler first, then ours with limits told and untold, then the two
that peers use (they know no limits, told or not). What comes back is small: `Row`s.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from multiprocessing import get_context
from random import Random
from typing import Any

from bench.pool.figures import Figures
from bench.pool.scenarios import SCENARIOS, Scenario, Times
from bench.pool.schedulers import Cooldown, Ideal, Scheduler
from bench.pool.simulate import PATIENCE_S, WALL_S, Simulation
from ds2api.accounts import Pool

__all__ = ["PEERS", "WHO", "Row", "by_scenario", "judged", "run", "say", "worst"]

PEERS = ("shuffle", "round robin")
WHO = ("ours, told", "ours, untold", *PEERS, "ideal")


@dataclass
class Row:
    """One run, or the worst of each figure over several. `goodput` is relative to the ideal's."""

    scenario: str
    who: str
    seed: int
    goodput: float = 0.0
    seen: int = 0
    waste: float = 0.0
    affinity: float = 1.0
    wait_p50_s: float = 0.0
    wait_p99_s: float = 0.0
    honest: float = 1.0
    fairness: float = 1.0
    late: int = 0  # attempts on an account known to be dead: the most of any
    missed: list[str] = field(default_factory=list)
    callers: dict[str, list[float]] = field(default_factory=dict)  # → asked, served
    timeline: list[list[int]] = field(default_factory=list)  # a second: admitted by each provider, refused


def run(scenario: Scenario, who: str, seed: int, times: Times, speed: float = 1.0) -> Figures:
    """One run on a new world of `seed`. `speed`: in a world that goes so many times as fast (`Scenario.world`)."""
    world = scenario.world(seed, times, speed=speed)
    times = Times(*(one / speed for one in astuple(times)))
    accounts = world.accounts(who == "ours, told")
    scheduler: Scheduler
    match who:
        case "ideal":
            scheduler = Ideal(accounts, world.providers, speed)
        case "shuffle" | "round robin":
            scheduler = Cooldown(accounts, Random(seed) if who == "shuffle" else None)
        case _:
            scheduler = Pool(accounts, random=Random(seed), wall_s=WALL_S)
    restart = None if world.restart is None else (times.event, world.restart)
    simulation = Simulation(
        scheduler, world.providers, world.turns, until=times.until, since=times.since, random=Random(seed),
        restart=restart, patience_s=PATIENCE_S / speed,
    )  # fmt: skip
    return simulation.run()


def judged(scenario: Scenario, who: str, seed: int, ours: Figures, ideal: Figures, times: Times) -> Row:
    goals = [goal(ours, ideal, times) for goal in scenario.goals]
    row = Row(
        scenario.name, who, seed, ours.good / max(1e-9, ideal.good), ours.seen, ours.waste, ours.affinity,
        ours.wait_s(0.5), ours.wait_s(0.99), ours.honest, ours.fairness, max(ours.late.values(), default=0),
        [one for one in goals if one is not None],
        {caller: [count, ours.served[caller]] for caller, count in sorted(ours.asked.items())},
    )  # fmt: skip
    if scenario.is_down:
        providers = ["p", "q"][: 1 + scenario.fallback]
        row.timeline = [[0] * (len(providers) + 1) for _ in range(int(times.until) + 30)]
        for one in ours.attempts:
            place = len(providers) if one.status else providers.index(one.provider)
            if one.at < len(row.timeline):
                row.timeline[int(one.at)][place] += 1
    return row


# A scenario's number, and another load than its own where one is wanted. (A scenario holds functions, and so cannot be
# sent to another process itself.)
Wanted = tuple[int, float | None]


def _task(task: tuple[Wanted, int, Times]) -> list[dict[str, Any]]:
    wanted, seed, times = task
    scenario = _scenario(wanted)
    ideal = run(scenario, "ideal", seed, times)
    found = {who: ideal if who == "ideal" else run(scenario, who, seed, times) for who in WHO}
    return [asdict(judged(scenario, who, seed, one, ideal, times)) for who, one in found.items()]


def _scenario(wanted: Wanted) -> Scenario:
    number, load = wanted
    return SCENARIOS[number] if load is None else replace(SCENARIOS[number], load=load)


def by_scenario(wanted: Sequence[Wanted], seeds: int, times: Times) -> Iterator[tuple[Scenario, dict[str, list[Row]]]]:
    """The rows of each wanted scenario as soon as all of its seeds are through, in order."""
    tasks = [(one, seed, times) for one in wanted for seed in range(seeds)]
    with get_context("spawn").Pool(os.cpu_count()) as workers:
        results = workers.imap(_task, tasks)
        for place, one in enumerate(wanted):
            scenario = _scenario(one)
            found: dict[str, list[Row]] = {who: [] for who in WHO}
            for seed in range(seeds):
                share = (place * seeds + seed) / len(tasks)
                say(f"{share:4.0%} {scenario.name}, seed {seed + 1} of {seeds}")
                for row in next(results):
                    found[row["who"]].append(Row(**row))
            say("")
            yield scenario, found


def say(text: str) -> None:
    """What is being done, on a line that is written over; nothing where nobody looks."""
    if sys.stderr.isatty():
        print("\r" + text.ljust(79) + ("" if text else "\r"), end="", file=sys.stderr, flush=True)


def worst(rows: Sequence[Row]) -> Row:
    """The worst of each figure over the seeds (each may be of another one), and each kind of miss once."""
    least = min(rows, key=lambda row: row.goodput)
    kinds = [re.sub(r"[\d.]+", "", one) for row in rows for one in row.missed]
    misses = {re.sub(r"[\d.]+", "", one): f"{one} (seed {row.seed}" for row in rows for one in row.missed}
    missed = [f"{text}, {kinds.count(kind)} of {len(rows)})" for kind, text in misses.items()]
    return Row(
        least.scenario, least.who, least.seed, least.goodput, max(row.seen for row in rows),
        max(row.waste for row in rows), min(row.affinity for row in rows), max(row.wait_p50_s for row in rows),
        max(row.wait_p99_s for row in rows), min(row.honest for row in rows), min(row.fairness for row in rows),
        max(row.late for row in rows), missed, least.callers, least.timeline,
    )  # fmt: skip
