"""Answers that a later request may refer to by their id (`previous_response_id`), and where they were made.

Two kinds of memory, since two kinds of provider stand behind one id. A provider that keeps its answers itself is
asked again on the account that made them: only the account is remembered (`made_by`). For every other one the
gateway keeps the conversation's items and replays them: as compact JSON, since a parsed item takes five times as much.
Answers of one conversation share the items that came before, and each of these counts as long as one of them is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ds2api import jsons
from ds2api.stores.bounded import Bounded
from ds2api.stores.settings import StoreLimits

__all__ = ["Answers", "StoredAnswer"]

# The key, the entry and its two containers; the head of a bytes object. Measured with tracemalloc on 3.11.
_ANSWER_OVERHEAD_BYTES = 600
_ITEM_OVERHEAD_BYTES = 120  # with its count in the table of uses
_REFERENCE_BYTES = 8
_PIN_BYTES = 1  # pins are counted, not weighed


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """`items` are all items before the answer, oldest first; `answer` is the answer as its client got it."""

    items: Sequence[dict[str, Any]]
    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kept:
    items: tuple[bytes, ...]
    answer: bytes


class Answers:
    """All answers of one gateway; ids of one caller mean nothing to another."""

    def __init__(self, limits: StoreLimits) -> None:
        self.is_on = limits.answers
        self._answers: Bounded[tuple[str, str], _Kept] = Bounded(
            limits.answers_bytes, limits.answers_total_s, self._release
        )
        self._uses: Counter[int] = Counter()  # of an item, by its id: how many answers have it
        self._made_by: Bounded[tuple[str, str], tuple[str, str]] = Bounded(limits.pins, limits.answers_total_s * 30)

    def keep(self, caller: str, id_: str, stored: StoredAnswer, previous_id: str | None, now: float) -> None:
        """Keep `stored`, whose items begin with those of the answer `previous_id`."""
        previous = None if previous_id is None else self._answers.get((caller, previous_id), now)
        before = () if previous is None else previous.items
        items = (*before, *map(_dumped, stored.items[len(before) :]))
        kept = _Kept(items, _dumped(stored.answer))
        size = self._size(kept)
        for item in items:
            self._uses[id(item)] += 1
            size += self._cost(item) if self._uses[id(item)] == 1 else 0
        self._answers.put((caller, id_), kept, size, now)

    def _release(self, kept: _Kept) -> int:
        size = self._size(kept)
        for item in kept.items:
            self._uses[id(item)] -= 1
            if not self._uses[id(item)]:
                del self._uses[id(item)]
                size += self._cost(item)
        return size

    @staticmethod
    def _size(kept: _Kept) -> int:
        return len(kept.answer) + _ANSWER_OVERHEAD_BYTES + len(kept.items) * _REFERENCE_BYTES

    @staticmethod
    def _cost(item: bytes) -> int:
        return len(item) + _ITEM_OVERHEAD_BYTES

    def get(self, caller: str, id_: str, now: float) -> StoredAnswer | None:
        kept = self._answers.get((caller, id_), now)
        return None if kept is None else StoredAnswer([*map(jsons.parse, kept.items)], jsons.parse(kept.answer))

    def delete(self, caller: str, id_: str) -> bool:
        return self._answers.drop((caller, id_))

    def pin(self, caller: str, id_: str, provider: str, account: str, now: float) -> None:
        """The provider keeps the answer `id_` itself, at `account` (its tag)."""
        self._made_by.put((caller, id_), (provider, account), _PIN_BYTES, now)

    def made_by(self, caller: str, id_: str, now: float) -> tuple[str, str] | None:
        """(provider, account tag) of an answer that its provider keeps."""
        return self._made_by.get((caller, id_), now)


def _dumped(value: Any) -> bytes:
    """In memory of its own size: what orjson (3.13) gives keeps the buffer that it was written to, 4 KB at least."""
    return bytes(memoryview(jsons.dump(value)))
