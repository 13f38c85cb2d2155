"""What providers enforce, as data, and a provider that enforces it under a clock that is handed in.

`RULES` is the table of `pool-model.md` §1-3: what each kind of provider counts and when, what its answers announce and
how it refuses. The simulator and the socket run read this one table. Every bucket of a minute refills continuously and
holds a few seconds' worth of its rate (§2: a minute's limit is no burst of a minute), while headers speak of the whole
minute, as real ones do: `(limit - remaining) / reset` is the true rate (§4), `remaining` is no promise of a burst.
A bucket belongs to an organisation, hardly ever to a key. Refusals are written as the provider writes them and
are read by the gateway's own dialects: nothing here hands a verdict to the pool past them.

Not modelled: acceleration limits (`slow_down`), tokens a day, Bedrock's burndown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

__all__ = ["RULES", "Admitted", "Bucket", "Count", "Key", "Limits", "Provider", "Refusal", "Rules", "Work"]

# A few seconds' worth at once: both OpenAI and Anthropic say that 60 a minute may be enforced as one a second.
BURST_S = 5.0
# What stands in a cache fades after five minutes (Anthropic's default).
CACHE_S = 300.0
# Tokens a second of an answer, and the prompt's reading: figures of a middling model, only their order matters.
OUTPUT_PER_S, INPUT_PER_S, FIRST_BYTE_S = 80.0, 50_000.0, 0.3


@dataclass(frozen=True)
class Work:
    """What one request really costs: known to the provider at the end, to a gateway only as far as it can guess."""

    input_tokens: int
    cached_tokens: int  # of the input: read from the cache of the organisation that served the turn before
    output_tokens: int
    max_tokens: int

    @property
    def first_byte_s(self) -> float:
        return FIRST_BYTE_S + (self.input_tokens - self.cached_tokens) / INPUT_PER_S

    @property
    def total_s(self) -> float:
        return self.first_byte_s + self.output_tokens / OUTPUT_PER_S


@dataclass(frozen=True)
class Count:
    """One kind of limit. `cost` is what a request takes at admission; `later` what it takes as the answer is
    generated: the bucket may fall below zero, and nothing is admitted until it is above again."""

    name: str  # as in headers: requests, tokens, input-tokens, output-tokens; requests/day; concurrency
    cost: Callable[[Work], float]
    later: Callable[[Work], float] = lambda work: 0.0
    burst_s: float = BURST_S
    quota_id: str = ""  # Gemini's name for it

    def total(self, work: Work) -> float:
        """What the request takes in all, for capacity."""
        return self.cost(work) + self.later(work)


@dataclass(frozen=True)
class Rules:
    """One provider's behaviour. `speaks` is the dialect of its refusals, `announces` the spelling of its headers."""

    speaks: str
    counts: tuple[Count, ...]
    announces: str = ""  # "openai", "anthropic", "mistral"; "": none
    tells_wait: bool = True  # a refusal says when to come again (header or body)
    refused_cost: float = 0.0  # of the requests bucket: hammering keeps an empty bucket empty
    chance: float = 0.0  # of all attempts, so many are refused whatever was asked before


def _one(work: Work) -> float:
    return 1.0


_REQUESTS = Count("requests", _one)
# The prompt and `max_tokens`, however little is generated; cached tokens count.
_PROMPT_AND_LIMIT = Count("tokens", lambda work: work.input_tokens + work.max_tokens)
_CONCURRENT = Count("concurrency", _one)
_MINUTE = (replace(_REQUESTS, burst_s=60.0), replace(_PROMPT_AND_LIMIT, burst_s=60.0))

RULES: Mapping[str, Rules] = {
    "openai": Rules("chat", (_REQUESTS, _PROMPT_AND_LIMIT), "openai", refused_cost=1.0),
    # The same headers where a whole minute's limit may go at once.
    "minute": Rules("chat", _MINUTE, "openai", refused_cost=1.0),
    "anthropic": Rules(
        "messages",
        (
            _REQUESTS,
            Count("input-tokens", lambda work: work.input_tokens - work.cached_tokens),
            Count("output-tokens", lambda work: 0.0, lambda work: work.output_tokens),
        ),
        "anthropic",
    ),
    "gemini": Rules(
        "gemini",
        (
            Count("requests", _one, quota_id="GenerateRequestsPerMinutePerProjectPerModel-FreeTier"),
            Count(
                "input-tokens",
                lambda work: work.input_tokens,
                quota_id="GenerateContentInputTokensPerModelPerMinute-FreeTier",
            ),
            Count("requests/day", _one, quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        ),
    ),
    # Requests a second, so there is no burst of five; tokens in and out.
    "mistral": Rules(
        "mistral",
        (
            Count("requests", _one, burst_s=1.0),
            Count("tokens", lambda work: work.input_tokens, lambda work: work.output_tokens),
        ),
        "mistral",
    ),
    "silent": Rules("chat", (_REQUESTS, _PROMPT_AND_LIMIT), tells_wait=False, refused_cost=1.0),
    "concurrency": Rules("chat", (_CONCURRENT,), tells_wait=False),
    # Vertex' newer models: no quota of one's own, all customers share a pool, and a refusal says that it is empty.
    "shared": Rules("gemini", (_REQUESTS,), tells_wait=False, chance=0.05),
}

# An organisation's limits for one model, by a count's name: per minute, but for `concurrency` and `requests/day`.
Limits = Mapping[str, float]

_DAY_S = 86_400.0
# Multiples of it fall evenly between 0 and 1, and in no order that a scheduler could follow.
_GOLDEN = 0.6180339887498949


class Bucket:
    """A count of one organisation and model at its limit. A day's is a fixed window, `concurrency` a plain number."""

    def __init__(self, count: Count, limit: float) -> None:
        self.count = count
        self.limit = limit
        self.is_timed = count.name not in ("concurrency", "requests/day")
        self.rate = limit / 60 if self.is_timed else 0.0
        self.most = max(self.rate * count.burst_s, 1.0) if self.is_timed else limit
        self.level = self.most
        self.at = 0.0

    def now(self, now: float) -> float:
        if self.is_timed:
            self.level = min(self.most, self.level + (now - self.at) * self.rate)
        elif self.count.name == "requests/day" and now // _DAY_S != self.at // _DAY_S:
            self.level = self.most
        self.at = now
        return self.level

    def wait_s(self, cost: float, now: float) -> float:
        """How long until `cost` fits: a cost beyond the bucket passes when it is full; a cost that comes later is
        admitted above zero. Infinity where only somebody's end helps."""
        need = min(max(cost, 1.0), self.most)
        lacking = need - self.now(now)
        if lacking <= 1e-9:
            return 0.0
        if self.is_timed:
            return lacking / self.rate
        return _DAY_S - now % _DAY_S if self.count.name == "requests/day" else float("inf")


@dataclass
class Key:
    """One account as the provider knows it. `died_at`: revoked; `spent_at`: out of quota."""

    name: str
    organisation: str
    died_at: float = float("inf")
    spent_at: float = float("inf")


@dataclass(frozen=True)
class Admitted:
    """`headers` come with the first byte."""

    first_byte_s: float
    total_s: float
    headers: dict[str, str]


@dataclass(frozen=True)
class Refusal:
    cause: str  # limited, daily, revoked, spent, down
    status: int
    headers: dict[str, str]
    body: bytes
    after_s: float = 0.1  # when it is with the gateway


class Provider:
    """Keys, and the buckets of their organisations. `limits` gives an organisation's limits for a model; `wall_s` is
    the wall clock minus the clock that is handed in (some headers are dates). `speed` above 1: answers are that much
    faster (limits are handed in accordingly)."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        keys: Sequence[Key],
        limits: Callable[[str, str], Limits],
        *,
        down: Sequence[tuple[float, float]] = (),
        wall_s: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        self.name = name
        self.rules = rules
        self.keys = {key.name: key for key in keys}
        self.limits = limits
        self.down = down
        self._wall_s = wall_s
        self._speed = speed
        self._buckets: dict[tuple[str, str], list[Bucket]] = {}
        self._cache: dict[tuple[str, str, int], tuple[int, float]] = {}
        self._totals: dict[str, list[tuple[Count, float]]] = {}
        self._asked = 0
        self.running = 0

    def buckets(self, organisation: str, model: str) -> list[Bucket]:
        key = (organisation, model)
        if key not in self._buckets:
            limits = self.limits(organisation, model)
            self._buckets[key] = [
                Bucket(count, limits[count.name]) for count in self.rules.counts if count.name in limits
            ]
        return self._buckets[key]

    def organisations(self, now: float) -> list[str]:
        """Those that still have a key that works."""
        return list(
            dict.fromkeys(key.organisation for key in self.keys.values() if now < min(key.died_at, key.spent_at))
        )

    def down_s(self, now: float) -> float:
        """How long the provider will be down still."""
        return max((end - now for start, end in self.down if start <= now < end), default=0.0)

    def work(self, key: Key, model: str, conversation: int, sizes: tuple[int, int, int], now: float) -> Work:
        """What a request of (input, output, `max_tokens`) tokens costs there now, its cache looked at."""
        tokens, at = self._cache.get((key.organisation, model, conversation), (0, 0.0))
        cached = min(tokens, sizes[0]) if now - at <= CACHE_S else 0
        return Work(sizes[0], cached, sizes[1], sizes[2])

    def wait_s(self, key: Key, model: str, work: Work, now: float) -> float:
        """What an ideal scheduler sees: how long until this request would be admitted; infinity for a dead key."""
        if now >= min(key.died_at, key.spent_at):
            return float("inf")
        longest = self.down_s(now) if self.down else 0.0
        for bucket in self.buckets(key.organisation, model):
            wait_s = bucket.wait_s(bucket.count.cost(work), now)
            longest = max(longest, wait_s)
        return longest

    def line_wait_s(self, works: Sequence[Work], model: str, now: float) -> float:
        """How long an ideal line needs until all of `works`, one after another, are admitted: what all organisations
        have now and get meanwhile, in the tightest count."""
        longest = self.down_s(now)
        for same in self.together(model, now):
            need = sum(same[0].count.total(work) for work in works) - sum(max(0.0, one.now(now)) for one in same)
            longest = max(longest, need / sum(one.rate for one in same))
        return longest

    def together(self, model: str, now: float) -> list[list[Bucket]]:
        """For each count of a minute: the buckets of all organisations."""
        owned = [self.buckets(organisation, model) for organisation in self.organisations(now)]
        names = [bucket.count.name for bucket in owned[0] if bucket.is_timed] if owned else []
        return [[bucket for buckets in owned for bucket in buckets if bucket.count.name == name] for name in names]

    def totals(self, model: str) -> list[tuple[Count, float]]:
        """Each count of a minute with the limits of all organisations together."""
        if model not in self._totals:
            together = self.together(model, 0.0)
            self._totals[model] = [(same[0].count, sum(bucket.limit for bucket in same)) for same in together]
        return self._totals[model]

    def attempt(
        self, name: str, model: str, conversation: int, sizes: tuple[int, int, int], now: float
    ) -> tuple[Work, Admitted | Refusal]:
        """A request of (input, output, `max_tokens`) tokens comes with the key `name`."""
        key = self.keys[name]
        work = self.work(key, model, conversation, sizes, now)
        for cause, is_so in (
            ("down", self.down_s(now) > 0),
            ("revoked", now >= key.died_at),
            ("spent", now >= key.spent_at),
        ):
            if is_so:
                return work, self._refusal(cause, {})
        self._asked += 1
        if self._asked * _GOLDEN % 1 < self.rules.chance:
            return work, self._refusal("limited", {})
        buckets = self.buckets(key.organisation, model)
        if self.wait_s(key, model, work, now) > 0:
            for bucket in buckets:
                if bucket.count.name == "requests":
                    bucket.level = max(-bucket.most, bucket.level - self.rules.refused_cost)
            waits = [(bucket.wait_s(bucket.count.cost(work), now), bucket.count.quota_id) for bucket in buckets]
            return work, self._refusal("limited", self._headers(key, buckets, now), *max(waits))
        for bucket in buckets:
            bucket.level -= bucket.count.cost(work)
        self.running += 1
        self._cache[key.organisation, model, conversation] = (sizes[0] + sizes[1], now)
        return work, Admitted(
            work.first_byte_s / self._speed, work.total_s / self._speed, self._headers(key, buckets, now)
        )

    def finished(self, name: str, model: str, work: Work, now: float, share: float = 1.0) -> None:
        """The answer is generated, or its client has left after `share` of it."""
        self.running -= 1
        for bucket in self.buckets(self.keys[name].organisation, model):
            bucket.now(now)
            bucket.level -= bucket.count.later(work) * share
            if bucket.count.name == "concurrency":
                bucket.level += 1

    def _headers(self, key: Key, buckets: Sequence[Bucket], now: float) -> dict[str, str]:
        """The moment of admission, in the provider's own spelling."""
        headers: dict[str, str] = {}
        spelling = self.rules.announces
        for bucket in buckets if spelling else ():
            if not bucket.is_timed:
                continue
            name, limit = bucket.count.name, int(bucket.limit)
            taken = bucket.most - bucket.now(now)
            left = max(0, int(bucket.limit - taken))
            full_s = taken / bucket.rate
            if spelling == "openai":
                headers[f"x-ratelimit-limit-{name}"] = str(limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(left)
                headers[f"x-ratelimit-reset-{name}"] = _go_duration(full_s)
            elif spelling == "anthropic":
                if name != "requests":
                    left = round(left, -3)
                reset = datetime.fromtimestamp(math.ceil(self._wall_s + now + full_s), UTC)
                headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
                headers[f"anthropic-ratelimit-{name}-remaining"] = str(left)
                headers[f"anthropic-ratelimit-{name}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
            elif name == "tokens":  # Mistral names its tokens only
                headers["x-ratelimitbysize-limit-minute"] = str(limit)
                headers["x-ratelimitbysize-remaining-minute"] = str(left)
                headers["ratelimitbysize-reset"] = str(math.ceil(full_s))
        owner = {"openai": "openai-organization", "anthropic": "anthropic-organization-id"}.get(spelling)
        if owner is not None:
            headers[owner] = key.organisation
        return headers

    def _refusal(self, cause: str, headers: dict[str, str], wait_s: float = 0.0, quota_id: str = "") -> Refusal:
        status, word = _REFUSALS[self.rules.speaks][cause]
        tells = cause == "limited" and self.rules.tells_wait and wait_s < float("inf")
        if tells and self.rules.announces == "anthropic":
            headers["retry-after"] = str(math.ceil(wait_s))
        elif tells and self.rules.announces:
            headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
            headers["retry-after"] = str(math.ceil(wait_s))
        body = _BODIES[self.rules.speaks](status, word, f"{wait_s:.3f}s" if tells else "", quota_id)
        cause = "daily" if "PerDay" in quota_id else cause
        return Refusal(cause, status, headers, json.dumps(body).encode(), 0.1 / self._speed)


# Dialect → cause → status and word (`mapping.md` §7).
_CHAT = {
    "limited": (429, "rate_limit_exceeded"),
    "revoked": (401, "invalid_api_key"),
    "spent": (429, "insufficient_quota"),
    "down": (503, "service_unavailable"),
}
_REFUSALS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "chat": _CHAT,
    "mistral": _CHAT,
    "messages": {
        "limited": (429, "rate_limit_error"),
        "revoked": (401, "authentication_error"),
        "spent": (402, "billing_error"),
        "down": (529, "overloaded_error"),
    },
    "gemini": {
        "limited": (429, "RESOURCE_EXHAUSTED"),
        "revoked": (400, "INVALID_ARGUMENT"),
        "spent": (400, "FAILED_PRECONDITION"),
        "down": (503, "UNAVAILABLE"),
    },
}


def _chat_body(status: int, word: str, wait: str, quota_id: str) -> object:
    hint = f" Please try again in {wait}." if wait else ""
    kind = word if word == "insufficient_quota" else "requests" if status == 429 else "invalid_request_error"
    return {"error": {"message": f"Refused.{hint}", "type": kind, "param": None, "code": word}}


def _messages_body(status: int, word: str, wait: str, quota_id: str) -> object:
    return {"type": "error", "error": {"type": word, "message": "Refused."}, "request_id": "req_bench"}


def _gemini_body(status: int, word: str, wait: str, quota_id: str) -> object:
    details: list[object] = []
    kind = "type.googleapis.com/google.rpc."
    if word == "INVALID_ARGUMENT":
        details.append({"@type": kind + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
    if quota_id:
        # The daily one carries a short delay as well (`mapping.md` §7): only the quota's name tells them apart.
        delay = "30s" if "PerDay" in quota_id else wait
        violation = {"quotaMetric": "generativelanguage.googleapis.com/generate_content", "quotaId": quota_id}
        details += [
            {"@type": kind + "QuotaFailure", "violations": [violation]},
            {"@type": kind + "RetryInfo", "retryDelay": delay},
        ]
    return {"error": {"code": status, "message": "Refused.", "status": word, "details": details}}


_BODIES: Mapping[str, Callable[[int, str, str, str], object]] = {
    "chat": _chat_body,
    "mistral": _chat_body,
    "messages": _messages_body,
    "gemini": _gemini_body,
}


def _go_duration(seconds: float) -> str:
    """As Go prints durations: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3f}s" if minutes else f"{rest:.3f}s"
