"""What one limit group may take of one model, as far as the configuration and the provider have told.

Nobody has to configure a limit. Headers say it (`hear`); where they do not, refusals do: what had been going through is
where a rate begins, each refusal lowers it, and each answer raises it, fast up to where it was refused and slowly past
there (CUBIC's idea), but only while it is used. A refusal at a low rate is about too much at once, and what slowing
down does not help against is about nothing (`chance`). After a refusal without a word, one attempt goes ahead and the
others follow its success: a queue that is let go all at once is refused all at once (a herd).

Headers describe the moment of *admission* and come later, so what was sent meanwhile is added to what they say
(`pool-model.md` §4). A bucket that headers describe follows them up and down; one that nobody describes is settled by
the real usage. What the configuration says is never exceeded, whatever a header allows.
"""

from __future__ import annotations

from collections import deque
from operator import sub
from typing import TYPE_CHECKING

from ds2api.accounts.account import AccountLimits
from ds2api.accounts.announced import Announced, Dimension
from ds2api.accounts.bucket import KINDS, Bucket, Source
from ds2api.accounts.chance import Chance
from ds2api.accounts.concurrency import Concurrency
from ds2api.accounts.costs import Cost
from ds2api.accounts.daily import Daily
from ds2api.accounts.policy import Policy
from ds2api.accounts.verdicts import Verdict

if TYPE_CHECKING:
    from ds2api.accounts.shelf import Offer

__all__ = ["Quota"]

# A refusal without headers: what went through in this time is the rate that the provider takes.
_WINDOW_S = 20.0
# What went through before the first refusal is a beginning, which grows fast until the next one; of fewer attempts than
# these it says hardly anything. (Without one, all that wait would go to the only account of which nothing is known.)
_EVIDENCE = 8
_FEW_S = 5.0
_UP_FROM_GUESS = 1.05
# Back by a seventh; then up by 1 % an answer till near where it was refused, and by 0.2 % there (`_up`). In the
# simulation (`bench/pool`, "never announced") that is one refusal in some eighty attempts, with 98 % of the rate used.
_BACK = 0.85
_UP, _UP_FAR = 1.002, 1.01
_NEAR = 0.95
# More of the attempts of a minute than this is more than chance, where refusals name a time.
_OFTEN = 0.05
_MINUTE_S = 60.0
# Refused for too much at once: the rate is what went through, and that much more.
_BEYOND = 1.3
# A rate that is not used is not raised: that it would hold proves nothing (RFC 7661, of TCP's window). What is used
# lags behind one that grows fast.
_USED, _USED_OF_GUESS = 0.9, 0.5
# No provider has lower limits a minute; whatever a header says below it is an error or another unit.
_LEAST = (1.0, 1000.0, 1000.0, 1000.0)
# The one attempt after a wait that says nothing for so long is not waited for: it may be a long answer.
_PROBE_S = 2.0
# A limit that was configured is the operator's word: a header that allows more changes nothing.
_ALLOWS_MORE = 1.05
# Of a coarse time, so much is taken to be rounding: less than the usual half, since too late costs nothing.
_ROUNDED_UP = 0.3
_SLACK_S = 0.02
# Attempts overtake each other on their way: what was sent so little before one may have come after it, and then is not
# in what its answer says.
_OVERTAKEN_S = 0.1
# What must have been taken before a request for its admission to show that the burst is larger.
_TAKEN_S = 0.25
_OUTPUT = KINDS.index("output-tokens")
# Where nobody says how long: the time in which so many requests fit again, not less than a second.
_REFILL = 4.0
_LEAST_S = 1.0


class Quota:
    """The buckets of one (provider, limit group, model). `since` is when the pool began to count."""

    __slots__ = (
        "_buckets",
        "_in_a_row",
        "_is_gated",
        "_is_guess",
        "_passed",
        "_probe_at",
        "_refusals",
        "_refused_at",
        "_sent",
        "_since",
        "_taken",
        "_wall",
        "cause",
        "concurrency",
        "daily",
        "group",
        "in_flight",
        "limits_version",
        "model",
        "offers",
        "out_until",
    )  # fmt: skip

    def __init__(
        self,
        group: str,
        model: str,
        limits: AccountLimits,
        day_zone: str,
        since: float,
        most_at_a_time: int | None = None,
    ) -> None:
        self.group = group
        self.model = model
        self.offers: list[Offer] = []  # where it stands in line to be chosen
        self.limits_version = 0  # goes up with each change of a limit
        self.out_until = float("-inf")  # the provider said so, or a refusal did
        self.cause: Verdict | None = None
        self.daily = Daily(limits.rpd, day_zone) if limits.rpd else None
        self.in_flight = 0
        self.concurrency = Concurrency(most_at_a_time)
        self._since = since
        told = (limits.rpm, limits.tpm, limits.itpm, limits.otpm)
        self._buckets = [Bucket(kind, limit, "configured", since) for kind, limit in enumerate(told) if limit]
        self._taken = [0.0] * len(KINDS)
        self._is_guess = False  # the learned rate comes from too few attempts
        self._is_gated = False  # refused without a word, and nobody has got through since
        self._probe_at = float("-inf")
        self._refusals: deque[float] = deque(maxlen=16)  # when, herds once
        self._wall = 1.0  # the learned rate that was refused last
        self._in_a_row = 0
        self._refused_at = float("-inf")
        self._sent: deque[tuple[float, tuple[float, ...]]] = deque()  # the last ones: when, and what was taken before
        self._passed: deque[float] = deque(maxlen=64)  # when the last accepted attempts began

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        return tuple(self._buckets)

    @property
    def open_at(self) -> float:
        """When its buckets hold anything at all: the order in which quotas are chosen. Does not change with time."""
        at = float("-inf")
        for bucket in self._buckets:
            open_at = bucket.full_at - bucket.burst_s
            if open_at > at:  # noqa: PLR1730 - `max` costs three times as much, and this is asked with each heap entry
                at = open_at
        return at

    def free_at(self, cost: Cost, now: float, wall_s: float) -> float:
        """When a request of `cost` may go; in the past if it may now. `wall_s` is the wall clock minus ours."""
        at = self.out_until
        for bucket in self._buckets:
            free_at = bucket.free_at(cost[bucket.kind])
            if free_at > at:  # noqa: PLR1730 - as above
                at = free_at
        if self._is_gated and self._probe_at + _PROBE_S > now:
            at = max(at, self._probe_at + _PROBE_S)
        if self.daily is not None:
            free_wall = self.daily.free_at(now + wall_s)
            if free_wall > now + wall_s:
                at = max(at, free_wall - wall_s)
        return at

    @property
    def is_full(self) -> bool:
        """No further attempt until one ends."""
        most = self.concurrency.most
        return most is not None and self.in_flight >= most

    def begin(self, cost: Cost, now: float, wall_s: float) -> tuple[float, ...]:
        """An attempt starts. Returns the mark that `hear` wants: what has been taken till then, it included; and of
        that, what may come to the provider after it."""
        self.in_flight += 1
        if self._is_gated:
            self._probe_at = now
        if self.daily is not None:
            self.daily.take(now + wall_s)
        taken, sent = self._taken, self._sent
        while sent and sent[0][0] < now - _OVERTAKEN_S:
            sent.popleft()
        sent.append((now, tuple(taken)))
        for bucket in self._buckets:
            units = cost[bucket.kind]
            bucket.take(units, now)
            taken[bucket.kind] += units
        if len(sent) == 1:
            return (*taken, 0.0, 0.0, 0.0, 0.0)
        return (*taken, *map(sub, sent[-1][1], sent[0][1]))

    def seconds(self, cost: Cost) -> float:
        """How long the tightest bucket takes to bring as much as `cost`."""
        return max((cost[bucket.kind] * bucket.unit_s for bucket in self._buckets), default=0.0)

    def hear(
        self,
        announced: Announced,
        begun_at: float,
        now: float,
        cost: Cost,
        mark: tuple[float, ...],
        *,
        is_accepted: bool,
    ) -> None:
        """The headers of an answer or a refusal of an attempt that began at `begun_at`. A refusal's tell the limits;
        how full the buckets are, its wait says better (`refuse`)."""
        for kind, name in enumerate(KINDS):
            # Where input and output are counted apart (Anthropic), `tokens` shows whichever is tighter just now.
            if name in announced.dimensions and not (name == "tokens" and "input-tokens" in announced.dimensions):
                told = announced.dimensions[name]
                self._hear_one(kind, told, now if told.is_date else begun_at, cost, mark, is_accepted=is_accepted)

    def accept(self, running: int, begun_at: float) -> None:
        """An answer has begun to an attempt from `begun_at`, beside which `running` ran, itself counted: the way is
        free, if that was not before the last refusal."""
        if begun_at >= self._refused_at:
            self._is_gated = False
            self._in_a_row = 0
        self._passed.append(begun_at)
        self.concurrency.accept(running)
        for bucket in self._buckets:
            if bucket.source == "learned":
                up, used = (_UP_FROM_GUESS, _USED_OF_GUESS) if self._is_guess else (self._up(bucket.limit), _USED)
                if self._rate(begun_at) >= bucket.limit * used:
                    self._limit(bucket, bucket.limit * up, "learned")
            else:
                bucket.believe()

    def settle(self, reserved: Cost, used: Cost) -> None:
        """The real cost is known. Where headers tell the level they have told it."""
        for bucket in self._buckets:
            if not bucket.is_exact and used[bucket.kind] != reserved[bucket.kind]:
                bucket.give(reserved[bucket.kind] - used[bucket.kind])

    def refuse(
        self,
        cost: Cost,
        begun_at: float,
        running: int,
        verdict: Verdict,
        announced: Announced | None,
        policy: Policy,
        chance: Chance,
        now: float,
    ) -> None:
        """A rate limit was reached by a request of `cost` that began at `begun_at`, with `running` attempts at a time.
        Never shortens a wait. Refusals of what was under way together are one. `chance` is the model's."""
        is_new = begun_at >= self._refused_at
        if is_new:
            self._in_a_row += 1
            self._refusals.append(now)
        self._refused_at = now
        self.cause = verdict
        self.give_back(cost, is_counted=True)
        wait_s = policy.cool_s(self._in_a_row, verdict.wait_s)
        # Too much at once is no chance either, and slowing down does not help against it.
        is_wide = any(bucket.is_wide for bucket in self._buckets)
        if is_new:
            chance.refuse(now, is_named=verdict.wait_s is not None, is_clear=not is_wide)
        is_chance = chance.share > 0
        if is_chance:
            self._forget_learned()
        elif verdict.wait_s is None and self.concurrency.refuse(running, now):
            self._forget_learned()  # somebody's end frees a place; what was thought of a rate was a mistake
            return
        told = [bucket for bucket in self._buckets if bucket.source != "learned"]
        blamed = [bucket for bucket in told if _is_spent(bucket, announced, cost)]
        if not blamed and all(_has_room(bucket, announced) for bucket in told):
            for bucket in told:
                bucket.narrow()  # what it allows was refused: the burst is smaller, or others draw on it
        if not blamed and all(bucket.kind for bucket in told) and not self._is_gated and not is_chance:
            # Where nothing is announced all keys may draw on one pool of strangers: what all of them meet counts.
            share = self._refused_share(now) if told else chance.refused_share
            if verdict.wait_s is None or share >= _OFTEN:  # else it is chance, and the time that it names says enough
                self._learn_from_refusal(now, is_time_named=verdict.wait_s is not None)
        if verdict.wait_s is None:
            requests = self.bucket(0)
            if requests is not None:
                wait_s = min(wait_s, max(_LEAST_S, _REFILL * requests.unit_s))
            elif is_chance:
                wait_s = _LEAST_S
        for bucket in blamed or self._buckets:
            bucket.hold_until(now + wait_s, cost[bucket.kind])
        self.out_until = max(self.out_until, now + wait_s)
        self._is_gated = all(bucket.kind for bucket in told)
        self._probe_at = float("-inf")

    def give_back(self, cost: Cost, *, is_counted: bool = False) -> None:
        """What was reserved has not been used: the attempt was never sent; `is_counted`: it was refused, which counts
        as a request (OpenAI counts refused ones)."""
        for bucket in self._buckets:
            if bucket.kind or not is_counted:
                bucket.give(cost[bucket.kind])

    def leave(self, begun_at: float) -> None:
        """The attempt from `begun_at` ended without a word: if it was the one that goes ahead, the next one does
        (R106)."""
        if begun_at == self._probe_at:
            self._probe_at = float("-inf")

    def revive(self) -> None:
        """The operator says that it may serve again."""
        self.out_until, self.cause, self._is_gated, self._in_a_row = float("-inf"), None, False, 0
        self.concurrency.forget()
        self._forget_learned()

    def headroom(self, now: float) -> float:
        """How much of what may go at once is there, of the tightest bucket: 1 is all."""
        if self.out_until > now:
            return 0.0
        return min((bucket.headroom(now) for bucket in self._buckets), default=1.0)

    def bucket(self, kind: int) -> Bucket | None:
        return next((bucket for bucket in self._buckets if bucket.kind == kind), None)

    def remember(self, kind: int, limit: float, source: str, full_at: float, burst_s: float) -> None:
        """As a process before this one has left it; how full it is, but not the limit, where that is configured."""
        if not 0 < limit < 1e15 or not 0 < burst_s < 1e6:
            raise ValueError("no limit")
        bucket = self.bucket(kind)
        if bucket is None and source in ("announced", "learned"):
            bucket = Bucket(kind, limit, "announced" if source == "announced" else "learned", self._since)
            self._buckets.append(bucket)
            self.limits_version += 1
        if bucket is not None:
            bucket.widen_to(burst_s)
            bucket.full_at = full_at

    def _hear_one(
        self, kind: int, told: Dimension, at: float, cost: Cost, mark: tuple[float, ...], *, is_accepted: bool
    ) -> None:
        if not told.limit:
            return
        limit = max(told.limit, _LEAST[kind])
        bucket = self.bucket(kind)
        if bucket is None:
            bucket = Bucket(kind, limit, "announced", self._since)
            self._buckets.append(bucket)
            self.limits_version += 1
        elif bucket.source == "configured" and limit > bucket.limit * _ALLOWS_MORE:
            return
        else:
            self._limit(bucket, limit, "announced")
        if told.remaining is None or not is_accepted:
            return
        full_in_s = told.reset_s
        if full_in_s is None:
            full_in_s = max(0.0, 1.0 - told.remaining / told.limit) * bucket.burst_s
        # It was admitted although so much had been taken: so much may go at once. (A request beyond the burst passes
        # when the bucket is full, and says nothing.)
        if full_in_s - cost[kind] * bucket.unit_s > told.resolution_s + _TAKEN_S:
            bucket.widen_to(full_in_s - told.resolution_s)
        # What was sent after this one is not in what it says. A time in whole seconds is rounded up: the truth is up to
        # one earlier.
        full_at = at + full_in_s + (self._taken[kind] - mark[kind]) * bucket.unit_s
        bucket.is_exact = told.resolution_s < 1.0
        bucket.full_at = max(bucket.full_at, full_at - told.resolution_s * _ROUNDED_UP)
        if kind != _OUTPUT:  # output is counted as it is generated: what runs has still to take what is reserved for it
            bucket.full_at = min(bucket.full_at, full_at + mark[kind + len(KINDS)] * bucket.unit_s + _SLACK_S)

    def _up(self, limit: float) -> float:
        """By how much a learned rate grows with an answer: fast up to where it was refused, slowly past there (the idea
        of CUBIC, RFC 9438)."""
        return _UP if _NEAR <= limit / self._wall <= 1 / _NEAR else _UP_FAR

    def _rate(self, now: float) -> float:
        """Attempts a minute that were accepted lately."""
        passed = self._passed
        return 60 * len(passed) / max(now - passed[0], _WINDOW_S / 2) if passed else 0.0

    def _learn_from_refusal(self, now: float, *, is_time_named: bool) -> None:
        passed = [at for at in self._passed if at > now - _WINDOW_S]
        is_few = len(passed) < _EVIDENCE
        span_s = max(now - passed[0], _FEW_S if is_few else 1.0) if passed else _FEW_S
        rate = 60 * max(len(passed) - 1, 1) / span_s
        bucket = self.bucket(0)
        if bucket is None:
            if is_time_named and is_few:
                return  # the time says enough
            self._is_guess = True
            self._buckets.append(Bucket(0, rate * _BACK, "learned", now))
            self.limits_version += 1
        elif bucket.source == "learned":
            # Refused although less went through than is thought to fit: too much at once, not too much a minute.
            is_burst = not self._is_guess and bucket.is_wide and rate < bucket.limit * _BACK
            if not self._is_guess:
                bucket.narrow()
            limit = min(bucket.limit, rate * _BEYOND) if is_burst or self._is_guess else bucket.limit * _BACK
            self._is_guess, self._wall = False, bucket.limit if not is_burst else limit
            self._limit(bucket, max(1.0, limit), "learned")

    def _forget_learned(self) -> None:
        kept = [bucket for bucket in self._buckets if bucket.source != "learned"]
        if len(kept) < len(self._buckets):
            self._buckets = kept
            self.limits_version += 1

    def _refused_share(self, now: float) -> float:
        """Of the attempts of the last minute, as far as they are remembered; herds count once."""
        since = now - _MINUTE_S
        if len(self._passed) == self._passed.maxlen:
            since = max(since, self._passed[0])
        refused = sum(at >= since for at in self._refusals)
        return refused / (refused + sum(at >= since for at in self._passed) or 1)

    def _limit(self, bucket: Bucket, limit: float, source: Source) -> None:
        if limit != bucket.limit:
            self.limits_version += 1
        bucket.limit_to(limit, source)


def _is_spent(bucket: Bucket, announced: Announced | None, cost: Cost) -> bool:
    """Whether the headers of a refusal say that it was for this one."""
    told = None if announced is None else announced.dimensions.get(KINDS[bucket.kind])
    return told is not None and told.remaining is not None and told.remaining < max(cost[bucket.kind], 1.0)


def _has_room(bucket: Bucket, announced: Announced | None) -> bool:
    """Whether, as far as the headers of a refusal say, this one was half full at least."""
    told = None if announced is None else announced.dimensions.get(KINDS[bucket.kind])
    return told is None or told.reset_s is None or told.reset_s <= bucket.burst_s / 2
