"""From what was measured to what is told: one document (`SCHEMA`), of which JSON, table and page are made. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from ds2api.compare.asking import Sample
from ds2api.compare.doubts import doubts
from ds2api.compare.figures import Spread, is_clear, quantiles, spread
from ds2api.compare.places import Place
from ds2api.compare.running import Run
from ds2api.compare.worker import Round

__all__ = ["SCHEMA", "document"]

SCHEMA = "ds2api-bench/1"
# Times of one answer.
_TIMES: Mapping[str, Callable[[Sample], float | None]] = {
    "total_s": lambda one: one.total_s,
    "first_s": lambda one: one.first_s if one.reads else None,
    "event_s": lambda one: one.span_s / (one.events - 1) if one.reads > 1 else None,
    "gap_s": lambda one: one.gap_s if one.reads > 1 else None,
}
_COMPARED = ("answers_per_s", *_TIMES, "cpu_s")


def document(run: Run, places: Sequence[tuple[Place, bool]], about: Mapping[str, Any]) -> dict[str, Any]:
    """`places` come with whether the mock stands behind them; `about` is what the figures were made with: versions,
    machine, command line."""
    plan, budget = run.plan, run.budget
    cells: list[dict[str, Any]] = []
    for work in plan.works:
        for step in plan.steps:
            row: list[dict[str, Any]] = []
            for place, _ in places:
                if rounds := run.rounds.get((work.name, step, place.name)):
                    cell = {"work": work.name, "step": step, "place": place.name, **_figures(rounds)}
                    row.append({**cell, "against": _against(cell, row[0]) if row else {}})
            cells += row
    told: dict[str, Any] = {
        "schema": SCHEMA,
        **about,
        "loop": "open" if plan.by_rate else "closed",
        **{name: getattr(plan, name) for name in ("rounds", "seconds", "clients")},
        "stopped": run.stopped,
        "left_out": dict(run.left_out),
        "works": [asdict(work) for work in plan.works],
        "places": [
            {"name": one.name, "url": one.endpoint().url, "dialect": one.dialect, "model": one.model,
             "of_mock": of_mock, "is_local": one.is_local}
            for one, of_mock in places
        ],
        "spent": {
            **{name: getattr(budget, name) for name in ("requests", "input_tokens", "output_tokens")},
            "dollars": budget.cost(budget.input_tokens, budget.output_tokens),
        },
        "cells": cells,
    }  # fmt: skip
    return {**told, "doubts": [asdict(one) for one in doubts(told)]}


def _figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """One place at one work and step, all its rounds together."""
    good_of = [[one for one in each.samples if not one.error] for each in rounds]
    good = [one for each in good_of for one in each]
    bad = [one for each in rounds for one in each.samples if one.error]
    told: dict[str, Any] = {
        "answers": len(good),
        "errors": dict(Counter(one.error for one in bad).most_common()),
        "unsent": sum(each.unsent for each in rounds),
        "answers_per_s": _spread([len(own) / each.wall_s for own, each in zip(good_of, rounds, strict=True)]),
        "cpu_s": _spread(
            [cpu / len(own) for own, each in zip(good_of, rounds, strict=True) if own and (cpu := each.place_cpu_s)]
        ),
        "rss_bytes": max((each.place_rss_bytes or 0 for each in rounds), default=0) or None,
    }
    by_round: dict[str, list[list[float]]] = {
        name: [[time for one in each if (time := time_of(one)) is not None] for each in good_of]
        for name, time_of in _TIMES.items()
    }
    for name, each_round in by_round.items():
        times = [time for each in each_round for time in each]
        middles = _spread([median(each) for each in each_round if each])
        told[name] = None if middles is None else {**quantiles(times), **middles}
    told["seen"] = {
        **{name: median(getattr(each, name) for each in rounds) for name in ("client_cpu", "late_p99_s")},
        "idle": median(idles) if (idles := [each.idle for each in rounds if each.idle is not None]) else None,
        "opened": sum(each.opened for each in rounds),
        "cold_s": rounds[0].cold_s,
        "total_s_by_round": [median(times) for times in by_round["total_s"] if times],
        "error_s": median(one.total_s for one in bad) if bad else None,
        "digests": len({one.digest for one in good}),
        **{
            name: median(getattr(one, name) for one in good) if good else None
            for name in ("events", "reads", "characters", "span_s")
        },
    }
    return told


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    found = spread(values)
    return None if found is None else asdict(found)


def _against(cell: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """Figure → how many times the first place's, and whether their rounds stand apart."""
    told: dict[str, Any] = {}
    for name in _COMPARED:
        if cell[name] and first[name] and first[name]["middle"]:
            own, other = (Spread(one["middle"], one["low"], one["high"]) for one in (cell[name], first[name]))
            told[name] = {"ratio": own.middle / other.middle, "clear": is_clear(own, other)}
    return told
