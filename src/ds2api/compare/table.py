"""The document as text, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from ds2api.text_table import clean, table

__all__ = ["COLUMNS", "shown_rate", "shown_time", "step_words", "text_of", "verdict"]

Told = Mapping[str, Any]

# Heading, figure, percentile; the last two columns are made apart. Streams have all, JSON those without "first".
COLUMNS: Mapping[bool, Sequence[tuple[str, str, str]]] = {
    False: (("p50", "total_s", "p50"), ("p95", "total_s", "p95"), ("p99", "total_s", "p99")),
    True: (
        ("FIRST p50", "first_s", "p50"), ("p95", "first_s", "p95"), ("p99", "first_s", "p99"),
        ("EVENT p50", "event_s", "p50"), ("GAP p95", "gap_s", "p95"), ("WHOLE p50", "total_s", "p50"),
    ),
}  # fmt: skip
# What a work is about: the figure whose comparison is the verdict, the best first.
_HEADLINES: Mapping[str, tuple[str, ...]] = {
    "json": ("answers_per_s", "total_s"), "stream": ("answers_per_s", "first_s"), "paced": ("first_s", "gap_s"),
}  # fmt: skip
_NAMES = {
    "answers_per_s": "answers/s", "total_s": "time", "first_s": "first", "event_s": "event", "gap_s": "gap",
    "cpu_s": "CPU",
}  # fmt: skip


def text_of(told: Told, width: int) -> list[str]:
    """All of it, no line wider than `width`."""
    lines: list[str] = []
    for work in told["works"]:
        for step in dict.fromkeys(cell["step"] for cell in told["cells"] if cell["work"] == work["name"]):
            cells = [cell for cell in told["cells"] if (cell["work"], cell["step"]) == (work["name"], step)]
            first = cells[0]["place"]
            headings = [f"{work['name'].upper()} {step_words(told, step)}", ">ANSWERS/S"]
            headings += [f">{heading}" for heading, _, _ in COLUMNS[work["stream"]]]
            headings += [">CPU", ">FAILED", f"AGAINST {clean(first)}" if len(cells) > 1 else ""]
            lines += [*table(headings, [_row(cell, work["stream"]) for cell in cells], width), ""]
    for name, why in told["left_out"].items():
        lines += wrap(f"{clean(name)} was left out: it {why}.", width)
    if told["stopped"]:
        lines += wrap(f"Ended early: {told['stopped']}.", width)
    for doubt in told["doubts"]:
        lines += wrap(f"{'!' if doubt['is_grave'] else '·'} {clean(doubt['text'])}", width, subsequent_indent="  ")
    return lines


def step_words(told: Told, step: int) -> str:
    return f"{step}/s" if told["loop"] == "open" else f"×{step}"


def shown_time(seconds: float | None) -> str:
    """``0.31 ms``, ``12.4 ms``, ``1.24 s``; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 0.000_1:
        return f"{seconds * 1e6:.1f} µs"
    if seconds < 0.995:
        return f"{seconds * 1e3:.{2 if seconds < 0.01 else 1 if seconds < 0.1 else 0}f} ms"
    return f"{seconds:.2f} s"


def shown_rate(rate: Told | None) -> str:
    """``1,108 ±7%``: the middle round, and half of what lies between the least and the greatest."""
    if not rate or not rate["middle"]:
        return "–"
    off = (rate["high"] - rate["low"]) / 2 / rate["middle"]
    return f"{rate['middle']:,.{0 if rate['middle'] >= 100 else 1}f} ±{off:.0%}"


def verdict(cell: Told) -> str:
    """How it compares with the first place, in the figures that its work is about."""
    said = []
    for name in (*_HEADLINES.get(cell["work"], ()), "cpu_s"):
        found = cell["against"].get(name)
        if found is not None:
            said.append(f"{_NAMES[name]} {found['ratio']:.2f}×" if found["clear"] else f"{_NAMES[name]} ≈")
    return ", ".join(said)


def _row(cell: Told, stream: bool) -> list[str]:
    failed = sum(cell["errors"].values())
    row = [clean(cell["place"]), shown_rate(cell["answers_per_s"])]
    row += [shown_time(cell[figure][key] if cell[figure] else None) for _, figure, key in COLUMNS[stream]]
    return [*row, shown_time(cell["cpu_s"]["middle"] if cell["cpu_s"] else None), f"{failed:,}", verdict(cell)]
