"""Tool names that a protocol takes, derived from those it does not: always the same from the same.

A changed name is noted, so that the answer shows the client's own. It is cut and marked with a hash of the whole,
so that two long names which share their beginning stay two (R052).
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["ToolNames"]

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_MARK_DIGITS = 10


class ToolNames:
    """The names of one request. `legal` is what the protocol takes whole, `limit` its length; `changed` maps a name
    as the provider knows it to the client's."""

    __slots__ = ("_legal", "_limit", "changed")

    def __init__(self, legal: re.Pattern[str], limit: int) -> None:
        self._legal = legal
        self._limit = limit
        self.changed: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The legal name for `name`: itself where it is legal."""
        if self._legal.fullmatch(name):
            return name
        mark = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:_MARK_DIGITS]
        legal = f"{_ILLEGAL.sub('_', name)[: self._limit - _MARK_DIGITS - 1]}_{mark}"
        if not self._legal.fullmatch(legal):
            legal = f"t_{legal}"[: self._limit]  # Gemini: a name begins with a letter or an underscore
        self.changed[legal] = name
        return legal
