"""A request for Mistral: `upstream` writes it as the chat flavour "mistral", and what chat cannot say is put right.

An own request goes through as if a chat client of Mistral had sent it, since that writer keeps what came; the tier
that it would keep from Mistral is put back, and a history in which thoughts, texts and references alternate gets its
content back in its own order. Requests of others only get Mistral's forms: audio as a string, a file's id flat, a
schema for every function.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Dialect, Outgoing, Target
from ds2api.dialects.mistral.retag import retagged
from ds2api.dialects.proofs import opened_for
from ds2api.universal.envelope import PREFIX
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Extra, Opaque, Part, Reasoning, Sealed, Text
from ds2api.universal.request import Request, Turn

__all__ = ["write_request"]

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}  # the field is required of every function


def write_request(request: Request, target: Target, upstream: Dialect) -> Outgoing:
    """Raises `Problem` for what cannot be carried."""
    given: dict[str, Any] = {}
    if request.dialect == "mistral":
        given = {"service_tier": request.service_tier} if request.service_tier is not None else {}
        request = replace(retagged(request, "mistral", upstream.name), dialect=upstream.name, service_tier=None)
        for turn in request.turns:
            _keep_order(turn, upstream.name)
    outgoing = upstream.write_request(request, replace(target, flavour="mistral"))
    body = jsons.parse_object(outgoing.body)
    body |= given
    losses = Losses(target.losses)
    last = body["messages"][-1]
    if last["role"] == "system" and request.dialect not in {"mistral", upstream.name}:
        last["role"] = "user"
        reason = "the last message must be the user's: the system's was sent as one"
        losses.report("approximated", request.turns[-1].path, reason)
    for number, message in enumerate(body["messages"]):
        if isinstance(message.get("content"), list):
            path = f"messages[{number}].content"
            chunks = [_mended(chunk, path, target, losses) for chunk in message["content"]]
            message["content"] = [chunk for chunk in chunks if chunk is not None]
    for tool in body.get("tools", ()):
        if isinstance(tool.get("function"), dict):
            tool["function"].setdefault("parameters", _NO_PARAMETERS)
    prediction = body.get("prediction")
    if isinstance(prediction, dict) and isinstance(prediction.get("content"), list):
        texts = [part.get("text", "") for part in prediction["content"] if isinstance(part, dict)]
        body["prediction"] = {**prediction, "content": "".join(texts)}
    outgoing.body = jsons.dump(body)
    outgoing.losses += losses.items
    return outgoing


def _keep_order(turn: Turn, name: str) -> None:
    """An assistant's content as it came, where chat's writer would put the thoughts in front or refuse a part."""
    chunks = [part for part in turn.parts if isinstance(part, Text | Reasoning | Opaque)]
    is_plain = turn.role != "assistant" or not any(
        isinstance(part, Opaque) or (isinstance(part, Reasoning) and index) for index, part in enumerate(chunks)
    )
    if is_plain:
        return
    content = [_own_chunk(part, name) for part in chunks]
    turn.parts = [part for part in turn.parts if not isinstance(part, Text | Reasoning | Opaque)]
    turn.extra = Extra(name, {**(turn.extra.fields if turn.extra is not None else {}), "content": content})


def _own_chunk(part: Part, name: str) -> dict[str, Any]:
    match part:
        case Opaque():
            return part.data
        case Reasoning():
            came = part.extra.get(name).get("thinking") if part.extra is not None else None
            return came or {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
        case Text():
            return {"type": "text", "text": part.text}
    raise AssertionError(f"{type(part).__name__} is no chunk")  # `_keep_order` gives no other


def _mended(chunk: dict[str, Any], path: str, target: Target, losses: Losses) -> dict[str, Any] | None:
    """`chunk` in Mistral's form; None for a thought that another provider proved."""
    match chunk:
        case {"type": "input_audio", "input_audio": {"data": str(data)}}:
            return {"type": "input_audio", "input_audio": data}
        case {"type": "file", "file": {"file_id": str(identity)}}:
            return {"type": "file", "file_id": identity}
        case {"type": "thinking", "signature": str(proof)} if proof.startswith(PREFIX):
            signature = _opened(proof, target)
            if signature is None:
                losses.report("dropped", path, "it was sealed by another provider, model or account")
                return None
            return {**chunk, "signature": signature}
    return chunk


def _opened(proof: str, target: Target) -> str | None:
    """The signature inside our envelope, if Mistral made it at this very place."""
    opened, _ = opened_for(target, Sealed("openrouter", proof))
    if opened is None:
        return None
    try:
        carrier = jsons.parse(opened.data)
    except jsons.JsonError:
        return None
    signature = carrier.get("signature") if isinstance(carrier, dict) else None
    return signature if isinstance(signature, str) else None
