"""How many attempts at a time a provider takes, where it does not say: learned from refusals that name no time.

A refusal that says nothing may mean "too many a minute" or "too many at a time" (DeepSeek, local engines). The number
that was running tells them apart: a limit of the second kind refuses at one number and accepts whatever is below it,
one of the first kind refuses at any number, sooner or later also below what was believed. So the least number that was
refused is kept, and given up as soon as an attempt beside as many others is accepted. Once it is believed, one more is
tried from time to time.
"""

from __future__ import annotations

__all__ = ["Concurrency"]

# Refusals without a contradiction that make the limit believed: two may be chance.
_EVIDENCE = 3
# Refusals that come together are one: a herd is refused at any number.
_APART_S = 1.0
# Fewer at a time are no limit of this kind that anybody has: a key that is used hard is always refused beside some.
_LEAST = 3
# Answers after which one more at a time is tried.
_TRY_AFTER = 500


class Concurrency:
    """Of one quota. `most` attempts may run at a time, None where nothing of the kind is known."""

    __slots__ = ("_accepted", "_at", "_configured", "_is_disproved", "_refusals", "_refused_at", "most")

    def __init__(self, configured: int | None) -> None:
        self.most = configured
        self._configured = configured
        self._refused_at: int | None = None
        self._refusals = 0
        self._accepted = 0
        self._is_disproved = False
        self._at = float("-inf")

    def accept(self, running: int) -> None:
        """An attempt beside which `running` ran, itself counted, was accepted."""
        if self._refused_at is None:
            return
        if running >= self._refused_at:
            self.forget()
            return
        self._accepted += 1
        if self.most is not None and self._accepted >= _TRY_AFTER:
            self._accepted = 0
            self.most = min(self.most + 1, self._configured or self.most + 1)

    def refuse(self, running: int, now: float) -> bool:
        """It was refused, and no time was named. Returns whether this is what the refusal was about."""
        if self.most is not None and running <= self.most:
            self.forget()
            self._is_disproved = True  # refused below what was believed: it is a rate
        if self._is_disproved:
            return False
        if self._refused_at is None or running < self._refused_at:
            self._refused_at = running
        if now - self._at >= _APART_S:
            self._refusals += 1
            self._at = now
        self._accepted = 0
        if self._refusals < _EVIDENCE or self._refused_at < _LEAST:
            return False
        self.most = self._refused_at - 1
        return True

    def forget(self) -> None:
        """Whatever was learned was a mistake, or is over."""
        self._refused_at, self._refusals, self._accepted, self.most = None, 0, 0, self._configured
