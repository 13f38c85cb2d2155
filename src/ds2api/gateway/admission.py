"""Where exchanges wait for an account: the pool's tickets, made awaitable.

The pool decides and knows the time; this is the small part that sleeps. One timer for the whole line, set to
the pool's next moment; a ticket is a future. What a finished attempt frees is handed on in the same call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ds2api.accounts import Account, Announced, Ask, Grant, Lease, Policy, Pool, Refused, Ticket, Verdict
from ds2api.universal.usage import Usage

__all__ = ["Admission"]


class Admission:
    """The pool's async door, made in a running loop. `now` is the pool's clock: the loop's time unless a test says
    otherwise."""

    def __init__(self, pool: Pool, clock: Callable[[], float] | None = None) -> None:
        self.pool = pool
        self.now: Callable[[], float] = clock or asyncio.get_running_loop().time
        self._waiting: dict[Ticket, asyncio.Future[Lease | Refused]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def at_once(self, ask: Ask) -> Lease | Ticket | Refused:
        """An account if there is one; a ticket is for `wait`, which must follow in this very call."""
        return self.pool.acquire(ask, self.now())

    async def wait(self, answer: Ticket) -> Lease | Refused:
        """Wait for an account, at most until the ask's deadline.

        Cancelled while waiting it leaves the line; a lease that was granted in that very moment goes back.
        """
        granted: asyncio.Future[Lease | Refused] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = granted
        self._set_timer()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and isinstance(granted.result(), Lease):
                lease = granted.result()
                assert isinstance(lease, Lease)
                self.give_back(lease)
            raise
        finally:
            self._waiting.pop(answer, None)
            self.pool.cancel(answer)

    def hear(self, lease: Lease, announced: Announced) -> None:
        """The provider has accepted the attempt; see `Pool.hear`."""
        self._hand_out(self.pool.hear(lease, self.now(), announced))

    def settle(
        self, lease: Lease, verdict: Verdict | None, *, usage: Usage | None = None, announced: Announced | None = None
    ) -> None:
        """The attempt is over; see `Pool.settle`."""
        self._hand_out(self.pool.settle(lease, verdict, self.now(), usage=usage, announced=announced))

    def give_back(self, lease: Lease) -> None:
        """The attempt ended without a word about the account; harmless twice."""
        self._hand_out(self.pool.give_back(lease, self.now()))

    def drain(self, account_id: str) -> None:
        """The operator takes the account out. Raises `KeyError`, as `rest` and `revive` do."""
        self._hand_out(self.pool.drain(account_id, self.now()))

    def rest(self, account_id: str, seconds: float) -> None:
        self._hand_out(self.pool.rest(account_id, seconds, self.now()))

    def revive(self, account_id: str) -> None:
        self._hand_out(self.pool.revive(account_id, self.now()))

    def replace(self, accounts: Iterable[Account], policy: Policy) -> None:
        """A new configuration; who waits for what it brings is served."""
        self._hand_out(self.pool.replace(accounts, policy, self.now()))

    def close(self) -> None:
        """Stop the timer. Whoever waits still is the caller's to cancel."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_out(self, grants: list[Grant]) -> None:
        for grant in grants:
            waiting = self._waiting.get(grant.ticket)
            if waiting is not None and not waiting.done():
                waiting.set_result(grant.outcome)
            elif isinstance(grant.outcome, Lease):  # its owner has just gone
                self.give_back(grant.outcome)
        if self._waiting:
            self._set_timer()

    def _set_timer(self) -> None:
        wake_at = self.pool.next_wake()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at is not None:
            delay_s = max(0.0, wake_at - self.now())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._hand_out(self.pool.tick(self.now()))
        self._set_timer()
