"""A quota for each day: a number that is set back at the midnight of the provider's zone (`pool-model.md` §1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["Daily", "next_midnight"]

# Where the machine has no time zones (a slim container): the standard time of the only zone that a provider names. In
# summer the day then ends an hour late, which costs an hour and never a refused request.
_PACIFIC = timezone(timedelta(hours=-8))


class Daily:
    """At most `limit` requests until `ends_at`, a time of the wall."""

    __slots__ = ("ends_at", "limit", "used", "zone")

    def __init__(self, limit: float, zone: str) -> None:
        self.limit = limit
        self.zone = zone
        self.used = 0.0
        self.ends_at = float("-inf")

    def free_at(self, wall: float) -> float:
        """The wall's time at which a request may go."""
        if wall >= self.ends_at:
            return wall
        return wall if self.used + 1 <= self.limit else self.ends_at

    def take(self, wall: float) -> None:
        if wall >= self.ends_at:
            self.used, self.ends_at = 0.0, next_midnight(wall, self.zone)
        self.used += 1


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
        return _PACIFIC
