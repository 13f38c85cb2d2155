"""When the days of providers end: a daily quota is set back at the midnight of the provider's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["PACIFIC", "next_midnight"]

# Google's quotas are counted in it (ai.google.dev, rate limits).
PACIFIC = "America/Los_Angeles"

# Where the machine has no time zones (a slim container): the standard time of the only zone that a provider names. In
# summer the day then ends an hour late, which costs an hour and never a refused request.
_PACIFIC_STANDARD = timezone(timedelta(hours=-8))


def next_midnight(wall: float, zone: str) -> float:
    """The wall's time at which the day of `zone` ends that `wall` is in."""
    place = _zone(zone)
    moment = datetime.fromtimestamp(wall, place)
    following = (moment + timedelta(days=1)).date()
    return datetime(following.year, following.month, following.day, tzinfo=place).timestamp()


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _PACIFIC_STANDARD
