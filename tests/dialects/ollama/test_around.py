"""What stands around requests and answers: peeking, relaying, errors, lists, embeddings."""

from __future__ import annotations

import json
from typing import Any

import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.ollama.samples import PNG, REQUESTS, TARGET, asker
from tests.dialects.ollama.sdk import answered, sent
from tests.dialects.ollama.strict import check

from ds2api import jsons
from ds2api.dialects.chat import DIALECT as CHAT
from ds2api.dialects.contract import ModelInfo, Target
from ds2api.dialects.ollama import DIALECT
from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.parts import Extra
from ds2api.universal.usage import Usage

EMBEDDER = DIALECT.embedder
assert EMBEDDER is not None


# --- peek and relay ---


def test_peek_tells_what_routing_needs() -> None:
    seen = DIALECT.peek(REQUESTS["options"][1], "/api/chat")
    assert (seen.model, seen.stream, seen.output_limit, seen.form) == ("m", False, None, "")
    assert seen.wants_usage
    assert seen.local_answer is None
    assert seen.text_bytes == len("Be briefHello") + len(jsons.dump(REQUESTS["options"][1]["format"]))
    path, body = REQUESTS["generate"]
    seen = DIALECT.peek(body, path)
    assert (seen.form, seen.stream, seen.media_count) == ("generate", True, 1)
    assert DIALECT.peek(REQUESTS["fill"][1], "/api/generate").output_limit == 9


def test_affinity_is_that_of_the_conversations_beginning() -> None:
    first = REQUESTS["tools"][1]
    opening = {**first, "messages": first["messages"][:1]}
    assert DIALECT.peek(first, "/api/chat").affinity == DIALECT.peek(opening, "/api/chat").affinity
    other = {**first, "messages": [{"role": "user", "content": "Else"}]}
    assert DIALECT.peek(other, "/api/chat").affinity != DIALECT.peek(first, "/api/chat").affinity
    assert DIALECT.peek({"model": "m", "messages": [{"role": "system", "content": "x"}]}, "/api/chat").affinity is None


@pytest.mark.parametrize(
    ("keep_alive", "reason"),
    [(None, "load"), ("5m", "load"), (-1, "load"), (0, "unload"), ("0", "unload"), ("0s", "unload"), ("0.5s", "load")],
)
def test_a_request_without_a_prompt_loads_and_is_answered_here(keep_alive: Any, reason: str) -> None:
    body = {"model": "m", "messages": [], "keep_alive": keep_alive}
    answer = DIALECT.peek(body, "/api/chat").local_answer
    assert answer is not None
    chat = answered(200, answer).chat("m")
    assert (chat.done, chat.done_reason, chat.message.content) == (True, reason, "")
    answer = DIALECT.peek({"model": "m", "keep_alive": keep_alive}, "/api/generate").local_answer
    assert answer is not None
    (generated,) = answered(200, answer).generate("m", stream=True)
    assert (generated.done_reason, generated.response) == (reason, "")


@pytest.mark.parametrize(
    ("body", "path"),
    [({}, "model"), ({"model": ""}, "model"), ({"model": "m", "stream": 1}, "stream"), ({"model": "m", "messages": 1}, "messages"),
     ({"model": "m", "messages": ["x"]}, "messages[0]"), ({"model": "m", "options": []}, "options")],
)  # fmt: skip
def test_peek_names_a_wrong_type(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.peek(body, "/api/chat")
    assert raised.value.error.param == path


def test_relaying_changes_the_model_and_nothing_else() -> None:
    raw = b'{ "messages" : [{"role":"user","content":"\\"model\\": 1"}], "model" : "fast", "options":{"seed":1E2}}'
    written = DIALECT.rewrite(raw, jsons.parse_object(raw), "qwen3:8b", ask_usage=True)
    assert written == raw.replace(b'"fast"', b'"qwen3:8b"')
    assert DIALECT.rewrite(raw, jsons.parse_object(raw), "fast", ask_usage=False) is raw
    assert DIALECT.relay_path("/api/generate?x=1", "m") == "/generate"
    assert DIALECT.relay_path("/api/chat", "m") == "/chat"
    assert DIALECT.relay_headers({"authorization": "Bearer x"}, TARGET) == []


# --- errors ---


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fault", list(Fault))
def test_r171_every_error_reaches_the_sdk(kind: Kind, fault: Fault) -> None:
    written = DIALECT.write_error(Error(fault, kind, "what went wrong", "messages[0]", 7.2), "req_1")
    assert ("retry-after", "8") in written.headers
    with pytest.raises(ollama.ResponseError) as raised:
        answered(written.status, written.body).chat("m")
    assert "what went wrong" in raised.value.error
    assert raised.value.status_code == written.status
    assert (written.status == 502) >= (fault is Fault.ACCOUNT and kind is Kind.UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("status", "body", "fault", "kind"),
    [
        (404, {"error": "model 'x' not found"}, Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (404, {"error": 'model "x" not found, try pulling it first'}, Fault.REQUEST, Kind.MODEL_NOT_FOUND),
        (404, "<html>404 page not found</html>", Fault.PROVIDER, Kind.NOT_FOUND),
        (401, {"error": "unauthorized", "signin_url": "https://ollama.com/x"}, Fault.ACCOUNT, Kind.UNAUTHENTICATED),
        (403, {"error": "this model requires a subscription"}, Fault.ACCOUNT, Kind.FORBIDDEN),
        (429, {"error": "too many requests"}, Fault.ACCOUNT, Kind.RATE_LIMITED),
        (
            503,
            {"error": "server busy, please try again.  maximum pending requests exceeded"},
            Fault.PROVIDER,
            Kind.OVERLOADED,
        ),
        (500, {"error": "llama runner process has terminated"}, Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (502, {"error": "bad gateway"}, Fault.PROVIDER, Kind.UPSTREAM_FAILED),
        (400, {"error": '"m" does not support tools'}, Fault.REQUEST, Kind.UNSUPPORTED),
        (400, {"error": "the input length exceeds the context length"}, Fault.REQUEST, Kind.CONTEXT_TOO_LONG),
        (400, {"error": "invalid options"}, Fault.REQUEST, Kind.BAD_REQUEST),
        (418, {"error": {"message": "teapot"}}, Fault.REQUEST, Kind.BAD_REQUEST),
    ],
)
def test_errors_are_read(status: int, body: Any, fault: Fault, kind: Kind) -> None:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = DIALECT.read_error(status, {"Retry-After": "3"}, raw)
    assert (error.fault, error.kind, error.status, error.retry_after_s) == (fault, kind, status, 3)


@given(st.integers(300, 599), st.binary(max_size=60), st.text(max_size=20))
def test_reading_an_error_never_fails(status: int, body: bytes, after: str) -> None:
    assert DIALECT.read_error(status, {"retry-after": after}, body).message


def test_a_date_is_held_against_the_answers_own() -> None:
    headers = {"retry-after": "Tue, 24 Nov 2026 10:01:00 GMT", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}
    assert DIALECT.read_error(429, headers, b"").retry_after_s == 60
    assert DIALECT.read_error(429, {"retry-after": "soon"}, b"").retry_after_s is None


def test_r168_a_missing_model_says_so_in_ollamas_words() -> None:
    said = "The model 'x' is not known to this gateway. Did you mean 'y'?"
    written = DIALECT.write_error(Error(Fault.REQUEST, Kind.MODEL_NOT_FOUND, said, "model"), "r")
    assert written.status == 404
    assert json.loads(written.body)["error"].startswith("model 'x' not found")
    assert "'y'" in json.loads(written.body)["error"]


def test_r156_and_r153_a_servers_words_are_masked_or_left_out() -> None:
    secret = "Incorrect API key provided: sk-abcd1234. org-77 at http://10.0.0.5:8000"
    for status in (400, 401, 429, 500, 503):
        error = DIALECT.read_error(status, {}, json.dumps({"error": secret}).encode())
        text = DIALECT.write_error(error, "r").body.decode()
        assert not any(word in text for word in ("abcd1234", "org-77", "10.0.0.5"))


# --- lists ---

MODELS = [ModelInfo("fast", "openai", 1_700_000_000), ModelInfo("qwen3:8b", "home", 0, "Qwen 3", 40_960, ("tools",))]


def test_r173_editors_find_what_they_look_for() -> None:
    listed = answered(200, DIALECT.write_models(MODELS, {}, "/api/tags")).list()
    assert [model.model for model in listed.models] == ["fast", "qwen3:8b"]
    entry = json.loads(DIALECT.write_models(MODELS, {}, "/api/tags"))["models"][0]
    assert entry.keys() == {"name", "model", "modified_at", "size", "digest", "details"}
    assert entry["modified_at"] == "2023-11-14T22:13:20Z"
    assert len(entry["digest"]) == 64
    running = answered(200, DIALECT.write_models(MODELS, {}, "/api/ps")).ps()
    assert [(model.name, model.size_vram, model.context_length) for model in running.models] == [
        ("fast", 0, 131_072),
        ("qwen3:8b", 0, 40_960),
    ]
    shown = answered(200, DIALECT.write_model(MODELS[0])).show("fast")
    assert shown.capabilities == ["completion", "tools", "vision", "thinking"]
    assert shown.modelinfo is not None
    assert shown.modelinfo[f"{shown.modelinfo['general.architecture']}.context_length"] == 131_072
    assert answered(200, DIALECT.write_model(MODELS[1])).show("q").capabilities == ["completion", "tools"]
    version = json.loads(DIALECT.write_note("/api/version"))["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4)
    with pytest.raises(Problem):
        DIALECT.write_note("/api/else")


def test_its_paths_are_routes() -> None:
    routes = {(route.method, route.path): route.operation for route in DIALECT.routes}
    for ask, answer in (
        (lambda sdk: sdk.chat("m", [{"role": "user", "content": "x"}]), {"message": {"role": "a"}}),
        (lambda sdk: sdk.generate("m", "x"), {}),
        (lambda sdk: sdk.embed("m", "x"), {"embeddings": []}),
        (lambda sdk: sdk.embeddings("m", "x"), {"embedding": []}),
        (lambda sdk: sdk.show("m"), {"model_info": {}}),
    ):
        path, _, _ = sent(ask, answer)
        assert ("POST", path) in routes
    assert routes["GET", "/api/version"] == "note"
    assert DIALECT.token_counter is None


# --- embeddings ---


def test_embeddings_of_the_sdk_go_there_and_back() -> None:
    answer = {"model": "q", "embeddings": [[0.5, -1.0], [1.0, 0.0]], "total_duration": 5, "prompt_eval_count": 4}
    path, _, body = sent(lambda sdk: sdk.embed("m", ["a", "b"], truncate=True, dimensions=2), answer)
    seen = EMBEDDER.peek(body, path)
    assert (seen.model, seen.text_bytes, seen.form) == ("m", 2, "")
    request = EMBEDDER.read_request(body, path)
    assert (request.inputs, request.dimensions, request.truncate, request.single) == (["a", "b"], 2, True, False)
    outgoing = EMBEDDER.write_request(request, TARGET)
    assert outgoing.path == "/embed"
    assert json.loads(outgoing.body) == {"model": "qwen3:8b", "input": ["a", "b"], "truncate": True, "dimensions": 2}
    assert check(json.loads(outgoing.body), "/api/embed") == []
    embeddings = EMBEDDER.read_response(answer)
    assert embeddings.vectors == answer["embeddings"]
    assert embeddings.usage is not None
    assert (embeddings.usage.input_total, embeddings.usage.output_total) == (4, None)
    back = answered(200, EMBEDDER.write_response(embeddings, request, asker())).embed("m", ["a", "b"])
    assert back.embeddings == answer["embeddings"]
    assert (back.prompt_eval_count, back.total_duration) == (4, 5)


def test_the_old_path_has_one_prompt_and_one_vector() -> None:
    path, _, body = sent(lambda sdk: sdk.embeddings("m", "a", options={"num_ctx": 1}, keep_alive=0), {"embedding": []})
    assert path == "/api/embeddings"
    assert EMBEDDER.peek(body, path).form == "single"
    assert EMBEDDER.relay_path(path, "m") == "/embeddings"
    request = EMBEDDER.read_request(body, path)
    assert request.single
    assert json.loads(EMBEDDER.write_request(request, TARGET).body) == {
        "model": "qwen3:8b", "input": "a", "options": {"num_ctx": 1}, "keep_alive": 0,
    }  # fmt: skip
    embeddings = EMBEDDER.read_response({"embedding": [0.5]})
    written = EMBEDDER.write_response(embeddings, request, asker(form="single"))
    assert answered(200, written).embeddings("m", "a").embedding == [0.5]


def test_nothing_to_embed_is_answered_here() -> None:
    for body, path, answer in (
        ({"model": "m", "input": []}, "/api/embed", {"model": "m", "embeddings": []}),
        ({"model": "m", "input": ""}, "/api/embed", {"model": "m", "embeddings": []}),
        ({"model": "m"}, "/api/embeddings", {"embedding": []}),
    ):
        assert json.loads(EMBEDDER.peek(body, path).local_answer or b"") == answer


def test_embeddings_of_others() -> None:
    usage = Usage(input_uncached=3)
    request = EmbeddingRequest(
        "chat", "m", ["a"], single=True, encoding="base64", user="u", extra=Extra("chat", {"x": 1})
    )
    outgoing = EMBEDDER.write_request(request, TARGET)
    assert json.loads(outgoing.body) == {"model": "qwen3:8b", "input": "a"}
    assert [loss.path for loss in outgoing.losses] == ["user", "x"]
    with pytest.raises(Problem):
        EMBEDDER.write_request(EmbeddingRequest("chat", "m", [[1, 2]]), TARGET)
    own = EMBEDDER.read_request({"model": "m", "input": "a", "keep_alive": 1, "options": {"num_ctx": 1}}, "/api/embed")
    assert CHAT.embedder is not None
    assert CHAT.embedder.write_request(own, Target("p", "e")).losses == []
    written = EMBEDDER.write_response(Embeddings([[1.0]], "e", usage), own, asker())
    assert json.loads(written) == {
        "model": "alias", "embeddings": [[1.0]], "total_duration": 0, "load_duration": 0, "prompt_eval_count": 3,
    }  # fmt: skip


@pytest.mark.parametrize("body", [{}, {"embeddings": 1}, {"embeddings": [1]}, {"error": "boom"}])
def test_what_is_no_answer_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        EMBEDDER.read_response(body)


@pytest.mark.parametrize(
    ("body", "path"), [({"model": "m", "input": 1}, "input"), ({"model": "m", "input": ["a", 1]}, "input[1]")]
)
def test_wrong_inputs_are_named(body: dict[str, Any], path: str) -> None:
    for door in (EMBEDDER.peek, EMBEDDER.read_request):
        with pytest.raises(Problem) as raised:
            door(body, "/api/embed")
        assert raised.value.error.param == path


def test_an_image_in_the_opening_is_part_of_the_affinity() -> None:
    def affinity(data: str) -> str | None:
        return DIALECT.peek(
            {"model": "m", "messages": [{"role": "user", "content": "x", "images": [data]}]}, "/api/chat"
        ).affinity

    assert affinity(PNG) != affinity(PNG[:-4] + "AAAA"), "within the first bytes or by length"
