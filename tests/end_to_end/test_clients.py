"""Every official SDK, unmodified, over every upstream protocol: text, streams, tools in a loop, images, thinking.

The upstream is the built-in demo, which speaks each protocol with the dialects' own writers; what a client sees is
judged by its SDK alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ollama
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from tests.end_to_end.harness import Running, demo_gateway
from tests.end_to_end.raw import exchange
from tests.end_to_end.test_demo import PNG, UPSTREAMS, WEATHER

models = pytest.mark.parametrize("model", UPSTREAMS)
QUESTION = "What is the weather in Paris?"


@pytest.fixture(scope="module")
def demo() -> Iterator[Running]:
    with demo_gateway() as running:
        yield running
        assert running.leases() == 0


# --- OpenAI Responses


def responses(demo: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=demo.url + "/v1", api_key="x", max_retries=0)


FUNCTION: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}


@models
def test_responses_text_whole_and_streamed(demo: Running, model: str) -> None:
    with responses(demo) as client:
        whole = client.responses.create(model=model, input="Hello")
        assert whole.status == "completed"
        assert whole.output_text
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens > 0
        with client.responses.stream(model=model, input="Hello", instructions="Be kind.") as stream:
            deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
        assert final.output_text == deltas
        assert final.instructions == "Be kind."


@models
def test_responses_tools_in_a_loop(demo: Running, model: str) -> None:
    with responses(demo) as client:
        with client.responses.stream(model=model, input=QUESTION, tools=[FUNCTION]) as stream:
            final = stream.get_final_response()
        call = next(item for item in final.output if item.type == "function_call")
        assert call.name == "get_weather"
        assert isinstance(json.loads(call.arguments), dict)
        history: list[Any] = [{"role": "user", "content": QUESTION}, *final.output]
        history.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
        answer = client.responses.create(model=model, input=history, tools=[FUNCTION])
        assert answer.output_text


@pytest.mark.parametrize("model", [model for model in UPSTREAMS if model not in ("demo", "demo-over-responses")])
def test_responses_goes_on_from_an_earlier_answer(demo: Running, model: str) -> None:
    """The gateway replays what was said where the upstream keeps nothing; an unknown id is the provider's own error."""
    with responses(demo) as client:
        first = client.responses.create(model=model, input="Hello", store=True)
        second = client.responses.create(model=model, input="And again?", previous_response_id=first.id)
        assert second.output_text
        assert second.previous_response_id == first.id
        assert second.usage is not None
        assert first.usage is not None
        assert second.usage.input_tokens > first.usage.input_tokens
        assert client.responses.retrieve(first.id).output_text == first.output_text
        items = client.responses.input_items.list(second.id, order="asc").data
        assert [item.type for item in items] == ["message"] * 3
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model=model, input="x", previous_response_id="resp_nobody")
        assert caught.value.code == "previous_response_not_found"
        assert caught.value.param == "previous_response_id"


@models
def test_responses_counts_tokens(demo: Running, model: str) -> None:
    with responses(demo) as client:
        assert client.responses.input_tokens.count(model=model, input="Hello there").input_tokens > 0


# --- Gemini

WEATHER_TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Tells the weather.",
            parameters=types.Schema(
                type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"]
            ),
        )
    ]
)


@contextmanager
def gemini(demo: Running, version: str = "v1beta") -> Iterator[genai.Client]:
    client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=demo.url, api_version=version))
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@models
def test_gemini_text_whole_and_streamed(demo: Running, model: str, version: str) -> None:
    with gemini(demo, version) as client:
        whole = client.models.generate_content(model=model, contents="Hello")
        assert whole.text
        assert whole.candidates is not None
        assert whole.candidates[0].finish_reason == types.FinishReason.STOP
        assert whole.usage_metadata is not None
        assert whole.usage_metadata.total_token_count
        chunks = list(client.models.generate_content_stream(model=model, contents="Hello"))
        assert "".join(chunk.text or "" for chunk in chunks)
        assert chunks[-1].usage_metadata is not None
        assert chunks[-1].candidates is not None
        assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@models
def test_gemini_tools_in_a_loop_with_a_picture(demo: Running, model: str) -> None:
    with gemini(demo) as client:
        config = types.GenerateContentConfig(
            tools=[WEATHER_TOOL],
            system_instruction="Be brief.",
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        asked = types.Content(
            role="user",
            parts=[types.Part(text=QUESTION), types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")],
        )
        answer = client.models.generate_content(model=model, contents=[asked], config=config)
        assert answer.function_calls is not None
        call = answer.function_calls[0]
        assert call.name == "get_weather"
        assert isinstance(call.args, dict)
        assert answer.candidates is not None
        said = answer.candidates[0].content
        assert said is not None
        result = types.Part(
            function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": "sunny"})
        )
        history: list[Any] = [asked, said, types.Content(role="user", parts=[result])]
        streamed = list(client.models.generate_content_stream(model=model, contents=history, config=config))
        assert "".join(chunk.text or "" for chunk in streamed)


@models
def test_gemini_counts_tokens_and_lists_models(demo: Running, model: str) -> None:
    with gemini(demo) as client:
        assert (client.models.count_tokens(model=model, contents="Hello there").total_tokens or 0) > 0
        assert any(one.name == f"models/{model}" for one in client.models.list())
        assert client.models.get(model=model).name == f"models/{model}"


def test_gemini_without_sse_is_one_json_array(demo: Running) -> None:
    import urllib.request

    body = json.dumps({"contents": [{"parts": [{"text": "Hello"}]}]}).encode()
    request = urllib.request.Request(
        f"{demo.url}/v1beta/models/demo:streamGenerateContent", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["content-type"].startswith("application/json")
        elements = json.load(answer)
    text = "".join(
        part.get("text", "") for one in elements for c in one.get("candidates", []) for part in c["content"]["parts"]
    )
    assert text


def test_gemini_errors_are_its_own(demo: Running) -> None:
    with gemini(demo) as client, pytest.raises(genai_errors.ClientError) as caught:
        client.models.generate_content(model="nothing", contents="Hello")
    assert caught.value.code == 404
    assert caught.value.status == "NOT_FOUND"


# --- Ollama

OLLAMA_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "description": "", "parameters": WEATHER}}


@models
def test_ollama_chat_whole_and_streamed(demo: Running, model: str) -> None:
    with ollama.Client(host=demo.url) as client:
        whole = client.chat(model, messages=[{"role": "user", "content": "Hello"}])
        assert whole.message.content
        assert whole.done
        assert whole.done_reason == "stop"
        assert whole.eval_count
        chunks = list(client.chat(model, messages=[{"role": "user", "content": "Hello"}], stream=True))
        assert "".join(chunk.message.content or "" for chunk in chunks)
        assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@models
def test_ollama_tools_in_a_loop_with_a_picture(demo: Running, model: str) -> None:
    with ollama.Client(host=demo.url) as client:
        history: list[Any] = [{"role": "user", "content": QUESTION, "images": [PNG]}]
        answer = client.chat(model, messages=history, tools=[OLLAMA_TOOL])
        assert answer.message.tool_calls
        call = answer.message.tool_calls[0]
        assert call.function.name == "get_weather"
        history += [answer.message, {"role": "tool", "content": "sunny", "tool_name": "get_weather"}]
        chunks = list(client.chat(model, messages=history, tools=[OLLAMA_TOOL], stream=True))
        assert "".join(chunk.message.content or "" for chunk in chunks)


@models
def test_ollama_generate(demo: Running, model: str) -> None:
    with ollama.Client(host=demo.url) as client:
        assert client.generate(model, "Hello", system="Be brief.").response
        assert "".join(chunk.response for chunk in client.generate(model, "Hello", stream=True))
        assert client.generate(model, "").done_reason == "load"


def test_R173_ollamas_clients_find_a_server_of_their_own(demo: Running) -> None:
    """What editors ask before they ask for an answer, and a model's name with the tag that says nothing."""
    for path in ("/", "/api/version", "/api/tags", "/api/ps"):
        for method in ("GET", "HEAD"):
            assert exchange(demo.port, method, path).status == 200, path
    assert exchange(demo.port, "GET", "/").body == b"Ollama is running"
    assert exchange(demo.port, "GET", "/", headers={"accept": "application/json"}).json["name"] == "ds2api"
    assert tuple(map(int, exchange(demo.port, "GET", "/api/version").json["version"].split("."))) >= (0, 6, 4)
    with ollama.Client(host=demo.url) as client:
        answer = client.chat("demo:latest", messages=[{"role": "user", "content": "Hello"}])
        assert answer.message.content
        with pytest.raises(ollama.ResponseError) as caught:
            client.pull("demo")
        assert caught.value.status_code == 404 and "/api/pull" in caught.value.error


def test_ollama_looks_around(demo: Running) -> None:
    with ollama.Client(host=demo.url) as client:
        assert {one.model for one in client.list().models} >= {"demo", "demo-over-chat"}
        assert client.show("demo").capabilities
        assert client.show("demo:latest").capabilities
        assert client.ps().models is not None
        with pytest.raises(ollama.ResponseError) as caught:
            client.chat("nothing", messages=[{"role": "user", "content": "x"}])
        assert caught.value.status_code == 404


# --- Mistral


@contextmanager
def mistral(demo: Running) -> Iterator[Mistral]:
    with Mistral(api_key="x", server_url=demo.url) as client:
        yield client


@models
def test_mistral_chat_whole_and_streamed(demo: Running, model: str) -> None:
    with mistral(demo) as client:
        whole = client.chat.complete(model=model, messages=[{"role": "user", "content": "Hello"}])
        assert whole.choices[0].message is not None
        assert whole.choices[0].message.content
        assert whole.usage.total_tokens
        with client.chat.stream(model=model, messages=[{"role": "user", "content": "Hello"}]) as stream:
            chunks = [event.data for event in stream]
    assert "".join(str(chunk.choices[0].delta.content or "") for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


@models
def test_mistral_tools_in_a_loop(demo: Running, model: str) -> None:
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
    with mistral(demo) as client:
        with client.chat.stream(model=model, messages=[{"role": "user", "content": QUESTION}], tools=[tool]) as stream:
            chunks = [event.data for event in stream]
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
        assert [call.function.name for call in calls] == ["get_weather"]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        history: list[Any] = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "", "tool_calls": [calls[0].model_dump()]},
            {"role": "tool", "name": "get_weather", "tool_call_id": calls[0].id, "content": "sunny"},
        ]
        answer = client.chat.complete(model=model, messages=history, tools=[tool])
        assert answer.choices[0].message is not None
        assert answer.choices[0].message.content


def test_mistral_errors_are_its_own(demo: Running) -> None:
    with mistral(demo) as client, pytest.raises(SDKError) as caught:
        client.chat.complete(model="nothing", messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == 404
    assert json.loads(caught.value.body)["object"] == "error"


def test_what_ollama_cannot_be_told_is_refused_in_the_clients_words(demo: Running) -> None:
    with responses(demo) as client, pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="demo-over-ollama", input="x", tools=[FUNCTION], tool_choice="required")
    assert caught.value.param == "tool_choice"
