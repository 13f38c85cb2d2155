"""A quota for each day: a number that is set back at the midnight of the provider's zone (`pool-model.md` §1)."""

from __future__ import annotations

from ds2api.universal.days import next_midnight

__all__ = ["Daily"]


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
