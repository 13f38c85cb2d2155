"""What a provider enforces, as data, and a provider that enforces it under a clock that is handed in.

Every bucket refills continuously and holds a few seconds' worth of its rate (`pool-model.md` §2): a minute's limit is
no burst of a minute. A bucket belongs to an organisation, hardly ever to a key; what one request takes out of which
bucket, and when, is a `Dimension`. A refused request takes its place in the requests bucket where the provider says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Admitted", "Bucket", "Dimension", "Key", "Provider", "Refusal", "Work"]

# A few seconds' worth at once: both OpenAI and Anthropic say that 60 a minute may be enforced as one a second.
BURST_S = 5.0


@dataclass(frozen=True)
class Work:
    """What one request really costs: known to the provider at the end, to a gateway only as far as it can guess."""

    input_tokens: int
    cached_tokens: int  # of the input: read from the cache of the organisation that served the turn before
    output_tokens: int
    max_tokens: int
    estimate: int  # the gateway's guess of the input


@dataclass(frozen=True)
class Dimension:
    """One kind of limit: `per_minute` units. `cost` is what a request takes at admission; `later` what it takes as the
    answer is generated, so that the bucket may fall below zero and nothing is admitted until it is above again."""

    name: str  # as in the headers: requests, tokens, input-tokens, output-tokens
    per_minute: float
    cost: Callable[[Work], float]
    later: Callable[[Work], float] = lambda work: 0.0


class Bucket:
    """A token bucket of one dimension."""

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension
        self.rate = dimension.per_minute / 60
        self.most = max(self.rate * BURST_S, 1.0)
        self.level = self.most
        self.at = 0.0

    def now(self, now: float) -> float:
        self.level = min(self.most, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level

    def wait_s(self, cost: float, now: float) -> float:
        """How long until `cost` fits: a cost beyond the bucket passes when it is full."""
        need = min(cost, self.most)
        return max(0.0, (need - self.now(now)) / self.rate)


@dataclass
class Key:
    """One account as the provider knows it. `died_at`: revoked; `spent_at`: out of quota."""

    name: str
    organisation: str
    died_at: float = float("inf")
    spent_at: float = float("inf")


@dataclass(frozen=True)
class Admitted:
    first_byte_s: float
    total_s: float
    headers: dict[str, str]


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    after_s: float  # when the refusal is with the client
    headers: dict[str, str]


class Provider:
    """Keys and the buckets of their organisations. `limits` gives an organisation's dimensions for a model."""

    def __init__(
        self,
        name: str,
        keys: Sequence[Key],
        limits: Callable[[str, str], Sequence[Dimension]],
        *,
        announces: str = "openai",  # "openai", "anthropic" or "" (nothing)
        refused_cost: float = 1.0,  # of the requests bucket
        down: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.name = name
        self.keys = {key.name: key for key in keys}
        self._limits = limits
        self._announces = announces
        self._refused_cost = refused_cost
        self._down = down
        self._buckets: dict[tuple[str, str], list[Bucket]] = {}
        self.running = 0

    def buckets(self, organisation: str, model: str) -> list[Bucket]:
        key = (organisation, model)
        if key not in self._buckets:
            self._buckets[key] = [Bucket(one) for one in self._limits(organisation, model)]
        return self._buckets[key]

    def is_down(self, now: float) -> bool:
        return any(start <= now < end for start, end in self._down)

    def wait_s(self, key: Key, model: str, work: Work, now: float) -> float:
        """What an ideal scheduler sees: how long until this request would be admitted; infinity for a dead key."""
        if now >= min(key.died_at, key.spent_at):
            return float("inf")
        down = max((end - now for start, end in self._down if start <= now < end), default=0.0)
        buckets = self.buckets(key.organisation, model)
        return max(down, *(bucket.wait_s(bucket.dimension.cost(work), now) for bucket in buckets))

    def attempt(self, name: str, model: str, work: Work, now: float) -> Admitted | Refusal:
        """A request comes with the key `name`."""
        key = self.keys[name]
        if self.is_down(now):
            return Refusal(503, "overloaded", 0.2, {})
        if now >= key.died_at:
            return Refusal(401, "invalid_api_key", 0.1, {})
        if now >= key.spent_at:
            return Refusal(429, "insufficient_quota", 0.1, {})
        buckets = self.buckets(key.organisation, model)
        waits = [bucket.wait_s(bucket.dimension.cost(work), now) for bucket in buckets]
        if max(waits) > 1e-9:
            for bucket in buckets:
                if bucket.dimension.name == "requests":
                    bucket.level -= self._refused_cost
            wait_s = max(bucket.wait_s(bucket.dimension.cost(work), now) for bucket in buckets)
            headers = {**self._headers(key, buckets, now)}
            if self._announces:
                headers["retry-after"] = f"{wait_s:.3f}"
            return Refusal(429, "rate_limit_exceeded", 0.1, headers)
        for bucket in buckets:
            bucket.level -= bucket.dimension.cost(work)
        self.running += 1
        first_byte_s = 0.3 + work.input_tokens / 50_000
        return Admitted(first_byte_s, first_byte_s + work.output_tokens / 80, self._headers(key, buckets, now))

    def finished(self, name: str, model: str, work: Work, now: float) -> None:
        """The answer is generated."""
        self.running -= 1
        for bucket in self.buckets(self.keys[name].organisation, model):
            bucket.now(now)
            bucket.level -= bucket.dimension.later(work)

    def left(self) -> None:
        """The client of a running request has gone."""
        self.running -= 1

    def _headers(self, key: Key, buckets: Sequence[Bucket], now: float) -> dict[str, str]:
        """The moment of admission, in the provider's own spelling."""
        headers: dict[str, str] = {}
        for bucket in buckets:
            name, level = (
                bucket.dimension.name,
                max(0, int(bucket.now(now) / bucket.most * bucket.dimension.per_minute)),
            )
            full_s = (bucket.most - bucket.level) / bucket.rate
            if self._announces == "openai":
                headers[f"x-ratelimit-limit-{name}"] = str(int(bucket.dimension.per_minute))
                headers[f"x-ratelimit-remaining-{name}"] = str(level)
                headers[f"x-ratelimit-reset-{name}"] = f"{full_s:.3f}s"
            elif self._announces == "anthropic":
                headers[f"anthropic-ratelimit-{name}-limit"] = str(int(bucket.dimension.per_minute))
                headers[f"anthropic-ratelimit-{name}-remaining"] = str(level)
                headers[f"anthropic-ratelimit-{name}-reset"] = f"{full_s:.3f}"
        if self._announces == "anthropic":
            headers["anthropic-organization-id"] = key.organisation
        elif self._announces == "openai":
            headers["openai-organization"] = key.organisation
        return headers
