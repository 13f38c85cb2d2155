"""The first hour of a newcomer: both SDKs, sync and async, whole and streamed, against the demo, whichever protocol
stands behind the model's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pydantic
import pytest
from tests.end_to_end.harness import Running, demo_gateway
from tests.end_to_end.sdk import MODES, Mode, ask_chat, ask_messages

from ds2api.dialects.registry import DIALECTS

UPSTREAMS = ["demo", *(f"demo-over-{dialect}" for dialect in DIALECTS)]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
# A relayed answer is not rewritten, so there it shows the provider's own name of the model.
RELAYED = {"chat": {"demo-over-chat": "demo"}, "messages": {"demo-over-messages": "demo"}}
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: f"{mode[0]}-{'stream' if mode[1] else 'whole'}")
models = pytest.mark.parametrize("model", UPSTREAMS)


@pytest.fixture(scope="module")
def demo() -> Iterator[Running]:
    with demo_gateway() as running:
        yield running
        assert running.leases() == 0


def chat_tool(name: str, parameters: dict[str, Any] = WEATHER) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": f"{name} now", "parameters": parameters}}


def messages_tool(name: str) -> dict[str, Any]:
    return {"name": name, "description": f"{name} now", "input_schema": WEATHER}


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@modes
@models
def test_chat_text_with_a_system_turn(demo: Running, model: str, mode: Mode) -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Good day!"}]
    seen = ask_chat(demo.url, mode, model=model, messages=turns)
    assert "You said: 'Good day!'" in seen.text
    assert (seen.finish, seen.model, seen.calls) == ("stop", RELAYED["chat"].get(model, model), [])
    assert seen.usage["prompt_tokens"] > 0
    assert seen.usage["total_tokens"] == seen.usage["prompt_tokens"] + seen.usage["completion_tokens"]
    assert seen.warnings == []


@modes
@models
def test_messages_text_with_a_system_prompt(demo: Running, model: str, mode: Mode) -> None:
    seen = ask_messages(demo.url, mode, model=model, system="Be short.", messages=user("Good day!"))
    assert "You said: 'Good day!'" in seen.text
    assert (seen.finish, seen.model, seen.calls) == ("end_turn", RELAYED["messages"].get(model, model), [])
    assert seen.usage["input_tokens"] > 0
    assert seen.usage["output_tokens"] > 0
    assert seen.warnings == []


@modes
@models
def test_chat_calls_a_tool_and_reads_its_result(demo: Running, model: str, mode: Mode) -> None:
    tools = [chat_tool("get_weather"), chat_tool("get_stock")]
    question = user("What is the weather in Paris?")
    first = ask_chat(demo.url, mode, model=model, messages=question, tools=tools)
    assert (first.calls, first.finish) == ([("get_weather", {"city": "Paris"})], "tool_calls")
    call = {
        "id": first.call_ids[0],
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    }
    turns = [*question, {"role": "assistant", "content": None, "tool_calls": [call]}]
    turns.append({"role": "tool", "tool_call_id": first.call_ids[0], "content": "12 degrees"})
    second = ask_chat(demo.url, mode, model=model, messages=turns, tools=tools)
    assert (second.text, second.finish) == ("The tool says: 12 degrees.", "stop")


@modes
@models
def test_messages_calls_a_tool_and_reads_its_result(demo: Running, model: str, mode: Mode) -> None:
    tools = [messages_tool("get_weather"), messages_tool("get_stock")]
    question = user("What is the weather in Paris?")
    first = ask_messages(demo.url, mode, model=model, messages=question, tools=tools)
    assert (first.calls, first.finish) == ([("get_weather", {"city": "Paris"})], "tool_use")
    call = {"type": "tool_use", "id": first.call_ids[0], "name": "get_weather", "input": {"city": "Paris"}}
    result = {"type": "tool_result", "tool_use_id": first.call_ids[0], "content": "12 degrees"}
    turns = [*question, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    second = ask_messages(demo.url, mode, model=model, messages=turns, tools=tools)
    assert (second.text, second.finish) == ("The tool says: 12 degrees.", "end_turn")


@modes
@pytest.mark.parametrize("model", [model for model in UPSTREAMS if model != "demo-over-ollama"])  # see test_clients
def test_a_forced_choice_is_kept(demo: Running, model: str, mode: Mode) -> None:
    chosen = ask_chat(
        demo.url,
        mode,
        model=model,
        messages=user("Hello"),
        tools=[chat_tool("get_weather"), chat_tool("get_stock")],
        tool_choice={"type": "function", "function": {"name": "get_stock"}},
    )
    assert [name for name, _ in chosen.calls] == ["get_stock"]
    any_of = ask_messages(
        demo.url,
        mode,
        model=model,
        messages=user("Hello"),
        tools=[messages_tool("get_weather"), messages_tool("get_stock")],
        tool_choice={"type": "any"},
    )
    assert [name for name, _ in any_of.calls] == ["get_weather"]


@modes
@models
def test_images_arrive(demo: Running, model: str, mode: Mode) -> None:
    text = {"type": "text", "text": "What is it?"}
    parts = [text, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    assert "I received 1 image" in ask_chat(demo.url, mode, model=model, messages=user(parts)).text
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    blocks = [{"type": "image", "source": source}, text]
    assert "I received 1 image" in ask_messages(demo.url, mode, model=model, messages=user(blocks)).text


class Place(pydantic.BaseModel):
    city: str
    people: int


@models
def test_structured_output_by_the_sdks_own_helpers(demo: Running, model: str) -> None:
    with openai.OpenAI(base_url=demo.url + "/v1", api_key="x", max_retries=0) as client:
        completion = client.chat.completions.parse(model=model, messages=user("A place"), response_format=Place)  # type: ignore[arg-type]
        assert completion.choices[0].message.parsed == Place(city="text", people=1)
    with anthropic.Anthropic(base_url=demo.url, api_key="x", max_retries=0) as client_:
        message = client_.messages.parse(model=model, max_tokens=99, messages=user("A place"), output_format=Place)  # type: ignore[arg-type]
        assert message.parsed_output == Place(city="text", people=1)


def test_stream_helpers_of_the_sdks(demo: Running) -> None:
    for model in UPSTREAMS:
        with openai.OpenAI(base_url=demo.url + "/v1", api_key="x", max_retries=0) as client:
            with client.chat.completions.stream(model=model, messages=user("Hello")) as stream:  # type: ignore[arg-type]
                stream.until_done()
            assert "Hello" in (stream.get_final_completion().choices[0].message.content or "")
        with (
            anthropic.Anthropic(base_url=demo.url, api_key="x", max_retries=0) as client_,
            client_.messages.stream(model=model, max_tokens=99, messages=user("Hello")) as events,  # type: ignore[arg-type]
        ):
            assert "Hello" in "".join(events.text_stream)
            assert events.get_final_message().stop_reason == "end_turn"


def test_model_lists_in_the_shape_of_whoever_asks(demo: Running) -> None:
    names = {"demo", "demo-mini", *(f"demo-over-{dialect}" for dialect in DIALECTS)}
    with openai.OpenAI(base_url=demo.url + "/v1", api_key="x", max_retries=0) as client:
        assert {model.id for model in client.models.list()} == names
        assert client.models.retrieve("demo").id == "demo"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("nothing")
    with anthropic.Anthropic(base_url=demo.url, api_key="x", max_retries=0) as client_:
        assert {model.id for model in client_.models.list()} == names
        assert client_.models.retrieve("demo").type == "model"
        with pytest.raises(anthropic.NotFoundError):
            client_.models.retrieve("nothing")


@models
def test_token_counts(demo: Running, model: str) -> None:
    with anthropic.Anthropic(base_url=demo.url, api_key="x", max_retries=0) as client:
        counted = client.messages.count_tokens(model=model, messages=user("Hello " * 100))  # type: ignore[arg-type]
    assert 50 < counted.input_tokens < 1000


def test_a_busy_pool_is_never_felt(demo: Running) -> None:
    """One account of three is always limited, one fails every third time: 12 questions, 12 answers."""
    for number in range(12):
        assert (
            ask_chat(demo.url, ("sync", number % 2 == 0), model="demo", messages=user(f"Hello {number}")).finish
            == "stop"
        )
    log = demo.log()
    assert "demo/limited: 429" in log


def test_the_log_names_the_lane_of_every_exchange(demo: Running) -> None:
    ask_chat(demo.url, ("sync", True), model="demo-over-messages", messages=user("Hello"))
    ask_chat(demo.url, ("sync", True), model="demo-over-chat", messages=user("Hello"))
    lines = demo.log().splitlines()
    assert any("translate(chat→messages)" in line for line in lines)
    assert any("relay(chat)" in line for line in lines)


def test_legacy_functions_are_refused_or_served_but_never_ignored(demo: Running) -> None:
    function = {"name": "get_weather", "parameters": WEATHER}
    with openai.OpenAI(base_url=demo.url + "/v1", api_key="x", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="demo-over-messages",
            messages=user("What is the weather in Paris?"),  # type: ignore[arg-type]
            functions=[function],  # type: ignore[list-item]
        )
    message = json.loads(raw.text)["choices"][0]["message"]
    assert message.get("function_call") or message.get("tool_calls") or "functions" in raw.headers["x-ds2api-warning"]
