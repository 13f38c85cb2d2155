"""A gateway with more to do than it can says so in the client's own form, at once, and goes on with what it has."""

from __future__ import annotations

import json

import pytest
from tests.end_to_end.answers import chat_events
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.mock import Hold, Reply, mock_upstream
from tests.end_to_end.raw import connected, exchange, post_bytes
from tests.end_to_end.tables import provider, table

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
ASKED = {
    "/v1/chat/completions": (CHAT, 503),
    "/v1/responses": ({"model": "m", "input": "Hello"}, 503),
    "/v1/messages": ({**CHAT, "max_tokens": 9}, 529),
    "/v1beta/models/m:generateContent": ({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}, 503),
    "/api/chat": (CHAT, 503),
    "/providers/p/files": ({}, 503),
}


@pytest.mark.parametrize("path", list(ASKED))
def test_who_is_one_too_many_is_told_when_to_come_again(path: str) -> None:
    body, status = ASKED[path]
    with mock_upstream() as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        gateway.call(lambda: setattr(gateway.gateway.house.load, "a_second", 0.0))
        answer = exchange(gateway.port, "POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
        assert (answer.status, answer.header("retry-after")) == (status, "1")
        assert "more requests come than this gateway can serve" in answer.text
        for open_path in ("/healthz", "/readyz", "/v1/models"):
            assert exchange(gateway.port, "GET", open_path).status == 200
        assert not [one for one in mock.received if one.method == "POST"]
        assert "shed" in gateway.log()


def test_a_stream_that_runs_is_not_cut() -> None:
    first, *others = chat_events()
    hold = Hold()
    with mock_upstream() as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        mock.then(Reply.sse(first, hold, *others))
        with connected(gateway.port, post_bytes("/v1/chat/completions", {**CHAT, "stream": True})) as client:
            hold.wait_reached()
            gateway.call(lambda: setattr(gateway.gateway.house.load, "a_second", 0.0))
            hold.release()
            answer = b""
            while b"0\r\n\r\n" not in answer:
                answer += client.recv(65536)
        assert b"data: [DONE]" in answer
