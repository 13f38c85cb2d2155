"""The document as one page: doubts first, then plots and a table of each work, then how to read them. Pure.

Plots are drawn narrow, so that their words can still be read on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from ds2api.compare.plots import Axes, figure, page
from ds2api.compare.table import HEADLINES, headings, notes, row, shown_time, step_words

__all__ = ["write_page"]

Told = Mapping[str, Any]
# Figure, title, words, what stands for a point and for the ends of its line.
Plot = tuple[str, str, str, tuple[str, str, str]]

_WIDTH, _HEIGHT, _RIGHT = 340, 200, 16
_KINDS = "abcdef"
_LOG_FROM = 30  # where the greatest is so much more than the least, only powers of ten show both
_ROUNDS, _PERCENTILES = ("middle", "low", "high"), ("p50", "p50", "p95")
_PLOTS: tuple[Plot, ...] = (
    ("answers_per_s", "Answers a second", "more is better; with all rounds", _ROUNDS),
    ("total_s", "Time to the answer", "half are faster; up to p95", _PERCENTILES),
    ("first_s", "Time to the first words", "half are faster; up to p95", _PERCENTILES),
    ("gap_s", "Longest pause in a stream", "half are shorter; up to p95", _PERCENTILES),
    ("cpu_s", "CPU an answer", "of its own processes; with all rounds", _ROUNDS),
)

_STYLE = """
svg text { font-size: 12.5px } .scroll { margin-top: 1rem }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)) }
svg .whisker { stroke: var(--own); stroke-width: 1.5 } code { font-size: .85em; overflow-wrap: anywhere }
.key { display: inline-block; margin: 0 1rem .3rem 0; border-left: .7rem solid var(--own); padding-left: .4rem }
li.grave { border-left: 3px solid var(--bad); padding-left: .6rem; list-style: none; margin-left: -.7rem }
tr.begin td { border-top: 2px solid var(--line) }
"""
_READING = """\
<h2>How to read it</h2>
<p>“≈”: the rounds of both places overlap, so they differ by less than the rounds of one place do. “±” is half of what
lies between the least round and the greatest. A percentile is left out where too few answers lie beyond it. Failed
answers count as failures only. Every answer was read to its end by the protocol's own decoder; of the mock every letter
was compared, and the id of its own question. Before each measurement all connections were opened and warmed.</p>
"""
_LOOPS = {
    "open": """<p>Requests left by the clock, whatever became of those before, and a request's time counts from when it
was due: a place that stands still for a while pays for all who would have come meanwhile.</p>""",
    "closed": """<p>Each connection asks again when its answer is complete (a closed loop). A place that stands still is
asked less meanwhile, so its slow moments weigh too little: by <code>--rate</code> requests leave by the clock.</p>""",
}


def write_page(told: Told) -> str:
    """The page."""
    names = [place["name"] for place in told["places"]]
    kinds = {name: _KINDS[number % len(_KINDS)] for number, name in enumerate(names)}
    keys = "".join(f'<span class="key {kind}">{escape(name)}</span>' for name, kind in kinds.items())
    said = "".join(f'<li class="{"grave" * is_grave}">{escape(text)}</li>' for text, is_grave in notes(told))
    made = "{made_at} on {system}, {cores} cores; ds2api {ds2api}, Python {python}. {rounds} rounds of {seconds:g} s."
    parts = [f"<h1>{escape(' · '.join(names))}</h1>", f'<p class="soft">{escape(made.format(**told))}</p>']
    parts += [f"<p><code>{escape(told['command'])}</code></p><h2>Doubts</h2>"]
    parts += [f"<ul>{said}</ul>" if said else "<p>None: the figures give no mistake in the comparison away.</p>"]
    for work in told["works"]:
        cells = [cell for cell in told["cells"] if cell["work"] == work["name"] and cell["answers"]]
        wanted = (*HEADLINES[work["name"]], "cpu_s")
        plots = [_plot(told, cells, kinds, one) for one in _PLOTS if one[0] in wanted]
        script = "{events} pieces of {event_bytes} bytes, {pace_ms} ms apart".format(**work["script"])
        parts += [
            f'<h2>{work["name"]}</h2><p class="soft">From the mock: {script}. At most {work["max_tokens"]} tokens.</p>'
        ]
        parts += [f"<p>{keys}</p>", '<div class="pair">', *plots, "</div>", _table(told, work, cells)]
    spent = "In all {requests:,} requests, {input_tokens:,} tokens in, {output_tokens:,} out".format(**told["spent"])
    money = f", ${told['spent']['dollars']:.4f}" if told["spent"]["dollars"] is not None else ""
    parts += [_READING, _LOOPS[told["loop"]], f"<p>{spent}{money}.</p>"]
    return page(f"ds2api bench: {', '.join(names)}", parts, _STYLE)


def _plot(told: Told, cells: Sequence[Told], kinds: Mapping[str, str], plot: Plot) -> str:
    """A line a place over the steps; nothing where there are no figures."""
    name, title, caption, keys = plot
    points: dict[str, list[tuple[int, list[float]]]] = {}
    for cell in cells:
        if cell[name] and cell[name][keys[0]]:
            values = [cell[name][key] or cell[name][keys[0]] for key in keys]
            points.setdefault(cell["place"], []).append((cell["step"], values))
    if not points:
        return ""
    shown: Callable[[float], str] = shown_time if name.endswith("_s") and name != "answers_per_s" else "{:,.4g}".format
    steps = sorted({step for line in points.values() for step, _ in line})
    every = [value for line in points.values() for _, values in line for value in values]
    is_log = max(every) > _LOG_FROM * min(every)
    low, high = (10.0 ** math.floor(math.log10(min(every))), max(every) * 1.1) if is_log else (0.0, max(every) * 1.05)
    axes = Axes((-0.3, len(steps) - 0.7), (low, high), width=_WIDTH, height=_HEIGHT, right=_RIGHT, is_log=is_log)
    ticks = {tick: _label(tick, shown) for tick in _ticks(low, high, is_log=is_log)}
    marks = axes.grid({number: step_words(told, step) for number, step in enumerate(steps)}, ticks)
    for number, (place, line) in enumerate(points.items()):
        kind, shift = kinds[place], (number - (len(points) - 1) / 2) * 0.03  # side by side: none hides another
        marks.append(axes.line([(steps.index(step) + shift, values[0]) for step, values in line], kind))
        for step, values in line:
            x, (y, bottom, top) = axes.x(steps.index(step) + shift), (axes.y(value) for value in values)
            marks.append(
                f'<line class="whisker {kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{top:.1f}"/>'
                f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
                f"<title>{escape(place)}: {shown(values[0])}</title></circle>"
            )
    return figure(title, caption, _WIDTH, _HEIGHT, marks)


def _label(tick: float, shown: Callable[[float], str]) -> str:
    number, _, unit = shown(tick).partition(" ")
    return f"{float(number.replace(',', '')):,g} {unit}".strip() if tick else "0"


def _ticks(low: float, high: float, *, is_log: bool) -> list[float]:
    """Round numbers from `low` to `high`, four or five of them (of powers of ten, each)."""
    if is_log:
        return [10.0**power for power in range(round(math.log10(low)), math.floor(math.log10(high)) + 1)]
    power = 10.0 ** math.floor(math.log10(high / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if high / (power * factor) <= 5)
    return [step * number for number in range(math.floor(high / step) + 1)]


def _table(told: Told, work: Told, cells: Sequence[Told]) -> str:
    heads = "".join(f"<th>{one}</th>" for one in ["", *headings(work["stream"]), "AGAINST THE FIRST", "MEMORY"])
    body = []
    for number, cell in enumerate(cells):
        begins = number == 0 or cell["step"] != cells[number - 1]["step"]
        memory = f"{cell['rss_bytes'] / 1e6:.0f} MB" if cell["rss_bytes"] else "–"
        words = [f"{step_words(told, cell['step'])} {cell['place']}", *row(cell, work["stream"]), memory]
        body.append(f'<tr class="{"begin" * begins}">{"".join(f"<td>{escape(one)}</td>" for one in words)}</tr>')
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
