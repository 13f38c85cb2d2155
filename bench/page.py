"""Writes docs/performance.md from the last results of each part of the bench (`bench/results/*.json`)."""

from __future__ import annotations

import json
import os
import platform
from html import escape
from pathlib import Path
from typing import Any

from bench import counts
from bench.cases import PROTOCOLS
from bench.further import plot as growth_plot

__all__ = ["save", "write"]

_ROOT = Path(__file__).parent.parent
_RESULTS = Path(__file__).parent / "results"
_SCALE = {"request": ("ms", 1e3), "stream": ("ms", 1e3), "event": ("µs", 1e6)}

_OPENING = """# Performance

This page is written by the bench (`python3 tools/dev.py bench --page`) from its last results.

**What it does not show.** How fast a model answers: the upstream here is a mock that costs nearly nothing, so that what
is left is the gateway. A network: everything is loopback on one machine. Absolute times of your machine: only the
ratios of CPU within one run mean something, and even they move with a busy neighbour; the spread is in the last column.
A gateway at rest: "paced" streams keep a core a third busy, "fast" and "small" ones all of it, so that what they add
to the first byte is the queue in front of one core. How dear *fast* streams are beside the floor: that depends on how
many events happen to come in one read: the floor's own figure is 0.13 ms a stream where another program slows the
mock down and many come at once, and 0.58 where nothing does; ours is 0.6 in both. 10,000 streams that all run at once
are not measured. Python itself: an interpreter built without profile-guided optimisation, as the one here may be,
takes about a tenth more.

**What is compared.** *floor*: a relay of some 50 lines on uvloop that looks at nothing but lengths, the least that
Python can cost. *nginx* with `proxy_buffering off`. *ours*: a caller's key, three accounts, affinity, the access log.
Every answer has an id of its own. `bench/README.md` says how it is done, and what was tried.
"""


def save(name: str, found: dict[str, Any]) -> None:
    """Keep `found` as the last result of one part."""
    _RESULTS.mkdir(exist_ok=True)
    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }
    machine["load"] = round(os.getloadavg()[0], 1)
    text = json.dumps({"machine": machine, "found": found}, ensure_ascii=False, indent=1)
    (_RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def write() -> int:
    """The page, and its plot beside it."""
    results = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(_RESULTS.glob("*.json"))}
    parts = [_OPENING]
    if "cases" in results:
        found = results["cases"]["found"]
        parts += [_heading("Work, side by side", results["cases"], found["rounds"]), *_cases(found["cases"])]
        picture = _ROOT / "docs" / "performance.svg"
        picture.write_text(_plot(found["cases"]), encoding="utf-8")
        parts.append("\n![CPU as a multiple of the floor's](performance.svg)\n")
    if "pairs" in results:
        found = results["pairs"]["found"]
        parts += [_heading("All pairs", results["pairs"], found["rounds"]), *_pairs(found["streams_a_cpu_second"])]
    if "paced_pairs" in results:
        found = results["paced_pairs"]["found"]
        title = "All pairs, an event each 20 ms"
        parts += [_heading(title, results["paced_pairs"], found["rounds"]), *paced_lines(found["us_an_event"])]
    if "further" in results:
        found = results["further"]["found"]
        parts += [_heading("TLS, what is added, growth", results["further"], found["rounds"]), *further_lines(found)]
        (_ROOT / "docs" / "growth.svg").write_text(growth_plot(found), encoding="utf-8")
        parts.append("\n![What an event costs by streams at once, and a byte by the size of its body](growth.svg)\n")
    if "limits" in results:
        parts += [_heading("Memory, start, what is large or slow", results["limits"], 1), "| what | |\n|---|---|\n"]
        parts += [f"| {name} | {value:.2f} |\n" for name, value in results["limits"]["found"].items()]
    parts += ["\n## What guards it\n\n", _GUARD, *_counts()]
    (_ROOT / "docs" / "performance.md").write_text("".join(parts), encoding="utf-8")
    print("docs/performance.md is written")
    return 0


_GUARD = """Part of the tests (`bench --check`): calls of Python functions, JSON documents read, writes, objects that an
open stream keeps alive, for every pair; a path that gets dearer fails by its name.

"""


def _heading(title: str, result: dict[str, Any], rounds: int) -> str:
    machine = result["machine"]
    return (
        f"\n## {title}\n\nCPython {machine['python']}, {machine['system']}, {machine['cores']} shared cores "
        f"(load {machine['load']:g}, the bench's own 2 included), "
        f"{rounds} interleaved round{'' if rounds == 1 else 's'}, medians.\n\n"
    )


def _cases(cases: dict[str, Any]) -> list[str]:
    lines = ["| work | unit | floor | nginx | ours | ours ÷ floor | goal | added p50 / p99 | spread of ours |\n"]
    lines.append("|---" * 9 + "|\n")
    for name, one in cases.items():
        word, scale = _SCALE[one["unit"]]
        nginx = f"{one['nginx']['cpu_s'] * scale:.3f}" if "nginx" in one else "absent"
        added = " / ".join(f"{value / 1000:.2f}" for value in one["added_us"])
        every = [value * scale for value in one["ours"]["all_cpu_s"]]
        lines.append(
            f"| {name} | {one['unit']} | {one['floor']['cpu_s'] * scale:.3f} | {nginx} "
            f"| {one['ours']['cpu_s'] * scale:.3f} {word} | {one['ours']['cpu_s'] / one['floor']['cpu_s']:.2f} "
            f"| {one['goal']} | {added} ms | {min(every):.3f} … {max(every):.3f} |\n"
        )
    return lines


def _pairs(rates: dict[str, float]) -> list[str]:
    lines = ["Streams of 200 events for one second of CPU, as fast as they come.\n\n"]
    lines.append("| client ↓ upstream → | " + " | ".join(PROTOCOLS) + " |\n" + "|---" * (len(PROTOCOLS) + 1) + "|\n")
    for client in PROTOCOLS:
        row = [f"{rates[f'{client}→{upstream}']:,.0f}" for upstream in PROTOCOLS]
        lines.append(f"| {client} | " + " | ".join(row) + " |\n")
    return lines


def paced_lines(found: dict[str, float]) -> list[str]:
    """The table of `--pairs --paced`."""
    lines = [f"CPU of an event as a multiple of the floor's ({found['floor']:.1f} µs, an event of chat).\n\n"]
    lines.append("| client ↓ upstream → | " + " | ".join(PROTOCOLS) + " |\n" + "|---" * (len(PROTOCOLS) + 1) + "|\n")
    for client in PROTOCOLS:
        row = [f"{found[f'{client}→{upstream}'] / found['floor']:.2f}" for upstream in PROTOCOLS]
        lines.append(f"| {client} | " + " | ".join(row) + " |\n")
    return lines


def further_lines(found: dict[str, Any]) -> list[str]:
    """The tables of `--further`."""
    lines = ["| over TLS to the upstream | floor | ours | ours ÷ floor | goal |\n", "|---" * 5 + "|\n"]
    for name, one in found.get("tls", {}).items():
        word, scale = _SCALE[one["unit"]]
        figures = f"{one['floor'] * scale:.3f} | {one['ours'] * scale:.3f} {word} | {one['ours'] / one['floor']:.2f}"
        lines.append(f"| {name} | {figures} | {one['goal']} |\n")
    lines += ["\n| what is added to | p50 | p99 |\n", "|---" * 3 + "|\n"]
    lines += [f"| {name} | {middle:.2f} | {worst:.2f} ms |\n" for name, (middle, worst) in found["adds"].items()]
    for kind, word, scale in (("streams", "µs an event", 1e6), ("bodies", "ms a request", 1e3)):
        names = found[kind]
        lines += [f"\n| {word} | " + " | ".join(names) + " |\n", "|---" * (len(names) + 1) + "|\n"]
        for relay in ("floor", "ours"):
            lines.append(f"| {relay} | " + " | ".join(f"{one[relay] * scale:.3g}" for one in names.values()) + " |\n")
    return lines


def _counts() -> list[str]:
    known = counts.recorded()
    lines = ["| calls: a whole JSON request; an event that comes alone, text / tool arguments | "]
    lines.append(" | ".join(counts.UPSTREAMS) + " |\n" + "|---" * (len(counts.UPSTREAMS) + 1) + "|\n")
    for client in counts.PATHS:
        row = []
        for upstream in counts.UPSTREAMS:
            whole, text, tools = (known.get(f"{kind} {client}→{upstream}", {}) for kind in ("JSON", "stream", "tools"))
            each = f"{tools['event_calls']:.0f}" if tools else "–"
            row.append(f"{whole['calls']:.0f}; {text['event_calls']:.0f} / {each}")
        lines.append(f"| {client} | " + " | ".join(row) + " |\n")
    return lines


def _plot(cases: dict[str, Any]) -> str:
    """A bar for each stream: CPU as a multiple of the floor's, with the goal as a line."""
    shown = {name: one for name, one in cases.items() if one["unit"] != "request"}
    ratios = {name: one["ours"]["cpu_s"] / one["floor"]["cpu_s"] for name, one in shown.items()}
    scale = 480 / max([*ratios.values(), 2.5])
    rows = []
    for place, (name, ratio) in enumerate(ratios.items()):
        y, goal = 10 + place * 24, float(shown[name]["goal"].partition(" ")[0])
        rows.append(
            f'<text x="205" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="212" y="{y}" width="{ratio * scale:.1f}" height="18" fill="#4a7"/>'
            f'<text x="{218 + ratio * scale:.1f}" y="{y + 14}">{ratio:.2f} ×</text>'
            f'<path d="M{212 + goal * scale:.1f} {y - 2}v22" stroke="#b33" stroke-width="2"/>'
        )
    height = 20 + 24 * len(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="760" height="{height}" fill="#fff"/>{"".join(rows)}</svg>\n'
    )
