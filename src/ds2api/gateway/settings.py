"""The settings of this room, with their precedents. Seconds; what resets each is in its name."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Browsers", "Deadlines", "Retries"]


@dataclass(frozen=True, slots=True)
class Deadlines:
    # Between two signs of life of a streaming provider (pings and comments count). Reasoning models are silent
    # for minutes: 120 s kills healthy requests (R140 of the field reports); Envoy's stream idle is 300.
    event_idle_s: float = 300.0
    # A whole exchange, retries included. OpenAI's and Anthropic's SDKs wait 600 s by default and allow an hour.
    exchange_total_s: float = 3600.0
    # When the 200 leaves although no content came. Claude Code warns after 20 s without a byte, and load
    # balancers cut at 30 or 60.
    commit_after_s: float = 15.0
    # A keep-alive when nothing was written for so long: as above, and WHATWG HTML §9.2.7 says "about 15 seconds".
    alive_idle_s: float = 15.0
    # How late the gateway's own loop may run, for a second on end, before some of the new requests are refused (503, or
    # 529 where the dialect has it), so that the others are served in time. Thousands of clients who start at once make
    # it late by a second or two, and each of them is served: so it is beyond that. An answer passes four or five turns
    # of the loop; who wants answers within a second under any load sets 0.1. Envoy and HAProxy leave such a number to
    # the user, too.
    loop_lag_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Retries:
    # After a provider's fault. The official SDKs try twice more; nginx and Envoy leave the number to the user.
    # Accounts that refuse (rate limit, dead key) do not count: each is asked once and then known.
    max: int = 3
    # The pause before a provider that failed is asked again, half of it by chance; it doubles with each further fault.
    # The official SDKs' own first pause is 0.5 s, doubled, and up to a quarter less by chance.
    pause_first_s: float = 0.5
    # No new attempt when less than this is left of the exchange: it could not end well (R121).
    attempt_least_s: float = 1.0
    # How long a request of a caller without a setting of its own may stand in line.
    patience_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Browsers:
    # Pages that may use the gateway and read its answers (CORS): ["https://chat.example.com"]; "*" is any page. None
    # by default, as everywhere: a page in a browser is somebody else's program.
    origins: tuple[str, ...] = ()
    # Names of a gateway that asks no key, beside localhost and its addresses (behind a proxy on the same machine).
    hosts: tuple[str, ...] = ()
