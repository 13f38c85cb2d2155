"""Turns: universal → the messages of a chat request.

A client's chat turns go out one by one, as they came. Turns of another dialect are put into chat's order: results
become messages of role "tool" right behind the calls they answer, in the order of the calls; what stood between
(a system note, the user's text, the pictures that a tool gave back and a chat tool message cannot hold) follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.destination import Destination
from ds2api.dialects.chat.parts_out import written_content, written_part
from ds2api.dialects.chat.reasoning import carrier_of
from ds2api.dialects.chat.thoughts_out import write_thoughts
from ds2api.universal.parts import Audio, Call, File, Image, Opaque, Part, Reasoning, Refusal, Result, Text
from ds2api.universal.request import Request, Turn

__all__ = ["written_messages"]

_LEADING = frozenset({"system", "developer"})


@dataclass(slots=True)
class _Message:
    written: dict[str, Any]
    path: str


def written_messages(request: Request, destination: Destination) -> list[dict[str, Any]]:
    """All messages. Raises `Problem` for what cannot be carried."""
    messages: list[_Message] = []
    for turn in request.turns:
        if turn.role == "assistant":
            messages += _assistant(turn, destination)
        else:
            messages += _asked(turn, destination)
    if not destination.is_same:
        messages = _paired(_joined_pictures(messages), destination)
        _prefill(messages, destination)
    if destination.strict_order:
        messages = _in_strict_order(messages, destination)
    return [message.written for message in messages]


def _asked(turn: Turn, destination: Destination) -> list[_Message]:
    """A system, developer, user or tool turn: its results first, then the rest."""
    results = [part for part in turn.parts if isinstance(part, Result)]
    others = [part for part in turn.parts if not isinstance(part, Result)]
    pictures: list[dict[str, Any]] = []
    messages = [_result(result, None if others else turn, pictures, destination) for result in results]
    if pictures:
        messages.append(_Message({"role": "user", "content": pictures}, turn.path))
    if others or not results:
        content = written_content(_carried(others, destination), turn.plain, destination)
        if content is not None:
            written = {"role": _role(turn, destination), "content": content}
            messages.append(_Message(_dressed(written, turn, destination), turn.path))
    return messages


def _role(turn: Turn, destination: Destination) -> str:
    if turn.role == "tool":
        return "user"
    if turn.role not in _LEADING or destination.is_verbatim:
        return turn.role
    if not destination.flavour.developer_role:
        return "system"
    if destination.is_same:
        return turn.role
    return "developer" if destination.capabilities.developer_role else "system"


def _carried(parts: Sequence[Part], destination: Destination) -> list[Part]:
    """The parts less those of another dialect alone, which are refused or, where allowed, lost."""
    carried: list[Part] = []
    for part in parts:
        if isinstance(part, Opaque) and part.dialect != "chat":
            destination.losses.refuse_soft(part.path, f"chat completions has no {part.kind}")
        else:
            carried.append(part)
    return carried


def _dressed(written: dict[str, Any], turn: Turn, destination: Destination) -> dict[str, Any]:
    """With the participant's name and the fields that only chat knows."""
    if turn.name is not None:
        if destination.flavour.participant_names:
            written["name"] = turn.name
        else:
            destination.losses.report("dropped", f"{turn.path}.name", "this chat server knows no participants")
    if turn.extra is not None:
        destination.lose_extra(turn.extra, turn.path)
        written.update(turn.extra.get("chat"))
    return written


def _result(result: Result, turn: Turn | None, pictures: list[dict[str, Any]], destination: Destination) -> _Message:
    if destination.is_old:
        written: dict[str, Any] = {"role": "function", "name": result.name or ""}
    else:
        written = {"role": "tool", "tool_call_id": destination.call_id(result.call_id)}
        if result.name is not None and destination.is_same:
            written["name"] = result.name
    if destination.is_same:
        written["content"] = written_content(result.content, result.plain, destination)
        if turn is not None and turn.extra is not None:
            written.update(turn.extra.get("chat"))
        return _Message(written, result.path)
    destination.lose_extra(result.extra, result.path)
    written["content"] = _result_text(result, pictures, destination)
    return _Message(written, result.path)


def _result_text(result: Result, pictures: list[dict[str, Any]], destination: Destination) -> str:
    """All of a result as one string, which every server takes; its pictures and documents go to `pictures`."""
    texts: list[str] = []
    for part in _carried(result.content, destination):
        if isinstance(part, Text):
            if part.text:
                texts.append(part.text)
        elif isinstance(part, File) and part.text is not None:
            texts.append(written_part(part, destination)["text"])
        elif isinstance(part, (Image, File)):
            noun = "image" if isinstance(part, Image) else "document"
            pictures.append(written_part(part, destination))
            texts.append(f"({noun} follows)")
            reason = f"a chat tool result is text only: the {noun} follows in a user message"
            destination.losses.report("approximated", part.path, reason)
        else:
            raise destination.losses.refuse(part.path, "a chat tool result is text only")
    text = "\n".join(texts)
    if result.is_error:
        text = f"ERROR: {text}"
        destination.losses.report("approximated", f"{result.path}.is_error", 'chat has no flag: the text says "ERROR"')
    return text


def _assistant(turn: Turn, destination: Destination) -> list[_Message]:
    written: dict[str, Any] = {"role": "assistant"}
    content: list[Part] = []
    calls: list[Call] = []
    thoughts: list[Reasoning] = []
    refusals: list[Refusal] = []
    for part in _carried(turn.parts, destination):
        match part:
            case Call():
                calls.append(part)
            case Reasoning():
                thoughts.append(part)
            case Refusal():
                refusals.append(part)
            case Audio() if part.source.file_id is not None and destination.is_same:
                written["audio"] = {"id": part.source.file_id}
            case _:
                content.append(part)
    blocks = write_thoughts(thoughts, written, has_calls=bool(calls), destination=destination)
    body = written_content(content, turn.plain, destination)
    if blocks:
        texts = [{"type": "text", "text": body}] if isinstance(body, str) and body else body or []
        body = [*blocks, *texts] if isinstance(texts, list) else blocks
    written["content"] = body or ("" if turn.plain else None)
    if refusals:
        written["refusal"] = "".join(refusal.text for refusal in refusals)
    if calls:
        _write_calls(calls, written, destination)
    written = _dressed(written, turn, destination)
    if not destination.is_same and written["content"] is None and not calls and not refusals:
        return []  # nothing is left of it, and what was lost has been said
    return [_Message(written, turn.path)]


def _write_calls(calls: list[Call], written: dict[str, Any], destination: Destination) -> None:
    if destination.is_old:
        written["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
        return
    written["tool_calls"] = [_call(call, destination) for call in calls]


def _call(call: Call, destination: Destination) -> dict[str, Any]:
    written: dict[str, Any] = {"id": destination.call_id(call.id)}
    name = destination.tool_name(call.name)
    if call.custom and destination.custom_tools:
        written |= {"type": "custom", "custom": {"name": name, "input": call.arguments}}
    else:
        arguments = call.arguments
        if call.custom:
            arguments = jsons.dump({"input": call.arguments}).decode()
        elif not arguments and not destination.is_same:
            arguments = "{}"
        written |= {"type": "function", "function": {"name": name, "arguments": arguments}}
    if call.signature is not None:
        opened = destination.opened(call.signature)
        proof = opened if opened is not None else (call.signature if destination.is_same else None)
        carrier = carrier_of(proof) if proof is not None else None
        if carrier is not None:
            written["extra_content"] = carrier
        else:
            destination.losses.report("dropped", call.path, "the call's signature was made by another provider")
    destination.lose_extra(call.extra, call.path)
    if call.extra is not None:
        for field, value in call.extra.get("chat").items():
            inner = written.get(field)
            written[field] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return written


def _joined_pictures(messages: list[_Message]) -> list[_Message]:
    """Pictures behind results and the user's own words that follow at once become one message."""
    joined: list[_Message] = []
    for message in messages:
        before = joined[-1].written if joined else {}
        if (
            message.written["role"] == "user" == before.get("role")
            and isinstance(before["content"], list)
            and message.path == joined[-1].path
        ):
            content = message.written["content"]
            before["content"] += [{"type": "text", "text": content}] if isinstance(content, str) else content
        else:
            joined.append(message)
    return joined


def _paired(messages: list[_Message], destination: Destination) -> list[_Message]:
    """Results right behind their calls, in the order of the calls (R055, R074). Raises `Problem` for calls without
    a result and results without a call: chat servers answer both with a 400 that names places of our making."""
    results: dict[str, list[_Message]] = {}
    for message in messages:
        if message.written["role"] == "tool":
            results.setdefault(message.written["tool_call_id"], []).append(message)
    paired: list[_Message] = []
    for message in messages:
        if message.written["role"] == "tool":
            continue
        paired.append(message)
        for number, call in enumerate(message.written.get("tool_calls", ())):
            waiting = results.get(call["id"])
            if waiting:
                paired.append(waiting.pop(0))
                continue
            name = call[call["type"]]["name"]
            path = message.path or f"tool_calls[{number}]"
            destination.losses.refuse_soft(path, f'the call of "{name}" has no result', "approximated")
            paired.append(_Message({"role": "tool", "tool_call_id": call["id"], "content": "ERROR: no result"}, path))
    for left in results.values():
        for message in left:
            raise destination.losses.refuse(message.path, "a tool result without the call that it answers")
    return paired


def _prefill(messages: list[_Message], destination: Destination) -> None:
    """An assistant's turn at the end is to be continued: some servers can, in their own way."""
    if not messages or messages[-1].written["role"] != "assistant":
        return
    last = messages[-1]
    match destination.flavour.prefill:
        case "prefix" | "partial" as word:
            last.written[word] = True
        case "refused":
            reason = "the conversation ends with the assistant, and this chat server cannot continue its words"
            destination.losses.refuse_soft(last.path, reason, "approximated")
        case "continue" | "trailing":
            pass  # what "continue" needs stands beside the messages (`request_out`)


def _in_strict_order(messages: list[_Message], destination: Destination) -> list[_Message]:
    """An empty assistant message wherever somebody else speaks right behind a tool (R076)."""
    ordered: list[_Message] = []
    for message in messages:
        behind_tool = bool(ordered) and ordered[-1].written["role"] == "tool"
        if behind_tool and message.written["role"] not in ("tool", "assistant"):
            ordered.append(_Message({"role": "assistant", "content": ""}, message.path))
            reason = "this model takes nothing but the assistant behind a tool: an empty assistant message was put in"
            destination.losses.report("approximated", message.path, reason)
        ordered.append(message)
    return ordered
