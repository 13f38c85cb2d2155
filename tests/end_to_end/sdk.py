"""Asks through the real SDKs, sync or async, whole or streamed, and gives what their user sees in one form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import anthropic
import openai

__all__ = ["MODES", "Mode", "Seen", "ask_chat", "ask_messages"]

Mode = tuple[Literal["sync", "async"], bool]  # and whether to stream
MODES: list[Mode] = [("sync", False), ("sync", True), ("async", False), ("async", True)]
CALLER_KEY = "no-key-needed"
# `verify=False` below: everything is plain HTTP on loopback, and reading the trust store is most of a client's start.


@dataclass
class Seen:
    """An answer as an SDK's user sees it. `usage` is the SDK's own object as a table, without empty fields."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    reasoning: str = ""
    model: str = ""
    call_ids: list[str] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """The losses that the head tells. Fields of one name come joined by commas out of the SDK's table."""
        return [one.strip() for one in self.headers.get("x-ds2api-warning", "").split(",") if one.strip()]


def ask_chat(url: str, mode: Mode, *, key: str = CALLER_KEY, **request: Any) -> Seen:
    """`chat.completions.create` of the `openai` SDK. Raises what it raises."""
    kind, stream = mode
    options: dict[str, Any] = {"base_url": url + "/v1", "api_key": key, "max_retries": 0}
    if stream:
        request = {**request, "stream": True, "stream_options": {"include_usage": True}}
    if kind == "sync":
        with openai.OpenAI(**options, http_client=openai.DefaultHttpxClient(verify=False)) as client:
            raw = client.chat.completions.with_raw_response.create(**request)
            parsed = raw.parse()
            return _chat_stream(list(parsed), raw.headers) if stream else _chat_whole(parsed, raw.headers)

    async def run() -> Seen:
        async with openai.AsyncOpenAI(**options, http_client=openai.DefaultAsyncHttpxClient(verify=False)) as client:
            raw = await client.chat.completions.with_raw_response.create(**request)
            parsed = raw.parse()
            if stream:
                return _chat_stream([chunk async for chunk in parsed], raw.headers)
            return _chat_whole(parsed, raw.headers)

    return asyncio.run(run())


def ask_messages(url: str, mode: Mode, *, key: str = CALLER_KEY, beta: bool = False, **request: Any) -> Seen:
    """`messages.create` of the `anthropic` SDK. Raises what it raises."""
    kind, stream = mode
    options: dict[str, Any] = {"base_url": url, "api_key": key, "max_retries": 0, "timeout": 60.0}
    request = {"max_tokens": 256, **request}
    if stream:
        request = {**request, "stream": True}
    if kind == "sync":
        with anthropic.Anthropic(**options, http_client=anthropic.DefaultHttpxClient(verify=False)) as client:
            door: Any = client.beta.messages if beta else client.messages
            raw = door.with_raw_response.create(**request)
            parsed = raw.parse()
            return _message_stream(list(parsed), raw.headers) if stream else _message_whole(parsed, raw.headers)

    async def run() -> Seen:
        async with anthropic.AsyncAnthropic(
            **options, http_client=anthropic.DefaultAsyncHttpxClient(verify=False)
        ) as client:
            door: Any = client.beta.messages if beta else client.messages
            raw = await door.with_raw_response.create(**request)
            parsed = await raw.parse()
            if stream:
                return _message_stream([event async for event in parsed], raw.headers)
            return _message_whole(parsed, raw.headers)

    return asyncio.run(run())


def _table(value: Any) -> dict[str, Any]:
    return {} if value is None else value.model_dump(exclude_none=True)


def _text(content: Any) -> str:
    """`content` as text. Some providers give chat clients a list of parts, and relay leaves it."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content or ""


def _chat_whole(completion: Any, headers: Mapping[str, str]) -> Seen:
    choice = completion.choices[0]
    calls = choice.message.tool_calls or []
    return Seen(
        _text(choice.message.content),
        [(call.function.name, json.loads(call.function.arguments or "{}")) for call in calls],
        choice.finish_reason,
        _table(completion.usage),
        (choice.message.model_extra or {}).get("reasoning_content") or "",
        completion.model,
        [call.id for call in calls],
        headers,
    )


def _chat_stream(chunks: list[Any], headers: Mapping[str, str]) -> Seen:
    seen = Seen(headers=headers)
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        seen.model = chunk.model or seen.model
        if chunk.usage is not None:
            seen.usage = _table(chunk.usage)
        for choice in chunk.choices:
            delta = choice.delta
            seen.text += _text(delta.content)
            seen.reasoning += (delta.model_extra or {}).get("reasoning_content") or ""
            seen.finish = choice.finish_reason or seen.finish
            for call in delta.tool_calls or []:
                held = calls.setdefault(call.index, ["", "", ""])
                held[0] += call.id or ""
                held[1] += (call.function.name if call.function else None) or ""
                held[2] += (call.function.arguments if call.function else None) or ""
    seen.calls = [(name, json.loads(arguments or "{}")) for _, name, arguments in calls.values()]
    seen.call_ids = [id_ for id_, _, _ in calls.values()]
    return seen


def _message_whole(message: Any, headers: Mapping[str, str]) -> Seen:
    calls = [block for block in message.content if block.type == "tool_use"]
    return Seen(
        "".join(block.text for block in message.content if block.type == "text"),
        [(block.name, block.input) for block in calls],
        message.stop_reason,
        _table(message.usage),
        "".join(block.thinking for block in message.content if block.type == "thinking"),
        message.model,
        [block.id for block in calls],
        headers,
    )


def _message_stream(events: list[Any], headers: Mapping[str, str]) -> Seen:
    seen = Seen(headers=headers)
    calls: dict[int, list[str]] = {}
    for event in events:
        match event.type:
            case "message_start":
                begun = _message_whole(event.message, headers)
                seen.model, seen.usage, seen.text, seen.finish = begun.model, begun.usage, begun.text, begun.finish
                whole = zip(begun.call_ids, begun.calls, strict=True)
                calls = {
                    -number: [id_, name, json.dumps(given)] for number, (id_, (name, given)) in enumerate(whole, 1)
                }
            case "content_block_start" if event.content_block.type == "tool_use":
                given = event.content_block.input  # whole already, or to come in deltas
                calls[event.index] = [
                    event.content_block.id,
                    event.content_block.name,
                    json.dumps(given) if given else "",
                ]
            case "content_block_start" if event.content_block.type == "text":
                seen.text += event.content_block.text
            case "content_block_delta":
                seen.text += getattr(event.delta, "text", None) or ""
                seen.reasoning += getattr(event.delta, "thinking", None) or ""
                if event.delta.type == "input_json_delta" and event.index in calls:
                    calls[event.index][2] += event.delta.partial_json
            case "message_delta":
                seen.finish = event.delta.stop_reason or seen.finish
                seen.usage.update(_table(event.usage))
    assert events and events[-1].type == "message_stop"
    seen.calls = [(name, json.loads(arguments or "{}")) for _, name, arguments in calls.values()]
    seen.call_ids = [id_ for id_, _, _ in calls.values()]
    return seen
