"""Asks through the real SDKs, sync or async, whole or streamed, and gives what their user sees in one form."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import anthropic
import httpx
import httpx2
import ollama
import openai
from google import genai
from google.genai import types as genai_types
from mistralai.client import Mistral

__all__ = ["CLIENTS", "MODES", "Clients", "Mode", "Seen", "ask_chat", "ask_messages"]

CLIENTS = ("chat", "responses", "messages", "gemini", "ollama", "mistral")

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
        [
            (call.custom.name, call.custom.input)
            if call.type == "custom"
            else (call.function.name, json.loads(call.function.arguments or "{}"))
            for call in calls
        ],
        choice.finish_reason,
        _table(completion.usage),
        (choice.message.model_extra or {}).get("reasoning_content") or "",
        completion.model,
        [call.id for call in calls],
        headers,
    )


def _chat_stream(chunks: list[Any], headers: Mapping[str, str]) -> Seen:
    seen, free = Seen(headers=headers), set[int]()
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
                custom = (call.model_extra or {}).get("custom") or {}  # which the SDK's chunks do not type
                held[1] += custom.get("name") or ""
                held[2] += custom.get("input") or ""
                free |= {call.index} if custom else set()
    seen.calls = [
        (name, given if index in free else json.loads(given or "{}")) for index, (_, name, given) in calls.items()
    ]
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


class Clients:
    """One client of each SDK, for many short questions. Close it."""

    def __init__(self, url: str) -> None:
        self._heads: dict[str, Mapping[str, str]] = {}  # of the last answer, for SDKs that show none
        hooks: Any = {"response": [lambda answer: self._heads.update(last=answer.headers)]}
        self._openai = openai.OpenAI(
            base_url=url + "/v1", api_key=CALLER_KEY, max_retries=0,
            http_client=openai.DefaultHttpxClient(verify=False),
        )  # fmt: skip
        self._anthropic = anthropic.Anthropic(
            base_url=url, api_key=CALLER_KEY, max_retries=0, timeout=60.0,
            http_client=anthropic.DefaultHttpxClient(verify=False),
        )  # fmt: skip
        self._gemini = genai.Client(
            api_key=CALLER_KEY,
            http_options=genai_types.HttpOptions(
                base_url=url, httpx_client=httpx.Client(event_hooks=hooks, verify=False)
            ),
        )
        self._ollama = ollama.Client(host=url, event_hooks=hooks, verify=False)
        self._http = httpx2.Client(event_hooks=hooks, verify=False)
        self._mistral = Mistral(api_key=CALLER_KEY, server_url=url, client=self._http)

    def close(self) -> None:
        for client in (self._openai, self._anthropic, self._gemini, self._ollama, self._http):
            client.close()

    def ask(self, client: str, model: str, *, stream: bool) -> Seen:
        """ "Hello", through the SDK of `client`. Raises what it raises."""
        seen: Seen = getattr(self, f"_ask_{client}")(model, stream)
        return seen

    def _ask_chat(self, model: str, stream: bool) -> Seen:
        more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        raw = self._openai.chat.completions.with_raw_response.create(model=model, messages=_HELLO, **more)
        parsed: Any = raw.parse()
        return _chat_stream(list(parsed), raw.headers) if stream else _chat_whole(parsed, raw.headers)

    def _ask_messages(self, model: str, stream: bool) -> Seen:
        more: dict[str, Any] = {"stream": True} if stream else {}
        raw = self._anthropic.messages.with_raw_response.create(model=model, messages=_HELLO, max_tokens=256, **more)
        parsed: Any = raw.parse()
        return _message_stream(list(parsed), raw.headers) if stream else _message_whole(parsed, raw.headers)

    def _ask_responses(self, model: str, stream: bool) -> Seen:
        more: dict[str, Any] = {"stream": True} if stream else {}
        raw = self._openai.responses.with_raw_response.create(model=model, input="Hello", store=False, **more)
        parsed: Any = raw.parse()
        if not stream:
            return _response_whole(parsed, raw.headers)
        final, deltas = None, ""
        for event in parsed:
            if event.type == "response.output_text.delta":
                deltas += event.delta
            elif event.type in ("response.completed", "response.incomplete"):
                final = event.response
            elif event.type in ("error", "response.failed"):
                raise openai.APIError("the stream says that it failed", raw.http_request, body=None)
        assert final is not None
        seen = _response_whole(final, raw.headers)
        assert deltas == seen.text or not seen.text, "the deltas and the whole answer differ"
        return dataclasses.replace(seen, text=deltas)

    def _ask_gemini(self, model: str, stream: bool) -> Seen:
        if not stream:
            return _gemini([self._gemini.models.generate_content(model=model, contents="Hello")], self._heads["last"])
        return _gemini(list(self._gemini.models.generate_content_stream(model=model, contents="Hello")), {})

    def _ask_ollama(self, model: str, stream: bool) -> Seen:
        chat: Any = self._ollama.chat
        answer = chat(model, messages=_HELLO, stream=stream)
        chunks = list(answer) if stream else [answer]
        last = chunks[-1]
        calls = [call.function for chunk in chunks for call in chunk.message.tool_calls or []]
        assert last.done
        return Seen(
            "".join(chunk.message.content or "" for chunk in chunks),
            [(call.name, dict(call.arguments)) for call in calls],
            last.done_reason,
            {"input": last.prompt_eval_count or 0, "output": last.eval_count or 0},
            "".join(chunk.message.thinking or "" for chunk in chunks),
            last.model,
            headers=self._heads["last"],
        )

    def _ask_mistral(self, model: str, stream: bool) -> Seen:
        if not stream:
            completion: Any = self._mistral.chat.complete(model=model, messages=_HELLO)
            return _mistral([completion], [completion.choices[0].message], self._heads["last"])
        with self._mistral.chat.stream(model=model, messages=_HELLO) as events:
            chunks: list[Any] = [event.data for event in events]
        assert chunks[-1].choices[0].finish_reason, "the stream was cut"
        return _mistral(chunks, [chunk.choices[0].delta for chunk in chunks if chunk.choices], self._heads["last"])


_HELLO: Any = [{"role": "user", "content": "Hello"}]


def _response_whole(response: Any, headers: Mapping[str, str]) -> Seen:
    seen = Seen(headers=headers, model=response.model)
    details = response.incomplete_details
    seen.finish = "/".join(word for word in (response.status, details.reason if details else None) if word)
    seen.text = response.output_text
    for item in response.output:
        if item.type == "function_call":
            seen.calls.append((item.name, json.loads(item.arguments or "{}")))
        elif item.type == "custom_tool_call":
            seen.calls.append((item.name, item.input))
    if response.usage is not None:
        seen.usage = {"input": response.usage.input_tokens, "output": response.usage.output_tokens}
    return seen


def _gemini(chunks: list[Any], headers: Mapping[str, str]) -> Seen:
    seen = Seen(headers=headers)
    for chunk in chunks:
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
            seen.finish = "SAFETY"
        for candidate in (chunk.candidates or [])[:1]:
            seen.finish = candidate.finish_reason.value if candidate.finish_reason else seen.finish
            for part in (candidate.content.parts if candidate.content else None) or []:
                if part.function_call is not None:
                    seen.calls.append((part.function_call.name or "", part.function_call.args or {}))
                elif part.text and part.thought:
                    seen.reasoning += part.text
                else:
                    seen.text += part.text or ""
        usage = chunk.usage_metadata
        if usage is not None and usage.prompt_token_count is not None:
            seen.usage = {
                "input": usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
                "output": (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            }
    return seen


def _mistral(chunks: list[Any], messages: list[Any], headers: Mapping[str, str]) -> Seen:
    seen, calls = Seen(headers=headers, model=chunks[-1].model), list[list[str]]()
    for message in messages:
        content = message.content or ""
        for one in content if isinstance(content, list) else ():
            if one.type == "thinking":
                seen.reasoning += "".join(getattr(text, "text", "") for text in one.thinking)
        seen.text += content if isinstance(content, str) else "".join(one.text for one in content if one.type == "text")
        for call in message.tool_calls or []:
            given = call.function.arguments
            piece = json.dumps(given) if isinstance(given, dict) else given or ""
            if call.function.name:
                calls.append([call.function.name, piece])
            else:
                calls[-1][1] += piece  # only of Mistral itself, relayed
    seen.calls = [(name, json.loads(pieces or "{}")) for name, pieces in calls]
    seen.finish = next((c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason), None)
    for chunk in chunks:
        if chunk.usage is not None and chunk.usage.prompt_tokens is not None:
            seen.usage = {"input": chunk.usage.prompt_tokens, "output": chunk.usage.completion_tokens}
    return seen
