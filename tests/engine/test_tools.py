"""Tool calls of a real engine, made under its own grammar, through every client and put back in a second turn.

"-calling": the engine finds the calls itself (`--jinja`). "-writing": it knows of no tools; they are told in words
(`tools = "prompted"`) and found in the text, `[TOOL_CALLS] [{…}]`, that its grammar makes it write.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.clients import CLIENTS, LIMIT_WORDS, RESULT, TOOL_WORDS, Ask
from tests.engine.conftest import House
from tests.engine.llamacpp import CITY

clients = pytest.mark.parametrize("client", CLIENTS)
upstreams = pytest.mark.parametrize("upstream", ["chat", "messages", "responses"])
modes = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tells the weather.", "parameters": CITY},
}


def made(house: House, **more: Any) -> tuple[list[tuple[str, Any]], dict[str, int]]:
    """The calls that the engine makes when it is asked directly, and what it counted."""
    messages = [{"role": "user", "content": "Hello"}]
    answer = house.calling.post(
        "/v1/chat/completions", messages=messages, tools=[TOOL], temperature=0, max_tokens=200, **more
    )
    calls = [one["function"] for one in answer["choices"][0]["message"]["tool_calls"]]
    usage = {"in": answer["usage"]["prompt_tokens"], "out": answer["usage"]["completion_tokens"]}
    return [(call["name"], json.loads(call["arguments"])) for call in calls], usage


@modes
@upstreams
@clients
def test_a_call_and_its_result(house: House, client: str, upstream: str, stream: bool) -> None:
    model = f"{upstream}-calling"
    seen = CLIENTS[client](house.url, Ask(model, tools=True, max_tokens=200), stream=stream)
    assert seen.text == ""
    calls, usage = made(house)
    assert len(calls) > 1  # this model makes two at once
    assert seen.calls == calls
    if client == "ollama":  # its SDK keeps of a schema what it knows: fewer tokens to read
        usage = {**usage, "in": seen.usage["in"]}
    assert seen.usage == usage
    assert seen.finish == TOOL_WORDS[client]
    after = CLIENTS[client](house.url, Ask(model, tools=True, max_tokens=16, earlier=seen), stream=stream)
    assert after.text
    assert after.calls == []
    assert after.usage["out"] == 16
    assert after.usage["in"] > seen.usage["in"]


@modes
@pytest.mark.parametrize("choice", ["any", "get_weather"])
@upstreams
@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "ollama"])  # its protocol cannot force a call
def test_a_forced_call(house: House, client: str, upstream: str, choice: str, stream: bool) -> None:
    ask = Ask(f"{upstream}-calling", tools=True, choice=choice, max_tokens=200)
    seen = CLIENTS[client](house.url, ask, stream=stream)
    assert seen.calls == made(house, tool_choice="required")[0]
    assert seen.finish == TOOL_WORDS[client]


@modes
@upstreams
@clients
def test_prompted_tools(house: House, client: str, upstream: str, stream: bool) -> None:
    model = f"{upstream}-writing"
    seen = CLIENTS[client](house.url, Ask(model, tools=True, max_tokens=200), stream=stream)
    assert seen.text == ""
    assert [name for name, _ in seen.calls] == ["get_weather"]
    assert seen.calls[0][1]["city"] in ("Paris", "Rome")
    assert seen.finish == TOOL_WORDS[client]
    # This engine has only one sentence: after the result it says it again.
    again = CLIENTS[client](house.url, Ask(model, tools=True, max_tokens=200, earlier=seen), stream=stream)
    assert [name for name, _ in again.calls] == ["get_weather"]
    assert again.usage["in"] > seen.usage["in"]


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "ollama"])  # see above
def test_a_conversation_reads_as_the_engine_would_read_it(house: House, client: str) -> None:
    """The engine's own words for the same conversation, ids and all: what the gateway sends is what chat would."""
    first = CLIENTS[client](house.url, Ask("chat-calling", tools=True, max_tokens=200), stream=False)
    seen = CLIENTS[client](house.url, Ask("chat-calling", tools=True, max_tokens=16, earlier=first), stream=False)
    ids = [id_ or f"call_{number}" for number, id_ in enumerate(first.call_ids)]
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for id_, (name, given) in zip(ids, first.calls, strict=True)
    ]
    results = [{"role": "tool", "tool_call_id": id_, "content": RESULT} for id_ in ids]
    direct = house.calling.post(
        "/v1/chat/completions",
        messages=[
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "", "tool_calls": calls},
            *results,
        ],
        tools=[TOOL], temperature=0, max_tokens=16,
    )  # fmt: skip
    assert seen.text == direct["choices"][0]["message"]["content"]
    assert seen.usage["in"] == direct["usage"]["prompt_tokens"]


@modes
@pytest.mark.parametrize("client", ["gemini", "gemini-v1", "ollama"])  # their calls are objects: whole or not at all
def test_a_call_that_the_limit_cuts_is_no_call(house: House, client: str, stream: bool) -> None:
    seen = CLIENTS[client](house.url, Ask("chat-calling", tools=True, max_tokens=31), stream=stream)
    assert seen.calls == []
    assert seen.finish == LIMIT_WORDS[client]
