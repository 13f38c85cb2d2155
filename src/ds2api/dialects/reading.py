"""Reads fields of a client's request strictly: the right type, or a `Problem` naming path, found and accepted.

Two ways in. The functions (`text_of(value, path)`, `list_of`, `object_of` …) check one value. `Fields` reads an
object field by field and remembers what nobody asked for: `rest()` is what goes into `extra`, so an unknown
field can neither be lost nor read twice. The `maybe_` readers take null and absence as None; the others refuse
both. A boolean is no number here, and 1.0 counts as the integer 1, since JavaScript writes it either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ds2api.jsons import kind_of
from ds2api.universal.errors import Problem

__all__ = [
    "Fields", "at", "boolean_of", "integer_of", "kind_of", "list_of", "maybe_boolean", "maybe_integer", "maybe_list",
    "maybe_number", "maybe_object", "maybe_text", "number_of", "object_at", "object_of", "one_of", "shown", "text_of",
    "texts_of", "wrong_type",
]  # fmt: skip

_ABSENT = object()
_SHOWN_CHARACTERS = 60  # of what came: enough to recognise it, too short to repeat a prompt


def shown(value: Any) -> str:
    """`value` for an error message: short, in quotes if it is text."""
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= _SHOWN_CHARACTERS else f'"{value[:_SHOWN_CHARACTERS]}…"'
    return str(value)[:_SHOWN_CHARACTERS] if isinstance(value, (int, float)) else kind_of(value)


def at(path: str, name: str | int) -> str:
    """The path of a member: ``at("messages[2]", "content")``, ``at("messages", 2)``."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def wrong_type(value: Any, path: str, accepted: str) -> Problem:
    """``raise wrong_type(value, "messages[0].content", "a string or an array")``."""
    return Problem.bad_request(f"{path}: expected {accepted}, found {kind_of(value)}", path)


def text_of(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    raise wrong_type(value, path, "a string")


def list_of(value: Any, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise wrong_type(value, path, "an array")


def object_of(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise wrong_type(value, path, "an object")


def object_at(value: Any, path: str, name: str | int) -> dict[str, Any]:
    """As `object_of`, for a member whose path is made only where it is wrong: a request has hundreds of them."""
    return value if isinstance(value, dict) else object_of(value, at(path, name))


def boolean_of(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    raise wrong_type(value, path, "a boolean")


def number_of(value: Any, path: str) -> float:
    """An integer stays one, so that it is written again as it came."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise wrong_type(value, path, "a number")


def integer_of(value: Any, path: str, lowest: int | None = None) -> int:
    """Refuses what is lower than `lowest`, too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        if isinstance(value, float):
            raise Problem.bad_request(f"{path}: expected an integer, found {shown(value)}", path)
        raise wrong_type(value, path, "an integer")
    if lowest is not None and value < lowest:
        raise Problem.bad_request(f"{path}: expected an integer of at least {lowest}, found {shown(value)}", path)
    return value


def one_of(value: Any, path: str, accepted: Sequence[str]) -> str:
    """One of the words `accepted`."""
    if isinstance(value, str) and value in accepted:
        return value
    words = ", ".join(f'"{word}"' for word in accepted)
    raise Problem.bad_request(f"{path}: expected one of {words}, found {shown(value)}", path)


def texts_of(value: Any, path: str) -> list[str]:
    """An array of strings."""
    return [text_of(one, at(path, index)) for index, one in enumerate(list_of(value, path))]


def maybe_text(value: Any, path: str) -> str | None:
    return None if value is None else text_of(value, path)


def maybe_list(value: Any, path: str) -> list[Any] | None:
    return None if value is None else list_of(value, path)


def maybe_object(value: Any, path: str) -> dict[str, Any] | None:
    return None if value is None else object_of(value, path)


def maybe_boolean(value: Any, path: str) -> bool | None:
    return None if value is None else boolean_of(value, path)


def maybe_number(value: Any, path: str) -> float | None:
    return None if value is None else number_of(value, path)


def maybe_integer(value: Any, path: str, lowest: int | None = None) -> int | None:
    return None if value is None else integer_of(value, path, lowest)


class Fields:
    """One object, read field by field. `path` is its own ("" for the request itself)."""

    __slots__ = ("_rest", "path")

    def __init__(self, value: Any, path: str = "") -> None:
        self._rest = dict(object_of(value, path or "the request"))
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self._rest

    def holds(self, name: str) -> bool:
        """Whether `name` is there and not null."""
        return self._rest.get(name) is not None

    @property
    def is_empty(self) -> bool:
        """Everything was taken."""
        return not self._rest

    def has_any(self, names: frozenset[str]) -> bool:
        return not names.isdisjoint(self._rest)

    def at(self, name: str) -> str:
        """The path of the field `name`."""
        return at(self.path, name)

    def take(self, name: str) -> Any:
        """The value of `name`, whatever it is; None where it is null or absent. It is not in `rest` any more."""
        return self._rest.pop(name, None)

    def text(self, name: str) -> str:
        value = self._rest.pop(name, _ABSENT)
        return value if type(value) is str else text_of(self._required(name, value, "a string"), self.at(name))

    def array(self, name: str) -> list[Any]:
        return list_of(self._required(name, self._rest.pop(name, _ABSENT), "an array"), self.at(name))

    def object(self, name: str) -> dict[str, Any]:
        value = self._rest.pop(name, _ABSENT)
        return value if type(value) is dict else object_of(self._required(name, value, "an object"), self.at(name))

    def _required(self, name: str, value: Any, accepted: str) -> Any:
        if value is _ABSENT:
            raise Problem.bad_request(f"{self.at(name)}: required, {accepted}", self.at(name))
        return value

    def maybe_text(self, name: str) -> str | None:
        value = self._rest.pop(name, None)
        return None if value is None else text_of(value, self.at(name))

    def maybe_array(self, name: str) -> list[Any] | None:
        value = self._rest.pop(name, None)
        return None if value is None else list_of(value, self.at(name))

    def maybe_object(self, name: str) -> dict[str, Any] | None:
        value = self._rest.pop(name, None)
        return None if value is None else object_of(value, self.at(name))

    def maybe_boolean(self, name: str) -> bool | None:
        value = self._rest.pop(name, None)
        return None if value is None else boolean_of(value, self.at(name))

    def maybe_number(self, name: str) -> float | None:
        value = self._rest.pop(name, None)
        return None if value is None else number_of(value, self.at(name))

    def maybe_integer(self, name: str, lowest: int | None = None) -> int | None:
        value = self._rest.pop(name, None)
        return None if value is None else integer_of(value, self.at(name), lowest)

    def maybe_one_of(self, name: str, accepted: Sequence[str]) -> str | None:
        value = self._rest.pop(name, None)
        return None if value is None else one_of(value, self.at(name), accepted)

    def rest(self, without: Iterable[str] = ()) -> dict[str, Any]:
        """What nobody took, in its order, null included; `without` names what may be left out."""
        if not self._rest:
            return {}
        left_out = frozenset(without)
        return {name: value for name, value in self._rest.items() if name not in left_out}

    def said(self) -> dict[str, Any]:
        """`rest` without nulls, for protocols in which null is the same as absence."""
        return {name: value for name, value in self._rest.items() if value is not None} if self._rest else {}

    def keep(self, name: str, value: Any) -> None:
        """Put back what was left of a field that was taken: `rest` holds it again."""
        self._rest[name] = value
