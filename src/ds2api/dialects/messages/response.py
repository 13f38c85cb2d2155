"""Whole answers. A message that came in one piece is a stream whose start holds everything, so it is read by the
decoder and folded: a stream and a whole answer cannot differ in meaning. Written straight from the parts.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.contract import Asker
from ds2api.dialects.messages import proofs
from ds2api.dialects.messages.citations import write_citation
from ds2api.dialects.messages.decoder import MESSAGE_FIELDS, MessagesDecoder
from ds2api.dialects.messages.errors import broken, read_stream_error
from ds2api.dialects.messages.finish import read_finish, write_finish
from ds2api.dialects.messages.naming import call_id, message_id
from ds2api.dialects.messages.parts_out import own_fields
from ds2api.dialects.messages.usage import read_usage, write_usage
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.estimate import BYTES_PER_TOKEN
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Call, Extra, Opaque, Part, Reasoning, Refusal, Text
from ds2api.universal.response import Choice, Response, fold
from ds2api.universal.usage import Usage

__all__ = ["read_response", "read_usage_alone", "write_response"]

_NAME = "messages"
_CUT = ("length", "context_full")


def read_response(body: dict[str, Any]) -> Response:
    """A provider's whole answer. Raises `Problem`: the provider's own error under a 200, or what is no message."""
    _refuse_what_is_no_message(body)
    return _read_plain(body) or fold(MessagesDecoder().whole(body))


def _read_plain(body: dict[str, Any]) -> Response | None:
    """The same for an answer of plain text, as most are, without its events (30 µs); the tests hold it to them."""
    parts: list[Part] = []
    for block in body["content"]:
        if not isinstance(block, dict) or len(block) != 2 or block.get("type") != "text":
            return None
        if not isinstance(text := block.get("text"), str):
            return None
        parts.append(Text(text))
    identity, model = body.get("id"), body.get("model")
    is_usual = isinstance(identity, str) and isinstance(model, str) and isinstance(body.get("stop_reason"), str)
    if not is_usual or not body.keys() <= MESSAGE_FIELDS:
        return None
    finish = read_finish(body, has_calls=False, extra={})
    choices = [Choice(0, parts, finish)]
    return Response(identity, model, None, choices, read_usage(body.get("usage")), extra=Extra(_NAME, {}))


def read_usage_alone(body: dict[str, Any]) -> Usage | None:
    """The counters of a whole answer that is relayed. Raises `Problem` as `read_response` does."""
    _refuse_what_is_no_message(body)
    return read_usage(body.get("usage"), None)


def _refuse_what_is_no_message(body: dict[str, Any]) -> None:
    if body.get("type") == "error" or ("error" in body and "content" not in body):
        raise Problem(read_stream_error(body))
    if not isinstance(body.get("content"), list):
        raise Problem(broken("its answer is no message: `content` is no array"))


def write_response(response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
    """The same for a client, and what it could not carry. Raises `Problem` where the answer is none (a tool call
    that cannot be read)."""
    losses = [
        Loss("dropped", f"choices[{choice.index}]", "this protocol has one choice") for choice in response.choices[1:]
    ]
    choice = response.choices[0] if response.choices else Choice()
    finish = choice.finish
    if finish is not None and finish.reason == "malformed_tool":
        raise Problem(Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, "the model made a tool call that cannot be read"))
    if choice.logprobs is not None:
        losses.append(Loss("dropped", "logprobs", "log-probabilities have no form in this protocol"))
    content: list[dict[str, Any]] = []
    is_cut = finish is not None and finish.reason in _CUT
    for index, part in enumerate(choice.parts):
        block = _block(part, f"choices[0].parts[{index}]", asker, losses, is_cut=is_cut)
        if block is not None:
            content.append(block)
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    has_calls = any(block.get("type") == "tool_use" for block in content)
    ending, lost = write_finish(finish, has_calls=has_calls, refused=refused)
    losses += lost
    usage = response.usage
    guess = 0
    if usage is None or usage.output_total is None:
        losses.append(Loss("estimated", "usage", "the provider did not say how many tokens it used"))
        guess = -(-len(jsons.dump(content)) // BYTES_PER_TOKEN)
    extra = own_fields(response.extra)
    if finish is not None:
        extra = {**extra, **own_fields(finish.extra)}
    message: dict[str, Any] = {
        "id": message_id(response.id, asker),
        "type": "message",
        "role": "assistant",
        "model": asker.model,
        "content": content,
        **{name: value for name, value in extra.items() if name not in ending},
        **ending,
        "usage": write_usage(usage, asker.input_estimate, guess),
    }
    return jsons.dump(message), losses


def _block(part: Part, path: str, asker: Asker, losses: list[Loss], *, is_cut: bool) -> dict[str, Any] | None:
    match part:
        case Text():
            return _text(part, path, losses)
        case Refusal():
            return {"type": "text", "text": part.text} if part.text else None
        case Call():
            value, is_faithful = as_object(part.arguments, custom=part.custom)
            if not is_faithful and is_cut:
                return None  # the limit cut it: there is no call to run (R007)
            if not is_faithful:
                losses.append(Loss("approximated", f"{path}.input", RAW_REASON))
            block: dict[str, Any] = {
                "type": "tool_use",
                "id": call_id(part.id, asker),
                "name": part.name,
                "input": value,
            }
            return {**block, **own_fields(part.extra)}
        case Reasoning():
            return _thinking(part, path, asker, losses)
        case Opaque() if part.dialect == _NAME:
            return part.data
        case Opaque():
            losses.append(Loss("dropped", path, f"{part.kind} of {part.dialect} has no form in this protocol"))
        case _:
            losses.append(Loss("dropped", path, f"{type(part).__name__.lower()} has no form in an answer here"))
    return None


def _text(part: Text, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    cited = [write_citation(citation) for citation in part.citations]
    own = [wire for wire in cited if wire is not None]
    if len(own) < len(cited):
        losses.append(Loss("dropped", f"{path}.citations", "citations of another protocol have no form here"))
    if not part.text and not own:
        return None
    block = {"type": "text", "text": part.text, **own_fields(part.extra)}
    return {**block, "citations": own} if own else block


def _thinking(part: Reasoning, path: str, asker: Asker, losses: list[Loss]) -> dict[str, Any] | None:
    proof = proofs.for_client(part.sealed, asker) if part.sealed is not None else ""
    if proof is None:
        losses.append(Loss("dropped", f"{path}.signature", "this proof of reasoning has no form in this protocol"))
        proof = ""
    if part.redacted and not part.text:
        return {"type": "redacted_thinking", "data": proof} if proof else None
    if not part.text and not proof:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": proof, **own_fields(part.extra)}
