"""Whole answers: one that came in one piece is read by the decoder and folded, so that a stream and a whole answer
cannot differ in meaning. Written straight from the parts."""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.contract import Asker
from ds2api.dialects.ollama.answer_lines import message_of, write_logprobs, written_created, written_message
from ds2api.dialects.ollama.decoder import OllamaDecoder
from ds2api.dialects.ollama.encoder import written_call
from ds2api.dialects.ollama.errors import broken, read_line_error
from ds2api.dialects.ollama.extras import own_fields
from ds2api.dialects.ollama.figures import read_figures, write_figures
from ds2api.dialects.ollama.finish import malformed_call, write_finish
from ds2api.universal.errors import Problem
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Call, Opaque, Reasoning, Refusal, Text
from ds2api.universal.response import Choice, Response, fold
from ds2api.universal.usage import Usage

__all__ = ["read_response", "read_usage_alone", "write_response"]

_CUT = ("length", "context_full")


def read_response(body: dict[str, Any]) -> Response:
    """Raises `Problem` with the provider's error, or UPSTREAM_BROKEN."""
    _refuse_what_is_no_answer(body)
    response = fold(OllamaDecoder().whole(body))
    if not response.choices:  # nothing but an end
        response.choices.append(Choice())
    return response


def read_usage_alone(body: dict[str, Any]) -> Usage | None:
    """The counters of a whole answer that is relayed. Raises `Problem` as `read_response` does."""
    _refuse_what_is_no_answer(body)
    return read_figures(body)


def _refuse_what_is_no_answer(body: dict[str, Any]) -> None:
    if body.get("error"):
        raise Problem(read_line_error(body))
    if message_of(body) is None:
        raise Problem(broken("its answer holds neither `message` nor `response`"))


def write_response(response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
    """The body, and what it could not carry. Raises `Problem` where the answer is none."""
    losses = [Loss("dropped", "choices", "this protocol has one choice") for _ in response.choices[1:2]]
    losses += [Loss("dropped", note.kind, "another protocol's note") for note in response.notes]
    choice = response.choices[0] if response.choices else Choice()
    finish = choice.finish
    if finish is not None and finish.reason == "malformed_tool":
        raise Problem(malformed_call(finish))
    message = _message(choice, asker, losses)
    word, lost = write_finish(finish)
    figures, guessed = write_figures(response.usage)
    body: dict[str, Any] = {"model": asker.model, "created_at": written_created(asker.created)}
    body |= written_message(message, asker.form)
    if choice.logprobs is not None:
        body["logprobs"] = write_logprobs(choice.logprobs)
    body |= {"done": True, "done_reason": word, **figures, **own_fields(response.extra)}
    body |= own_fields(finish.extra) if finish is not None else {}
    return jsons.dump(body), [*losses, *lost, *guessed]


def _message(choice: Choice, asker: Asker, losses: list[Loss]) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    is_cut = choice.finish is not None and choice.finish.reason in _CUT
    for part in choice.parts:
        match part:
            case Text():
                texts.append(part.text)
                if part.citations:
                    losses.append(Loss("dropped", "citations", "citations have no form in this protocol"))
            case Refusal():
                texts.append(part.text)
            case Reasoning():
                thoughts.append(part.text)
            case Call():
                value, is_faithful = as_object(part.arguments, custom=part.custom)
                if not is_faithful and is_cut:
                    continue  # the limit cut it: there is no call to run (R007)
                if not is_faithful:
                    losses.append(Loss("approximated", "tool_calls", RAW_REASON))
                calls.append(written_call(part.id, part.name, value, len(calls), asker))
            case _:
                kind = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
                losses.append(Loss("dropped", kind, f"{kind} has no form in this protocol"))
    message: dict[str, Any] = {"content": "".join(texts)}
    if any(thoughts):
        message["thinking"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message
