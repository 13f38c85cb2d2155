"""The pool's table: ours, shuffle and round robin with a cool-down, side by side, on the same seeds.

python3 tools/dev.py bench --pool                 every scenario, told and untold, 20 seeds; the worst is shown
python3 tools/dev.py bench --pool --seeds 3       for a look
python3 tools/dev.py bench --pool --only "80 %"
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.pool.runs import WHO, Row, by_scenario, worst
from bench.pool.scenarios import SCENARIOS, Times

RESULTS = Path(__file__).parent.parent / "results" / "pool.json"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --pool", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", metavar="TEXT", help="only the scenarios with TEXT in their name")
    parser.add_argument("--check", action="store_true", help="exit status 1 if ours misses a goal")
    options = parser.parse_args(arguments)
    wanted = [number for number, one in enumerate(SCENARIOS) if options.only in one.name]
    table: list[dict[str, object]] = []
    missed = 0
    print("| scenario | limits | ours | shuffle | round robin | ours missed |\n|---|---|---|---|---|---|")
    for scenario, rows in by_scenario(wanted, options.seeds, Times()):
        shown = {who: worst(rows[who]) for who in WHO}
        for who in WHO[:2]:
            ours = shown[who]
            missed += bool(ours.missed)
            print(
                f"| {scenario.name} | {who.partition(', ')[2]} | {_cell(ours)} | {_cell(shown['shuffle'])} "
                f"| {_cell(shown['round robin'])} | {'; '.join(ours.missed)} |",
                flush=True,
            )
        table.append({"scenario": scenario.name, "load": scenario.load} | {who: asdict(shown[who]) for who in WHO})
    peers = {who: sum(not row[who]["missed"] for row in table) for who in WHO[2:]}  # type: ignore[index]
    print(
        f"\nEach cell: goodput of the ideal's / clients that saw an error / waste / affinity / wait p99; the worst of "
        f"{options.seeds} seeds.\nours missed a goal in {missed} of {2 * len(wanted)} rows; all goals are met in "
        + " and ".join(f"{count} of {len(wanted)} scenarios by {who}" for who, count in peers.items())
        + "."
    )
    if not options.only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(
            json.dumps({"python": platform.python_version(), "seeds": options.seeds, "table": table}, indent=1)
        )
    return 1 if missed and options.check else 0


def _cell(row: Row) -> str:
    return f"{row.goodput:.3f} / {row.seen} / {row.waste:.3f} / {row.affinity:.2f} / {row.wait_p99_s:.2f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
