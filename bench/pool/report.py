"""The results as one page for somebody who knows nothing of the source: plots as inline SVG, the table, the words.

No script, no font and no picture from elsewhere; colours follow the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ds2api.compare.plots import BOTTOM, LEFT, TOP, Axes, figure, page

__all__ = ["write_report"]

Rows = Sequence[Mapping[str, Any]]

_SHOWN = {"ours, untold": "ds2api", "shuffle": "shuffle", "round robin": "round robin"}
_CLASS = {"ours, untold": "a", "ours, told": "a", "shuffle": "b", "round robin": "c"}
_WIDTH, _HEIGHT, _RIGHT = 640, 260, 96
_SIZE: dict[str, Any] = {"width": _WIDTH, "height": _HEIGHT, "right": _RIGHT}

# Of the table with all scenarios.
_STYLE = """
th:first-child, td:first-child { white-space: normal; min-width: 15rem }
thead tr:first-child th { border-bottom: 0; text-align: center } td.first { border-left: 1px solid var(--line) }
svg rect.asked { fill: var(--line) } svg rect.outage { fill: var(--line); opacity: .6 }
"""


def write_report(found: Mapping[str, Any]) -> str:
    """The page for the results of `bench.pool.__main__`."""
    scenarios, curves = found["scenarios"], found["curves"]
    down = [row for row in scenarios if row["ours, untold"]["timeline"]]
    callers = [row for row in scenarios if len(row["ours, untold"]["callers"]) > 1]
    count = len(scenarios)
    met = {who: sum(not row[who]["missed"] for row in scenarios) for who in ("ours, told", "ours, untold", *_SHOWN)}
    parts = [
        "<h1>One endpoint, many keys: how the account pool schedules</h1>",
        (
            f"<p>A simulator plays traffic of conversations against providers that limit as the real ones do. "
            f"Three ways of choosing an account meet the very same requests: <b>ds2api</b> as it is; <b>shuffle</b>, "
            f"any account, five seconds' rest after a refusal; <b>round robin</b>, the next one, with the same rest. "
            f"Ten keys unless said. Of {count} scenarios ds2api met all goals in {met['ours, told']} when its "
            f"configuration told the limits and in {met['ours, untold']} when nobody did, shuffle in "
            f"{met['shuffle']}, round robin in {met['round robin']}.</p>"
        ),
        (
            f'<p class="soft">{escape(found["python"])}; {found["seeds"]} seeds of each scenario, and every figure is '
            f"its worst seed's. In the plots nobody has told ds2api any limit: it finds them out. Made by "
            f"<code>python3 tools/dev.py bench --pool</code>.</p>"
        ),
        "<h2>More and more load</h2>",
        (
            "<p>100 % is all that the keys' limits allow for this mix of requests. Goodput is what clients got, as a "
            "part of what a scheduler would have reached that sees into the provider's books.</p>"
        ),
        '<div class="pair">',
        _curve(curves, "goodput", "Goodput", "of the ideal scheduler's", (0.4, 1.0)),
        _curve(curves, "waste", "Waste", "attempts that the provider refused", (0.0, None)),
        _curve(curves, "affinity", "Affinity", "turns served by the account of the turn before", (0.0, 1.0)),
        _curve(curves, "wait_p99_s", "Wait", "seconds until the provider took it, the slowest hundredth", (0.0, None)),
        "</div>",
        "<h2>A provider goes down for half a minute</h2>",
        "<p>Answers begun each second, and attempts that were refused. The grey band is the outage.</p>",
        *(
            f'<p><b>{escape(row["scenario"])}</b></p><div class="pair">'
            + "".join(_outage(row[who], name) for who, name in _SHOWN.items())
            + "</div>"
            for row in down
        ),
        "<h2>Several callers want more than there is</h2>",
        "<p>Grey: what each caller asked for. Coloured: what it got.</p>",
        *(
            f'<p><b>{escape(row["scenario"])}</b></p><div class="pair">'
            + "".join(_bars(row[who], name, _CLASS[who]) for who, name in _SHOWN.items())
            + "</div>"
            for row in callers
        ),
        "<h2>Every scenario</h2>",
        (
            "<p>“Told”: the limits stand in the configuration. “Untold”: nobody says any. Seen: clients that saw an "
            "error (above 100 % of load some must).</p>"
        ),
        _table(scenarios),
        "<h2>What a decision costs</h2>",
        "<p>CPU for choosing an account, hearing its answer's head and settling the account.</p>",
        _cost(found["cost"]),
    ]
    return page("ds2api: how the account pool schedules", parts, _STYLE)


def _apart(wanted: Sequence[tuple[float, str, str]]) -> list[str]:
    """Labels at the ends of lines, moved so far that none covers another."""
    marks, least = [], float(_HEIGHT - BOTTOM)
    for y, label, kind in sorted(wanted, reverse=True):
        least = min(y, least) - 15
        place = f'x="{_WIDTH - _RIGHT + 8}" y="{least + 19:.1f}"'
        marks.append(f'<text class="own {kind}" {place}>{escape(label)}</text>')
    return marks


def _curve(curves: Rows, measure: str, title: str, caption: str, span: tuple[float, float | None]) -> str:
    is_share = span[1] == 1.0 or measure == "waste"
    high = span[1] or max(row[who][measure] for row in curves for who in _SHOWN) * 1.05 or 1.0
    axes = Axes((curves[0]["load"], curves[-1]["load"]), (span[0], high), **_SIZE)
    steps = [span[0] + (high - span[0]) * step / 4 for step in range(5)]
    loads = [row["load"] for row in curves if row["load"] * 4 % 1 == 0]
    marks = axes.grid(
        {load: f"{load:.0%}" for load in loads}, {y: f"{y:.0%}" if is_share else f"{y:.1f}" for y in steps}
    )
    marks += [axes.line([(row["load"], row[who][measure]) for row in curves], _CLASS[who]) for who in _SHOWN]
    marks += _apart([(axes.y(curves[-1][who][measure]), name, _CLASS[who]) for who, name in _SHOWN.items()])
    return figure(title, caption, _WIDTH, _HEIGHT, marks)


def _outage(row: Mapping[str, Any], title: str) -> str:
    timeline, (began, ended) = row["timeline"][220:300], (240, 270)
    names = [*["the first", "the second"][: len(timeline[0]) - 1], "refused"]
    kinds = [*["a", "c"][: len(timeline[0]) - 1], "bad"]
    axes = Axes((220, 299), (0, max(20, *(max(one) for one in timeline))), **_SIZE)
    width = axes.x(ended) - axes.x(began)
    band = f'<rect class="outage" x="{axes.x(began):.1f}" y="{TOP}" width="{width:.1f}" '
    marks = [f'{band}height="{_HEIGHT - TOP - BOTTOM}"/>']
    marks += axes.grid({x: f"{x} s" for x in (220, 240, 270, 299)}, {y: str(y) for y in (0, 5, 10, 15, 20)})
    marks += [
        axes.line([(220 + at, one[place]) for at, one in enumerate(timeline)], kind) for place, kind in enumerate(kinds)
    ]
    marks += _apart([(axes.y(timeline[-1][place]), names[place], kind) for place, kind in enumerate(kinds)])
    refused = sum(one[-1] for one in row["timeline"][began:ended])
    caption = f"{refused} attempts refused during the outage; {row['seen']} clients saw an error"
    return figure(title, caption, _WIDTH, _HEIGHT, marks)


def _bars(row: Mapping[str, Any], title: str, kind: str) -> str:
    callers = row["callers"]
    most, step = max(asked for asked, _ in callers.values()), 34
    width = _WIDTH - LEFT - 150
    marks = []
    for place, (caller, (asked, served)) in enumerate(callers.items()):
        y = TOP + place * step
        marks.append(
            f'<text x="0" y="{y + 15}">{escape(caller)}</text>'
            f'<rect class="asked" x="90" y="{y}" width="{width * asked / most:.1f}" height="20" rx="3"/>'
            f'<rect class="own {kind}" x="90" y="{y + 4}" width="{width * served / most:.1f}" height="12" rx="2"/>'
            f'<text x="{96 + width * asked / most:.1f}" y="{y + 15}">{served:,} of {asked:,}</text>'
        )
    caption = f"the worst caller has {row['fairness']:.0%} of its fair share"
    return figure(title, caption, _WIDTH, TOP + len(callers) * step + 4, marks)


def _table(scenarios: Rows) -> str:
    whos = ("ours, told", "ours, untold", "shuffle", "round robin")
    heads = ("ds2api, told", "ds2api, untold", "shuffle", "round robin")
    columns = ("goodput", "seen", "waste", "affinity", "wait p99")
    lines = [
        "<tr><th></th>" + "".join(f'<th colspan="{len(columns)}">{head}</th>' for head in heads) + "<th></th></tr>"
    ]
    lines.append(
        "<tr><th>scenario</th>"
        + "".join(f"<th>{one}</th>" for one in columns) * len(whos)
        + "<th>ds2api missed</th></tr>"
    )
    body = []
    for row in scenarios:
        cells = [f"<td>{escape(row['scenario'])}</td>"]
        for who in whos:
            one = row[who]
            kind = "bad" if one["missed"] else "good"
            shown = (
                f"{one['goodput']:.3f}", f"{one['seen']:,}", f"{one['waste']:.1%}", f"{one['affinity']:.0%}",
                f"{one['wait_p99_s']:.2f} s",
            )  # fmt: skip
            cells += [f'<td class="{kind}{" first" * (not place)}">{value}</td>' for place, value in enumerate(shown)]
        missed = dict.fromkeys(row["ours, told"]["missed"] + row["ours, untold"]["missed"])
        cells.append(f'<td class="missed">{escape("; ".join(missed)) or "–"}</td>')
        body.append("<tr>" + "".join(cells) + "</tr>")
    return (
        f'<div class="scroll"><table><thead>{"".join(lines)}</thead><tbody>{"".join(body)}</tbody></table></div>'
        '<p class="soft">Green: every goal of the scenario is met on every seed; red: one is not on some seed.</p>'
    )


def _cost(costs: Rows) -> str:
    sizes = sorted({one["accounts"] for one in costs})
    states = dict.fromkeys(one["state"] for one in costs)
    found = {(one["state"], one["accounts"]): one["microseconds"] for one in costs}
    head = "".join(f"<th>{size:,} accounts</th>" for size in sizes)
    body = "".join(
        f"<tr><td>{escape(state)}</td>"
        + "".join(f"<td>{found[state, size]:.0f} µs</td>" for size in sizes)
        + f"<td>{found[state, sizes[-1]] / found[state, sizes[0]]:.2f}</td></tr>"
        for state in states
    )
    return (
        f'<div class="scroll"><table><thead><tr><th>the pool is</th>{head}<th>ratio</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
