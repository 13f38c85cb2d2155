"""Refuses what Mistral would refuse: a validator for requests, for writer tests and for a strict mock upstream.

Fields and types are those of the SDK's own TypedDicts, found by introspection;
order of turns (code 3230), ids of nine letters and empty content are rules of its errors (`mistral-common` #169).
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typing_extensions
from mistralai.client.models import (
    ChatCompletionRequestTypedDict,
    EmbeddingRequestTypedDict,
    FIMCompletionRequestTypedDict,
    ToolTypedDict,
)

__all__ = ["check"]

_ID = re.compile(r"[A-Za-z0-9]{9}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check(body: dict[str, Any], path: str = "") -> list[str]:
    """Every reason why Mistral would answer `body`, sent to `path`, with a 400 or a 422."""
    if "/fim/" in path:
        return list(_typed(body, FIMCompletionRequestTypedDict))
    if path.endswith("/embeddings"):
        return list(_typed(body, EmbeddingRequestTypedDict))
    plain = dict(body)
    form = plain.get("response_format")
    if isinstance(form, dict) and isinstance(form.get("json_schema"), dict) and "schema" in form["json_schema"]:
        schema = dict(form["json_schema"])  # `schema` on the wire, `schema_definition` in the SDK's type
        schema["schema_definition"] = schema.pop("schema")
        plain["response_format"] = {**form, "json_schema": schema}
    faults = list(_typed(plain, ChatCompletionRequestTypedDict))
    return faults or [*_turns(body["messages"]), *_tools(body)]


def _turns(messages: list[dict[str, Any]]) -> Iterable[str]:
    if not messages:
        yield "messages: empty"
        return
    waiting: list[str] = []
    before = ""
    for index, message in enumerate(messages):
        path, role, content = f"messages[{index}]", message["role"], message.get("content")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                yield f"{path}: tool_call_id answers no call"
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            yield f"{path}: calls {waiting} have no result"
        if before == "tool" and role in {"user", "system"}:
            yield f"{path}: expected assistant or tool after tool, found {role}"
        if role == "assistant":
            calls = message.get("tool_calls") or []
            for call in calls:
                if not _ID.fullmatch(call.get("id", "")):
                    yield f"{path}: tool call id {call.get('id')!r} must be nine letters or digits"
                if not _NAME.fullmatch(call["function"]["name"]):
                    yield f"{path}: bad name {call['function']['name']!r}"
            waiting = [call["id"] for call in calls if "id" in call]
        for number, chunk in enumerate(content if isinstance(content, list) else ()):
            if chunk["type"] == "text" and not chunk["text"] and role != "assistant":
                yield f"{path}.content[{number}]: empty text"
        before = role
    if waiting:
        yield f"messages: calls {waiting} have no result"
    last = messages[-1]
    if last["role"] not in {"user", "tool"} and not (last["role"] == "assistant" and last.get("prefix")):
        yield f"messages: expected the last to be of user, tool or an assistant's prefix, found {last['role']}"


def _tools(body: dict[str, Any]) -> Iterable[str]:
    names = [tool["function"]["name"] for tool in body.get("tools") or () if "function" in tool]
    if len(names) != len(set(names)):
        yield "tools: two of the same name"
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        yield "tool_choice: no such tool"
    if choice is not None and not body.get("tools"):
        yield "tool_choice: only with tools"


# --- types, from the SDK ---


def _typed(value: Any, shape: Any, path: str = "") -> Iterable[str]:
    """The faults of `value` against a type of the SDK."""
    shape = _bare(shape)
    origin, args = get_origin(shape), get_args(shape)
    if isinstance(origin, typing_extensions.TypeAliasType):  # `Nullable[…]`, the SDK's only generic alias
        yield from () if value is None else _typed(value, args[0], path)
    elif typing_extensions.is_typeddict(shape):
        yield from _fields(value, shape, path)
    elif origin in (Union, types.UnionType):
        tried = [list(_typed(value, one, path)) for one in args]
        if all(tried):
            yield from min(tried, key=lambda faults: (_is_other_kind(faults), len(faults)))
    elif origin is Literal:
        if value not in args:
            yield f"{path}: {value!r} is none of {args}"
    elif origin is list:
        if isinstance(value, list):
            for index, one in enumerate(value):
                yield from _typed(one, args[0], f"{path}[{index}]")
        else:
            yield f"{path}: expected an array, found {type(value).__name__}"
    elif shape is not Any:
        wanted = {dict: dict, float: (int, float)}.get(origin or shape, origin or shape)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            yield f"{path}: expected {getattr(shape, '__name__', shape)}, found {type(value).__name__}"


def _bare(shape: Any) -> Any:
    while True:
        if isinstance(shape, typing_extensions.TypeAliasType):
            shape = shape.__value__
        elif get_origin(shape) in (Annotated, typing_extensions.NotRequired, typing_extensions.Required):
            shape = get_args(shape)[0]
        else:
            return shape


def _fields(value: Any, shape: Any, path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object, found {type(value).__name__}"
        return
    hints = typing_extensions.get_type_hints(shape, include_extras=True)
    for name, hint in hints.items():
        if name == "type" and shape is ToolTypedDict:
            continue  # left out by clients, and a 200 (recorded)
        if name not in value and get_origin(hint) is not typing_extensions.NotRequired:
            yield f"{path}.{name}: required".lstrip(".")
    for name, one in value.items():
        where = f"{path}.{name}".lstrip(".")
        yield from _typed(one, hints[name], where) if name in hints else (f"{where}: unknown field",)


def _is_other_kind(faults: list[str]) -> bool:
    """Whether `faults` are those of an alternative that was not meant: of another role or type."""
    return any(".role: '" in fault or ".type: '" in fault for fault in faults)
