"""Who asks for what, and when: conversations of 5 to 20 turns, whose turns arrive as a Poisson process.

The times are given beforehand, whatever is answered how fast (an *open* load: a slow pool must not get less work), so
that every scheduler meets the same ones. A turn belongs to a conversation whose turn before has had the time for its
answer; where there is none, a new conversation begins. The prompt grows with each turn; what was said in the turn
before is in the cache of the organisation that answered it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

__all__ = ["Shape", "Turn", "arrivals"]


@dataclass(frozen=True)
class Shape:
    """Sizes of prompts and answers in tokens; turns of a conversation."""

    first_prompt: tuple[int, int] = (300, 3000)
    turn_prompt: tuple[int, int] = (50, 400)
    answer_mean: float = 250.0
    max_tokens: int = 1024
    turns: tuple[int, int] = (5, 20)
    conversations: int = 200


@dataclass(frozen=True)
class Turn:
    """One request. `prompt_tokens` is all of it, `new_tokens` what was not in the turn before."""

    at: float
    conversation: int
    caller: str
    model: str
    prompt_tokens: int
    new_tokens: int
    output_tokens: int
    max_tokens: int
    guess: float  # the gateway's guess of the prompt, as a factor: within 15 %
    leaves_after_s: float | None  # the client disconnects


@dataclass
class _Conversation:
    number: int
    caller: str
    model: str
    turns_left: int
    history_tokens: int
    free_at: float = 0.0


def arrivals(
    random: Random,
    rate: Callable[[float], float],
    until: float,
    shape: Shape,
    *,
    caller: Callable[[Random], str] = lambda random: "one",
    model: Callable[[Random], str] = lambda random: "m",
    leaving: float = 0.0,
) -> list[Turn]:
    """Turns in the order of their times. `rate(t)` is in requests a second; `leaving` is the share of clients that
    disconnect while they are served or wait."""
    open_: list[_Conversation] = []
    turns: list[Turn] = []
    count, now = 0, 0.0
    while True:
        current = rate(now)
        if current <= 0:
            now += 0.5
        else:
            now += random.expovariate(current)
        if now >= until:
            return turns
        if current <= 0:
            continue
        found = None
        for _ in range(8 if open_ else 0):
            one = open_[random.randrange(len(open_))]
            if one.free_at <= now:
                found = one
                break
        if found is None or (len(open_) < shape.conversations and random.random() < 0.2):
            count += 1
            first = random.randint(*shape.first_prompt)
            found = _Conversation(count, caller(random), model(random), random.randint(*shape.turns), first)
            open_.append(found)
        new = random.randint(*shape.turn_prompt)
        prompt = found.history_tokens + new
        output = max(1, min(shape.max_tokens, int(random.expovariate(1 / shape.answer_mean))))
        leaves = random.uniform(0.1, 4.0) if random.random() < leaving else None
        turns.append(
            Turn(
                now, found.number, found.caller, found.model, prompt, new, output, shape.max_tokens,
                random.uniform(0.87, 1.15), leaves,
            )
        )  # fmt: skip
        found.history_tokens = prompt + output
        found.free_at = now + 3.0 + output / 80
        found.turns_left -= 1
        if not found.turns_left:
            open_.remove(found)
