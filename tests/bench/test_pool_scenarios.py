"""The pool's goals, guarded: every scenario of `bench/pool` shortly, one seed, with limits told and untold.

`tools/dev.py bench --pool` is the measurement (20 seeds, ten times as long); this only notices a pool that has become
worse. And the judge is judged: providers refuse in words that the gateway reads as they are meant, and the ideal
scheduler really reaches what is called capacity.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from bench.pool.figures import Figures
from bench.pool.rules import RULES, Key, Provider, Refusal
from bench.pool.runs import run
from bench.pool.scenarios import SCENARIOS, Scenario, Times
from bench.pool.simulate import WALL_S

from ds2api.accounts import Action, judge, read_announced
from ds2api.dialects.registry import DIALECTS

SHORT = Times(since=30.0, event=45.0, until=80.0, outage=15.0)
# What nobody announces is to be known after two minutes, and a cache has to be filled first.
LEARNT = Times(since=120.0, event=130.0, until=180.0, outage=15.0)
# That refusals are chance shows only when slowing down has not helped.
FOUND_OUT = Times(since=240.0, event=250.0, until=270.0, outage=15.0)


# What is not reached yet, by the words of the goal: this list may only become shorter. (Mistral: a burst of one second
# and requests that no header names; a restart without a state file: the levels of the process before are not known.)
KNOWN_MISSES = {
    "Mistral, a second's limit, 80 %": ("wait p99", "waste 0.0"),
    "restart, nothing kept": ("refused in the first five seconds",),
    # The noise of less than a minute: over five minutes it is reached.
    "150 %, five callers": ("a caller has 0.94",),
    "a fifth of the clients leave, then 100 %": ("goodput 0.98",),
    "tokens, 150 %": ("goodput 0.97",),
}


def times_for(scenario: Scenario) -> Times:
    if scenario.rules == "shared":
        return FOUND_OUT
    return SHORT if scenario.rules in ("openai", "minute", "mistral") else LEARNT


@cache
def ideal(name: str) -> Figures:
    scenario = next(one for one in SCENARIOS if one.name == name)
    return run(scenario, "ideal", 1, times_for(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
@pytest.mark.parametrize("who", ["ours, told", "ours, untold"])
def test_the_pool_reaches_its_goals(scenario: Scenario, who: str) -> None:
    times = times_for(scenario)
    ours = run(scenario, who, 1, times)
    missed = [goal(ours, ideal(scenario.name), times) for goal in scenario.goals]
    known = KNOWN_MISSES.get(scenario.name, ())
    assert [one for one in missed if one is not None and not any(word in one for word in known)] == []


@pytest.mark.parametrize("who", ["shuffle", "round robin"])
def test_a_pool_that_does_not_schedule_misses_them(who: str) -> None:
    scenario = next(one for one in SCENARIOS if one.name.startswith("150 %"))
    ours = run(scenario, who, 1, SHORT)
    missed = [goal(ours, ideal(scenario.name), SHORT) for goal in scenario.goals]
    assert len([one for one in missed if one is not None]) >= 3


@pytest.mark.parametrize("load", [0.9, 1.5])
@pytest.mark.parametrize("name", ["80 %", "tokens, 80 %"])
def test_capacity_is_what_an_ideal_scheduler_reaches(name: str, load: float) -> None:
    scenario = replace(next(one for one in SCENARIOS if one.name.startswith(name)), load=load)
    figures = run(scenario, "ideal", 1, SHORT)
    minutes = (SHORT.until - SHORT.since) / 60
    assert figures.good / minutes == pytest.approx(min(load, 1.0), abs=0.08)


ACTIONS = {
    "limited": Action.COOL,
    "revoked": Action.DOUBT,
    "spent": Action.SUSPEND,
    "down": Action.REST,
}


def provider(rules: str, limit: float = 12.0, **bad: float) -> Provider:
    day = {"requests/day": 3.0} if "day" in bad else {}
    limits = {count.name: limit * 1000 if "token" in count.name else limit for count in RULES[rules].counts[:3]}
    limits.pop("requests/day", None)
    down = [(0.0, 1.0)] if "down" in bad else []
    key = Key("a", "org", bad.get("died_at", float("inf")), bad.get("spent_at", float("inf")))
    return Provider("p", RULES[rules], [key], lambda owner, model: limits | day, down=down, wall_s=WALL_S)


def refusal(one: Provider) -> Refusal:
    for _ in range(50):
        got = one.attempt("a", "m", 1, (100, 10, 50), 0.5)[1]
        if isinstance(got, Refusal):
            return got
    raise AssertionError("it refuses nothing")


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize(
    ("cause", "bad"),
    [("limited", {}), ("revoked", {"died_at": 0.0}), ("spent", {"spent_at": 0.0}), ("down", {"down": 1.0})],
)
def test_a_refusal_is_read_as_it_is_meant(rules: str, cause: str, bad: dict[str, float]) -> None:
    got = refusal(provider(rules, **bad))
    assert got.cause == cause
    verdict = judge(DIALECTS[RULES[rules].speaks].read_error(got.status, got.headers, got.body))
    assert verdict.action is ACTIONS[cause]
    if cause == "limited" and RULES[rules].tells_wait:
        assert verdict.wait_s is not None
        # A twelfth of a minute's limit a second, and a refused request may cost one.
        assert 0 < verdict.wait_s <= 10.0
    elif cause == "limited":
        assert verdict.wait_s is None


def test_a_spent_day_is_told_from_a_spent_minute() -> None:
    got = refusal(provider("gemini", limit=600.0, day=1.0))
    assert got.cause == "daily"
    verdict = judge(DIALECTS["gemini"].read_error(got.status, got.headers, got.body))
    assert verdict.action is Action.COOL
    assert verdict.wait_s is not None and verdict.wait_s > 3600  # not the thirty seconds of its `retryDelay`


@pytest.mark.parametrize("rules", [name for name, one in RULES.items() if one.announces])
def test_what_is_announced_is_read(rules: str) -> None:
    one = provider(rules)
    got = one.attempt("a", "m", 1, (100, 10, 50), 0.5)[1]
    told = read_announced(got.headers, WALL_S + 0.5)
    assert told.dimensions
    for name, dimension in told.dimensions.items():
        assert dimension.limit == (12_000 if "token" in name else 12)
        assert dimension.remaining is not None and dimension.reset_s is not None
    assert (told.organisation == "org") == (rules != "mistral")
