"""Everything that was recorded goes through this dialect and comes out with the same meaning."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat import recordings as chat
from tests.dialects.messages import recordings as messages
from tests.dialects.responses.recordings import (
    REQUESTS,
    RESPONSES,
    STREAMS,
    Recording,
    asker,
    decoded,
    load,
    streams_of,
)
from tests.dialects.responses.strict import check

from ds2api.dialects.contract import Target
from ds2api.dialects.registry import DIALECTS
from ds2api.dialects.responses import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Call, Part, Reasoning, Sealed, Text
from ds2api.universal.response import Response, fold, play
from ds2api.wire.sse import SseParser

FAILED = {"openai-openai-error.1"}
# Recorded with a part of their deltas left out, with ids that change from event to event, or with less in
# `output_item.added` than in `output_item.done`.
PATCHED = {"openai-openai-phase.1", "openai-github-copilot-id-rotation.1", "openai-openai-custom-tool.1"}
# The provider judges what a validator cannot know: its models, whether a link can be read, its own rules (not OpenAI's).
UNKNOWABLE = {
    "deepseek_responses-deepseek_responses-function_tool_stream-.1",
    "deepseek_responses-deepseek_responses_rejects_interleaved_function_calls.0",
    "model_name_suggestions-inferred_model_name_suggestion.0",
    "multimodal_tool_returns-multimodal_tool_return_matrix-tool_return_content-url-audio-openai.1",
    "openai_prompt_cache-openrouter_responses_prompt_cache_e2e.1",
}


def name_of(recording: Recording) -> str:
    return recording.name


def normalised(body: dict[str, Any]) -> dict[str, Any]:
    """The documented equivalences: null at the top is not given, `stream` is false unless said."""
    return {name: value for name, value in {"stream": False, **body}.items() if value is not None}


def bare(response: Response) -> Response:
    """What an answer says, without what this dialect keeps for itself."""

    def part(one: Part) -> Any:
        return one if not hasattr(one, "extra") else replace(one, extra=None)

    choices = [
        replace(
            choice,
            parts=[part(one) for one in choice.parts],
            finish=choice.finish and replace(choice.finish, extra=None),
        )
        for choice in response.choices
    ]
    return replace(response, choices=choices, extra=None)


def items_in(stream: bytes) -> list[Any]:
    datas = [json.loads(line[5:]) for line in stream.split(b"\n") if line.startswith(b"data:")]
    return [data["item"] for data in datas if data["type"] == "response.output_item.done"]


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_request_goes_back_to_its_own_provider_with_equal_json(recording: Recording) -> None:
    given_body = recording.request
    request = DIALECT.read_request(given_body, {}, "/v1/responses")
    outgoing = DIALECT.write_request(request, Target("p", given_body["model"]))
    assert normalised(json.loads(outgoing.body)) == normalised(given_body)
    assert outgoing.losses == []
    assert outgoing.body.startswith(b'{"model":')


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_validator_agrees_with_the_provider(recording: Recording) -> None:
    if recording.name not in UNKNOWABLE:
        assert (check(recording.request) == []) is (recording.status == 200)


@pytest.mark.parametrize("recording", RESPONSES, ids=name_of)
def test_answer_goes_to_its_own_client_with_equal_json(recording: Recording) -> None:
    given_body = recording.response
    if recording.name in FAILED:
        with pytest.raises(Problem, match="quota"):
            DIALECT.read_response(given_body)
        return
    response = DIALECT.read_response(given_body)
    written, losses = DIALECT.write_response(response, asker(given_body["model"]))
    assert json.loads(written) == {"object": "response", **given_body}
    assert losses == []
    assert fold(play(response)) == response


@pytest.mark.parametrize("recording", STREAMS, ids=name_of)
def test_stream_written_again_means_the_same(recording: Recording) -> None:
    for stream in streams_of(recording):
        events = decoded(stream)
        if recording.name in FAILED:
            assert isinstance(events[-1], ev.Failed)
            continue
        response = fold(events)
        encoder = DIALECT.encoder(asker(response.model or ""))
        again = encoder.encode(events)
        assert bare(fold(decoded(again))) == bare(response)
        assert encoder.losses == []
        if recording.name not in PATCHED:
            assert [{**one, "content": None} for one in items_in(again)] == [
                {**one, "content": None} for one in items_in(stream)
            ]


@pytest.mark.parametrize("recording", STREAMS, ids=name_of)
def test_stream_means_what_its_last_event_says_as_a_whole(recording: Recording) -> None:
    for stream in streams_of(recording):
        last = json.loads(SseParser().feed(stream)[-1].data)
        if recording.name in FAILED | PATCHED or not last["response"].get("output"):
            continue
        whole, told = bare(DIALECT.read_response(last["response"])), bare(fold(decoded(stream)))
        for response in (whole, told):  # the provider seals a thought anew each time that it says it
            for part in response.choices[0].parts:
                if isinstance(part, Reasoning) and part.sealed is not None:
                    part.sealed = Sealed(part.sealed.kind, part.sealed.data.partition(" ")[0])
        assert whole == told


SHORT = sorted((one for one in STREAMS if one.name not in FAILED), key=lambda one: len(one.stream))[:12]


@given(recording=st.sampled_from(SHORT), cuts=st.lists(st.integers(0, 10**6), max_size=12))
def test_any_cut_gives_the_same_events(recording: Recording, cuts: list[int]) -> None:
    stream = streams_of(recording)[0]
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    decoder = DIALECT.decoder()
    events: list[ev.Event] = []
    for start, end in itertools.pairwise([0, *places, len(stream)]):
        events += decoder.feed(stream[start:end])
    assert events + decoder.end() == decoded(stream)


@given(recording=st.sampled_from(SHORT), at=st.integers(0, 10**6))
def test_every_prefix_ends_in_so_many_words(recording: Recording, at: int) -> None:
    stream = streams_of(recording)[0]
    prefix = stream[: at % len(stream)]
    events = decoded(prefix)
    tap = DIALECT.tap(strip_usage=False)
    tap.forward(prefix)
    tap.end()
    assert isinstance(events[-1], ev.Ended | ev.Failed)
    assert tap.ended is isinstance(events[-1], ev.Ended)
    assert sum(isinstance(event, ev.Ended | ev.Failed) for event in events) == 1


@pytest.mark.parametrize("recording", [one for one in STREAMS if one.name not in FAILED], ids=name_of)
def test_relayed_usage_and_id_are_the_decoded_ones(recording: Recording) -> None:
    for stream in streams_of(recording):
        tap = DIALECT.tap(strip_usage=True)
        assert tap.forward(stream) + tap.end() == stream
        response = fold(decoded(stream))
        assert (tap.usage, tap.answer_id, tap.ended) == (response.usage, response.id, True)


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_requests_of_other_dialects_pass_the_validator_or_are_refused(client: str) -> None:
    recordings: list[Any] = [*(chat.REQUESTS if client == "chat" else messages.REQUESTS)]
    passed = 0
    for recording in recordings:
        try:
            request = DIALECTS[client].read_request(recording.request, {}, "/")
            outgoing = DIALECT.write_request(request, Target("p", "gpt-5.4"))
        except Problem:
            continue
        assert check(json.loads(outgoing.body)) == [], recording.name
        passed += 1
    assert passed > len(recordings) // 2


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_streams_reach_clients_of_other_dialects(client: str) -> None:
    """Text and calls as this dialect reads them are what the client's own dialect reads of what it was written."""
    for recording in STREAMS:
        if recording.name in FAILED:
            continue
        for stream in streams_of(recording):
            events = decoded(stream)
            encoder = DIALECTS[client].encoder(asker())
            decoder = DIALECTS[client].decoder()
            read = fold([*decoder.feed(encoder.encode(events)), *decoder.end()])
            assert _said(read) == _said(fold(decoded(stream))), recording.name


def _said(response: Response) -> tuple[str, list[Any]]:
    parts = response.choices[0].parts if response.choices else []
    texts = [part.text for part in parts if isinstance(part, Text)]
    calls = [
        (part.name, {"input": part.arguments} if part.custom else json.loads(part.arguments or "{}"))
        for part in parts
        if isinstance(part, Call)
    ]
    return "".join(texts), calls


def test_recorded_in_stream_error_is_the_accounts_quota() -> None:
    failed = decoded(load("openai-openai-error.1").stream)[-1]
    assert isinstance(failed, ev.Failed)
    assert (failed.error.fault, failed.error.kind) == ("account", "quota_exhausted")
