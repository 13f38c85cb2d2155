"""What tests of this dialect share: there are no recordings, so requests and answers as its documents show them."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from ds2api.dialects.contract import Asker, Target
from ds2api.dialects.ollama import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.request import Request

__all__ = ["PNG", "REQUESTS", "STREAMS", "TARGET", "asker", "decoded", "lines", "ndjson", "read", "written"]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
TARGET = Target("home", "qwen3:8b")
_AT = "2026-11-24T10:00:00.123456789Z"
_WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells it",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_CALL = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}),
    "options": (
        "/api/chat",
        {
            "model": "m",
            "stream": False,
            "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}],
            "options": {
                "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": 7, "num_predict": -1, "num_ctx": 8192,
                "stop": ["END"], "repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.2, "mirostat": 1,
            },
            "format": {"type": "object", "properties": {"a": {"type": "integer"}}},
            "keep_alive": "5m",
            "think": "high",
            "logprobs": True,
            "top_logprobs": 3,
        },
    ),
    "images": (
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": "What is it?", "images": [PNG]}], "think": False},
    ),
    "tools": (
        "/api/chat",
        {
            "model": "m",
            "tools": [_WEATHER],
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": "", "thinking": "I must look", "tool_calls": [_CALL, _CALL]},
                {"role": "tool", "content": "Sun", "tool_name": "weather"},
                {"role": "tool", "content": "Rain", "tool_name": "weather"},
            ],
        },
    ),
    "tool ids": (
        "/api/chat",
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": "Looking",
                    "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {}}}],
                },
                {"role": "tool", "content": "Sun", "tool_call_id": "c1"},
                {"role": "assistant", "content": "It is"},
            ],
        },
    ),
    "generate": (
        "/api/generate",
        {"model": "m", "prompt": "Why?", "system": "Be brief", "images": [PNG], "format": "json", "keep_alive": 0},
    ),
    "raw": ("/api/generate", {"model": "m", "prompt": "[INST] Why?", "raw": True, "context": [1, 2], "template": "T"}),
    "fill": ("/api/generate", {"model": "m", "prompt": "def f(", "suffix": "return 1", "options": {"num_predict": 9}}),
}  # fmt: skip

_END = {
    "total_duration": 9, "load_duration": 1, "prompt_eval_count": 26, "prompt_eval_duration": 2, "eval_count": 298,
    "eval_duration": 3,
}  # fmt: skip


def _said(done: bool = False, **message: Any) -> dict[str, Any]:
    return {"model": "m", "created_at": _AT, "message": {"role": "assistant", "content": "", **message}, "done": done}


STREAMS: dict[str, list[dict[str, Any]]] = {
    "text": [_said(content="Hel"), _said(content="lo ☀"), _said(done=True) | {"done_reason": "stop", **_END}],
    "thinking": [
        _said(thinking="Hm"),
        _said(thinking="m."),
        _said(content="Yes"),
        _said(done=True) | {"done_reason": "length", **_END},
    ],
    "calls": [
        _said(tool_calls=[_CALL]),
        _said(tool_calls=[{"id": "c2", "function": {"index": 1, "name": "weather", "arguments": {"n": 2**70}}}]),
        _said(done=True) | {"done_reason": "stop", **_END},
    ],
    "logprobs": [
        _said(content="A") | {"logprobs": [{"token": "A", "logprob": -0.5, "top_logprobs": [{"token": "B", "logprob": -2}]}]},
        _said(done=True) | {"done_reason": "stop", **_END},
    ],
    "generate": [
        {"model": "m", "created_at": _AT, "response": "", "thinking": "Hm", "done": False},
        {"model": "m", "created_at": _AT, "response": "Yes", "done": False},
        {"model": "m", "created_at": _AT, "response": "", "done": True, "done_reason": "stop", "context": [1, 2], **_END},
    ],
}  # fmt: skip


def ndjson(*values: dict[str, Any]) -> bytes:
    """A stream of `values`, as the server writes it."""
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def lines(stream: bytes) -> list[dict[str, Any]]:
    assert not stream or stream.endswith(b"\n")
    return [json.loads(line) for line in stream.split(b"\n")[:-1]]


def decoded(stream: bytes) -> list[ev.Event]:
    decoder = DIALECT.decoder()
    return [*decoder.feed(stream), *decoder.end()]


def read(body: dict[str, Any], path: str = "/api/chat") -> Request:
    return DIALECT.read_request(body, {}, path)


def written(request: Request, target: Target = TARGET) -> tuple[dict[str, Any], list[str]]:
    """The body for a server, and its losses."""
    outgoing = DIALECT.write_request(request, target)
    return json.loads(outgoing.body), [f"{loss.code} {loss.path}" for loss in outgoing.losses]


def asker(model: str = "alias", **changes: Any) -> Asker:
    """Somebody who waits. Ids count up, so that two of them show."""
    numbers = count()
    given: dict[str, Any] = {
        "request_id": "req_own",
        "created": 1_700_000_000,
        "new_id": lambda: f"new{next(numbers)}",
        "wants_usage": True,
    }
    return Asker(model, **{**given, **changes})
