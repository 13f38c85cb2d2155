"""What a model's name tells of what it takes. A name that is not known tells nothing.

developers.openai.com: model pages, reasoning guide; 400s recorded. Whatever an operator knows better stands in
`Target.capabilities` under the same words and wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ds2api.universal.request import Effort

__all__ = ["Capabilities", "capabilities_of"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`efforts` None: not known, anything may be sent; empty: the model does not reason on request."""

    efforts: tuple[Effort, ...] | None = None
    sampling: bool = True  # takes temperature and top_p
    cache_breakpoints: bool = False


_REASONING: tuple[Effort, ...] = ("low", "medium", "high")

# First match wins.
_FAMILIES: tuple[tuple[re.Pattern[str], Capabilities], ...] = tuple(
    (re.compile(pattern), capabilities)
    for pattern, capabilities in (
        (r"o\d", Capabilities(_REASONING, sampling=False)),
        (r"gpt-5.*-chat|gpt-5-chat|chatgpt-|gpt-[34]", Capabilities(())),
        (r"gpt-5(?!\.)", Capabilities(("minimal", *_REASONING), sampling=False)),
        (r"gpt-5\.1", Capabilities(("none", *_REASONING), sampling=False)),
        (r"gpt-5\.[2-5]", Capabilities(("none", *_REASONING, "xhigh"), sampling=False)),
        (r"gpt-(5\.([6-9]|\d\d)|[6-9])", Capabilities(("none", *_REASONING, "xhigh", "max"), False, True)),
        (r"gpt-oss", Capabilities(_REASONING)),
    )
)

_PREFIX = re.compile(r"^(?:ft:|[\w.~@-]+/)+")


def capabilities_of(model: str, overrides: Mapping[str, Any]) -> Capabilities:
    """What `model` takes; `overrides` are fields of `Capabilities` by name, others are of no concern here."""
    bare = _PREFIX.sub("", model.lower())
    found = next((known for pattern, known in _FAMILIES if pattern.match(bare)), Capabilities())
    names = {one.name for one in fields(Capabilities)}
    changes = {name: value for name, value in overrides.items() if name in names}
    if isinstance(changes.get("efforts"), list):
        changes["efforts"] = tuple(changes["efforts"])
    return replace(found, **changes) if changes else found
