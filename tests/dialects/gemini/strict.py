"""Refuses what Gemini would refuse: a validator for requests, for writer tests and for a strict mock upstream.

`check(body, path)` gives every fault it finds, in words; an empty list is a request that Gemini takes. Fields and their
types are those of the SDK's own models, found by introspection, so that a new SDK changes the rule and not this file;
the order of turns, calls and their results, signatures and empty texts are the rules of `mapping.md` §2 and §9.
"""

from __future__ import annotations

import enum
import re
import types as python_types
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
from google.genai import types

from ds2api.dialects.gemini.capabilities import capabilities_of
from ds2api.dialects.gemini.place import read_place

__all__ = ["check"]

_TOP: dict[str, Any] = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "safetySettings": list[types.SafetySetting],
    "generationConfig": types.GenerationConfig,
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": str,
    "store": bool,
    "continuationToken": bytes,
}
_LATER = {"thinkingConfig", "speechConfig", "imageConfig"}  # of the config, which the SDK types elsewhere
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_ALPHABET = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


def check(body: Any, path: str = "") -> list[str]:
    """Every reason why Gemini would answer `body` with a 400. `path` names the model, whose rules then count, too."""
    if not isinstance(body, dict):
        return ["the body is no object"]
    faults = [f"Invalid JSON payload received. Unknown name {name!r}" for name in body if _camel(name) not in _TOP]
    for name, value in body.items():
        if _camel(name) in _TOP:
            faults += _typed(value, _TOP[_camel(name)], name)
    if faults:
        return faults
    model = read_place(path).model if path else ""
    plain = _plain(body)
    return [*_turns(plain, model), *_tools(plain), *_config(plain, model)]


def _camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def _plain(value: Any) -> Any:
    """With camelCase names, where names are Gemini's."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    free = {"args", "response", "parametersJsonSchema", "responseJsonSchema", "properties"}
    return {_camel(name): one if _camel(name) in free else _plain(one) for name, one in value.items()}


# --- types, from the SDK ---


def _typed(value: Any, shape: Any, path: str) -> Iterable[str]:
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is Any or value is None:
        return
    if origin in (Union, python_types.UnionType):
        found = [list(_typed(value, one, path)) for one in arguments if one is not type(None)]
        if all(found):
            yield from min(found, key=len)
    elif isinstance(shape, type) and issubclass(shape, pydantic.BaseModel):
        yield from _fields(value, shape, path)
    elif origin is list:
        listed = [value] if isinstance(value, dict) else value  # Google's own examples write one object alone
        if not isinstance(listed, list):
            yield f"{path}: expected an array, found {type(value).__name__}"
            return
        for index, one in enumerate(listed):
            yield from _typed(one, arguments[0], f"{path}[{index}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: expected an object, found {type(value).__name__}"
            return
        for name, one in value.items():
            yield from _typed(one, arguments[1], f"{path}.{name}")
    elif origin is Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is none of {arguments}"
    elif isinstance(shape, type) and issubclass(shape, enum.Enum):
        if str(value).upper() not in {str(one.value).upper() for one in shape}:  # either case was recorded
            yield f"{path}: Invalid value {value!r}"
    elif shape is bytes:
        if not isinstance(value, str) or not _ALPHABET.fullmatch(value):
            yield f"{path}: Base64 decoding failed"
    elif shape in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or (shape is int and value != int(value)):
            yield f"{path}: expected a number, found {type(value).__name__}"
    elif shape in (str, bool) and not isinstance(value, shape):
        yield f"{path}: expected {shape.__name__}, found {type(value).__name__}"


def _fields(value: Any, shape: type[pydantic.BaseModel], path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object, found {type(value).__name__}"
        return
    known = {field.alias or name: field.annotation for name, field in shape.model_fields.items()}
    for name, one in value.items():
        plain = _camel(name)
        if plain in known:
            yield from _typed(one, known[plain], f"{path}.{name}")
        elif not (shape is types.GenerationConfig and plain in _LATER):
            yield f"{path}: Invalid JSON payload received. Unknown name {name!r}"


# --- rules, written out ---


def _parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    parts = content.get("parts") or []
    return parts if isinstance(parts, list) else [parts]


def _turns(body: dict[str, Any], model: str) -> Iterable[str]:
    contents = body.get("contents") or []
    if not contents:
        yield "contents is not specified"
    calls: list[dict[str, Any]] = []
    for index, content in enumerate(contents):
        path, parts = f"contents[{index}]", _parts(content)
        role = content.get("role", "user")
        if role not in ("user", "model", "function"):
            yield f"{path}: Please use a valid role: user, model."
        if not parts:
            yield f"{path}.parts must not be empty."
        for number, part in enumerate(parts):
            yield from _part(part, f"{path}.parts[{number}]")
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if results or (calls and role != "model"):
            yield from _results(path, results, calls)
            calls = []
        elif calls and role == "model":
            yield f"{path}: a function call turn must be followed by its responses"
        made = [part for part in parts if "functionCall" in part]
        if made:
            if role != "model":
                yield f"{path}: function calls belong to the model"
            if index == 0:
                yield f"{path}: a function call turn comes immediately after a user turn or a function response turn"
            if capabilities_of(model).needs_signature and "thoughtSignature" not in made[0]:
                yield f"{path}: Function call is missing a thought_signature in functionCall parts."
            calls = [part["functionCall"] for part in made]
    if calls:
        yield "the number of function response parts is not equal to the number of function call parts"
    for number, part in enumerate(_parts(body.get("systemInstruction") or {})):
        if "text" not in part:
            yield f"systemInstruction.parts[{number}]: only text is supported"
        yield from _part(part, f"systemInstruction.parts[{number}]")


def _results(path: str, results: list[dict[str, Any]], calls: list[dict[str, Any]]) -> Iterable[str]:
    if len(results) != len(calls):
        yield f"{path}: the number of function response parts is not equal to the number of function call parts"
        return
    for call, result in zip(calls, results, strict=True):
        if result.get("name") != call.get("name"):
            yield f"{path}: function_response.name {result.get('name')!r} for a call of {call.get('name')!r}"
        if result.get("id") and call.get("id") and result["id"] != call["id"]:
            yield f"{path}: function_response.id {result['id']!r} for the call {call['id']!r}"
        if _holds_reference(result.get("response")):
            yield f"{path}: a function response must not hold $ref"


def _holds_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return "$ref" in value or any(_holds_reference(one) for one in value.values())
    return isinstance(value, list) and any(_holds_reference(one) for one in value)


def _part(part: dict[str, Any], path: str) -> Iterable[str]:
    data = {"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
            "codeExecutionResult", "toolCall", "toolResponse"} & part.keys()  # fmt: skip
    if len(data) > 1:
        yield f"{path}: oneof field 'data' is already set"
    if not data and "thoughtSignature" not in part:
        yield f"{path}: required oneof field 'data' must have one initialized field"
    if part.get("text") == "" and "thoughtSignature" not in part:
        yield f"{path}: text must not be empty"
    call = part.get("functionCall") or part.get("functionResponse")
    if call is not None and not _NAME.fullmatch(call.get("name") or ""):
        yield f"{path}: [FIELD_INVALID] Name cannot be empty or is invalid"
    if "functionResponse" in part and not isinstance(part["functionResponse"].get("response", {}), dict):
        yield f"{path}: function_response.response must be a Struct"
    for blob in ("inlineData", "fileData"):
        if blob in part and not part[blob].get("mimeType") and "youtu" not in part[blob].get("fileUri", ""):
            yield f"{path}: {blob}.mimeType is required"
    if "data" in part.get("inlineData", {}) and not _ALPHABET.fullmatch(part["inlineData"]["data"]):
        yield f"{path}: Base64 decoding failed"


def _tools(body: dict[str, Any]) -> Iterable[str]:
    tools = body.get("tools") or []
    declared = [
        one for tool in (tools if isinstance(tools, list) else [tools]) for one in tool.get("functionDeclarations", [])
    ]
    names = [one.get("name") for one in declared]
    for index, one in enumerate(declared):
        if not _NAME.fullmatch(one.get("name") or ""):
            yield f"function_declarations[{index}].name: Invalid function name"
        if "parameters" in one and "parametersJsonSchema" in one:
            yield f"function_declarations[{index}]: parameters and parameters_json_schema are mutually exclusive"
        if {"$schema", "strict", "cache_control"} & set(one.get("parametersJsonSchema") or {}):
            yield f"function_declarations[{index}].parameters_json_schema: unknown keyword"
    if len(set(names)) < len(names):
        yield "Duplicate function declaration found"
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig")
    if calling is not None:
        if not tools:
            yield "Function calling config is set without function_declarations"
        allowed = calling.get("allowedFunctionNames") or []
        # VALIDATED takes names, too (recorded with AUTO: they are then left alone).
        if any(name not in names for name in allowed):
            yield "allowed_function_names holds a function that is not declared"


def _config(body: dict[str, Any], model: str) -> Iterable[str]:
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    known = {field.alias or name for name, field in types.ThinkingConfig.model_fields.items()}
    for name in thinking:
        if name not in known:
            yield f"Invalid JSON payload received. Unknown name {name!r} at thinking_config"
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        yield "You can only set only one of thinking budget and thinking level."
    if len(config.get("stopSequences") or []) > 5:
        yield "stop_sequences: at most 5"
    if ("responseSchema" in config or "responseJsonSchema" in config) and not config.get("responseMimeType"):
        yield "response_schema needs response_mime_type"
    if not model:
        return
    capabilities = capabilities_of(model)
    if config.get("candidateCount", 1) > 1 and not capabilities.choices:
        yield "Multiple candidates is not enabled for this model"
    if thinking.get("thinkingLevel") and not capabilities.levels:
        yield "Thinking level is not supported for this model."
    if thinking and not capabilities.levels and capabilities.budget is None:
        yield "Thinking is not enabled for this model"
    budget = thinking.get("thinkingBudget")
    if budget is not None and budget >= 0 and capabilities.budget is not None:
        low, high = capabilities.budget
        if not low <= budget <= high:
            yield f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
