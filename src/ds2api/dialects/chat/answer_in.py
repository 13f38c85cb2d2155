"""Pieces of a chat answer that whole answers and chunks have in common: wire → universal. Total: what has another
type than expected is not there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from ds2api.universal.parts import Citation, Extra

__all__ = [
    "CHOICE_FIELDS",
    "CHUNK_FIELDS",
    "MESSAGE_FIELDS",
    "call_id_for",
    "read_citation",
    "read_logprobs",
    "rest_of",
]

CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation", "error"})
CHOICE_FIELDS = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "usage"})
# `channel` (Groq) only says again whether a delta is reasoning; `index` was seen to repeat the choice's.
MESSAGE_FIELDS = frozenset({
    "role", "content", "refusal", "tool_calls", "function_call", "annotations", "audio", "images",
    "reasoning_content", "reasoning", "reasoning_details", "channel", "index",
})  # fmt: skip


def rest_of(fields: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """What is not `known` and says anything: neither null nor empty."""
    if isinstance(known, frozenset) and fields.keys() <= known:
        return {}
    return {name: value for name, value in fields.items() if name not in known and value not in (None, "", [], {})}


def read_citation(annotation: Any) -> Citation | None:
    """A `url_citation`; None for any other annotation (OpenRouter's parsed files)."""
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    said = annotation.get("url_citation")
    said = said if isinstance(said, dict) else annotation
    start, end = said.get("start_index"), said.get("end_index")
    rest = rest_of(said, ("url", "title", "start_index", "end_index", "type"))
    return Citation(
        "url",
        said.get("url") if isinstance(said.get("url"), str) else None,
        said.get("title") if isinstance(said.get("title"), str) else None,
        None,
        start if isinstance(start, int) else None,
        end if isinstance(end, int) else None,
        Extra("chat", rest) if rest else None,
    )


def read_logprobs(value: Any) -> dict[str, Any] | None:
    """None where both lists are empty or missing."""
    if not isinstance(value, dict):
        return None
    return value if any(value.values()) else None


def call_id_for(response_id: str | None, number: int) -> str:
    """An id for a call that came without one: the same whenever it is read, and no other answer has it."""
    return "call_" + hashlib.sha256(f"{response_id}/{number}".encode()).hexdigest()[:24]
