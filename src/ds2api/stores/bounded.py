"""A map that forgets: the oldest when it is too large, anything when it is too old.

Each entry comes with its size in bytes (an estimate will do) and is kept at most `total_s` from when it was put. All
that is asked and put costs O(1); what is too old leaves from the old end whenever something is put.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Bounded"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `limit_bytes` in all. One entry larger than that is not kept at all. Where entries share parts, what
    becomes free with one is not what it was put for: then `release` is asked, once for each that is put."""

    __slots__ = ("_entries", "_limit_bytes", "_release", "_total_s", "size_bytes")

    def __init__(self, limit_bytes: int, total_s: float, release: Callable[[V], int] | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._release = release
        self._total_s = total_s
        self._entries: OrderedDict[K, tuple[V, int, float]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: K, value: V, size_bytes: int, now: float) -> None:
        """Keep `value`, as the newest; an older one under the same key is gone."""
        self.drop(key)
        if size_bytes > self._limit_bytes:
            if self._release is not None:
                self._release(value)
            return
        self._entries[key] = (value, size_bytes, now + self._total_s)
        self.size_bytes += size_bytes
        while self._entries:
            oldest = next(iter(self._entries))
            if self.size_bytes <= self._limit_bytes and self._entries[oldest][2] > now:
                break
            self.drop(oldest)

    def get(self, key: K, now: float) -> V | None:
        """What was put, unless it is forgotten."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[2] <= now:
            self.drop(key)
            return None
        return entry[0]

    def drop(self, key: K) -> bool:
        """Forget `key` now. Gives whether it was there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.size_bytes -= entry[1] if self._release is None else self._release(entry[0])
        return True
