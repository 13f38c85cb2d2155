"""The items of a request's `input`: wire → universal turns.

    turns := (message of system, developer or user → a turn of that role
             | items of the assistant that follow each other → one assistant turn
             | outputs of tools that follow each other → one tool turn)*

An item of the assistant is its message, a call, its reasoning, and whatever a hosted tool did or left behind; the
latter, references and compacted history are `Opaque`, for nobody else can know what they stand for (R085, R086).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds2api.dialects.reading import Fields, at, list_of, maybe_list, object_of, one_of, text_of
from ds2api.dialects.responses.content_in import read_content
from ds2api.dialects.responses.origin import NAME, came_from
from ds2api.dialects.responses.proofs import KIND, SIGNATURE_PREFIX
from ds2api.dialects.responses.tools_in import flat_name
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Call, Extra, Opaque, Part, Reasoning, Result, Sealed, Text
from ds2api.universal.request import Role, Turn

__all__ = ["read_input"]

_ROLES = ("user", "assistant", "system", "developer")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})

# What an item says of itself, as no other dialect has to: ids, states, who called (`caller`), whether it waits.
_QUIET = frozenset(
    {"type", "id", "status", "caller", "async", "namespace", "internal_chat_message_metadata_passthrough"}
)


def read_input(value: Any, namespaced: Mapping[str, Any], path: str = "input") -> list[Turn]:
    """All turns. `namespaced`: the flat names of tools in namespaces. Raises `Problem` naming the field."""
    if isinstance(value, str):
        return [Turn("user", [Text(value, path=path)], path=path, plain=True)]
    turns: list[Turn] = []
    for index, wire in enumerate(list_of(value, path)):
        role, parts, turn = _read_item(object_of(wire, at(path, index)), at(path, index), namespaced)
        if turn is not None:
            turns.append(turn)
        elif turns and turns[-1].role == role:
            _join(turns[-1], parts)
        else:
            turns.append(Turn(role, [], path=at(path, index)))
            _join(turns[-1], parts)
    return turns


def _join(turn: Turn, parts: list[Part]) -> None:
    """Add the parts of one more item; a signature goes to the part that it signs."""
    for part in parts:
        signed = turn.parts[-1] if turn.parts else None
        if _is_signature(part) and isinstance(signed, Call | Text) and signed.signature is None:
            assert isinstance(part, Reasoning)
            signed.signature = part.sealed
        else:
            turn.parts.append(part)


def _is_signature(part: Part) -> bool:
    return (
        isinstance(part, Reasoning)
        and (part.id or "").startswith(SIGNATURE_PREFIX)
        and part.sealed is not None
        and part.sealed.data.startswith(PREFIX)
    )


def _read_item(wire: dict[str, Any], path: str, namespaced: Mapping[str, Any]) -> tuple[Role, list[Part], Turn | None]:
    """The role and parts of an item; or, for a message of somebody else than the assistant, the whole turn."""
    fields = Fields(wire, path)
    kind = fields.take("type")
    if kind is None:
        kind = "message" if "role" in fields else "item_reference"
    kind = text_of(kind, fields.at("type"))
    if kind == "message":
        return _read_message(wire, fields)
    if kind in _CALLS:
        name, namespace = fields.text("name"), fields.maybe_text("namespace")
        if namespace is not None and flat_name(namespace, name) in namespaced:
            name = flat_name(namespace, name)
        call_id, text = fields.text("call_id"), fields.text(_CALLS[kind])
        extra = _extra(wire, fields)
        return "assistant", [Call(call_id, name, text, kind == "custom_tool_call", path=path, extra=extra)], None
    if kind in _OUTPUTS and fields.holds("call_id"):
        result = Result(fields.text("call_id"), [], name=fields.maybe_text("name"), path=path)
        result.content, result.plain = read_content(fields.take("output"), fields.at("output"))
        if result.plain and not wire["output"]:
            result.content = []
        result.extra = _extra(wire, fields)
        return "tool", [result], None
    if kind == "reasoning":
        return "assistant", [_read_reasoning(wire, fields)], None
    return "assistant", [Opaque(NAME, kind, wire, path)], None


def _read_message(wire: dict[str, Any], fields: Fields) -> tuple[Role, list[Part], Turn | None]:
    role = one_of(fields.take("role"), fields.at("role"), _ROLES)
    if role == "assistant":
        content = fields.take("content")
        parts, _ = read_content([] if content is None else content, fields.at("content"))
        parts = parts or [Text("", path=fields.at("content"))]
        lost = _extra(wire, fields).fields
        for part in parts:
            if isinstance(part, Opaque):
                return "assistant", [Opaque(NAME, part.kind, wire, part.path)], None
            own = part.extra.fields if part.extra is not None else {}
            if lost and part is parts[0]:
                part.path = fields.path if len(parts) == 1 else part.path
                own = {**own, **lost}
            part.extra = came_from(wire, own)
        return "assistant", parts, None
    parts, plain = read_content(fields.take("content"), fields.at("content"))
    turn = Turn(role, parts, path=fields.path, extra=_extra(wire, fields), plain=plain)  # type: ignore[arg-type]
    return "user", [], turn


def _read_reasoning(wire: dict[str, Any], fields: Fields) -> Reasoning:
    """A summary, or the thought itself where no summary is; the proof."""
    texts = {}
    for name in ("summary", "content"):
        entries = maybe_list(fields.take(name), fields.at(name)) or []
        places = [Fields(one, at(fields.at(name), index)) for index, one in enumerate(entries)]
        texts[name] = [place.text("text") for place in places]
    encrypted, identity = fields.maybe_text("encrypted_content"), fields.maybe_text("id")
    return Reasoning(
        "\n\n".join(texts["summary"]) if texts["summary"] else "".join(texts["content"]),
        Sealed(KIND, encrypted) if encrypted else None,
        summary=bool(texts["summary"]),
        redacted=not (texts["summary"] or texts["content"]),
        id=identity,
        path=fields.path,
        extra=_extra(wire, fields),
    )


def _extra(wire: dict[str, Any], fields: Fields) -> Extra:
    return came_from(wire, {name: value for name, value in fields.said().items() if name not in _QUIET})
