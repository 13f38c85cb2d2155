"""Arguments that stream: `partialArgs` of Vertex, each a JSONPath and a piece of the value there (`streams.md` §4).

The pieces are put together into one object; a string may come in several. Total: a path that cannot be followed is
left alone, since what a provider sends must not end the stream.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["PartialArguments"]

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_VALUES = ("stringValue", "numberValue", "boolValue")
_MOST_ITEMS = 10_000  # an index beyond is no list that a model wrote, and must not become memory


class PartialArguments:
    """`add` the pieces; `value` is what there is."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._growing: str | None = None  # the path of a string that goes on

    def add(self, pieces: Any) -> None:
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict) and isinstance(piece.get("jsonPath"), str):
                self._one(piece, piece["jsonPath"])

    def _one(self, piece: dict[str, Any], path: str) -> None:
        steps = [
            int(index) if index else name or quoted or double for name, index, quoted, double in _STEP.findall(path)
        ]
        value = next((piece[name] for name in _VALUES if name in piece), None)
        if steps:
            _put(self.value, steps, value, is_more=path == self._growing)
        self._growing = path if piece.get("willContinue") else None


def _put(holder: Any, steps: list[Any], value: Any, *, is_more: bool) -> None:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(holder, list) and isinstance(step, int) and step < _MOST_ITEMS:
            holder += [None] * (step + 1 - len(holder))
            known = holder[step]
        elif isinstance(holder, dict) and isinstance(step, str):
            known = holder.get(step)
        else:
            return
        if following is not None:
            wanted: type = list if isinstance(following, int) else dict
            inner = known if isinstance(known, wanted) else wanted()
        elif is_more and isinstance(known, str) and isinstance(value, str):
            inner = known + value
        else:
            inner = value
        holder[step] = inner
        holder = inner
