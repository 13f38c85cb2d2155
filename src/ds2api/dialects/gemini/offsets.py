"""Places in a text that streams, in UTF-8 bytes and in characters: Gemini counts the first, everybody else the second.

Kept as runs of characters of one width, so that a text of one script costs nothing that grows with it: plain ASCII is
a single run however long, and a mixed text costs a run where the width changes.
"""

from __future__ import annotations

import re

__all__ = ["Offsets"]

_RUN = re.compile(r"[\x00-\x7f]+|[\x80-\u07ff]+|[\u0800-\uffff]+|[\U00010000-\U0010ffff]+")


class Offsets:
    """`add` the pieces of a text in their order, then ask."""

    __slots__ = ("_runs", "characters")

    def __init__(self) -> None:
        self.characters = 0
        self._runs: list[list[int]] = []  # [characters, bytes of each]

    def add(self, text: str) -> None:
        self.characters += len(text)
        if text.isascii():
            self._run(len(text), 1)
            return
        for found in _RUN.finditer(text):
            self._run(found.end() - found.start(), len(found[0][0].encode("utf-8", "surrogatepass")))

    def characters_at(self, offset_bytes: int) -> int:
        """The number of characters before a byte; the end for whatever lies behind it."""
        characters = 0
        for count, width in self._runs:
            if offset_bytes < count * width:
                return characters + offset_bytes // width
            offset_bytes -= count * width
            characters += count
        return characters

    def bytes_at(self, characters: int) -> int:
        """The number of bytes before a character."""
        total = 0
        for count, width in self._runs:
            if characters <= count:
                return total + characters * width
            characters -= count
            total += count * width
        return total

    def _run(self, count: int, width: int) -> None:
        if self._runs and self._runs[-1][1] == width:
            self._runs[-1][0] += count
        elif count:
            self._runs.append([count, width])
