"""Refuses what Anthropic would refuse: a validator for requests, for writer tests and for a strict mock upstream.

`check(body)` gives every fault it finds, in words; an empty list is a request that Anthropic takes. Fields and their
types are those of the SDK's own TypedDicts, found by introspection, so that a new SDK changes the rule and not this
file; the order of turns, ids and blank text are the rules of `mapping.md` §9 and §2, written out here.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import typing_extensions
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_message_create_params

from ds2api.dialects.messages.capabilities import capabilities_of

__all__ = ["check"]

# Gone from the SDK with version 2026-10-21 (`features.md` §0.1); the older version takes them for older models.
_SAMPLING = {"temperature": float, "top_p": float, "top_k": int}
_ID = re.compile(r"^[A-Za-z0-9_-]+$")
_NAME = re.compile(r"^[A-Za-z0-9_-]{1,128}$")
_MOST_MARKS = 4


def check(body: Any, *, version: str = "2023-06-01", beta: bool = False) -> list[str]:
    """Every reason why Anthropic would answer `body` with a 400."""
    if not isinstance(body, dict):
        return ["the body is no object"]
    module = beta_message_create_params if beta else message_create_params
    shape = module.MessageCreateParamsStreaming if body.get("stream") else module.MessageCreateParamsNonStreaming
    plain = {name: value for name, value in body.items() if name not in _SAMPLING}
    faults = list(_typed(plain, shape, ""))
    faults += _sampling(body, version)
    if not faults:
        faults += [*_turns(body), *_texts(body), *_tools(body), *_thinking(body), *_marks(body)]
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
        if value not in args:
            yield f"{path}: {value!r} is none of {args}"
    elif origin in (Union, types.UnionType):
        yield from _one_of(value, args, path)
    elif shape is None or shape is type(None):
        if value is not None:
            yield f"{path}: expected null"
    elif origin in (dict, Mapping):
        if not isinstance(value, dict):
            yield f"{path}: expected an object, found {type(value).__name__}"
    elif _is_sequence(shape, origin):
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
    while get_origin(shape) in (typing_extensions.Required, typing_extensions.NotRequired, typing.Annotated):
        shape = get_args(shape)[0]
    return shape


def _is_sequence(shape: Any, origin: Any) -> bool:
    name = getattr(origin or shape, "__name__", "")
    return origin in (list, Iterable, Sequence) or name in ("Iterable", "SequenceNotStr")


@cache
def _hints(shape: Any) -> dict[str, tuple[Any, bool]]:
    """Each field of a TypedDict: its type, and whether it must be there."""
    hints = typing_extensions.get_type_hints(shape, include_extras=True)
    required = set()
    for base in (*getattr(shape, "__orig_bases__", ()), shape):
        required |= set(getattr(base, "__required_keys__", ()))
    fields = {}
    for name, hint in hints.items():
        origin = get_origin(hint)
        is_total = getattr(shape, "__total__", True) and name in required
        fields[name] = (
            hint,
            origin is typing_extensions.Required or (origin is not typing_extensions.NotRequired and is_total),
        )
    return fields


def _is_open(shape: Any) -> bool:
    config = getattr(shape, "__pydantic_config__", None)
    return bool(config and config.get("extra") == "allow")


def _fields(value: Any, shape: Any, path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object, found {type(value).__name__}"
        return
    hints = _hints(shape)
    for name, (_, is_required) in hints.items():
        if is_required and name not in value:
            yield f"{_at(path, name)}: Field required"
    for name, one in value.items():
        if name in hints:
            yield from _typed(one, hints[name][0], _at(path, name))
        elif not _is_open(shape):
            yield f"{_at(path, name)}: Extra inputs are not permitted"


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _one_of(value: Any, shapes: tuple[Any, ...], path: str) -> Iterable[str]:
    """A union: nothing if one member fits; else the faults of the member that `value` plainly means (by its `type`
    or `role` word, or as the only array), or of the least faulty one."""
    faults = [list(_typed(value, shape, path)) for shape in shapes]
    if any(not one for one in faults):
        return
    meant = [
        one
        for shape, one in zip(shapes, faults, strict=True)
        if _is_tagged(value, shape)
        or (isinstance(value, list) and _is_sequence(_bare(shape), get_origin(_bare(shape))))
    ]
    yield from min(meant or faults, key=len)


def _is_tagged(value: Any, shape: Any) -> bool:
    shape = _bare(shape)
    if not typing_extensions.is_typeddict(shape) or not isinstance(value, dict):
        return False
    tags = [
        name
        for name in ("type", "role")
        if name in _hints(shape) and get_origin(_bare(_hints(shape)[name][0])) is Literal
    ]
    return bool(tags) and all(value.get(tag) in get_args(_bare(_hints(shape)[tag][0])) for tag in tags)


# --- rules, written out ---


def _sampling(body: dict[str, Any], version: str) -> Iterable[str]:
    capabilities = capabilities_of(body.get("model", ""))
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    for name, kind in _SAMPLING.items():
        if name not in body:
            continue
        yield from _typed(body[name], kind, name)
        if version >= "2026-10-21":
            yield f"{name}: Extra inputs are not permitted"
        elif capabilities.sampling == "none":
            yield f"`{name}` is deprecated for this model."
        elif thinks and name != "top_p" and body[name] != 1:
            yield f"`{name}` may only be set to 1 when thinking is enabled"
    if capabilities.sampling == "one" and "temperature" in body and "top_p" in body:
        yield "`temperature` and `top_p` cannot both be specified for this model"
    if not 0 <= body.get("temperature", 0) <= 1:
        yield "temperature: range: 0..1"


def _turns(body: dict[str, Any]) -> Iterable[str]:
    messages = body["messages"]
    capabilities = capabilities_of(body["model"])
    if not messages:
        yield "messages: at least one message is required"
        return
    if messages[0]["role"] != "user":
        yield "messages: first message must use the user role"
    waiting: list[str] = []
    used: set[str] = set()
    for index, message in enumerate(messages):
        path, blocks = f"messages.{index}", _blocks(message)
        role = message["role"]
        if role == "system":
            if not capabilities.mid_system:
                yield f"{path}: role 'system' is not supported"
            if messages[index - 1]["role"] != "user":
                yield f"{path}: a system message must follow a user message"
            continue
        results = [block for block in blocks if block["type"] == "tool_result"]
        if role == "user":
            yield from _results(path, blocks, results, waiting)
            waiting = []
        elif waiting:
            yield f"{path}: tool_use ids were found without tool_result blocks immediately after: {waiting}"
        if role == "assistant":
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            for one in waiting:
                if one in used:
                    yield f"{path}: `tool_use` ids must be unique: {one}"
                if not _ID.match(one):
                    yield f"{path}: tool_use.id: String should match pattern {_ID.pattern}"
                used.add(one)
            if results or any(block["type"] in ("image", "document") for block in blocks):
                yield f"{path}: a block of this type is not allowed in an assistant message"
    if waiting:
        yield f"messages: tool_use ids were found without tool_result blocks immediately after: {waiting}"
    if messages[-1]["role"] == "assistant" and not capabilities.prefill:
        yield "This model does not support assistant message prefill. The conversation must end with a user message."


def _results(path: str, blocks: list[Any], results: list[Any], waiting: list[str]) -> Iterable[str]:
    answered = [block["tool_use_id"] for block in results]
    if [block["type"] for block in blocks[: len(results)]] != ["tool_result"] * len(results):
        yield f"{path}: tool_result blocks must come first"
    for one in waiting:
        if answered.count(one) != 1:
            yield f"{path}: each tool_use must have a single result: {one} has {answered.count(one)}"
    for one in answered:
        if one not in waiting:
            yield f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {one}"


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(body: dict[str, Any]) -> Iterable[str]:
    turns = [(f"messages.{index}", message) for index, message in enumerate(body["messages"])]
    if body.get("system"):
        turns.append(("system", {"role": "system", "content": body["system"]}))
    for path, message in turns:
        blocks = _blocks(message)
        if not blocks:
            yield f"{path}: messages must have non-empty content"
        for block in blocks:
            inner = block.get("content") if block["type"] == "tool_result" else None
            for one in [block, *(inner if isinstance(inner, list) else [])]:
                if one["type"] == "text" and not one["text"].strip():
                    yield f"{path}: text content blocks must contain non-whitespace text"
            if block.get("citations") and message["role"] == "user" and block["type"] == "text":
                yield f"{path}: citations are not allowed in a user message"
    blocks = _blocks(body["messages"][-1]) if body["messages"] else []
    if blocks and body["messages"][-1]["role"] == "assistant" and blocks[-1].get("text", "")[-1:].isspace():
        yield "messages: final assistant content cannot end with trailing whitespace"
    for index, stop in enumerate(body.get("stop_sequences", [])):
        if not stop.strip():
            yield f"stop_sequences.{index}: each stop sequence must contain non-whitespace"


def _tools(body: dict[str, Any]) -> Iterable[str]:
    names = [tool.get("name") for tool in body.get("tools", [])]
    for index, tool in enumerate(body.get("tools", [])):
        if "input_schema" in tool:
            if not _NAME.match(tool["name"]):
                yield f"tools.{index}.name: String should match pattern {_NAME.pattern}"
            if tool["input_schema"].get("type") != "object":
                yield f"tools.{index}.input_schema.type: Input should be 'object'"
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    choice = body.get("tool_choice")
    if choice is not None:
        if not names:
            yield "tool_choice may only be specified while providing tools"
        if choice["type"] == "tool" and choice["name"] not in names:
            yield f"Tool '{choice['name']}' not found in provided tools"
        # Adaptive thinking is not named here: Opus 4.6 was recorded to take it together with "any".
        if choice["type"] in ("any", "tool") and body.get("thinking", {}).get("type") == "enabled":
            yield "Thinking may not be enabled when tool_choice forces tool use."


def _thinking(body: dict[str, Any]) -> Iterable[str]:
    capabilities = capabilities_of(body["model"])
    thinking = body.get("thinking")
    if thinking is not None:
        kind = thinking["type"]
        if kind != "between_tools" and kind not in capabilities.thinking:
            yield f"thinking.type: {kind} is not supported for this model"
        if kind == "enabled":
            if thinking["budget_tokens"] < 1024:
                yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
            if thinking["budget_tokens"] >= body["max_tokens"]:
                yield "`max_tokens` must be greater than `thinking.budget_tokens`"
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and effort not in capabilities.efforts:
        yield f"This model does not support effort level '{effort}'."
    schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    if schema is not None and schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"


def _marks(body: dict[str, Any]) -> Iterable[str]:
    def count(value: Any) -> int:
        if isinstance(value, dict):
            own = 1 if isinstance(value.get("cache_control"), dict) else 0
            return own + sum(count(one) for name, one in value.items() if name not in ("input_schema", "input"))
        return sum(count(one) for one in value) if isinstance(value, list) else 0

    marks = count(body)
    if marks > _MOST_MARKS:
        yield f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {marks}."
