"""Pages with plots as inline SVG: no script, no font and no picture from elsewhere.

Colours follow the reader's light or dark setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["BOTTOM", "LEFT", "TOP", "Axes", "figure", "page"]

LEFT = 58
TOP = 12
BOTTOM = 36
Span = tuple[float, float]

_STYLE = """
:root { --ink: #1c1b19; --soft: #6b6862; --line: #dedbd4; --ground: #fbfaf7; --card: #fff; --bad: #b3261e;
        --good: #1b7f4d; --a: #1f6fd0; --b: #d9622b; --c: #7a6bc4; --d: #14867e; --e: #b0478f; --f: #8a6d1d }
@media (prefers-color-scheme: dark) { :root { --ink: #eceae4; --soft: #a09c94; --line: #3a3834; --ground: #171614;
        --card: #1f1e1b; --bad: #f2877f; --good: #63c491; --a: #6aa9f4; --b: #f0915f; --c: #ada1ee; --d: #4cc3b8;
        --e: #e58fc6; --f: #d0b050 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1080px; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem } h2 { font-size: 1.15rem; margin: 2.4rem 0 .3rem }
p, li { max-width: 68ch; margin: .3rem 0 .8rem } .soft, figcaption { color: var(--soft); font-size: .9rem }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 1rem }
figure { margin: 0; padding: .8rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px }
figure b { display: block; font-weight: 600 } svg { width: 100%; height: auto; display: block }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif } svg .grid { stroke: var(--line); stroke-width: 1 }
.a { --own: var(--a) } .b { --own: var(--b) } .c { --own: var(--c) } .d { --own: var(--d) } .e { --own: var(--e) }
.f { --own: var(--f) } .bad { --own: var(--bad) }
svg polyline { fill: none; stroke: var(--own); stroke-width: 2; stroke-linejoin: round }
svg rect.own, svg circle { fill: var(--own) } svg text.own { fill: var(--own); font-weight: 600 }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .84rem; width: 100%; white-space: nowrap }
th, td { text-align: right; padding: .28rem .5rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 600 }
td.bad { color: var(--bad) } td.good { color: var(--good) }
td.missed { text-align: left; white-space: normal; min-width: 13rem }
"""


def page(title: str, parts: Sequence[str], style: str = "") -> str:
    """A whole page of `parts`, which are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}{style}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def figure(title: str, caption: str, width: int, height: int, marks: Sequence[str]) -> str:
    return (
        f"<figure><b>{escape(title)}</b><figcaption>{escape(caption)}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(f"{title}: {caption}")}">'
        + "".join(marks)
        + "</svg></figure>"
    )


class Axes:
    """Where values stand in a plot of `width` and `height`, of which `right` is left free beside the lines. `is_log`:
    each power of ten upwards is as high as the next."""

    def __init__(self, x: Span, y: Span, *, width: int, height: int, right: int, is_log: bool = False) -> None:
        self._x, self._y, self._scale = x, y, math.log10 if is_log else float
        self._bottom, self._right = height - BOTTOM, width - right

    def x(self, value: float) -> float:
        low, high = self._x
        return LEFT + (value - low) / (high - low) * (self._right - LEFT)

    def y(self, value: float) -> float:
        low, high = (self._scale(one) for one in self._y)
        at = self._scale(min(max(value, self._y[0]), self._y[1]))
        return self._bottom - (at - low) / (high - low) * (self._bottom - TOP)

    def grid(self, xs: Mapping[float, str], ys: Mapping[float, str]) -> list[str]:
        marks = [
            f'<line class="grid" x1="{LEFT}" x2="{self._right}" y1="{self.y(y):.1f}" y2="{self.y(y):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{self.y(y) + 4:.1f}" text-anchor="end">{label}</text>'
            for y, label in ys.items()
        ]
        return marks + [
            f'<text x="{self.x(x):.1f}" y="{self._bottom + 18}" text-anchor="middle">{label}</text>'
            for x, label in xs.items()
        ]

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> str:
        placed = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline class="{kind}" points="{placed}"/>'
