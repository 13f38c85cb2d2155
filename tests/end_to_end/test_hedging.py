"""Hedging through sockets: a first byte that is late is raced by a second account, and nobody sees the loser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, serve, serve_text
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Hold, Mock, Received, Reply, mock_upstream
from tests.end_to_end.raw import Answer, connected, exchange, post_bytes, reset
from tests.end_to_end.tables import provider, table

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
HELLO = [{"role": "user", "content": "Hello"}]
# So many requests make as many times known and the budget whole; the next is the first that may be hedged.
WARM = 20
pairs = pytest.mark.parametrize("client,upstream", [(c, u) for c in PATHS for u in PATHS])
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def body_of(stream: bool) -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, "max_tokens": 99, "stream": stream}


def ask(gateway: Running, client: str, stream: bool) -> Answer:
    fields = {"content-type": "application/json"}
    return exchange(gateway.port, "POST", PATHS[client], json.dumps(body_of(stream)).encode(), fields)


@contextmanager
def hedged(
    upstream: str, client: str, stream: bool, then: Callable[[Received], Reply], names: str = "ab", **route: Any
) -> Iterator[tuple[Mock, Running]]:
    """A gateway that knows how fast its upstream is. What comes after that is answered by `then`."""

    def script(received: Received) -> Reply:
        return serve_text(received) if received.number < WARM else then(received)

    with mock_upstream(script) as mock:
        models = {"m": {"targets": ["p/m"], "hedge": True, **route}}
        with gateway_for({**table({"p": provider(mock.url, upstream, *names)}, models), "log": "json"}) as gateway:
            for _ in range(WARM):
                assert ask(gateway, client, stream).status == 200
            assert len(mock.received) == WARM
            yield mock, gateway
            pool = gateway.gateway.house.admission.pool
            gateway.wait_until(lambda: pool.in_flight == 0 and pool.waiting == 0, "a lease is still out")


def last_line(gateway: Running) -> dict[str, Any]:
    server = gateway.gateway._server
    assert server is not None
    gateway.wait_until(lambda: server.statistics().exchanges == 0, "an exchange still runs")
    line: dict[str, Any] = json.loads(gateway.log().splitlines()[-1])
    return line


@streams
@pairs
def test_who_has_the_first_byte_wins_and_the_loser_leaves_no_trace(client: str, upstream: str, stream: bool) -> None:
    hold = Hold()

    def then(received: Received) -> Reply:
        return serve(received, "Fast") if received.number > WARM else Reply(before_head=[hold])

    with hedged(upstream, client, stream, then) as (mock, gateway):
        answer = ask(gateway, client, stream)
        late, fast = mock.wait_for(WARM + 2)[WARM:]
        assert answer.status == 200
        assert b"Fa" in answer.body
        late.wait_gone()
        assert late.key != fast.key
        line = last_line(gateway)
        assert (line["hedged"], line["ending"], line["attempts"]) == (True, "served", 1)
        assert "tried" not in line
        winner, loser = ("p/a", "p/b") if line["account"] == "p/a" else ("p/b", "p/a")
        assert answer.header("x-ds2api-served-by") == f"p/m; account={winner[2:]}"
        assert gateway.account(loser).refused == 0
        assert gateway.account(winner).served >= 1


@streams
@pytest.mark.parametrize("upstream", PATHS)
def test_the_first_may_win_after_all(upstream: str, stream: bool) -> None:
    """Its first byte comes while the second is still waited for: the second is closed, its refusal is not heard."""
    first, second = Hold(), Hold()

    def then(received: Received) -> Reply:
        if received.number > WARM:
            return Reply(before_head=[second])
        reply = serve(received, "Slow")
        reply.before_head = [first]
        return reply

    with hedged(upstream, "chat", stream, then) as (mock, gateway):
        with connected(gateway.port, post_bytes(PATHS["chat"], body_of(stream))) as socket:
            second.wait_reached()
            first.release()
            data = b""
            while b"Sl" not in data:
                data += socket.recv(65536)
            mock.received[WARM + 1].wait_gone()
        assert b"200 OK" in data
        line = last_line(gateway)
        assert line["hedged"] is True
        assert "tried" not in line


@streams
def test_a_second_that_fails_is_no_matter(stream: bool) -> None:
    hold = Hold()

    def then(received: Received) -> Reply:
        if received.number > WARM:
            hold.release()
            return chat_error(429, type_="requests", code="rate_limit_exceeded")
        reply = serve(received, "Slow")
        reply.before_head = [hold]
        return reply

    with hedged("chat", "chat", stream, then) as (mock, gateway):
        answer = ask(gateway, "chat", stream)
        assert answer.status == 200
        assert b"Sl" in answer.body
        assert "tried" not in last_line(gateway)
        assert len(mock.received) == WARM + 2


@streams
def test_when_both_fail_the_client_gets_the_reason(stream: bool) -> None:
    hold = Hold()

    def then(received: Received) -> Reply:
        if received.number > WARM:
            hold.release()
            return chat_error(401, code="invalid_api_key")
        reply = chat_error(400, "max_tokens: too big")
        reply.before_head = [hold]
        return reply

    with hedged("chat", "chat", stream, then) as (mock, gateway):
        answer = ask(gateway, "chat", stream)
        assert (answer.status, len(mock.received)) == (400, WARM + 2)
        assert "too big" in answer.text


@streams
@pytest.mark.parametrize("leave", [lambda client: client.close(), reset], ids=["closes", "resets"])
def test_a_client_that_leaves_the_race_frees_both(stream: bool, leave: Callable[[Any], None]) -> None:
    holds = [Hold(), Hold()]
    with hedged("chat", "messages", stream, lambda one: Reply(before_head=[holds[one.number - WARM]])) as (
        mock,
        gateway,
    ):
        with connected(gateway.port, post_bytes(PATHS["messages"], body_of(stream))) as socket:
            for hold in holds:
                hold.wait_reached()
            leave(socket)
            for received in mock.received[WARM:]:
                received.wait_gone()
        gateway.wait_until(lambda: gateway.account("p/a").in_flight + gateway.account("p/b").in_flight == 0, "leases")
        assert "client_gone_waiting" in gateway.log()


def test_a_client_that_leaves_the_winner_frees_it() -> None:
    late, middle = Hold(), Hold()

    def then(received: Received) -> Reply:
        return Reply(before_head=[late]) if received.number == WARM else serve(received, hold=middle)

    with hedged("chat", "chat", True, then) as (mock, gateway):
        with connected(gateway.port, post_bytes(PATHS["chat"], body_of(True))) as socket:
            middle.wait_reached()
            mock.received[WARM].wait_gone()
            socket.close()
            mock.received[WARM + 1].wait_gone()
        gateway.wait_until(lambda: gateway.account("p/a").in_flight + gateway.account("p/b").in_flight == 0, "leases")
        assert "client_gone_reading" in gateway.log()


@pytest.mark.parametrize(("names", "route"), [("a", {}), ("ab", {"hedge": False})], ids=["one account", "off"])
def test_nobody_is_raced_without_another_account_or_the_wish(names: str, route: dict[str, Any]) -> None:
    hold = Hold()

    def then(received: Received) -> Reply:
        reply = serve(received, "Slow")
        reply.before_head = [hold]
        return reply

    with hedged("chat", "chat", False, then, names, **route) as (mock, gateway):
        with connected(gateway.port, post_bytes(PATHS["chat"], body_of(False))) as socket:
            hold.wait_reached()
            house = gateway.gateway.house
            late_s = house.hedging.late_s(("p", "m", False))
            asked_at = house.now()
            if late_s is not None:  # well behind the moment at which a second would have begun
                gateway.wait_until(lambda: house.now() > asked_at + 3 * late_s, "time stands still")
            hold.release()
            assert b"200 OK" in socket.recv(65536)
        assert len(mock.received) == WARM + 1
        assert "hedged" not in last_line(gateway)
