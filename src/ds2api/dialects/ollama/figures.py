"""The figures in the last object of an answer: counters and durations (`features.md` §5; `api/types.go`, Metrics).

The server leaves out what is 0: where one counter stands and the other does not, that one was 0 (a prompt that was
cached whole is not evaluated). Where neither stands, nothing is known. Durations are whole nanoseconds, which every
client divides by: from other providers they are not known, and are written as 0.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.ollama.extras import NAME
from ds2api.universal.losses import Loss
from ds2api.universal.usage import Usage

__all__ = ["FIGURES", "read_figures", "write_figures"]

_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
_PROMPT, _ANSWER = "prompt_eval_count", "eval_count"
# In the order in which the server writes them.
FIGURES = ("total_duration", "load_duration", _PROMPT, "prompt_eval_duration", _ANSWER, "eval_duration")


def read_figures(line: dict[str, Any]) -> Usage | None:
    """None where no figure stands."""
    raw = {name: line[name] for name in FIGURES if _is_count(line.get(name))}
    if not raw:
        return None
    usage = Usage(raw=(NAME, raw))
    if _PROMPT in raw or _ANSWER in raw:
        usage.input_uncached, usage.output_text = raw.get(_PROMPT, 0), raw.get(_ANSWER, 0)
    return usage


def write_figures(usage: Usage | None) -> tuple[dict[str, Any], list[Loss]]:
    """The fields, and what is only guessed. A counter that is not known is left out."""
    if usage is not None and usage.raw is not None and usage.raw[0] == NAME:
        return dict.fromkeys(_DURATIONS, 0) | usage.raw[1], []
    counts = {_PROMPT: None if usage is None else usage.input_total, _ANSWER: usage and usage.output_total}
    figures = {name: counts.get(name, 0) for name in FIGURES}
    losses = []
    if usage is not None and usage.estimated:
        losses.append(Loss("estimated", "usage", "the gateway's own guess"))
    return {name: value for name, value in figures.items() if value is not None}, losses


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
