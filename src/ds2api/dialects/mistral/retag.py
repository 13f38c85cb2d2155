"""A request with the extras of one dialect in another's name: how Mistral's requests pass through chat's code.

What two dialects of one family keep as extras has one form, so only the name that stands on it has to change. The
given object stays as it is.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from ds2api.universal.parts import Extra, Opaque
from ds2api.universal.request import Request

__all__ = ["retagged"]

_Node = TypeVar("_Node")


def retagged(node: _Node, old: str, new: str) -> _Node:
    """A copy of `node` (a universal object, or a list of such) in which what was tagged `old` is tagged `new`."""
    value: Any = node
    if isinstance(value, list):
        copied: Any = [retagged(one, old, new) for one in value]
        return copied  # type: ignore[no-any-return]
    if not is_dataclass(value) or isinstance(value, type):
        return node
    if isinstance(value, Extra | Opaque):
        return replace(value, dialect=new) if value.dialect == old else node  # type: ignore[return-value]
    # Only what may hold an extra: plain values, and the dictionaries that a client wrote, are shared.
    changes: dict[str, Any] = {}
    for one in fields(value):
        inner = getattr(value, one.name)
        if isinstance(inner, list) or is_dataclass(inner):
            changes[one.name] = retagged(inner, old, new)
    if isinstance(value, Request) and value.dialect == old:
        changes["dialect"] = new
    return replace(value, **changes)  # type: ignore[no-any-return]
