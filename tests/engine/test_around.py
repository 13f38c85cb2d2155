"""What stands around an answer, with a real engine: errors, models, tokens, embeddings, completions, a client that
leaves, many clients at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from tests.engine.clients import CLIENTS, LIMIT_WORDS, Ask
from tests.engine.conftest import House
from tests.engine.llamacpp import MODEL

clients = pytest.mark.parametrize("client", CLIENTS)
upstreams = pytest.mark.parametrize("upstream", ["chat", "messages", "responses"])
modes = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
# A bound for what must come: each look at the engine takes about a millisecond.
LOOKS = 20_000
OPENAI = {400: openai.BadRequestError, 404: openai.NotFoundError}
ANTHROPIC = {400: anthropic.BadRequestError, 404: anthropic.NotFoundError}


def error_class(client: str, status: int) -> type[Exception]:
    return {
        "chat": OPENAI[status],
        "responses": OPENAI[status],
        "messages": ANTHROPIC[status],
        "mistral": SDKError,
        "ollama": ollama.ResponseError,
    }.get(client, genai_errors.ClientError)


def status_of(error: Any) -> int:
    return error.code if isinstance(error, genai_errors.APIError) else error.status_code


@modes
@clients
def test_an_unknown_model_is_each_clients_404(house: House, client: str, stream: bool) -> None:
    with pytest.raises(error_class(client, 404), match="nobody") as caught:
        CLIENTS[client](house.url, Ask("nobody"), stream=stream)
    assert status_of(caught.value) == 404


@modes
@upstreams
@clients
def test_too_long_is_each_clients_400(house: House, client: str, upstream: str, stream: bool) -> None:
    """llama.cpp says it in OpenAI's form whoever asks, also under Anthropic's protocol."""
    with pytest.raises(error_class(client, 400), match=r"1505 tokens.*context size \(1024 tokens\)") as caught:
        CLIENTS[client](house.url, Ask(upstream, text="word " * 1500), stream=stream)
    assert status_of(caught.value) == 400


def test_what_the_engine_refuses_reads_as_it_says_it(house: House) -> None:
    with (
        openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.BadRequestError, match=r"temperature.*must be number"),
    ):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "x"}], extra_body={"temperature": "hot"}
        )


def test_models_in_every_form(house: House) -> None:
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as chat:
        assert MODEL in {one.id for one in chat.models.list()}
    with anthropic.Anthropic(base_url=house.url, api_key="x", max_retries=0) as messages:
        assert MODEL in {one.id for one in messages.models.list()}
    with ollama.Client(host=house.url) as local:
        assert MODEL in {one.model for one in local.list().models}
    with Mistral(api_key="x", server_url=house.url) as mistral:
        assert MODEL in {one.id for one in mistral.models.list().data or []}
    for version in ("v1", "v1beta"):
        google = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=house.url, api_version=version))
        try:
            assert f"models/{MODEL}" in {one.name for one in google.models.list()}
        finally:
            google.close()


def test_the_engines_own_token_count(house: House) -> None:
    _, read, _ = house.plain.ask("Hello there", max_tokens=1)
    with anthropic.Anthropic(base_url=house.url, api_key="x", max_retries=0) as client:
        asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hello there"}]}
        assert client.messages.count_tokens(**asked).input_tokens == read
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as client:
        assert client.responses.input_tokens.count(model="responses", input="Hello there").input_tokens == read


def test_a_token_count_elsewhere_says_that_it_is_a_guess(house: House) -> None:
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as client:
        raw = client.responses.input_tokens.with_raw_response.count(model="chat", input="Hello there")
    assert raw.parse().input_tokens > 0
    assert "estimated" in raw.headers["x-ds2api-warning"]


def test_embeddings_for_every_client(house: House) -> None:
    texts = ["Hello", "a second text"]
    told = house.plain.post("/v1/embeddings", model=MODEL, input=texts)
    vectors = [one["embedding"] for one in told["data"]]
    close = [pytest.approx(vector, abs=1e-6) for vector in vectors]
    assert len(vectors[0]) == 64
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as chat:
        found = chat.embeddings.create(model=MODEL, input=texts)  # as base64: the SDK asks for that
        assert [one.embedding for one in found.data] == close
        assert found.usage.prompt_tokens == told["usage"]["prompt_tokens"]
    with Mistral(api_key="x", server_url=house.url) as mistral:
        assert [one.embedding for one in mistral.embeddings.create(model=MODEL, inputs=texts).data] == close
    with ollama.Client(host=house.url) as local:
        assert [list(one) for one in local.embed(MODEL, texts).embeddings] == close
    google = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=house.url))
    try:
        embedded = google.models.embed_content(model=MODEL, contents=list(texts))
    finally:
        google.close()
    assert [one.values for one in embedded.embeddings or []] == close


@modes
def test_completions(house: House, stream: bool) -> None:
    told = house.plain.post("/v1/completions", prompt="Once upon", max_tokens=8, temperature=0)
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as client:
        answer: Any = client.completions.create(
            model=MODEL, prompt="Once upon", max_tokens=8, temperature=0, stream=stream
        )
        pieces = list(answer) if stream else [answer]
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == told["choices"][0]["text"]


@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_a_client_that_leaves_frees_its_slot(house: House, upstream: str) -> None:
    """Otherwise the engine would go on to the end of its context: 1,019 tokens, and about a second."""
    steps = house.plain.steps()
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0) as client:
        stream = client.chat.completions.create(
            model=upstream, messages=[{"role": "user", "content": "Leaving"}], stream=True, max_tokens=1000
        )
        next(iter(stream))
        assert house.plain.busy() == 1
        stream.close()
    assert any(house.plain.busy() == 0 for _ in range(LOOKS))
    assert house.plain.steps() - steps < 900


def test_all_clients_at_once_get_their_own_answer(house: House) -> None:
    """Twice as many as the engine has slots; the others wait in its own line."""
    asks = [(client, f"Hello {client}") for client in CLIENTS]
    told = {text: house.plain.ask(text, max_tokens=24) for _, text in asks}

    def ask(one: tuple[str, str]) -> tuple[str, Any]:
        client, text = one
        return text, CLIENTS[client](house.url, Ask("chat", text=text), stream=True)

    with ThreadPoolExecutor(len(asks)) as pool:
        seen = list(pool.map(ask, asks))
    for (client, _), (text, answer) in zip(asks, seen, strict=True):
        assert (answer.text, answer.usage["in"], answer.usage["out"]) == told[text]
        assert answer.finish == LIMIT_WORDS[client]
    assert house.gateway.leases() == 0
