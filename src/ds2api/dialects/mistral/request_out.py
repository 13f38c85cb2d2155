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
from ds2api.dialects.mistral.fill_in import write_fill_in
from ds2api.dialects.mistral.retag import retagged
from ds2api.dialects.proofs import opened_for
from ds2api.universal.envelope import PREFIX
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Extra, File, Opaque, Part, Reasoning, Refusal, Sealed, Text
from ds2api.universal.request import Request, Turn

__all__ = ["write_request"]

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}  # the field is required of every function


def write_request(request: Request, target: Target, upstream: Dialect) -> Outgoing:
    """Raises `Problem` for what cannot be carried."""
    if request.suffix is not None:
        return write_fill_in(request, target)
    given: dict[str, Any] = {}
    losses = Losses(target.losses)
    if request.dialect == "mistral":
        given = {"service_tier": request.service_tier} if request.service_tier is not None else {}
        request = replace(retagged(request, "mistral", upstream.name), dialect=upstream.name, service_tier=None)
        for turn in request.turns:
            _keep_order(turn, upstream.name)
    else:
        _refuse_foreign_files(request, losses)
        request = _without_hosted(request, losses)
    request = replace(request, turns=[_spoken(turn, losses) for turn in request.turns])
    outgoing = upstream.write_request(request, replace(target, flavour="mistral"))
    body = jsons.parse_object(outgoing.body)
    body |= given
    last = body["messages"][-1] if body["messages"] else {"role": ""}  # none: Mistral names it
    if last["role"] == "assistant":
        last["prefix"] = True  # a 400 without it (code 3230): Mistral goes on from an assistant only when told to
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


def _refuse_foreign_files(request: Request, losses: Losses) -> None:
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, File) and part.source.file_id is not None:
                raise losses.refuse(part.path, "the document's file id is known to another provider only")


def _without_hosted(request: Request, losses: Losses) -> Request:
    """Tools that another provider runs, which chat's writer would leave to a chat client's own server."""
    hosted = [tool for tool in request.tools if tool.hosted]
    choice = request.tool_choice
    for tool in hosted:
        if choice is not None and choice.mode == "named" and choice.name in {tool.name, tool.kind}:
            raise losses.refuse(choice.path, f'"{tool.kind}" is run by another provider')
        losses.report("dropped", tool.path, f'"{tool.kind}" is run by another provider: it is not offered')
    kept = [tool for tool in request.tools if not tool.hosted]
    return replace(request, tools=kept, tool_choice=choice if kept else None) if hosted else request


def _spoken(turn: Turn, losses: Losses) -> Turn:
    """`turn` with its refusals as text: Mistral's messages have no such field (a 422)."""
    if not any(isinstance(part, Refusal) for part in turn.parts):
        return turn
    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Refusal):
            losses.report("approximated", part.path, "Mistral has no refusals: it was sent as text")
            part = Text(part.text, path=part.path)
        parts.append(part)
    return replace(turn, parts=parts)


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
