"""The pool's table: ours, shuffle and round robin with a cool-down, side by side, on the same seeds.

python3 tools/dev.py bench --pool                 every scenario, told and untold, 20 seeds; the worst is shown.
                                                  Writes bench/results/pool.json and bench/pool/report.html
python3 tools/dev.py bench --pool --seeds 3       for a look
python3 tools/dev.py bench --pool --only "80 %"   the scenarios with this in their name; nothing is written
python3 tools/dev.py bench --pool --cost          only what a decision costs
python3 tools/dev.py bench --pool --sockets       the same scenarios through a real gateway, time compressed
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.pool.cost import costs, table
from bench.pool.report import write_report
from bench.pool.runs import PEERS, WHO, Row, by_scenario, say, worst
from bench.pool.scenarios import SCENARIOS, Times

__all__ = ["main"]

RESULTS = Path(__file__).parent.parent / "results" / "pool.json"
REPORT = Path(__file__).parent / "report.html"
# The loads of the report's curves, and which scenario they are of.
LOADS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1, 1.25, 1.5, 2.0)
_CURVE, _CURVE_SEEDS = 1, 3
_FOOT = "Each cell: goodput of the ideal's / clients that saw an error / waste / affinity / wait p99; the worst seed of"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --pool", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", metavar="TEXT", help="only the scenarios with TEXT in their name")
    parser.add_argument("--cost", action="store_true", help="only what a decision costs")
    parser.add_argument("--sockets", action="store_true", help="through a real gateway")
    parser.add_argument("--check", action="store_true", help="exit status 1 if ours misses a goal")
    options = parser.parse_args(arguments)
    wanted = [number for number, one in enumerate(SCENARIOS) if options.only in one.name]
    if options.sockets:
        from bench.pool.sockets import main as through_sockets

        return through_sockets(wanted, check=options.check)
    if options.cost:
        text, reached = table(costs(say))
        print(text)
        return 1 if options.check and not reached else 0
    found, missed = _scenarios(wanted, options.seeds)
    if not options.only:
        found["curves"] = _curves(min(options.seeds, _CURVE_SEEDS))
        measured = costs(say)
        text, _ = table(measured)
        print(f"\nA decision (acquire, hear, settle):\n{text}")
        found["cost"] = [asdict(one) for one in measured]
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1))
        REPORT.write_text(write_report(found), encoding="utf-8")
        print(f"\nwritten: {RESULTS.relative_to(Path.cwd())}, {REPORT.relative_to(Path.cwd())}")
    return 1 if missed and options.check else 0


def _scenarios(wanted: Sequence[int], seeds: int) -> tuple[dict[str, Any], int]:
    rows: list[dict[str, Any]] = []
    print("| scenario | limits | ours | shuffle | round robin | ideal | ours missed |\n|---|---|---|---|---|---|---|")
    for scenario, found in by_scenario([(number, None) for number in wanted], seeds, Times()):
        shown = {who: worst(found[who]) for who in WHO}
        for who in WHO[:2]:
            cells = " | ".join(_cell(shown[one]) for one in (who, *WHO[2:]))
            limits = who.partition(", ")[2]
            print(f"| {scenario.name} | {limits} | {cells} | {'; '.join(shown[who].missed)} |", flush=True)
        rows.append({"scenario": scenario.name} | {who: asdict(row) for who, row in shown.items()})
    missed = sum(bool(row[who]["missed"]) for row in rows for who in WHO[:2])
    peers = {who: sum(not row[who]["missed"] for row in rows) for who in PEERS}
    print(
        f"\n{_FOOT} {seeds}.\nours missed a goal in {missed} of {2 * len(rows)} rows; all goals are met in "
        + " and ".join(f"{count} of {len(rows)} scenarios by {who}" for who, count in peers.items())
    )
    python = f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores"
    return {"python": python, "seeds": seeds, "scenarios": rows}, missed


def _curves(seeds: int) -> list[dict[str, Any]]:
    wanted = [(_CURVE, load) for load in LOADS]
    return [
        {"load": scenario.load} | {who: asdict(worst(rows)) for who, rows in found.items()}
        for scenario, found in by_scenario(wanted, seeds, Times())
    ]


def _cell(row: Row) -> str:
    return f"{row.goodput:.3f} / {row.seen} / {row.waste:.3f} / {row.affinity:.2f} / {row.wait_p99_s:.2f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
