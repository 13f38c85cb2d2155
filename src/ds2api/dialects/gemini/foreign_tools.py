"""Writes tools and the choice among them for Gemini.

Schemas go as `parametersJsonSchema`. A custom tool (free text) is a function with the single string `input`, unwrapped
on the way back; its grammar can only be told (R062). Strict tools are what the mode VALIDATED does for all of them.
Tools that another provider would run are left out with a loss, unless the request cannot do without them (R086).
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.gemini.schemas import for_gemini
from ds2api.dialects.gemini.writing import Writing
from ds2api.universal.request import Request, Tool, ToolChoice

__all__ = ["write_tools"]

_FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
# How fast arguments are streamed, and a word that says what every tool here is.
_WITHOUT_MEANING = frozenset({"eager_input_streaming", "type"})


def write_tools(request: Request, writing: Writing) -> dict[str, Any]:
    """`tools` and `toolConfig`. Without tools there is neither (R064)."""
    choice = request.tool_choice
    if choice is not None:
        writing.report_extra(choice.extra, choice.path, _WITHOUT_MEANING)
    kept = [tool for tool in request.tools if not _is_foreign(tool, choice, writing)]
    if not kept:
        if choice is not None and choice.mode in ("required", "named", "allowed"):
            raise writing.losses.refuse(choice.path, "a tool is demanded, but no tool can be offered to this provider")
        return {}
    body: dict[str, Any] = {"tools": [{"functionDeclarations": [_function(tool, writing) for tool in kept]}]}
    config = _config(choice, kept, writing)
    if config is not None:
        body["toolConfig"] = {"functionCallingConfig": config}
    if request.parallel_calls is False:
        path = request.path_of("parallel_calls")
        writing.losses.report("dropped", path, "this provider cannot be told to call one tool at a time")
    return body


def _is_foreign(tool: Tool, choice: ToolChoice | None, writing: Writing) -> bool:
    if not tool.hosted:
        return False
    reason = f"the tool {tool.kind} is run by another provider and is not offered here"
    if choice is not None and choice.mode == "named" and choice.name in (tool.name, tool.kind):
        raise writing.losses.refuse(choice.path, reason)
    writing.losses.report("dropped", tool.path, reason)
    return True


def _function(tool: Tool, writing: Writing) -> dict[str, Any]:
    writing.report_extra(tool.extra, tool.path, _WITHOUT_MEANING)
    writing.report_mark(tool.cache, tool.path)
    description, schema = tool.description, tool.parameters
    if tool.custom:
        writing.restore.custom_tools.add(tool.name)
        schema = _FREE_TEXT
        if tool.format is not None and tool.format.get("type") != "text":
            reason = "a grammar is only described to this model"
            writing.losses.report("approximated", f"{tool.path}.format", reason)
            told = f"The input must match this grammar:\n{jsons.dump(tool.format).decode()}"
            description = f"{description}\n\n{told}" if description else told
    written: dict[str, Any] = {"name": writing.names.of(tool.name)}
    if description is not None:
        written["description"] = description
    if schema:
        written["parametersJsonSchema"] = for_gemini(schema)
    return written


def _config(choice: ToolChoice | None, kept: list[Tool], writing: Writing) -> dict[str, Any] | None:
    natural = "VALIDATED" if any(tool.strict for tool in kept) else "AUTO"
    if choice is None:
        return None if natural == "AUTO" else {"mode": natural}
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "auto":
            return {"mode": natural}
    names = [choice.name or ""] if choice.allowed is None else list(choice.allowed.names)
    for name in names:
        if not any(tool.name == name for tool in kept):
            raise writing.losses.refuse(choice.path, f"the tool {name!r} is demanded but not among the tools")
    is_required = choice.allowed is None or choice.allowed.required
    # AUTO takes no names (`google/genai/types.py`, FunctionCallingConfig).
    mode = "ANY" if is_required else "VALIDATED"
    return {"mode": mode, "allowedFunctionNames": [writing.names.of(name) for name in names]}
