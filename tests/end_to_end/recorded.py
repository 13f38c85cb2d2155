"""What a recording says, read without `ds2api`: text, calls, finish and usage, to hold what SDKs see against."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dialects.chat import recordings as chat_recordings
from tests.dialects.gemini import recordings as gemini_recordings
from tests.dialects.messages import recordings as messages_recordings
from tests.dialects.mistral import recordings as mistral_recordings
from tests.dialects.responses import recordings as responses_recordings

__all__ = ["ANSWERS", "OTHERS", "REQUESTS", "Recorded", "Told"]

# Damaged on purpose (two answers spliced into one): a stream that no reader can end well.
_BROKEN = {"anthropic-spliced-message-start", "anthropic-duplicate-message-start"}
# Most of its deltas were left out by those who recorded it: its parts and its whole differ.
_BROKEN |= {"openai-openai-phase.1"}
# Its picture was cut in the middle by those who took the secrets out: no base64, and no fault of a translation.
_REDACTED = {"multimodal_tool_returns-multimodal_tool_return_matrix-direct-url_force_download-image-goog.3"}


@dataclass
class Told:
    """What the provider told. `input_total` holds all cached tokens; None: it said nothing."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None  # the provider's own word
    refusal: str = ""
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
    told.refusal = message.get("refusal") or ""
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
            told.refusal += delta.get("refusal") or ""
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


def _responses_whole(body: Any) -> Told | None:
    if body.get("object") != "response" or body.get("status") not in ("completed", "complete", "incomplete"):
        return None
    details = body.get("incomplete_details") or {}
    told = Told(finish="/".join(word for word in (body["status"], details.get("reason")) if word))
    for item in body["output"]:
        for part in item.get("content") or [] if item["type"] == "message" else []:
            told.text += part.get("text") or ""
            told.refusal += part.get("refusal") or ""
        if item["type"] == "function_call":
            told.calls.append((item["name"], _parsed(item["arguments"])))
        elif item["type"] == "custom_tool_call":
            told.calls.append((item["name"], item["input"]))
    usage = body.get("usage") or {}
    told.input_total = usage.get("input_tokens")
    told.outputs = {usage.get("output_tokens") or 0}
    return told


def _responses_stream(stream: bytes) -> Told | None:
    """The last event holds all of it, but for a few gateways' that leave the items out there."""
    items, final = [], None
    for event in _events(stream):
        if event["type"] == "response.output_item.done":
            items.append(event["item"])
        elif event["type"] in ("response.completed", "response.incomplete"):
            final = event["response"]
    return _responses_whole({**final, "output": final.get("output") or items}) if final else None


def _gemini(chunks: Iterable[Any]) -> Told | None:
    told = Told()
    usage: dict[str, Any] = {}
    for chunk in chunks:
        if "error" in chunk:
            return None
        blocked = (chunk.get("promptFeedback") or {}).get("blockReason")
        told.finish = "SAFETY" if blocked else told.finish
        for candidate in (chunk.get("candidates") or [])[:1]:
            told.finish = candidate.get("finishReason") or told.finish
            for part in (candidate.get("content") or {}).get("parts") or []:
                told.text += part.get("text") or "" if not part.get("thought") else ""
                call = part.get("functionCall")
                if call is not None and call.get("name"):
                    told.calls.append((call["name"], call.get("args") or {}))
                for piece in (call or {}).get("partialArgs") or []:
                    _put_piece(told.calls[-1][1], piece)
        usage |= chunk.get("usageMetadata") or {}
        if "promptTokenCount" in usage:
            told.input_total = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
            parts = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
            told.outputs = {parts, usage.get("totalTokenCount", 0) - told.input_total}
    return told


def _put_piece(arguments: dict[str, Any], piece: dict[str, Any]) -> None:
    """One of `partialArgs`: a value, or the next part of a string, at a JSON path."""
    *way, last = (int(one) if one.isdigit() else one for one in re.findall(r"\w+", piece["jsonPath"]))
    place: Any = arguments
    for one, following in zip(way, [*way, last][1:], strict=True):
        if isinstance(place, list) and len(place) == one:
            place.append([] if isinstance(following, int) else {})
        elif isinstance(place, dict):
            place.setdefault(one, [] if isinstance(following, int) else {})
        place = place[one]
    value = next((given for name, given in piece.items() if name.endswith("Value")), None)
    if isinstance(place, list):
        place += [""] if len(place) == last and isinstance(value, str) else [None] if len(place) == last else []
    if isinstance(value, str):
        value = (place[last] if isinstance(place, list) else place.get(last, "")) + value
    place[last] = value


def _answers() -> Iterable[Recorded]:
    for dialect, kept_chat in (("chat", chat_recordings), ("mistral", mistral_recordings)):
        for one in kept_chat.RESPONSES:
            told = _chat_whole(one.response) if one.status == 200 else None
            yield Recorded(one.name, dialect, one.status, False, one.raw_response, told)
        for one in kept_chat.STREAMS:
            yield Recorded(one.name, dialect, one.status, True, one.stream, _chat_stream(one.stream))
    for kept in messages_recordings.RESPONSES:
        body = (kept.folder / "response.json").read_bytes()
        yield Recorded(kept.name, "messages", kept.status, False, body, _messages_whole(json.loads(body)))
    for kept in messages_recordings.STREAMS:
        if kept.name not in _BROKEN:
            for number, stream in enumerate(messages_recordings.streams_of(kept)):
                name = kept.name if number == 0 else f"{kept.name}#{number}"
                yield Recorded(name, "messages", kept.status, True, stream, _messages_stream(stream))
    for item in responses_recordings.RESPONSES:
        body = (item.folder / "response.json").read_bytes()
        if item.response.get("status") == "queued":
            continue  # of a request in the background, which is refused wherever the gateway would have to translate it
        yield Recorded(item.name, "responses", 200, False, body, _responses_whole(json.loads(body)))
    for item in responses_recordings.STREAMS:
        if item.name in _BROKEN:
            continue
        for number, stream in enumerate(responses_recordings.streams_of(item)):
            name = item.name if number == 0 else f"{item.name}#{number}"
            yield Recorded(name, "responses", 200, True, stream, _responses_stream(stream))
    for held in gemini_recordings.RESPONSES:
        body = (held.folder / "response.json").read_bytes()
        yield Recorded(held.name, "gemini", 200, False, body, _gemini([json.loads(body)]))
    for held in gemini_recordings.STREAMS:
        yield Recorded(held.name, "gemini", 200, True, held.stream, _gemini(_events(held.stream)))


def _requests() -> Iterable[tuple[str, str, bytes]]:
    for dialect, kept in (
        ("chat", chat_recordings.REQUESTS),
        ("mistral", mistral_recordings.REQUESTS),
        ("messages", messages_recordings.REQUESTS),
        ("responses", responses_recordings.REQUESTS),
        ("gemini", gemini_recordings.REQUESTS),
    ):
        for one in kept:
            if one.name not in _REDACTED and json.loads((one.folder / "meta.json").read_text())["status"] == 200:
                yield dialect, one.name, (one.folder / "request.json").read_bytes()


def _others() -> Iterable[tuple[str, bytes, bytes]]:
    """Traffic in protocols of which the gateway only moves the bytes: request and answer."""
    for protocol in ("cohere", "gemini-interactions"):
        for folder in sorted((_BESIDE / protocol).iterdir()) if (_BESIDE / protocol).is_dir() else ():
            request, kinds = folder / "request.json", (folder / "response.json", folder / "stream.sse")
            sent = request.read_bytes() if request.exists() else b"{}"
            for kind in kinds:
                if kind.exists():
                    yield f"{protocol}-{folder.name}", sent, kind.read_bytes()


_BESIDE = Path(__file__).parents[2].parent / "shared" / "recorded"
ANSWERS = list(_answers())
REQUESTS = list(_requests())
OTHERS = list(_others())
