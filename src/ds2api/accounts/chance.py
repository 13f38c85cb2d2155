"""Whether a provider refuses by chance, so that asking it less often changes nothing.

Some providers refuse a few of a hundred whatever one key asks (Vertex' newer models share one pool among all
customers; `pool-model.md` §1). To a pool that learns a rate from refusals each of them says "slower", until hardly
anything is asked at all. What tells the two apart is what slowing down has brought: of a real limit it leaves hardly
any refusals, of chance as large a share as before. So attempts and refusals are counted in slots; where the last slots
were refused as often as those in which clearly more was asked, refusals teach nothing, and rates are free again. Should
that be wrong, more is refused before long than chance was thought to do.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Chance"]

_SLOT_S = 20.0
_SLOTS = 30  # ten minutes: older ones may have been under another limit
# Slots that are taken together: more where little is asked.
_NOW_LEAST, _NOW_MOST = 3, 9
# Fewer refusals, now or then, say nothing.
_EVIDENCE = 3
# So many times as much was asked.
_MORE = 1.2
# As often refused, as far as a handful of refusals can tell.
_AS_OFTEN = 0.6
# Of less no rate falls far. Refusals that name a time teach nothing below 5 % (`quota`): chance begins above that.
_LEAST, _LEAST_NAMED, _MOST = 0.03, 0.06, 0.3
# More than chance explains; and so many times what it was thought to be.
_TOO_MANY, _WORSE = 0.1, 2.5
# It was no chance: not believed again for so long, and twice as long each time.
_DOUBT_S = 300.0


class Chance:
    """Of one model at one provider. A slot is [attempts, refusals]."""

    __slots__ = ("_doubt_s", "_doubted_until", "_slot", "_slots", "share")

    def __init__(self) -> None:
        self.share = 0.0  # of the attempts, this is refused by chance; 0: by a limit
        self._doubt_s = _DOUBT_S
        self._doubted_until = 0.0
        self._slot = 0
        self._slots: deque[list[int]] = deque([[0, 0]], _SLOTS)

    def accept(self, now: float) -> None:
        """An attempt was accepted."""
        if now >= (self._slot + 1) * _SLOT_S:
            self._turn(int(now / _SLOT_S))
        self._slots[-1][0] += 1

    def refuse(self, now: float, *, is_named: bool, is_clear: bool) -> None:
        """One was refused (herds once); `share` tells what is thought then. `is_named`: it named a time. Not
        `is_clear`: it may have another reason still, and proves no chance."""
        if now >= (self._slot + 1) * _SLOT_S:
            self._turn(int(now / _SLOT_S))
        slot = self._slots[-1]
        slot[0] += 1
        slot[1] += 1
        count, tries, refused = self._lately()
        if refused < _EVIDENCE:
            return
        share = refused / tries
        if self.share:
            if share > max(_TOO_MANY, self.share * _WORSE):
                self.share = 0.0
                self._doubted_until = now + self._doubt_s
                self._doubt_s *= 2
            return
        if not is_clear or now < self._doubted_until or not (_LEAST_NAMED if is_named else _LEAST) <= share < _MOST:
            return
        slots = count - 1 + now / _SLOT_S - self._slot  # this one is not over
        more = [one for one in list(self._slots)[:-count] if one[0] * slots >= tries * _MORE]
        refused_then = sum(one[1] for one in more)
        if refused_then >= _EVIDENCE and share >= _AS_OFTEN * refused_then / sum(one[0] for one in more):
            self.share = share

    @property
    def refused_share(self) -> float:
        """Of the attempts of the last minute."""
        slots = list(self._slots)[-_NOW_LEAST:]
        return sum(one[1] for one in slots) / (sum(one[0] for one in slots) or 1)

    def _lately(self) -> tuple[int, int, int]:
        """The last slots, as few as say anything: how many, their attempts and refusals."""
        count = tries = refused = 0
        for one in reversed(self._slots):
            count, tries, refused = count + 1, tries + one[0], refused + one[1]
            if count >= (_NOW_LEAST if refused >= _EVIDENCE else _NOW_MOST):
                break
        return count, tries, refused

    def _turn(self, slot: int) -> None:
        self._slots.extend([0, 0] for _ in range(min(slot - self._slot, _SLOTS)))
        self._slot = slot
