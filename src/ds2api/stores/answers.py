"""Answers that a later request may refer to by their id (`previous_response_id`), and where they were made.

Two kinds of memory, since two kinds of provider stand behind one id. A provider that keeps its answers itself is
asked again on the account that made them: only the account is remembered (`made_by`). For every other one the
gateway keeps the conversation's items and replays them. Items of a long conversation are shared between its answers,
so each answer is charged for what it added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ds2api import jsons
from ds2api.stores.bounded import Bounded
from ds2api.stores.settings import StoreLimits

__all__ = ["Answers", "StoredAnswer"]

_PIN_BYTES = 1  # pins are counted, not weighed


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """`items` are all items before the answer, oldest first; `answer` is the answer as its client got it."""

    items: Sequence[dict[str, Any]]
    answer: dict[str, Any]


class Answers:
    """All answers of one gateway; ids of one caller mean nothing to another."""

    def __init__(self, limits: StoreLimits) -> None:
        self.is_on = limits.answers
        self._answers: Bounded[tuple[str, str], StoredAnswer] = Bounded(limits.answers_bytes, limits.answers_total_s)
        self._made_by: Bounded[tuple[str, str], tuple[str, str]] = Bounded(limits.pins, limits.answers_total_s * 30)

    def keep(self, caller: str, id_: str, stored: StoredAnswer, added: Sequence[dict[str, Any]], now: float) -> None:
        """Keep `stored`; `added` are those of its items that no earlier answer has."""
        size = len(jsons.dump([*added, stored.answer]))
        self._answers.put((caller, id_), stored, size, now)

    def get(self, caller: str, id_: str, now: float) -> StoredAnswer | None:
        return self._answers.get((caller, id_), now)

    def delete(self, caller: str, id_: str) -> bool:
        return self._answers.drop((caller, id_))

    def pin(self, caller: str, id_: str, provider: str, account: str, now: float) -> None:
        """The provider keeps the answer `id_` itself, at `account` (its tag)."""
        self._made_by.put((caller, id_), (provider, account), _PIN_BYTES, now)

    def made_by(self, caller: str, id_: str, now: float) -> tuple[str, str] | None:
        """(provider, account tag) of an answer that its provider keeps."""
        return self._made_by.get((caller, id_), now)
