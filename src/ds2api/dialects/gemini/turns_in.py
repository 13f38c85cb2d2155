"""Contents: wire → universal turns. Nothing is moved or joined; Gemini takes consecutive contents of one role."""

from __future__ import annotations

from typing import Any

from ds2api.dialects.gemini.fields import GeminiFields, extra_of
from ds2api.dialects.gemini.parts_in import PendingCalls, read_part
from ds2api.dialects.reading import at, list_of, one_of
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Text
from ds2api.universal.request import Role, Turn

__all__ = ["read_contents", "read_system"]

_ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "tool"}


def read_contents(value: Any, path: str) -> list[Turn]:
    contents = list_of(value, path)
    if not contents:
        raise Problem.bad_request(f"{path}: expected at least one content, found none", path)
    pending = PendingCalls()
    return [_content(one, at(path, index), pending) for index, one in enumerate(contents)]


def read_system(value: Any, path: str) -> list[Turn]:
    """One turn, or none. Its role means nothing. The SDKs' plain string is taken as well."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Turn("system", [Text(value, path=path)], path=path)]
    turn = _content(value, path, PendingCalls())
    turn.role = "system"
    return [turn]


def _content(value: Any, path: str, pending: PendingCalls) -> Turn:
    fields = GeminiFields(value, path)
    role = fields.take("role")
    if "parts" not in fields:
        raise Problem.bad_request(f"{fields.at('parts')}: required, an array of parts", fields.at("parts"))
    where = fields.at("parts")
    parts = [read_part(one, at(where, index), pending) for index, one in enumerate(fields.listed("parts"))]
    word = one_of(role, fields.at("role"), tuple(_ROLES)) if role and path != "systemInstruction" else "user"
    return Turn(_ROLES[word], parts, path=path, extra=extra_of(("", fields)))
