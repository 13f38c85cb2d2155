"""A whole chat answer: wire → universal.

Total in small things (a field of an odd type is not there), strict in one: an answer without choices is no answer,
and a 200 that holds an error is that error. What only chat knows of a message is a note of kind "delta", as in a
stream, so that both lanes of `gather` give the same.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.answer_in import (
    CHOICE_FIELDS,
    CHUNK_FIELDS,
    MESSAGE_FIELDS,
    call_id_for,
    read_citation,
    read_logprobs,
    rest_of,
)
from ds2api.dialects.chat.errors import read_chunk_error
from ds2api.dialects.chat.finish import failure_of, read_finish
from ds2api.dialects.chat.media_in import audio_of, images_of
from ds2api.dialects.chat.reasoning import google_proof, read_reasoning, sealed_in, thinking_part
from ds2api.dialects.openai_usage import read_usage
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.parts import Call, Extra, Opaque, Part, Refusal, Text
from ds2api.universal.response import Choice, Response
from ds2api.universal.usage import Usage

__all__ = ["read_response", "read_usage_alone"]

_PLAIN = frozenset({"role", "content"})


def read_response(body: dict[str, Any]) -> Response:
    """Raises `Problem` with the provider's error, or UPSTREAM_BROKEN."""
    choices = _choices_of(body)
    identity, model, created = body.get("id"), body.get("model"), body.get("created")
    response = Response(
        identity if isinstance(identity, str) and identity else None,
        model if isinstance(model, str) and model else None,
        created if isinstance(created, int) and created else None,
        extra=Extra("chat", rest_of(body, CHUNK_FIELDS)),
    )
    if isinstance(body.get("usage"), dict):
        response.usage = read_usage(body["usage"], "chat")
    for place, choice in enumerate(choices):
        response.choices.append(_read_choice(choice, place, response))
    return response


def read_usage_alone(body: dict[str, Any]) -> Usage | None:
    """The counters of a whole answer that is relayed. Raises `Problem` as `read_response` does."""
    for choice in _choices_of(body):
        word = choice.get("finish_reason")
        failure = failure_of(word if isinstance(word, str) else None) if word != "stop" else None
        if failure is not None:
            raise Problem(read_chunk_error(choice) if choice.get("error") else failure)
    usage = body.get("usage")
    return read_usage(usage, "chat") if isinstance(usage, dict) else None


def _choices_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    choices = body.get("choices")
    if body.get("error") and not choices:
        raise Problem(read_chunk_error(body))
    if isinstance(choices, list) and choices:
        for choice in choices:
            if not isinstance(choice, dict):
                break
        else:
            return choices
    raise Problem(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, "The provider's answer holds no choices."))


def _read_choice(choice: dict[str, Any], place: int, response: Response) -> Choice:
    index = choice.get("index")
    index = index if isinstance(index, int) and index >= 0 else place
    word = choice.get("finish_reason")
    word = word if isinstance(word, str) else None
    failure = failure_of(word)
    if failure is not None:
        error = choice.get("error") or {}
        raise Problem(read_chunk_error({"error": error}) if error else failure)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    parts, left = _read_message(message, response.id)
    if left:
        response.notes.append(Opaque("chat", "delta", {"index": index, "fields": left}))
    kinds = set(map(type, parts))
    finish = read_finish(
        word,
        choice,
        index=index,
        has_calls=Call in kinds,
        has_refusal=Refusal in kinds,
    )
    rest = rest_of(choice, CHOICE_FIELDS)
    finish.extra = Extra("chat", rest) if rest else None
    return Choice(index, parts, finish, read_logprobs(choice.get("logprobs")))


def _read_message(message: dict[str, Any], response_id: str | None) -> tuple[list[Part], dict[str, Any]]:
    said = {name for name, value in message.items() if value is not None and value not in ("", [], {})}
    if said <= _PLAIN and isinstance(content := message.get("content"), str):  # as nearly all are
        return ([Text(content)] if content else []), {}
    left = rest_of(message, MESSAGE_FIELDS)
    parts: list[Part] = [*read_reasoning(message, "")]
    parts += _read_content(message.get("content"))
    _read_annotations(message.get("annotations"), parts, left)
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Refusal(refusal))
    audio = audio_of(message.get("audio"))
    if audio is not None:
        parts.append(audio)
    parts += images_of(message.get("images"))
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        read = _read_call(call, number, response_id)
        if read is not None:
            parts.append(read)
    function = message.get("function_call")
    if isinstance(function, dict) and function.get("name"):
        arguments = _text_of(function.get("arguments"))
        parts.append(Call(call_id_for(response_id, 0), _text_of(function["name"]), arguments))
    return parts, left


def _read_content(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Part] = []
    for chunk in content if isinstance(content, list) else ():  # Mistral's
        if not isinstance(chunk, dict):
            continue
        if chunk.get("type") == "thinking":
            parts.append(thinking_part(chunk, ""))
        elif isinstance(chunk.get("text"), str):
            if chunk["text"]:
                parts.append(Text(chunk["text"]))
        else:
            parts.append(Opaque("chat", str(chunk.get("type")), chunk))
    return parts


def _read_annotations(annotations: Any, parts: list[Part], left: dict[str, Any]) -> None:
    """Citations belong to the text; an answer that has only them gets an empty one (R013)."""
    if not isinstance(annotations, list) or not annotations:
        return
    citations = []
    others = []
    for annotation in annotations:
        citation = read_citation(annotation)
        if citation is None:
            others.append(annotation)
        else:
            citations.append(citation)
    if citations:
        text = next((part for part in parts if isinstance(part, Text)), None)
        if text is None:
            text = Text("")
            parts.append(text)
        text.citations += citations
    if others:
        left["annotations"] = others


def _read_call(value: Any, number: int, response_id: str | None) -> Call | None:
    if not isinstance(value, dict):
        return None
    function, custom = value.get("function"), value.get("custom")
    is_custom = value.get("type") == "custom" or not isinstance(function, dict)
    inner = custom if is_custom else function
    if not isinstance(inner, dict):
        return None
    name = _text_of(inner.get("name"))
    text = _text_of(inner.get("input" if is_custom else "arguments"))
    if not name and not text:
        return None
    call = Call(_text_of(value.get("id")) or call_id_for(response_id, number), name, text, custom=is_custom)
    content = value.get("extra_content")
    proof = google_proof(content)
    if isinstance(content, dict) and proof:
        call.signature = sealed_in(proof, content)
    return call


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else jsons.dump(value).decode()  # arguments as an object: Mistral may
