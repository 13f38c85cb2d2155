"""What one table cannot hold: TLS to the upstream, what the gateway adds to the wait, and how cost grows with size.

    python3 tools/dev.py bench --further      some four minutes; `--quick`: one round of each, half of that

* TLS: nginx gives the mock its TLS, on the core of the mock; the floor is `floor_tls.py`.
* What it adds: the first byte of a small request that comes alone; and each event of 500 paced, translated streams,
  beside the mock asked directly.
* Growth: CPU of an event from 1 to 3,000 streams that run at once (each an event every 20 ms: beyond some 1,000 the
  core is full, and several come in one read), and of a byte of a request from 1 KB to 10 MB.
"""

from __future__ import annotations

import sys
from html import escape
from statistics import median
from typing import Any

from bench.cases import Case, over_tls
from bench.processes import Processes, Relay

__all__ = ["measure_all", "plot"]

_STREAMS = (1, 10, 100, 300, 1_000, 3_000)
_BODY_BYTES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
Measure = Any  # of the command line: (processes, relay, case, share) → what was seen


def measure_all(measure: Measure, *, quick: bool) -> dict[str, Any]:
    """Everything, by its name."""
    rounds = 1 if quick else 3
    with Processes() as processes:
        direct, floor, ours = processes.direct(), processes.floor(), processes.ours()
        found = {"rounds": rounds, "adds": _adds(measure, processes, direct, ours, rounds)}
        found["streams"] = _growth(measure, processes, floor, ours, [_paced(count) for count in _STREAMS])
        found["bodies"] = _growth(measure, processes, floor, ours, [_body(size) for size in _BODY_BYTES])
        port = processes.tls_mock()
        if port is not None:
            relays = [processes.floor_tls(port), processes.ours(tls_mock_port=port)]
            found["tls"] = {}
            for case in over_tls(quick=quick):
                seen = _side_by_side(measure, processes, relays, case, rounds)
                found["tls"][case.name] = {"unit": case.unit, "goal": case.goal, **seen}
    print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    return found


def _paced(streams: int) -> Case:
    return Case(f"{streams:,} streams", "chat", "chat-paced", streams, streams, "event")


def _body(size: int) -> Case:
    count = max(4, min(400, 8_000_000 // size))
    return Case(f"{size:,} bytes", "chat", "chat-small", 2, count, pad=size)


def _say(what: str) -> None:
    print(f"\r{what:<70}", end="", file=sys.stderr, flush=True)


def _side_by_side(
    measure: Measure, processes: Processes, relays: list[Relay], case: Case, rounds: int
) -> dict[str, float]:
    """CPU seconds of a unit for each relay."""
    seen: dict[str, list[float]] = {relay.name: [] for relay in relays}
    for number in range(-1, rounds):  # the first is not counted
        _say(f"{case.name}, round {max(number, 0) + 1} of {rounds}")
        for relay in relays:
            cpu = measure(processes, relay, case, 0.1 if number < 0 else 1.0)["cpu"]
            if number >= 0:
                seen[relay.name].append(cpu)
    return {name: median(values) for name, values in seen.items()}


def _growth(
    measure: Measure, processes: Processes, floor: Relay, ours: Relay, cases: list[Case]
) -> dict[str, dict[str, float]]:
    return {case.name: _side_by_side(measure, processes, [floor, ours], case, 1) for case in cases}


def _adds(measure: Measure, processes: Processes, direct: Relay, ours: Relay, rounds: int) -> dict[str, list[float]]:
    """Milliseconds that ours adds at the middle and at the hundredth."""
    alone = Case("first byte of a request that comes alone", "chat", "chat-small", 1, 500)
    streams = Case("an event of 500 paced streams, chat→messages", "chat", "messages-paced", 500, 500, "event")
    added = {}
    for case, what in ((alone, "first_us"), (streams, "delay_us")):
        seen: dict[str, list[list[float]]] = {"direct": [], "ours": []}
        for number in range(-1, rounds):
            _say(f"{case.name}, round {max(number, 0) + 1} of {rounds}")
            for relay in (direct, ours):
                one = measure(processes, relay, case, 0.2 if number < 0 else 1.0)[what]
                if number >= 0:
                    seen[relay.name].append(one)
        added[case.name] = [
            (median(one[place] for one in seen["ours"]) - median(one[place] for one in seen["direct"])) / 1000
            for place in (0, 1)
        ]
    return added


def plot(found: dict[str, Any]) -> str:
    """Two curves each, ours and the floor: µs of an event by streams, and ns of a byte by the size of a body."""
    panels = [
        ("µs CPU an event, by streams at once", found["streams"], 1e6, None),
        ("ns CPU a byte, by bytes of a request", found["bodies"], 1e9, 1),
    ]
    parts = []
    for place, (title, rows, scale, divided) in enumerate(panels):
        left = 20 + 380 * place
        sizes = [int(name.split()[0].replace(",", "")) for name in rows]
        curves = {
            name: [row[name] * scale / (size if divided else 1) for size, row in zip(sizes, rows.values(), strict=True)]
            for name in ("floor", "ours")
        }
        most = max(max(values) for values in curves.values()) * 1.1
        parts.append(f'<text x="{left}" y="20">{escape(title)}</text>')
        for name, colour in (("floor", "#888"), ("ours", "#4a7")):
            points = []
            for step, (size, value) in enumerate(zip(sizes, curves[name], strict=True)):
                x, y = left + 20 + 330 * step / (len(sizes) - 1), 215 - 175 * value / most
                above = y - 7 if name == "ours" else y + 15
                points.append(f"{x:.0f},{y:.0f}")
                parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>')
                parts.append(
                    f'<text x="{x:.0f}" y="{above:.0f}" text-anchor="middle" fill="{colour}">{value:.3g}</text>'
                )
                parts.append(f'<text x="{x:.0f}" y="248" text-anchor="middle">{size:,}</text>')
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 790 260" font-family="sans-serif" font-size="11">'
        f'<rect width="790" height="260" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
