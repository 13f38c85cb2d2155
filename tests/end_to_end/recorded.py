"""What a recording says, read without `ds2api`: text, calls, finish and usage, to hold what SDKs see against."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.dialects.chat import recordings as chat_recordings
from tests.dialects.messages import recordings as messages_recordings

__all__ = ["ANSWERS", "REQUESTS", "Recorded", "Told"]

# Damaged on purpose (two answers spliced into one): a stream that no reader can end well.
_BROKEN = {"anthropic-spliced-message-start", "anthropic-duplicate-message-start"}


@dataclass
class Told:
    """What the provider told. `input_total` holds all cached tokens; None: it said nothing."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    input_total: int | None = None
    outputs: set[int] = field(default_factory=set)  # what may be meant by "output tokens"


@dataclass(frozen=True)
class Recorded:
    """One answer: the bytes and what they tell. `told` is None where it is an error."""

    name: str
    dialect: str
    status: int
    is_stream: bool
    body: bytes
    told: Told | None


def _events(stream: bytes) -> Iterable[dict[str, Any]]:
    for line in re.split(rb"\r\n|\r|\n", stream):
        if line.startswith(b"data:") and (data := line[5:].strip()) not in (b"", b"[DONE]"):
            yield json.loads(data)


def _parsed(arguments: Any) -> Any:
    return arguments if isinstance(arguments, dict) else json.loads(arguments or "{}")


def _chat_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content or ""


def _chat_usage(told: Told, usage: Any) -> None:
    if isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int):
        told.input_total = usage["prompt_tokens"]
        told.outputs = {usage.get("completion_tokens") or 0, (usage.get("total_tokens") or 0) - told.input_total}


def _chat_whole(body: Any) -> Told | None:
    if not isinstance(body, dict) or not body.get("choices"):
        return None
    choice = body["choices"][0]
    message = choice["message"]
    told = Told(_chat_text(message.get("content")), finish=choice.get("finish_reason"))
    told.calls = [
        (one["function"]["name"], _parsed(one["function"].get("arguments"))) for one in message.get("tool_calls") or []
    ]
    _chat_usage(told, body.get("usage"))
    return told


def _chat_stream(stream: bytes) -> Told | None:
    told, calls = Told(), {}
    for chunk in _events(stream):
        if chunk.get("error"):
            return None
        _chat_usage(told, chunk.get("usage"))
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            told.text += _chat_text(delta.get("content"))
            told.finish = choice.get("finish_reason") or told.finish
            if told.finish == "error":
                return None
            for call in delta.get("tool_calls") or []:
                held = calls.setdefault(call.get("index", len(calls)), ["", ""])
                function = call.get("function") or {}
                held[0] = held[0] or function.get("name") or ""
                held[1] += function.get("arguments") or ""
    told.calls = [(name, _parsed(arguments)) for name, arguments in calls.values()]
    return told


def _messages_usage(told: Told, usage: Any) -> None:
    if isinstance(usage, dict):
        given = [usage.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
        if given[0] is not None:
            told.input_total = sum(one or 0 for one in given)
        if usage.get("output_tokens") is not None:
            told.outputs = {usage["output_tokens"]}


def _messages_whole(body: Any) -> Told | None:
    if body.get("type") != "message":
        return None
    told = Told(
        "".join(block["text"] for block in body["content"] if block["type"] == "text"), finish=body["stop_reason"]
    )
    told.calls = [(block["name"], block["input"]) for block in body["content"] if block["type"] == "tool_use"]
    _messages_usage(told, body["usage"])
    return told


def _messages_stream(stream: bytes) -> Told | None:
    told, calls, usage = Told(), {}, {}
    for event in _events(stream):
        match event["type"]:
            case "error":
                return None
            case "message_start":
                usage = dict(event["message"]["usage"])
                begun = _messages_whole(event["message"])  # a step of a longer run comes with all of its content
                assert begun is not None
                told.text, told.finish = begun.text, begun.finish
                calls = {-number: [name, "", given] for number, (name, given) in enumerate(begun.calls, 1)}
            case "content_block_start":
                block = event["content_block"]
                told.text += block.get("text") or "" if block["type"] == "text" else ""
                if block["type"] == "tool_use":
                    calls[event["index"]] = [block["name"], "", block.get("input")]
            case "content_block_delta":
                delta = event["delta"]
                told.text += delta.get("text", "") if delta["type"] == "text_delta" else ""
                if delta["type"] == "input_json_delta" and event["index"] in calls:
                    calls[event["index"]][1] += delta["partial_json"]
            case "message_delta":
                told.finish = event["delta"]["stop_reason"] or told.finish
                usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
    told.calls = [(name, _parsed(arguments) if arguments else given or {}) for name, arguments, given in calls.values()]
    _messages_usage(told, usage)
    return told


def _answers() -> Iterable[Recorded]:
    for one in chat_recordings.RESPONSES:
        told = _chat_whole(one.response) if one.status == 200 else None
        yield Recorded(one.name, "chat", one.status, False, one.raw_response, told)
    for one in chat_recordings.STREAMS:
        yield Recorded(one.name, "chat", one.status, True, one.stream, _chat_stream(one.stream))
    for kept in messages_recordings.RESPONSES:
        body = (kept.folder / "response.json").read_bytes()
        yield Recorded(kept.name, "messages", kept.status, False, body, _messages_whole(json.loads(body)))
    for kept in messages_recordings.STREAMS:
        if kept.name not in _BROKEN:
            for number, stream in enumerate(messages_recordings.streams_of(kept)):
                name = kept.name if number == 0 else f"{kept.name}#{number}"
                yield Recorded(name, "messages", kept.status, True, stream, _messages_stream(stream))


ANSWERS = list(_answers())
REQUESTS = [
    *(("chat", one.name, one.request) for one in chat_recordings.REQUESTS if one.status == 200),
    *(("messages", one.name, one.request) for one in messages_recordings.REQUESTS if one.status == 200),
]
