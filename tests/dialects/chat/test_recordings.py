"""Everything that was recorded goes through this dialect and comes out with the same meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.recordings import REQUESTS, RESPONSES, STREAMS, Recording, asker, decoded, load
from tests.dialects.chat.sdk import completion_of, streamed_completion_of
from tests.dialects.chat.strict import check

from ds2api.dialects.chat import DIALECT
from ds2api.dialects.contract import Target
from ds2api.universal import events as ev
from ds2api.universal.errors import Fault, Kind
from ds2api.universal.parts import Call, Reasoning, Refusal, Text
from ds2api.universal.response import Response, fold

ANSWERS = [one for one in RESPONSES if one.status == 200]
REFUSALS = [one for one in RESPONSES if one.status != 200]
# Recorded with an error in the middle.
FAILING = {"groq-tool_use_failed_error_streaming.0", "openrouter-openrouter_stream_error.0"}
WHOLE_STREAMS = [one for one in STREAMS if one.name not in FAILING]


def name_of(recording: Recording) -> str:
    return recording.name


def said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def normalised_request(body: dict[str, Any]) -> dict[str, Any]:
    """The documented equivalences: null is the same as absence, and so are no content, no tools, `prefix` false, a
    call's `index` and a tool's type "function"; `stream` is false unless said; usage is always asked for; "any" is
    Mistral's "required"; one stop word is a list of one."""
    body = said({"stream": False, **body})
    body.pop("stream_options", None)
    messages = []
    for message in body["messages"]:
        message = said(message)
        if message.get("prefix") is False:
            del message["prefix"]
        for name in ("content", "tool_calls"):
            if message.get(name) == []:
                del message[name]
        if "tool_calls" in message:
            message["tool_calls"] = [
                {name: value for name, value in call.items() if name != "index"} for call in message["tool_calls"]
            ]
        if isinstance(message.get("content"), list):
            message["content"] = [said(part) for part in message["content"]]
        messages.append(message)
    body["messages"] = messages
    if body.get("tools") == []:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
    if "tools" in body:
        body["tools"] = [{"type": "function", **tool} for tool in body["tools"]]
    if body.get("tool_choice") == "any":
        body["tool_choice"] = "required"
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    return body


def meaning(response: Response) -> dict[str, Any]:
    """What an answer says, whoever tells it."""
    told: dict[str, Any] = {"usage": response.usage, "choices": []}
    for choice in response.choices:
        texts = {
            kind.__name__: "".join(part.text for part in choice.parts if isinstance(part, kind))
            for kind in (Text, Reasoning, Refusal)
        }
        calls = [(part.name, part.arguments or "{}") for part in choice.parts if isinstance(part, Call)]
        citations = [(one.url, one.title) for part in choice.parts if isinstance(part, Text) for one in part.citations]
        seals = sum(part.sealed is not None for part in choice.parts if isinstance(part, Reasoning))
        reason = None if choice.finish is None else choice.finish.reason
        told["choices"].append((choice.index, texts, calls, citations, seals, reason, choice.logprobs))
    return told


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_request_goes_back_to_its_own_server_with_equal_json(recording: Recording) -> None:
    request = recording.request
    outgoing = DIALECT.write_request(
        DIALECT.read_request(request, {}, "/v1/chat/completions"), Target("p", request["model"])
    )
    assert normalised_request(json.loads(outgoing.body)) == normalised_request(request)
    assert outgoing.losses == []
    assert outgoing.body.startswith(b'{"model":')
    assert json.loads(outgoing.body).get("stream_options", {"include_usage": True})["include_usage"] is True


@pytest.mark.parametrize("recording", REQUESTS, ids=name_of)
def test_request_reads_the_same_once_it_was_written(recording: Recording) -> None:
    once = DIALECT.read_request(recording.request, {}, "/v1/chat/completions")
    written = DIALECT.write_request(once, Target("p", once.model)).body
    again = DIALECT.write_request(DIALECT.read_request(json.loads(written), {}, ""), Target("p", once.model)).body
    assert again == written


@pytest.mark.parametrize("recording", [one for one in REQUESTS if one.name.startswith("mistral")], ids=name_of)
def test_mistral_gets_its_own_spellings_back(recording: Recording) -> None:
    request = recording.request
    target = Target("p", request["model"], flavour="mistral")
    written = json.loads(DIALECT.write_request(DIALECT.read_request(request, {}, ""), target).body)
    assert normalised_request(written) == normalised_request(request)


OPENAI = [one for one in REQUESTS if not check(one.request)]


@pytest.mark.parametrize("recording", OPENAI, ids=name_of)
def test_openai_still_takes_what_it_took(recording: Recording) -> None:
    """Through the flavour of OpenAI too, which writes anew what plain chat passes as it came."""
    request = recording.request
    target = Target("p", "gpt-4.1", flavour="openai")
    assert check(json.loads(DIALECT.write_request(DIALECT.read_request(request, {}, ""), target).body)) == []


def test_validator_takes_every_request_that_openai_took() -> None:
    recorded = [one for one in REQUESTS if one.name.startswith(("openai-", "prefect-")) and one.status == 200]
    assert recorded
    assert {one.name: check(one.request) for one in recorded if one.request["model"].startswith("gpt")} == {
        one.name: [] for one in recorded if one.request["model"].startswith("gpt")
    }


@pytest.mark.parametrize("recording", ANSWERS, ids=name_of)
def test_answer_goes_to_its_own_client_with_the_same_meaning(recording: Recording) -> None:
    read = DIALECT.read_response(recording.response)
    written, losses = DIALECT.write_response(read, asker())
    again = DIALECT.read_response(json.loads(written))
    assert meaning(again) == meaning(read)
    assert losses == []
    for choice in completion_of(written).choices:
        assert choice.finish_reason in {"stop", "length", "tool_calls", "content_filter", "function_call"}


# Accents that are written in plain chat: Mistral's content lists, Snowflake's empty fields, numbered calls.
PLAIN_ANSWERS = [one for one in ANSWERS if one.provider not in {"snowflake", "mistral", "thinking_wire_contract"}]


@pytest.mark.parametrize("recording", PLAIN_ANSWERS, ids=name_of)
def test_answer_goes_to_its_own_client_with_equal_json(recording: Recording) -> None:
    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {name: stripped(one) for name, one in value.items() if one not in (None, "", [])}
            if "function" in kept and kept.get("id"):
                kept.pop("index", None)
                kept["type"] = "function"
                kept["function"].setdefault("arguments", "{}")
            return kept
        return [stripped(one) for one in value] if isinstance(value, list) else value

    answer = recording.response
    written, _ = DIALECT.write_response(DIALECT.read_response(answer), asker(answer["model"]))
    assert stripped(json.loads(written)) == stripped(answer)


@pytest.mark.parametrize("recording", REFUSALS, ids=name_of)
def test_recorded_error_is_read_for_what_it_is(recording: Recording) -> None:
    error = DIALECT.read_error(recording.status, {}, recording.raw_response)
    said_there = recording.response["error"]
    assert error.message == said_there["message"]
    assert error.status == recording.status
    assert error.code == (None if said_there.get("code") is None else str(said_there["code"]))
    expected = {400: Fault.REQUEST, 404: Fault.REQUEST, 429: Fault.PROVIDER}[recording.status]
    assert error.fault is expected


@pytest.mark.parametrize("recording", WHOLE_STREAMS, ids=name_of)
def test_stream_is_decoded_encoded_and_means_the_same(recording: Recording) -> None:
    events = decoded(recording.stream)
    assert type(events[-1]) is ev.Ended
    encoder = DIALECT.encoder(asker())
    written = encoder.encode(events)
    assert written.endswith(b"data: [DONE]\n\n")
    assert encoder.losses == []
    once, again = fold(events), fold(decoded(written))
    assert meaning(again) == meaning(once)
    completion = streamed_completion_of(written)
    told = meaning(once)["choices"]
    for choice, (_, texts, calls, *_rest) in zip(completion.choices, told, strict=True):
        assert (choice.message.content or "") == texts["Text"]
        called = [(call.function.name, call.function.arguments or "{}") for call in choice.message.tool_calls or []]
        assert called == calls


@pytest.mark.parametrize("recording", WHOLE_STREAMS, ids=name_of)
def test_gathered_stream_is_the_answer_that_would_have_come_whole(recording: Recording) -> None:
    response = fold(decoded(recording.stream))
    written, losses = DIALECT.write_response(response, asker())
    assert losses == []
    assert meaning(DIALECT.read_response(json.loads(written))) == meaning(response)
    completion_of(written)


@pytest.mark.parametrize("recording", [one for one in STREAMS if one.name in FAILING], ids=name_of)
def test_error_in_the_middle_ends_the_stream(recording: Recording) -> None:
    events = decoded(recording.stream)
    failed = events[-1]
    assert isinstance(failed, ev.Failed)
    assert failed.error.status == 400
    assert failed.error.fault is Fault.REQUEST
    assert not any(isinstance(event, ev.Ended) for event in events)


@pytest.mark.parametrize("recording", STREAMS, ids=name_of)
def test_stream_that_stops_early_never_ends_in_silence(recording: Recording) -> None:
    stream = recording.stream
    step = max(1, len(stream) // 40)
    for length in range(0, len(stream), step):
        last = decoded(stream[:length])[-1]
        if isinstance(last, ev.Ended):  # complete but for its marker
            assert b'"finish_reason"' in stream[:length]
        else:
            assert isinstance(last, ev.Failed)


LOCAL = [load("prefect-complex_agent_run_in_flow.1"), load("openrouter-openrouter_streaming_reasoning.0"),
         load("mistral-mistral-reasoning"), load("openai-azure-model-router.1"),
         load("openrouter-openrouter_stream_error.0"), load("alibaba-alibaba-tool-call")]  # fmt: skip


@given(st.sampled_from(LOCAL), st.lists(st.integers(0, 20_000), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cut_of_the_bytes_gives_the_same_events(recording: Recording, places: list[int], line_end: bytes) -> None:
    stream = recording.stream.replace(b"\n", line_end)
    decoder = DIALECT.decoder()
    events: list[ev.Event] = []
    cuts = sorted({place % (len(stream) + 1) for place in places})
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += decoder.feed(stream[start:end])
    events += decoder.end()
    assert events == decoded(recording.stream)


@pytest.mark.parametrize("recording", LOCAL, ids=name_of)
def test_byte_by_byte_gives_the_same_events(recording: Recording) -> None:
    decoder = DIALECT.decoder()
    events: list[ev.Event] = []
    for place in range(len(recording.stream)):
        events += decoder.feed(recording.stream[place : place + 1])
    assert [*events, *decoder.end()] == decoded(recording.stream)


@given(st.sampled_from(LOCAL), st.integers(0, 20_000))
def test_every_prefix_ends_in_failed_or_ended(recording: Recording, length: int) -> None:
    events = decoded(recording.stream[:length])
    last = events[-1]
    assert isinstance(last, (ev.Ended, ev.Failed))
    assert sum(isinstance(event, (ev.Ended, ev.Failed)) for event in events) == 1
    if isinstance(last, ev.Failed) and recording.name not in FAILING:
        assert last.error.kind in {Kind.UPSTREAM_TRUNCATED, Kind.UPSTREAM_BROKEN}
