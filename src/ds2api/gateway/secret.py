"""A key, held so that it does not slip out.

`str`, `repr`, formatting and pickling show at most the last four characters; the value itself comes only from
`reveal`, which is called at exactly one place on the way to the provider and can be searched for.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn

__all__ = ["Secret"]


class Secret:
    """One key. Compares by value; hashes by nothing."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key. For the header that carries it to its own origin, and for nothing else."""
        return self._value

    @property
    def shown(self) -> str:
        """What people may see: ``sk-…abcd``; nothing of it where it is too short to hide the rest."""
        value = self._value
        if len(value) < 12:
            return "…"
        head = value.split("-", 1)[0] + "-" if "-" in value[:8] else ""
        return f"{head}…{value[-4:]}"

    @property
    def tag(self) -> str:
        """A hash that names the account without telling the key, the same after a restart."""
        return hashlib.sha256(b"ds2api account\0" + self._value.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __repr__(self) -> str:
        return f"Secret({self.shown})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
