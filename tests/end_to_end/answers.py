"""What providers answer, in both protocols, as their documents show it. For the mock; made without `ds2api`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.end_to_end.mock import Hold, Received, Reply, Step

__all__ = [
    "OVERLOADED_FIRST", "chat_error", "chat_events", "chat_whole", "messages_error", "messages_events",
    "messages_whole", "serve", "serve_text", "sse",
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
    return received.target.endswith("/messages")


def serve(received: Received, text: str = "Hello", hold: Hold | None = None, at: int = -1) -> Reply:
    """The answer that fits what was asked: dialect and form. `hold` is put in before event `at` of a stream."""
    if not received.json.get("stream"):
        return Reply.json(messages_whole(text) if is_messages(received) else chat_whole(text))
    asked_usage = bool((received.json.get("stream_options") or {}).get("include_usage"))
    steps: list[Step] = list(messages_events(text) if is_messages(received) else chat_events(text, usage=asked_usage))
    if hold is not None:
        steps.insert(at, hold)
    return Reply.sse(*steps)


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
