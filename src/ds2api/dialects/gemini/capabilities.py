"""What a Gemini model takes, told by its name; the target's own `capabilities` overrule it.

Gemini 3 takes a thinking level, 2.5 a budget, older ones neither (400). Sources: `features.md` §0.3 and rows 19, 21,
30; ai.google.dev/gemini-api/docs/thinking for the ranges. Names come with a collection (``models/``), a date,
``-latest`` (today's newest) and tuned. A name that tells nothing gets the newest way to think and loses nothing by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ds2api.universal.request import Effort

__all__ = ["Capabilities", "capabilities_of"]

_LEVELS: tuple[Effort, ...] = ("minimal", "low", "medium", "high", "xhigh")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`levels` empty and `budget` None: the model does not think on request. `budget` is its range; from 0 on it can
    be turned off."""

    levels: tuple[Effort, ...] = _LEVELS
    budget: tuple[int, int] | None = None
    sampling: bool = True  # takes temperature, top_p, top_k
    choices: bool = True  # takes candidateCount
    needs_signature: bool = False  # the first call of each step must have one
    media_results: bool = True  # takes media inside of a functionResponse


_THREE = Capabilities(sampling=False, choices=False, needs_signature=True)
_BUDGETED = Capabilities(levels=(), budget=(0, 24_576), media_results=False)

# First match wins.
_FAMILIES: tuple[tuple[re.Pattern[str], Capabilities], ...] = tuple(
    (re.compile(pattern), capabilities)
    for pattern, capabilities in (
        (r"gemini-([3-9]|\d\d)[\d.]*-pro", replace(_THREE, levels=("low", "medium", "high", "xhigh"))),
        (r"gemini-([3-9]|\d\d)|gemini-(pro|flash|flash-lite)-latest", _THREE),
        (r"gemini-2\.5-pro", replace(_BUDGETED, budget=(128, 32_768))),
        (r"gemini-2\.5-flash-image", replace(_BUDGETED, budget=None)),
        (r"gemini-2\.5", _BUDGETED),
        (r"gemini-2\.0-flash-thinking", _BUDGETED),
        (r"gemini-([12]|pro|ultra|nano)|gemma|learnlm", replace(_BUDGETED, budget=None)),
    )
)


def capabilities_of(model: str, overrides: Mapping[str, Any] | None = None) -> Capabilities:
    """What `model` takes; `overrides` are fields of `Capabilities` by name, others are of no concern here."""
    bare = model.lower().rpartition("/")[2]
    found = next((known for pattern, known in _FAMILIES if pattern.match(bare)), Capabilities())
    names = {one.name for one in fields(Capabilities)}
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (overrides or {}).items()
        if name in names
    }
    return replace(found, **changes)
