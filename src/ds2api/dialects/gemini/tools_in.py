"""Tools and their choice: wire → universal. A tool's path keeps in which entry of `tools` it stood."""

from __future__ import annotations

from ds2api.dialects.gemini.fields import NAME, GeminiFields, extra_of
from ds2api.dialects.gemini.schemas import from_gemini
from ds2api.dialects.reading import at, one_of, texts_of
from ds2api.universal.parts import Extra
from ds2api.universal.request import AllowedTools, Request, Tool, ToolChoice

__all__ = ["read_tool_config", "read_tools"]

_MODES = ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")


def read_tools(fields: GeminiFields) -> list[Tool]:
    tools: list[Tool] = []
    for index, entry in enumerate(fields.listed("tools")):
        inner = GeminiFields(entry, at(fields.at("tools"), index))
        for number, one in enumerate(inner.listed("functionDeclarations")):
            tools.append(_function(GeminiFields(one, at(inner.at("functionDeclarations"), number))))
        for kind, value in inner.said().items():  # run by Google
            extra = Extra(NAME, value if isinstance(value, dict) else {"value": value})
            tools.append(Tool(kind, hosted=True, kind=kind, path=inner.at(kind), extra=extra))
    return tools


def read_tool_config(fields: GeminiFields, request: Request) -> None:
    config = fields.inner("toolConfig")
    if config is None:
        return
    calling = config.inner("functionCallingConfig")
    if calling is not None:
        request.tool_choice = _choice(calling)
    for name, value in config.said().items():
        fields.keep(f"toolConfig.{name}", value)


def _function(fields: GeminiFields) -> Tool:
    name, description = fields.text("name"), fields.maybe_text("description")
    schema = fields.maybe_object("parametersJsonSchema")
    if schema is None and (given := fields.maybe_object("parameters")) is not None:
        schema = from_gemini(given)
    return Tool(name, description, schema, path=fields.path, extra=extra_of(("", fields)))


def _choice(fields: GeminiFields) -> ToolChoice:
    mode = fields.maybe_text("mode")
    mode = "AUTO" if mode is None else one_of(mode, fields.at("mode"), _MODES)
    names = fields.take("allowedFunctionNames")
    allowed = tuple(texts_of(names, fields.at("allowedFunctionNames"))) if names is not None else ()
    if mode == "VALIDATED":  # like AUTO, with arguments held to their schema: no other protocol has it as a mode
        fields.keep("mode", mode)
    path, extra = fields.path, extra_of(("", fields))
    if mode == "NONE":
        return ToolChoice("none", path=path, extra=extra)
    if mode == "ANY" and len(allowed) == 1:
        return ToolChoice("named", allowed[0], path=path, extra=extra)
    if allowed:
        return ToolChoice("allowed", allowed=AllowedTools(allowed, mode == "ANY"), path=path, extra=extra)
    return ToolChoice("required" if mode == "ANY" else "auto", path=path, extra=extra)
