"""Refusals by chance are told from those of a limit by what slowing down has brought."""

from __future__ import annotations

from random import Random

import pytest

from ds2api.accounts import Account, Action, Ask, Candidate, Lease, Pool, Scope, Verdict
from ds2api.accounts.chance import Chance
from ds2api.universal.errors import Kind


def play(chance: Chance, rates: list[tuple[float, float]], began_at: float = 0.0, minutes: float = 2.0) -> float:
    """(attempts a minute, share of them that is refused), each for two minutes; the clock afterwards."""
    now, debt = began_at, 0.0
    for rate, share in rates:
        until = now + 60 * minutes
        while now < until:
            now += 60 / rate
            debt += share
            if debt >= 1:
                debt -= 1
                chance.refuse(now, is_named=False, is_clear=True)
            else:
                chance.accept(now)
    return now


def test_what_slowing_down_does_not_help_is_chance() -> None:
    chance = Chance()
    play(chance, [(120, 0.06), (60, 0.06)])
    assert chance.share == pytest.approx(0.06, abs=0.03)


def test_a_limit_stops_refusing_when_less_is_asked() -> None:
    chance = Chance()
    play(chance, [(120, 0.5), (60, 0.01), (61, 0.02), (60, 0.012)])
    assert not chance.share


def test_the_same_share_at_the_same_rate_proves_nothing() -> None:
    chance = Chance()
    play(chance, [(60, 0.06)] * 5)
    assert not chance.share


def test_what_may_have_another_reason_proves_nothing() -> None:
    chance = Chance()
    now = play(chance, [(120, 0.06)])
    for number in range(120):
        now += 1.0
        if number % 16 == 15:
            chance.refuse(now, is_named=False, is_clear=False)
        else:
            chance.accept(now)
    assert not chance.share


def test_chance_that_was_a_limit_is_given_up_and_doubted() -> None:
    chance = Chance()
    now = play(chance, [(120, 0.06), (60, 0.06)])
    assert chance.share
    now = play(chance, [(120, 0.4)], now)
    assert not chance.share
    play(chance, [(60, 0.06)], now)
    assert not chance.share, "it is not believed again at once"


@pytest.mark.parametrize(("accounts", "share", "named_s"), [(1, 0.04, 0.5), (3, 0.1, None)])
def test_a_pool_shared_with_strangers_keeps_serving(accounts: int, share: float, named_s: float | None) -> None:
    """Vertex. Before chance was known, half of the clients were refused at 4 %, and more as time went on."""
    random, now = Random(1), 0.0
    pool = Pool([Account(f"p/{one}", "p") for one in range(accounts)], random=Random(2))
    refused = asked = 0
    running: list[tuple[float, Lease]] = []
    verdict = Verdict(Scope.MODEL, Action.COOL, Kind.RATE_LIMITED, "429", named_s)
    while now < 900:
        now += 0.2
        while running and running[0][0] <= now:
            at, lease = running.pop(0)
            pool.settle(lease, verdict if random.random() < share else None, at)
        asked += now > 450
        lease_or_not = pool.acquire(Ask([Candidate("p", "m")], now), now)  # nobody waits: no patience
        if isinstance(lease_or_not, Lease):
            running.append((now + 0.5, lease_or_not))
        else:
            refused += now > 450
    assert refused / asked < 0.2  # nobody waits, and an account rests for half a second after each refusal
