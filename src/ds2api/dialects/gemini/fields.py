"""Reads objects of a Gemini request: ``fileUri`` and ``file_uri`` are the same field (proto3 JSON mapping).

Names are read in camelCase, whatever was sent; an error names the client's own spelling. What is `extra` keeps its
place as a dotted name (``generationConfig.speechConfig``), so that one loss names one field.
"""

from __future__ import annotations

import re
from typing import Any

from ds2api.dialects.reading import Fields, at
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Extra

__all__ = ["NAME", "GeminiFields", "camel_case", "extra_of", "own_fields", "put_extra"]

NAME = "gemini"
_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")


def camel_case(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


class GeminiFields(Fields):
    """`Fields` under their camelCase names."""

    __slots__ = ("_spelled",)

    def __init__(self, value: Any, path: str = "") -> None:
        super().__init__(value, path)
        self._spelled: dict[str, str] = {}
        if not any("_" in name for name in self._rest):
            return
        given, self._rest = self._rest, {}
        for name, one in given.items():
            plain = camel_case(name)
            if plain in self._rest:
                raise Problem.bad_request(
                    f"{at(path, name)}: stands there as {plain} too; send it once", at(path, name)
                )
            self._rest[plain] = one
            self._spelled[plain] = name

    def at(self, name: str) -> str:
        return at(self.path, self._spelled.get(name, name))

    def inner(self, name: str) -> GeminiFields | None:
        """The object `name`; None where it is absent or null."""
        value = self.maybe_object(name)
        return None if value is None else GeminiFields(value, self.at(name))

    def listed(self, name: str) -> list[Any]:
        """The array `name`. One object alone is an array of it, as Google's own examples write it."""
        value = self.take(name)
        if isinstance(value, dict):
            return [value]
        self.keep(name, value)
        return self.maybe_array(name) or []


def extra_of(
    *groups: tuple[str, Fields | None], grave: frozenset[str] = frozenset(), quiet: frozenset[str] = frozenset()
) -> Extra | None:
    """What nobody read in these objects, each under its prefix ("" or "functionCall."). `quiet` names what means
    nothing to anybody else."""
    rest = {
        prefix + name: value for prefix, fields in groups if fields is not None for name, value in fields.said().items()
    }
    silent = {name: rest.pop(name) for name in quiet & rest.keys()}
    return Extra(NAME, rest, grave & rest.keys(), silent) if rest or silent else None


def own_fields(extra: Extra | None) -> dict[str, Any]:
    return {**extra.fields, **extra.quiet} if extra is not None and extra.dialect == NAME else {}


def put_extra(written: dict[str, Any], extra: Extra | None) -> dict[str, Any]:
    """`written` with what `extra_of` kept, each at its place."""
    for name, value in own_fields(extra).items():
        outer, _, inner = name.rpartition(".")
        holder = written.setdefault(outer, {}) if outer else written
        if isinstance(holder, dict):
            holder.setdefault(inner, value)
    return written
