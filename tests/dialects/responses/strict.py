"""Refuses what OpenAI would refuse: a validator for requests, for writer tests and for a strict mock upstream.

`check(body, path)` gives every fault it finds, in words; an empty list is a request that OpenAI takes. Fields and
their types are those of the SDK's own TypedDicts, found by introspection (as chat's validator does it); the order of
items, ids, names and limits are the rules of the API reference and of recorded 400s, written out here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from openai.types.responses import input_token_count_params, response_create_params
from tests.dialects.chat.strict import _typed

__all__ = ["check"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ct", "reasoning": "rs"}
_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "top_logprobs": (0, 20), "max_output_tokens": (16, None)}
_REASONING_MODEL = re.compile(r"o\d|gpt-[5-9](?!.*chat)")


def check(body: Any, path: str = "") -> list[str]:
    """Every reason why OpenAI would answer `body` with a 400."""
    if not isinstance(body, dict):
        return ["the body is no object"]
    shape: Any = response_create_params.ResponseCreateParamsNonStreaming
    if path.partition("?")[0].endswith("/input_tokens"):
        shape = input_token_count_params.InputTokenCountParams
    elif body.get("stream") is True:
        shape = response_create_params.ResponseCreateParamsStreaming
    faults = list(_typed(body, shape, ""))
    if "model" not in body:
        faults.append("model: required")
    if not faults:
        faults += [*_items(body), *_tools(body), *_limits(body)]
    return faults


def _items(body: dict[str, Any]) -> Iterable[str]:
    given = body.get("input")
    is_continued = bool(body.get("previous_response_id") or body.get("conversation"))
    if not is_continued and not body.get("prompt") and not given:
        yield "input: required"
    items = given if isinstance(given, list) else []
    asked: dict[str, str] = {}  # calls without output: id → the type of the output
    known: set[str] = set()
    for index, item in enumerate(items):
        path = f"input[{index}]"
        kind = item.get("type") or "message"
        identity = item.get("id")
        if identity and kind in _PREFIXES and not identity.startswith(_PREFIXES[kind]):
            yield f"{path}.id: Expected an ID that begins with '{_PREFIXES[kind]}'"
        if kind in _CALLS:
            if not 1 <= len(item["call_id"]) <= 64:
                yield f"{path}.call_id: 1 to 64 characters"
            if not _NAME.fullmatch(item["name"]):
                yield f"{path}.name: bad name {item['name']!r}"
            asked[item["call_id"]] = _CALLS[kind]
            known.add(item["call_id"])
        elif kind in _CALLS.values():
            if item.get("call_id") not in known and not is_continued:
                yield f"{path}: No tool call found for function call output with call_id {item.get('call_id')}."
            elif asked.pop(item["call_id"], kind) != kind:
                yield f"{path}: output of another kind than its call"
            yield from _parts(item["output"], f"{path}.output", may_be_empty=True)
        elif kind == "message":
            # An assistant's may (recorded).
            yield from _parts(item["content"], f"{path}.content", may_be_empty=item["role"] == "assistant")
        elif kind == "reasoning" and not _has_follower(items, index, is_kept=body.get("store") is not False):
            yield f"{path}: reasoning was provided without its required following item."
    for call_id in asked:
        yield f"input: No tool output found for function call {call_id}."


def _has_follower(items: list[dict[str, Any]], index: int, *, is_kept: bool) -> bool:
    """What came of it, and the very item where the server remembers which that was (recorded)."""
    rest = [item for item in items[index + 1 :] if item.get("type") != "reasoning"]
    if not rest or rest[0].get("role", "assistant") != "assistant" or rest[0].get("type") in _CALLS.values():
        return False
    return not is_kept or "id" in rest[0] or not items[index]["id"].startswith("rs_")


def _parts(content: Any, path: str, *, may_be_empty: bool) -> Iterable[str]:
    if not may_be_empty and not content:
        yield f"{path}: empty"
    for number, part in enumerate(content if isinstance(content, list) else ()):
        here = f"{path}[{number}]"
        if part["type"] in {"input_text", "output_text"} and not part["text"] and not may_be_empty:
            yield f"{here}.text: empty"
        link = part.get("image_url") or ""
        is_link = link.startswith(("https://", "http://", "data:image/"))
        if part["type"] == "input_image" and not part.get("file_id") and not is_link:
            yield f"{here}.image_url: no image"
        if part["type"] == "input_file" and part.get("file_data"):
            if not part["file_data"].startswith("data:") or "audio" in part["file_data"][:20]:
                yield f"{here}.file_data: Expected a base64-encoded data URL with a valid file MIME type"
            if not part.get("filename"):
                yield f"{here}.filename: required beside file_data"


def _tools(body: dict[str, Any]) -> Iterable[str]:
    tools = body.get("tools") or []
    named = [tool["name"] for tool in tools if tool["type"] in {"function", "custom"}]
    if len(set(named)) < len(named):
        yield "tools: two of the same name"
    for name in named:
        if not _NAME.fullmatch(name):
            yield f"tools: bad name {name!r}"
    for tool in tools:
        if tool["type"] == "function" and not isinstance(tool.get("strict"), bool | None):
            yield "tools: strict is no boolean"
    choice = body.get("tool_choice")
    if choice == "required" and not tools:
        yield "tool_choice: no tools"
    if isinstance(choice, dict) and choice["type"] in {"function", "custom"} and choice["name"] not in named:
        yield "tool_choice: no such tool"


def _limits(body: dict[str, Any]) -> Iterable[str]:
    for name, (low, high) in _RANGES.items():
        value = body.get(name)
        if value is not None and (value < low or (high is not None and value > high)):
            yield f"{name}: {value} is out of range"
    if len(body.get("metadata") or {}) > 16:
        yield "metadata: more than 16 pairs"
    if len(body.get("safety_identifier") or "") > 128:
        yield "safety_identifier: longer than 128"
    if body.get("previous_response_id") and body.get("conversation"):
        yield "previous_response_id: not together with conversation"
    if _REASONING_MODEL.match(body.get("model", "")) and body.get("temperature", 1) not in {1, None}:
        yield "temperature: not supported with this model"
