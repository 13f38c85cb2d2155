"""The dialect `mistral`: recorded traffic, what its SDK makes of what is written, and reported failures of others."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistralai.client.errors import HTTPValidationError
from mistralai.client.models import ModelList
from tests.dialects.chat.recordings import REQUESTS as CHAT_REQUESTS
from tests.dialects.chat.recordings import Recording, asker, sse
from tests.dialects.messages.recordings import REQUESTS as MESSAGES_REQUESTS
from tests.dialects.mistral.recordings import REQUESTS, RESPONSES, STREAMS
from tests.dialects.mistral.sdk import answered, chunks_of, completion_of, error_of
from tests.dialects.mistral.strict import check

from ds2api.dialects.contract import ModelInfo, Target
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.parts import Call, File, Image, Opaque, Part, Reasoning, Result, Sealed, Text
from ds2api.universal.request import Request, Turn
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.usage import Usage

DIALECT = DIALECTS["mistral"]
SEALER = Sealer(b"s" * 32)
TARGET = Target("mistral", "mistral-large-latest", sealer=SEALER)
USER = {"role": "user", "content": "hi"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def each(recordings: list[Recording]) -> Any:
    return pytest.mark.parametrize("recording", recordings, ids=lambda one: one.name)


def read(*messages: dict[str, Any], **fields: Any) -> Request:
    return DIALECT.read_request({"model": "m", "messages": list(messages), **fields}, {}, "/v1/chat/completions")


def written(request: Request, target: Target = TARGET) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(DIALECT.write_request(request, target).body)
    return body


def decoded(*pieces: bytes) -> list[ev.Event]:
    decoder = DIALECT.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


# --- recorded ---


@each(REQUESTS)
def test_a_recorded_request_goes_back_as_it_came(recording: Recording) -> None:
    body = {name: value for name, value in recording.request.items() if value is not None}
    assert check(body) == []
    request = DIALECT.read_request(body, {}, "/v1/chat/completions")
    outgoing = DIALECT.write_request(request, Target("mistral", body["model"]))
    again = json.loads(outgoing.body)
    assert outgoing.losses == []
    assert check(again) == []
    assert DIALECT.read_request(again, {}, "/v1/chat/completions") == request
    assert _bare(again["messages"]) == _bare(body["messages"])


def _bare(value: Any) -> Any:
    """Without what the SDK always writes and what means the same left out: false, [], null, a call's place."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if one not in (False, [], None) and name != "index"}
    return [_bare(one) for one in value] if isinstance(value, list) else value


@each(RESPONSES)
def test_a_recorded_answer_survives_and_its_sdk_takes_it(recording: Recording) -> None:
    response = DIALECT.read_response(recording.response)
    body, losses = DIALECT.write_response(response, asker())
    assert losses == []
    again = DIALECT.read_response(json.loads(body))
    assert [_said(choice.parts) for choice in again.choices] == [_said(choice.parts) for choice in response.choices]
    assert again.usage == response.usage
    assert completion_of(body).choices[0].finish_reason == recording.response["choices"][0]["finish_reason"]


@each(STREAMS)
def test_a_recorded_stream_survives_and_its_sdk_takes_it(recording: Recording) -> None:
    events = decoded(recording.stream)
    assert isinstance(events[-1], ev.Ended)
    stream = DIALECT.encoder(asker()).encode(events)
    again, whole = fold(decoded(stream)), fold(events)
    assert _said(again.choices[0].parts) == _said(whole.choices[0].parts)
    assert again.usage == whole.usage
    chunks = chunks_of(stream)
    assert chunks[-1].usage is not None
    assert chunks[-1].choices[0].finish_reason is not None
    if recording in RESPONSES and recording.name != "mistral-mistral-text":  # whose two recordings differ
        assert _said(DIALECT.read_response(recording.response).choices[0].parts) == _said(whole.choices[0].parts)


@each(STREAMS)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=6), data=st.data())
def test_any_cut_gives_the_same_events_and_any_prefix_an_end(
    recording: Recording, cuts: list[int], data: st.DataObject
) -> None:
    stream = recording.stream
    places = sorted(cut % len(stream) for cut in cuts)
    pieces = [stream[start:end] for start, end in itertools.pairwise([0, *places, len(stream)])]
    assert decoded(*pieces) == decoded(stream)
    prefix = stream[: data.draw(st.integers(0, len(stream)))]
    assert isinstance(decoded(prefix)[-1], ev.Ended | ev.Failed)


def _said(parts: list[Part]) -> list[tuple[str, ...]]:
    said: list[tuple[str, ...]] = []
    for part in parts:
        match part:
            case Call():
                said.append(("call", part.id, part.name, part.arguments))
            case Text() | Reasoning():
                said.append((type(part).__name__, part.text))
            case _:
                said.append((type(part).__name__,))
    return said


# --- requests ---


@pytest.mark.parametrize("name", ["chat", "messages"])
def test_requests_of_other_clients_pass_the_strict_server(name: str) -> None:
    dialect, passed = DIALECTS[name], 0
    for recording in CHAT_REQUESTS if name == "chat" else MESSAGES_REQUESTS:
        try:
            request = dialect.read_request(recording.request, {}, "/v1/x")
            if any(tool.hosted for tool in request.tools):
                continue  # a chat client's hosted tool goes to whatever chat server it named: that one knows it
            body = written(request)
        except Problem as problem:
            assert problem.error.fault is Fault.REQUEST
            continue
        # A chat client's unknown fields are another vendor's business: they go out, and Mistral names them.
        known = [fault for fault in check(body) if not fault.endswith(": unknown field")]
        assert known == [], recording.name
        passed += 1
    assert passed > 5


def test_chunks_of_every_kind_are_read_and_written_back() -> None:
    chunks: list[dict[str, Any]] = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": "https://h/i.png"},
        {"type": "document_url", "document_url": "https://h/d.pdf", "document_name": "d"},
        {"type": "file", "file_id": "f-1"},
        {"type": "input_audio", "input_audio": "UklGRg=="},
    ]
    request = read({"role": "user", "content": chunks})
    kinds = [type(part).__name__ for part in request.turns[0].parts]
    assert kinds == ["Text", "Image", "File", "File", "Audio"]
    file = request.turns[0].parts[3]
    assert isinstance(file, File)
    assert file.source.file_id == "f-1"
    content = written(request)["messages"][0]["content"]
    assert content[1] == {"type": "image_url", "image_url": {"url": "https://h/i.png"}}
    assert [content[0], *content[2:]] == [chunks[0], *chunks[2:]]
    assert check(written(request)) == []


def test_own_controls_reach_a_mistral_server_and_grave_ones_no_other() -> None:
    own = {
        "random_seed": 7, "safe_prompt": True, "min_tokens": 3, "prompt_mode": "reasoning", "logprobs": True, "n": 2,
        "guardrails": [{"block_on_error": True}], "service_tier": "auto", "reasoning_effort": "high",
        "prompt_cache_key": "k", "metadata": {"a": "b"}, "prediction": {"type": "content", "content": "x"},
    }  # fmt: skip
    request = read(USER, **own)
    body = written(request)
    assert {name: body.get(name) for name in own} == own
    assert check(body) == []
    with pytest.raises(Problem) as raised:
        DIALECTS["messages"].write_request(request, Target("anthropic", "claude-sonnet-4-5"))
    assert raised.value.error.kind is Kind.UNSUPPORTED


def test_calls_without_ids_meet_their_results() -> None:
    calls = [{"id": "null", "function": {"name": name, "arguments": {"a": 1}}} for name in ("f", "g")]
    results = [{"role": "tool", "name": name, "content": name} for name in ("g", "f")]
    request = read(USER, {"role": "assistant", "tool_calls": calls}, *results)
    first, second = (part for part in request.turns[1].parts if isinstance(part, Call))
    answers = [part.call_id for turn in request.turns[2:] for part in turn.parts if isinstance(part, Result)]
    assert answers == [second.id, first.id]
    assert first.arguments == '{"a":1}'
    assert check(written(request)) == []


def test_a_result_that_answers_no_call_is_refused_by_its_path() -> None:
    with pytest.raises(Problem) as raised:
        read(USER, {"role": "tool", "content": "x"})
    assert raised.value.error.param == "messages[1].tool_call_id"


def test_thoughts_texts_and_references_keep_their_order() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "one"}]},
        {"type": "text", "text": "so"},
        {"type": "reference", "reference_ids": [1, "b"]},
        {"type": "thinking", "thinking": [{"type": "text", "text": "two"}], "closed": True},
        {"type": "text", "text": "then"},
    ]
    request = read(USER, {"role": "assistant", "content": content, "prefix": True})
    assert any(isinstance(part, Opaque) for part in request.turns[1].parts)
    before = repr(request)
    message = written(request)["messages"][1]
    assert message["content"] == content
    assert message["prefix"] is True
    assert repr(request) == before, "the request is not changed by being written"


def test_a_thought_of_another_provider_is_not_sent() -> None:
    sealed = SEALER.seal(Sealed("anthropic_signature", "sig"), "anthropic", "claude", "")
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": sealed}
    content = [{"type": "text", "text": "a"}, thought, {"type": "text", "text": "b"}]
    outgoing = DIALECT.write_request(read(USER, {"role": "assistant", "content": content}, USER), TARGET)
    assert b"ds2.1." not in outgoing.body
    assert b"hm" not in outgoing.body
    assert outgoing.losses


def test_own_signature_comes_back_bare_from_an_envelope_of_this_place() -> None:
    carrier = Sealed("openrouter", '{"type":"thinking","signature":"own"}')
    envelope = SEALER.seal(carrier, "mistral", "mistral-large-latest", "")
    content = [
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": envelope},
    ]
    message = written(read(USER, {"role": "assistant", "content": content}, USER))["messages"][1]
    assert message["content"][1]["signature"] == "own"


def test_r076_history_with_a_user_behind_a_tool_gets_an_empty_assistant() -> None:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages += [{"role": "tool", "tool_call_id": "abcdefghi", "content": "1"}, USER]
    request = DIALECTS["chat"].read_request({"model": "m", "messages": messages}, {}, "/v1/chat/completions")
    outgoing = DIALECT.write_request(request, TARGET)
    assert check(json.loads(outgoing.body)) == []
    assert outgoing.losses


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_r077_ids_become_nine_letters_and_stay_two(one: str, two: str) -> None:
    ids = [f"call_{one}", f"call_{two}"] if one != two else [f"call_{one}"]
    calls: list[Part] = [Call(identity, "f", "{}") for identity in ids]
    results: list[Part] = [Result(identity, [Text("1")]) for identity in ids]
    turns = [Turn("user", [Text("x")]), Turn("assistant", calls), Turn("user", results)]
    body = written(Request("messages", "m", turns))
    assert check(body) == []
    assert len({call["id"] for call in body["messages"][1]["tool_calls"]}) == len(ids)


@given(texts=st.lists(TEXT, min_size=1, max_size=4), seed=st.integers(0, 99), stop=st.lists(TEXT, max_size=3))
def test_what_is_written_is_read_as_it_was(texts: list[str], seed: int, stop: list[str]) -> None:
    messages = [
        {"role": "user" if number % 2 == 0 else "assistant", "content": one} for number, one in enumerate(texts)
    ]
    request = read(*messages, random_seed=seed, stop=stop, min_tokens=seed, stream=bool(seed % 2))
    assert DIALECT.read_request(written(request, Target("mistral", "m")), {}, "/v1/chat/completions") == request


def test_the_sdk_is_known_by_its_name_and_its_request_is_read() -> None:
    taken: list[Any] = []
    body = DIALECT.write_response(Response("i", "m", 1, [Choice(0, [Text("x")], ev.Finished("stop"))]), asker())[0]
    with answered(200, "application/json", body, taken) as sdk:
        sdk.chat.complete(model="m", messages=[{"role": "user", "content": "hi"}], tool_choice="any", safe_prompt=False)
    sent = taken[0]
    assert sent.url.path == "/v1/chat/completions"
    assert DIALECT.claims({"user-agent": sent.headers["user-agent"]}, "")
    assert not DIALECT.claims({"user-agent": "OpenAI/Python 2.1"}, "")
    request = DIALECT.read_request(json.loads(sent.content), {}, sent.url.path)
    assert request.tool_choice is not None
    assert request.tool_choice.mode == "required"
    assert request.extra is None
    assert request.path_of("seed") == "random_seed"


def test_fill_in_the_middle_is_relayed_by_its_own_path() -> None:
    body = {"model": "codestral", "prompt": "def f(", "suffix": "return 1"}
    peek = DIALECT.peek(body, "/v1/fim/completions")
    assert (peek.model, peek.text_bytes, peek.wants_usage) == ("codestral", 14, True)
    assert DIALECT.relay_path("/v1/fim/completions?a=b", "m") == "/fim/completions"
    assert DIALECT.rewrite(json.dumps(body).encode(), body, "n", ask_usage=True).startswith(b'{"model": "n",')
    assert check(body, "/v1/fim/completions") == []


def test_embeddings_have_their_own_words() -> None:
    embedder = DIALECT.embedder
    assert embedder is not None
    body = {"model": "m", "input": ["a"], "output_dimension": 3, "output_dtype": "int8"}
    request = embedder.read_request(body, "/v1/embeddings")
    assert request.dimensions == 3
    again = json.loads(embedder.write_request(request, TARGET).body)
    assert again == {**body, "model": TARGET.model}


# --- answers ---


def test_calls_leave_whole_with_the_ids_that_came() -> None:
    start = [ev.Started("id", "m", 1), ev.PartStarted(0, "call", id="call_A", name="f")]
    start += [ev.PartStarted(1, "call", id="toolu_B", name="g", custom=True), ev.ArgumentsDelta(0, '{"a"')]
    start += [ev.ArgumentsDelta(1, "free"), ev.ArgumentsDelta(0, ":1}"), ev.PartFinished(0), ev.PartFinished(1)]
    stream = DIALECT.encoder(asker()).encode([*start, ev.Finished("tool_use"), ev.Ended()])
    calls = [call for chunk in chunks_of(stream) for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.id, call.index, call.function.arguments) for call in calls] == [
        ("call_A", 0, '{"a":1}'),
        ("toolu_B", 1, '{"input":"free"}'),
    ]
    assert chunks_of(stream)[-1].choices[0].finish_reason == "tool_calls"


def test_a_foreign_proof_travels_in_the_signature_of_the_thought() -> None:
    sealed = Sealed("anthropic_signature", "sig")
    response = Response("i", "m", 1, [Choice(0, [Reasoning("hm", sealed), Text("x")], ev.Finished("stop"))], Usage(1))
    waiting = asker(sealer=SEALER, provider="anthropic", upstream_model="claude")
    body, losses = DIALECT.write_response(response, waiting)
    chunk = json.loads(body)["choices"][0]["message"]["content"][0]
    assert losses == []
    opened = SEALER.open(chunk["signature"])
    assert opened is not None
    assert (opened.data, opened.provider) == ("sig", "anthropic")
    streamed = fold(decoded(DIALECT.encoder(waiting).encode(play(response))))
    thought = streamed.choices[0].parts[0]
    assert isinstance(thought, Reasoning)
    assert thought.sealed is not None
    assert thought.sealed.data == chunk["signature"]


@pytest.mark.parametrize(
    ("reason", "word"),
    [("stop", "stop"), ("length", "length"), ("context_full", "model_length"), ("content_filter", "error")],
)
def test_finish_words(reason: ev.FinishReason, word: str) -> None:
    response = Response("i", "m", 1, [Choice(0, [Text("x")], ev.Finished(reason))], Usage(1))
    assert json.loads(DIALECT.write_response(response, asker())[0])["choices"][0]["finish_reason"] == word
    assert chunks_of(DIALECT.encoder(asker()).encode(play(response)))[-1].choices[0].finish_reason == word


def test_a_failure_leaves_the_stream_without_its_end() -> None:
    encoder = DIALECT.encoder(asker())
    begun = encoder.encode([ev.Started("i", "m", 1), ev.PartStarted(0, "text"), ev.TextDelta(0, "ha")])
    assert encoder.encode([ev.Failed(Error(Fault.PROVIDER, Kind.OVERLOADED, "busy")), ev.Ended()]) == b""
    assert encoder.alive() == b""
    assert isinstance(decoded(begun)[-1], ev.Failed)


def test_r028_a_malformed_call_is_no_success() -> None:
    finish = ev.Finished("malformed_tool", native="MALFORMED_FUNCTION_CALL")
    stream = DIALECT.encoder(asker()).encode([ev.Started("i", "m", 1), finish, ev.Ended()])
    assert b"[DONE]" not in stream
    with pytest.raises(Problem):
        DIALECT.write_response(Response("i", "m", 1, [Choice(0, [], finish)]), asker())


def test_images_and_several_choices_reach_the_sdk() -> None:
    events: list[ev.Event] = [ev.Started("i", "m", 1), ev.PartStarted(0, "media"), ev.MediaSeen(0, "image/png", "iVBO")]
    events += [ev.PartFinished(0), ev.PartStarted(1, "text", 1), ev.TextDelta(1, "x", 1), ev.PartFinished(1, 1)]
    events += [ev.Finished("stop"), ev.Finished("length", 1), ev.UsageSeen(Usage(2, output_text=3)), ev.Ended()]
    chunks = chunks_of(DIALECT.encoder(asker()).encode(events))
    assert chunks[1].choices[0].delta.content[0].image_url == "data:image/png;base64,iVBO"
    ends = [(one.choices[0].index, one.choices[0].finish_reason) for one in chunks if one.choices[0].finish_reason]
    assert ends == [(0, "stop"), (1, "length")]
    assert [one.usage.total_tokens for one in chunks if one.usage] == [5]
    assert isinstance(fold(events).choices[0].parts[0], Image)


def test_references_pass_from_provider_to_client() -> None:
    reference = {"type": "reference", "reference_ids": [3]}
    choice = {"index": 0, "delta": {"role": "assistant", "content": [reference]}, "finish_reason": "stop"}
    events = decoded(sse({"id": "i", "model": "m", "choices": [choice]}, "[DONE]"))
    assert json.dumps(reference, separators=(",", ":")).encode() in DIALECT.encoder(asker()).encode(events)


# --- errors and models ---


def test_r171_our_readers_refusal_is_a_validation_error_to_the_sdk() -> None:
    with pytest.raises(Problem) as raised:
        read({"role": "user", "content": 3})
    written_error = DIALECT.write_error(raised.value.error, "req")
    assert written_error.status == 422
    error = error_of(written_error.status, written_error.body)
    assert isinstance(error, HTTPValidationError)
    assert error.data.detail is not None
    assert error.data.detail[0].loc == ["body", "messages", 0, "content"]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.BAD_REQUEST])
def test_r168_r171_every_other_error_is_the_flat_object(kind: Kind) -> None:
    written_error = DIALECT.write_error(Error(Fault.REQUEST, kind, "what went wrong", "a.path"), "req")
    body = json.loads(written_error.body)
    assert body.keys() == {"object", "message", "type", "param", "code"}
    assert (body["object"], body["message"]) == ("error", "what went wrong")
    assert error_of(written_error.status, written_error.body).status_code == written_error.status


def test_r156_a_providers_own_trouble_is_told_in_our_words() -> None:
    error = Error(Fault.ACCOUNT, Kind.UNAUTHENTICATED, "key sk-abc123456 is wrong", status=401)
    assert b"sk-abc" not in DIALECT.write_error(error, "req").body


def test_the_sdk_takes_the_model_list() -> None:
    models = [ModelInfo("a", "mistral", 5, context_tokens=9, abilities=("tools",)), ModelInfo("b", "x")]
    listed = ModelList.model_validate_json(DIALECT.write_models(models, {}, "/v1/models"))
    assert listed.data is not None
    card = listed.data[0]
    assert (card.id, card.max_context_length, card.capabilities.function_calling) == ("a", 9, True)
    assert card.capabilities.vision is False
    assert json.loads(DIALECT.write_model(models[1]))["id"] == "b"


# --- the strict server itself ---


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{**USER, "name": "Ann"}],
        [{"role": "developer", "content": "x"}],
        [USER, {"role": "assistant", "content": "x"}],
        [USER, {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"}],
    ],
)
def test_the_strict_server_refuses(messages: list[dict[str, Any]]) -> None:
    assert check({"model": "m", "messages": messages})
    assert check({"model": "m", "messages": [USER], "seed": 1}) == ["seed: unknown field"]
