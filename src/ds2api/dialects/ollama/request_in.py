"""A client's request, of `/api/chat` or `/api/generate`: wire → universal.

A prompt of `/api/generate` is a conversation of one user's turn, behind the system text; `path_of("turns")` remembers
that it was one. The SDKs write what was not said as "", [] or false: that counts as not said. A limit below 1 is none
(-1 and -2 are "until the model ends", "until the context is full").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.dialects.ollama.extras import NAME, OPTIONS, extra_of
from ds2api.dialects.ollama.turns_in import read_images, read_messages
from ds2api.dialects.reading import Fields, at, one_of, texts_of, wrong_type
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Part, Text
from ds2api.universal.request import OutputFormat, ReasoningControl, Request, Sampling, Tool, Turn

__all__ = ["EFFORT_WORDS", "is_generate", "read_request"]

EFFORT_WORDS = ("low", "medium", "high", "max")
_NUMBERS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty")
_INTEGERS = ("top_k", "seed")
_PATHS = {
    **{name: f"{OPTIONS}{name}" for name in (*_NUMBERS, *_INTEGERS, "stop")},
    "max_output_tokens": f"{OPTIONS}num_predict",
    "output": "format",
    "reasoning": "think",
}


def is_generate(path: str) -> bool:
    return path.partition("?")[0].rstrip("/").endswith("/generate")


def read_request(body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
    """The whole request. Raises `Problem` naming the field; two equal keys are refused down to the third level."""
    twice = jsons.first_duplicate(body, levels=3)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: stands twice in the same object; send it once", twice)
    fields = Fields(body)
    request = Request(NAME, fields.text("model"), [], paths=_PATHS)
    stream = fields.maybe_boolean("stream")
    request.stream = True if stream is None else stream
    quiet: list[str] = []
    if is_generate(path):
        request.paths = {**_PATHS, "turns": "prompt"}
        request.turns = _read_prompt(fields)
        request.suffix = body.get("suffix") or None  # kept by `_read_prompt`, which saw that it is a string
    else:
        request.turns = read_messages(fields.maybe_array("messages") or [])
    tools = fields.maybe_array("tools") or []
    request.tools = [_read_tool(tool, at("tools", index)) for index, tool in enumerate(tools)]
    request.output = _read_format(fields.take("format"))
    request.reasoning = _read_think(fields.take("think"))
    request.logprobs = fields.maybe_boolean("logprobs")
    request.top_logprobs = fields.maybe_integer("top_logprobs", 0)
    options = Fields(fields.maybe_object("options") or {}, "options")
    request.sampling = Sampling(
        **{name: options.maybe_number(name) for name in _NUMBERS},  # type: ignore[arg-type]
        **{name: options.maybe_integer(name) for name in _INTEGERS},  # type: ignore[arg-type]
    )
    stop = options.take("stop")
    request.stop = [] if stop is None else texts_of(stop, options.at("stop"))
    limit = options.maybe_integer("num_predict")
    if limit is not None and limit < 1:
        options.keep("num_predict", limit)
        quiet.append(f"{OPTIONS}num_predict")
    else:
        request.max_output_tokens = limit
    rest = fields.said() | {f"{OPTIONS}{name}": value for name, value in options.said().items()}
    request.extra = extra_of(rest, quiet)
    return request


def _read_prompt(fields: Fields) -> list[Turn]:
    turns: list[Turn] = []
    system = fields.maybe_text("system")
    if system:
        turns.append(Turn("system", [Text(system, path="system")], path="system", plain=True))
    prompt = fields.maybe_text("prompt") or ""
    parts: list[Part] = [Text(prompt, path="prompt")] if prompt else []
    parts += read_images(fields)
    turns.append(Turn("user", parts, path="prompt", plain=True))
    for name in ("suffix", "template"):
        text = fields.maybe_text(name)
        if text:
            fields.keep(name, text)
    context = fields.maybe_array("context")
    if context:
        fields.keep("context", context)
    if fields.maybe_boolean("raw"):
        fields.keep("raw", value=True)
    return turns


def _read_tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    fields.take("type")  # the server reads every tool as a function, whatever it is called
    function = Fields(fields.object("function"), fields.at("function"))
    name, description = function.text("name"), function.maybe_text("description")
    tool = Tool(name, description, function.maybe_object("parameters"), path=path)
    if rest := function.said():
        fields.keep("function", rest)
    tool.extra = extra_of(fields.said())
    return tool


def _read_format(value: Any) -> OutputFormat | None:
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        return OutputFormat("schema", value, path="format")
    if isinstance(value, str):
        one_of(value, "format", ("json",))
        return OutputFormat("json", path="format")
    raise wrong_type(value, "format", '"json" or an object, a JSON Schema')


def _read_think(value: Any) -> ReasoningControl | None:
    """A client that wants thinking wants to see it, too: it comes in a field of its own."""
    if value is None or value == "":
        return None
    if value is False:
        return ReasoningControl(mode="disabled", path="think")
    control = ReasoningControl(mode="enabled", show="text", path="think")
    if value is not True:
        if not isinstance(value, str):
            raise wrong_type(value, "think", "a boolean or a string")
        control.effort = one_of(value, "think", EFFORT_WORDS)  # type: ignore[assignment]
    return control
