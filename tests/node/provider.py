"""What six providers answer when their model says a given thing: whole and as a stream, with errors and endings.

`Said` is what the model says; `DIALECTS` holds a writer for each protocol, by hand after the providers' documents and
without `ds2api`, so that a fault of a codec cannot hide behind its own twin. `Provider` is the strict mock of one
protocol: it refuses what the real one refuses. Thoughts carry a seal (a signature, encrypted reasoning), which is bound
to its bytes: tests look for it in the next request. Tool calls stream in two halves where the protocol streams them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.end_to_end.answers import sse
from tests.end_to_end.harness import Thread
from tests.end_to_end.mock import Mock, Received, Reply, Script, Step
from tests.end_to_end.tables import provider, table

__all__ = [
    "DIALECTS", "MODELS", "SEAL", "Dialect", "Provider", "Said", "answer", "failure", "pieces",
    "providers", "streamed",
]  # fmt: skip

Table = dict[str, Any]
# Base64 of no meaning. Every provider's opaque reasoning is such a string.
SEAL = "c2VhbGVkLWJ5LXRoZS1wcm92aWRlci0xMjM0NTY3ODk="
INPUT_TOKENS, OUTPUT_TOKENS = 11, 5
# A model of each provider whose rules are known and which thinks on request.
MODELS = {
    "chat": "deepseek-reasoner",
    "responses": "gpt-5.1",
    "messages": "claude-opus-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3",
    "mistral": "magistral-medium-latest",
}


@dataclass(frozen=True)
class Said:
    """`calls` are (name, arguments); a text instead of arguments is a call of a custom tool (Responses only). `finish`
    is "stop", "length" or "refusal"; calls make it a tool call's ending. `turn` keeps the ids of two turns apart."""

    text: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    thoughts: str = ""
    finish: str = "stop"
    turn: int = 0

    def ending(self, stop: str, length: str, calls: str, refusal: str) -> str:
        return {"length": length, "refusal": refusal}.get(self.finish, calls if self.calls else stop)


def _halves(text: str) -> list[str]:
    return [half for half in (text[: len(text) // 2], text[len(text) // 2 :]) if half]


def _arguments(call: tuple[str, Table]) -> str:
    return json.dumps(call[1], ensure_ascii=False)


# --- chat and mistral ---


def _chat_calls(said: Said, prefix: str) -> list[Table]:
    return [
        {"id": f"{prefix}{said.turn}{number}", "type": "function",
         "function": {"name": call[0], "arguments": _arguments(call)}}
        for number, call in enumerate(said.calls)
    ]  # fmt: skip


def _chat_usage() -> Table:
    total = INPUT_TOKENS + OUTPUT_TOKENS
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}


def _completion(kind: str, choices: list[Table], **more: Any) -> Table:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_760_000_000, "model": "up", "choices": choices, **more}


def _chat_finish(said: Said) -> str:
    return said.ending("stop", "length", "tool_calls", "content_filter")


def chat_whole(said: Said) -> Table:
    message: Table = {"role": "assistant", "content": said.text or None}
    if said.thoughts:
        message["reasoning_content"] = said.thoughts
    if said.calls:
        message["tool_calls"] = _chat_calls(said, "call_")
    choice = {"index": 0, "message": message, "finish_reason": _chat_finish(said)}
    return _completion("chat.completion", [choice], usage=_chat_usage())


def _chunk(delta: Table, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse(_completion("chat.completion.chunk", [choice], **more))


def chat_pieces(said: Said) -> Iterator[bytes]:
    yield _chunk({"role": "assistant", "content": ""})
    yield from (_chunk({"reasoning_content": half}) for half in _halves(said.thoughts))
    yield from (_chunk({"content": half}) for half in _halves(said.text))
    for number, call in enumerate(_chat_calls(said, "call_")):
        begun = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
        yield _chunk({"tool_calls": [begun]})
        for half in _halves(call["function"]["arguments"]):
            yield _chunk({"tool_calls": [{"index": number, "function": {"arguments": half}}]})
    yield _chunk({}, _chat_finish(said))
    yield sse(_completion("chat.completion.chunk", [], usage=_chat_usage()), done=True)


def _mistral_content(said: Said) -> Any:
    if not said.thoughts:
        return said.text
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": said.thoughts}]}
    return [thinking, *([{"type": "text", "text": said.text}] if said.text else [])]


def _mistral_calls(said: Said) -> Table:
    calls = _chat_calls(said, "abcdefg")
    return {"tool_calls": [{**call, "index": number} for number, call in enumerate(calls)]} if calls else {}


def mistral_whole(said: Said) -> Table:
    message = {"role": "assistant", "content": _mistral_content(said), **_mistral_calls(said)}
    finish = said.ending("stop", "length", "tool_calls", "stop")
    return _completion(
        "chat.completion", [{"index": 0, "message": message, "finish_reason": finish}], usage=_chat_usage()
    )


def mistral_pieces(said: Said) -> Iterator[bytes]:
    yield _chunk({"role": "assistant", "content": ""})
    if said.thoughts:
        yield _chunk({"content": _mistral_content(Said(thoughts=said.thoughts))})
    yield from (_chunk({"content": half}) for half in _halves(said.text))
    finish = said.ending("stop", "length", "tool_calls", "stop")
    yield _chunk({"content": "", **_mistral_calls(said)}, finish, usage=_chat_usage()) + b"data: [DONE]\n\n"


# --- messages ---


def _blocks(said: Said) -> Iterator[Table]:
    if said.thoughts:
        yield {"type": "thinking", "thinking": said.thoughts, "signature": SEAL}
    if said.text:
        yield {"type": "text", "text": said.text}
    for number, (name, given) in enumerate(said.calls):
        yield {"type": "tool_use", "id": f"toolu_{said.turn}{number}", "name": name, "input": given}


def messages_whole(said: Said) -> Table:
    reason = said.ending("end_turn", "max_tokens", "tool_use", "refusal")
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": list(_blocks(said)),
        "stop_reason": reason, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


_EMPTY_BLOCKS: Mapping[str, Table] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}


def messages_pieces(said: Said) -> Iterator[bytes]:
    message = messages_whole(said)
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
    yield sse(
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}},
        named=True,
    )
    for index, block in enumerate(message["content"]):
        begun = {**block, **_EMPTY_BLOCKS[block["type"]]}
        yield sse({"type": "content_block_start", "index": index, "content_block": begun}, named=True)
        match block["type"]:
            case "thinking":
                deltas = [{"type": "thinking_delta", "thinking": half} for half in _halves(block["thinking"])]
                deltas.append({"type": "signature_delta", "signature": SEAL})
            case "text":
                deltas = [{"type": "text_delta", "text": half} for half in _halves(block["text"])]
            case _:
                given = _arguments((block["name"], block["input"])) if block["input"] else ""
                deltas = [{"type": "input_json_delta", "partial_json": half} for half in ["", *_halves(given)]]
        for delta in deltas:
            yield sse({"type": "content_block_delta", "index": index, "delta": delta}, named=True)
        yield sse({"type": "content_block_stop", "index": index}, named=True)
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield sse({"type": "message_delta", "delta": end, "usage": {"output_tokens": OUTPUT_TOKENS}}, named=True)
    yield sse({"type": "message_stop"}, named=True)


# --- responses ---


def _items(said: Said) -> Iterator[Table]:
    if said.thoughts:
        summary = [{"type": "summary_text", "text": said.thoughts}]
        yield {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": SEAL}
    if said.text or said.finish == "refusal":
        part: Table = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        if said.finish == "refusal":
            part = {"type": "refusal", "refusal": said.text}
        yield {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    for number, (name, given) in enumerate(said.calls):
        place = f"{said.turn}{number}"
        call = {"call_id": f"call_{place}", "name": name, "status": "completed"}
        if isinstance(given, str):
            yield {"type": "custom_tool_call", "id": f"ctc_{place}", "input": given, **call}
        else:
            yield {"type": "function_call", "id": f"fc_{place}", "arguments": _arguments((name, given)), **call}


def responses_whole(said: Said) -> Table:
    is_cut = said.finish == "length"
    usage = {
        "input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1_760_000_000, "model": "up", "output": list(_items(said)),
        "status": "incomplete" if is_cut else "completed", "error": None, "instructions": None, "metadata": {},
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None, "parallel_tool_calls": True,
        "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": [], "usage": usage,
    }  # fmt: skip


def responses_pieces(said: Said) -> Iterator[bytes]:
    final = responses_whole(said)
    count = iter(range(1000))

    def event(type_: str, **more: Any) -> bytes:
        return sse({"type": type_, "sequence_number": next(count), **more}, named=True)

    begun = {**final, "output": [], "status": "in_progress", "usage": None, "incomplete_details": None}
    yield event("response.created", response=begun)
    for index, item in enumerate(final["output"]):
        place: Table = {"item_id": item["id"], "output_index": index}
        match item["type"]:
            case "reasoning":
                yield event("response.output_item.added", output_index=index, item={**item, "summary": []})
                place["summary_index"] = 0
                kind, text, part = "response.reasoning_summary_text", said.thoughts, item["summary"][0]
                yield event("response.reasoning_summary_part.added", **place, part={**part, "text": ""})
                yield from (event(f"{kind}.delta", **place, delta=half) for half in _halves(text))
                yield event(f"{kind}.done", **place, text=text)
                yield event("response.reasoning_summary_part.done", **place, part=part)
            case "message":
                part = item["content"][0]
                field = "refusal" if part["type"] == "refusal" else "text"
                begun_item = {**item, "content": [], "status": "in_progress"}
                yield event("response.output_item.added", output_index=index, item=begun_item)
                place["content_index"] = 0
                kind = f"response.{part['type']}"
                yield event("response.content_part.added", **place, part={**part, field: ""})
                extra: Table = {} if field == "refusal" else {"logprobs": []}
                yield from (event(f"{kind}.delta", **place, **extra, delta=half) for half in _halves(part[field]))
                yield event(f"{kind}.done", **place, **extra, **{field: part[field]})
                yield event("response.content_part.done", **place, part=part)
            case type_:
                field = "input" if type_ == "custom_tool_call" else "arguments"
                begun_item = {**item, field: "", "status": "in_progress"}
                yield event("response.output_item.added", output_index=index, item=begun_item)
                yield from (event(f"response.{type_}_{field}.delta", **place, delta=half)
                            for half in _halves(item[field]))  # fmt: skip
                named: Table = {"name": item["name"]} if field == "arguments" else {}
                yield event(f"response.{type_}_{field}.done", **place, **named, **{field: item[field]})
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{final['status']}", response=final)


# --- gemini ---


def _candidate(said: Said, parts: list[Table], finish: str | None = None) -> Table:
    candidate: Table = {"index": 0, "content": {"role": "model", "parts": parts}}
    if finish:
        candidate["finishReason"] = finish
    usage = {
        "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS,
        "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
    }  # fmt: skip
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "up", "responseId": f"r-{said.turn}"}


def _gemini_calls(said: Said) -> list[Table]:
    calls: list[Table] = [{"functionCall": {"name": name, "args": given}} for name, given in said.calls]
    if calls and said.thoughts:
        calls[0]["thoughtSignature"] = SEAL
    return calls


def _gemini_text(said: Said, text: str) -> Table:
    # Without a call the seal stands on a text part.
    return {"text": text, **({"thoughtSignature": SEAL} if said.thoughts and not said.calls else {})}


def gemini_whole(said: Said) -> Table:
    parts: list[Table] = [{"text": said.thoughts, "thought": True}] if said.thoughts else []
    parts += [_gemini_text(said, said.text)] if said.text else []
    return _candidate(said, [*parts, *_gemini_calls(said)], said.ending("STOP", "MAX_TOKENS", "STOP", "SAFETY"))


def gemini_pieces(said: Said) -> Iterator[bytes]:
    yield from (sse(_candidate(said, [{"text": half, "thought": True}])) for half in _halves(said.thoughts))
    halves = _halves(said.text)
    yield from (sse(_candidate(said, [{"text": half}])) for half in halves[:-1])
    parts = [_gemini_text(said, half) for half in halves[-1:]] + _gemini_calls(said)
    yield sse(_candidate(said, parts, said.ending("STOP", "MAX_TOKENS", "STOP", "SAFETY")))


# --- ollama ---


def _ollama(said: Said, message: Table, **more: Any) -> Table:
    message = {"role": "assistant", "content": "", **message}
    return {"model": "up", "created_at": f"2026-11-24T10:00:0{said.turn}Z", "message": message, "done": False, **more}


def _ollama_end(said: Said) -> Table:
    return {
        "done": True, "done_reason": "length" if said.finish == "length" else "stop", "total_duration": 9,
        "load_duration": 1, "prompt_eval_count": INPUT_TOKENS, "prompt_eval_duration": 2,
        "eval_count": OUTPUT_TOKENS, "eval_duration": 3,
    }  # fmt: skip


def _ollama_calls(said: Said) -> Table:
    calls = [{"function": {"name": name, "arguments": given}} for name, given in said.calls]
    return {"tool_calls": calls} if calls else {}


def ollama_whole(said: Said) -> Table:
    thinking = {"thinking": said.thoughts} if said.thoughts else {}
    return _ollama(said, {"content": said.text, **thinking, **_ollama_calls(said)}, **_ollama_end(said))


def ollama_pieces(said: Said) -> Iterator[bytes]:
    lines = [_ollama(said, {"thinking": half}) for half in _halves(said.thoughts)]
    lines += [_ollama(said, {"content": half}) for half in _halves(said.text)]
    lines += [_ollama(said, _ollama_calls(said))] if said.calls else []
    for line in [*lines, _ollama(said, {}, **_ollama_end(said))]:
        yield json.dumps(line).encode() + b"\n"


# --- errors ---


def _openai_failure(status: int, message: str) -> Table:
    type_, code = {
        400: ("invalid_request_error", None),
        401: ("invalid_request_error", "invalid_api_key"),
        404: ("invalid_request_error", "model_not_found"),
        429: ("requests", "rate_limit_exceeded"),
    }.get(status, ("server_error", None))
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def _messages_failure(status: int, message: str) -> Table:
    types = {
        400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error",
        529: "overloaded_error",
    }  # fmt: skip
    return {"type": "error", "error": {"type": types.get(status, "api_error"), "message": message}}


def _gemini_failure(status: int, message: str) -> Table:
    words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
             503: "UNAVAILABLE"}  # fmt: skip
    return {"error": {"code": status, "message": message, "status": words.get(status, "INTERNAL")}}


def _mistral_failure(status: int, message: str) -> Table:
    return {"object": "error", "message": message, "type": "error", "param": None, "code": str(status)}


# --- together ---


@dataclass(frozen=True)
class Dialect:
    whole: Callable[[Said], Table]
    pieces: Callable[[Said], Iterable[bytes]]
    failure: Callable[[int, str], Table]
    failed_event: Callable[[Table], bytes]  # the failure in a stream, or b"": no form exists
    overloaded: int = 503
    content_type: str = "text/event-stream"


def _named(body: Table) -> bytes:
    return sse({"type": "error", "sequence_number": 9, "code": "server_error", "param": None, **body["error"]},
               named=True)  # fmt: skip


DIALECTS = {
    "chat": Dialect(chat_whole, chat_pieces, _openai_failure, sse),
    "responses": Dialect(responses_whole, responses_pieces, _openai_failure,
                         lambda body: _named({"error": {"message": body["error"]["message"]}})),
    "messages": Dialect(messages_whole, messages_pieces, _messages_failure, lambda body: sse(body, named=True), 529),
    "gemini": Dialect(gemini_whole, gemini_pieces, _gemini_failure, sse),
    "ollama": Dialect(ollama_whole, ollama_pieces, lambda _, message: {"error": message},
                      lambda body: json.dumps(body).encode() + b"\n", content_type="application/x-ndjson"),
    "mistral": Dialect(mistral_whole, mistral_pieces, _mistral_failure, lambda _: b""),
}  # fmt: skip


def whole(dialect: str, said: Said) -> Reply:
    return Reply.json(DIALECTS[dialect].whole(said))


def pieces(dialect: str, said: Said) -> list[bytes]:
    return list(DIALECTS[dialect].pieces(said))


def streamed(dialect: str, *steps: Step) -> Reply:
    return Reply(200, steps, [("content-type", DIALECTS[dialect].content_type)])


def failure(dialect: str, status: int, message: str) -> Reply:
    return Reply.json(DIALECTS[dialect].failure(status, message), status)


def is_stream(received: Received) -> bool:
    if ":" in received.target.rpartition("/")[2]:
        return ":stream" in received.target
    return bool(received.json.get("stream", received.target == "/api/chat"))


def answer(dialect: str, received: Received, said: Said) -> Reply:
    """`said` in the form that was asked for."""
    return streamed(dialect, *pieces(dialect, said)) if is_stream(received) else whole(dialect, said)


class Provider(Mock):
    """A strict mock of one dialect; `script` may be set at any time."""

    def __init__(self, dialect: str) -> None:
        super().__init__(self._said)
        self.dialect = dialect
        self.script: Script = lambda received: answer(dialect, received, Said("Hello"))

    async def __aenter__(self) -> Provider:
        await super().__aenter__()
        return self

    def _said(self, received: Received) -> Reply:
        return self.script(received)

    def be_relayed_to(self, is_relayed: bool) -> None:
        """Where the client speaks this dialect, what it says comes as it said it: whether that is right lies between
        its SDK and the provider, and is not checked."""
        self._is_strict = not is_relayed


@contextmanager
def providers() -> Iterator[tuple[dict[str, Provider], Table]]:
    """A mock of each dialect, and the configuration of a gateway before them: `over-chat` asks the one of chat. What
    a mock found wrong fails whoever entered."""
    thread = Thread()
    try:
        mocks = {dialect: thread.enter(Provider(dialect)) for dialect in DIALECTS}
        yield mocks, table_of(mocks)
        assert [problem for mock in mocks.values() for problem in mock.problems] == []
    finally:
        thread.close()


def table_of(mocks: Mapping[str, Provider]) -> Table:
    rows = {dialect: provider(mock.url_of(dialect), dialect) for dialect, mock in mocks.items()}
    return table(rows, {f"over-{dialect}": f"{dialect}/{MODELS[dialect]}" for dialect in rows})
