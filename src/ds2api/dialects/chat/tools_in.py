"""Tools and their choice in a chat request: wire → universal.

The old `functions` and `function_call` are read as tools; `turns_in` says how they are told apart again. A tool of
a type that is not known (OpenRouter's and other vendors' server tools) is a hosted tool: its own server knows it.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.reading import Fields, at, list_of, one_of, shown, text_of, wrong_type
from ds2api.universal.errors import Problem
from ds2api.universal.parts import CacheMark, Extra
from ds2api.universal.request import AllowedTools, Tool, ToolChoice

__all__ = ["read_choice", "read_function_choice", "read_functions", "read_tools"]


def read_tools(value: Any) -> list[Tool]:
    return [_read_tool(tool, at("tools", index)) for index, tool in enumerate(list_of(value, "tools"))]


def read_functions(value: Any) -> list[Tool]:
    """The deprecated `functions`."""
    functions = list_of(value, "functions")
    return [_read_function(Fields(one, at("functions", index)), None) for index, one in enumerate(functions)]


def read_choice(value: Any) -> ToolChoice:
    """`tool_choice`; Mistral's "any" is "required"."""
    path = "tool_choice"
    if isinstance(value, str):
        word = one_of(value, path, ("auto", "none", "required", "any"))
        return ToolChoice("required" if word == "any" else word)  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise wrong_type(value, path, "a string or an object")
    fields = Fields(value, path)
    kind = fields.take("type") or "function"
    if kind == "allowed_tools":
        inner = Fields(fields.object(kind), fields.at(kind))
        mode = one_of(inner.take("mode"), inner.at("mode"), ("auto", "required"))
        names = [_name_of(tool, at(inner.at("tools"), index)) for index, tool in enumerate(inner.array("tools"))]
        return ToolChoice("allowed", allowed=AllowedTools(tuple(names), mode == "required"))
    if kind in ("function", "custom"):
        inner = Fields(fields.object(kind), fields.at(kind))
        return ToolChoice("named", inner.text("name"))
    accepted = '"function", "custom" or "allowed_tools"'
    raise Problem.bad_request(f"{path}.type: expected {accepted}, found {shown(kind)}", f"{path}.type")


def read_function_choice(value: Any) -> ToolChoice:
    """The deprecated `function_call` of a request."""
    path = "function_call"
    if isinstance(value, str):
        return ToolChoice(one_of(value, path, ("auto", "none")), path=path)  # type: ignore[arg-type]
    return ToolChoice("named", Fields(value, path).text("name"), path=path)


def _read_tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    kind = text_of(fields.take("type") or "function", fields.at("type"))  # Mistral's clients leave it out
    cache = None
    mark = fields.maybe_object("cache_control")
    if mark is not None:
        cache = CacheMark(Fields(mark, fields.at("cache_control")).maybe_text("ttl"), fields.at("cache_control"))
    if kind == "function":
        inner = Fields(fields.object("function"), fields.at("function"))
        tool = _read_function(inner, fields)
        tool.cache, tool.path = cache, path
        return tool
    if kind == "custom":
        inner = Fields(fields.object("custom"), fields.at("custom"))
        form = inner.maybe_object("format")
        if form is not None and isinstance(form.get("grammar"), dict):
            form = {"type": form.get("type"), **form["grammar"]}  # flat, as responses says it
        tool = Tool(inner.text("name"), inner.maybe_text("description"), custom=True, kind=kind, format=form)
        tool.cache, tool.path, tool.extra = cache, path, _extra(inner, fields, "custom")
        return tool
    return Tool(kind, hosted=True, kind=kind, cache=cache, path=path, extra=Extra("chat", fields.said()))


def _read_function(inner: Fields, outer: Fields | None) -> Tool:
    tool = Tool(
        inner.text("name"),
        inner.maybe_text("description"),
        inner.maybe_object("parameters"),
        inner.maybe_boolean("strict"),
        path=inner.path,
    )
    tool.extra = _extra(inner, outer, "function")
    return tool


def _extra(inner: Fields, outer: Fields | None, name: str) -> Extra | None:
    """What nobody read: beside the definition, and inside of it under its name."""
    rest = outer.said() if outer is not None else {}
    if left := inner.said():
        rest[name] = left
    return Extra("chat", rest) if rest else None


def _name_of(tool: Any, path: str) -> str:
    fields = Fields(tool, path)
    kind = fields.take("type") or "function"
    inner = fields.maybe_object(kind) if isinstance(kind, str) else None
    return fields.text("name") if inner is None else Fields(inner, fields.at(kind)).text("name")
