"""Tools and their choice: wire → universal.

A `namespace` is its functions, each under ``namespace__function``: that is how every other dialect can offer them
(R086); the loss is said once for each namespace. A type that is neither function, custom nor namespace is a hosted
tool.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.reading import Fields, at, list_of, one_of, wrong_type
from ds2api.dialects.responses.origin import NAME, came_as, came_from
from ds2api.universal.request import AllowedTools, Request, Tool, ToolChoice

__all__ = ["flat_name", "namespaces_of", "read_choice", "read_tools"]


def flat_name(namespace: str, name: str) -> str:
    """The name of a namespace's function where there are no namespaces."""
    return f"{namespace}__{name}"


def read_tools(value: Any, path: str = "tools") -> list[Tool]:
    tools: list[Tool] = []
    for index, wire in enumerate(list_of(value, path)):
        fields = Fields(wire, at(path, index))
        if fields.text("type") == "namespace" and fields.holds("tools"):
            tools += _read_namespace(wire, fields)
        else:
            tools.append(_read_tool(wire, fields.path, wire))
    return tools


def namespaces_of(request: Request | None) -> dict[str, tuple[str, str]]:
    """Flat names → (namespace, function), of a request of this dialect."""
    known = {}
    for tool in request.tools if request is not None and request.dialect == NAME else ():
        wire = came_as(tool.extra)
        if wire is not None and wire.get("type") == "namespace":
            known[tool.name] = (wire["name"], tool.name[len(flat_name(wire["name"], "")) :])
    return known


def read_choice(value: Any) -> ToolChoice:
    path = "tool_choice"
    if isinstance(value, str):
        return ToolChoice(one_of(value, path, ("auto", "none", "required")))  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise wrong_type(value, path, "a string or an object")
    fields, own = Fields(value, path), came_from(value)
    kind = fields.text("type")
    if kind == "allowed_tools":
        mode = one_of(fields.take("mode"), fields.at("mode"), ("auto", "required"))
        names = [_name_of(tool, at(fields.at("tools"), index)) for index, tool in enumerate(fields.array("tools"))]
        return ToolChoice("allowed", allowed=AllowedTools(tuple(names), mode == "required"), extra=own)
    if kind in ("function", "custom"):
        name = fields.text("name")
        namespace = fields.maybe_text("namespace")
        return ToolChoice("named", name if namespace is None else flat_name(namespace, name), extra=own)
    return ToolChoice("named", kind, extra=own)  # a hosted tool


def _read_namespace(wire: dict[str, Any], fields: Fields) -> list[Tool]:
    name, path = fields.text("name"), fields.at("tools")
    tools = [_read_tool(one, at(path, index), wire) for index, one in enumerate(list_of(fields.take("tools"), path))]
    for index, tool in enumerate(tools):
        tool.name = flat_name(name, tool.name)
        lost = dict(tool.extra.fields) if tool.extra is not None else {}
        tool.extra = came_from(wire, lost if index else {"namespace": name, **lost})
    return tools


def _read_tool(value: Any, path: str, origin: dict[str, Any]) -> Tool:
    fields = Fields(value, path)
    kind = fields.text("type")
    if kind not in ("function", "custom"):
        return Tool(kind, hosted=True, kind=kind, path=path, extra=came_from(origin))
    tool = Tool(fields.text("name"), fields.maybe_text("description"), kind=kind, path=path)
    if kind == "custom":
        tool.custom, tool.format = True, fields.maybe_object("format")
    else:
        tool.parameters, tool.strict = fields.maybe_object("parameters"), fields.maybe_boolean("strict")
    # Whether a definition is loaded late changes the prompt, not what may be called.
    tool.extra = came_from(origin, {name: one for name, one in fields.said().items() if name != "defer_loading"})
    return tool


def _name_of(tool: Any, path: str) -> str:
    """Functions and custom tools by name, hosted ones by type."""
    fields = Fields(tool, path)
    kind = fields.text("type")
    return fields.text("name") if kind in ("function", "custom") else kind
