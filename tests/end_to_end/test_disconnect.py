"""Who leaves, and what becomes of the rest: the client in each phase, the upstream in the middle, a slow reader, a
late answer. Everything is ordered by events of the mock and the gateway; nothing here waits for a clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from tests.end_to_end.answers import (
    chat_error,
    chat_events,
    chat_whole,
    is_messages,
    messages_events,
    serve,
    serve_text,
    sse,
)
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import upstream_key
from tests.end_to_end.mock import Cut, Hold, Received, Reply, Reset, mock_upstream
from tests.end_to_end.raw import connected, post_bytes, read_head, reset
from tests.end_to_end.sdk import ask_chat, ask_messages
from tests.end_to_end.tables import accounts, provider, table

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
ASK = {"model": "m", "messages": HELLO, "max_tokens": 99}
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
leave = pytest.mark.parametrize("leave", [lambda client: client.close(), reset], ids=["closes", "resets"])
pairs = pytest.mark.parametrize("client,upstream", [(c, u) for c in PATHS for u in PATHS])


def nothing_is_left(gateway: Running) -> None:
    """No lease, nobody in line, no exchange."""
    pool = gateway.gateway.house.admission.pool
    server = gateway.gateway._server
    assert server is not None
    gateway.wait_until(lambda: pool.in_flight == 0 and pool.waiting == 0, "a lease is still out")
    gateway.wait_until(lambda: server.statistics().exchanges == 0, "an exchange still runs")


@leave
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pairs
def test_a_client_that_leaves_before_the_answer_frees_its_upstream(
    client: str, upstream: str, stream: bool, leave: Callable[[Any], None]
) -> None:
    hold = Hold()
    with (
        mock_upstream(lambda _: Reply(before_head=[hold])) as mock,
        gateway_for(table({"p": provider(mock.url, upstream)})) as gateway,
    ):
        with connected(gateway.port, post_bytes(PATHS[client], {**ASK, "stream": stream})) as socket:
            hold.wait_reached()
            leave(socket)
            mock.received[0].wait_gone()
        nothing_is_left(gateway)
        assert "client_gone_waiting" in gateway.log()
        account = gateway.account("p/a")
        assert (account.refused, account.rests) == (0, {})


@leave
@pairs
def test_a_client_that_leaves_in_the_middle_frees_its_upstream(
    client: str, upstream: str, leave: Callable[[Any], None]
) -> None:
    hold = Hold()
    with (
        mock_upstream(lambda received: serve(received, hold=hold)) as mock,
        gateway_for(table({"p": provider(mock.url, upstream)})) as gateway,
    ):
        with connected(gateway.port, post_bytes(PATHS[client], {**ASK, "stream": True})) as socket:
            read_head(socket)
            hold.wait_reached()
            leave(socket)
            mock.received[0].wait_gone()
        nothing_is_left(gateway)
        assert "client_gone_reading" in gateway.log()
        account = gateway.account("p/a")
        assert (account.refused, account.rests) == (0, {})


@leave
def test_a_client_that_leaves_the_line_is_forgotten(leave: Callable[[Any], None]) -> None:
    hold = Hold()
    with mock_upstream(lambda received: serve(received, hold=hold)) as mock:
        one = {**provider(mock.url, "chat"), "accounts": accounts("a", concurrency=1)}
        with gateway_for({**table({"p": one}), "retries": {"patience_s": 60.0}}) as gateway:
            pool = gateway.gateway.house.admission.pool
            with connected(gateway.port, post_bytes(PATHS["chat"], {**ASK, "stream": True})) as first:
                hold.wait_reached()
                with connected(gateway.port, post_bytes(PATHS["messages"], ASK)) as second:
                    gateway.wait_until(lambda: pool.waiting == 1, "the second never stood in line")
                    leave(second)
                    gateway.wait_until(lambda: pool.waiting == 0, "the second still stands in line")
                hold.release()
                assert b"[DONE]" in _rest(first)
            nothing_is_left(gateway)
            assert len(mock.received) == 1


def _rest(socket: Any, data: bytes = b"") -> bytes:
    """The rest of a chunked body of which `data` is there."""
    while not data.endswith(b"0\r\n\r\n"):
        more = socket.recv(65536)
        assert more, "cut"
        data += more
    return data


@pairs
@pytest.mark.parametrize("how", [Cut, Reset])
def test_an_upstream_cut_in_the_middle_is_an_error_and_never_an_end(client: str, upstream: str, how: type) -> None:
    def script(received: Received) -> Reply:
        events = messages_events("Hello") if is_messages(received) else chat_events("Hello")
        return Reply.sse(*events[:4], how()) if is_messages(received) else Reply.sse(*events[:3], how())

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, upstream, "a", "b")})) as gateway:
        if client == "chat":
            with openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0) as sdk:
                stream = sdk.chat.completions.create(model="m", messages=HELLO, stream=True)  # type: ignore[call-overload]
                text = ""
                with pytest.raises(openai.APIError) as raised:
                    for chunk in stream:
                        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        else:
            with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0) as sdk_:
                events = sdk_.messages.create(model="m", max_tokens=9, messages=HELLO, stream=True)  # type: ignore[call-overload]
                text = ""
                with pytest.raises(anthropic.APIStatusError) as raised:
                    for event in events:
                        text += getattr(getattr(event, "delta", None), "text", "")
        assert text == "Hello"
        assert "p" in str(raised.value)
        assert len(mock.received) == 1, "half an answer was followed by another one"
        nothing_is_left(gateway)
        assert "provider_cut" in gateway.log()


@pairs
def test_an_upstream_cut_before_content_is_tried_elsewhere(client: str, upstream: str) -> None:
    def script(received: Received) -> Reply:
        if received.number == 0:
            return Reply.sse((messages_events() if is_messages(received) else chat_events())[0], Cut())
        return serve(received)

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, upstream, "a", "b")})) as gateway:
        ask = ask_chat if client == "chat" else ask_messages
        assert ask(gateway.url, ("sync", True), model="m", messages=HELLO).text == "Hello"
        assert len({received.key for received in mock.received}) == 2
        nothing_is_left(gateway)


@pytest.mark.parametrize("upstream", list(PATHS))
def test_a_cut_json_answer_is_tried_elsewhere(upstream: str) -> None:
    def script(received: Received) -> Reply:
        if received.number == 0:
            return Reply(200, [json.dumps(chat_whole()).encode()[:40], Cut()], [("content-type", "application/json")])
        return serve(received)

    with mock_upstream(script) as mock, gateway_for(table({"p": provider(mock.url, upstream, "a", "b")})) as gateway:
        assert ask_chat(gateway.url, ("sync", False), model="m", messages=HELLO).text == "Hello"
        assert len(mock.received) == 2
        nothing_is_left(gateway)


@pytest.mark.parametrize("upstream", list(PATHS))
def test_the_head_waits_for_content(upstream: str) -> None:
    """Start events and pings are no content: while only they came, no byte has left to the client."""
    hold = Hold()
    with (
        mock_upstream(lambda received: serve(received, hold=hold, at=1)) as mock,
        gateway_for(table({"p": provider(mock.url, upstream)})) as gateway,
    ):
        with connected(gateway.port, post_bytes(PATHS["chat"], {**ASK, "stream": True})) as socket:
            hold.wait_reached()
            socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                socket.recv(1)
            socket.settimeout(30)
            hold.release()
            head, rest = read_head(socket)
            assert head.startswith("HTTP/1.1 200")
            _rest(socket, rest)
        assert len(mock.received) == 1


@pytest.mark.parametrize("client", list(PATHS))
def test_the_head_leaves_by_time_and_another_account_still_serves(client: str) -> None:
    """After `commit_after_s` the 200 leaves with a keep-alive; the first account fails then; the second's answer
    follows in the same stream, and the SDK sees one whole answer."""
    hold = Hold()

    def script(received: Received) -> Reply:
        if received.number > 0:
            return serve(received)
        error = {"error": {"message": "boom", "type": "server_error"}}
        return Reply(
            500, [json.dumps(error).encode()], [("content-type", "application/json")], "length", before_head=[hold]
        )

    with mock_upstream(script) as mock:
        settings = {"timeouts": {"commit_after_s": 0.01}}
        with gateway_for({**table({"p": provider(mock.url, "chat", "a", "b")}), **settings}) as gateway:
            with connected(gateway.port, post_bytes(PATHS[client], {**ASK, "stream": True})) as socket:
                head, rest = read_head(socket)
                assert head.startswith("HTTP/1.1 200")
                assert "text/event-stream" in head
                hold.wait_reached()
                hold.release()
                body = _rest(socket, rest)
            assert b'"He"' in body
            assert b"boom" not in body
            assert b"error" not in body
            assert len({received.key for received in mock.received}) == 2
            nothing_is_left(gateway)


@pytest.mark.parametrize("client", list(PATHS))
def test_a_failure_after_the_head_left_by_time_is_told_in_the_stream(client: str) -> None:
    hold = Hold()
    bad = Reply(
        400,
        [b'{"error":{"message":"too big","type":"invalid_request_error"}}'],
        [("content-type", "application/json")],
        "length",
        before_head=[hold],
    )
    with mock_upstream(lambda _: bad) as mock:
        settings = {"timeouts": {"commit_after_s": 0.01}}
        with gateway_for({**table({"p": provider(mock.url, "chat")}), **settings}) as gateway:
            with connected(gateway.port, post_bytes(PATHS[client], {**ASK, "stream": True})) as socket:
                head, rest = read_head(socket)
                assert head.startswith("HTTP/1.1 200")
                hold.release()
                body = _rest(socket, rest).decode()
            assert "too big" in body
            assert "invalid_request_error" in body
            assert ("event: error" in body) == (client == "messages")
            assert "[DONE]" not in body
            assert "message_stop" not in body
            nothing_is_left(gateway)


def test_a_slow_reader_pauses_its_upstream() -> None:
    """64 MB wait; a client with a small window reads nothing. The upstream stops, the gateway holds little."""
    delta = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "x" * 900}, "finish_reason": None}],
    }
    piece = sse(delta) * 64
    count = 1000
    end = sse({**delta, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, done=True)
    with (
        mock_upstream(lambda _: Reply.sse(*([piece] * count), end), send_buffer_bytes=65536) as mock,
        gateway_for(table({"p": provider(mock.url, "chat")})) as gateway,
    ):
        server = gateway.gateway._server
        assert server is not None
        with connected(
            gateway.port, post_bytes(PATHS["chat"], {**ASK, "stream": True}), receive_buffer_bytes=65536
        ) as socket:
            read_head(socket)
            received = mock.received[0]
            last, still = -1, 0
            for _ in range(4000):  # until nothing has moved for 50 looks in a row
                time.sleep(0.002)
                still = still + 1 if received.sent_bytes == last else 0
                last = received.sent_bytes
                if still == 50:
                    break
            assert still == 50, "the upstream was never paused"
            assert last < len(piece) * count // 3
            assert server.statistics().write_buffer_bytes < 2_000_000
            total = 0
            tail = b""
            while not tail.endswith(b"0\r\n\r\n"):
                more = socket.recv(1 << 20)
                assert more, "cut"
                total += len(more)
                tail = (tail + more)[-64:]
            assert total >= len(piece) * count * 0.99
        nothing_is_left(gateway)


def test_leases_return_after_every_kind_of_end() -> None:
    """A mixed hundred: answers, refusals, cuts and clients that leave, over two accounts; then all is as before."""
    kinds: list[Callable[[Received], Reply]] = [
        serve_text,
        lambda _: chat_error(400),
        lambda _: Reply.sse(*chat_events()[:3], Cut()),
        lambda _: chat_error(503, type_="server_error"),
        lambda _: Reply(before_head=[Reset()]),
        lambda _: Reply.json(b"<html>", headers=[]),
    ]

    def script(received: Received) -> Reply:
        return kinds[received.number % len(kinds)](received)

    with (
        mock_upstream(script) as mock,
        gateway_for(
            {
                **table({"p": provider(mock.url, "chat", "a", "b", "c")}),
                "pool": {"circuit_failures": 1_000_000},
            }
        ) as gateway,
    ):
        for number in range(100):
            with connected(gateway.port, post_bytes(PATHS["chat"], {**ASK, "stream": number % 3 == 0})) as socket:
                if number % 5:
                    socket.recv(65536)
        nothing_is_left(gateway)
        assert {name for name in ("a", "b", "c") if upstream_key(name) in {one.key for one in mock.received}} == {
            "a",
            "b",
            "c",
        }
