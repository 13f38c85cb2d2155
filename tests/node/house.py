"""The gateway of the layer, and the six mocks behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.end_to_end.harness import Running
from tests.node.provider import Provider, Said, answer

__all__ = ["House"]


@dataclass(frozen=True)
class House:
    """The gateway and what stands behind it."""

    running: Running
    mocks: dict[str, Provider]
    table: dict[str, Any]

    @property
    def url(self) -> str:
        return self.running.url

    def says(self, upstream: str, *turns: Said) -> Provider:
        """From now on the model behind `upstream` says `turns`, one a request, the last for ever."""
        mock = self.mocks[upstream]
        mock.received.clear()
        rest = list(turns)
        mock.script = lambda received: answer(upstream, received, rest.pop(0) if len(rest) > 1 else rest[0])
        return mock
