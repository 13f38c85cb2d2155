"""Puts tools into the prompt: a universal request without tools, calls and results, which asks the same.

Definitions go into the system text with a word on how to call; earlier calls go back into the assistant's own text as
the model would have written them, results into a user's turn. What can only be asked for, not forced (a call, one
call at a time), is asked for and reported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ds2api import jsons
from ds2api.prompted.formats import Format
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Call, Part, Result, Text
from ds2api.universal.request import Request, Tool, Turn

__all__ = ["with_prompted_tools"]

_EXAMPLES = {"NAME": "the tool's name", "PARAMETER": "parameter", "VALUE": "value"}


def with_prompted_tools(request: Request, form: Format, losses: Losses) -> Request:
    """`request` in words. Hosted tools stay: they are for the writer to refuse or report. Raises `Problem` under a
    policy that refuses the reports."""
    tools = [tool for tool in request.tools if not tool.hosted]
    hosted = [tool for tool in request.tools if tool.hosted]
    choice = request.tool_choice
    wish = ""
    if choice is not None and choice.allowed is not None:
        tools = [tool for tool in tools if tool.name in choice.allowed.names]
    if choice is not None and choice.mode == "none":
        tools = []
    elif choice is not None and (choice.mode in ("required", "named") or (choice.allowed and choice.allowed.required)):
        wish = f" Call the tool {choice.name} now." if choice.mode == "named" else " Call one of them now."
        losses.report("approximated", choice.path, "this model can only be asked to call a tool, not made to")
    if request.parallel_calls is False and tools:
        wish += " Make one call only."
        path = request.path_of("parallel_calls")
        losses.report("approximated", path, "this model can only be asked to make one call at a time")
    names = _names(request)
    turns = _joined([_in_words(turn, form, names) for turn in request.turns])
    if tools:
        losses.report("emulated", request.path_of("tools"), "the tools are told in the prompt")
        turns = _with_system(turns, _told(tools, form) + wish)
    return replace(request, turns=turns, tools=hosted, tool_choice=None, parallel_calls=None, reworded=True)


def _told(tools: list[Tool], form: Format) -> str:
    listed = "\n".join(jsons.dump(_definition(tool)).decode() for tool in tools)
    example = form.example
    for word, meaning in _EXAMPLES.items():
        example = example.replace(word, meaning)
    return (
        f"You may call these tools:\n{form.tools_opener}\n{listed}\n{form.tools_closer}\n"
        f"To call a tool, write exactly this, with valid JSON, and then stop:\n{example}\n"
        "Several calls are written one after the other. The results come in the next message, between "
        f"{form.result_opener} and {form.result_closer}. Write no call unless you need one."
    )


def _definition(tool: Tool) -> dict[str, Any]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    description = tool.description
    if tool.custom:
        parameters = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        grammar = (tool.format or {}).get("definition")
        if isinstance(grammar, str):
            description = f"{description or ''}\nThe input follows this grammar:\n{grammar}".strip()
    function: dict[str, Any] = {"name": tool.name}
    if description:
        function["description"] = description
    return {"type": "function", "function": {**function, "parameters": parameters}}


def _names(request: Request) -> dict[str, str]:
    """Which tool each call was for."""
    return {part.id: part.name for turn in request.turns for part in turn.parts if isinstance(part, Call)}


def _in_words(turn: Turn, form: Format, names: dict[str, str]) -> Turn:
    if not any(isinstance(part, Call | Result) for part in turn.parts):
        return turn
    parts: list[Part] = []
    calls = [part for part in turn.parts if isinstance(part, Call)]
    for part in turn.parts:
        if isinstance(part, Result):
            parts += _result(part, form, names)
        elif not isinstance(part, Call):
            parts.append(part)
    if calls:
        parts.append(Text(_written(calls, form), path=calls[0].path))
    role = "user" if turn.role == "tool" else turn.role
    return replace(turn, role=role, parts=parts, plain=False)


def _written(calls: list[Call], form: Format) -> str:
    """`calls` as the model would have written them."""
    if form.body == "object":
        objects = [
            f'{{"name": {jsons.dump(call.name).decode()}, "{form.arguments_key}": {_json(call)}}}' for call in calls
        ]
        if form.name == "mistral":
            return f"{form.opener} [{', '.join(objects)}]"
        if not form.closer:
            return "; ".join(objects)
        return "\n".join(f"{form.opener}\n{one}\n{form.closer}" for one in objects)
    prefix = "functions." if form.name == "kimi" else ""
    items = []
    for number, call in enumerate(calls):
        suffix = f":{number}" if prefix else ""
        items.append(f"{form.item_opener}{prefix}{call.name}{suffix}{form.separator}{_json(call)}{form.item_closer}")
    return form.opener + "".join(items) + form.closer


def _json(call: Call) -> str:
    if call.custom:
        return jsons.dump({"input": call.arguments}).decode()
    return call.arguments.strip() or "{}"


def _result(result: Result, form: Format, names: dict[str, str]) -> list[Part]:
    """A result in words, and its pictures behind it."""
    text = "".join(part.text for part in result.content if isinstance(part, Text))
    value: dict[str, Any] = {"name": result.name or names.get(result.call_id, ""), "content": text}
    if result.is_error:
        value["error"] = True
    others = [part for part in result.content if not isinstance(part, Text)]
    said = f"{form.result_opener}\n{jsons.dump(value).decode()}\n{form.result_closer}"
    return [Text(said, path=result.path), *others]


def _joined(turns: list[Turn]) -> list[Turn]:
    """Neighbouring turns of a user as one: results and what the user said behind them (templates want them to
    alternate)."""
    joined: list[Turn] = []
    for turn in turns:
        if turn.role == "user" and joined and joined[-1].role == "user" and turn.name == joined[-1].name:
            joined[-1] = replace(joined[-1], parts=[*joined[-1].parts, *turn.parts], plain=False)
        else:
            joined.append(turn)
    return joined


def _with_system(turns: list[Turn], text: str) -> list[Turn]:
    for place, turn in enumerate(turns):
        if turn.role not in ("system", "developer"):
            break
        if place + 1 == len(turns) or turns[place + 1].role not in ("system", "developer"):
            changed = replace(turn, parts=[*turn.parts, Text("\n\n" + text, path="tools")], plain=False)
            return [*turns[:place], changed, *turns[place + 1 :]]
    return [Turn("system", [Text(text, path="tools")], path="tools"), *turns]
