"""Tools: universal → a request of `/api/chat`.

There is no choice among tools here: "none" is said by offering none, "auto" by saying nothing, and what demands a call
cannot be said. The server reads of a schema what it knows and passes over the rest, but refuses one whose `type` is no
word and properties that are no objects, which are legal JSON Schema: these two are put into its form.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.ollama.extras import own_fields
from ds2api.dialects.ollama.writing import Writing
from ds2api.universal.request import Request, Tool, ToolChoice

__all__ = ["write_tools"]

_FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def write_tools(request: Request, writing: Writing) -> list[dict[str, Any]]:
    """The tools that are offered."""
    if writing.is_own:
        return [_own(tool) for tool in request.tools]
    choice, losses = request.tool_choice, writing.losses
    tools = [tool for tool in request.tools if not _is_hosted(tool, choice, writing)]
    if choice is not None:
        writing.lose_extra(choice.extra, choice.path)
        if choice.mode == "none":
            return []
        allowed = choice.allowed
        if choice.mode in ("required", "named") or (allowed is not None and allowed.required):
            losses.refuse_soft(choice.path, "Ollama cannot be told to call a tool")
        elif allowed is not None:
            reason = "the tools that are not allowed now are left out, which changes the cached prefix"
            losses.report("approximated", choice.path, reason)
        if allowed is not None:
            tools = [tool for tool in tools if tool.name in allowed.names]
    if request.parallel_calls is False and tools:
        writing.drop(request.path_of("parallel_calls"), "Ollama cannot be told to call one tool at a time")
    return [_tool(tool, writing) for tool in tools]


def _own(tool: Tool) -> dict[str, Any]:
    own = own_fields(tool.extra)
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    function = {name: value for name, value in function.items() if value is not None} | own.pop("function", {})
    return {"type": "function", "function": function, **own}


def _is_hosted(tool: Tool, choice: ToolChoice | None, writing: Writing) -> bool:
    """Whether another provider would run it: then it is lost, and refused where it is demanded (R086)."""
    if not tool.hosted:
        return False
    reason = f"the tool {tool.kind} is run by another provider and is not offered here"
    if choice is not None and choice.mode == "named" and choice.name in (tool.name, tool.kind):
        raise writing.losses.refuse(choice.path, reason)
    writing.drop(tool.path, reason)
    return True


def _tool(tool: Tool, writing: Writing) -> dict[str, Any]:
    losses = writing.losses
    writing.lose_extra(tool.extra, tool.path)
    writing.lose_mark(tool.cache, tool.path)
    if tool.strict:
        writing.drop(f"{tool.path}.strict", "Ollama does not hold a model to a tool's schema")
    description, parameters = tool.description, _object_schema(tool.parameters or {})
    if tool.custom:
        writing.restore.custom_tools.add(tool.name)
        parameters = _FREE_TEXT
        if tool.format is not None and tool.format.get("type") != "text":
            losses.report("approximated", f"{tool.path}.format", "a grammar is only described to this model")
            told = f"The input must match this grammar:\n{jsons.dump(tool.format).decode()}"
            description = f"{description}\n\n{told}" if description else told
    function: dict[str, Any] = {"name": tool.name}
    if description is not None:
        function["description"] = description
    return {"type": "function", "function": {**function, "parameters": parameters}}


def _object_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with a word for its type and an object for each property."""
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    as_objects = {name: one if isinstance(one, dict) else {} for name, one in properties.items()}
    return {**schema, "type": "object", "properties": as_objects}
