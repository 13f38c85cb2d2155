"""What one limit group may take of one model, as far as the provider has told.

Nobody has to configure a limit. Headers say it (`Announced.dimensions`); where they do not, refusals do: the first one
sets the rate to a little less than what had been going through, each further one lowers it, each answer raises it a
little (AIMD, Chiu and Jain 1989). After a refusal and its wait, one attempt goes ahead and the others follow its
success: a queue that is let go all at once is refused all at once (a herd).

A limit per minute is used as a rate with a few seconds' worth at once (`Bucket`): the rate is sure, a burst of a whole
minute is not (`pool-model.md` §2). What the configuration says stands beside this, in the account.
"""

from __future__ import annotations

from collections import deque

from ds2api.accounts.announced import Announced
from ds2api.accounts.bucket import Bucket

__all__ = ["Quota"]

# A refusal without headers: what went through in this time is the rate that the provider takes.
_WINDOW_S = 20.0
# Fewer attempts in it say nothing about a rate.
_EVIDENCE = 8
# Back by a seventh, up by 0.3 % an answer: in the simulation (`bench/pool`, "never announced") that is one refusal in
# some fifty attempts, with 98 % of the rate used.
_BACK = 0.85
_UP = 1.003
# No provider has lower limits a minute; whatever a header says below it is an error or another unit.
_LEAST_REQUESTS, _LEAST_TOKENS = 1.0, 1000.0
# The one attempt after a wait that says nothing for so long is not waited for: it may be a long answer.
_PROBE_S = 2.0


class Quota:
    """The buckets of one (limit group, model)."""

    __slots__ = ("_begun", "_is_gated", "_is_told", "_probe_at", "_requests", "_tokens")

    def __init__(self) -> None:
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._is_told = False  # by headers, which beat what was guessed
        self._is_gated = False  # refused, and nobody has got through since
        self._probe_at = float("-inf")
        self._begun: deque[float] = deque(maxlen=64)

    def free_at(self, cost: float, now: float) -> float:
        """When a request of `cost` tokens may go."""
        at = now
        if self._requests is not None:
            at = max(at, self._requests.free_at(1, now))
        if self._tokens is not None:
            at = max(at, self._tokens.free_at(cost, now))
        if self._is_gated and self._probe_at + _PROBE_S > now:
            at = max(at, self._probe_at + _PROBE_S)
        return at

    def pressure(self, now: float) -> float:
        """Of the tighter bucket (`Bucket.pressure`)."""
        return max((one.pressure(now) for one in (self._requests, self._tokens) if one is not None), default=0.0)

    def begin(self, cost: float, now: float) -> None:
        """An attempt starts."""
        self._begun.append(now)
        if self._is_gated:
            self._probe_at = now
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(cost, now)

    def learn(self, announced: Announced) -> None:
        """What the headers of an answer or a refusal say of the limits."""
        told = announced.dimensions
        requests = told["requests"].limit if "requests" in told else None
        # Where input and output are counted apart (Anthropic), what `tokens` shows is whichever is tighter just now.
        tokens = told["tokens"].limit if "tokens" in told and "input-tokens" not in told else None
        if requests:
            self._is_told = True
            self._requests = _changed(self._requests, max(requests, _LEAST_REQUESTS))
        if tokens:
            self._is_told = True
            self._tokens = _changed(self._tokens, max(tokens, _LEAST_TOKENS))

    def succeed(self) -> None:
        """An answer came: the way is free."""
        self._is_gated = False
        if not self._is_told and self._requests is not None:
            self._requests.limit_to(self._requests.limit * _UP)

    def refuse(self, cost: float, wait_s: float | None, now: float) -> None:
        """A rate limit was reached by a request of `cost` tokens, which would fit in `wait_s`, if anybody said."""
        if not self._is_told and not self._is_gated:
            passed = [at for at in self._begun if at > now - _WINDOW_S]
            if self._requests is not None:
                self._requests.limit_to(max(1.0, self._requests.limit * _BACK))
            elif len(passed) >= _EVIDENCE:
                self._requests = Bucket(60 * (len(passed) - 1) / max(now - passed[0], 1.0) * _BACK)
        if wait_s is not None:
            if self._requests is not None:
                self._requests.empty_until(now + wait_s, 1)
            if self._tokens is not None:
                self._tokens.empty_until(now + wait_s, cost)
        self._is_gated = not self._is_told
        self._probe_at = float("-inf")

    def give_back(self) -> None:
        """The attempt ended without a word: if it was the one that goes ahead, the next one does (R106)."""
        self._probe_at = float("-inf")


def _changed(bucket: Bucket | None, limit: float) -> Bucket:
    if bucket is None:
        return Bucket(limit)
    bucket.limit_to(limit)
    return bucket
