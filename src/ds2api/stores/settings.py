"""How much is remembered, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoreLimits"]


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """The newest stays: what is over a limit pushes out the oldest."""

    # Off, a `previous_response_id` works only where the provider itself keeps answers.
    answers: bool = True
    # OpenAI keeps answers for 30 days; this is memory, and most conversations go on within the hour.
    answers_total_s: float = 24 * 3600.0
    # About 10,000 answers of 6 KB.
    answers_bytes: int = 64 * 1024 * 1024
    # Which account made an answer: some 100 bytes each.
    pins: int = 100_000
    # A turn's thoughts are asked for with the next request; agents that wait for a person take their time.
    thoughts_total_s: float = 6 * 3600.0
    # An encrypted thought is 1 to 10 KB: some 5,000 turns.
    thoughts_bytes: int = 32 * 1024 * 1024
