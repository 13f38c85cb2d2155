"""Everything that was recorded goes through this dialect and comes out with the same meaning."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.dialects.gemini.recordings import (
    COUNTS,
    PATH,
    REQUESTS,
    RESPONSES,
    STREAMS,
    Recording,
    asker,
    load,
    name_of,
    normalised,
)
from tests.dialects.gemini.strict import check

from ds2api.dialects.contract import Target
from ds2api.dialects.gemini import DIALECT
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Call, Text
from ds2api.universal.response import Response, fold, play


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_request_goes_back_to_its_own_provider_with_equal_json(recording: Recording) -> None:
    given = recording.json("request")
    outgoing = DIALECT.write_request(DIALECT.read_request(given, {}, PATH), Target("p", "gemini-2.5-flash"))
    assert normalised(json.loads(outgoing.body)) == normalised(given)
    assert outgoing.losses == []
    assert outgoing.path == "/models/gemini-2.5-flash:generateContent"
    DIALECT.peek(given, PATH)


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_validator_agrees_with_the_provider(recording: Recording) -> None:
    assert check(recording.json("request")) == [], "the two 400s recorded are about a model's name and a page"


def test_every_signature_comes_back_byte_for_byte() -> None:
    found = 0
    for recording in REQUESTS:
        given = json.dumps(recording.json("request"))
        body = DIALECT.write_request(DIALECT.read_request(json.loads(given), {}, PATH), Target("p", "m")).body
        for signature in re.findall(r'"thought_?[sS]ignature": "([^"]+)"', given):
            assert signature.encode() in body
            found += 1
    assert found


@pytest.mark.parametrize("recording", RESPONSES, ids=name_of)
def test_response_goes_to_its_own_client_with_equal_json(recording: Recording) -> None:
    given = recording.json("response")
    response = DIALECT.read_response(given)
    written, losses = DIALECT.write_response(response, asker(given["modelVersion"]))
    expected = {"responseId": "new0", **given}
    expected["candidates"] = [{"index": 0, **candidate} for candidate in given["candidates"]]
    assert json.loads(written) == expected
    assert losses == []
    assert fold(play(response)) == response


@pytest.mark.parametrize("recording", STREAMS, ids=name_of)
def test_stream_written_again_means_the_same(recording: Recording) -> None:
    decoder, tap = DIALECT.decoder(), DIALECT.tap(strip_usage=False)
    events = decoder.feed(recording.stream) + decoder.end()
    assert isinstance(events[-1], ev.Ended)
    response = fold(events)
    encoder = DIALECT.encoder(asker(response.model or ""))
    again = DIALECT.decoder()
    assert fold(again.feed(encoder.encode(events)) + again.end()) == response
    assert encoder.losses == []
    assert tap.forward(recording.stream) + tap.end() == recording.stream
    assert (tap.ended, tap.error, tap.content_seen) == (True, None, True)
    assert tap.usage == response.usage


@pytest.mark.parametrize("recording", RESPONSES, ids=name_of)
def test_whole_answer_played_as_a_stream_means_the_same(recording: Recording) -> None:
    response = DIALECT.read_response(recording.json("response"))
    encoder, decoder = DIALECT.encoder(asker()), DIALECT.decoder()
    played = fold(decoder.feed(encoder.encode(play(response))) + decoder.end())
    assert said(played) == said(response)
    assert played.usage == response.usage
    assert [one.finish for one in played.choices] == [one.finish for one in response.choices]


def said(response: Response) -> list[Any]:
    """Text and calls of each choice."""
    return [
        (
            "".join(part.text for part in choice.parts if isinstance(part, Text)),
            [(part.name, json.loads(part.arguments or "{}")) for part in choice.parts if isinstance(part, Call)],
        )
        for choice in response.choices
    ]


@pytest.mark.parametrize("name", sorted(DIALECTS))
@pytest.mark.parametrize("recording", [*RESPONSES, *STREAMS], ids=name_of)
def test_answer_reaches_every_client_and_means_the_same(recording: Recording, name: str) -> None:
    if recording.has("stream.sse"):
        decoder = DIALECT.decoder()
        events = decoder.feed(recording.stream) + decoder.end()
    else:
        events = play(DIALECT.read_response(recording.json("response")))
    client = DIALECTS[name]
    encoder, back = client.encoder(asker(wants_usage=True)), client.decoder()
    stream = encoder.encode(events)
    read = fold(back.feed(stream) + back.end())
    given = fold(events)
    assert said(read) == said(given)
    assert given.choices[0].finish is not None and read.choices[0].finish is not None
    assert read.choices[0].finish.reason == given.choices[0].finish.reason
    assert given.usage is not None and read.usage is not None
    assert read.usage.output_total == given.usage.output_total
    assert read.usage.input_total == given.usage.input_total


@pytest.mark.parametrize("name", sorted(set(DIALECTS) - {"gemini"}))
@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_request_reaches_every_provider_or_is_refused_by_name(recording: Recording, name: str) -> None:
    request = DIALECT.read_request(recording.json("request"), {}, PATH)
    try:
        outgoing = DIALECTS[name].write_request(request, Target("p", "m"))
    except Problem as problem:
        assert problem.error.param is not None
        assert problem.error.param.split("[")[0].split(".")[0] in recording.json("request").keys() | {
            "contents",
            "tools",
        }
        return
    texts = [part.text for turn in request.turns for part in turn.parts if isinstance(part, Text) and part.text.strip()]
    body = json.dumps(json.loads(outgoing.body), ensure_ascii=False)
    for text in texts:
        assert json.dumps(text, ensure_ascii=False)[1:-1] in body


def test_recorded_errors_are_the_requests_fault() -> None:
    unknown = load("model_name_suggestions-model_name_suggestion-google-.0")
    error = DIALECT.read_error(404, {}, json.dumps(unknown.json("response")).encode())
    assert (error.fault, error.kind) == ("request", "model_not_found")
    page = load("multimodal_tool_returns-multimodal_tool_return_matrix-direct-url-image-google_vertex-.2")
    error = DIALECT.read_error(400, {}, json.dumps(page.json("response")).encode())
    assert (error.fault, error.kind) == ("request", "bad_request")


@pytest.mark.parametrize("recording", COUNTS, ids=name_of)
def test_recorded_token_count_is_read(recording: Recording) -> None:
    counter = DIALECT.token_counter
    assert counter is not None
    request = DIALECT.read_request(recording.json("request"), {}, "/v1beta/models/m:countTokens")
    question = json.loads(counter.write_question(request, Target("p", "gemini-x")).body)["generateContentRequest"]
    assert question.pop("model") == "models/gemini-x"
    assert normalised(question) == normalised(recording.json("request"))
    if recording.json("meta")["status"] == 200:
        assert counter.read_count(recording.json("response")) == recording.json("response")["totalTokens"]


def test_recorded_embeddings_are_read_and_written() -> None:
    recording, embedder = load("embeddings-task-type.0"), DIALECT.embedder
    assert embedder is not None
    given, path = recording.json("request"), "/v1beta/models/gemini-embedding-2-preview:batchEmbedContents"
    request = embedder.read_request(given, path)
    outgoing = embedder.write_request(request, Target("p", "gemini-embedding-2-preview"))
    assert json.loads(outgoing.body) == given
    answer = embedder.read_response(recording.json("response"))
    written = json.loads(embedder.write_response(answer, request, asker()))
    assert written["embeddings"] == [{"values": one["values"]} for one in recording.json("response")["embeddings"]]
