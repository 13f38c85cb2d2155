"""The scenarios of the pool's table, as data: rules, traffic, what must come of it.

Capacity is counted as `pool-model.md` §6 says: over organisations, the rate of the tightest dimension for the mix of
requests. Loads are shares of it. Every scenario runs with the limits in the configuration and *untold*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bench.pool.rules import Dimension, Key, Provider
from bench.pool.simulate import Figures
from bench.pool.traffic import Shape, Turn, arrivals
from ds2api.accounts import Account, AccountLimits

__all__ = ["SCENARIOS", "Goal", "Scenario", "World"]

SPAN_S = 600.0
SINCE_S = 120.0
MEAN_PROMPT = 3400  # measured over `Shape()`: a conversation's prompts grow

Goal = Callable[[Figures, Figures], str | None]  # ours, the ideal's → what is missed


def openai(rpm: float, tpm: float) -> tuple[Dimension, ...]:
    """OpenAI: the prompt as estimated, and `max_tokens`, at admission."""
    return (
        Dimension("requests", rpm, lambda work: 1.0),
        Dimension("tokens", tpm, lambda work: work.estimate + work.max_tokens),
    )


@dataclass
class World:
    """One run's provider side, and the same as the pool is told it."""

    providers: dict[str, Provider]
    accounts: list[Account]
    turns: list[Turn]
    until: float = SPAN_S
    since: float = SINCE_S


@dataclass(frozen=True)
class Scenario:
    name: str
    make: Callable[[Random, bool], World]  # with limits told or not
    must: Sequence[tuple[str, Goal]]


def world(
    random: Random,
    told: bool,
    load: float,
    *,
    weights: Sequence[float] = (1.0,) * 10,
    organisations: Sequence[str] | None = None,
    rpm: float = 60.0,
    tpm: float | None = None,
    announces: str = "openai",
    shape: Shape | None = None,
    rate: Callable[[float, float], float] | None = None,
    leaving: float = 0.0,
    caller: Callable[[Random], str] = lambda random: "one",
    died_at: dict[int, float] | None = None,
    spent_at: dict[int, float] | None = None,
) -> World:
    """Ten keys (or as many as `weights`), each an organisation of its own unless said; requests are the bottleneck
    unless `tpm` is given."""
    names = [f"k{number}" for number in range(len(weights))]
    owners = list(organisations or names)
    by_owner = dict(zip(owners, weights, strict=True))
    tokens = tpm if tpm is not None else rpm * 100_000.0

    def limits(organisation: str, model: str) -> tuple[Dimension, ...]:
        weight = by_owner[organisation]
        return openai(rpm * weight, tokens * weight)

    keys = [
        Key(name, owner, (died_at or {}).get(number, float("inf")), (spent_at or {}).get(number, float("inf")))
        for number, (name, owner) in enumerate(zip(names, owners, strict=True))
    ]
    provider = Provider("p", keys, limits, announces=announces)
    accounts = [
        Account(
            f"p/{name}",
            "p",
            AccountLimits(rpm=rpm * by_owner[owner], tpm=tokens * by_owner[owner]) if told else AccountLimits(),
            group=owner if told and organisations else "",
        )
        for name, owner in zip(names, owners, strict=True)
    ]
    per_request = [1.0 / rpm, (MEAN_PROMPT + 1024) / tokens]
    capacity = sum(by_owner.values()) / max(per_request) / 60  # requests a second
    turns = arrivals(
        random, (lambda now: rate(now, capacity)) if rate is not None else (lambda now: load * capacity), SPAN_S,
        shape or Shape(), caller=caller, leaving=leaving,
    )  # fmt: skip
    return World({"p": provider}, accounts, turns)


def none_visible(ours: Figures, ideal: Figures) -> str | None:
    return f"{sum(ours.visible.values())} clients saw {dict(ours.visible)}" if ours.visible else None


def goodput(least: float) -> Goal:
    def check(ours: Figures, ideal: Figures) -> str | None:
        share = ours.served_units / max(1.0, ideal.served_units)
        return f"goodput {share:.3f}" if share < least else None

    return check


def waste(most: float) -> Goal:
    return lambda ours, ideal: f"waste {ours.waste:.3f}" if ours.waste > most else None


def wait_p99(most_s: float) -> Goal:
    return lambda ours, ideal: f"wait p99 {ours.wait_s(0.99):.2f} s" if ours.wait_s(0.99) > most_s else None


def affinity(least: float) -> Goal:
    return lambda ours, ideal: f"affinity {ours.affinity:.3f}" if ours.affinity < least else None


FREE = [("no client sees a 429 or 5xx", none_visible), ("< 1 % of attempts refused", waste(0.01))]


def at(load: float, **more: object) -> Callable[[Random, bool], World]:
    return lambda random, told: world(random, told, load, **more)  # type: ignore[arg-type]


HONEST = ("< 1 % of attempts refused", waste(0.01))
CALM = ("wait p99 ≤ 1 s", wait_p99(1.0))
LOYAL = ("affinity ≥ 95 %", affinity(0.95))
TOKENS = {"rpm": 600.0, "tpm": 240_000.0}
SIX_OF_TEN = ("o",) * 6 + ("a", "b", "c", "d")

SCENARIOS = [
    Scenario("50 % of capacity", at(0.5), FREE),
    Scenario("80 % of capacity", at(0.8), [*FREE, CALM, LOYAL]),
    Scenario("95 % of capacity", at(0.95), FREE),
    Scenario("100 %", at(1.0), [("goodput ≥ 99 %", goodput(0.99)), HONEST]),
    Scenario("150 %", at(1.5), [("goodput ≥ 98 %", goodput(0.98)), HONEST]),
    Scenario("unequal keys 1:2:5:10, 80 %", at(0.8, weights=(1, 2, 5, 10, 1, 2, 5, 10, 1, 2)), FREE),
    Scenario("tokens are the bottleneck, 80 %", at(0.8, **TOKENS), FREE),
    Scenario("tokens, 150 %", at(1.5, **TOKENS), [("goodput ≥ 98 %", goodput(0.98)), HONEST]),
    Scenario(
        "never announced, 80 %",
        at(0.8, announces=""),
        [("goodput ≥ 95 %", goodput(0.95)), ("waste < 3 %", waste(0.03))],
    ),
    Scenario(
        "one key revoked, one out of quota, 70 %",
        at(0.7, died_at={3: 300.0}, spent_at={6: 300.0}),
        [("nobody sees it", none_visible)],
    ),
    Scenario("ten keys, one organisation, 80 %", at(0.8, organisations=("o",) * 10), FREE),
    Scenario("six of ten keys are one organisation, 80 %", at(0.8, organisations=SIX_OF_TEN), FREE),
    Scenario("clients that disconnect, 80 %", at(0.8, leaving=0.2), FREE),
]
