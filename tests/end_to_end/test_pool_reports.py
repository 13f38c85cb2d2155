"""Field reports of pooling: each as the reporter saw it, through sockets, gateway and mock; on a clock of its own where
it is about time. The id in a name is the report's; what went wrong elsewhere stands in the docstring. And what an
answer's head says: a provider's to the pool, ours to the client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, chat_events, messages_whole, serve, serve_text
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import caller_key, caller_table, upstream_key
from tests.end_to_end.mock import Cut, Hold, Mock, Received, Reply, mock_upstream
from tests.end_to_end.raw import Answer, connected, exchange, post_bytes, read_head
from tests.end_to_end.tables import provider, table

from ds2api.accounts import Account, Ask, Candidate, Lease, Pool, Refused, Ticket, judge
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.settings import Retries
from ds2api.slices import at_once
from ds2api.universal.errors import Error, Fault, Kind

HELLO = [{"role": "user", "content": "Hello"}]
PATIENT = {"retries": {"patience_s": 5.0}}
LIMITED = Error(Fault.ACCOUNT, Kind.RATE_LIMITED, "slow down", status=429)
Script = Callable[[Received], Reply]


@contextmanager
def pooled(dialect: str, names: str, script: Script, **more: Any) -> Iterator[tuple[Mock, Running]]:
    """A mock with one account a letter of `names`, and a gateway in front of it. "m…" is any model."""
    with mock_upstream(script) as mock:
        one = provider(mock.url_of(dialect), dialect, *names)
        with gateway_for(table({"p": one}, {"m*": "p/m*"}) | more) as gateway:
            yield mock, gateway
            assert gateway.leases() == 0


def post(
    gateway: Running, dialect: str, model: str = "m", headers: dict[str, str] | None = None, **body: Any
) -> Answer:
    """A generate request in `dialect` that says hello, unless `body` says otherwise."""
    fields = {"content-type": "application/json", "anthropic-version": "2023-06-01", **(headers or {})}
    match dialect:
        case "gemini":
            path, body = f"/v1beta/models/{model}:generateContent", {"contents": [{"parts": [{"text": "Hello"}]}]}
        case "responses":
            path, body = "/v1/responses", {"model": model, "input": "Hello", **body}
        case "ollama":
            path, body = "/api/chat", {"model": model, "messages": HELLO, "stream": False, **body}
        case "messages":
            path, body = "/v1/messages", {"model": model, "messages": HELLO, "max_tokens": 9, **body}
        case _:
            path, body = "/v1/chat/completions", {"model": model, "messages": HELLO, **body}
    return exchange(gateway.port, "POST", path, json.dumps(body).encode(), fields)


def seen(gateway: Running, account: str) -> Any:
    """How the operator sees the account."""
    house = gateway.gateway.house
    views = gateway.call(lambda: at_once(house.admission.pool.view(house.now())).accounts)
    return next(view for view in views if view.id == account)


def limited(retry_after: str) -> Reply:
    return chat_error(429, type_="requests", code="rate_limit_exceeded", headers=[("retry-after", retry_after)])


def keys_of(mock: Mock) -> list[str]:
    return [received.key for received in mock.received]


def test_r100_who_is_limited_for_hours_is_passed_over_at_once() -> None:
    """The request slept for the announced time, or got the 429."""

    def script(received: Received) -> Reply:
        return limited("7200") if received.number == 0 else serve(received)

    with pooled("chat", "ab", script) as (mock, gateway):
        for number in range(6):  # conversations of their own
            assert post(gateway, "chat", messages=[{"role": "user", "content": f"Hello {number}"}]).status == 200
        first, *others = keys_of(mock)
        assert first not in others
        name = "p/a" if first == upstream_key("a") else "p/b"
        assert 7100 < seen(gateway, name).resting["m"] <= 7200


@pytest.mark.parametrize("client", ["chat", "responses", "messages", "gemini", "ollama", "mistral"])
def test_r101_all_that_cool_down_are_a_429_with_the_nearest_time(client: str) -> None:
    """A 500 or 503 without a hint, an exception without a status, or a hang."""
    waits = ["40", "12", "90"]
    with pooled("chat", "abc", lambda received: limited(waits[received.number])) as (mock, gateway):
        assert post(gateway, "chat").status == 429
        before = [seen(gateway, f"p/{name}").refused for name in "abc"]
        answer = post(gateway, client)
        assert answer.status == 429
        assert answer.header("retry-after") in ("12", "13")  # 13: the pool may add a little, that not all come at once
        if client == "gemini":
            details = answer.json["error"]["details"]
            assert [one["retryDelay"] for one in details if "retryDelay" in one] in (["12s"], ["13s"])
        assert len(mock.received) == 3
        assert [seen(gateway, f"p/{name}").refused for name in "abc"] == before == [1, 1, 1]


def test_r103_each_attempt_asks_the_pool_anew() -> None:
    """The order was A, A, A, B: who cools down was looked at only once."""

    def script(received: Received) -> Reply:
        return limited("30") if received.number == 0 else serve(received)

    with pooled("chat", "ab", script) as (mock, gateway):
        assert post(gateway, "chat").status == 200
        assert sorted(keys_of(mock)) == sorted([upstream_key("a"), upstream_key("b")])


def asked(now: float, patience_s: float = 0.0) -> Ask:
    return Ask([Candidate("p", "m")], now + patience_s)


def test_r104_a_cool_down_ends_by_the_clock_alone() -> None:
    """A second flag, "unhealthy", kept the account out until the restart."""
    pool = Pool([Account("p/a", "p")])
    lease = pool.acquire(asked(0.0), 0.0)
    assert isinstance(lease, Lease)
    pool.settle(lease, judge(LIMITED.with_(retry_after_s=60.0)), 0.0)
    assert isinstance(pool.acquire(asked(59.0), 59.0), Refused)
    probe = pool.acquire(asked(66.0), 66.0)
    assert isinstance(probe, Lease), "the next request is the probe"
    pool.settle(probe, None, 66.0)
    assert isinstance(pool.acquire(asked(67.0), 67.0), Lease)


def test_r107_a_model_that_always_fails_takes_no_other_with_it() -> None:
    """Each failover counted a failure on each key, until healthy models failed as well."""

    def script(received: Received) -> Reply:
        return chat_error(500, type_="server_error") if received.json["model"] == "m-bad" else serve(received)

    with pooled("chat", "abc", script) as (mock, gateway):
        for _ in range(3):
            assert post(gateway, "chat", "m-bad").status >= 500
        bad = len(mock.received)
        assert bad <= 3 * (1 + Retries().max)
        for number in range(6):
            assert post(gateway, "chat", "m-good", messages=[{"role": "user", "content": f"{number}"}]).status == 200
        assert len(mock.received) == bad + 6
        assert {seen(gateway, f"p/{name}").health for name in "abc"} == {"ready"}


def test_a_spent_retry_budget_is_no_rate_limit() -> None:
    """Whatever holds up the next attempt: the client hears what the provider has done."""

    def script(received: Received) -> Reply:
        return chat_error(500, type_="server_error")

    circuit = {"circuit_failures": 1000}
    with pooled("chat", "abc", script, pool=circuit) as (mock, gateway):
        assert {post(gateway, "chat").status for _ in range(60)} == {502}
        assert len(mock.received) < 120, "the budget holds"


def gemini_refusal(quota_id: str | None, delay: str) -> dict[str, Any]:
    details: list[dict[str, Any]] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    if quota_id is not None:
        failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]}
        details.insert(0, failure)
    text = "You exceeded your current quota, please check your plan and billing details."
    return {"error": {"code": 429, "message": text, "status": "RESOURCE_EXHAUSTED", "details": details}}


PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


@pytest.mark.parametrize(
    ("quota_id", "delay", "least_s", "most_s"), [(PER_MINUTE, "38s", 36, 39), (None, "86400s", 80_000, 86_400)]
)
def test_r109_the_minute_is_short_and_a_long_wait_is_long(
    quota_id: str | None, delay: str, least_s: float, most_s: float
) -> None:
    """All three have one text, "exceeded your current quota": all were taken for the quota, or all for short."""

    def script(received: Received) -> Reply:
        return Reply.json(gemini_refusal(quota_id, delay), 429) if received.number == 0 else serve(received)

    with pooled("gemini", "ab", script) as (mock, gateway):
        assert post(gateway, "gemini").status == 200
        (out,) = [view for name in "ab" if (view := seen(gateway, f"p/{name}")).resting]
        assert least_s <= out.resting["m"] <= most_s
        assert list(out.resting) == ["m"]
        assert len(mock.received) == 2
        assert gateway.account(out.id).health == "ready", "other models are served"


def test_r109_the_day_is_out_until_its_midnight_though_the_delay_is_short() -> None:
    """It came back every 36 seconds."""
    noon = datetime(2026, 1, 15, 20, 0, tzinfo=UTC)  # in Los Angeles
    said = {"date": format_datetime(noon, usegmt=True)}
    error = DIALECTS["gemini"].read_error(429, said, json.dumps(gemini_refusal(PER_DAY, "36s")).encode())
    pool = Pool([Account("p/a", "p", day_zone="America/Los_Angeles")], wall_s=noon.timestamp())
    lease = pool.acquire(asked(0.0), 0.0)
    assert isinstance(lease, Lease)
    pool.settle(lease, judge(error), 0.0)
    hour_s = 3600.0
    assert isinstance(pool.acquire(asked(11.9 * hour_s), 11.9 * hour_s), Refused)
    assert isinstance(pool.acquire(Ask([Candidate("p", "another")], hour_s), hour_s), Lease)
    assert isinstance(pool.acquire(asked(12.2 * hour_s), 12.2 * hour_s), Lease)


def test_r112_only_two_refusals_of_a_key_switch_it_off_and_it_says_why() -> None:
    """The first match of a status or a word in the text switched the account off for good."""
    refusals = [
        chat_error(503, type_="server_error"),
        limited("0.001"),
        chat_error(404, "The model does not exist", code="model_not_found"),
        chat_error(401, "Incorrect API key provided", code="invalid_api_key"),
        chat_error(401, "Incorrect API key provided", code="invalid_api_key"),
    ]

    def script(received: Received) -> Reply:
        return refusals.pop(0) if received.key == upstream_key("a") and refusals else serve(received)

    short = {"pool": {"refused_key_s": 0.001, "no_model_s": 0.001}}
    with pooled("chat", "ab", script, **short) as (_, gateway):
        house, deaths = gateway.gateway.house, list[int]()
        for number in range(200):
            left = len(refusals)
            hello = [{"role": "user", "content": f"Hello {number}"}]
            assert post(gateway, "chat", f"m{number}", messages=hello).status == 200, "the failover goes on"
            gateway.wait_until(lambda: gateway.account("p/a").out_until < house.now() or not refusals, "rest")
            view = seen(gateway, "p/a")
            if len(refusals) != left and view.health == "dead":
                deaths.append(len(refusals))
            if not refusals:
                break
        assert deaths == [0], "dead with the second 401 and not before"
        assert "401 invalid_api_key" in view.reason
        assert view.since_s is not None


def test_r113_a_key_that_must_be_validated_is_set_aside() -> None:
    """The 403 went to the client."""
    body = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Verify your account",
                      "details": [{"reason": "VALIDATION_REQUIRED"}]}}  # fmt: skip

    def script(received: Received) -> Reply:
        return Reply.json(body, 403) if received.number == 0 else serve(received)

    with pooled("gemini", "ab", script) as (mock, gateway):
        for _ in range(4):
            assert post(gateway, "gemini").status == 200
        assert len(mock.received) == 5, "one was refused, and not asked again"
        (out,) = [view for name in "ab" if (view := seen(gateway, f"p/{name}")).resting]
        assert "VALIDATION_REQUIRED" in out.reason


def test_r116_a_client_that_reads_no_more_is_ended_and_its_lease_is_free() -> None:
    """The writer waited for ever, and the page of health stayed green."""
    piece = chat_events("x" * 2000)[1]
    hold = Hold()
    script = lambda _: Reply.sse(*[piece] * 4000, hold)  # noqa: E731  (8 MB: more than all buffers hold)
    with pooled("chat", "a", script, timeouts={"write_idle_s": 0.2}) as (mock, gateway):
        ask = post_bytes("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True})
        with connected(gateway.port, ask, receive_buffer_bytes=4096) as socket:
            read_head(socket)
            assert seen(gateway, "p/a").in_flight == 1, "a live lease can be seen"
            mock.received[0].wait_gone()
            gateway.wait_until(lambda: gateway.account("p/a").in_flight == 0, "the lease is still out")
        assert gateway.account("p/a").refused == 0


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_r118_half_an_answer_is_never_followed_by_another(client: str) -> None:
    """ "Hello wor" was followed by "Hello world"; or a prefill's 400 hid the true cause."""
    with pooled("chat", "ab", lambda _: Reply.sse(*chat_events("Hello wor")[:3], Cut())) as (mock, gateway):
        body = post(gateway, client, stream=True).body.decode()
        assert len(mock.received) == 1
        assert "stopped" in body or "closed" in body, "the true cause"
        assert ('"error"' in body) and "[DONE]" not in body and "message_stop" not in body


def test_r121_a_slow_failure_is_not_followed_by_another() -> None:
    """A second slow attempt was begun, and the client timed out anyway. Here a minute stands for the least time that an
    attempt needs, so that the failure comes too late whenever it comes."""
    spent = {"timeouts": {"exchange_total_s": 30.0}, "retries": {"attempt_least_s": 60.0, "patience_s": 1.0}}
    script: Script = lambda _: chat_error(500, type_="server_error")  # noqa: E731
    with pooled("chat", "ab", script, **spent) as (mock, gateway):
        assert post(gateway, "chat").status == 502
        assert len(mock.received) == 1
    with pooled("chat", "ab", script) as (mock, gateway):
        assert post(gateway, "chat").status == 502
        assert len(mock.received) > 1, "fast failures are tried again"


def turns(story: str, count: int) -> list[dict[str, str]]:
    talk = [{"role": "user", "content": story}]
    for number in range(count):
        talk += [{"role": "assistant", "content": f"{number}"}, {"role": "user", "content": f"and {number}?"}]
    return talk


@pytest.mark.parametrize(
    ("client", "marks"),
    [("chat", {"prompt_cache_key": "one"}), ("messages", {"metadata": {"user_id": "u"}}), ("chat", {})],
)
def test_r122_a_conversation_stays_where_its_cache_is(client: str, marks: dict[str, Any]) -> None:
    """Round robin: a cold cache with each turn; or all of one user on one hot account."""
    with pooled(client, "abcde", serve_text) as (mock, gateway):
        for number in range(10):
            assert post(gateway, client, messages=turns("a story", number), **marks).status == 200
        assert len(set(keys_of(mock))) == 1


def test_r122_twenty_conversations_of_one_user_are_spread() -> None:
    with pooled("messages", "abcde", serve_text) as (mock, gateway):
        for number in range(20):
            assert (
                post(gateway, "messages", messages=turns(f"story {number}", 0), metadata={"user_id": "u"}).status == 200
            )
        assert len(set(keys_of(mock))) == 5


def test_r122_a_conversation_moves_once_and_stays() -> None:
    def script(received: Received) -> Reply:
        return limited("600") if received.number == 3 else serve(received)

    with pooled("chat", "abcde", script) as (mock, gateway):
        for number in range(10):
            assert post(gateway, "chat", messages=turns("a story", number)).status == 200
        keys = keys_of(mock)
        assert len(set(keys[:4])) == 1
        assert len(set(keys[4:])) == 1


def test_r122_the_same_words_of_two_callers_are_two_conversations() -> None:
    names = ["alice", "bob", "carol", "dave", "eve", "frank"]
    with pooled("chat", "abcde", serve_text, callers=caller_table(*names)) as (mock, gateway):
        for _ in range(2):
            for name in names:
                key = {"authorization": f"Bearer {caller_key(name)}"}
                assert post(gateway, "chat", headers=key, messages=turns("a story", 0)).status == 200
        keys = keys_of(mock)
        assert keys[:6] == keys[6:]
        assert len(set(keys)) > 1


def test_r124_a_wait_within_the_patience_is_waited_for() -> None:
    """A fixed pause that ignored the announced one, or no try at all although three seconds would do."""

    def script(received: Received) -> Reply:
        return limited("0.3") if received.number == 0 else serve(received)

    with pooled("chat", "a", script, **PATIENT) as (mock, gateway):
        assert post(gateway, "chat").status == 200
        assert len(mock.received) == 2
    pool = Pool([Account("p/a", "p")])
    lease = pool.acquire(asked(0.0), 0.0)
    assert isinstance(lease, Lease)
    pool.settle(lease, judge(LIMITED.with_(retry_after_s=3.5)), 0.0)
    ticket = pool.acquire(asked(0.0, 5.0), 0.0)
    assert isinstance(ticket, Ticket)
    assert pool.tick(3.4) == [], "not before the announced time"
    (grant,) = pool.tick(4.2)
    assert grant.ticket is ticket
    assert isinstance(grant.outcome, Lease)


def test_r124_a_wait_beyond_the_patience_is_a_429_with_the_time() -> None:
    with pooled("chat", "a", lambda _: limited("3.5")) as (mock, gateway):
        answer = post(gateway, "chat")
        assert (answer.status, len(mock.received)) == (429, 1)
        assert answer.header("retry-after") in ("4", "5")


@pytest.mark.parametrize("status", [404, 429])
def test_r125_what_counting_gets_says_nothing_of_generating(status: int) -> None:
    """A 404 page was read as "no such model": the account was out for twelve hours."""

    def script(received: Received) -> Reply:
        if received.target.endswith("/count_tokens"):
            return Reply(status, [b"<html>no</html>"], [("content-type", "text/html")], "length")
        return Reply.json(messages_whole("Hello"))

    with pooled("messages", "a", script) as (mock, gateway):
        question = json.dumps({"model": "m", "messages": HELLO}).encode()
        fields = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
        answer = exchange(gateway.port, "POST", "/v1/messages/count_tokens", question, fields)
        if status == 404:
            assert answer.json["input_tokens"] > 0
            assert "estimated" in (answer.header("x-ds2api-warning") or "")
        for _ in range(2):
            assert post(gateway, "messages").status == 200
        assert "m" not in seen(gateway, "p/a").resting
        assert [received.target for received in mock.received].count("/v1/messages") == 2


def test_r127_an_item_that_is_gone_is_the_callers_affair() -> None:
    """It was read as "deployment not found": failover over the whole ladder for hours."""
    message = "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."
    body = {"error": {"type": "invalid_request_error", "message": message, "param": "input", "code": None}}
    with pooled("responses", "ab", lambda _: Reply.json(body, 404)) as (mock, gateway):
        answer = post(gateway, "responses")
        assert answer.status in (400, 404)
        assert "rs_1" in answer.json["error"]["message"]
        assert len(mock.received) == 1
        views = [seen(gateway, f"p/{name}") for name in "ab"]
        assert [(view.refused, view.resting, view.health) for view in views] == [(0, {}, "ready")] * 2


def test_r127_a_404_that_names_the_model_marks_the_account_for_it() -> None:
    def script(received: Received) -> Reply:
        if received.number == 0:
            return chat_error(404, "The model `m` does not exist", code="model_not_found")
        return serve(received)

    with pooled("chat", "ab", script) as (mock, gateway):
        assert post(gateway, "chat").status == 200
        assert len(mock.received) == 2
        assert sorted(list(seen(gateway, f"p/{name}").resting) for name in "ab") == [[], ["m"]]


def test_what_a_good_answer_says_of_limits_is_heard_at_its_head() -> None:
    """While the first stream runs, its head has told that nothing is left; a second request of the same conversation
    goes elsewhere at once."""
    hold = Hold()
    spent = [("x-ratelimit-limit-requests", "1"), ("x-ratelimit-remaining-requests", "0")]

    def script(received: Received) -> Reply:
        reply = serve(received, hold=hold if received.number == 0 else None)
        reply.headers = [*reply.headers, *spent, ("x-ratelimit-reset-requests", "60s")]
        return reply

    with pooled("chat", "ab", script) as (mock, gateway):
        ask = post_bytes("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True})
        with connected(gateway.port, ask) as socket:
            read_head(socket)
            hold.wait_reached()
            assert post(gateway, "chat").status == 200
            assert len(set(keys_of(mock))) == 2
            hold.release()
            while b"[DONE]" not in socket.recv(65536):
                pass
        assert [seen(gateway, f"p/{name}").refused for name in "ab"] == [0, 0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["chat", "responses", "messages", "ollama", "mistral"])
def test_an_answer_says_who_served_it(client: str, stream: bool) -> None:
    def script(received: Received) -> Reply:
        return limited("30") if received.key == upstream_key("a") else serve(received)

    with pooled("chat", "ab", script) as (_, gateway):
        answer = post(gateway, client, "m-1", stream=stream)
        assert answer.status == 200
        assert answer.header("x-ds2api-served-by") == "p/m-1; account=b"


def test_a_name_that_a_client_chose_breaks_no_header() -> None:
    with pooled("chat", "a", serve_text) as (_, gateway):
        answer = post(gateway, "chat", "m\r\nx-evil: 1 \u2603")
        assert answer.status == 200
        assert answer.header("x-evil") is None
        assert answer.header("x-ds2api-served-by") == "p/m%0D%0Ax-evil: 1 %E2%98%83; account=a"


def test_who_served_nobody_is_not_named() -> None:
    with pooled("chat", "a", lambda _: chat_error(400, "no")) as (_, gateway):
        assert post(gateway, "chat").header("x-ds2api-served-by") is None
