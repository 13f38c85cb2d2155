"""Reasoning in chat's messages: four spellings, none of them OpenAI's, and how each is read.

* `reasoning_content` (DeepSeek, llama.cpp, many clients) and `reasoning` (vLLM, Groq, OpenRouter): one string;
* `reasoning_details` (OpenRouter): entries of text, summary or encrypted data, with a signature each, to be sent
  back as they came; usually beside the same text in `reasoning`, which must count once (R025);
* `thinking_blocks` and `thinking` parts (Mistral; clients that keep Anthropic's blocks).

What proves reasoning is a `Sealed` of kind "openrouter" whose data is the chat carrier itself as JSON, without its
text: a provider's proof is given back in the shape it came in. Our own envelope (`universal.envelope`) travels in
`signature` or `data` of an entry and is kept as found; only a writer opens it.

`extra` of a part read here holds the fields as they came, so that a chat server gets its own bytes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Extra, Reasoning, Sealed

__all__ = [
    "TEXT_FIELDS",
    "carrier_of",
    "detail_key",
    "google_proof",
    "read_reasoning",
    "sealed_in",
    "thinking_part",
    "written_detail",
]

TEXT_FIELDS = ("reasoning_content", "reasoning")

# OpenRouter's words for whose form a proof has; its clients check against them.
_FORMATS = {
    "anthropic_signature": "anthropic-claude-v1",
    "anthropic_redacted": "anthropic-claude-v1",
    "openai_encrypted": "openai-responses-v1",
    "gemini_signature": "google-gemini-v1",
}


def read_reasoning(message: Mapping[str, Any], path: str, *, keep_empty: bool = False) -> list[Reasoning]:
    """The reasoning of one message, each thought once. Total: what has another type than expected is not there.
    With `keep_empty` an empty string counts too: DeepSeek wants to see the field again (R067)."""
    texts = {name: text for name in TEXT_FIELDS if isinstance(text := message.get(name), str) and (text or keep_empty)}
    parts = _read_details(message.get("reasoning_details"), path)
    if texts and not any(part.text for part in parts):
        name = max(texts, key=lambda one: bool(texts[one]))
        parts.insert(0, Reasoning(texts[name], path=f"{path}.{name}".removeprefix("."), extra=Extra("chat", {})))
    if parts and texts:
        first = parts[0].extra
        parts[0].extra = Extra("chat", {**texts, **(first.fields if first is not None else {})})
    return parts


def thinking_part(block: Mapping[str, Any], path: str) -> Reasoning:
    """A `thinking` or `redacted_thinking` block: Mistral's (a list of texts) or Anthropic's (text and signature)."""
    thought = block.get("thinking")
    if isinstance(thought, list):
        text = "".join(one["text"] for one in thought if isinstance(one, dict) and isinstance(one.get("text"), str))
    else:
        text = thought if isinstance(thought, str) else ""
    proof = block.get("signature") or block.get("data")
    sealed = None
    if isinstance(proof, str) and proof:
        sealed = sealed_in(proof, {name: value for name, value in block.items() if name != "thinking"})
    redacted = block.get("type") == "redacted_thinking"
    return Reasoning(text, sealed, redacted=redacted, path=path, extra=Extra("chat", {"thinking": dict(block)}))


def sealed_in(proof: str, carrier: Mapping[str, Any]) -> Sealed:
    """`proof` as found in `carrier`: our own envelope unopened, or the carrier itself."""
    if proof.startswith(PREFIX):
        return Sealed("openrouter", proof)
    return Sealed("openrouter", jsons.dump(carrier).decode())


def carrier_of(sealed: Sealed) -> dict[str, Any] | None:
    """The chat carrier inside a proof that a chat server made; None for any other proof."""
    if sealed.kind != "openrouter" or sealed.data.startswith(PREFIX):
        return None
    try:
        carrier = jsons.parse(sealed.data)
    except jsons.JsonError:
        return None
    return carrier if isinstance(carrier, dict) else None


def google_proof(content: Any) -> str:
    """The thought signature in `extra_content` of a call (Google's chat layer); empty where there is none."""
    google = content.get("google") if isinstance(content, dict) else None
    proof = google.get("thought_signature") if isinstance(google, dict) else None
    return proof if isinstance(proof, str) else ""


def written_detail(sealed: Sealed, envelope: str, index: int, *, summary: bool, has_text: bool) -> dict[str, Any]:
    """The entry of `reasoning_details` that carries `envelope`: beside text it is the text's signature."""
    form = _FORMATS.get(sealed.kind, "unknown")
    if not has_text:
        return {"type": "reasoning.encrypted", "data": envelope, "format": form, "index": index}
    kind = "reasoning.summary" if summary else "reasoning.text"
    return {"type": kind, "signature": envelope, "format": form, "index": index}


def detail_key(entry: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Entries with the same key are pieces of one; None: one of its own."""
    index = entry.get("index")
    return None if index is None else (entry.get("type"), index)


def _read_details(details: Any, path: str) -> list[Reasoning]:
    if not isinstance(details, list):
        return []
    parts: list[Reasoning] = []
    group: list[dict[str, Any]] = []
    first = 0
    for number, entry in enumerate(details):
        if not isinstance(entry, dict):
            continue
        if group and (detail_key(entry) is None or detail_key(entry) != detail_key(group[0])):
            parts.append(_of_group(group, f"{path}.reasoning_details[{first}]"))
            group = []
        if not group:
            first = number
        group.append(entry)
    if group:
        parts.append(_of_group(group, f"{path}.reasoning_details[{first}]"))
    return parts


def _of_group(group: list[dict[str, Any]], path: str) -> Reasoning:
    whole: dict[str, Any] = {}
    pieces: list[str] = []
    for entry in group:
        for name, value in entry.items():
            if name in ("text", "summary"):
                pieces.append(value if isinstance(value, str) else "")
            elif value is not None:
                whole[name] = value
    proof = whole.get("signature") or whole.get("data")
    identity = whole.get("id")
    return Reasoning(
        "".join(pieces),
        sealed_in(proof, whole) if isinstance(proof, str) and proof else None,
        summary=whole.get("type") == "reasoning.summary",
        redacted=whole.get("type") == "reasoning.encrypted",
        id=identity if isinstance(identity, str) else None,
        path=path.removeprefix("."),
        extra=Extra("chat", {"reasoning_details": group}),
    )
