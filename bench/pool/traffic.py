"""Who asks for what, and when: conversations of 5 to 20 turns, whose turns arrive as a Poisson process.

The times are given beforehand, whatever is answered how fast (an *open* load: a slow pool must not get less work), so
that every scheduler meets the same ones. A turn belongs to a conversation whose turn before has had the time for its
answer and a wait in line, so that hardly two of one conversation are under way; where there is none, a new one
begins. The prompt grows with each turn; what was said before is in the cache of the organisation that answered it.

Callers and models have shares of the load each (`Source`), every one a Poisson process of its own: a caller's demand
is steady, so that its fair share is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bench.pool.rules import Work

__all__ = ["Shape", "Source", "Turn", "arrivals", "ideal_work"]


@dataclass(frozen=True)
class Shape:
    """Sizes of prompts and answers in tokens; turns of a conversation; which part of clients does not stream, and so
    sees the head of its answer only at its end. `think_s`: the next turn comes at the earliest so long after the one
    before and its answer's time: the patience of a client, and reading."""

    first_prompt: tuple[int, int] = (300, 3000)
    turn_prompt: tuple[int, int] = (50, 400)
    answer_mean: float = 250.0
    max_tokens: int = 1024
    turns: tuple[int, int] = (5, 20)
    conversations: int = 200
    whole: float = 0.3
    think_s: float = 13.0


@dataclass(frozen=True)
class Source:
    """A caller's requests for a model; `share` of all that come."""

    caller: str = "one"
    model: str = "m"
    share: float = 1.0


@dataclass(frozen=True)
class Turn:
    """One request. `sizes` is (prompt, answer, `max_tokens`); `new_tokens` of the prompt were not in the turn
    before."""

    at: float
    conversation: int
    caller: str
    model: str
    sizes: tuple[int, int, int]
    new_tokens: int
    guess: int  # the gateway's guess of the prompt: within 15 %
    is_first: bool
    is_whole: bool
    leaves_after_s: float | None  # the client disconnects


def ideal_work(turn: Turn) -> Work:
    """What `turn` costs where the turn before it stands in the cache."""
    return Work(turn.sizes[0], turn.sizes[0] - turn.new_tokens, turn.sizes[1], turn.sizes[2])


@dataclass
class _Conversation:
    number: int
    source: Source
    turns_left: int
    history_tokens: int
    guess: float  # the gateway's guess of its text / the truth: the same text is guessed alike in each turn
    free_at: float = 0.0
    is_new: bool = True


def arrivals(
    random: Random,
    rate: Callable[[float], float],
    until: float,
    shape: Shape,
    sources: Sequence[Source] = (Source(),),
    *,
    leaving: Callable[[float], float] = lambda at: 0.0,
) -> list[Turn]:
    """Turns in the order of their times. `rate(t)` is in requests a second; `leaving(t)` is the share of clients that
    disconnect while they are served or wait."""
    open_: dict[Source, list[_Conversation]] = {source: [] for source in sources}
    shares = [source.share for source in sources]
    most = {source: max(1, int(shape.conversations * source.share / sum(shares))) for source in sources}
    turns: list[Turn] = []
    count, now = 0, 0.0
    while True:
        current = rate(now)
        now += random.expovariate(current) if current > 0 else 0.5
        if now >= until:
            return turns
        if current <= 0:
            continue
        source = random.choices(sources, shares)[0] if len(sources) > 1 else sources[0]
        mine = open_[source]
        found = None
        for _ in range(8 if mine else 0):
            one = mine[random.randrange(len(mine))]
            if one.free_at <= now:
                found = one
                break
        if found is None or (len(mine) < most[source] and random.random() < 0.2):
            count += 1
            first = random.randint(*shape.first_prompt)
            found = _Conversation(count, source, random.randint(*shape.turns), first, random.uniform(0.87, 1.15))
            mine.append(found)
        new = random.randint(*shape.turn_prompt) + (found.history_tokens if found.is_new else 0)
        prompt = new if found.is_new else found.history_tokens + new
        output = max(1, min(shape.max_tokens, int(random.expovariate(1 / shape.answer_mean))))
        leaves = random.uniform(0.1, 4.0) if random.random() < leaving(now) else None
        turns.append(
            Turn(
                now, found.number, source.caller, source.model, (prompt, output, shape.max_tokens), new,
                int(prompt * found.guess), found.is_new, random.random() < shape.whole, leaves,
            )
        )  # fmt: skip
        found.is_new = False
        found.history_tokens = prompt + output
        found.free_at = now + shape.think_s + output / 80
        found.turns_left -= 1
        if not found.turns_left:
            mine.remove(found)
