"""The document in rows of words, for the page and for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from ds2api.text_table import clean, table

__all__ = ["HEADLINES", "headings", "notes", "row", "shown_time", "step_words", "text_of"]

Told = Mapping[str, Any]

# Heading, figure, percentile.
_JSON = (("p50", "total_s", "p50"), ("p95", "total_s", "p95"), ("p99", "total_s", "p99"))
_STREAM = (
    ("FIRST p50", "first_s", "p50"), ("p95", "first_s", "p95"), ("p99", "first_s", "p99"),
    ("EVENT p50", "event_s", "p50"), ("GAP p95", "gap_s", "p95"), ("WHOLE p50", "total_s", "p50"),
)  # fmt: skip
# What a work is about: the figures that are compared with the first place's.
HEADLINES: Mapping[str, Mapping[str, str]] = {
    "json": {"answers_per_s": "rate", "total_s": "time"},
    "stream": {"answers_per_s": "rate", "first_s": "first"},
    "paced": {"first_s": "first", "gap_s": "gap"},
}


def text_of(told: Told, width: int) -> list[str]:
    """All of it, no line wider than `width`."""
    lines: list[str] = []
    for work in told["works"]:
        for step in dict.fromkeys(cell["step"] for cell in told["cells"] if cell["work"] == work["name"]):
            cells = [cell for cell in told["cells"] if (cell["work"], cell["step"]) == (work["name"], step)]
            heads = [
                f"{work['name'].upper()} {step_words(told, step)}",
                *(f">{one}" for one in headings(work["stream"])),
            ]
            heads.append(f"AGAINST {clean(cells[0]['place'])}" if len(cells) > 1 else "")
            lines += [*table(heads, [[clean(cell["place"]), *row(cell, work["stream"])] for cell in cells], width), ""]
    for text, is_grave in notes(told):
        lines += wrap(f"{'!' if is_grave else '·'} {clean(text)}", width, subsequent_indent="  ")
    return lines


def notes(told: Told) -> list[tuple[str, bool]]:
    """What is to be said before anybody reads a figure, and whether it is grave."""
    said = [(f"{name} was left out: it {why}.", True) for name, why in told["left_out"].items()]
    said += [(f"Ended early: {told['stopped']}.", True)] if told["stopped"] else []
    said += [(one["text"], one["is_grave"]) for one in told["doubts"]]
    if shares := [cell["seen"]["client_cpu"] for cell in told["cells"]]:
        said.append((f"This client itself used {min(shares):.0%} to {max(shares):.0%} of a core.", False))
    return said


def headings(stream: bool) -> list[str]:
    """Of a `row`, but for its last cell, the comparison."""
    return ["ANSWERS", "A SECOND", *(heading for heading, _, _ in (_STREAM if stream else _JSON)), "CPU", "FAILED"]


def row(cell: Told, stream: bool) -> list[str]:
    rate = cell["answers_per_s"]
    shown = "–"
    if rate["middle"]:  # the middle round, and half of what lies between the least and the greatest
        off = (rate["high"] - rate["low"]) / 2 / rate["middle"]
        shown = f"{rate['middle']:,.{0 if rate['middle'] >= 100 else 1}f} ±{off:.0%}"
    times = [cell[figure] and cell[figure][key] for _, figure, key in (_STREAM if stream else _JSON)]
    times.append(cell["cpu_s"] and cell["cpu_s"]["middle"])
    against = [
        f"{word} {found['ratio']:,.{2 if found['ratio'] < 10 else 0}f}×" if found["clear"] else f"{word} ≈"
        for name, word in HEADLINES[cell["work"]].items()
        if (found := cell["against"].get(name))
    ]
    failed = f"{sum(cell['errors'].values()):,}"
    return [f"{cell['answers']:,}", shown, *map(shown_time, times), failed, ", ".join(against)]


def step_words(told: Told, step: int) -> str:
    return f"{step}/s" if told["loop"] == "open" else f"×{step}"


def shown_time(seconds: float | None, digits: int = 3) -> str:
    """``31.4 µs``, ``12.4 ms``, ``1.24 s``; a dash for None."""
    if seconds is None:
        return "–"
    unit, scale = ("µs", 1e6) if seconds < 0.000_1 else ("ms", 1e3) if seconds < 0.995 else ("s", 1.0)
    value = seconds * scale
    whole = len(str(int(value)))
    return f"{value:.{max(digits - whole, 0)}f} {unit}"
