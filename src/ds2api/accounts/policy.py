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
    # "Try again at once" (`retry-after: 0`) is no invitation to hammer: at least this, doubled like the rest.
    announced_least_s: float = 0.25
    # An announced wait is believed up to a day (Gemini's daily quota); beyond that it is taken for an error.
    announced_most_s: float = 86_400.0
    # Overload is the provider's trouble and usually short: Envoy's base ejection is 30 s, too long for one key
    # among few; start at half a second (as the official SDKs' own first retry does), double, end at half a minute.
    overload_first_s: float = 0.5
    overload_most_s: float = 30.0
    # A key refused once may be a hiccup at the provider; the second refusal on another request is the proof.
    refused_key_s: float = 30.0
    # Quota and billing: no clock helps, but somebody may pay. One probe an hour.
    suspended_s: float = 3600.0
    # A model that this account may not use: access is granted by people, so look again in ten minutes.
    no_model_s: float = 600.0
    # Proofs that make a key dead.
    proofs: int = 2
    # How long a turn waits for the account of the turn before, while others are free: what stands in that one's cache
    # is worth more than the wait (in the simulation at 80 % load: 1 s keeps 99 % of turns at home).
    home_wait_s: float = 1.0
