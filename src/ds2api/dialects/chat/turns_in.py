"""The messages of a chat request: wire → universal turns.

System and developer messages stay where they stood. A tool's message is a turn of its own with one `Result`. The
old function calls (`function_call`, role "function") have no ids: the call at message *n* gets ``call_function_n``,
and a result belongs to the latest call of its name; `Conversation.is_old` remembers that they were used, so that
they are written back in the same form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.parts_in import read_content
from ds2api.dialects.chat.reasoning import TEXT_FIELDS, google_proof, read_reasoning, sealed_in, thinking_part
from ds2api.dialects.reading import Fields, at, list_of, maybe_list, maybe_text, object_of, shown, text_of
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Audio, Call, Extra, Part, Reasoning, Refusal, Result, Source, Text
from ds2api.universal.request import Turn

__all__ = ["Conversation", "read_messages"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SPEAKERS = _ROLES[:4]
_THOUGHTS = (*TEXT_FIELDS, "reasoning_details", "thinking_blocks")


@dataclass(slots=True)
class Conversation:
    turns: list[Turn] = field(default_factory=list)
    is_old: bool = False  # speaks of functions, not of tools
    function_ids: dict[str, str] = field(default_factory=dict)  # name → id of its latest call


def read_messages(value: Any) -> Conversation:
    """All turns. Raises `Problem` naming the field."""
    messages = list_of(value, "messages")
    if not messages:
        raise Problem.bad_request("messages: expected at least one message, found none", "messages")
    conversation = Conversation()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if type(message) is dict and len(message) == 2:  # most of most conversations: for a third of the time
            role, content = message.get("role"), message.get("content")
            if type(content) is str and content and role in _SPEAKERS:
                text = Text(content, path=f"{path}.content")
                conversation.turns.append(Turn(role, [text], path=path, plain=True))
                continue
        fields = Fields(message, path)
        role = fields.text("role")
        match role:
            case "system" | "developer" | "user":
                parts, plain = read_content(_required_content(fields), fields.at("content"))
                turn = Turn(role, parts, fields.maybe_text("name"), path, plain=plain)
            case "assistant":
                turn = _read_assistant(fields, index, conversation)
            case "tool" | "function":
                turn = _read_result(fields, role, conversation)
            case _:
                accepted = ", ".join(f'"{one}"' for one in _ROLES)
                message_text = f"{fields.at('role')}: unknown role {shown(role)}; accepted are {accepted}"
                raise Problem.bad_request(message_text, fields.at("role"))
        rest = fields.said()
        if rest:
            turn.extra = Extra("chat", rest)
        conversation.turns.append(turn)
    return conversation


def _required_content(fields: Fields) -> Any:
    if "content" not in fields:
        path = fields.at("content")
        raise Problem.bad_request(f"{path}: required, a string or an array of parts", path)
    content = fields.take("content")
    if content is None:
        path = fields.at("content")
        raise Problem.bad_request(f"{path}: expected a string or an array of parts, found null", path)
    return content


def _read_assistant(fields: Fields, index: int, conversation: Conversation) -> Turn:
    path = fields.path
    content, plain = read_content(fields.take("content"), fields.at("content"))
    thoughts = _read_thoughts(fields, content) if any(name in fields for name in _THOUGHTS) else ()
    parts: list[Part] = [*thoughts, *content]
    refusal = fields.maybe_text("refusal")
    if refusal:
        parts.append(Refusal(refusal, path=fields.at("refusal")))
    audio = fields.maybe_object("audio")
    if audio is not None:
        spoken = Fields(audio, fields.at("audio"))
        parts.append(Audio(Source(file_id=spoken.text("id")), path=spoken.path))
    for number, call in enumerate(fields.maybe_array("tool_calls") or []):
        parts.append(_read_call(call, at(fields.at("tool_calls"), number)))
    function = fields.maybe_object("function_call")
    if function is not None:
        conversation.is_old = True
        inner = Fields(function, fields.at("function_call"))
        name = inner.text("name")
        conversation.function_ids[name] = f"call_function_{index}"
        parts.append(Call(f"call_function_{index}", name, _arguments(inner), path=inner.path))
    name_of_participant = fields.maybe_text("name")
    if fields.maybe_boolean("prefix"):  # false, which Mistral's SDK always writes, says nothing
        fields.keep("prefix", value=True)
    return Turn("assistant", parts, name_of_participant, path, plain=plain)


def _read_thoughts(fields: Fields, content: list[Part]) -> list[Reasoning]:
    """Reasoning beside the content. Where the content itself holds thinking, `thinking_blocks` repeats it (R082)."""
    message: dict[str, Any] = {}
    for name in TEXT_FIELDS:
        message[name] = maybe_text(fields.take(name), fields.at(name))
    details = maybe_list(fields.take("reasoning_details"), fields.at("reasoning_details"))
    for number, entry in enumerate(details or []):
        object_of(entry, at(fields.at("reasoning_details"), number))
    message["reasoning_details"] = details
    blocks = maybe_list(fields.take("thinking_blocks"), fields.at("thinking_blocks"))
    thoughts = read_reasoning(message, fields.path, keep_empty=True)
    if blocks and not thoughts and not any(isinstance(part, Reasoning) for part in content):
        path = fields.at("thinking_blocks")
        thoughts = [
            thinking_part(object_of(block, at(path, number)), at(path, number)) for number, block in enumerate(blocks)
        ]
    return thoughts


def _read_call(value: Any, path: str) -> Call:
    fields = Fields(value, path)
    kind = fields.take("type") or "function"
    fields.take("index")  # Mistral's SDK writes it: the position says the same
    call_id = fields.text("id")
    if kind == "custom":
        inner = Fields(fields.object("custom"), fields.at("custom"))
        call = Call(call_id, inner.text("name"), inner.text("input"), custom=True, path=path)
        inner_name = "custom"
    elif kind == "function":
        inner = Fields(fields.object("function"), fields.at("function"))
        call = Call(call_id, inner.text("name"), _arguments(inner), path=path)
        inner_name = "function"
    else:
        kind_path = fields.at("type")
        raise Problem.bad_request(f'{kind_path}: expected "function" or "custom", found {shown(kind)}', kind_path)
    content = fields.maybe_object("extra_content")
    if content is not None:
        proof = google_proof(content)
        if proof:
            call.signature = sealed_in(proof, content)
        else:
            fields.keep("extra_content", content)
    if left := inner.said():
        fields.keep(inner_name, left)
    rest = fields.said()
    if rest:
        call.extra = Extra("chat", rest)
    return call


def _arguments(fields: Fields) -> str:
    """As they came: text. An object, which Mistral's clients may send, is written out."""
    value = fields.take("arguments")
    if isinstance(value, dict):
        return jsons.dump(value).decode()
    return text_of(value, fields.at("arguments"))


def _read_result(fields: Fields, role: str, conversation: Conversation) -> Turn:
    path = fields.path
    name = fields.maybe_text("name")
    if role == "function":
        conversation.is_old = True
        if name is None:
            raise Problem.bad_request(f"{fields.at('name')}: required, a string", fields.at("name"))
        call_id = conversation.function_ids.get(name, f"call_function_{name}")
        content, plain = read_content(fields.take("content"), fields.at("content"))
    else:
        call_id = fields.text("tool_call_id")
        content, plain = read_content(_required_content(fields), fields.at("content"))
    return Turn("tool", [Result(call_id, content, name=name, path=path, plain=plain)], path=path, plain=plain)
