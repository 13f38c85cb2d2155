"""What stands beside generating: embeddings in every shape, pass-through, completions, WebSocket, prompted tools,
thoughts that the gateway remembers. Real SDKs or raw bytes on the client's side, the scripted mock on the provider's.
"""

from __future__ import annotations

import json
import re
from typing import Any

import ollama
import openai
import pytest
from google import genai
from google.genai import types
from tests.end_to_end import raw
from tests.end_to_end.answers import chat_events, chat_whole, messages_whole, sse
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.mock import Received, Reply, mock_upstream
from tests.end_to_end.tables import provider, table

JSON = {"content-type": "application/json"}
VECTORS = [[0.25, -1.5, 3.0], [1.0, 2.0, 4.0]]  # floats that 32 bits hold exactly


def embedding_answer(dialect: str) -> Reply:
    if dialect == "gemini":
        return Reply.json({"embeddings": [{"values": vector} for vector in VECTORS]})
    if dialect == "ollama":
        return Reply.json({"model": "e", "embeddings": VECTORS, "prompt_eval_count": 7})
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(VECTORS)]
    data.reverse()  # the index counts, not the order
    return Reply.json({"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 7, "total_tokens": 7}})


@pytest.mark.parametrize("dialect", ["gemini", "ollama", "chat"])
def test_embeddings_of_every_provider_for_every_client(dialect: str) -> None:
    with mock_upstream(lambda _: embedding_answer(dialect)) as mock:
        url = mock.url.removesuffix("/v1")
        up = {**provider(url, dialect), "base_url": {dialect: url}}
        del up["dialects"]
        with gateway_for(table({"p": up}, {"e": "p/e"})) as gateway:
            with openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0) as client:
                found = client.embeddings.create(model="e", input=["a", "b"])  # the SDK asks for base64
                if dialect != "chat":  # relayed: as the provider wrote it
                    assert [one.embedding for one in found.data] == VECTORS
                plain = client.embeddings.create(model="e", input=["a", "b"], encoding_format="float")
                assert sorted(one.embedding for one in plain.data) == sorted(VECTORS)
            with ollama.Client(host=gateway.url) as client_:
                assert [list(one) for one in client_.embed("e", ["a", "b"]).embeddings] == VECTORS
            asked = json.dumps({"model": "e", "input": ["a", "b"]}).encode()
            fields = {"content-type": "application/json"}
            mistral = raw.exchange(gateway.port, "POST", "/mistral/v1/embeddings", asked, fields).json
            assert [one["embedding"] for one in mistral["data"]] == VECTORS
            assert dialect == "chat" or mistral["id"], "its SDK takes no answer without"
            google = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=gateway.url))
            try:
                embedded = google.models.embed_content(model="e", contents=["a", "b"])
            finally:
                google.close()
            assert embedded.embeddings is not None
            assert [one.values for one in embedded.embeddings] == VECTORS


def test_an_editor_that_speaks_ollama_completes_code_at_mistral() -> None:
    """A prompt with a suffix becomes Mistral's own fill-in-the-middle, which answers as its chat does."""
    with (
        mock_upstream() as mock,
        gateway_for(table({"p": provider(mock.url_of("mistral"), "mistral")})) as gateway,
        ollama.Client(host=gateway.url) as client,
    ):
        options = {"num_predict": 64, "seed": 7, "stop": ["END"]}
        mock.then(Reply.json(chat_whole("x + 1")), Reply.sse(*chat_events("x + 1")))
        answer = client.generate("m", "def f(x):", suffix="return y", options=options)
        assert (answer.response, answer.done_reason, answer.eval_count) == ("x + 1", "stop", 5)
        pieces = list(client.generate("m", "def f(x):", suffix="return y", stream=True))
        assert "".join(piece.response for piece in pieces) == "x + 1"
        with pytest.raises(ollama.ResponseError) as caught:
            client.generate("m", "def f(x):", suffix="return y", system="Be brief.")
        assert caught.value.status_code == 400 and "system" in caught.value.error
        first, second = mock.received
        assert first.target.endswith("/fim/completions")
        assert first.json == {
            "model": "m", "stream": False, "prompt": "def f(x):", "suffix": "return y", "max_tokens": 64,
            "random_seed": 7, "stop": ["END"],
        }  # fmt: skip
        assert second.json == {"model": "m", "stream": True, "prompt": "def f(x):", "suffix": "return y"}


def test_embeddings_of_a_provider_that_has_none_are_refused_with_a_sentence() -> None:
    with (
        mock_upstream() as mock,
        gateway_for(table({"p": provider(mock.url, "messages")}, {"e": "p/e"})) as gateway,
        openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.BadRequestError, match="no embeddings") as caught,
    ):
        client.embeddings.create(model="e", input="a")
    assert caught.value.param == "model"
    assert mock.received == []


def test_vectors_that_are_too_few_are_the_providers_fault() -> None:
    with mock_upstream(lambda _: Reply.json({"embeddings": [[1.0]]})) as mock:
        up = {
            "base_url": {"ollama": mock.url.removesuffix("/v1")},
            "accounts": [{"name": "a", "key": "key-of-test-a1"}],
        }
        with (
            gateway_for(table({"p": up}, {"e": "p/e"})) as gateway,
            openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0) as client,
            pytest.raises(openai.InternalServerError),
        ):
            client.embeddings.create(model="e", input=["a", "b"])


def test_pass_through_moves_bytes_untouched_with_the_accounts_key() -> None:
    body = b'{ "purpose":"x",\n "n": 1.10, "u":"\\u00e9" }'
    answer = b'{ "id" : "file-1",  "x":1.0 }'
    with mock_upstream(lambda _: Reply.json(answer, headers=[("set-cookie", "a=b")]), is_strict=False) as mock:
        with gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
            sent = raw.exchange(
                gateway.port,
                "POST",
                "/providers/p/v1/files?limit=2&key=callers",
                body,
                {"authorization": "Bearer callers", "content-type": "application/json"},
            )
        assert sent.status == 200
        assert sent.body == answer
        assert sent.header("set-cookie") is None
        received = mock.received[0]
        assert received.target == "/v1/files?limit=2"
        assert received.body == body
        assert "callers" not in str(received.headers)


@pytest.mark.parametrize("path", ["/providers/p/../x", "/providers/p/%2e%2e/x", "/providers/nobody/v1/files"])
def test_pass_through_goes_nowhere_else(path: str) -> None:
    with mock_upstream(is_strict=False) as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        assert raw.exchange(gateway.port, "POST", path, b"{}", JSON).status in (400, 404)
        assert mock.received == []


def test_pass_through_shows_a_refusal_without_the_key() -> None:
    """Whatever the key looks like: this one is like no provider's."""
    key = "plain-words-key"

    def refuse(received: Received) -> Reply:
        return Reply.json({"error": {"message": f"no such file for {received.key}"}}, 404)

    with mock_upstream(refuse, is_strict=False) as mock:
        up = {**provider(mock.url, "chat"), "accounts": [{"name": "a", "key": key}]}
        with gateway_for(table({"p": up})) as gateway:
            answer = raw.exchange(gateway.port, "POST", "/providers/p/v1/files", b"{}", JSON)
    assert answer.status == 404
    assert b"no such file" in answer.body
    assert mock.received[0].key == key
    assert key.encode() not in answer.body


@pytest.mark.parametrize("stream", [False, True])
def test_completions_are_relayed(stream: bool) -> None:
    chunk = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
             "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}]}  # fmt: skip
    reply = Reply.sse(sse(chunk, done=True)) if stream else Reply.json(chunk)
    with (
        mock_upstream(lambda _: reply, is_strict=False) as mock,
        gateway_for(table({"p": provider(mock.url, "chat")}, {"alias": "p/m"})) as gateway,
        openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0) as client,
    ):
        answer: Any = client.completions.create(model="alias", prompt="def f(", suffix="return", stream=stream)
        texts = [one.choices[0].text for one in answer] if stream else [answer.choices[0].text]
        assert texts == ["Hi"]
        assert mock.received[0].target == "/v1/completions"
        assert mock.received[0].json["model"] == "m"
        assert mock.received[0].json["suffix"] == "return"


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/openai/v1/responses"])
def test_R150_a_websocket_is_refused_so_that_clients_fall_back_at_once(path: str) -> None:
    with mock_upstream() as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        refused = raw.exchange(gateway.port, "GET", path, headers=upgrade)
        assert refused.status == 426
        assert refused.header("connection") == "close"
        assert "POST" in refused.json["error"]["message"]
        plain = raw.exchange(gateway.port, "GET", path)
        assert plain.status == 405
        assert plain.header("allow") == "POST"


TOOL: Any = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}


@pytest.mark.parametrize("stream", [False, True])
def test_prompted_tools_give_a_model_without_tools_its_calls(stream: bool) -> None:
    said = 'Let me see. <tool_call>{"name": "look", "arguments": {"at": "it"}}</tool_call>'
    pieces = [said[at : at + 3] for at in range(0, len(said), 3)]
    events = [{"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
               "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]  # fmt: skip
    last: dict[str, Any] = {**events[0], "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    reply = Reply.sse(sse(*events, last, done=True)) if stream else Reply.json(chat_whole(said))
    models = {"m": {"targets": ["p/plain"], "tools": "prompted"}}
    with (
        mock_upstream(lambda _: reply) as mock,
        gateway_for(table({"p": provider(mock.url, "chat")}, models)) as gateway,
        openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0) as client,
    ):
        history: list[Any] = [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",
                                                  "function": {"name": "look", "arguments": '{"at":"this"}'}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "nothing"},
            {"role": "user", "content": "Look there."},
        ]  # fmt: skip
        if stream:
            with client.chat.completions.stream(model="m", messages=history, tools=[TOOL]) as streamed:
                choice = streamed.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(model="m", messages=history, tools=[TOOL]).choices[0]  # type: ignore[assignment]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Let me see. "
        assert choice.message.tool_calls is not None
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"at": "it"}
        sent = mock.received[0].json
        assert "tools" not in sent
        assert "Looks." in json.dumps(sent["messages"][0])
        assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
        assert "nothing" in json.dumps(sent["messages"][-1])
        assert "Look there." in json.dumps(sent["messages"][-1])


def test_thoughts_that_a_client_cannot_carry_come_back_to_their_maker() -> None:
    """An Ollama client has no place for a signature; the next turn's request holds it all the same, for this caller."""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}
    first = {**messages_whole(), "content": [thinking, call], "stop_reason": "tool_use"}
    with mock_upstream() as mock:
        mock.then(Reply.json(first), Reply.json(messages_whole()))
        with (
            gateway_for(table({"p": provider(mock.url, "messages")}, {"c": "p/claude-opus-4-5"})) as gateway,
            ollama.Client(host=gateway.url) as client,
        ):
            history: list[Any] = [{"role": "user", "content": "Look."}]
            answer = client.chat("c", messages=history, tools=[TOOL], think=True)
            assert answer.message.tool_calls
            bare = {
                "role": "assistant",
                "content": "",
                "tool_calls": [one.model_dump() for one in answer.message.tool_calls],
            }
            history += [bare, {"role": "tool", "content": "nothing", "tool_name": "look"}]
            client.chat("c", messages=history, tools=[TOOL], think=True)
        turns = mock.received[1].json["messages"]
        assert turns[1]["content"][0] == thinking
        assert turns[1]["content"][1]["type"] == "tool_use"


@pytest.mark.parametrize("client", ["messages", "mistral", "ollama"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_proof_on_a_call_comes_back_to_gemini_through_any_client(client: str, stream: bool) -> None:
    """None of these protocols has a place for it beside a call. It is no loss either: the next turn holds it."""
    part = {"functionCall": {"name": "look", "args": {"at": "it"}}, "thoughtSignature": "c2lnbmF0dXJl"}
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    first = {
        "candidates": [candidate], "responseId": "r1", "modelVersion": "up",
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8},
    }  # fmt: skip
    paths = {"messages": "/v1/messages", "mistral": "/mistral/v1/chat/completions", "ollama": "/api/chat"}
    tool: dict[str, Any] = TOOL
    if client == "messages":
        tool = {"name": "look", "input_schema": TOOL["function"]["parameters"]}  # type: ignore[index]
    body = {"model": "g", "max_tokens": 99, "tools": [tool], "stream": stream}
    if client == "ollama":
        del body["max_tokens"]
    user: dict[str, Any] = {"role": "user", "content": "Look."}
    with (
        mock_upstream() as mock,
        gateway_for(table({"p": provider(mock.url_of("gemini"), "gemini")}, {"g": "p/gemini-3-pro"})) as gateway,
    ):
        mock.then(Reply.sse(sse(first)) if stream else Reply.json(first), Reply.json(first))

        def ask(messages: list[Any], **more: Any) -> raw.Answer:
            asked = json.dumps({**body, "messages": messages, **more}).encode()
            headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
            return raw.exchange(gateway.port, "POST", paths[client], asked, headers)

        answer = ask([user])
        assert answer.status == 200 and "x-ds2api-warning" not in answer.text
        id_ = next(iter(re.findall(r'"id": ?"((?:call|toolu)_?\w+|[A-Za-z0-9]{9})"', answer.text)))
        call: dict[str, Any] = {"id": id_, "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}
        result: dict[str, Any] = {"role": "tool", "tool_call_id": id_, "name": "look", "content": "nothing"}
        if client == "ollama":
            call = {"function": {"name": "look", "arguments": {"at": "it"}}}
            result = {"role": "tool", "tool_name": "look", "content": "nothing"}
        turn: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [call]}
        if client == "messages":
            turn["content"] = [{"type": "tool_use", "id": id_, "name": "look", "input": {"at": "it"}}]
            del turn["tool_calls"]
            result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id_, "content": "nothing"}]}
        assert ask([user, turn, result], stream=False).status == 200
        sent = mock.received[1].json["contents"][1]["parts"]
    assert [one["thoughtSignature"] for one in sent if "functionCall" in one] == ["c2lnbmF0dXJl"]


def test_curl_without_a_content_type_is_taken_but_no_other_site_is() -> None:
    body = b'{"model":"m","stream":false,"messages":[{"role":"user","content":"x"}]}'
    form = {"content-type": "application/x-www-form-urlencoded"}
    with (
        mock_upstream(lambda _: Reply.json(chat_whole())) as mock,
        gateway_for(table({"p": provider(mock.url, "chat")}, {"m": "p/m"})) as gateway,
    ):
        assert raw.exchange(gateway.port, "POST", "/api/chat", body, form).status == 200
        foreign = {**form, "origin": "https://elsewhere.example"}
        assert raw.exchange(gateway.port, "POST", "/api/chat", body, foreign).status == 403
        foreign["origin"] = "http://localhost:3000"
        assert raw.exchange(gateway.port, "POST", "/api/chat", body, foreign).status == 415
