"""The document as one page: doubts first, then plots and tables of each work, then how it was measured. Pure.

Plots are drawn narrow, so that their words can still be read on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from ds2api.compare.plots import Axes, figure, page
from ds2api.compare.table import COLUMNS, shown_rate, shown_time, step_words, verdict

__all__ = ["write_page"]

Told = Mapping[str, Any]
# (figure, its least or p50, its greatest or p95): a point, and how far the band goes
Points = Mapping[str, Sequence[tuple[int, float, float, float]]]

_WIDTH, _HEIGHT, _RIGHT = 460, 230, 18
_KINDS = "abcdef"
# Where the greatest is this much more than the least, only powers of ten show both.
_LOG_FROM = 30

_STYLE = """
svg text { font-size: 14px } .scroll { margin-top: 1rem } th:last-child { text-align: left }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)) }
svg .band { fill: var(--own); opacity: .16; stroke: none }
svg .whisker { stroke: var(--own); stroke-width: 1.5 }
.key { display: inline-block; margin: 0 1rem .3rem 0 } .key::before { content: ""; display: inline-block; width: .7rem;
height: .7rem; margin-right: .4rem; border-radius: 2px; background: var(--own) }
li.grave { border-left: 3px solid var(--bad); padding-left: .6rem; list-style: none; margin-left: -.7rem }
tr.begin td { border-top: 2px solid var(--line) } code { font-size: .85em; overflow-wrap: anywhere }
"""


def write_page(told: Told) -> str:
    """The page."""
    names = [place["name"] for place in told["places"]]
    kinds = {name: _KINDS[number % len(_KINDS)] for number, name in enumerate(names)}
    parts = [
        f"<h1>{escape(' · '.join(names))}</h1>",
        (
            f'<p class="soft">{escape(told["made_at"])} on {escape(told["system"])}, {told["cores"]} cores; ds2api '
            f"{escape(told['ds2api'])}, Python {escape(told['python'])}. {told['rounds']} rounds of "
            f"{told['seconds']:g} s, the places in turn.</p>"
        ),
        f"<p><code>{escape(told['command'])}</code></p>",
        _doubts(told),
    ]
    for work in told["works"]:
        cells = [cell for cell in told["cells"] if cell["work"] == work["name"] and cell["answers"]]
        if cells:
            parts += [
                _heading(told, work),
                _legend(kinds),
                *_plots(told, work, cells, kinds),
                _table(told, work, cells),
            ]
    parts += ["<h2>How to read it</h2>", *(f"<p>{one}</p>" for one in _notes(told))]
    return page(f"ds2api bench: {', '.join(names)}", parts, _STYLE)


def _heading(told: Told, work: Told) -> str:
    script = work["script"]
    if all(place["of_mock"] for place in told["places"]):
        pace = f", one each {script['pace_ms']} ms" if script["pace_ms"] else ", as fast as they come"
        what = f"a stream of {script['events']} events{pace}" if work["stream"] else "one small JSON answer"
    else:
        what = "a stream" if work["stream"] else "one JSON answer"
        what += f" of about {script['events']} words, at most {work['max_tokens']} tokens"
    return f"<h2>{escape(work['name'])}</h2><p>{what}.</p>"


def _legend(kinds: Mapping[str, str]) -> str:
    keys = "".join(f'<span class="key {kind}">{escape(name)}</span>' for name, kind in kinds.items())
    return f"<p>{keys}</p>"


def _doubts(told: Told) -> str:
    rows = [("grave" if one["is_grave"] else "", one["text"]) for one in told["doubts"]]
    rows += [("grave", f"{name} was left out: it {why}.") for name, why in told["left_out"].items()]
    if told["stopped"]:
        rows.append(("grave", f"Ended early: {told['stopped']}."))
    if not rows:
        return "<h2>Doubts</h2><p>None: no mistake in the comparison was found by its figures.</p>"
    listed = "".join(f'<li class="{kind}">{escape(text)}</li>' for kind, text in rows)
    return f"<h2>Doubts</h2><p>What the figures themselves say against this comparison:</p><ul>{listed}</ul>"


def _plots(told: Told, work: Told, cells: Sequence[Told], kinds: Mapping[str, str]) -> list[str]:
    """Each figure that there is: a line a place over the steps."""
    is_paced = work["script"]["pace_ms"] > 0  # then the pace alone says how many answers there are
    rounds, times = ("middle", "low", "high"), ("p50", "p50", "p95")
    wanted: list[tuple[str, str, str, tuple[str, str, str], Callable[[float], str]]] = []
    if not is_paced:
        wanted.append(("answers_per_s", "Answers a second", "more is better; with all rounds", rounds, _shown_count))
    if work["stream"]:
        wanted.append(("first_s", "Time to the first words", "half are faster; up to p95", times, shown_time))
    if is_paced or (work["stream"] and not all(place["of_mock"] for place in told["places"])):
        wanted.append(("gap_s", "Longest pause in a stream", "half are shorter; up to p95", times, shown_time))
    if not work["stream"]:
        wanted.append(("total_s", "Time to the answer", "half are faster; up to p95", times, shown_time))
    wanted.append(("cpu_s", "CPU an answer", "of the place's own processes; with all rounds", rounds, shown_time))
    drawn = []
    for name, title, caption, (middle, low, high), shown in wanted:
        points: dict[str, list[tuple[int, float, float, float]]] = {}
        for cell in cells:
            one = cell[name]
            if one and one[middle]:
                points.setdefault(cell["place"], []).append(
                    (cell["step"], one[middle], one[low], one[high] or one[middle])
                )
        if points:
            drawn.append(_curve(told, points, title, caption, kinds, shown))
    return ['<div class="pair">', *drawn, "</div>"]


def _curve(
    told: Told, points: Points, title: str, caption: str, kinds: Mapping[str, str], shown: Callable[[float], str]
) -> str:
    steps = sorted({step for line in points.values() for step, *_ in line})
    values = [value for line in points.values() for _, *all_ in line for value in all_]
    is_log = max(values) > _LOG_FROM * min(values)
    low, high = (10 ** math.floor(math.log10(min(values))), max(values) * 1.1) if is_log else (0.0, max(values) * 1.05)
    label = _short_time if shown is shown_time else shown
    axes = Axes((-0.3, len(steps) - 0.7), (low, high), width=_WIDTH, height=_HEIGHT, right=_RIGHT, is_log=is_log)
    marks = axes.grid(
        {number: step_words(told, step) for number, step in enumerate(steps)},
        {tick: label(tick) if tick else "0" for tick in _ticks(low, high, is_log=is_log)},
    )
    for number, (name, line) in enumerate(points.items()):
        kind, shift = kinds[name], (number - (len(points) - 1) / 2) * 0.03  # side by side, so that none hides another
        placed = [(steps.index(step) + shift, middle, least, most) for step, middle, least, most in line]
        marks.append(axes.line([(x, y) for x, y, _, _ in placed], kind))
        for x, middle, least, most in placed:
            ends = f'y1="{axes.y(least):.1f}" y2="{axes.y(most):.1f}"'
            marks.append(
                f'<line class="whisker {kind}" x1="{axes.x(x):.1f}" x2="{axes.x(x):.1f}" {ends}/>'
                f'<circle class="{kind}" cx="{axes.x(x):.1f}" cy="{axes.y(middle):.1f}" r="4">'
                f"<title>{escape(name)}: {shown(middle)}</title></circle>"
            )
    return figure(title, caption, _WIDTH, _HEIGHT, marks)


def _shown_count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _short_time(seconds: float) -> str:
    unit, scale = ("µs", 1e6) if seconds < 0.000_1 else ("ms", 1e3) if seconds < 0.995 else ("s", 1.0)
    return f"{seconds * scale:.3g} {unit}"


def _ticks(low: float, high: float, *, is_log: bool) -> list[float]:
    """Round numbers from `low` to `high`, four or five of them (of powers of ten, each)."""
    if is_log:
        first = round(math.log10(low))
        return [10.0**power for power in range(first, math.floor(math.log10(high)) + 1)]
    power = 10 ** math.floor(math.log10(high / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if high / (power * factor) <= 5)
    return [step * number for number in range(math.floor(high / step) + 1)]


def _table(told: Told, work: Told, cells: Sequence[Told]) -> str:
    columns = COLUMNS[work["stream"]]
    heads = [
        "",
        "answers/s",
        *(heading.lower() for heading, _, _ in columns),
        "CPU",
        "memory",
        "failed",
        "against the first",
    ]
    body, last = [], None
    for cell in cells:
        begins, last = cell["step"] != last, cell["step"]
        values = [shown_rate(cell["answers_per_s"])]
        values += [shown_time(cell[name][key] if cell[name] else None) for _, name, key in columns]
        values.append(shown_time(cell["cpu_s"]["middle"] if cell["cpu_s"] else None))
        values.append(f"{cell['rss_bytes'] / 1e6:.0f} MB" if cell["rss_bytes"] else "–")
        failed = sum(cell["errors"].values())
        cells_ = "".join(f"<td>{escape(value)}</td>" for value in values)
        cells_ += (
            f'<td class="{"bad" if failed else ""}">{failed:,}</td><td class="missed">{escape(verdict(cell))}</td>'
        )
        name = escape(f"{step_words(told, cell['step'])} {cell['place']}")
        body.append(f'<tr class="{"begin" if begins else ""}"><td>{name}</td>{cells_}</tr>')
    head = "".join(f"<th>{one}</th>" for one in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _notes(told: Told) -> list[str]:
    if told["loop"] == "open":
        loop = (
            "Requests left by the clock, whatever became of those before, and a request's time counts from when it was "
            "due: a place that stands still for a while pays for all who would have come meanwhile."
        )
    else:
        loop = (
            "Each connection asks again when its answer is complete (a closed loop). A place that stands still is "
            "asked less meanwhile, so its slow moments weigh too little: with <code>--rate</code> requests leave by "
            "the clock."
        )
    spent = told["spent"]
    money = f", ${spent['dollars']:.4f}" if spent["dollars"] is not None else ""
    return [
        (
            "“≈”: the rounds of both places overlap, so they differ by less than the rounds of one place do. “±” is "
            "half of what lies between the least round and the greatest. A percentile is left out where there are too "
            "few answers for one beyond it."
        ),
        loop,
        (
            "Failed answers count as failures only. Every answer was read to its end by the protocol's own decoder; of "
            "the mock every letter was compared, and the id of its own question stands in it."
        ),
        (
            f"Before each measurement connections were opened and warmed, and those answers thrown away. In "
            f"all {spent['requests']:,} requests, {spent['input_tokens']:,} tokens in, "
            f"{spent['output_tokens']:,} out{money}."
        ),
    ]
