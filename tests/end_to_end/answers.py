"""What providers answer, in all six protocols, as their documents show it. For the mock; made without `ds2api`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.end_to_end.mock import Hold, Received, Reply, Step, dialect_of

__all__ = [
    "OVERLOADED_FIRST", "chat_error", "chat_events", "chat_whole", "messages_error", "messages_events",
    "gemini_events", "gemini_whole", "messages_whole", "ollama_events", "ollama_whole", "responses_events",
    "responses_whole", "serve", "serve_text", "sse",
]  # fmt: skip

CHAT_USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
MESSAGES_USAGE = {"input_tokens": 11, "output_tokens": 5}


def sse(*events: dict[str, Any], named: bool = False, done: bool = False) -> bytes:
    """`events` as an event stream: with names (messages) or a `[DONE]` (chat)."""
    made = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        made.append(f"{name}data: {json.dumps(event)}\n\n")
    return ("".join(made) + ("data: [DONE]\n\n" if done else "")).encode()


def chat_whole(text: str = "Hello", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "upstream-model",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": CHAT_USAGE,
        **more,
    }


def _chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "upstream-model",
        "choices": choices,
        **more,
    }


def chat_events(text: str = "Hello", *, usage: bool = True) -> list[bytes]:
    """A chat stream, a step an event: role, two halves, finish, usage, end."""
    half = len(text) // 2
    events = [
        sse(_chunk({"role": "assistant", "content": ""})),
        sse(_chunk({"content": text[:half]})),
        sse(_chunk({"content": text[half:]})),
        sse(_chunk({}, "stop")),
    ]
    if usage:
        events.append(sse(_chunk(None, usage=CHAT_USAGE)))
    return [*events, b"data: [DONE]\n\n"]


def messages_whole(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "upstream-model",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": MESSAGES_USAGE,
        **more,
    }


def messages_events(text: str = "Hello") -> list[bytes]:
    """A messages stream, a step an event: start, block start, two halves, block stop, delta, stop."""
    half = len(text) // 2
    start = messages_whole("", content=[], stop_reason=None, usage={"input_tokens": 11, "output_tokens": 1})
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        sse(one, named=True)
        for one in (
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[:half]}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[half:]}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        )
    ]


def is_messages(received: Received) -> bool:
    return dialect_of(received.target) == "messages"


def _half(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def responses_whole(text: str = "Hello", **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "model": "upstream-model",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 11,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 16,
        },
        **more,
    }


def responses_events(text: str = "Hello") -> list[bytes]:
    """A responses stream, a step an event: created, item and part begun, two halves, all of them done, completed."""
    final = responses_whole(text)
    item = final["output"][0]
    part = item["content"][0]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**final, "status": "in_progress", "output": [], "usage": None}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": one, "logprobs": []} for one in _half(text)),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": final},
    ]
    return [sse({**one, "sequence_number": number}, named=True) for number, one in enumerate(events)]


def gemini_whole(text: str = "Hello", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    return {
        "candidates": [{**candidate, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16},
        "modelVersion": "upstream-model",
        "responseId": "answer-1",
        **more,
    }


def gemini_events(text: str = "Hello") -> list[bytes]:
    first, last = (gemini_whole(half) for half in _half(text))
    del first["candidates"][0]["finishReason"]
    return [sse(first), sse(last)]


def ollama_whole(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {
        "model": "upstream-model",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "stop",
        "total_duration": 5,
        "load_duration": 1,
        "prompt_eval_count": 11,
        "prompt_eval_duration": 2,
        "eval_count": 5,
        "eval_duration": 2,
        **more,
    }


def ollama_events(text: str = "Hello") -> list[bytes]:
    begun = ({name: ollama_whole(half)[name] for name in ("model", "created_at", "message")} for half in _half(text))
    return [json.dumps(one).encode() + b"\n" for one in (*({**one, "done": False} for one in begun), ollama_whole(""))]


_WHOLE = {
    "chat": chat_whole, "mistral": chat_whole, "messages": messages_whole, "responses": responses_whole,
    "gemini": gemini_whole, "ollama": ollama_whole,
}  # fmt: skip
_EVENTS = {
    "chat": chat_events, "mistral": chat_events, "messages": messages_events, "responses": responses_events,
    "gemini": gemini_events, "ollama": ollama_events,
}  # fmt: skip


def serve(received: Received, text: str = "Hello", hold: Hold | None = None, at: int = -1) -> Reply:
    """The answer that fits what was asked: dialect and form. `hold` is put in before event `at` of a stream."""
    dialect = dialect_of(received.target) or "chat"
    body = received.json
    if not (body.get("stream", dialect == "ollama") or ":stream" in received.target):
        return Reply.json(_WHOLE[dialect](text))
    asked_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    steps: list[Step] = [*(chat_events(text, usage=asked_usage) if dialect == "chat" else _EVENTS[dialect](text))]
    if hold is not None:
        steps.insert(at, hold)
    kind = "application/x-ndjson" if dialect == "ollama" else "text/event-stream"
    return Reply(200, steps, [("content-type", kind)])


def serve_text(received: Received) -> Reply:
    return serve(received)


def chat_error(
    status: int, message: str = "no", *, type_: str = "invalid_request_error", code: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Reply:  # fmt: skip
    error = {"message": message, "type": type_, "param": None, "code": code}
    return Reply.json({"error": error}, status, headers)


def messages_error(status: int, type_: str, message: str = "no", headers: Sequence[tuple[str, str]] = ()) -> Reply:
    body = {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_up"}
    return Reply.json(body, status, headers)


# R032 of the field reports: the failure comes under a 200, as the first event.
OVERLOADED_FIRST = sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, named=True)
