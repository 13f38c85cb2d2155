"""What each dialect says: a request, a right answer to it in either form, and how a client reads what came.

`read` tells one of three: "right" (the whole text and, in a stream, the dialect's own end), "error" (in the dialect's own
form, with no end of a success before it), or in words what is wrong with it. Written without `ds2api`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.end_to_end import answers
from tests.wire.helpers import Received

__all__ = ["DIALECTS", "BASES", "pieces_of", "read", "request", "whole_of"]

DIALECTS = ("chat", "responses", "messages", "gemini", "ollama", "mistral")
# What stands between host and the dialect's own path, and the path.
BASES = {"gemini": "/v1beta", "ollama": "/api"}
_PATHS = {
    "chat": "/v1/chat/completions", "mistral": "/mistral/v1/chat/completions", "responses": "/v1/responses",
    "messages": "/v1/messages", "ollama": "/api/chat",
}  # fmt: skip
_WHOLE: dict[str, Callable[[str], dict[str, Any]]] = {
    "chat": answers.chat_whole, "mistral": answers.chat_whole, "responses": answers.responses_whole,
    "messages": answers.messages_whole, "gemini": answers.gemini_whole, "ollama": answers.ollama_whole,
}  # fmt: skip
_PIECES: dict[str, Callable[[str], list[bytes]]] = {
    "chat": answers.chat_events, "mistral": answers.chat_events, "responses": answers.responses_events,
    "messages": answers.messages_events, "gemini": answers.gemini_events, "ollama": answers.ollama_events,
}  # fmt: skip


def request(dialect: str, model: str, *, stream: bool) -> bytes:
    """The raw bytes of a client's request."""
    said: dict[str, Any] = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    if dialect == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path, said = f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    else:
        path = _PATHS[dialect]
    if dialect == "responses":
        said = {"model": model, "stream": stream, "input": "Hi"}
    elif dialect == "messages":
        said["max_tokens"] = 99
    body = json.dumps(said).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def whole_of(dialect: str, text: str) -> bytes:
    """A provider's answer in one piece."""
    return json.dumps(_WHOLE[dialect](text)).encode()


def pieces_of(dialect: str, text: str) -> list[bytes]:
    """A provider's stream, event by event; the second of a text's two halves is `pieces[-1 - tail]` or so."""
    return _PIECES[dialect](text)


def read(dialect: str, received: Received, text: str, *, stream: bool) -> str:
    """What a client of `dialect` makes of an answer that should be `text`."""
    if received.status != 200:
        if received.status < 400:
            return f"the status is {received.status}"
        return "error" if received.complete and _is_error(dialect, _parsed(received.body)) else "an error in no form"
    if received.headers.get("content-type", "").startswith("application/json"):
        if stream:
            return "one piece for a stream"
        found = _text_of(dialect, _parsed(received.body)) if received.complete else None
        return "right" if found == text else f"the wrong answer: {received.body[:200]!r}"
    return _read_stream(dialect, received, text) if stream else "a stream for one piece"


def _read_stream(dialect: str, received: Received, text: str) -> str:
    lines = received.body.removeprefix(b"\xef\xbb\xbf").splitlines()
    if dialect != "ollama":
        lines = [line[5:].strip() for line in lines if line.startswith(b"data:")]
    said, ended, error = "", False, False
    for line in filter(None, lines):
        if error:
            return f"something behind the error: {line[:100]!r}"
        if line == b"[DONE]":
            ended = True
            continue
        event = _parsed(line)
        if not isinstance(event, dict):
            return f"an event that is no JSON: {line[:100]!r}"
        if _is_stream_error(dialect, event):
            if ended and dialect != "gemini":  # it has no end but that of the stream
                return "an error behind the end"
            error = True
            continue
        delta, ends = _delta(dialect, event)
        said += delta
        ended = ended or ends
    if dialect == "mistral" and not ended and not received.complete:
        return "error"  # there is no form for it: the connection is cut, which no client takes for an end
    if error:
        return (
            "error" if received.complete and text.startswith(said) else f"the wrong text before an error: {said[:50]!r}"
        )
    if not received.complete:
        return "a cut connection"
    if not ended:
        return "a silent end"
    return "right" if said == text else f"the wrong text, and an end: {said[:50]!r}"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _is_error(dialect: str, body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    error = body.get("error")
    match dialect:
        case "ollama":
            return isinstance(error, str) and bool(error)
        case "mistral":
            return body.get("object") == "error" and bool(body.get("message"))
        case "messages":
            return (
                body.get("type") == "error"
                and isinstance(error, dict)
                and bool(error.get("type") and error.get("message"))
            )
        case "gemini":
            return (
                isinstance(error, dict)
                and isinstance(error.get("code"), int)
                and bool(error.get("status") and error.get("message"))
            )
        case _:
            return isinstance(error, dict) and bool(error.get("type") and error.get("message"))


def _is_stream_error(dialect: str, event: dict[str, Any]) -> bool:
    if dialect == "responses":
        failed = event.get("response", {}).get("error") or {}
        return event.get("type") == "error" or (event.get("type") == "response.failed" and bool(failed.get("message")))
    return "error" in event and event["error"] is not None and _is_error(dialect, event)


def _text_of(dialect: str, body: Any) -> str | None:
    try:
        match dialect:
            case "chat" | "mistral":
                return str(body["choices"][0]["message"]["content"])
            case "responses":
                return "".join(part["text"] for item in body["output"] for part in item["content"])
            case "messages":
                return "".join(block["text"] for block in body["content"])
            case "gemini":
                return "".join(part["text"] for part in body["candidates"][0]["content"]["parts"])
            case _:
                return str(body["message"]["content"]) if body["done"] else None
    except (KeyError, IndexError, TypeError):
        return None


def _delta(dialect: str, event: dict[str, Any]) -> tuple[str, bool]:
    """The text of an event, and whether it is the dialect's own end."""
    match dialect:
        case "chat" | "mistral":
            deltas = [choice.get("delta", {}).get("content") or "" for choice in event.get("choices", [])]
            return "".join(deltas), False
        case "responses":
            delta = event.get("delta", "") if event.get("type") == "response.output_text.delta" else ""
            return delta, event.get("type") in ("response.completed", "response.incomplete")
        case "messages":
            delta = event.get("delta", {}).get("text", "") if event.get("type") == "content_block_delta" else ""
            return delta, event.get("type") == "message_stop"
        case "gemini":
            candidates = event.get("candidates", [])
            parts = [part.get("text", "") for one in candidates for part in one.get("content", {}).get("parts", [])]
            return "".join(parts), any(one.get("finishReason") for one in candidates)
        case _:
            return event.get("message", {}).get("content", ""), bool(event.get("done"))
