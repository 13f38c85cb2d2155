"""Draws stacks with their counts (`bench/sampler.py`) as a flame graph in SVG: a box for each function, as wide as the
time in which it was on the stack, on top of the one that called it. A title tells name and share where the pointer is;
a box that is clicked fills the width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

__all__ = ["flame_graph", "hottest"]

_WIDTH, _ROW, _LETTER = 1200.0, 17, 6.6
_LEAST_PX = 0.4
# A click on a box zooms by the view box alone, so that the picture needs no library.
_SCRIPT = (
    "const s=document.documentElement,all=s.getAttribute('viewBox');"
    "s.addEventListener('click',e=>{const b=e.target.closest('g.f');"
    "if(!b){s.setAttribute('viewBox',all);return}const r=b.querySelector('rect');"
    "const v=all.split(' ');s.setAttribute('viewBox',`${r.getAttribute('x')} 0 ${r.getAttribute('width')} ${v[3]}`)})"
)


@dataclass
class _Box:
    count: int = 0
    inner: dict[str, _Box] = field(default_factory=dict)


def flame_graph(lines: list[str], title: str) -> str:
    """The SVG of `lines`, each ``outer;…;inner count``."""
    root = _Box()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        root.count += int(count)
        box = root
        for name in stack.split(";"):
            box = box.inner.setdefault(name, _Box())
            box.count += int(count)
    boxes: list[str] = []
    depth = _draw(root, 0.0, 0, _WIDTH / max(root.count, 1), root.count, boxes)
    height = (depth + 2) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height}" preserveAspectRatio="none" '
        'font-family="monospace" font-size="11"><style>rect{stroke:#fff;stroke-width:.5}g.f{cursor:pointer}</style>'
        f'<text x="4" y="13">{escape(title)}: {root.count} samples</text>{"".join(boxes)}'
        f"<script>{escape(_SCRIPT, quote=False)}</script></svg>\n"
    )


def hottest(lines: list[str], most: int = 30) -> list[tuple[str, float, float]]:
    """(function, share of time in itself, share with what it calls), the dearest first."""
    own: dict[str, int] = {}
    whole: dict[str, int] = {}
    total = 0
    for line in lines:
        stack, _, count = line.rpartition(" ")
        names = stack.split(";")
        total += int(count)
        own[names[-1]] = own.get(names[-1], 0) + int(count)
        for name in set(names):
            whole[name] = whole.get(name, 0) + int(count)
    dearest = sorted(own.items(), key=lambda one: -one[1])[:most]
    return [(name, count / total, whole[name] / total) for name, count in dearest]


def _draw(box: _Box, x: float, level: int, scale: float, total: int, out: list[str]) -> int:
    """Draw what stands on `box`; gives the deepest level."""
    deepest = level
    for name, inner in sorted(box.inner.items()):
        width = inner.count * scale
        if width >= _LEAST_PX:
            y = (level + 1) * _ROW
            shown = escape(name[: int(width / _LETTER)]) if width > 4 * _LETTER else ""
            hue = 20 + sum(name.partition(":")[0].encode()) % 40  # a colour for each file
            out.append(
                f'<g class="f"><title>{escape(name)} {inner.count / total:.1%}</title>'
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" fill="hsl({hue},80%,68%)"/>'
                f'<text x="{x + 2:.1f}" y="{y + 12}">{shown}</text></g>'
            )
            deepest = max(deepest, _draw(inner, x, level + 1, scale, total, out))
        x += width
    return deepest
