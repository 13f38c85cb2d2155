"""Everything that was recorded goes through this dialect and comes out with the same meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dialects.messages.recordings import REQUESTS, RESPONSES, STREAMS, Recording, asker, load, streams_of
from tests.dialects.messages.strict import check

from ds2api.dialects.contract import Target
from ds2api.dialects.messages import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.response import fold, play

BROKEN_STREAMS = {"anthropic-spliced-message-start"}


def name_of(recording: Recording) -> str:
    return recording.name


def normalised(body: dict[str, Any]) -> dict[str, Any]:
    """The documented equivalences: null is not given, `stream` is false unless said, a tool's type is "custom"."""
    body = {name: value for name, value in {"stream": False, **body}.items() if value is not None}
    if "tools" in body:
        body["tools"] = [
            {name: value for name, value in tool.items() if (name, value) != ("type", "custom")}
            for tool in body["tools"]
        ]
    return body


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_request_goes_back_to_its_own_provider_with_equal_json(recording: Recording) -> None:
    given = recording.request
    outgoing = DIALECT.write_request(DIALECT.read_request(given, {}, "/v1/messages"), Target("p", given["model"]))
    assert normalised(json.loads(outgoing.body)) == normalised(given)
    assert outgoing.losses == []
    assert outgoing.body.startswith(b'{"model":')


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_validator_agrees_with_the_provider(recording: Recording) -> None:
    faults = check(recording.request, beta=True)
    if recording.status == 200:
        assert faults == []
    elif recording.status == 400:
        assert faults != []


@pytest.mark.parametrize("recording", RESPONSES, ids=name_of)
def test_response_goes_to_its_own_client_with_equal_json(recording: Recording) -> None:
    given = recording.response
    written, losses = DIALECT.write_response(DIALECT.read_response(given), asker(given["model"]))
    assert json.loads(written) == {"stop_sequence": None, **given}
    assert losses == []


@pytest.mark.parametrize("recording", RESPONSES, ids=name_of)
def test_response_is_the_fold_of_its_own_events(recording: Recording) -> None:
    response = DIALECT.read_response(recording.response)
    assert fold(play(response)) == response


@pytest.mark.parametrize("recording", STREAMS, ids=name_of)
def test_stream_written_again_means_the_same(recording: Recording) -> None:
    streams = streams_of(recording)
    assert streams
    for stream in streams:
        decoder = DIALECT.decoder()
        events = decoder.feed(stream) + decoder.end()
        if recording.name in BROKEN_STREAMS:
            assert isinstance(events[-1], ev.Failed)
            continue
        response = fold(events)
        encoder = DIALECT.encoder(asker(response.model or ""))
        again = DIALECT.decoder()
        assert fold(again.feed(encoder.encode(events)) + again.end()) == response
        assert encoder.losses == []


@pytest.mark.parametrize("recording", RESPONSES, ids=name_of)
def test_whole_answer_played_as_a_stream_means_the_same(recording: Recording) -> None:
    response = DIALECT.read_response(recording.response)
    encoder = DIALECT.encoder(asker(recording.response["model"]))
    decoder = DIALECT.decoder()
    played = fold(decoder.feed(encoder.encode(play(response))) + decoder.end())
    assert json.loads(DIALECT.write_response(played, asker(recording.response["model"]))[0]) == {
        "stop_sequence": None,
        **recording.response,
    }
    assert encoder.losses == []


def test_refusal_means_the_same_streamed_and_whole() -> None:
    recording = load("anthropic-anthropic-refusal")
    streamed = fold(DIALECT.decoder().feed(recording.stream)).choices[0].finish
    whole = DIALECT.read_response(recording.response).choices[0].finish
    assert streamed is not None
    assert streamed == whole
    assert streamed.details["category"] == "cyber"


def test_thinking_signature_comes_back_byte_for_byte() -> None:
    recording = load("anthropic-anthropic_tool_with_thinking.1")
    signatures = [
        block["signature"]
        for turn in recording.request["messages"]
        for block in turn["content"]
        if block["type"] == "thinking"
    ]
    body = DIALECT.write_request(
        DIALECT.read_request(recording.request, {}, "/v1/messages"), Target("p", "claude-sonnet-4-0")
    ).body
    assert signatures
    assert all(json.dumps(one).encode() in body for one in signatures)


def test_recorded_error_is_the_requests_fault() -> None:
    recording = load("anthropic-anthropic_explicit_effort_xhigh_unsupported_model_errors.0")
    error = DIALECT.read_error(400, {}, json.dumps(recording.response).encode())
    assert (error.fault, error.kind) == ("request", "bad_request")
    assert "xhigh" in error.message
    unknown = load("model_name_suggestions-model_name_suggestion-anthropic-.0")
    error = DIALECT.read_error(404, {}, json.dumps(unknown.response).encode())
    assert (error.fault, error.kind) == ("request", "model_not_found")


def test_recorded_token_count_is_read() -> None:
    recording = load("count-tokens-with-native-tools.0")
    counter = DIALECT.token_counter
    assert counter is not None
    assert counter.read_count(recording.response) == recording.response["input_tokens"]
    request = DIALECT.read_request(recording.request, {}, "/v1/messages/count_tokens?beta=true")
    assert request.max_output_tokens is None
    assert json.loads(counter.write_count(12)) == {"input_tokens": 12}
    with pytest.raises(Problem):
        counter.read_count({"input_tokens": True})
    question = counter.write_question(request, Target("p", "claude-opus-4-6"))
    assert question.path == "/messages/count_tokens"
    assert "max_tokens" not in json.loads(question.body)
