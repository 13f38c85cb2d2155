"""Attempts at one answer, side by side: the first that has something for the client brings it.

Each runner is a task with a `Draft` of the client's answer, so that nothing of it reaches the client, the record or
the losses before it `claim`s. Whoever claims first has won; the others are cancelled in that very call, and what
cancels them closes their connections and gives their leases back. If nobody claims, all have failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from ds2api.accounts import Lease, Scope
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.failures import AttemptFailed

__all__ = ["Draft", "FailedTry", "Race", "Runner"]


@dataclass(frozen=True, slots=True)
class FailedTry:
    """An attempt on `lease` that is over."""

    lease: Lease
    cause: AttemptFailed


# One attempt, for the answer that it is given. None: it went well.
Runner = Callable[[ClientAnswer], Coroutine[Any, Any, FailedTry | None]]

# What of a record is about one attempt; the rest is about the exchange.
_OF_ATTEMPT = ("account", "lane", "target", "upstream_dialect", "upstream_id")


class Draft(ClientAnswer):
    """What one runner would tell the client of `whole`."""

    __slots__ = ("_claimed", "_whole")

    def __init__(self, whole: ClientAnswer, claimed: Callable[[], None]) -> None:
        super().__init__(whole.incoming, whole.dialect, replace(whole.record, tried=[]), whole.began_at)
        self.stream = whole.stream
        self._whole = whole
        self._claimed = claimed

    def claim(self) -> ClientAnswer:
        self._claimed()
        self.tell()
        return self._whole

    def tell(self) -> None:
        """What the attempt has found is the answer's."""
        whole = self._whole
        for name in _OF_ATTEMPT:
            setattr(whole.record, name, getattr(self.record, name))
        whole.record.tried += self.record.tried
        whole.losses, whole.served_by = self.losses, self.served_by


class Race:
    """One race for `answer`. `took` hears how long a runner had its first byte awaited: the winner, and who was
    overtaken."""

    def __init__(self, answer: ClientAnswer, took: Callable[[float], None], now: Callable[[], float]) -> None:
        self._answer = answer
        self._took = took
        self._now = now
        self._runners: list[tuple[asyncio.Task[FailedTry | None], Draft, float]] = []
        self._winner: asyncio.Task[FailedTry | None] | None = None

    async def run(self, first: Runner, late_s: float | None, second: Callable[[], Runner | None]) -> list[FailedTry]:
        """Run `first` and, if it has claimed nothing after `late_s`, what `second` gives then. Empty: the client has
        its answer. Else one failure for each runner that counts: the winner's, or everybody's in the order of their
        start. Raises what a runner raises; on every way out no runner runs any more."""
        try:
            self._start(first)
            if late_s is not None:
                await asyncio.wait(self._tasks, timeout=late_s)
                if self._winner is None and not self._tasks[0].done() and (spare := second()) is not None:
                    self._start(spare)
            while not self._is_over and (running := [task for task in self._tasks if not task.done()]):
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._winner is not None:
            failure = self._winner.result()
            return [] if failure is None else [failure]
        failures = []
        for task, draft, _ in self._runners:
            if not task.cancelled() and (failure := task.result()) is not None:
                draft.tell()
                failures.append(failure)
        return failures

    @property
    def _tasks(self) -> list[asyncio.Task[FailedTry | None]]:
        return [task for task, _, _ in self._runners]

    @property
    def _is_over(self) -> bool:
        """The winner is through, or somebody found what no other could do better."""
        if self._winner is not None:
            return self._winner.done()
        return any(
            task.done() and not task.cancelled()
            and (task.exception() is not None or _is_final(task.result())) for task in self._tasks
        )  # fmt: skip

    def _start(self, runner: Runner) -> None:
        draft = Draft(self._answer, self._claimed)
        self._runners.append((asyncio.get_running_loop().create_task(runner(draft)), draft, self._now()))

    def _claimed(self) -> None:
        assert self._winner is None, "whoever is overtaken is cancelled before it can claim"
        self._winner = asyncio.current_task()
        for task, _, began_at in self._runners:
            if not task.done():
                self._took(self._now() - began_at)
            if task is not self._winner:
                task.cancel()


def _is_final(failure: FailedTry | None) -> bool:
    """The request itself is wrong: nobody else would take it."""
    return failure is None or failure.cause.verdict.scope is Scope.REQUEST
