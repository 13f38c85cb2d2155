"""How the pool treats accounts that fail. Times are seconds on the clock that is handed in."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    # A 429 that names no time. Anthropic's and OpenAI's buckets refill continuously (`pool-model.md` §2), so a
    # few seconds bring back some capacity; each further 429 in a row doubles it. LiteLLM's fixed value is 5.
    cool_first_s: float = 5.0
    # The doubling ends here: a minute is the window that most limits are counted in.
    cool_most_s: float = 60.0
    # "Try again at once" (`retry-after: 0`) is no invitation to hammer: at least this; a shorter time that is named is
    # believed once. Each further refusal in a row doubles it.
    announced_least_s: float = 0.25
    # An announced wait is believed up to a day (Gemini's daily quota); beyond that it is taken for an error.
    announced_most_s: float = 86_400.0
    # Failures of a provider in a row, without a success between them, that open its circuit for a model. One request
    # fails four times at most (`retries.max`), so that no single odd request takes a model away from the others.
    circuit_failures: int = 5
    # How long an open circuit stays open: the official SDKs' own first retry comes after half a second; doubled each
    # time a probe fails, so that an outage of 30 s is asked some 18 times, and found over within two seconds.
    circuit_first_s: float = 0.5
    circuit_most_s: float = 2.0
    # In an outage of more than a minute: Envoy's base ejection time.
    circuit_long_s: float = 30.0
    # Attempts that follow a provider's own fault may be at most this share of all (Finagle's and Linkerd's default):
    # a storm of retries is impossible, whatever happens.
    retry_share: float = 0.2
    # A key refused once may be a hiccup at the provider; the second refusal on another request is the proof.
    refused_key_s: float = 30.0
    # Quota and billing: no clock helps, but somebody may pay. One probe an hour.
    suspended_s: float = 3600.0
    # A model that this account may not use: access is granted by people, so look again in ten minutes.
    no_model_s: float = 600.0
    # Proofs that make a key dead.
    proofs: int = 2
    # How long a turn waits for the account of the turn before, while others are free: what stands in that one's cache
    # is worth more than the wait. In the simulation at 80 % load, 0.3 s keeps 98 to 99 % of turns at home with a p99 of
    # 0.1 s; 1 s keeps no more, and its p99 is 1 s, since who waits for its own holds up who waits for any.
    home_wait_s: float = 0.3
    # Requests in all lines together. nginx queues 511 connections, but a request here holds its whole body.
    line_most: int = 10_000

    def cool_s(self, in_a_row: int, announced_s: float | None) -> float:
        """How long an account or a limit group rests at its `in_a_row`th refusal (from 1), given what the provider
        announced."""
        doubled: float = 2.0 ** min(in_a_row - 1, 16)
        if announced_s is not None:
            least_s = min(announced_s, self.announced_least_s) if announced_s > 0 else self.announced_least_s
            return min(max(announced_s, min(least_s * doubled, self.cool_most_s)), self.announced_most_s)
        return min(self.cool_first_s * doubled, self.cool_most_s)
