"""What happens to an answer's events between the provider's decoder and the client's encoder.

Most answers need nothing; then there is no `Course` at all. Each step takes the events of one read and gives those
that go on, in order: tools that were only prompted are found in the text, what the request's translation changed is
undone, and thoughts that the client cannot carry are listened for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ds2api.universal.events import Event

__all__ = ["Course", "Step"]


class Step(Protocol):
    @property
    def only_listens(self) -> bool:
        """It gives every event on as it came."""
        ...

    def events(self, events: list[Event]) -> list[Event]: ...


class Course:
    """`steps`, one after the other."""

    __slots__ = ("_steps", "only_listens")

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self.only_listens = all(step.only_listens for step in steps)

    def events(self, events: list[Event]) -> list[Event]:
        for step in self._steps:
            events = step.events(events)
        return events
