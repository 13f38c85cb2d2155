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
from ds2api.compare.probing import Probed
from ds2api.compare.question import Work
from ds2api.compare.running import Run
from ds2api.compare.worker import Round

__all__ = ["COMPARED", "SCHEMA", "document"]

SCHEMA = "ds2api-bench/1"
# What is compared with the first place, and whether more of it is better.
COMPARED: Mapping[str, bool] = {
    "answers_per_s": True, "total_s": False, "first_s": False, "event_s": False, "gap_s": False, "cpu_s": False,
}  # fmt: skip
# Times of one answer.
_TIMES: Mapping[str, Callable[[Sample], float | None]] = {
    "total_s": lambda one: one.total_s,
    "first_s": lambda one: one.first_s if one.reads else None,
    "event_s": lambda one: one.span_s / (one.events - 1) if one.reads > 1 else None,
    "gap_s": lambda one: one.gap_s if one.reads > 1 else None,
}


def document(run: Run, places: Sequence[Probed], about: Mapping[str, Any]) -> dict[str, Any]:
    """`about` is what the figures were made with: versions, machine, command line."""
    plan = run.plan
    cells = []
    for work in plan.works:
        for step in plan.steps:
            first: dict[str, Any] | None = None
            for probed in places:
                rounds = run.rounds.get((work.name, step, probed.place.name))
                if rounds:
                    one = _cell(work, step, probed.place.name, rounds)
                    one["against"] = _against(one, first) if first is not None else {}
                    first = first or one
                    cells.append(one)
    budget = run.budget
    told: dict[str, Any] = {
        "schema": SCHEMA,
        **about,
        "loop": "open" if plan.by_rate else "closed",
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "clients": plan.clients,
        "stopped": run.stopped,
        "left_out": dict(run.left_out),
        "works": [asdict(work) for work in plan.works],
        "places": [_place(one) for one in places],
        "spent": {
            "requests": budget.requests,
            "input_tokens": budget.input_tokens,
            "output_tokens": budget.output_tokens,
            "dollars": budget.spent,
        },
        "cells": cells,
    }
    told["doubts"] = [asdict(one) for one in doubts(told)]
    return told


def _place(one: Probed) -> dict[str, Any]:
    place = one.place
    return {
        "name": place.name, "url": place.endpoint().url, "dialect": place.dialect, "model": place.model,
        "of_mock": one.of_mock, "is_local": place.is_local, "connect_s": one.connect_s,
    }  # fmt: skip


def _cell(work: Work, step: int, place: str, rounds: Sequence[Round]) -> dict[str, Any]:
    """One place at one work and step, all its rounds together."""
    all_samples = [one for each in rounds for one in each.samples]
    good = [one for one in all_samples if not one.error]
    bad = [one for one in all_samples if one.error]
    told: dict[str, Any] = {
        "work": work.name,
        "step": step,
        "place": place,
        "answers": len(good),
        "errors": dict(Counter(one.error for one in bad).most_common()),
        "unsent": sum(each.unsent for each in rounds),
        "answers_per_s": _spread([_good_count(each) / each.wall_s for each in rounds]),
        "cpu_s": _spread(
            [each.place_cpu_s / max(_good_count(each), 1) for each in rounds if each.place_cpu_s is not None]
        ),
        "rss_bytes": max((each.place_rss_bytes or 0 for each in rounds), default=0) or None,
    }
    for name, time_of in _TIMES.items():
        by_round = [
            [at for one in each.samples if not one.error and (at := time_of(one)) is not None] for each in rounds
        ]
        times = [at for each in by_round for at in each]
        told[name] = (
            {**quantiles(times), **(_spread([median(each) for each in by_round if each]) or {})} if times else None
        )
    told["seen"] = {
        "client_cpu": median(each.client_cpu for each in rounds),
        "late_p99_s": median(each.late_p99_s for each in rounds),
        "idle": median(idle) if (idle := [each.idle for each in rounds if each.idle is not None]) else None,
        "opened": sum(each.opened for each in rounds),
        "cold_s": rounds[0].first.total_s,
        "total_s_by_round": [median(times) for each in rounds if (times := _totals(each))],
        "error_s": median(one.total_s for one in bad) if bad else None,
        "digests": len({one.digest for one in good}),
        **{
            name: median(getattr(one, name) for one in good) if good else None
            for name in ("events", "reads", "characters", "span_s")
        },
    }  # fmt: skip
    return told


def _good_count(one: Round) -> int:
    return sum(not sample.error for sample in one.samples)


def _totals(one: Round) -> list[float]:
    return [sample.total_s for sample in one.samples if not sample.error]


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    found = spread(values)
    return None if found is None else asdict(found)


def _against(one: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """Figure → how many times the first place's, and whether their rounds stand apart."""
    told: dict[str, Any] = {}
    for name in COMPARED:
        own, other = _as_spread(one[name]), _as_spread(first[name])
        if own is not None and other is not None and other.middle:
            told[name] = {"ratio": own.middle / other.middle, "clear": is_clear(own, other)}
    return told


def _as_spread(told: Mapping[str, Any] | None) -> Spread | None:
    return None if told is None else Spread(told["middle"], told["low"], told["high"])
