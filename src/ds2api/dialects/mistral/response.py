"""A whole answer for a Mistral client: universal → wire. Content is a string where it is text alone, else chunks in
the order in which they were made, thoughts among them."""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Asker
from ds2api.dialects.mistral.chunks import (
    FAMILY,
    image_chunk,
    text_chunk,
    thinking_chunk,
    written_call,
    written_signature,
)
from ds2api.dialects.mistral.finish import finish_word
from ds2api.dialects.openai_usage import written_usage
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Call, Image, Opaque, Part, Reasoning, Refusal, Text
from ds2api.universal.response import Choice, Response
from ds2api.universal.usage import Usage

__all__ = ["write_response"]


def write_response(response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
    """Raises `Problem` for a call that the provider could not finish (R028)."""
    losses: list[Loss] = []
    body = {
        "id": response.id or asker.new_id(),
        "object": "chat.completion",
        "created": response.created or asker.created,
        "model": asker.model,
        "choices": [_choice(choice, asker, losses) for choice in response.choices],
        "usage": written_usage(response.usage or Usage(), "chat"),
    }
    if response.usage is None:
        losses.append(Loss("estimated", "usage", "the provider told no usage: 0 was written"))
    return jsons.dump(body), list(dict.fromkeys(losses))


def _choice(choice: Choice, asker: Asker, losses: list[Loss]) -> dict[str, Any]:
    if choice.finish is not None and choice.finish.reason == "malformed_tool":
        raise Problem(Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, "The model made a malformed tool call."))
    chunks: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in choice.parts:
        if isinstance(part, Call):
            identity = part.id or asker.new_id()
            calls.append(written_call(identity, part.name, part.arguments, len(calls), custom=part.custom))
        else:
            chunks += _chunks(part, asker, losses)
    is_plain = all(chunk["type"] == "text" for chunk in chunks)
    content = "".join(chunk["text"] for chunk in chunks) if is_plain else chunks
    message: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": calls or None}
    written = {"index": choice.index, "message": message, "finish_reason": finish_word(choice.finish, losses)}
    if choice.logprobs is not None:
        written["logprobs"] = {"content": [], **choice.logprobs}
    return written


def _chunks(part: Part, asker: Asker, losses: list[Loss]) -> list[dict[str, Any]]:
    match part:
        case Text():
            if part.citations:
                losses.append(Loss("dropped", "citations", "citations have no form in this protocol"))
            return [text_chunk(part.text)]
        case Refusal():
            losses.append(Loss("approximated", "refusal", "Mistral has no refusals: it was written as text"))
            return [text_chunk(part.text)]
        case Reasoning():
            chunk = thinking_chunk(part.text) | {"closed": True}
            if part.sealed is not None:
                signature = written_signature(part.sealed, asker)
                if signature is None:
                    losses.append(Loss("dropped", "signature", "nothing can carry the proof of this thought"))
                else:
                    chunk["signature"] = signature
            return [chunk]
        case Opaque(kind="reference") if part.dialect in FAMILY:
            return [part.data]
        case Image() if part.source.data is not None:
            return [image_chunk(part.source.media_type, part.source.data)]
    kind = getattr(part, "kind", type(part).__name__.lower())
    losses.append(Loss("dropped", kind, f"{kind} has no form in this protocol"))
    return []
