"""What a model's name tells, and the model list that chat clients ask for.

Names come dated, with a provider's or a region's prefix, and fine-tuned (``ft:gpt-4o:…``): `_bare` takes these
off. A name that is not known tells nothing, and nothing is then left out or changed because of it. Whatever an
operator knows better stands in `Target.capabilities` under the same words and wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo
from ds2api.universal.request import Effort

__all__ = ["Capabilities", "capabilities_of", "written_model", "written_models"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`efforts` None: not known, anything may be sent; empty: the model does not reason on request."""

    efforts: tuple[Effort, ...] | None = None
    max_completion_tokens: bool = False  # `max_tokens` is a 400 (recorded)
    developer_role: bool = False  # the developer's role in place of the system's
    sampling: bool = True  # takes temperature, top_p, penalties
    stop: bool = True
    cache_breakpoints: bool = False
    strict_order: bool = False  # no user turn right behind a tool's


_REASONING: tuple[Effort, ...] = ("low", "medium", "high")
_OPENAI_REASONING = Capabilities(_REASONING, max_completion_tokens=True, developer_role=True, sampling=False)

# First match wins. developers.openai.com: model pages, reasoning guide, latest-model guide; 400s recorded.
_FAMILIES: tuple[tuple[re.Pattern[str], Capabilities], ...] = tuple(
    (re.compile(pattern), capabilities)
    for pattern, capabilities in (
        (r"o1-(mini|preview)", replace(_OPENAI_REASONING, efforts=(), developer_role=False)),
        (r"o[34](-mini|-pro|-deep)?\b", replace(_OPENAI_REASONING, stop=False)),
        (r"o\d", _OPENAI_REASONING),
        (r"gpt-5.*-chat|gpt-5-chat|chatgpt-", Capabilities(efforts=(), max_completion_tokens=True)),
        (r"gpt-5(?!\.)", replace(_OPENAI_REASONING, efforts=("minimal", *_REASONING))),
        (r"gpt-5\.1", replace(_OPENAI_REASONING, efforts=("none", *_REASONING))),
        (r"gpt-5\.[2-5]", replace(_OPENAI_REASONING, efforts=("none", *_REASONING, "xhigh"))),
        (
            r"gpt-(5\.([6-9]|\d\d)|[6-9])",
            replace(_OPENAI_REASONING, efforts=("none", *_REASONING, "xhigh", "max"), cache_breakpoints=True),
        ),
        (r"gpt-oss", Capabilities(efforts=_REASONING)),
        (r"(gpt-4|gpt-3)", Capabilities(efforts=())),
        (
            r"(open-)?(mistral|mixtral|codestral|ministral|magistral|devstral|pixtral)",
            Capabilities(strict_order=True),
        ),
    )
)

_PREFIX = re.compile(r"^(?:ft:|[\w.~@-]+/)+")


@lru_cache(1024)
def _known(model: str) -> Capabilities:
    bare = _bare(model)
    return next((known for pattern, known in _FAMILIES if pattern.match(bare)), Capabilities())


def capabilities_of(model: str, overrides: Mapping[str, Any] | None = None) -> Capabilities:
    """What `model` takes; `overrides` are fields of `Capabilities` by name, others are of no concern here."""
    found = _known(model[:200])  # a name may be as long as a body, and is remembered
    if overrides:
        names = {one.name for one in fields(Capabilities)}
        changes = {name: value for name, value in overrides.items() if name in names}
        if isinstance(changes.get("efforts"), list):
            changes["efforts"] = tuple(changes["efforts"])
        found = replace(found, **changes)
    return found


def written_models(models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
    """OpenAI's list (`SyncPage`: one page, no cursor)."""
    return jsons.dump({"object": "list", "data": [_entry(model) for model in models]})


def written_model(model: ModelInfo) -> bytes:
    return jsons.dump(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owner}


def _bare(model: str) -> str:
    return _PREFIX.sub("", model.lower())
