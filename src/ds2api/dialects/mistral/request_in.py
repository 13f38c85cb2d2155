"""A Mistral client's request: wire → universal.

It is chat's but for some forms, which are put into chat's first; `upstream` reads the rest, so that a field means the
same in both. What `as_chat` changes: a file's flat `file_id`, content that may be null, ids of calls that may be left
out (the SDK then writes "null": a result belongs to the first waiting call of its name). `reference` chunks, which
chat does not know, pass as empty texts with a field of that name and become `Opaque` parts.

A client's history is taken in the order in which it stands: which orders are accepted is the provider's affair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Dialect
from ds2api.dialects.mistral.retag import retagged
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Audio, Extra, Opaque, Part, Result, Text
from ds2api.universal.request import Request, Turn

__all__ = ["as_chat", "read_request"]

_REFERENCES = "reference_ids"
# How files of sound begin, in base64: RIFF, ID3 and the two frame heads of MPEG, Ogg, FLAC.
_AUDIO = (("UklGR", "wav"), ("SUQz", "mp3"), ("//s", "mp3"), ("//M", "mp3"), ("T2dn", "ogg"), ("ZkxhQ", "flac"))
# A client that asks for these counts on them; without them the answer may be one that it must not show.
_GRAVE = frozenset({"guardrails", "safe_prompt"})


def read_request(body: dict[str, Any], upstream: Dialect) -> Request:
    """Raises `Problem` naming the field."""
    twice = jsons.first_duplicate(body, levels=3)  # before anything is copied
    if twice is not None:
        raise Problem.bad_request(f"{twice}: stands twice in the same object; send it once", twice)
    request = retagged(upstream.read_request(as_chat(body), {}, ""), upstream.name, "mistral")
    request.dialect = "mistral"
    for turn in request.turns:
        turn.parts = [_named_audio(_reference_or(part)) for part in turn.parts]
        for part in turn.parts:
            if isinstance(part, Result):
                part.content = [_reference_or(inner) for inner in part.content]
    _read_prefix(request.turns[-1:])
    request.paths = {**request.paths, "seed": "random_seed"}
    if request.extra is not None:
        fields = {name: value for name, value in request.extra.fields.items() if value is not False and value != []}
        request.extra = Extra("mistral", fields, _GRAVE) if fields else None
    return request


def as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """`body` in chat's forms; what has no known form is left for the reader to refuse."""
    changed = dict(body)
    if "messages" not in body and "prompt" in body:  # fill in the middle, of which only routing reads anything
        texts = [text for name in ("prompt", "suffix") if isinstance(text := body.get(name), str)]
        changed["messages"] = [{"role": "user", "content": "".join(texts)}]
    elif isinstance(body.get("messages"), list):
        waiting: list[tuple[str, str]] = []  # name and id of calls without a result
        changed["messages"] = [
            _message(one, index, waiting) if isinstance(one, dict) else one
            for index, one in enumerate(body["messages"])
        ]
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") is None and not form.get("json_schema"):
        del changed["response_format"]  # the SDK's empty object asks for nothing
    return changed


def _message(message: dict[str, Any], index: int, waiting: list[tuple[str, str]]) -> dict[str, Any]:
    changed = dict(message)
    role, content = message.get("role"), message.get("content")
    if content is None and "content" in message and role in ("user", "tool"):
        changed["content"] = ""
    elif isinstance(content, list):
        changed["content"] = [_chunk(one) if isinstance(one, dict) else one for one in content]
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        changed["tool_calls"] = [_call(one, f"call_{index}_{at}", waiting) for at, one in enumerate(calls)]
    if role == "tool":
        name, identity = message.get("name"), message.get("tool_call_id")
        if identity in (None, "null"):
            known = next((one for one in waiting if one[0] == name), waiting[0] if waiting else None)
            if known is None:
                path = f"messages[{index}].tool_call_id"
                raise Problem.bad_request(f"{path}: required, since no call is waiting for a result", path)
            changed["tool_call_id"] = identity = known[1]
        waiting[:] = [one for one in waiting if one[1] != identity]
    return changed


def _call(call: Any, own_id: str, waiting: list[tuple[str, str]]) -> Any:
    if not isinstance(call, dict):
        return call
    changed = dict(call)
    if call.get("id") in (None, "null"):
        changed["id"] = own_id
    function = call.get("function")
    name, identity = function.get("name") if isinstance(function, dict) else None, changed["id"]
    if isinstance(name, str) and isinstance(identity, str):
        waiting.append((name, identity))
    return changed


def _chunk(chunk: dict[str, Any]) -> dict[str, Any]:
    match chunk.get("type"):
        case "file" if "file_id" in chunk and "file" not in chunk:
            return {"type": "file", "file": {"file_id": chunk["file_id"]}}
        case "reference" if isinstance(chunk.get(_REFERENCES), list):
            return {"type": "text", "text": "", _REFERENCES: chunk[_REFERENCES]}
    return chunk


def _read_prefix(last: list[Turn]) -> None:
    """`prefix` says what an assistant's turn at the end means in every other dialect anyway."""
    for turn in last:
        if turn.role == "assistant" and turn.extra is not None and turn.extra.fields.get("prefix") is True:
            fields = {name: value for name, value in turn.extra.fields.items() if name != "prefix"}
            turn.extra = replace(turn.extra, fields=fields) if fields else None


def _named_audio(part: Part) -> Part:
    """With its format, which Mistral's clients never say and every other provider wants to know."""
    if not isinstance(part, Audio) or part.format is not None or part.source.data is None:
        return part
    data = part.source.data
    return replace(part, format=next((name for begin, name in _AUDIO if data.startswith(begin)), None))


def _reference_or(part: Part) -> Part:
    references = part.extra.get("mistral").get(_REFERENCES) if isinstance(part, Text) and part.extra else None
    if references is None:
        return part
    return Opaque("mistral", "reference", {"type": "reference", _REFERENCES: references}, getattr(part, "path", ""))
