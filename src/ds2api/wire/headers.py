"""The fields of a head: names in lower case, values as they came, order kept.

Bytes beyond ASCII are read and written as Latin-1, so that nothing is lost and nothing is guessed. What repeats
is not joined: that is right for lists and wrong for the rest, so it is left to whoever knows the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

__all__ = ["Headers", "list_members"]

T = TypeVar("T")

# The connection's own words, and what a message is not understood without: naming it would not make it a hop's.
_NEVER_NAMED = frozenset({
    "close", "keep-alive", "upgrade", "content-length", "content-type", "content-encoding", "host", "transfer-encoding",
})  # fmt: skip


class Headers(Mapping[str, str]):
    """A head's fields. As a mapping it gives the first value of each name; `all` gives every one."""

    __slots__ = ("_first", "items_list")

    items_list: list[tuple[str, str]]

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        """`items` must have names in lower case already (h11 gives them so)."""
        self.items_list = list(items)
        # Backwards, so that the first of a name is the one that stays.
        self._first = dict(reversed(self.items_list))

    def __getitem__(self, name: str) -> str:
        return self._first[name]

    # The mapping's own goes through an exception for each name that is not there.
    @overload
    def get(self, name: str, default: None = None, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    @overload
    def get(self, name: str, default: T, /) -> str | T: ...
    def get(self, name: str, default: Any = None, /) -> Any:
        """The first value of `name`, `default` if there is none."""
        return self._first.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.items_list))

    def __len__(self) -> int:
        return len(self._first)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __repr__(self) -> str:
        # Names only: a value may be a key, and reprs end up in logs.
        return f"Headers({', '.join(self)})"

    def replaced(self, name: str, value: str) -> Headers:
        """The same with another `value` of `name`, which stands once."""
        other = Headers.__new__(Headers)
        other.items_list = [(known, value if known == name else old) for known, old in self.items_list]
        other._first = {**self._first, name: value}
        return other

    def all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        if name not in self._first:
            return []
        return [value for known, value in self.items_list if known == name]

    def end_to_end(self) -> Headers:
        """Without what `connection` names: that was meant for this side alone (RFC 9110 §7.6.1)."""
        named = set(list_members(self.all("connection"))) - _NEVER_NAMED if "connection" in self else ()
        return Headers([item for item in self.items_list if item[0] not in named]) if named else self


def list_members(values: Iterable[str]) -> list[str]:
    """The members of a comma list spread over `values`, in lower case, empty ones left out (RFC 9110 §5.6.1).

    Not for fields whose members may hold a quoted comma.
    """
    return [member for value in values for part in value.split(",") if (member := part.strip(" \t").lower())]
