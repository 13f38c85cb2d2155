"""What the demo's model says: a small, deterministic script, no model at all.

It greets, repeats what it was told, calls the first tool that it is offered when the question sounds like work
for one, and tells what a tool gave back. Words are cut as a tokenizer would, so that streams look real.
"""

from __future__ import annotations

import re
from typing import Any

from ds2api import jsons
from ds2api.universal.parts import Call, File, Image, Part, Result, Text
from ds2api.universal.request import Request, Tool

__all__ = ["pieces", "reply"]

_WORDS = re.compile(r"\s*\S+|\s+$")
_ECHO_MOST = 300


def reply(request: Request, call_id: str) -> list[Part]:
    """The answer to `request`: a text, or a call of one of its tools."""
    last = request.turns[-1] if request.turns else None
    results = [part for part in last.parts if isinstance(part, Result)] if last is not None else []
    if results:
        return [Text(f"The tool says: {_text_of(results[-1].content) or 'nothing'}.")]
    question = _text_of(last.parts) if last is not None else ""
    tool = _wanted_tool(request, question)
    if tool is not None:
        return [Call(call_id, tool.name, jsons.dump(_arguments(tool, question)).decode())]
    seen = sum(isinstance(part, Image | File) for turn in request.turns for part in turn.parts)
    media = (
        "" if seen == 0 else f" I received {seen} image{'s' if seen > 1 else ''} or document{'s' if seen > 1 else ''}."
    )
    if request.output is not None and request.output.kind in ("json", "schema"):
        return [Text(jsons.dump(_example(request.output.schema or {"type": "object"})).decode())]
    shown = question if len(question) <= _ECHO_MOST else question[:_ECHO_MOST] + "…"
    return [Text(f"Hello from the ds2api demo! You said: {shown!r}.{media} No model was asked: I am a script.")]


def pieces(text: str) -> list[str]:
    """`text` cut into words with the space before them, as models stream it."""
    return _WORDS.findall(text) or ([text] if text else [])


def _text_of(parts: list[Part]) -> str:
    return " ".join(part.text for part in parts if isinstance(part, Text)).strip()


def _wanted_tool(request: Request, question: str) -> Tool | None:
    """The tool to call: the forced one, else the one whose name or description shares a word with the question."""
    tools = [tool for tool in request.tools if not tool.hosted]
    choice = request.tool_choice
    if not tools or (choice is not None and choice.mode == "none"):
        return None
    if choice is not None and choice.mode == "named":
        return next((tool for tool in tools if tool.name == choice.name), None)
    words = set(re.findall(r"[a-z]{4,}", question.lower()))
    for tool in tools:
        about = set(re.findall(r"[a-z]{4,}", f"{tool.name} {tool.description or ''}".lower()))
        if words & about:
            return tool
    return tools[0] if choice is not None and choice.mode == "required" else None


def _arguments(tool: Tool, question: str) -> Any:
    schema = tool.parameters or {"type": "object"}
    value = _example(schema)
    if isinstance(value, dict):
        # The question's last word in capitals is a fair guess at what is asked about ("weather in Paris?").
        names = re.findall(r"\b[A-Z][a-z]+\b", question)
        for key, held in value.items():
            if held == "text" and names:
                value[key] = names[-1]
    return value


def _example(schema: Any, depth: int = 0) -> Any:
    """A value that fits `schema` (as far as a demo needs)."""
    if not isinstance(schema, dict) or depth > 8:
        return None
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            return _example(schema[word][0], depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    match kind:
        case "string":
            return "text"
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "array":
            return [_example(schema.get("items", {"type": "string"}), depth + 1)]
        case "object":
            properties = schema.get("properties")
            return {
                name: _example(inner, depth + 1)
                for name, inner in (properties.items() if isinstance(properties, dict) else ())
            }
    return None
