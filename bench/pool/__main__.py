"""The pool's table: ours, shuffle and round robin with a cool-down, side by side, on the same seeds.

python3 tools/dev.py bench --pool                 every scenario, told and untold, 20 seeds; the worst is shown
python3 tools/dev.py bench --pool --seeds 3       for a look
python3 tools/dev.py bench --pool --only "80 %"
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from random import Random

from bench.pool.scenarios import SCENARIOS, Scenario, World
from bench.pool.schedulers import Cooldown, Ideal
from bench.pool.simulate import Figures, Scheduler, Simulation
from ds2api.accounts import Pool


def run(scenario: Scenario, who: str, told: bool, seed: int) -> tuple[Figures, World]:
    world = scenario.make(Random(seed), told)
    scheduler: Scheduler
    if who == "ours":
        scheduler = Pool(world.accounts)
    elif who == "ideal":
        scheduler = Ideal(world.accounts, world.providers)
    else:
        scheduler = Cooldown(world.accounts, Random(seed) if who == "shuffle" else None)
    simulation = Simulation(scheduler, world.providers, world.turns, until=world.until, since=world.since)
    if isinstance(scheduler, Ideal):
        scheduler.simulation = simulation
    return simulation.run(), world


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench --pool", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    print("| scenario | who | goodput | visible | waste | affinity | wait p50 | wait p99 | missed |")
    print("|---|---|---|---|---|---|---|---|---|")
    missed_count = 0
    for scenario in [one for one in SCENARIOS if options.only in one.name]:
        for told in (True, False):
            ideals = [run(scenario, "ideal", told, seed)[0] for seed in range(options.seeds)]
            for who in ("ours", "shuffle", "round robin"):
                print(f"\r{scenario.name} {who}".ljust(70), end="", file=sys.stderr, flush=True)
                runs = [run(scenario, who, told, seed)[0] for seed in range(options.seeds)]
                pairs = list(zip(runs, ideals, strict=True))
                shares = [one.served_units / max(1.0, ideal.served_units) for one, ideal in pairs]
                worst = min(range(len(runs)), key=lambda number: shares[number])
                missed = sorted({
                    found
                    for one, ideal in pairs
                    for _, goal in scenario.must
                    if (found := goal(one, ideal)) is not None
                })[:3]  # fmt: skip
                missed_count += bool(missed) and who == "ours"
                print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
                print(
                    f"| {scenario.name}{'' if told else ', untold'} | {who} | {shares[worst]:.3f} "
                    f"| {max(sum(one.visible.values()) for one in runs)} | {max(one.waste for one in runs):.3f} "
                    f"| {min(one.affinity for one in runs):.3f} | {max(one.wait_s(0.5) for one in runs):.2f} s "
                    f"| {max(one.wait_s(0.99) for one in runs):.2f} s | {'; '.join(missed)} |"
                )
    print(f"\nours missed goals in {missed_count} of {2 * len(SCENARIOS)} rows" if not options.only else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
