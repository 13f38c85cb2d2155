"""What the pool learns of limits that nobody configured: from headers, from refusals, and of keys that are one bucket."""

from __future__ import annotations

from collections import Counter

from ds2api.accounts import (
    Account,
    AccountLimits,
    Action,
    Announced,
    Ask,
    Candidate,
    Lease,
    Pool,
    Refused,
    Scope,
    Ticket,
    Verdict,
)
from ds2api.accounts.announced import Dimension
from ds2api.accounts.costs import Estimates
from ds2api.universal.errors import Kind
from ds2api.universal.usage import Usage


def limited(wait_s: float | None = None) -> Verdict:
    return Verdict(Scope.MODEL, Action.COOL, Kind.RATE_LIMITED, "429", wait_s)


def pool_of(*names: str) -> Pool:
    return Pool([Account(f"p/{name}", "p") for name in names])


class Provider:
    """What a provider holds: `most` requests at once, and so many more each second."""

    def __init__(self, most: float, a_second: float = 1.0) -> None:
        self._most, self._a_second = most, a_second
        self._level, self._at = most, 0.0

    def admits(self, now: float) -> bool:
        """Whether one is served at `now`; then it is taken."""
        self._level, self._at = min(self._most, self._level + (now - self._at) * self._a_second), now
        is_admitted = self._level >= 1
        self._level -= is_admitted
        return is_admitted

    @property
    def wait_s(self) -> float:
        """Until the next one fits."""
        return (1 - self._level) / self._a_second


def ask(model: str = "m", deadline: float = 1e9, **more: object) -> Ask:
    return Ask([Candidate("p", model)], deadline, **more)  # type: ignore[arg-type]


def leased(answer: object) -> Lease:
    assert isinstance(answer, Lease), answer
    return answer


def told(requests: float | None = None, tokens: float | None = None, organisation: str | None = None) -> Announced:
    limits = {"requests": requests, "tokens": tokens}
    return Announced(None, {name: Dimension(one) for name, one in limits.items() if one is not None}, organisation)


def begun(pool: Pool, until: float, step_s: float = 0.25, **more: object) -> list[float]:
    """The times at which requests that come every `step_s` start, each answered at once."""
    times: list[float] = []
    now = 0.0
    while now < until:
        answer = pool.acquire(ask(deadline=now, **more), now)
        if isinstance(answer, Lease):
            times.append(now)
            pool.settle(answer, None, now)
        now += step_s
    return times


def test_a_limit_that_headers_say_is_kept() -> None:
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), None, 0.0, announced=told(requests=60))
    times = begun(pool, 60.0)
    assert 60 <= len(times) <= 66, "the rate, and a few seconds' worth at once"
    assert sum(time < 5 for time in times) <= 11


def test_tokens_that_headers_say_are_counted_by_the_estimate() -> None:
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), None, 0.0, announced=told(tokens=60_000))
    assert 11 <= len(begun(pool, 60.0, input_tokens=5000.0, output_limit=0.0)) <= 14


def test_an_absurd_limit_does_not_stall_the_pool() -> None:
    """A header in another unit, or a lie: what is lower than any provider's limit is not believed."""
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), None, 0.0, announced=told(requests=1e-9, tokens=1e-9))
    pool.settle(leased(pool.acquire(ask(input_tokens=100.0), 61.0)), None, 61.0)
    assert isinstance(pool.acquire(ask(deadline=130.0, input_tokens=100.0), 122.0), Lease)


def test_a_limit_is_learned_for_its_model_only() -> None:
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), None, 0.0, announced=told(requests=6))
    for _ in range(50):
        pool.settle(leased(pool.acquire(ask("other"), 1.0)), None, 1.0)


def test_after_a_refusal_ours_holds_no_more_than_the_providers_bucket() -> None:
    """The 429 says when one fits: the next one goes then, and the others follow at the rate, not all at once."""
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), None, 0.0, announced=told(requests=60))
    pool.settle(leased(pool.acquire(ask(), 1.0)), limited(2.0), 1.0, announced=told(requests=60))
    tickets = [pool.acquire(ask(), 1.0) for _ in range(4)]
    assert all(isinstance(one, Ticket) for one in tickets)
    starts: list[float] = []
    now = 1.0
    while len(starts) < 4:
        wake = pool.next_wake()
        assert wake is not None and wake >= now
        now = wake
        for grant in pool.tick(now):
            starts.append(now)
            pool.settle(leased(grant.outcome), None, now)
    assert [round(one, 1) for one in starts] == [3.0, 4.0, 5.0, 6.0]


def test_no_herd_behind_a_refusal_that_says_nothing() -> None:
    """One goes ahead when the rest is over; who stands behind it waits for its answer, whichever it is."""
    pool = pool_of("a")
    first = leased(pool.acquire(ask(), 0.0))
    pool.settle(first, limited(1.0), 0.0)
    assert all(isinstance(pool.acquire(ask(), 0.0), Ticket) for _ in range(10))
    granted = pool.tick(1.0)
    assert len(granted) == 1
    assert pool.tick(1.1) == []
    assert len(pool.settle(leased(granted[0].outcome), None, 1.2)) == 9


def test_R106_a_probe_that_says_nothing_frees_its_place() -> None:
    """The client of the one that went ahead has left: the next one goes, at once."""
    pool = pool_of("a")
    pool.settle(leased(pool.acquire(ask(), 0.0)), limited(1.0), 0.0)
    assert all(isinstance(pool.acquire(ask(), 0.0), Ticket) for _ in range(3))
    (probe,) = pool.tick(1.0)
    assert len(pool.give_back(leased(probe.outcome), 1.1)) == 1


def test_only_the_one_that_went_ahead_frees_its_place() -> None:
    """Somebody else's client leaves meanwhile: that says nothing of the one that went ahead."""
    pool = pool_of("a")
    before = leased(pool.acquire(ask(), 0.0))
    pool.settle(leased(pool.acquire(ask(), 0.1)), limited(1.0), 0.5)
    assert all(isinstance(pool.acquire(ask(), 0.5), Ticket) for _ in range(3))
    assert len(pool.tick(1.5)) == 1
    assert pool.give_back(before, 1.6) == []


def test_a_rate_is_learned_from_refusals_alone() -> None:
    """A provider of one request a second that says nothing: after a while hardly any attempt is refused, and the rate
    is used."""
    pool = pool_of("a")
    provider = Provider(5.0)
    counted: Counter[bool] = Counter()
    for number in range(4000):
        now = number * 0.25
        answer = pool.acquire(ask(deadline=now), now)
        if not isinstance(answer, Lease):
            continue
        is_admitted = provider.admits(now)
        pool.settle(answer, None if is_admitted else limited(), now)
        if now > 120:
            counted[is_admitted] += 1
    refused, served = counted[False], counted[True]
    assert refused / (refused + served) < 0.04
    assert served > 0.8 * 880


def test_a_learned_rate_that_nobody_uses_does_not_grow() -> None:
    """That a part of it is accepted proves nothing, and each try that fails is a refusal."""
    pool = pool_of("a")
    for number in range(20):
        pool.settle(leased(pool.acquire(ask(), number)), None, number)
    for now in (19.5, 30.0, 50.0):  # learned, narrowed, known
        pool.settle(leased(pool.acquire(ask(), now)), limited(), now)

    def learned() -> float:
        return next(one.limit for one in pool.quota(pool.account("p/a"), "m").buckets)

    before = learned()
    for number in range(500):
        now = 80.0 + number * 2
        pool.settle(leased(pool.acquire(ask(), now)), None, now)
    assert 40 < before <= learned() < 70  # twice the 30 a minute that were asked for, and one step


def test_too_much_at_once_is_told_from_too_much_a_minute() -> None:
    """One a second, one at once. Refused for a burst, the pool sends less at once, and still all that fits."""
    pool = pool_of("a")
    provider, begun, served = Provider(1.0), 0, 0
    for number in range(6000):
        now = number * 0.1
        answer = pool.acquire(ask(deadline=now), now)
        if not isinstance(answer, Lease):
            continue
        is_admitted = provider.admits(now)
        pool.settle(answer, None if is_admitted else limited(), now)
        if now >= 120:
            begun += 1
            served += is_admitted
    assert served > 0.8 * 480
    assert begun - served < 0.06 * begun


def test_a_long_conversation_in_a_cache_is_guessed_by_its_own_text() -> None:
    """Its text has fewer tokens than others' for each byte; all of the last turn is read from the cache. So the next
    one costs only what is new."""
    estimates = Estimates()
    for _ in range(40):
        estimates.learn(1000.0, 0.0, Usage(1300, output_text=100))  # others: without a cache
        estimates.learn(10_000.0, 9800.0, Usage(160, 7840, output_text=100))
    cost = estimates.cost(10_200.0, 500.0, cached=10_000.0, factor=0.8)
    assert 160 <= cost.input <= 210


def test_R110_keys_of_one_organisation_are_one_bucket_and_the_pool_finds_it_out() -> None:
    pool = pool_of("a", "b", "c")
    for name in "ab":
        lease = leased(pool.acquire(ask(avoid=frozenset({f"p/{one}" for one in "abc" if one != name})), 0.0))
        pool.settle(lease, None, 0.0, announced=told(60, organisation="org-1"))
    lease = leased(pool.acquire(ask(avoid=frozenset({"p/a", "p/b"})), 0.0))
    pool.settle(lease, None, 0.0, announced=told(60, organisation="org-2"))
    assert {pool.account(f"p/{name}").group for name in "ab"} == {"organisation org-1"}
    assert 120 <= len(begun(pool, 60.0)) <= 132, "two buckets, not three"


def test_a_key_that_is_refused_for_its_group_rests_with_its_sisters() -> None:
    pool = pool_of("a", "b")
    for name in "ab":
        lease = leased(pool.acquire(ask(avoid=frozenset({f"p/{one}" for one in "ab" if one != name})), 0.0))
        pool.settle(lease, None, 0.0, announced=told(organisation="org-1"))
    pool.settle(leased(pool.acquire(ask(), 1.0)), limited(30.0), 1.0)
    refused = pool.acquire(ask(deadline=5.0), 2.0)
    assert isinstance(refused, Refused) and refused.retry_after_s == 29.0


def test_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    pool = pool_of("a")
    for number in range(5000):
        pool.settle(leased(pool.acquire(ask(f"model {number}"), 0.0)), None, 0.0)
    assert len(pool._directory.quotas) <= 1100


def test_who_waits_for_its_own_account_holds_nobody_up() -> None:
    """Two conversations are at home at "a", which is spent for a moment; whoever stands behind them takes "b"."""
    pool = pool_of("a", "b")
    only_a = frozenset({"p/b"})
    pool.settle(leased(pool.acquire(ask(avoid=only_a, affinity="x"), 0.0)), None, 0.0)
    pool.settle(leased(pool.acquire(ask(avoid=frozenset({"p/a"})), 0.0)), None, 0.0)
    pool.rest("p/a", 0.25, 9.9)
    pool.rest("p/b", 0.1, 9.9)
    at_home = pool.acquire(ask(affinity="x"), 9.9)
    other = pool.acquire(ask(), 9.9)
    assert isinstance(at_home, Ticket) and isinstance(other, Ticket)
    assert [grant.ticket for grant in pool.tick(10.0)] == [other]
    assert [grant.ticket for grant in pool.tick(10.2)] == [at_home]


def test_who_cannot_be_served_within_its_patience_is_refused_with_the_true_time() -> None:
    pool = pool_of("a")
    pool.rest("p/a", 5.0, 0.0)
    assert isinstance(pool.acquire(ask(deadline=100.0), 0.0), Ticket)
    impatient = pool.acquire(ask(deadline=8.0), 0.0)
    assert isinstance(impatient, Ticket)
    pool.rest("p/a", 49.0, 1.0)
    (grant,) = pool.tick(8.0)
    assert grant.ticket is impatient and isinstance(grant.outcome, Refused)
    assert grant.outcome.retry_after_s == 42.0
    assert pool.acquire(ask(deadline=20.0), 9.0) == Refused(Kind.RATE_LIMITED, 41.0, "limit reached")


def test_a_provider_that_holds_little_at_once_is_used_up_all_the_same() -> None:
    """3,000 a minute are configured; half a second's worth is what it takes at once. Twice as much is asked for."""
    limits = AccountLimits(rpm=3000)
    pool = Pool([Account("p/a", "p", limits)])
    provider = Provider(25.0, a_second=50.0)
    served, refused = 0, 0
    under_way: list[tuple[float, Lease]] = []

    def reach(now: float, lease: Lease) -> None:
        nonlocal served, refused
        is_admitted = provider.admits(now)
        if now > 5.0:
            served += is_admitted
            refused += not is_admitted
        grants = pool.settle(lease, None if is_admitted else limited(provider.wait_s), now)
        under_way.extend((now + 0.02, grant.outcome) for grant in grants if isinstance(grant.outcome, Lease))

    for number in range(4500):
        now = number * 0.01
        ready = [one for one in under_way if one[0] <= now]
        under_way = [one for one in under_way if one[0] > now]
        for _, lease in ready:
            reach(now, lease)
        grants = pool.tick(now)
        under_way.extend((now + 0.02, grant.outcome) for grant in grants if isinstance(grant.outcome, Lease))
        answer = pool.acquire(ask(deadline=now + 1.0), now)
        if isinstance(answer, Lease):
            under_way.append((now + 0.02, answer))
    assert served >= 0.95 * 40 * 50
    assert refused <= 0.02 * served


def test_a_herd_of_refusals_is_one_refusal() -> None:
    """Ten that were under way together are refused with the same short time: it is believed, not doubled ten times."""
    pool = pool_of("a")
    leases = [leased(pool.acquire(ask(), 0.0)) for _ in range(10)]
    for lease in leases:
        pool.settle(lease, limited(0.05), 0.1)
    waiting = pool.acquire(ask(), 0.1)
    assert isinstance(waiting, Ticket) and waiting.wake_at <= 0.2


def test_refusals_by_chance_are_not_taken_for_a_limit() -> None:
    """Two attempts of a hundred are refused whatever one does, with half a second to wait (a pool that all customers
    share). No rate is learned of that, and everybody is served."""
    pool = pool_of("a")
    under_way: list[tuple[float, Lease]] = []
    count = refused = 0
    for number in range(6000):
        now = number * 0.1
        if number % 2 == 0 and isinstance(answer := pool.acquire(ask(deadline=now + 10), now), Lease):
            under_way.append((now + 1.0, answer))
        grants = pool.tick(now)
        while under_way and under_way[0][0] <= now:
            _, lease = under_way.pop(0)
            count += 1
            grants += pool.settle(lease, limited(0.5) if count % 50 == 0 else None, now)
        for grant in grants:
            if isinstance(grant.outcome, Lease):
                under_way.append((now + 1.0, grant.outcome))
            else:
                refused += 1
    assert count > 2950 and refused == 0
    assert pool.quota(pool.account("p/a"), "m").buckets == ()
