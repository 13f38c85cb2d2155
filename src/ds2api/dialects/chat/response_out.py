"""A whole chat answer: universal → wire."""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.answer_out import answer_id, text_field, written_citation, written_proof, written_signature
from ds2api.dialects.chat.finish import finish_loss, finish_word, malformed_call, refusal_text
from ds2api.dialects.contract import Asker
from ds2api.dialects.openai_usage import written_usage
from ds2api.universal.errors import Problem
from ds2api.universal.events import Finished
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Audio, Call, Image, Opaque, Reasoning, Refusal, Text
from ds2api.universal.response import Choice, Response

__all__ = ["write_response"]


def write_response(response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
    """The body, and what it could not carry. Raises `Problem` for an answer that chat can only call an error."""
    losses: list[Loss] = []
    notes = [note for note in response.notes if note.dialect == "chat"]
    losses += [Loss("dropped", note.kind, "another protocol's note") for note in response.notes if note not in notes]
    own = response.extra.get("chat") if response.extra is not None else {}
    created = response.created if response.extra is not None and response.extra.dialect == "chat" else None
    body: dict[str, Any] = {
        "id": answer_id(response.id, response.extra, asker),
        "object": "chat.completion",
        "created": created or asker.created,
        "model": asker.model,
        "choices": [_choice(choice, notes, asker, losses) for choice in response.choices],
    }
    usage = response.usage
    if usage is not None and (usage.input_total is not None or usage.output_total is not None):
        body["usage"] = written_usage(usage, "chat")
        if usage.input_total is None or usage.output_total is None:
            losses.append(Loss("estimated", "usage", "the provider counted one side only: the other is written as 0"))
        elif usage.estimated:
            losses.append(Loss("estimated", "usage", "the gateway's own guess"))
    body |= own
    for note in notes:
        if note.kind == "chunk":
            body |= note.data.get("fields", {})
    return jsons.dump(body), losses


def _choice(choice: Choice, notes: list[Opaque], asker: Asker, losses: list[Loss]) -> dict[str, Any]:
    finished = choice.finish or Finished("stop", choice.index)
    if finished.reason == "malformed_tool":
        raise Problem(malformed_call(finished))
    is_old = asker.request is not None and asker.request.path_of("tools") == "functions"
    message = _message(choice, finished, asker, losses, is_old=is_old)
    written: dict[str, Any] = {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": finish_word(finished, is_old=is_old),
    }
    loss = finish_loss(finished)
    if loss is not None:
        losses.append(Loss("approximated", "finish_reason", loss))
    if finished.extra is not None:
        written |= finished.extra.get("chat")
    for note in notes:
        if note.data.get("index") != choice.index:
            continue
        fields: dict[str, Any] = note.data.get("fields", {})
        if note.kind == "choice":
            written |= fields
        elif note.kind == "delta":
            annotations = [*message.get("annotations", []), *fields.get("annotations", [])]
            message |= fields
            if annotations:
                message["annotations"] = annotations
    return written


def _message(choice: Choice, finished: Finished, asker: Asker, losses: list[Loss], *, is_old: bool) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[dict[str, Any]] = []
    refusals: list[str] = []
    annotations: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    name_of_thoughts = ""
    length = 0
    for part in choice.parts:
        match part:
            case Text():
                texts.append(part.text)
                for citation in part.citations:
                    annotation = written_citation(citation, length, length + len(part.text))
                    if annotation is None:
                        losses.append(Loss("dropped", "citations", "chat cites web pages only"))
                    else:
                        annotations.append(annotation)
                length += len(part.text)
            case Refusal():
                refusals.append(part.text)
            case Reasoning():
                thoughts.append(part.text)
                name_of_thoughts = name_of_thoughts or text_field(part.extra)
                _write_proof(part, details, asker, losses)
            case Call():
                calls.append(_call(part, asker, losses))
            case Audio():
                more["audio"] = {"data": part.source.data or "", **(part.extra.get("chat") if part.extra else {})}
            case Image():
                more.setdefault("images", []).append(_image(part))
            case _:
                kind = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
                losses.append(Loss("dropped", kind, f"chat answers have no {kind}"))
    if finished.reason == "refusal" and not refusals:
        refusals.append(refusal_text(finished))
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if message["content"] is None and not calls and not refusals and "audio" not in more:
        message["content"] = ""  # an answer of nothing (R040), which null would call a call
    message["refusal"] = "".join(refusals) or None
    if any(thoughts):
        message[name_of_thoughts] = "".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if annotations:
        message["annotations"] = annotations
    if calls and is_old:
        message["function_call"] = calls[0].get("function", {})
        losses += [Loss("dropped", "tool_calls", "the old function calls come one at a time") for _ in calls[1:]]
    elif calls:
        message["tool_calls"] = calls
    return message | more


def _write_proof(part: Reasoning, details: list[dict[str, Any]], asker: Asker, losses: list[Loss]) -> None:
    """The entries that a chat server gave, or one that proves the text and holds it, so that both come back."""
    own = part.extra.get("chat").get("reasoning_details") if part.extra is not None else None
    if own:
        details += own
        return
    if part.sealed is None:
        return
    entry = written_proof(part.sealed, len(details), asker, summary=part.summary, has_text=bool(part.text))
    if entry is None:
        losses.append(Loss("dropped", "reasoning_details", "there is nothing to seal it with"))
        return
    if part.text:
        entry["summary" if part.summary else "text"] = part.text
    details.append(entry)


def _call(call: Call, asker: Asker, losses: list[Loss]) -> dict[str, Any]:
    written: dict[str, Any] = {"id": call.id or f"call_{asker.new_id()}"}
    if call.custom:
        written |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    else:
        written |= {"type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
    if call.signature is not None:
        content = written_signature(call.signature, asker)
        if content is None:
            losses.append(Loss("dropped", "signature", "there is nothing to seal it with"))
        else:
            written["extra_content"] = content
    return written


def _image(image: Image) -> dict[str, Any]:
    source = image.source
    url = source.url
    if url is None:
        url = f"data:{source.media_type or 'image/png'};base64,{source.data or ''}"
        said = image.extra.get("chat").get("url") if image.extra is not None else None
        url = said if isinstance(said, str) and not source.data else url
    return {"type": "image_url", "image_url": {"url": url}}
