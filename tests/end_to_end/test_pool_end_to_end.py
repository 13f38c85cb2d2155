"""The pool, as clients feel it: not at all, as long as any account can serve."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from tests.end_to_end.answers import (
    OVERLOADED_FIRST,
    chat_error,
    chat_events,
    chat_whole,
    messages_error,
    messages_events,
    serve,
    serve_text,
)
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.keys import upstream_key
from tests.end_to_end.mock import Received, Reply, Reset, mock_upstream
from tests.end_to_end.sdk import Mode, ask_chat, ask_messages
from tests.end_to_end.tables import accounts, provider, table

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
dialects = pytest.mark.parametrize("dialect", ["chat", "messages"])


def sync(stream: bool) -> Mode:
    return "sync", stream


def limited(received: Received, retry_after: str = "30") -> Reply:
    headers = [("retry-after", retry_after)]
    if received.target.endswith("/messages"):
        return messages_error(429, "rate_limit_error", headers=headers)
    return chat_error(429, type_="requests", code="rate_limit_exceeded", headers=headers)


@streams
@dialects
def test_one_limited_account_is_nobodys_problem(dialect: str, stream: bool) -> None:
    def script(received: Received) -> Reply:
        return limited(received) if received.key == upstream_key("a") else serve(received)

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, dialect, "a", "b")})) as gateway:
        for number in range(8):  # conversations of their own, at home on either
            hello = [{"role": "user", "content": f"Hello {number}"}]
            assert ask_chat(gateway.url, sync(stream), model="m", messages=hello).text == "Hello"
        assert [received.key for received in mock.received].count(upstream_key("a")) == 1
        assert gateway.leases() == 0


def test_a_dead_key_is_tried_twice_and_never_again() -> None:
    """Two proofs, on two requests. The pool is told that time has passed between them, by its policy: no rest."""

    def script(received: Received) -> Reply:
        if received.key == upstream_key("a"):
            return chat_error(401, "Incorrect API key provided", code="invalid_api_key")
        return serve(received)

    rest = {"refused_key_s": 0.001}
    with (
        mock_upstream(script) as mock,
        gateway_for(table({"p": provider(mock.url, "chat", "a", "b")}, pool=rest)) as gateway,
    ):
        account = gateway.account("p/a")
        for number in range(8):  # conversations of their own: one that has moved to the other key stays there
            hello = [{"role": "user", "content": f"Hello {number}"}]
            assert ask_chat(gateway.url, sync(False), model="m", messages=hello).text == "Hello"
            gateway.wait_until(
                lambda: account.out_until < gateway.gateway.house.now() or account.health == "dead", "rest"
            )
        assert [received.key for received in mock.received].count(upstream_key("a")) == 2
        assert account.health == "dead"


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_overloaded_as_first_event_under_200_is_not_seen(client: str) -> None:
    """R032: the status is 200, the first event says overloaded, nothing has left yet: the other account is asked."""

    def script(received: Received) -> Reply:
        return Reply.sse(OVERLOADED_FIRST) if received.number == 0 else serve(received)

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, "messages", "a", "b")})) as gateway:
        ask = ask_chat if client == "chat" else ask_messages
        assert ask(gateway.url, sync(True), model="m", messages=HELLO).text == "Hello"
        assert len({received.key for received in mock.received}) == 2
        assert gateway.leases() == 0


def test_overloaded_everywhere_keeps_its_status() -> None:
    with (
        mock_upstream(lambda _: Reply.sse(OVERLOADED_FIRST)) as mock,
        gateway_for(table({"p": provider(mock.url, "messages", "a", "b")})) as gateway,
    ):
        with pytest.raises(openai.InternalServerError) as chat:
            ask_chat(gateway.url, sync(True), model="m", messages=HELLO)
        assert chat.value.status_code == 503
        with pytest.raises(anthropic.APIStatusError) as messages:
            ask_messages(gateway.url, sync(True), model="m", messages=HELLO)
        assert messages.value.status_code == 529
        assert gateway.leases() == 0


def test_when_all_are_limited_the_client_is_told_when_and_the_upstream_is_left_alone() -> None:
    with (
        mock_upstream(lambda received: limited(received, "40")) as mock,
        gateway_for(table({"p": provider(mock.url, "chat", "a", "b")})) as gateway,
    ):
        with pytest.raises(openai.RateLimitError):
            ask_chat(gateway.url, sync(False), model="m", messages=HELLO)
        assert len(mock.received) == 2
        with pytest.raises(openai.RateLimitError) as chat:
            ask_chat(gateway.url, sync(True), model="m", messages=HELLO)
        with pytest.raises(anthropic.RateLimitError) as messages:
            ask_messages(gateway.url, sync(False), model="m", messages=HELLO)
        for error in (chat.value, messages.value):
            assert 1 <= int(error.response.headers["retry-after"]) <= 40
            assert "p" in str(error)
        assert chat.value.code == "rate_limit_exceeded"
        assert len(mock.received) == 2
        assert gateway.leases() == 0


def test_a_limit_for_one_model_leaves_the_others() -> None:
    def script(received: Received) -> Reply:
        return limited(received) if received.json["model"] == "m1" else serve(received)

    models = {"m1": "p/m1", "m2": "p/m2"}
    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, "chat")}, models)) as gateway:
        with pytest.raises(openai.RateLimitError):
            ask_chat(gateway.url, sync(False), model="m1", messages=HELLO)
        assert ask_chat(gateway.url, sync(False), model="m2", messages=HELLO).text == "Hello"


@streams
def test_the_next_target_gets_a_request_of_its_own(stream: bool) -> None:
    """R119: another provider, another dialect, another name: nothing of the first attempt is in the second."""

    def script(received: Received) -> Reply:
        return messages_error(500, "api_error") if "messages" in received.target else serve(received)

    with mock_upstream(script) as mock:
        first = provider(mock.url, "messages", "a", headers={"x-only-first": "1"})
        second = provider(mock.url, "chat", "b", headers={"x-only-second": "2"})
        models = {"m": ["first/model-a", "second/model-b"]}
        with gateway_for(table({"first": first, "second": second}, models)) as gateway:
            seen = ask_messages(
                gateway.url, sync(stream), model="m", messages=HELLO, extra_headers={"anthropic-beta": "x-1"}
            )
            assert (seen.text, seen.model) == ("Hello", "m")
            one, two = mock.received
            assert (one.json["model"], one.header("x-api-key"), one.header("x-only-first")) == (
                "model-a",
                upstream_key("a"),
                "1",
            )
            assert (two.json["model"], two.header("authorization")) == ("model-b", f"Bearer {upstream_key('b')}")
            names = {name for name, _ in two.headers}
            assert not names & {"x-api-key", "x-only-first", "anthropic-version", "anthropic-beta"}
            assert "x-only-second" in names
            assert two.json["messages"] == HELLO
            assert gateway.leases() == 0


def test_a_stale_connection_is_replaced_unseen_and_blames_nobody() -> None:
    """The upstream closes a kept connection just as it is used again: one account, no failure, no retry counted."""

    def script(received: Received) -> Reply:
        if received.number == 1:
            return Reply(before_head=[Reset()])
        return serve(received)

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        for _ in range(2):
            assert ask_chat(gateway.url, sync(False), model="m", messages=HELLO).text == "Hello"
        assert mock.received[0].connection == mock.received[1].connection
        assert mock.received[2].connection != mock.received[1].connection
        assert gateway.account("p/a").refused == 0
        assert gateway.account("p/a").rests == {}
        assert "tried=" not in gateway.log()


def test_a_fresh_connection_that_breaks_is_the_providers_fault() -> None:
    def script(received: Received) -> Reply:
        return Reply(before_head=[Reset()]) if received.number == 0 else serve(received)

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, "chat", "a", "b")})) as gateway:
        assert ask_chat(gateway.url, sync(False), model="m", messages=HELLO).text == "Hello"
        assert "tried=[p/" in gateway.log()
        assert len({received.key for received in mock.received}) == 2


@streams
def test_a_request_that_is_wrong_is_tried_once_and_blames_nobody(stream: bool) -> None:
    with (
        mock_upstream(lambda _: chat_error(400, "max_tokens: too big")) as mock,
        gateway_for(table({"p": provider(mock.url, "chat", "a", "b")})) as gateway,
    ):
        with pytest.raises(openai.BadRequestError, match="too big"):
            ask_chat(gateway.url, sync(stream), model="m", messages=HELLO)
        assert len(mock.received) == 1
        assert all(gateway.account(name).refused == 0 for name in ("p/a", "p/b"))
        assert gateway.leases() == 0


def test_a_full_account_makes_others_stand_in_line() -> None:
    """One account, one at a time, many who ask at once: all are served, none at the same time. (Whole answers: of a
    stream the end of the body may still be on its way when the next one goes out.)"""
    from concurrent.futures import ThreadPoolExecutor

    overlapping: list[int] = []

    def alone(received: Received) -> Reply:
        overlapping.extend(one.number for one in mock.received[:-1] if not one.sent_bytes)
        return serve_text(received)

    with mock_upstream(alone) as mock:
        one = {**provider(mock.url, "chat"), "accounts": accounts("a", concurrency=1)}
        patient = {"retries": {"patience_s": 30.0}}
        with gateway_for({**table({"p": one}), **patient}) as gateway, ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(ask_chat, gateway.url, sync(False), model="m", messages=HELLO) for _ in range(6)]
            assert [one.result().text for one in asked] == ["Hello"] * 6
            assert gateway.leases() == 0
            assert len(mock.received) == 6 and overlapping == []


def test_json_where_a_stream_was_asked_is_played_and_a_stream_where_json_was_asked_is_gathered() -> None:
    with (
        mock_upstream() as mock,
        gateway_for(
            table({"c": provider(mock.url, "chat"), "n": provider(mock.url, "messages")}, {"c": "c/m", "n": "n/m"})
        ) as gateway,
    ):
        mock.then(
            Reply.json(chat_whole("played")),
            Reply.sse(*chat_events("gathered")),
            Reply.sse(*messages_events("gathered")),
        )
        assert ask_chat(gateway.url, sync(True), model="c", messages=HELLO).text == "played"
        seen = ask_chat(gateway.url, sync(False), model="c", messages=HELLO)
        assert (seen.text, seen.usage["prompt_tokens"]) == ("gathered", 11)
        seen = ask_messages(gateway.url, sync(False), model="n", messages=HELLO)
        assert (seen.text, seen.usage["input_tokens"], seen.usage["output_tokens"]) == ("gathered", 11, 5)
        assert gateway.leases() == 0


def test_a_provider_that_only_streams_serves_json_clients() -> None:
    with mock_upstream(serve_text) as mock:
        providers = {
            "s": provider(mock.url, "chat", streaming="always"),
            "w": provider(mock.url, "messages", streaming="never"),
        }
        with gateway_for(table(providers, {"s": "s/m", "w": "w/m"})) as gateway:
            assert ask_chat(gateway.url, sync(False), model="s", messages=HELLO).text == "Hello"
            assert ask_messages(gateway.url, sync(True), model="w", messages=HELLO).text == "Hello"
            assert [received.json.get("stream", False) for received in mock.received] == [True, False]


@pytest.mark.parametrize("announced", ["0", "0.0", "-5", "nan"])
def test_a_wait_of_nothing_is_no_invitation_to_hammer(announced: str) -> None:
    """A 429 with `retry-after: 0`: the request may stand in line for ten seconds, but the provider that has just said
    no is not asked a thousand times meanwhile."""

    def script(received: Received) -> Reply:
        return limited(received, announced) if received.number < 50 else serve(received)  # that nothing loops for ever

    with (
        mock_upstream(script) as mock,
        gateway_for({**table({"p": provider(mock.url, "chat")}), "retries": {"patience_s": 0.4}}) as gateway,
    ):
        with pytest.raises(openai.RateLimitError):
            ask_chat(gateway.url, sync(False), model="m", messages=HELLO)
        assert len(mock.received) <= 4
