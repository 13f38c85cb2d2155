"""Rescue through sockets: an answer that breaks off is continued elsewhere, and the client sees one stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, messages_events, serve, sse
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Cut, Hold, Mock, Received, Reply, Reset, dialect_of, mock_upstream
from tests.end_to_end.raw import Answer, connected, exchange, post_bytes, read_head, reset
from tests.end_to_end.sdk import CLIENTS, Clients
from tests.end_to_end.tables import provider, table

PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/m:streamGenerateContent?alt=sse",
    "ollama": "/api/chat",
    "mistral": "/v1/chat/completions",
}
# Whose model goes on from a beginning, and what it is called there.
ABLE = {"messages": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash", "ollama": "qwen3", "mistral": "mistral-small"}
HELLO = [{"role": "user", "content": "Hello"}]
# Where the first answer breaks off: "Hello, ", in two pieces.
CUT_AFTER = {"messages": 4, "gemini": 2, "ollama": 2, "mistral": 3, "chat": 3}


def broken(received: Received, *, end: Any = None, text: str = "Hello, ") -> Reply:
    """The answer that fits what was asked, up to its text, and then the end of the connection."""
    reply = serve(received, text)
    steps = list(reply.steps)[: CUT_AFTER[dialect_of(received.target) or ""]]
    if dialect_of(received.target) == "gemini":  # its last piece says that all is said
        steps[-1] = steps[-1].replace(b', "finishReason": "STOP"', b"")  # type: ignore[union-attr]
    return Reply(200, [*steps, end or Cut()], reply.headers)


def once_broken(received: Received) -> Reply:
    return broken(received) if received.number == 0 else serve(received, "world!")


def route(upstream: str, **more: Any) -> dict[str, Any]:
    return {"m": {"targets": [f"p/{ABLE.get(upstream, 'm')}"], "rescue": True, **more}}


def gateway_table(mock: Mock, upstream: str, names: str = "ab", **more: Any) -> dict[str, Any]:
    one = provider(mock.url_of(upstream), upstream, *names)
    return {**table({"p": one}, route(upstream)), "log": "json", **more}


def ask(gateway: Running, client: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    fields = {"content-type": "application/json", "anthropic-version": "2023-06-01", **(headers or {})}
    return exchange(gateway.port, "POST", PATHS[client], json.dumps({**body_of(client), **more}).encode(), fields)


def body_of(client: str) -> dict[str, Any]:
    if client == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    body: dict[str, Any] = {"model": "m", "stream": True}
    return body | ({"input": "Hello"} if client == "responses" else {"messages": HELLO, "max_tokens": 50})


def last_line(gateway: Running) -> dict[str, Any]:
    server, pool = gateway.gateway._server, gateway.gateway.house.admission.pool
    assert server is not None
    gateway.wait_until(lambda: server.statistics().exchanges == 0, "an exchange still runs")
    gateway.wait_until(lambda: pool.in_flight == 0 and pool.waiting == 0, "a lease is still out")
    line: dict[str, Any] = json.loads(gateway.log().splitlines()[-1])
    return line


def beginning(received: Received) -> str:
    """The end of what was sent: the assistant's words to go on from."""
    body = received.json
    last = (body.get("contents") or body["messages"])[-1]
    assert last["role"] in ("assistant", "model")
    content = last.get("parts") or last["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("upstream", ABLE)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_sees_one_answer(client: str, upstream: str) -> None:
    with mock_upstream(once_broken) as mock, gateway_for(gateway_table(mock, upstream)) as gateway:
        clients = Clients(gateway.url)
        try:
            seen = clients.ask(client, "m", stream=True)
        finally:
            clients.close()
        assert seen.text == "Hello, world!"
        assert beginning(mock.received[1]) == "Hello,"
        assert len({received.key for received in mock.received}) == 2 or upstream in ("gemini", "ollama")
        line = last_line(gateway)
        assert (line["ending"], line["rescued"], line["attempts"]) == ("served", 1, 2)
        assert len(line["tried"]) == 1
        assert line["output_tokens"] > 5, "the counters of both add up"
        assert seen.usage, "and the client is told them"


@pytest.mark.parametrize("how", [Cut, Reset])
@pytest.mark.parametrize("client", PATHS)
def test_the_stream_has_one_start_one_end_and_the_warning(client: str, how: type) -> None:
    def script(received: Received) -> Reply:
        return broken(received, end=how()) if received.number == 0 else serve(received, "world!")

    with mock_upstream(script) as mock, gateway_for(gateway_table(mock, "messages")) as gateway:
        body = ask(gateway, client).body.decode()
        assert "rescued field=stream" in body
        assert "error" not in body.replace('"error":null', "")
        once = {
            "chat": ["[DONE]", '"role":"assistant"'],
            "messages": ["event: message_start", "event: content_block_start", "event: message_stop"],
            "responses": ["event: response.created", "event: response.output_item.added", "event: response.completed"],
            "gemini": ['"finishReason"'],
            "ollama": ['"done":true'],
            "mistral": ["[DONE]"],
        }[client]
        assert [body.count(one) for one in once] == [1] * len(once)
        if client == "responses":
            numbers = [json.loads(line[6:])["sequence_number"] for line in body.splitlines() if line[:6] == "data: "]
            assert numbers == list(range(len(numbers)))
        assert len(mock.received) == 2


def test_another_target_goes_on_where_the_first_cannot() -> None:
    """The first speaks chat as OpenAI does and cannot continue; of the others only one can."""
    with mock_upstream(once_broken) as mock:
        providers = {
            "openai": provider(mock.url_of("chat"), "chat", "a", "b"),
            "newest": provider(mock.url_of("messages"), "messages", "c"),
            "older": provider(mock.url_of("messages"), "messages", "d"),
        }
        targets = ["openai/gpt-5", "newest/claude-opus-4-6", "older/claude-sonnet-4-5"]
        models = {"m": {"targets": targets, "rescue": True}}
        with gateway_for({**table(providers, models), "log": "json"}) as gateway:
            answer = ask(gateway, "chat")
            assert b"rescued field=stream" in answer.body
            assert [received.json["model"] for received in mock.received] == ["gpt-5", "claude-sonnet-4-5"]
            assert last_line(gateway)["account"] == "older/d"


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_where_nobody_can_go_on_the_break_is_told(client: str) -> None:
    with mock_upstream(broken) as mock:
        one = provider(mock.url_of("chat"), "chat", "a", "b")
        with gateway_for({**table({"p": one}, route("chat")), "log": "json"}) as gateway:
            body = ask(gateway, client).body.decode()
            assert '"error"' in body
            assert "[DONE]" not in body
            assert "message_stop" not in body
            line = last_line(gateway)
            assert (line["ending"], len(mock.received)) == ("provider_cut", 1)
            assert "rescued" not in line


def test_r118_a_prefill_that_is_refused_does_not_hide_the_true_cause() -> None:
    def script(received: Received) -> Reply:
        return broken(received) if received.number == 0 else chat_error(400, "prefill is not possible here")

    with mock_upstream(script) as mock, gateway_for(gateway_table(mock, "mistral")) as gateway:
        body = ask(gateway, "messages").body.decode()
        assert "prefill" not in body
        assert "event: error" in body
        assert "rescued" not in body
        line = last_line(gateway)
        assert (line["ending"], len(mock.received)) == ("provider_cut", 2)
        assert "truncated" in line["reason"]


def test_it_may_break_more_than_once_and_not_for_ever() -> None:
    words = ["One, ", "two, ", "three."]

    def script(received: Received) -> Reply:
        text = words[received.number]
        return broken(received, text=text) if received.number < 2 else serve(received, text)

    with mock_upstream(script) as mock, gateway_for(gateway_table(mock, "messages", "abc")) as gateway:
        clients = Clients(gateway.url)
        try:
            assert clients.ask("messages", "m", stream=True).text == "One, two, three."
        finally:
            clients.close()
        assert beginning(mock.received[2]) == "One, two,"
        assert last_line(gateway)["rescued"] == 2
    with mock_upstream(broken) as mock, gateway_for(gateway_table(mock, "messages", "abcdef")) as gateway:
        assert b"event: error" in ask(gateway, "messages").body
        assert len(mock.received) <= 4
        assert last_line(gateway)["ending"] == "provider_cut"


def test_after_a_call_nothing_is_rescued() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {}}
    text = messages_events("Hello, ")[:5]
    step = sse({"type": "content_block_start", "index": 1, "content_block": call}, named=True)
    script = lambda _: Reply.sse(*text, step, Cut())  # noqa: E731
    with mock_upstream(script) as mock, gateway_for(gateway_table(mock, "messages")) as gateway:
        tool = {"name": "w", "input_schema": {"type": "object", "properties": {}}}
        assert b"event: error" in ask(gateway, "messages", tools=[tool]).body
        assert len(mock.received) == 1


@pytest.mark.parametrize(("said", "is_rescued"), [("on", True), ("off", False), (None, False)])
def test_a_request_may_say_so_itself(said: str | None, is_rescued: bool) -> None:
    with mock_upstream(once_broken) as mock:
        models = {"m": f"p/{ABLE['messages']}"}
        with gateway_for({**table({"p": provider(mock.url, "messages", "a", "b")}, models), "log": "json"}) as gateway:
            answer = ask(gateway, "messages", {} if said is None else {"x-ds2api-rescue": said})
            assert (b"event: error" not in answer.body) == is_rescued
            assert len(mock.received) == 1 + is_rescued
            line = last_line(gateway)
            assert line["lane"] == ("translate" if is_rescued else "relay"), "without the wish nothing is different"


def test_a_request_may_refuse_it() -> None:
    with mock_upstream(once_broken) as mock, gateway_for(gateway_table(mock, "messages")) as gateway:
        assert b"event: error" in ask(gateway, "messages", {"x-ds2api-rescue": "off"}).body
        assert len(mock.received) == 1


leave = pytest.mark.parametrize("leave", [lambda client: client.close(), reset], ids=["closes", "resets"])


@leave
@pytest.mark.parametrize("place", ["line", "before", "middle"])
def test_a_client_that_leaves_while_it_is_rescued_leaves_nothing(place: str, leave: Callable[[Any], None]) -> None:
    hold = Hold()

    def script(received: Received) -> Reply:
        if received.number == 0:
            return broken(received)
        return Reply(before_head=[hold]) if place == "before" else serve(received, "world!", hold)

    # In line: the only account failed, and it is asked again after a pause that never ends.
    names, more = ("a", {"retries": {"patience_s": 60.0, "pause_first_s": 60.0}}) if place == "line" else ("ab", {})
    with mock_upstream(script) as mock, gateway_for(gateway_table(mock, "messages", names, **more)) as gateway:
        pool = gateway.gateway.house.admission.pool
        with connected(gateway.port, post_bytes(PATHS["chat"], body_of("chat"))) as socket:
            read_head(socket)
            if place == "line":
                gateway.wait_until(lambda: pool.waiting == 1, "nobody stands in line")
            else:
                hold.wait_reached()
            leave(socket)
            if place != "line":
                mock.received[1].wait_gone()
        assert last_line(gateway)["ending"] == "client_gone_reading"
        assert (pool.in_flight, pool.waiting) == (0, 0)
        assert len(mock.received) == (1 if place == "line" else 2)
