"""What a Claude model takes, told by its name; the target's own `capabilities` overrule it.

Names come in many dresses: dated (``claude-sonnet-4-5-20250929``), ``-latest``, with a provider's prefix
(``anthropic/…``), Bedrock's region and version (``us.anthropic.claude-…-v1:0``), Vertex's date (``…@20250929``).
They are undressed first; then the *line* and the version number decide, so a new patch of a known line needs no
change here. A name that tells nothing gets the newest rules and nothing that only some models have: what the
newest refuse (sampling, a thinking budget, prefill) is not sent.

Sources: `features.md` rows 1, 9, 19, 24 and §0; the recorded 400 of Opus 4.6 for effort ``xhigh`` ("Supported
levels: high, low, max, medium"); Anthropic's model overview for the output limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ds2api.universal.request import Effort

__all__ = ["Capabilities", "capabilities_of"]

Thinking = Literal["adaptive", "enabled", "disabled"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`sampling`: "one" takes temperature or top_p, not both. `thinking` holds the legal types. `efforts` is empty
    where there is no effort at all. `is_known` is False where the name told nothing."""

    sampling: Literal["all", "one", "none"] = "none"
    thinking: frozenset[Thinking] = frozenset({"adaptive"})
    efforts: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
    mid_system: bool = False
    prefill: bool = False
    structured: bool = True
    # The smallest of any model since Claude 4 (Opus 4 and 4.1): the others take more, none takes less.
    max_output_tokens: int = 32_000
    is_known: bool = False


_ADAPTIVE: frozenset[Thinking] = frozenset({"adaptive"})
_ADAPTIVE_OR_OFF: frozenset[Thinking] = frozenset({"adaptive", "disabled"})
_BUDGET: frozenset[Thinking] = frozenset({"enabled", "disabled"})
_EITHER: frozenset[Thinking] = frozenset({"adaptive", "enabled", "disabled"})

_PREFIX = re.compile(r"^(?:.*/)?(?:[a-z-]+\.)*")  # "anthropic/", "us.anthropic.", "publishers/anthropic/models/"
_SUFFIX = re.compile(r"(?:[@-](?:20\d{6}|latest|default|fast|thinking))+$|-v\d+(?::\d+)?$")
_NEW_ORDER = re.compile(r"^claude-([a-z]+)-(\d{1,2})(?:[-.](\d{1,2}))?$")  # claude-opus-4-5
_OLD_ORDER = re.compile(r"^claude-(\d)(?:[-.](\d))?-([a-z]+)$")  # claude-3-5-sonnet


def capabilities_of(model: str, overrides: Mapping[str, Any] | None = None) -> Capabilities:
    """What `model` takes. `overrides` has fields of `Capabilities` by their names; unknown names are left alone
    (they are for other dialects)."""
    line, version = _line_and_version(model)
    found = Capabilities() if line is None else _of(line, version)
    if not overrides:
        return found
    changes: dict[str, Any] = {}
    for one in fields(Capabilities):
        if one.name in overrides:
            value = overrides[one.name]
            if one.name == "thinking":
                value = frozenset(value)
            elif one.name == "efforts":
                value = tuple(value)
            changes[one.name] = value
    return replace(found, **changes)


def _line_and_version(model: str) -> tuple[str | None, tuple[int, int]]:
    name = _PREFIX.sub("", model.lower())
    while (shorter := _SUFFIX.sub("", name)) != name:
        name = shorter
    found = _NEW_ORDER.match(name)
    if found:
        return found[1], (int(found[2]), int(found[3] or 0))
    found = _OLD_ORDER.match(name)
    if found:
        return found[3], (int(found[1]), int(found[2] or 0))
    return ("mythos", (5, 0)) if name == "claude-mythos-preview" else (None, (0, 0))


def _of(line: str, version: tuple[int, int]) -> Capabilities:
    if version < (3, 7):
        limit = 8_192 if version >= (3, 5) else 4_096
        return Capabilities("all", frozenset(), (), False, True, False, limit, True)
    if version < (4, 6):
        limit = 32_000 if line == "opus" and version < (4, 5) else 64_000
        efforts: tuple[Effort, ...] = ("low", "medium", "high") if line == "opus" and version >= (4, 5) else ()
        sampling: Literal["all", "one"] = "one" if version >= (4, 1) else "all"
        return Capabilities(sampling, _BUDGET, efforts, False, True, version >= (4, 1), limit, True)
    if version < (4, 7):
        limit = 128_000 if line == "opus" else 64_000
        return Capabilities("one", _EITHER, ("low", "medium", "high", "max"), max_output_tokens=limit, is_known=True)
    return Capabilities(
        thinking=_ADAPTIVE if line in ("fable", "mythos") else _ADAPTIVE_OR_OFF,
        mid_system=version >= (4, 8),
        max_output_tokens=128_000 if line == "opus" else 64_000,
        is_known=True,
    )
