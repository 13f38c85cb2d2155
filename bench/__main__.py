"""Measures direct, floor, ours and nginx in one run, and prints one table.

    python3 tools/dev.py bench            five interleaved rounds, a few minutes
    python3 tools/dev.py bench --quick    one short round, for a look
    python3 tools/dev.py bench --goals    exit status 1 if a goal is missed
    python3 tools/dev.py bench --check    the guard: calls, writes, objects; without a clock or a compiler
    python3 tools/dev.py bench --pool     the account pool against the rules of real providers, in virtual time
    python3 tools/dev.py bench --overload several times the load that provider and gateway have room for
    python3 tools/dev.py bench --pairs    each of six clients over each of six upstreams: streams a second
    python3 tools/dev.py bench --further  TLS to the upstream, what is added to the wait, growth with size
    python3 tools/dev.py bench --profile "stream, fast chat→messages"

Only ratios within one run mean something on a shared machine: every case is done by each relay in turn, round after
round, and the figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench import counts, page
from bench.cases import EVENTS, PROTOCOLS, Case, cases, pairs
from bench.flame import flame_graph, hottest
from bench.further import measure_all as measure_further
from bench.limits import measure_all
from bench.processes import Processes, Relay

SCALE = {"request": ("ms", 1e3), "stream": ("ms", 1e3), "event": ("µs", 1e6)}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured (default 5)")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", metavar="TEXT", help="only the cases with TEXT in their name")
    parser.add_argument("--pairs", action="store_true", help="the table of all 36 pairs instead")
    parser.add_argument("--paced", action="store_true", help="of --pairs: an event each 20 ms, beside the floor")
    parser.add_argument("--further", action="store_true", help="TLS to the upstream, what is added, growth with size")
    parser.add_argument("--goals", action="store_true", help="exit status 1 if a goal is missed")
    parser.add_argument("--check", action="store_true", help="the guard: counts without a clock; no compiler needed")
    parser.add_argument("--limits", action="store_true", help="memory, start, a large body, a slow reader; no compiler")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md from the last results of all")
    parser.add_argument("--record", action="store_true", help="write what the guard counts now to bench/counts.json")
    parser.add_argument("--count", metavar="PATH", help="what the guard counts in one path, function by function")
    parser.add_argument("--profile", metavar="CASE", help="where the time goes in one case, instead of measuring")
    parser.add_argument("--flame", metavar="FILE", default="profile.svg", help="where --profile draws its flame graph")
    parser.add_argument("--pool", action="store_true", help="how the pool of accounts schedules, in virtual time")
    parser.add_argument("--overload", action="store_true", help="several times the load that there is room for")
    options, others = parser.parse_known_args()
    if options.overload:
        from bench.overload import main as overload

        return overload()
    if options.pool:
        from bench.pool.__main__ import main as pool

        return pool(others)
    if others:
        parser.error(f"unknown: {' '.join(others)}")
    if options.check:
        return counts.check_all()
    if options.record:
        return counts.record()
    if options.limits:
        found = measure_all()
        print("\n".join(f"{value:10.2f}  {name}" for name, value in found.items()))
        page.save("limits", found)
        return 0
    if options.further:
        page.save("further", further := measure_further(measure, quick=options.quick))
        print("".join(page.further_lines(further)))
        return 0
    if options.page:
        return page.write()
    if options.count:
        return counts.show(options.count)
    wanted = [case for case in cases(quick=options.quick) if not options.only or options.only in case.name]
    if options.profile:
        case = next((case for case in wanted if case.name == options.profile), None)
        return profile(case, wanted, Path(options.flame))
    rounds = 1 if options.quick else options.rounds
    if options.pairs and options.paced:
        return report_paced_pairs(pairs(quick=options.quick, paced=True), rounds)
    if options.pairs:
        return report_pairs(pairs(quick=options.quick), rounds, check=options.goals)
    with Processes() as processes:
        relays = [processes.direct(), processes.floor(), processes.ours()]
        nginx = processes.nginx()
        if nginx is not None:
            relays.append(nginx)
        idle = {relay.name: relay.rss_bytes() for relay in relays}
        for case in wanted:  # not counted: connections, caches, branch predictors
            for relay in relays:
                measure(processes, relay, case, share=0.1)
        figures: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for number in range(rounds):
            for case in wanted:
                print(f"\rround {number + 1} of {rounds}: {case.name:<45}", end="", file=sys.stderr, flush=True)
                for relay in relays:
                    figures.setdefault((case.name, relay.name), []).append(measure(processes, relay, case))
        print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
        memory = {relay.name: (idle[relay.name], relay.rss_bytes()) for relay in relays}
    return report(wanted, figures, memory, rounds, has_nginx=nginx is not None, check=options.goals)


def report_pairs(wanted: list[Case], rounds: int, *, check: bool) -> int:
    """Streams a second of CPU for each pair, and the same beside what relaying the client's own protocol gives."""
    figures: dict[str, list[float]] = {}
    with Processes() as processes:
        ours = processes.ours()
        for number in range(-1, rounds):  # the first is not counted
            for case in wanted:
                print(f"\rround {max(number, 0) + 1} of {rounds}: {case.name:<45}", end="", file=sys.stderr, flush=True)
                seen = measure(processes, ours, case, share=0.1 if number < 0 else 1.0)
                if number >= 0:
                    figures.setdefault(case.name, []).append(1 / seen["cpu"])
    print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    print(f"Streams of {EVENTS} events for one second of CPU (× relaying the client's own protocol), {rounds} rounds\n")
    print("| client ↓ upstream → | " + " | ".join(PROTOCOLS) + " |")
    print("|---" * (len(PROTOCOLS) + 1) + "|")
    missed = []
    page.save("pairs", {"rounds": rounds, "streams_a_cpu_second": {name: median(one) for name, one in figures.items()}})
    for client in PROTOCOLS:
        own = median(figures[f"{client}→{client}"])
        row = []
        for upstream in PROTOCOLS:
            rate = median(figures[f"{client}→{upstream}"])
            row.append(f"{rate:,.0f} ({rate / own:.2f})")
            if rate < 0.5 * own:
                missed.append(f"{client}→{upstream}")
        print(f"| {client} | " + " | ".join(row) + " |")
    print(
        "\n" + ("no pair is below half of relaying" if not missed else "below half of relaying: " + ", ".join(missed))
    )
    return 1 if missed and check else 0


def report_paced_pairs(wanted: list[Case], rounds: int) -> int:
    """CPU of an event that comes alone, as a multiple of the floor's for chat's events."""
    seen: dict[str, list[float]] = {}
    with Processes() as processes:
        floor, ours = processes.floor(), processes.ours()
        for number in range(rounds):
            for case in wanted:
                print(f"\rround {number + 1} of {rounds}: {case.name:<45}", end="", file=sys.stderr, flush=True)
                if case.client == case.model.partition("-")[0]:  # once for each row
                    beside = measure(processes, floor, replace(case, client="chat", model="chat-paced"))["cpu"]
                    seen.setdefault("floor", []).append(beside)
                seen.setdefault(case.name, []).append(measure(processes, ours, case)["cpu"])
    print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    found = {name: median(values) * 1e6 for name, values in seen.items()}
    page.save("paced_pairs", {"rounds": rounds, "us_an_event": found})
    print("".join(page.paced_lines(found)))
    return 0


def measure(processes: Processes, relay: Relay, case: Case, share: float = 1.0) -> dict[str, Any]:
    """One case through one relay: what the load generator saw, and the relay's CPU seconds a unit."""
    requests = max(case.connections if case.unit == "event" else 1, int(case.requests * share))
    # The plain relays cannot translate: for them the client speaks what the upstream does.
    client = case.client if relay.name == "ours" else case.model.partition("-")[0]
    before = relay.cpu_s()
    seen = processes.load(relay.port, client, case.model, case.connections, requests, case.pad, case.fields)
    seen["cpu"] = (relay.cpu_s() - before) / (requests * (EVENTS if case.unit == "event" else 1))
    return seen


def report(
    wanted: list[Case],
    figures: dict[tuple[str, str], list[dict[str, Any]]],
    memory: dict[str, tuple[int, int]],
    rounds: int,
    *,
    has_nginx: bool,
    check: bool,
) -> int:
    missed = []
    figures_of: dict[str, Any] = {}
    floor_hash = hashlib.sha256((Path(__file__).parent / "floor.py").read_bytes()).hexdigest()[:16]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{python}, {os.cpu_count()} cores (one for the relay), {rounds} rounds, medians; floor {floor_hash}\n")
    print("| work | unit | floor | nginx | ours | ours ÷ floor | ours a second | added p50 | added p99 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in wanted:
        word, scale = SCALE[case.unit]

        def cpu(relay: str, case: Case = case) -> float:
            return median(one["cpu"] for one in figures[case.name, relay])

        ratio = cpu("ours") / cpu("floor")
        nginx = f"{cpu('nginx') * scale:.3f} {word}" if has_nginx else "absent"
        counted = "events" if case.unit == "event" else "answers"
        rate = median(one[counted] / one["seconds"] for one in figures[case.name, "ours"])
        latency = "delay_us" if case.unit == "event" else "first_us"
        added = [
            median(one[latency][place] for one in figures[case.name, "ours"])
            - median(one[latency][place] for one in figures[case.name, "direct"])
            for place in (0, 1)
        ]
        print(
            f"| {case.name} | {case.unit} | {cpu('floor') * scale:.3f} {word} | {nginx} "
            f"| {cpu('ours') * scale:.3f} {word} | **{ratio:.2f}** | {rate:,.0f} "
            f"| {added[0] / 1e3:.2f} ms | {added[1] / 1e3:.2f} ms |"
        )
        figures_of[case.name] = {
            relay: {"cpu_s": cpu(relay), "all_cpu_s": [one["cpu"] for one in figures[case.name, relay]]}
            for relay in ("floor", "ours", *(("nginx",) if has_nginx else ()))
        } | {"unit": case.unit, "ours_a_second": rate, "added_us": added, "goal": case.goal}
        if case.goal_ratio is not None and ratio > case.goal_ratio:
            missed.append(f"{case.name}: {ratio:.2f} × floor, the goal is {case.goal_ratio}")
        if case.goal_ms is not None and cpu("ours") * 1e3 > case.goal_ms:
            missed.append(f"{case.name}: {cpu('ours') * 1e3:.3f} ms, the goal is {case.goal_ms}")
    events = [case for case in wanted if case.unit == "stream"]
    if events:
        print()
        for case in events:
            each = median(one["events"] / one["seconds"] for one in figures[case.name, "ours"])
            cpu_event = median(one["cpu"] for one in figures[case.name, "ours"]) / EVENTS * 1e6
            print(f"{case.name}: {each:,.0f} events/s, {cpu_event:.2f} µs CPU an event")
    print("\nmemory (idle → after the run): ", end="")
    print(", ".join(f"{name} {a / 1e6:.0f} → {b / 1e6:.0f} MB" for name, (a, b) in memory.items() if b))
    print("\n" + ("every goal is reached" if not missed else "missed:\n  " + "\n  ".join(missed)))
    page.save("cases", {"rounds": rounds, "floor": floor_hash, "cases": figures_of})
    return 1 if missed and check else 0


def profile(case: Case | None, wanted: list[Case], file: Path) -> int:
    """Sample ours during one case: a flame graph in `file`, and the dearest functions on the screen."""
    if case is None:
        print("there is no such case; there are:\n  " + "\n  ".join(one.name for one in wanted), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        with Processes() as processes:
            relay = processes.ours(["-m", "bench.sampler", str(stacks)])
            for number in range(4):
                print(f"\r{case.name}: part {number + 1} of 4", end="", file=sys.stderr, flush=True)
                measure(processes, relay, case)
        lines = [line for line in stacks.read_text(encoding="utf-8").splitlines() if "asyncio/runners.py" in line]
    print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    file.write_text(flame_graph(lines, case.name), encoding="utf-8")
    print("itself  with inner")
    for name, own, whole in hottest(lines):
        print(f"{own:6.1%}  {whole:6.1%}  {name}")
    print(f"the flame graph is in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
