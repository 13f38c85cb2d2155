"""Refuses what OpenAI would refuse: a validator for requests, for writer tests and for a strict mock upstream.

`check(body)` gives every fault it finds, in words; an empty list is a request that OpenAI takes. Fields and their
types are those of the SDK's own TypedDicts, found by introspection; the order of turns, ids, names and limits are the
rules of the API reference and of recorded 400s, written out here.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import typing_extensions
from openai.types.chat import completion_create_params

__all__ = ["check"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID_LIMIT = 40
_STOP_LIMIT = 4
_RANGES = {
    "temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2),
    "n": (1, 128), "top_logprobs": (0, 20), "max_tokens": (1, None), "max_completion_tokens": (1, None),
}  # fmt: skip
_LENGTHS = {"safety_identifier": 128, "user": 512}
# `max_tokens` and sampling are a 400 for these models (recorded for the first).
_REASONING_MODEL = re.compile(r"o\d|gpt-5(?!.*chat)")


def check(body: Any) -> list[str]:
    """Every reason why OpenAI would answer `body` with a 400."""
    if not isinstance(body, dict):
        return ["the body is no object"]
    params = completion_create_params
    is_stream = body.get("stream") is True
    shape = params.CompletionCreateParamsStreaming if is_stream else params.CompletionCreateParamsNonStreaming
    faults = list(_typed(body, shape, ""))
    if not faults:
        faults += [*_turns(body["messages"]), *_tools(body), *_limits(body)]
    return faults


# --- types, from the SDK ---


def _typed(value: Any, shape: Any, path: str) -> Iterable[str]:
    """The faults of `value` against a type of the SDK."""
    shape = _bare(shape)
    origin, args = get_origin(shape), get_args(shape)
    if shape is Any or shape is object:
        return
    if typing_extensions.is_typeddict(shape):
        yield from _fields(value, shape, path)
    elif origin is Literal:
        if value not in args or (isinstance(value, bool) and value not in [one for one in args if one is value]):
            yield f"{path}: {value!r} is none of {args}"
    elif origin in (Union, types.UnionType):
        yield from _one_of(value, args, path)
    elif shape is None or shape is type(None):
        if value is not None:
            yield f"{path}: expected null"
    elif origin in (dict, Mapping) or shape is dict:
        if not isinstance(value, dict):
            yield f"{path}: expected an object, found {type(value).__name__}"
        elif args:
            for name, one in value.items():
                yield from _typed(one, args[1], f"{path}.{name}")
    elif isinstance(origin, type) and (issubclass(origin, Iterable) or origin.__name__ == "SequenceNotStr"):
        if not isinstance(value, list):
            yield f"{path}: expected an array, found {type(value).__name__}"
        else:
            for index, one in enumerate(value):
                yield from _typed(one, args[0], f"{path}[{index}]")
    elif shape is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path}: expected a number, found {type(value).__name__}"
    elif isinstance(shape, type) and (not isinstance(value, shape) or (shape is int and isinstance(value, bool))):
        yield f"{path}: expected {shape.__name__}, found {type(value).__name__}"


def _bare(shape: Any) -> Any:
    while get_origin(shape) in (typing.Annotated, typing_extensions.Required, typing_extensions.NotRequired):
        shape = get_args(shape)[0]
    return shape


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(shape, include_extras=True)


@cache
def _required(shape: Any) -> frozenset[str]:
    """`__required_keys__` misses what is marked in annotations that are strings."""
    marked = {name for name, hint in _hints(shape).items() if get_origin(hint) is typing_extensions.Required}
    return frozenset(marked)


def _fields(value: Any, shape: Any, path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object, found {type(value).__name__}"
        return
    hints = _hints(shape)
    for name in value.keys() - hints.keys():
        yield f"{path}.{name}: unknown field".lstrip(".")
    for name in _required(shape) - value.keys():
        yield f"{path}.{name}: required".lstrip(".")
    for name, one in value.items():
        if name in hints:
            yield from _typed(one, hints[name], f"{path}.{name}".lstrip("."))


def _one_of(value: Any, shapes: tuple[Any, ...], path: str) -> Iterable[str]:
    """No fault if one of the alternatives fits; else those of the alternative of the same `type` or `role`."""
    tried = [(shape, list(_typed(value, shape, path))) for shape in shapes]
    if all(faults for _, faults in tried):
        nearest = [faults for shape, faults in tried if _same_kind(value, _bare(shape))]
        yield from min(nearest or [faults for _, faults in tried], key=len)


def _same_kind(value: Any, shape: Any) -> bool:
    if not isinstance(value, dict) or not typing_extensions.is_typeddict(shape):
        return False
    hints = _hints(shape)
    return any(
        name in value and get_origin(_bare(hints[name])) is Literal and value[name] in get_args(_bare(hints[name]))
        for name in ("role", "type")
        if name in hints
    )


# --- what types do not say ---


def _turns(messages: list[dict[str, Any]]) -> Iterable[str]:
    if not messages:
        yield "messages: empty"
    waiting: set[str] = set()  # calls of the last assistant turn without an answer
    asked: set[str] = set()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in asked:
                yield f"{path}: a tool message must follow the tool_calls that it answers"
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            yield f"{path}: tool_calls {sorted(waiting)} have no tool message"
        waiting, asked = set(), set()
        if role == "assistant":
            calls = message.get("tool_calls") or []
            if not calls and not any(message.get(one) for one in ("content", "function_call", "refusal", "audio")):
                yield from () if message.get("content") == "" else (f"{path}: content is required without calls",)
            if "tool_calls" in message and not calls:
                yield f"{path}.tool_calls: empty"
            for call in calls:
                if len(call["id"]) > _ID_LIMIT:
                    yield f"{path}: id longer than {_ID_LIMIT}"
                if not _NAME.fullmatch(call[call["type"]]["name"]):
                    yield f"{path}: bad name {call[call['type']]['name']!r}"
            waiting = {call["id"] for call in calls}
            asked = set(waiting)
        content = message.get("content")
        if isinstance(content, list):
            if not content:
                yield f"{path}.content: empty array"
            yield from _parts(content, path)
    if waiting:
        yield f"messages: tool_calls {sorted(waiting)} have no tool message"


def _parts(content: list[dict[str, Any]], path: str) -> Iterable[str]:
    for number, part in enumerate(content):
        if part["type"] == "image_url":
            url = part["image_url"]["url"]
            if not url.startswith(("https://", "http://", "data:image/")):
                yield f"{path}.content[{number}]: not an image: {url[:40]!r}"
        if part["type"] == "file":
            file = part["file"]
            if "file_data" in file and not file["file_data"].startswith("data:"):
                yield f"{path}.content[{number}]: file_data is no data URL"
            if "file_data" in file and "filename" not in file:
                yield f"{path}.content[{number}]: filename is required beside file_data"


def _tools(body: dict[str, Any]) -> Iterable[str]:
    tools = body.get("tools")
    if tools is not None and not tools:
        yield "tools: empty array"
    names = {tool[tool["type"]]["name"] for tool in tools or []}
    if len(names) != len(tools or []):
        yield "tools: two of the same name"
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"tools: bad name {name!r}"
    choice = body.get("tool_choice")
    for field in ("tool_choice", "parallel_tool_calls"):
        if field in body and not tools:
            yield f"{field}: only allowed with tools"
    named = choice.get(choice["type"]) if isinstance(choice, dict) and choice["type"] != "allowed_tools" else None
    if named is not None and named["name"] not in names:
        yield "tool_choice: no such tool"


def _limits(body: dict[str, Any]) -> Iterable[str]:
    for name, (low, high) in _RANGES.items():
        value = body.get(name)
        if value is not None and (value < low or (high is not None and value > high)):
            yield f"{name}: {value} is out of range"
    for name, limit in _LENGTHS.items():
        if len(body.get(name) or "") > limit:
            yield f"{name}: longer than {limit}"
    if "max_tokens" in body and "max_completion_tokens" in body:
        yield "max_tokens: not together with max_completion_tokens"
    if isinstance(body.get("stop"), list) and len(body["stop"]) > _STOP_LIMIT:
        yield f"stop: more than {_STOP_LIMIT}"
    if body.get("stream_options") is not None and not body.get("stream"):
        yield "stream_options: only with stream"
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        yield "top_logprobs: only with logprobs"
    if _REASONING_MODEL.match(body["model"]):
        if "max_tokens" in body:
            yield "max_tokens: not supported with this model"
        if body.get("temperature", 1) != 1 or body.get("top_p", 1) != 1:
            yield "temperature, top_p: not supported with this model"
