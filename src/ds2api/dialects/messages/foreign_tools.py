"""Writes tools and the choice among them for Anthropic.

Every client tool is a function with an object for its input. A custom tool (free text) is sent as one with the
single string `input`, and unwrapped on the way back; its grammar can only be told, not enforced (R062). Tools that
another provider would run are left out with a loss, unless the request cannot do without them (R086).
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.messages.schemas import as_object_schema, closed
from ds2api.dialects.messages.writing import Writing
from ds2api.universal.request import Request, Tool, ToolChoice

__all__ = ["write_tools"]

_FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def write_tools(request: Request, writing: Writing) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """`tools` and `tool_choice`. Without tools there is neither (R064)."""
    choice = request.tool_choice
    allowed = choice.allowed if choice is not None and choice.mode == "allowed" else None
    tools: list[dict[str, Any]] = []
    for tool in request.tools:
        if tool.hosted:
            _leave_out(tool, choice, writing)
        elif allowed is None or tool.name in allowed.names:
            tools.append(_tool(tool, writing))
    if choice is not None:
        writing.report_extra(choice.extra, choice.path)
    if allowed is not None and choice is not None:
        reason = "the tools that are not allowed now are left out, which changes the cached prefix"
        writing.losses.report("approximated", choice.path, reason)
    if not tools:
        if choice is not None and choice.mode in ("required", "named"):
            raise writing.losses.refuse(choice.path, "a tool is demanded, but no tool can be offered to this provider")
        return [], None
    return tools, _choice(request, writing, {tool["name"] for tool in tools})


def _leave_out(tool: Tool, choice: ToolChoice | None, writing: Writing) -> None:
    reason = f"the tool {tool.kind} is run by another provider and is not offered here"
    if choice is not None and choice.mode == "named" and choice.name in (tool.name, tool.kind):
        raise writing.losses.refuse(choice.path, reason)
    writing.losses.report("dropped", tool.path, reason)


def _tool(tool: Tool, writing: Writing) -> dict[str, Any]:
    losses = writing.losses
    writing.report_extra(tool.extra, tool.path)
    wire: dict[str, Any] = {"name": writing.names.of(tool.name)}
    description = tool.description
    if tool.custom:
        writing.restore.custom_tools.add(tool.name)
        if tool.format is not None and tool.format.get("type") != "text":
            losses.report("approximated", f"{tool.path}.format", "a grammar is only described to this model")
            told = f"The input must match this grammar:\n{jsons.dump(tool.format).decode()}"
            description = f"{description}\n\n{told}" if description else told
        schema: dict[str, Any] = _FREE_TEXT
    else:
        schema = as_object_schema(tool.parameters)
    if description is not None:
        wire["description"] = description
    wire["input_schema"] = schema
    if tool.strict:
        path = f"{tool.path}.strict"
        if not writing.capabilities.structured:
            losses.refuse_soft(path, f"strict tools are not taken by {writing.target.model}")
        else:
            wire["input_schema"], was_open = closed(schema)
            wire["strict"] = True
            if was_open:
                losses.report(
                    "approximated", path, "strict schemas are closed here: additionalProperties false was added"
                )
    return writing.mark(wire, tool.cache, tool.path)


def _choice(request: Request, writing: Writing, offered: set[str]) -> dict[str, Any] | None:
    choice = request.tool_choice
    wire: dict[str, Any] | None = None
    if choice is not None:
        match choice.mode:
            case "auto" | "none":
                wire = {"type": choice.mode}
            case "required":
                wire = {"type": "any"}
            case "named":
                name = writing.names.of(choice.name or "")
                if name not in offered:
                    raise writing.losses.refuse(
                        choice.path, f"the tool {choice.name!r} is demanded but not among the tools"
                    )
                wire = {"type": "tool", "name": name}
            case "allowed":
                is_required = choice.allowed is not None and choice.allowed.required
                wire = {"type": "any" if is_required else "auto"}
    if request.parallel_calls is False and (wire is None or wire["type"] != "none"):
        wire = {**(wire or {"type": "auto"}), "disable_parallel_tool_use": True}
    return wire
