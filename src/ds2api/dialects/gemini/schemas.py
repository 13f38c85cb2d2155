"""Gemini's two forms of a schema: its own `Schema` (a part of OpenAPI, types in capitals) and JSON Schema.

`Schema` is read into JSON Schema, which every other protocol speaks, and remembers how it came: to Gemini it goes back
as it was. Other protocols' schemas go to Gemini in `parametersJsonSchema` and `responseJsonSchema`, which take what
`Schema` has no word for (`mapping.md` §2), less what is no schema at all (R050).
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.gemini.fields import camel_case

__all__ = ["CameAsSchema", "for_gemini", "from_gemini"]

_MAPS = ("properties", "$defs", "defs", "definitions", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "not", "additionalProperties")
# `Schema` writes 64-bit numbers as strings.
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_FOREIGN = ("$schema", "strict", "cache_control")  # no words of a schema: other protocols' switches inside of one


class CameAsSchema(dict[str, Any]):
    """A JSON Schema, and the `Schema` from which it was made."""

    came_as: dict[str, Any]


def from_gemini(schema: dict[str, Any]) -> CameAsSchema:
    """JSON Schema for a `Schema`."""
    made = CameAsSchema(_converted(schema))
    made.came_as = schema
    return made


def _converted(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    written: dict[str, Any] = {}
    nullable = False
    for key, value in schema.items():
        name = camel_case(key)
        match name:
            case "type" if isinstance(value, str):
                if value != "TYPE_UNSPECIFIED":
                    written[name] = value.lower()
            case "nullable":
                nullable = value is True
            case "properties" | "defs" if isinstance(value, dict):
                written["$defs" if name == "defs" else name] = {one: _converted(inner) for one, inner in value.items()}
            case "anyOf" | "prefixItems" if isinstance(value, list):
                written[name] = [_converted(one) for one in value]
            case "items" | "additionalProperties":
                written[name] = _converted(value)
            case "ref":
                written["$ref"] = value
            case "example":
                written["examples"] = [value]
            case "propertyOrdering":
                pass  # the order of `properties` says it to everybody else
            case _ if name in _COUNTS and isinstance(value, str) and value.isdigit():
                written[name] = int(value)
            case _:
                written[name] = value
    if not nullable:
        return written
    if "type" in written:
        written["type"] = [written["type"], "null"]
        if isinstance(written.get("enum"), list) and None not in written["enum"]:
            written["enum"] = [*written["enum"], None]
        return written
    return {"anyOf": [written, {"type": "null"}]}


def for_gemini(schema: Any) -> Any:
    """`schema` without what only other protocols put into one; `const`, which Gemini ignores, as an enum of one."""
    if not isinstance(schema, dict):
        return schema
    written: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _FOREIGN:
            continue
        if key == "const":
            written.setdefault("enum", [value])
        elif key in _MAPS and isinstance(value, dict):
            written[key] = {name: for_gemini(one) for name, one in value.items()}
        elif key in _LISTS and isinstance(value, list):
            written[key] = [for_gemini(one) for one in value]
        elif key in _SINGLE:
            written[key] = for_gemini(value)
        else:
            written[key] = value
    return written
