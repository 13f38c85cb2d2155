"""Tools, their choice and parallel calls: universal → a chat request.

Without tools nothing about tools is sent: servers refuse an empty list and a choice of nothing (R064). A custom
tool goes to a server that has none as a function with one string `input`; `Restore` unwraps its calls. A hosted
tool of another provider that is only offered is left out with a loss; one that is forced cannot be.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.chat.destination import Destination
from ds2api.universal.request import AllowedTools, Request, Tool, ToolChoice

__all__ = ["write_tools"]

# How fast arguments are streamed, and who may call: nothing of it changes what a chat server gets to do.
_WITHOUT_MEANING = frozenset({"eager_input_streaming", "type"})


def write_tools(request: Request, body: dict[str, Any], destination: Destination) -> None:
    """Put tools, choice and the parallel flag into `body`."""
    if destination.is_old:
        _write_functions(request, body)
        return
    choice = request.tool_choice
    tools = [tool for tool in request.tools if not _is_foreign(tool, choice, destination)]
    if choice is not None and choice.allowed is not None and not destination.allowed_tools:
        tools, choice = _filtered(tools, choice, choice.allowed, destination)
    if choice is not None and choice.mode == "none" and not destination.flavour.tool_choice:
        tools = []
    if tools and not destination.flavour.tools:
        reason = 'this chat server has no tools; a target may say tools = "prompted"'
        destination.losses.refuse_soft(request.path_of("tools"), reason)
        tools = []
    if not tools:
        if choice is not None and choice.mode in ("required", "named", "allowed") and not destination.is_verbatim:
            raise destination.losses.refuse(choice.path, "asks for a tool where none is left to call")
        if destination.is_verbatim and choice is not None and choice.mode in ("required", "named", "allowed"):
            body["tool_choice"] = _choice(choice, request, destination)
        return
    body["tools"] = [_tool(tool, destination) for tool in tools]
    if choice is not None:
        _write_choice(choice, request, body, destination)
    if request.parallel_calls is not None:
        if destination.flavour.parallel_calls and destination.flavour.takes("parallel_tool_calls"):
            body["parallel_tool_calls"] = request.parallel_calls
        elif not request.parallel_calls:
            path = request.path_of("parallel_calls")
            destination.losses.report("dropped", path, "this chat server cannot be told to call one tool at a time")


def _write_functions(request: Request, body: dict[str, Any]) -> None:
    """The deprecated form, for a client that speaks it."""
    if request.tools:
        body["functions"] = [_function(tool, tool.name) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None:
        body["function_call"] = {"name": choice.name} if choice.mode == "named" else choice.mode


def _is_foreign(tool: Tool, choice: ToolChoice | None, destination: Destination) -> bool:
    """Whether `tool` can only be run by another provider. Says the loss; raises `Problem` if it is forced."""
    if not tool.hosted or destination.is_same:
        return False
    if choice is not None and choice.mode == "named" and choice.name in {tool.name, tool.kind}:
        raise destination.losses.refuse(choice.path, f'"{tool.name}" is run by another provider')
    destination.losses.report("dropped", tool.path, f'"{tool.name}" is run by another provider: it is not offered')
    return True


def _filtered(
    tools: list[Tool], choice: ToolChoice, allowed: AllowedTools, destination: Destination
) -> tuple[list[Tool], ToolChoice]:
    """The allowed tools only, which has the same effect but another prompt: caches miss."""
    destination.losses.report("approximated", choice.path, "tools that are not allowed were left out of the list")
    kept = [tool for tool in tools if tool.name in allowed.names]
    return kept, ToolChoice("required" if allowed.required else "auto", path=choice.path)


def _tool(tool: Tool, destination: Destination) -> dict[str, Any]:
    if tool.hosted:
        fields = tool.extra.get("chat") if tool.extra is not None else {}
        return {"type": tool.kind, **fields}
    destination.lose_extra(tool.extra, tool.path, _WITHOUT_MEANING)
    name = destination.tool_name(tool.name)
    written: dict[str, Any]
    if tool.custom and destination.custom_tools:
        custom: dict[str, Any] = {"name": name}
        if tool.description is not None:
            custom["description"] = tool.description
        if tool.format is not None:
            custom["format"] = _nested(tool.format)
        written = {"type": "custom", "custom": custom}
    elif tool.custom:
        written = {"type": "function", "function": _wrapped(tool, name, destination)}
    else:
        function = _function(tool, name)
        # Of false, too, an engine that does not know it makes words of its prompt: templates dump the whole tool.
        if not destination.flavour.strict_tools and function.pop("strict", None):
            reason = "this chat server does not hold a model to a tool's schema"
            destination.losses.refuse_soft(f"{tool.path}.strict", reason)
        written = {"type": "function", "function": function}
    if tool.cache is not None and (destination.is_verbatim or destination.flavour.cache_field == "cache_control"):
        ttl = tool.cache.ttl  # OpenRouter's; no other chat server has marks on tools, and they cost money at most
        written["cache_control"] = {"type": "ephemeral"} | ({} if ttl is None else {"ttl": ttl})
    if tool.extra is not None:
        for field, value in tool.extra.get("chat").items():
            inner = written.get(field)
            written[field] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return written


def _nested(form: dict[str, Any]) -> dict[str, Any]:
    """A grammar stands one level deeper in chat than in responses."""
    if form.get("type") != "grammar" or "grammar" in form:
        return form
    return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}


def _function(tool: Tool, name: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _wrapped(tool: Tool, name: str, destination: Destination) -> dict[str, Any]:
    """A custom tool as a function with one string; a grammar is told in words (R062)."""
    destination.restore.custom_tools.add(tool.name)
    description = tool.description or ""
    if tool.format is not None and tool.format.get("type") == "grammar":
        grammar = tool.format.get("grammar", tool.format)
        syntax, definition = grammar.get("syntax", "lark"), grammar.get("definition", "")
        description = f"{description}\n\nThe input must match this {syntax} grammar:\n{definition}".strip()
        reason = "the grammar is told to the model in the description, not enforced"
        destination.losses.report("approximated", f"{tool.path}.format", reason)
    parameters = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return {"name": name, "description": description, "parameters": parameters}


def _write_choice(choice: ToolChoice, request: Request, body: dict[str, Any], destination: Destination) -> None:
    destination.lose_extra(choice.extra, choice.path, _WITHOUT_MEANING)
    if not destination.flavour.tool_choice:
        if choice.mode != "auto":
            reason = "this chat server cannot be told which tool to call"
            destination.losses.refuse_soft(choice.path, reason)
        return
    if choice.mode == "required" and not destination.flavour.required_word:
        destination.losses.refuse_soft(choice.path, "this chat server cannot be made to call a tool")
        return
    body["tool_choice"] = _choice(choice, request, destination)


def _choice(choice: ToolChoice, request: Request, destination: Destination) -> str | dict[str, Any]:
    if choice.mode == "allowed" and choice.allowed is not None:
        mode = "required" if choice.allowed.required else "auto"
        tools = [_named(name, request, destination) for name in choice.allowed.names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    if choice.mode == "named":
        return _named(choice.name or "", request, destination)
    return destination.flavour.required_word if choice.mode == "required" else choice.mode


def _named(name: str, request: Request, destination: Destination) -> dict[str, Any]:
    is_custom = any(tool.custom for tool in request.tools if tool.name == name) and destination.custom_tools
    kind = "custom" if is_custom else "function"
    return {"type": kind, kind: {"name": destination.tool_name(name)}}
