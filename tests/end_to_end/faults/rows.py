"""What a fault is: a name, what must come of it, and the steps of the provider that does it.

What must come of it: RIGHT, the answer as if nothing were; ERROR, an error in the client's own form; EITHER, one of the
two, where standards leave it open or something was lost that nobody needs. Two of them in a pair are for an answer in
one piece and for a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.end_to_end.faults.provider import CLOSE, Right, Step

__all__ = ["EITHER", "ENDED", "ERROR", "RIGHT", "Fault", "Made", "Steps", "head", "rows", "says"]

# ENDED: the terminal event was there, so what follows it is of no matter; Gemini has none, and there it is EITHER.
RIGHT, ERROR, EITHER, ENDED = "right", "error", "either", "right, where the dialect has an end of its own"
Steps = Callable[[Right], Sequence[Step]]


Made = dict[str, tuple[str | tuple[str, str], Steps]]


@dataclass(frozen=True)
class Fault:
    name: str
    kind: str
    wanted: tuple[str, str]  # of an answer in one piece, of a stream
    steps: Steps
    is_early: bool = False  # plays before the body was read

    def right_outcomes(self, upstream: str, *, stream: bool) -> tuple[str, ...]:
        wanted = self.wanted[stream]
        if wanted == EITHER or (wanted == ENDED and upstream == "gemini"):
            return (RIGHT, ERROR)
        return (RIGHT,) if wanted == ENDED else (wanted,)


def rows(kind: str, table: Made) -> list[Fault]:
    made = []
    for name, (wanted, steps) in table.items():
        made.append(Fault(name, kind, (wanted, wanted) if isinstance(wanted, str) else wanted, steps))
    return made


def says(data: bytes, *then: Step) -> Steps:
    return lambda right: [data, *(then or (CLOSE,))]


def head(*fields: str, **more: Any) -> Steps:
    """The right body behind a head with these fields, closed."""
    return lambda r: [r.sized(*fields, **more), CLOSE]
