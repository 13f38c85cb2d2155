"""Refuses what an Ollama server would refuse: a validator for requests, for writer tests and for a strict mock upstream.

`check(body, path)` gives every fault it finds, in words; an empty list is a request that Ollama takes. Fields and types
are those of the SDK's own models, found by introspection, with the few that its server takes and the SDK does not name
(`api/types.go`). Stricter than the server in two things, which it lets pass and a model answers nonsense to: a field
that nobody knows, and a tool's message that answers no call.
"""

from __future__ import annotations

import base64
import binascii
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from ollama import _types as sdk
from pydantic import BaseModel, ByteSize

__all__ = ["check"]

_SHAPES = {
    "/api/chat": sdk.ChatRequest,
    "/api/generate": sdk.GenerateRequest,
    "/api/embed": sdk.EmbedRequest,
    "/api/embeddings": sdk.EmbeddingsRequest,
}
# What the server takes beyond the SDK's models: `api/types.go` and `ToolProperty` there.
_MORE: dict[type, dict[str, Any]] = {
    sdk.ChatRequest: {"truncate": bool, "shift": bool},
    sdk.Message: {"tool_call_id": str},
    sdk.Message.ToolCall: {"id": str, "type": str},
    sdk.Message.ToolCall.Function: {"index": int},
    sdk.Options: {"min_p": float},
}
_OPEN = (
    sdk.Tool.Function.Parameters,
    sdk.Tool.Function.Parameters.Property,
)  # JSON Schema: other words are passed over
_ROLES = {"system", "user", "assistant", "tool"}
_THINK = {True, False, "low", "medium", "high", "max"}


def check(body: Any, path: str = "/api/chat") -> list[str]:
    """Every reason why Ollama would answer `body` with a 400."""
    if not isinstance(body, dict):
        return ["the body is no object"]
    faults = list(_model(body, _SHAPES[path.partition("?")[0]], ""))
    if faults:
        return faults
    if not body.get("model"):
        faults.append("model is required")
    if "think" in body and not (isinstance(body["think"], (bool, str)) and body["think"] in _THINK):
        faults.append(f"think: {body['think']!r} is none of {_THINK}")
    if not 0 <= (body.get("top_logprobs") or 0) <= 20:
        faults.append("top_logprobs: out of range")
    return [*faults, *_turns(body.get("messages") or []), *_tools(body.get("tools") or [])]


# --- types, from the SDK ---


def _typed(value: Any, shape: Any, path: str) -> Iterable[str]:
    origin, args = get_origin(shape), get_args(shape)
    if shape is Any or shape is object:
        return
    if origin is typing.Annotated:
        yield from _typed(value, args[0], path)
    elif origin is Literal:
        if value not in args:
            yield f"{path}: {value!r} is none of {args}"
    elif origin in (Union, types.UnionType):
        tried = [list(_typed(value, one, path)) for one in args if one is not type(None)]
        if all(tried):
            yield from min(tried, key=len)
    elif isinstance(shape, type) and issubclass(shape, sdk.Image):
        if not _is_base64(value):
            yield f"{path}: illegal base64 data"
    elif isinstance(shape, type) and issubclass(shape, BaseModel):
        yield from _model(value, shape, path)
    elif origin in (Sequence, list):
        if not isinstance(value, list):
            yield f"{path}: expected an array"
        else:
            for index, one in enumerate(value):
                yield from _typed(one, args[0], f"{path}[{index}]")
    elif origin in (Mapping, dict):
        if not isinstance(value, dict):
            yield f"{path}: expected an object"
        else:
            for name, one in value.items():
                yield from _typed(one, args[1], f"{path}.{name}")
    elif shape in (float, int, ByteSize):
        if isinstance(value, bool) or not isinstance(value, (int, float) if shape is float else int):
            yield f"{path}: expected a number"
    elif isinstance(shape, type) and not isinstance(value, shape):
        yield f"{path}: expected {shape.__name__}, found {type(value).__name__}"


def _model(value: Any, shape: type[BaseModel], path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object"
        return
    fields = {one.alias or name: one for name, one in shape.model_fields.items()}
    more = _MORE.get(shape, {})
    for name, one in value.items():
        where = f"{path}.{name}".lstrip(".")
        if name == "messages":
            yield from _typed(one, list[sdk.Message], where)
        elif name == "options":
            yield from _typed(one, sdk.Options, where)
        elif name in fields:
            yield from _typed(one, fields[name].annotation, where)
        elif name in more:
            yield from _typed(one, more[name], where)
        elif not issubclass(shape, _OPEN):
            yield f"{where}: unknown field"
    for name, one in fields.items():
        if one.is_required() and name not in value:
            yield f"{path}.{name}: required".lstrip(".")


def _is_base64(value: Any) -> bool:
    try:
        return bool(isinstance(value, str) and base64.b64decode(value, validate=True))
    except binascii.Error:
        return False


# --- what types do not say ---


def _turns(messages: list[dict[str, Any]]) -> Iterable[str]:
    asked: dict[str, str] = {}  # calls of the last assistant's message: id → tool
    may_answer = False
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message["role"]
        if role not in _ROLES:
            yield f"{path}: invalid role"
        if not isinstance(message.get("content"), str):
            yield f"{path}.content: required, a string"
        if role == "system" and not (message.get("content") or "").strip():
            yield f"{path}: blank"
        if role == "tool":
            if not may_answer:
                yield f"{path}: a tool's message must follow the calls that it answers"
            call_id = message.get("tool_call_id")
            if call_id is not None and asked and call_id not in asked:
                yield f"{path}.tool_call_id: no such call"
            if call_id in asked and message.get("tool_name") not in (None, asked[call_id]):
                yield f"{path}.tool_name: not the tool of that call"
            continue
        calls = message.get("tool_calls") or []
        if calls and role != "assistant":
            yield f"{path}.tool_calls: only the assistant calls"
        if "tool_calls" in message and not calls:
            yield f"{path}.tool_calls: empty"
        asked = {call["id"]: call["function"]["name"] for call in calls if "id" in call}
        may_answer = bool(calls)


def _tools(tools: list[dict[str, Any]]) -> Iterable[str]:
    for index, tool in enumerate(tools):
        if not (tool.get("function") or {}).get("name"):
            yield f"tools[{index}].function.name: required"
        parameters = (tool.get("function") or {}).get("parameters")
        if parameters is not None and not isinstance(parameters.get("type"), str):
            yield f"tools[{index}].function.parameters.type: required, a string"
