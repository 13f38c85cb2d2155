"""R083 of the field reports: a provider refuses a conversation for the proofs of reasoning in it. The client cannot
mend its history, so the same account is asked once more without them, and the client is told what was left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.end_to_end.answers import messages_error, messages_events, messages_whole
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Mock, Reply, mock_upstream
from tests.end_to_end.raw import Answer, exchange
from tests.end_to_end.tables import provider, table

WEATHER = {"name": "weather", "description": "It", "input_schema": {"type": "object", "properties": {}}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVkLWVsc2V3aGVyZQ=="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}


def messages_request(**more: Any) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [THOUGHT, CALL]},
        {"role": "user", "content": [RESULT]},
    ]
    return {"model": "m", "max_tokens": 4000, "tools": [WEATHER], "messages": turns, **more}


def ask(gateway: Running, path: str, body: dict[str, Any]) -> Answer:
    fields = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    return exchange(gateway.port, "POST", path, json.dumps(body).encode(), fields)


def refused() -> Reply:
    return messages_error(400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block")


def both(mock: Mock) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = mock.received
    assert first.key == second.key, "the account was changed"
    return first.json, second.json


@pytest.mark.parametrize("stream", [False, True])
def test_R083_thinking_that_is_refused_is_left_out_once(stream: bool) -> None:
    """On relay, where the first request leaves as the client's own bytes."""
    with mock_upstream() as mock:
        answered = Reply.sse(*messages_events()) if stream else Reply.json(messages_whole())
        mock.then(refused(), answered)
        with gateway_for(table({"n": provider(mock.url, "messages", "a", "b")})) as gateway:
            answer = ask(gateway, "/v1/messages", messages_request(stream=stream))
            assert answer.status == 200 and ("message_stop" if stream else "Hello") in answer.text
            assert answer.header("x-ds2api-warning") == "dropped field=messages[1].content[0]"
            first, second = both(mock)
            assert first["messages"][1]["content"] == [THOUGHT, CALL]
            assert second["messages"][1]["content"] == [CALL]
            assert second["messages"][2] == first["messages"][2] and second["tools"] == first["tools"]
            assert {gateway.account(one).refused for one in ("n/a", "n/b")} == {0}
            assert "proofs left out" in gateway.log()


def test_R083_a_thinking_budget_goes_with_the_thinking_of_an_open_turn() -> None:
    with mock_upstream() as mock:
        mock.then(refused(), Reply.json(messages_whole()))
        with gateway_for(table({"n": provider(mock.url, "messages")}, {"m": "n/claude-sonnet-4-5"})) as gateway:
            request = messages_request(thinking={"type": "enabled", "budget_tokens": 1024})
            answer = ask(gateway, "/v1/messages", request)
            assert answer.status == 200
            first, second = both(mock)
            assert "thinking" in first and "thinking" not in second
            told = [value for name, value in answer.headers if name == "x-ds2api-warning"]
            assert told == ["dropped field=thinking", "dropped field=messages[1].content[0]"]


def test_R083_a_refusal_that_stays_reaches_the_client() -> None:
    """Two requests, not three; and the provider's own words."""
    with mock_upstream() as mock:
        mock.then(refused(), refused())
        with gateway_for(table({"n": provider(mock.url, "messages", "a", "b")})) as gateway:
            answer = ask(gateway, "/v1/messages", messages_request())
            assert answer.status == 400 and "Invalid `signature`" in answer.json["error"]["message"]
            assert len(mock.received) == 2


def test_R083_a_request_without_proofs_is_not_sent_twice() -> None:
    with mock_upstream() as mock:
        mock.then(refused())
        with gateway_for(table({"n": provider(mock.url, "messages")})) as gateway:
            request = {**messages_request(), "messages": [{"role": "user", "content": "Hi"}]}
            assert ask(gateway, "/v1/messages", request).status == 400
            assert len(mock.received) == 1


@pytest.mark.parametrize("told", ["invalid_encrypted_content", None])
def test_R083_encrypted_reasoning_that_is_refused_is_left_out_once(told: str | None) -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-of-another-organisation"},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
    ]
    message = "The encrypted content gAAA... could not be verified."
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": told}
    whole = {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "up", "output": [
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
             "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    }  # fmt: skip
    with mock_upstream() as mock:
        mock.then(Reply.json({"error": error}, 400), Reply.json(whole))
        with gateway_for(table({"r": provider(mock.url, "responses")})) as gateway:
            answer = ask(gateway, "/v1/responses", {"model": "m", "input": items, "store": False})
            assert answer.status == 200 and answer.json["output"][0]["content"][0]["text"] == "Hello"
            first, second = both(mock)
            assert [item.get("type") for item in first["input"]] == [
                None, "reasoning", "function_call", "function_call_output",
            ]  # fmt: skip
            assert [item.get("type") for item in second["input"]] == [None, "function_call", "function_call_output"]
            assert second["input"][1]["call_id"] == "call_1"
            assert answer.header("x-ds2api-warning") == "dropped field=input[1]"
