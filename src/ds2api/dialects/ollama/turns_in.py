"""The messages of `/api/chat`: wire → universal turns.

Calls have no ids of their own in most clients (the SDK's type drops them): one without gets ``call_<turn>_<number>``,
the same every time. A result belongs to the call that it names by id, else to the first call of its tool that has no
result yet, in the latest turn that has one (two calls of one tool are answered in their order); `Extra.quiet` remembers
that nobody said the id, so that a server of this dialect gets the message as it came.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.ollama.extras import extra_of
from ds2api.dialects.ollama.media import read_image
from ds2api.dialects.reading import Fields, at, shown, text_of, texts_of
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Call, Image, Part, Reasoning, Result, Text
from ds2api.universal.request import Turn

__all__ = ["read_images", "read_messages"]

_ROLES = ("system", "user", "assistant", "tool")
_MADE_UP = ("id", "index", "type")  # of a call: what its position or nobody says


def read_messages(messages: list[Any]) -> list[Turn]:
    """All turns. Raises `Problem` naming the field."""
    waiting: list[list[Call]] = []  # calls without a result, by turn
    turns = []
    for index, message in enumerate(messages):
        fields = Fields(message, at("messages", index))
        role = fields.text("role").lower()  # as the server does
        if role not in _ROLES:
            words = ", ".join(f'"{one}"' for one in _ROLES)
            path = fields.at("role")
            raise Problem.bad_request(f"{path}: expected one of {words}, found {shown(role)}", path)
        if role == "tool":
            turns.append(_read_result(fields, index, waiting))
            continue
        parts: list[Part] = []
        thinking = fields.maybe_text("thinking")
        if thinking:
            parts.append(Reasoning(thinking, path=fields.at("thinking")))
        parts += _read_content(fields)
        calls = [
            _read_call(call, index, number, at(fields.at("tool_calls"), number))
            for number, call in enumerate(fields.maybe_array("tool_calls") or [])
        ]
        waiting.append(list(calls))
        turn = Turn(role, [*parts, *calls], path=fields.path, plain=True)  # type: ignore[arg-type]
        turn.extra = extra_of(fields.said())
        turns.append(turn)
    return turns


def read_images(fields: Fields) -> list[Part]:
    """`images` of a message, or of a prompt."""
    images: list[Part] = []
    for number, text in enumerate(texts_of(fields.take("images") or [], fields.at("images"))):
        path = at(fields.at("images"), number)
        images.append(Image(read_image(text, path), path=path))
    return images


def _read_content(fields: Fields) -> list[Part]:
    text = fields.maybe_text("content")
    parts: list[Part] = [Text(text, path=fields.at("content"))] if text else []
    return parts + read_images(fields)


def _read_call(value: Any, turn: int, number: int, path: str) -> Call:
    fields = Fields(value, path)
    function = Fields(fields.object("function"), fields.at("function"))
    name = function.text("name")
    arguments = function.take("arguments")
    if isinstance(arguments, str):  # what came from a protocol in which they are text
        text = text_of(arguments, function.at("arguments"))
    else:
        function.keep("arguments", arguments)
        text = jsons.dump(function.maybe_object("arguments") or {}).decode()
    call = Call(fields.maybe_text("id") or "", name, text, path=path)
    rest = fields.said()
    if left := function.said():
        rest["function"] = left
    quiet = [*_MADE_UP]
    if not call.id:
        call.id = f"call_{turn}_{number}"
        rest["id"] = None
    if rest.get("function", {}).keys() == {"index"}:
        quiet.append("function")
    call.extra = extra_of(rest, quiet)
    return call


def _read_result(fields: Fields, turn: int, waiting: list[list[Call]]) -> Turn:
    call_id, name = fields.maybe_text("tool_call_id"), fields.maybe_text("tool_name")
    match = _match(call_id, name, waiting)
    result = Result(call_id or f"call_{turn}", _read_content(fields), name=name, path=fields.path, plain=True)
    rest = fields.said()
    if match is not None:
        result.call_id = match.id
        result.name = name or match.name
    made_up = {"tool_call_id": None} if not call_id else {}
    if match is not None and not name:
        made_up["tool_name"] = None
    result.extra = extra_of(rest | made_up, made_up)
    return Turn("tool", [result], path=fields.path, plain=True)


def _match(call_id: str | None, name: str | None, waiting: list[list[Call]]) -> Call | None:
    """The call that a result answers; it waits no more."""
    for calls in reversed(waiting):
        for call in calls:
            if call.id == call_id if call_id else name in (None, "", call.name):
                calls.remove(call)
                return call
    return None
