"""Waiting for an account: tickets become leases, and nothing is lost when somebody leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ds2api.accounts import (
    Account,
    AccountLimits,
    Action,
    Ask,
    Candidate,
    Lease,
    Policy,
    Pool,
    Refused,
    Scope,
    Ticket,
    Verdict,
)
from ds2api.gateway.admission import Admission
from ds2api.universal.errors import Kind

pytestmark = pytest.mark.anyio


async def acquire(door: Admission, wanted: Ask) -> Lease | Refused:
    """As an exchange does: what there is, or else a place in the line."""
    answer = door.at_once(wanted)
    return await door.wait(answer) if isinstance(answer, Ticket) else answer


def admission() -> Admission:
    return Admission(Pool([Account("p/a", "p", AccountLimits(concurrency=1))]))


def ask(patience_s: float = 60.0) -> Ask:
    return Ask([Candidate("p", "m")], asyncio.get_running_loop().time() + patience_s)


async def line_of(door: Admission, count: int) -> None:
    while door.pool.waiting < count:
        await asyncio.sleep(0)


async def test_freed_account_goes_to_whoever_came_first() -> None:
    door = admission()
    running = await acquire(door, ask())
    assert isinstance(running, Lease)
    served: list[int] = []

    async def want(number: int) -> None:
        lease = await acquire(door, ask())
        assert isinstance(lease, Lease)
        served.append(number)
        door.settle(lease, None)

    waiting = []
    for number in range(5):
        waiting.append(asyncio.ensure_future(want(number)))
        await line_of(door, number + 1)
    door.settle(running, None)
    await asyncio.gather(*waiting)
    assert served == [0, 1, 2, 3, 4]
    assert door.pool.in_flight == 0
    door.close()


async def test_who_leaves_takes_nothing_along() -> None:
    door = admission()
    running = await acquire(door, ask())
    assert isinstance(running, Lease)
    leaving = asyncio.ensure_future(acquire(door, ask()))
    staying = asyncio.ensure_future(acquire(door, ask()))
    await line_of(door, 2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    door.settle(running, None)
    lease = await staying
    assert isinstance(lease, Lease)
    door.give_back(lease)
    assert (door.pool.waiting, door.pool.in_flight) == (0, 0)
    door.close()


async def test_lease_granted_in_the_moment_of_leaving_goes_back() -> None:
    door = admission()
    running = await acquire(door, ask())
    assert isinstance(running, Lease)
    leaving = asyncio.ensure_future(acquire(door, ask()))
    await line_of(door, 1)
    door.settle(running, None)  # grants it
    leaving.cancel()  # before it wakes
    await asyncio.gather(leaving, return_exceptions=True)
    assert door.pool.in_flight == 0
    door.close()


async def test_clock_alone_serves_who_waits_for_it() -> None:
    door = admission()
    lease = await acquire(door, ask())
    assert isinstance(lease, Lease)
    door.settle(lease, Verdict(Scope.MODEL, Action.COOL, Kind.RATE_LIMITED, "429", 0.02))
    assert isinstance(await acquire(door, ask()), Lease)
    door.close()


async def test_patience_that_ends_is_a_refusal() -> None:
    door = admission()
    assert isinstance(await acquire(door, ask()), Lease)
    assert isinstance(await acquire(door, ask(patience_s=0.02)), Refused)
    door.close()


async def test_an_account_that_comes_serves_who_waits() -> None:
    door = admission()
    assert isinstance(await acquire(door, ask()), Lease)
    waiting = asyncio.ensure_future(acquire(door, ask()))
    await line_of(door, 1)
    limits = AccountLimits(concurrency=1)
    door.replace([Account("p/a", "p", limits), Account("p/b", "p", limits)], Policy())
    lease = await waiting
    assert isinstance(lease, Lease)
    assert lease.account.id == "p/b"
    door.close()


async def test_the_operator_takes_an_account_out_and_brings_it_back() -> None:
    door = admission()
    door.drain("p/a")
    assert isinstance(await acquire(door, ask(patience_s=0.0)), Refused)
    door.revive("p/a")
    lease = await acquire(door, ask())
    assert isinstance(lease, Lease)
    door.give_back(lease)
    door.rest("p/a", 3600.0)
    assert isinstance(await acquire(door, ask(patience_s=0.0)), Refused)
    waiting = asyncio.ensure_future(acquire(door, ask(7200.0)))
    await line_of(door, 1)
    door.revive("p/a")
    assert isinstance(await waiting, Lease), "who waits is served by the word, not by the clock"
    for change in (door.drain, door.revive):
        with pytest.raises(KeyError):
            change("p/nobody")
    door.close()


async def test_a_hedge_never_stands_in_line() -> None:
    door = admission()
    assert isinstance(await acquire(door, ask()), Lease)
    assert isinstance(door.at_once(replace(ask(), spare_only=True)), Refused)
    assert door.pool.waiting == 0
    door.close()
