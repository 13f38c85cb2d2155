"""The comparison itself: turn after turn, until the plan is done, somebody stops it, or the money would be spent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ds2api.compare.children import Children
from ds2api.compare.plan import Budget, Plan
from ds2api.compare.worker import Round

__all__ = ["Run"]

Key = tuple[str, int, str]

# A place that answers nothing this often in a row is not asked any more: it would only be flooded.
_DEAD_TURNS = 2


@dataclass(slots=True)
class Run:
    """What was measured so far: `rounds` by (work, step, place). `stopped` says why it ended early."""

    plan: Plan
    budget: Budget
    rounds: dict[Key, list[Round]] = field(default_factory=dict)
    done: int = 0
    stopped: str = ""
    left_out: dict[str, str] = field(default_factory=dict)  # place → why
    _failed: dict[str, int] = field(default_factory=dict)

    async def go(
        self,
        children: Children,
        pids: Mapping[str, tuple[int, ...]],
        stop: asyncio.Event,
        on_turn: Callable[[Run, str], None],
    ) -> None:
        """Measure. `on_turn` hears of every turn before it begins. Raises `ChildFailed`."""
        stopping = asyncio.create_task(stop.wait())
        try:
            for turn in self.plan.turns():
                place = turn.place.name
                on_turn(self, f"{turn.work.name} at {turn.step} · round {turn.round_number + 1} · {place}")
                self.done += 1
                if place in self.left_out:
                    continue
                if not self.budget.has_room(self.plan, turn):
                    self.stopped = "the next measurement could have cost more than --max-cost allows"
                    return
                job = self.plan.job(turn, pids.get(place, ()))
                measuring = asyncio.create_task(children.measure(job, self.plan.clients))
                await asyncio.wait({measuring, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not measuring.done():
                    measuring.cancel()
                    self.stopped = "it was stopped by hand"
                    return
                found = measuring.result()
                self.rounds.setdefault((turn.work.name, turn.step, place), []).append(found)
                self.budget.spend(self.plan, turn, found.samples)
                is_dead = all(one.error for one in found.samples)
                self._failed[place] = self._failed.get(place, 0) + 1 if is_dead else 0
                if self._failed[place] == _DEAD_TURNS:
                    why = found.samples[-1].error if found.samples else "nothing could be sent"
                    self.left_out[place] = f"gave no good answer in {_DEAD_TURNS} measurements, the last one: {why}"
        finally:
            stopping.cancel()
