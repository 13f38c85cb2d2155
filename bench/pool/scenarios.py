"""The scenarios of the pool's table, as data: rules, limits, traffic, what must come of it.

Capacity is counted as `pool-model.md` §6 says: over organisations, the rate of the tightest count for the mix of
requests, and the mix is measured on the very turns that are played (`_turns` draws them until load and mix agree).
Loads are shares of it. Every scenario runs with the limits in the configuration and *untold*: then nobody says any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean

from bench.pool.figures import Figures
from bench.pool.rules import RULES, Key, Limits, Provider, Work
from bench.pool.schedulers import Scheduler
from bench.pool.simulate import WALL_S
from bench.pool.traffic import Shape, Source, Turn, arrivals, ideal_work
from ds2api.accounts import Account, AccountLimits, Pool
from ds2api.slices import at_once

__all__ = ["SCENARIOS", "Goal", "Scenario", "Times", "World"]


@dataclass(frozen=True)
class Times:
    """The measured span, and when whatever happens happens. A short run is for the suite."""

    since: float = 120.0
    event: float = 240.0  # a key dies, a provider falls, a process starts again, a day's quota is reached
    until: float = 420.0
    outage: float = 30.0


Goal = Callable[[Figures, Figures, Times], str | None]  # of ours, of the ideal's → what is missed


@dataclass
class World:
    """One run's provider side, the same as the pool is told it, and what happens meanwhile."""

    providers: dict[str, Provider]
    accounts: Callable[[bool], list[Account]]  # with limits told or not
    turns: list[Turn]
    restart: Callable[[Scheduler, float], Scheduler] | None = None  # at `Times.event`
    capacity: float = 0.0  # requests a second


@dataclass(frozen=True)
class Scenario:
    """`owners` are the organisations of the keys, `weights` their limits as multiples; `limits` those of one, for each
    model where they differ; `rate` a load by the time where it is not constant. Bad days: `dead` and `spent` keys,
    whether the provider is `down`, a `fallback` behind it, a `restart` with the state file or without."""

    name: str
    load: float
    goals: Sequence[Goal]
    rules: str = "openai"
    weights: Sequence[float] = (1.0,) * 10
    owners: Sequence[str] = tuple("abcdefghij")
    limits: Mapping[str, Limits] = field(default_factory=lambda: {"m": REQUESTS})
    sources: Sequence[Source] = (Source(),)
    shape: Shape = field(default_factory=Shape)
    rate: Callable[[float, float, Times], float] | None = None
    leaving: Callable[[float, Times], float] = lambda at, times: 0.0
    dead: Sequence[int] = ()
    spent: Sequence[int] = ()
    daily: Mapping[str, float] = field(default_factory=dict)  # owner → share of the run that its day's quota lasts
    is_down: bool = False
    fallback: bool = False
    restart: str = ""  # "state": with the file; "nothing": without

    def world(self, seed: int, times: Times, *, speed: float = 1.0, wall_s: float = WALL_S) -> World:
        """`speed`: limits are so many times as high, and everything that takes time as much shorter."""
        rules = RULES[self.rules]
        scale = dict(zip(self.owners, self.weights, strict=True))

        def limits(owner: str, model: str, speed: float = speed) -> Limits:
            found = {
                name: limit * scale[owner] * (1.0 if name == "concurrency" else speed)
                for name, limit in self.limits[model].items()
            }
            if owner in self.daily:
                found["requests/day"] = 1.0 + int(self.daily[owner] * times.until * self.limits[model]["requests"] / 60)
            return found

        def provider(name: str, down: bool, speed: float = speed) -> Provider:
            never, event = float("inf"), times.event / speed
            keys = [
                Key(
                    f"k{number}", owner,
                    event if number in self.dead else never, event if number in self.spent else never,
                )
                for number, owner in enumerate(self.owners)
            ]  # fmt: skip
            return Provider(
                name, rules, keys, lambda owner, model: limits(owner, model, speed),
                down=[(event, event + times.outage / speed)] if down else [], wall_s=wall_s, speed=speed,
            )  # fmt: skip

        providers = {"p": provider("p", self.is_down)}
        if self.fallback:
            providers["q"] = provider("q", False)

        def accounts(told: bool) -> list[Account]:
            return [
                told_account(one.name, key) if told else Account(f"{one.name}/{key.name}", one.name)
                for one in providers.values()
                for key in one.keys.values()
            ]

        def told_account(name: str, key: Key) -> Account:
            each = [(model, _configured(limits(key.organisation, model))) for model in self.limits]
            return Account(
                f"{name}/{key.name}", name,
                each[0][1] if len(each) == 1 else AccountLimits(),
                group=key.organisation if self.owners.count(key.organisation) > 1 else "",
                model_limits=tuple(each) if len(each) > 1 else (),
            )  # fmt: skip

        turns, capacity = self._turns(provider("p", False, 1.0), seed, times)
        if speed != 1.0:
            turns = [
                replace(
                    turn, at=turn.at / speed,
                    leaves_after_s=None if turn.leaves_after_s is None else turn.leaves_after_s / speed,
                )
                for turn in turns
            ]  # fmt: skip
        world = World(providers, accounts, turns, capacity=capacity * speed)
        if self.restart:
            world.restart = lambda old, now: self._restarted(world, old, now)
        return world

    def _turns(self, provider: Provider, seed: int, times: Times) -> tuple[list[Turn], float]:
        """The turns, and the capacity for their mix. Every model gets its part of the load by its part of capacity."""
        capacities, turns = dict.fromkeys(self.limits, 10.0), list[Turn]()

        def rate(at: float) -> float:
            capacity = sum(capacities.values())
            return self.load * capacity if self.rate is None else self.rate(at, capacity, times)

        for _ in range(3):
            sources = [replace(one, share=one.share * capacities[one.model]) for one in self.sources]
            turns = arrivals(
                Random(seed), rate, times.until, self.shape, sources, leaving=lambda at: self.leaving(at, times)
            )
            capacities = {model: _capacity(provider, model, turns, times) for model in self.limits}
        return turns, sum(capacities.values())

    def _restarted(self, world: World, old: Scheduler, now: float) -> Scheduler:
        if not isinstance(old, Pool):
            return old  # who knows nothing loses nothing
        is_told = old.account("p/k0").limits != AccountLimits()
        pool = Pool(world.accounts(is_told), random=Random(2), wall_s=WALL_S)
        if self.restart == "state":
            notes = pool.restore(json.loads(json.dumps(at_once(old.snapshot(now)))), now)
            assert not notes, notes
        return pool


def _configured(limits: Limits) -> AccountLimits:
    """As a configuration would say it."""
    return AccountLimits(
        rpm=limits.get("requests"),
        tpm=limits.get("tokens"),
        itpm=limits.get("input-tokens"),
        otpm=limits.get("output-tokens"),
        rpd=limits.get("requests/day"),
        concurrency=int(limits["concurrency"]) if "concurrency" in limits else None,
    )


def _capacity(provider: Provider, model: str, turns: Sequence[Turn], times: Times) -> float:
    """Requests a second that all organisations together admit, for the mix of the measured turns whose conversations
    meet their cache again and again."""
    works = [ideal_work(turn) for turn in turns if turn.model == model and turn.at >= times.since] or [
        Work(3000, 0, 250, 1024)
    ]
    total = 0.0
    for owner in provider.organisations(0.0):
        rates = [
            bucket.rate / fmean(bucket.count.total(work) for work in works)
            if bucket.is_timed
            else bucket.limit / fmean(work.total_s for work in works)
            for bucket in provider.buckets(owner, model)
            if bucket.count.name != "requests/day"
        ]
        total += min(rates)
    return total


# -- goals


def nobody_sees_it(ours: Figures, ideal: Figures, times: Times) -> str | None:
    """Whom an ideal scheduler could not serve within its patience either (a wave of arrivals) is nobody's fault."""
    return f"{ours.seen} clients saw {dict(ours.visible)}" if ours.seen > ideal.seen else None


def goodput(least: float) -> Goal:
    def check(ours: Figures, ideal: Figures, times: Times) -> str | None:
        share = ours.good / max(1e-9, ideal.good)
        return f"goodput {share:.3f} < {least}" if share < least else None

    return check


def waste(most: float) -> Goal:
    return lambda ours, ideal, times: f"waste {ours.waste:.3f} > {most}" if ours.waste > most else None


def wait_p99(most_s: float) -> Goal:
    """Where the ideal scheduler itself cannot (a peak of large requests is more than all keys take), a quarter more
    than its."""

    def check(ours: Figures, ideal: Figures, times: Times) -> str | None:
        wait_s, least_s = ours.wait_s(0.99), ideal.wait_s(0.99)
        return f"wait p99 {wait_s:.2f} s" if wait_s > max(most_s, 1.25 * least_s) else None

    return check


def affinity(least: float) -> Goal:
    return lambda ours, ideal, times: f"affinity {ours.affinity:.3f} < {least}" if ours.affinity < least else None


def honest(ours: Figures, ideal: Figures, times: Times) -> str | None:
    """Nine of ten, since the backlog of the moment is a guess of what the next seconds bring."""
    return f"only {ours.honest:.2f} of the retry-afters were right" if ours.honest < 0.9 else None


def fair(ours: Figures, ideal: Figures, times: Times) -> str | None:
    """A twentieth below is the noise of a Poisson process over some minutes: a caller that asked for nothing in one
    second cannot have its share of it later."""
    return f"a caller has {ours.fairness:.3f} of its fair share" if ours.fairness < 0.95 else None


def others_keep(ours: Figures, ideal: Figures, times: Times) -> str | None:
    """Without the greedy one all of the others' requests would be served: there is capacity for them."""
    kept = min(ours.served[one] / max(1, ours.asked[one]) for one in ours.asked if one != "greedy")
    return f"another caller keeps {kept:.3f}" if kept < 0.95 else None


def lets_go(ours: Figures, ideal: Figures, times: Times) -> str | None:
    late = max(ours.late.values(), default=0)
    return f"{late} attempts on an account known to be dead" if late > 2 else None


def keeps_nothing(ours: Figures, ideal: Figures, times: Times) -> str | None:
    return ours.left_over or None


def comes_back(ours: Figures, ideal: Figures, times: Times) -> str | None:
    """Within five seconds of the recovery, and without a herd: of what is sent in them, hardly anything is refused."""
    back = times.event + times.outage
    took_s, herd = ours.back_s("p", back, outage_s=times.outage), ours.refused_share(back, back + 10)
    if took_s > 5.0:
        return f"back after {took_s:.1f} s"
    return f"{herd:.3f} refused after the recovery" if herd > 0.02 else None


def asks_little(most: int) -> Goal:
    """How often a provider that is down is asked meanwhile."""

    def check(ours: Figures, ideal: Figures, times: Times) -> str | None:
        count = ours.count("p", times.event + 0.5, times.event + times.outage)
        return f"asked {count} times while it was down" if count > most else None

    return check


def no_wave(ours: Figures, ideal: Figures, times: Times) -> str | None:
    share = ours.refused_share(times.event, times.event + 5)
    return f"{share:.3f} refused in the first five seconds" if share > 0.05 else None


# -- the table

REQUESTS: Limits = {"requests": 60.0, "tokens": 6_000_000.0}
TOKENS: Limits = {"requests": 600.0, "tokens": 240_000.0}
ANTHROPIC: Limits = {"requests": 600.0, "input-tokens": 60_000.0, "output-tokens": 60_000.0}
GEMINI: Limits = {"requests": 60.0, "input-tokens": 1_000_000.0}
MISTRAL: Limits = {"requests": 60.0, "tokens": 500_000.0}
SMALL: Limits = {"requests": 30.0, "tokens": 3_000_000.0}
MODELS: Mapping[str, Limits] = {
    "large": {"requests": 20.0, "tokens": 3_000_000.0},
    "small": {"requests": 40.0, "tokens": 6_000_000.0},
    "long": {"requests": 600.0, "tokens": 90_000.0},
}
OF_MODELS = tuple(Source(model=model) for model in MODELS)
UNEQUAL = (1, 2, 5, 10, 1, 2, 5, 10, 1, 2)
# Their demands are 10 to 50 % of capacity at a load of 150 %.
FIVE = tuple(Source(f"caller {number}", share=number) for number in range(1, 6))
# Four that want 18 % of capacity each, and one that wants 150 %.
GREEDY = (*(Source(f"caller {number}", share=0.18) for number in range(1, 5)), Source("greedy", share=1.5))

CALM = (nobody_sees_it, waste(0.01), keeps_nothing)
# Where buckets hold few requests, nobody can have both: an ideal scheduler that waits long for the account of the turn
# before has a p99 of 2 to 3 s here, one that does not keeps 25 to 90 % of the turns.
SWIFT = (*CALM, wait_p99(1.0))
FULL = (goodput(0.99), waste(0.01), keeps_nothing)
OVER = (goodput(0.98), waste(0.01), honest, keeps_nothing)
LEARNING = (goodput(0.95), waste(0.03), keeps_nothing)


def _burst(at: float, capacity: float, times: Times) -> float:
    """A little, silence, and a hundred within a second; twice."""
    if at < times.since / 2:
        return 0.3 * capacity
    since_burst = min((at - one for one in (times.since, times.event) if at >= one), default=-1.0)
    return 100.0 if 0 <= since_burst < 1 else 0.0


def _slowly(at: float, capacity: float, times: Times) -> float:
    """Up to 60 % over the first minute and a half: as many beginnings at once have nothing in any cache."""
    return 0.6 * capacity * min(1.0, 0.25 + at / times.since)


_BASE = Scenario("80 % of capacity, conversations", 0.8, (*SWIFT, affinity(0.95)))

SCENARIOS: Sequence[Scenario] = (
    replace(_BASE, name="50 % of capacity", load=0.5),
    _BASE,
    replace(_BASE, name="95 %", load=0.95, goals=CALM),
    replace(_BASE, name="100 %", load=1.0, goals=FULL),
    replace(_BASE, name="150 %, five callers", load=1.5, goals=(*OVER, fair), sources=FIVE),
    replace(_BASE, name="unequal keys 1:2:5:10, 80 %", weights=UNEQUAL, limits={"m": SMALL}),
    replace(_BASE, name="unequal keys, 100 %", load=1.0, weights=UNEQUAL, limits={"m": SMALL}, goals=FULL),
    replace(_BASE, name="tokens, 80 %", limits={"m": TOKENS}, goals=SWIFT),
    replace(_BASE, name="tokens, 100 %", load=1.0, limits={"m": TOKENS}, goals=FULL),
    replace(_BASE, name="tokens, 150 %", load=1.5, limits={"m": TOKENS}, goals=OVER),
    replace(_BASE, name="three models, each with limits, 80 %", limits=MODELS, sources=OF_MODELS, goals=SWIFT),
    replace(_BASE, name="three models, 100 %", load=1.0, limits=MODELS, sources=OF_MODELS, goals=FULL),
    replace(
        _BASE, name="Anthropic, cached input is free, 60 %", rules="anthropic", limits={"m": ANTHROPIC},
        rate=_slowly, goals=(*CALM, affinity(0.95)),
    ),
    replace(_BASE, name="Mistral, a second's limit, 80 %", rules="mistral", limits={"m": MISTRAL}, goals=SWIFT),
    replace(_BASE, name="Gemini, only refusals speak, 80 %", rules="gemini", limits={"m": GEMINI}, goals=LEARNING),
    replace(
        _BASE, name="Gemini, a day's quota ends for three, 60 %", load=0.6, rules="gemini", limits={"m": GEMINI},
        daily={"a": 0.35, "b": 0.4, "c": 0.45}, goals=(nobody_sees_it, lets_go, keeps_nothing),
    ),
    replace(_BASE, name="never announced, 80 %", rules="silent", goals=LEARNING),
    replace(_BASE, name="never announced, 100 %", load=1.0, rules="silent", goals=LEARNING),
    replace(
        _BASE, name="DeepSeek, a limit of concurrency, 80 %", rules="concurrency",
        limits={"m": {"concurrency": 4.0}}, goals=LEARNING,
    ),
    replace(
        _BASE, name="a pool shared with strangers, 5 % refused by chance", load=0.05, rules="shared",
        limits={"m": {"requests": 600.0}}, goals=(goodput(0.95), keeps_nothing),
    ),
    replace(
        _BASE, name="one key revoked, one out of quota, 70 %", load=0.7, dead=(3,), spent=(6,),
        goals=(nobody_sees_it, lets_go, keeps_nothing),
    ),
    replace(
        _BASE, name="provider down, a second behind it, 70 %", load=0.7, is_down=True, fallback=True,
        goals=(nobody_sees_it, comes_back, keeps_nothing),
    ),
    replace(
        _BASE, name="provider down, nobody behind it, 70 %", load=0.7, is_down=True,
        goals=(asks_little(36), comes_back, keeps_nothing),
    ),
    replace(_BASE, name="bursts of 100 after silence", rate=_burst, goals=(nobody_sees_it, waste(0.01), keeps_nothing)),
    replace(
        _BASE, name="bursts of 100, a minute's limit at once", rules="minute", rate=_burst,
        goals=(nobody_sees_it, waste(0.01), keeps_nothing),
    ),
    replace(_BASE, name="restart in full load, state kept", load=0.95, restart="state", goals=(no_wave, keeps_nothing)),
    replace(_BASE, name="restart, nothing kept", load=0.95, restart="nothing", goals=(no_wave, keeps_nothing)),
    replace(
        _BASE, name="a greedy caller among five", load=1.0, rate=lambda at, capacity, times: 2.22 * capacity,
        sources=GREEDY, limits={"m": SMALL}, goals=(others_keep, goodput(0.98), waste(0.01), keeps_nothing),
    ),
    replace(_BASE, name="ten keys of one organisation, 80 %", owners=("o",) * 10, goals=CALM),
    replace(
        _BASE, name="six of ten keys of one organisation, 80 %", owners=("o",) * 6 + ("a", "b", "c", "d"), goals=CALM
    ),
    replace(
        _BASE, name="a fifth of the clients leave, then 100 %", load=1.0, goals=FULL,
        leaving=lambda at, times: 0.2 if at < times.since else 0.0,
    ),
)  # fmt: skip
