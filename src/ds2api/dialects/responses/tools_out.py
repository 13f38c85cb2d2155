"""Tools and their choice from another dialect: universal → wire.

Here a tool that says nothing of `strict` is held to its schema where that works; elsewhere it is not: so what was not
said is written out as false (R071). Tools that another provider would run are left out with a loss, unless the request
cannot do without them (R086).
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.responses.writing import Writing
from ds2api.universal.request import Tool, ToolChoice

__all__ = ["write_tools"]

_WITHOUT_MEANING = ("eager_input_streaming", "type")  # how fast arguments are streamed
_SEARCH_FIELDS = ("search_context_size", "user_location")


def write_tools(body: dict[str, Any], writing: Writing) -> None:
    """Put tools, choice and the parallel flag into `body`; without tools there is none of them (R064)."""
    request, losses, choice = writing.request, writing.losses, writing.request.tool_choice
    tools = [_tool(tool, writing) for tool in request.tools if not _is_foreign(tool, choice, writing)]
    tools += _web_search(writing)
    if choice is not None:
        writing.report_extra(choice.extra, choice.path, _WITHOUT_MEANING)
    if not tools:
        if choice is not None and choice.mode in ("required", "named", "allowed"):
            raise losses.refuse(choice.path, "asks for a tool where none is left to call")
        return
    body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = _choice(choice, writing)
    if request.parallel_calls is not None:
        body["parallel_tool_calls"] = request.parallel_calls


def _is_foreign(tool: Tool, choice: ToolChoice | None, writing: Writing) -> bool:
    """Whether `tool` can only be run by another provider. Says the loss; raises `Problem` if it is forced."""
    if not tool.hosted:
        return False
    reason = f'"{tool.name or tool.kind}" is run by another provider'
    if choice is not None and choice.mode == "named" and choice.name in {tool.name, tool.kind}:
        raise writing.losses.refuse(choice.path, reason)
    writing.losses.report("dropped", tool.path, f"{reason}: it is not offered")
    return True


def _tool(tool: Tool, writing: Writing) -> dict[str, Any]:
    writing.report_extra(tool.extra, tool.path, _WITHOUT_MEANING)
    written: dict[str, Any] = {"type": "custom" if tool.custom else "function", "name": writing.names.of(tool.name)}
    if tool.description is not None:
        written["description"] = tool.description
    if not tool.custom:
        written["parameters"] = tool.parameters or {"type": "object", "properties": {}}
        written["strict"] = bool(tool.strict)
    elif tool.format is not None:
        grammar = tool.format.get("grammar")  # chat's own, one level deeper
        written["format"] = {"type": "grammar", **grammar} if isinstance(grammar, dict) else tool.format
    return written


def _web_search(writing: Writing) -> list[dict[str, Any]]:
    """Chat's `web_search_options`: the hosted tool that does the same."""
    extra = writing.request.extra
    options = extra.get("chat").get("web_search_options") if extra is not None else None
    if not isinstance(options, dict):
        return []
    writing.losses.report("approximated", "web_search_options", "sent as the hosted tool web_search")
    written = {"type": "web_search", **{name: options[name] for name in _SEARCH_FIELDS if options.get(name)}}
    location = written.get("user_location")
    if isinstance(location, dict) and isinstance(location.get("approximate"), dict):
        written["user_location"] = {"type": "approximate", **location["approximate"]}
    return [written]


def _choice(choice: ToolChoice, writing: Writing) -> str | dict[str, Any]:
    if choice.mode == "allowed" and choice.allowed is not None:
        mode = "required" if choice.allowed.required else "auto"
        return {
            "type": "allowed_tools",
            "mode": mode,
            "tools": [_named(name, writing) for name in choice.allowed.names],
        }
    return _named(choice.name or "", writing) if choice.mode == "named" else choice.mode


def _named(name: str, writing: Writing) -> dict[str, Any]:
    is_custom = any(tool.custom for tool in writing.request.tools if tool.name == name)
    return {"type": "custom" if is_custom else "function", "name": writing.names.of(name)}
