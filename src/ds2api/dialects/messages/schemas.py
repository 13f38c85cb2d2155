"""JSON Schemas as Anthropic's constrained output takes them.

It takes objects only with ``additionalProperties: false`` and refuses the request otherwise
(platform.claude.com, structured outputs). Other keywords that it does not know are left to it: dropping them in
silence would loosen what the client relies on, and its own error names them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["as_object_schema", "closed"]

_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")


def as_object_schema(schema: dict[str, Any] | None) -> dict[str, Any]:
    """A tool's `input_schema`: it must be of type object."""
    if not schema:
        return {"type": "object", "properties": {}}
    if "type" in schema:
        return schema
    return {"type": "object", **schema}


def closed(schema: Any) -> tuple[Any, bool]:
    """`schema` with every object closed, and whether that changed anything. Keys keep their order."""
    if not isinstance(schema, dict):
        return schema, False
    written: dict[str, Any] = {}
    changed = False
    for key, value in schema.items():
        inner = value
        if key in _MAPS and isinstance(value, dict):
            pairs = {name: closed(one) for name, one in value.items()}
            inner = {name: one for name, (one, _) in pairs.items()}
            changed = changed or any(was for _, was in pairs.values())
        elif key in _LISTS and isinstance(value, list):
            items = [closed(one) for one in value]
            inner = [one for one, _ in items]
            changed = changed or any(was for _, was in items)
        elif key == "items":
            inner, was = closed(value)
            changed = changed or was
        written[key] = inner
    if (written.get("type") == "object" or "properties" in written) and written.get(
        "additionalProperties"
    ) is not False:
        written["additionalProperties"] = False
        changed = True
    return written, changed
