"""What a provider's headers say about limits (`mapping.md` §8).

One reader for all spellings: OpenAI's and Azure's ``x-ratelimit-*`` with Go durations, Anthropic's
``anthropic-ratelimit-*`` with RFC 3339 times, Mistral's, and ``retry-after`` in its three forms. Nothing here
believes an absurd value: a negative, huge or unreadable figure is as if the header were not there. Azure answers
−1 for "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["Announced", "Dimension", "duration_s", "read_announced"]

# A day: the longest window that any provider's header names.
_MOST_S = 86_400.0
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|h|m|s)")
# A network's way is in each; a date or a whole number of seconds is off by up to one.
_FINE_S, _COARSE_S = 0.02, 1.0
_GO_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}


@dataclass(frozen=True, slots=True)
class Dimension:
    """One bucket as the provider describes it at admission. `reset_s`: seconds until it is full again, as exact as
    `resolution_s`."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None
    resolution_s: float = field(default=0.05, compare=False)
    is_date: bool = field(default=False, compare=False)  # `reset_s` counts from when it was read, not from admission


@dataclass(frozen=True, slots=True)
class Announced:
    """Everything one answer said. `dimensions` keys: requests, tokens, input-tokens, output-tokens."""

    retry_after_s: float | None = None
    dimensions: dict[str, Dimension] = field(default_factory=dict)
    organisation: str | None = None

    @property
    def exhausted_s(self) -> float | None:
        """How long until an empty bucket has something again, None if none is empty."""
        waits = [
            dimension.reset_s
            for dimension in self.dimensions.values()
            if dimension.remaining == 0 and dimension.reset_s is not None
        ]
        return max(waits) if waits else None


_NOTHING = Announced()


def read_announced(headers: Mapping[str, str], wall_s: float) -> Announced:
    """Read what `headers` (lower-case names) say; `wall_s` is the wall clock, since some are dates.

    Never raises: headers come from outside.
    """
    names = "\n".join(headers)
    if "ratelimit" not in names and "retry-after" not in names and "organization" not in names:
        return _NOTHING  # two thirds of the calls of reading a usual head, in nothing
    return Announced(
        _retry_after(headers, wall_s),
        {
            name: dimension
            for name in ("requests", "tokens", "input-tokens", "output-tokens")
            if (dimension := _dimension(headers, name, wall_s)) is not None
        },
        headers.get("anthropic-organization-id") or headers.get("openai-organization"),
    )


def duration_s(text: str, wall_s: float) -> float | None:
    """Seconds in any of the forms seen: ``12``, ``1.5``, ``6m0s``, ``12ms``, RFC 3339, HTTP date; else None.

    The result is within 0 … one day; what is beyond is not believed.
    """
    text = text.strip()
    seconds: float | None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _go_duration(text)
        if seconds is None:
            seconds = _until(text, wall_s)
    if seconds is None or not 0 <= seconds < float("inf"):  # also refuses NaN
        return None
    return min(seconds, _MOST_S)


def _go_duration(text: str) -> float | None:
    parts = _GO_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _GO_UNIT_S[unit] for number, unit in parts)


def _until(text: str, wall_s: float) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return max(0.0, moment.timestamp() - wall_s)
    except (OverflowError, ValueError):
        return None


def _retry_after(headers: Mapping[str, str], wall_s: float) -> float | None:
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        seconds = duration_s(milliseconds, wall_s)
        if seconds is not None:
            return seconds / 1000
    value = headers.get("retry-after")
    return None if value is None else duration_s(value, wall_s)


def _dimension(headers: Mapping[str, str], name: str, wall_s: float) -> Dimension | None:
    def one(part: str) -> str | None:
        found = headers.get(f"anthropic-ratelimit-{name}-{part}")
        return found if found is not None else headers.get(f"x-ratelimit-{part}-{name}")

    limit, remaining, reset = one("limit"), one("remaining"), one("reset")
    if name == "tokens" and limit is None:  # Mistral's name for them
        limit, remaining = (headers.get(f"x-ratelimitbysize-{part}-minute") for part in ("limit", "remaining"))
        reset = headers.get("ratelimitbysize-reset")
    if limit is None and remaining is None and reset is None:
        return None
    reset_s = None if reset is None else duration_s(reset, wall_s)
    fine_s = _FINE_S if _is_fine(reset) else _COARSE_S
    return Dimension(_count(limit), _count(remaining), reset_s, fine_s, _is_date(reset))


def _is_date(reset: str | None) -> bool:
    return reset is not None and ("T" in reset or "," in reset)


def _is_fine(reset: str | None) -> bool:
    """Whether it names parts of a second. Dates do not (Anthropic), nor does a bare number of seconds."""
    return reset is not None and ("." in reset or "ms" in reset)


def _count(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e15 else None  # Azure's −1 is "unknown"
