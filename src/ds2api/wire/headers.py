"""The fields of a head: names in lower case, values as they came, order kept.

Bytes beyond ASCII are read and written as Latin-1, so that nothing is lost and nothing is guessed. What repeats
is not joined: that is right for lists and wrong for the rest, so it is left to whoever knows the field.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Headers", "list_members"]


# The connection's own words, and what a message is not understood without: naming it would not make it a hop's.
_NEVER_NAMED = frozenset({
    "close", "keep-alive", "upgrade", "content-length", "content-type", "content-encoding", "host", "transfer-encoding",
})  # fmt: skip


class Headers(dict[str, str]):
    """A head's fields. As a mapping it gives the first value of each name; `all` gives every one. Not to be changed.

    A dictionary itself, so that looking a name up, which a request does some forty times, calls nothing of Python's.
    """

    __slots__ = ("items_list",)

    items_list: list[tuple[str, str]]

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        """`items` must have names in lower case already (h11 gives them so)."""
        self.items_list = list(items)
        super().__init__(self.items_list)
        if len(self) < len(self.items_list):  # of a name that repeats the first is the one that counts
            for name, value in reversed(self.items_list):
                self[name] = value

    def __repr__(self) -> str:
        # Names only: a value may be a key, and reprs end up in logs.
        return f"Headers({', '.join(self)})"

    def replaced(self, name: str, value: str) -> Headers:
        """The same with another `value` of `name`, which stands once."""
        return Headers([(known, value if known == name else old) for known, old in self.items_list])

    def all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        if name not in self:
            return []
        if len(self) == len(self.items_list):  # nothing stands twice
            return [self[name]]
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
