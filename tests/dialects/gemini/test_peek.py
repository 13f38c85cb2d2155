"""Routing: the place, the peek, and what relaying may change. Then the small doors: models, token counts, embeddings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dialects.gemini.recordings import PATH, STREAM_PATH, asker
from tests.dialects.gemini.sdk import client

from ds2api.dialects.contract import ModelInfo, Peek, Target
from ds2api.dialects.gemini import DIALECT
from ds2api.dialects.gemini.place import place_of, read_place
from ds2api.dialects.gemini.proofs import for_client
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.parts import Extra, Sealed


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": one} if isinstance(one, str) else one for one in parts]}


def peek(*contents: Any, path: str = PATH, **fields: Any) -> Peek:
    return DIALECT.peek({"contents": list(contents), **fields}, path)


@pytest.mark.parametrize(
    ("target", "model", "verb", "is_array"),
    [
        ("/v1beta/models/gemini-x:generateContent", "gemini-x", "generateContent", False),
        ("/v1/models/models/gemini-x:generateContent?key=k", "gemini-x", "generateContent", False),
        ("/models/m:latest:streamGenerateContent?alt=sse", "m:latest", "streamGenerateContent", False),
        ("/v1beta/models/openai/gpt-4:streamGenerateContent?key=k", "openai/gpt-4", "streamGenerateContent", True),
        ("/v1beta/models/openai%2Fgpt-4%3AgenerateContent", "openai/gpt-4", "generateContent", False),
        ("/v1alpha/tunedModels/mine:generateContent", "tunedModels/mine", "generateContent", False),
        ("/v1beta/models/m:streamGenerateContent?alt=json", "m", "streamGenerateContent", True),
    ],
)
def test_the_place_says_model_and_form(target: str, model: str, verb: str, is_array: bool) -> None:
    place = read_place(target)
    assert (place.model, place.verb, place.is_array) == (model, verb, is_array)
    again = read_place(place_of(model, verb))
    assert (again.model, again.verb) == (model, verb), "and what is written is read again"


def test_r146_model_and_form_come_from_the_place_alone() -> None:
    body = {"contents": [user("a")], "model": "other", "stream": False}
    seen = DIALECT.peek(body, STREAM_PATH)
    assert (seen.model, seen.stream, seen.form, seen.can_relay) == ("gemini-2.5-flash", True, "", True)
    request = DIALECT.read_request(body, {}, STREAM_PATH)
    assert (request.model, request.stream, request.extra) == ("gemini-2.5-flash", True, None)
    array = DIALECT.peek(body, STREAM_PATH.replace("?alt=sse", ""))
    assert (array.stream, array.form, array.can_relay) == (True, "array", False)


def test_everything_that_routing_asks_for_is_seen() -> None:
    seen = peek(
        user("héllo", {"inline_data": {"data": "QUJD", "mime_type": "image/png"}}), systemInstruction={"parts": {"text": "abc"}},
        generationConfig={"maxOutputTokens": 9, "candidateCount": 2},
    )  # fmt: skip
    assert (seen.text_bytes, seen.media_count, seen.output_limit, seen.choices, seen.wants_usage) == (9, 1, 9, 2, True)
    assert peek(user("a"), tools=[{"googleSearch": {}}]).text_bytes > 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"), ({"contents": {}}, "contents"), ({"contents": [3]}, "contents[0]"), ({"contents": [], "generationConfig": 3}, "generationConfig"),
        ({"contents": [], "generationConfig": {"maxOutputTokens": "9"}}, "generationConfig.maxOutputTokens"),
    ],
)  # fmt: skip
def test_wrong_type_of_what_is_read_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.peek(body, PATH)
    assert raised.value.error.param == param


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1beta/models/:generateContent", "/v1beta/models/x"])
def test_a_place_without_a_model_is_refused(path: str) -> None:
    with pytest.raises(Problem):
        peek(user("a"), path=path)


def test_r122_the_turns_of_one_conversation_have_one_affinity_and_others_another() -> None:
    system = {"systemInstruction": {"parts": [{"text": "You help."}]}}
    first = peek(user("a"), **system).affinity
    later = peek(user("a"), {"role": "model", "parts": [{"text": "b"}]}, user("c"), **system).affinity
    assert first is not None and first == later
    assert len({first, peek(user("x"), **system).affinity, peek(user("a")).affinity}) == 3
    pictures = [peek(user({"inlineData": {"data": data}})).affinity for data in ("QUJD", "QUJE")]
    assert pictures[0] != pictures[1]


def test_every_envelope_is_a_pin_in_either_dress() -> None:
    envelope = Sealer(b"s" * 32).seal(Sealed("anthropic_signature", "S"), "p", "m", "a")
    dressed = for_client(Sealed("gemini_signature", envelope), asker())
    parts = [
        {"text": "a", "thoughtSignature": envelope},
        {"text": "b", "thought_signature": dressed},
        {"text": "c", "thoughtSignature": "QUJD"},
    ]
    assert peek(user("a"), {"role": "model", "parts": parts}).pins == (envelope,)
    assert peek(user("a"), {"role": "model", "parts": [{"text": "c", "thoughtSignature": "ZHMyLjEu!"}]}).pins == ()


def test_relaying_changes_the_place_and_not_a_byte_of_the_body() -> None:
    raw = b'{ "contents" : [],"x":1.10}'
    assert DIALECT.rewrite(raw, json.loads(raw), "other", ask_usage=True) is raw
    assert (
        DIALECT.relay_path("/v1/models/alias:streamGenerateContent?key=k&alt=sse&x=1", "g/m:1")
        == "/models/g%2Fm%3A1:streamGenerateContent?alt=sse&x=1"
    )
    assert DIALECT.relay_path("/v1beta/models/a:generateContent?key=secret", "models/b") == "/models/b:generateContent"
    assert DIALECT.relay_path("/v1beta/models/a:generateContent", "tunedModels/b") == "/tunedModels/b:generateContent"
    counter = DIALECT.token_counter
    assert (
        counter is not None and counter.relay_path("/v1beta/models/a:countTokens?key=k", "b") == "/models/b:countTokens"
    )


def test_its_clients_are_recognised_and_others_are_not() -> None:
    claims = DIALECT.claims
    assert (
        claims({"x-goog-api-key": "k"}, "")
        and claims({}, "pageSize=1&key=k")
        and claims({"user-agent": "google-genai-sdk/3.6"}, "")
    )
    assert not claims({"authorization": "Bearer x", "user-agent": "OpenAI/Python"}, "keyword=1")


def test_every_verb_is_routed_on_every_version() -> None:
    routes = {(one.method, one.path): one.operation for one in DIALECT.routes}
    for version in ("v1", "v1beta", "v1alpha"):
        assert routes["POST", f"/{version}/models/{{model}}:streamGenerateContent"] == "generate"
        assert routes["POST", f"/{version}/tunedModels/{{model}}:generateContent"] == "generate"
        assert routes["POST", f"/{version}/models/{{model}}:countTokens"] == "count_tokens"
        assert routes["POST", f"/{version}/models/{{model}}:batchEmbedContents"] == "embed"
        assert routes["GET", f"/{version}/models"] == "models"
    with pytest.raises(Problem):
        DIALECT.write_note("/v1beta/x")


def test_model_lists_have_pages_that_the_sdk_reads() -> None:
    models = [ModelInfo(f"m{number}", "google", context_tokens=9, abilities=("thinking",)) for number in range(5)] + [
        ModelInfo("text-embedding", "g")
    ]
    page = json.loads(DIALECT.write_models(models, {"pageSize": "2", "pageToken": "2"}, ""))
    assert [one["name"] for one in page["models"]] == ["models/m2", "models/m3"] and page["nextPageToken"] == "4"
    last = json.loads(DIALECT.write_models(models, {}, ""))
    assert "nextPageToken" not in last and last["models"][-1]["supportedGenerationMethods"] == [
        "embedContent",
        "batchEmbedContents",
    ]
    listed = list(client(200, "application/json", DIALECT.write_models(models, {}, "")).models.list())
    assert (listed[0].name, listed[0].input_token_limit, listed[0].thinking) == ("models/m0", 9, True)
    assert "generateContent" in (listed[0].supported_actions or [])
    one = client(200, "application/json", DIALECT.write_model(models[0])).models.get(model="m0")
    assert one.name == "models/m0"
    for query in ({"pageSize": "-1"}, {"pageToken": "x"}):
        with pytest.raises(Problem):
            DIALECT.write_models(models, query, "")


def test_a_token_count_is_asked_with_everything_and_read_by_the_sdk() -> None:
    counter = DIALECT.token_counter
    assert counter is not None
    request = DIALECTS["chat"].read_request(
        {"model": "x", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}, {}, ""
    )
    question = counter.write_question(request, Target("p", "gemini-x"))
    body = json.loads(question.body)["generateContentRequest"]
    assert question.path == "/models/gemini-x:countTokens"
    assert body["model"] == "models/gemini-x" and body["systemInstruction"]["parts"] == [{"text": "s"}]
    again = DIALECT.read_request(json.loads(question.body), {}, "/v1beta/models/gemini-x:countTokens")
    assert [turn.role for turn in again.turns] == ["system", "user"]
    assert DIALECT.peek(json.loads(question.body), "/v1beta/models/gemini-x:countTokens").text_bytes == 2
    assert (
        client(200, "application/json", counter.write_count(7))
        .models.count_tokens(model="m", contents="x")
        .total_tokens
        == 7
    )
    for bad in ({}, {"totalTokens": True}, {"totalTokens": "7"}):
        with pytest.raises(Problem):
            counter.read_count(bad)


BATCH = "/v1beta/models/e:batchEmbedContents"


def test_embeddings_are_read_in_both_forms_and_answered_in_the_same() -> None:
    embedder = DIALECT.embedder
    assert embedder is not None
    single = embedder.read_request(
        {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "output_dimensionality": 8},
        "/v1beta/models/e:embedContent",
    )
    assert (single.inputs, single.single, single.task, single.dimensions) == (["a"], True, "RETRIEVAL_QUERY", 8)
    entries = [{"model": "models/e", "content": {"parts": [{"text": text}]}} for text in ("é", "b")]
    many = embedder.read_request({"requests": entries}, BATCH)
    assert (many.inputs, many.single) == (["é", "b"], False)
    assert embedder.peek({"requests": entries}, BATCH).text_bytes == 3
    answer = Embeddings([[1.0, 2.0]])
    assert json.loads(embedder.write_response(answer, single, asker())) == {"embedding": {"values": [1.0, 2.0]}}
    assert embedder.read_response(json.loads(embedder.write_response(answer, single, asker()))).vectors == [[1.0, 2.0]]
    body = embedder.write_response(answer, many, asker())
    assert client(200, "application/json", body).models.embed_content(model="e", contents=["a"]).embeddings[
        0
    ].values == [1.0, 2.0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "requests"), ({"requests": []}, "requests"), ({"requests": [{"content": {"parts": [{"text": 1}]}}]}, "requests[0].content.parts[0].text"),
        ({"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}, "title": "t"}]}, "requests[1]"),
    ],
)  # fmt: skip
def test_a_wrong_embedding_request_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    assert DIALECT.embedder is not None
    with pytest.raises(Problem) as raised:
        DIALECT.embedder.read_request(body, BATCH)
    assert raised.value.error.param == param


def test_embeddings_of_others_are_written_and_what_is_lost_is_said() -> None:
    embedder = DIALECT.embedder
    assert embedder is not None
    request = EmbeddingRequest(
        "chat", "x", ["a", "b"], dimensions=4, user="u", paths={"inputs": "input"}, extra=Extra("chat", {"odd": 1})
    )
    outgoing = embedder.write_request(request, Target("p", "gemini-embedding-001"))
    assert outgoing.path == "/models/gemini-embedding-001:batchEmbedContents"
    assert json.loads(outgoing.body)["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 4,
    }
    assert [loss.path for loss in outgoing.losses] == ["user", "odd"]
    with pytest.raises(Problem) as raised:
        embedder.write_request(EmbeddingRequest("chat", "x", [[1, 2]], paths={"inputs": "input"}), Target("p", "e"))
    assert raised.value.error.param == "input[0]"
    for bad in ({}, {"embeddings": [{}]}, {"embeddings": []}):
        with pytest.raises(Problem):
            embedder.read_response(bad)
    with pytest.raises(Problem) as told:
        embedder.read_response({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}})
    assert told.value.error == Error(Fault.PROVIDER, Kind.OVERLOADED, "m", status=503, type="UNAVAILABLE")


def test_relayed_embeddings_change_each_model_and_no_other_byte() -> None:
    embedder = DIALECT.embedder
    assert embedder is not None
    raw = b'{"requests":[{"model": "models/a","content":{"parts":[{"text":"}\\"{ model"}]},"x":[{"model":"in"}]} , {"content":{}}]}'
    given = json.loads(raw)
    rewritten = embedder.rewrite(raw, given, BATCH, "b")
    assert rewritten == raw.replace(b'"models/a"', b'"models/b"').replace(
        b'"content":{}}', b'"content":{},"model":"models/b"}'
    )
    single = b'{"model":"models/a", "content":{}}'
    assert (
        embedder.rewrite(single, json.loads(single), "/v1beta/models/a:embedContent", "b")
        == b'{"model":"models/b", "content":{}}'
    )
    assert embedder.relay_path("/v1/models/a:embedContent?key=k", "b") == "/models/b:embedContent"
