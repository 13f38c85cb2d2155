"""What the decoder makes of a stream: for any cut, for every prefix, and for what providers get wrong."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.gemini.recordings import STREAMS, Recording, asker, load, name_of

from ds2api.dialects.gemini import DIALECT
from ds2api.dialects.gemini.offsets import Offsets
from ds2api.dialects.gemini.partial_args import PartialArguments
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.errors import Fault, Kind, Problem
from ds2api.universal.parts import Call, Image, Opaque, Reasoning, Text
from ds2api.universal.response import Response, fold

HELLO = "Grüße 👋, "


def chunk(*parts: Any, word: str | None = None, **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if word is not None:
        candidate["finishReason"] = word
    candidate |= fields.pop("candidate", {})
    return {"candidates": [candidate], "modelVersion": "g", "responseId": "r1", **fields}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in chunks)


def decoded(stream: bytes) -> list[ev.Event]:
    decoder = DIALECT.decoder()
    return decoder.feed(stream) + decoder.end()


def read(*chunks: Any) -> Response:
    return fold(decoded(sse(*chunks)))


def failure(events: list[ev.Event]) -> Any:
    assert isinstance(events[-1], ev.Failed)
    return events[-1].error


@given(st.data())
def test_any_cut_gives_the_same_events(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(STREAMS))
    stream = recording.stream
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder = DIALECT.decoder()
    events: list[ev.Event] = []
    for start, end in itertools.pairwise([0, *places, len(stream)]):
        events += decoder.feed(stream[start:end])
    assert events + decoder.end() == decoded(stream)


@pytest.mark.parametrize("recording", STREAMS[:6], ids=name_of)
def test_every_prefix_ends_in_so_many_words(recording: Recording) -> None:
    stream = recording.stream
    for length in range(0, len(stream), max(1, len(stream) // 60)):
        events, tap = decoded(stream[:length]), DIALECT.tap(strip_usage=False)
        tap.forward(stream[:length])
        tap.end()
        assert isinstance(events[-1], ev.Ended | ev.Failed)
        assert tap.ended is isinstance(events[-1], ev.Ended)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=90),
    live=st.booleans(),
)
def test_deltas_join_to_the_text_with_and_without_a_frame(texts: list[str], live: bool) -> None:
    chunks = [
        chunk({"text": text}, **({"usageMetadata": {"candidatesTokenCount": number}} if live else {}))
        for number, text in enumerate(texts)
    ]
    response = read(*chunks, chunk(word="STOP"))
    part = response.choices[0].parts[0]
    assert isinstance(part, Text) and part.text == "".join(texts)


def test_thoughts_text_calls_and_their_signatures_stay_in_order() -> None:
    response = read(
        chunk({"text": "hm", "thought": True}), chunk({"text": "m", "thought": True}),
        chunk({"text": "I "}), chunk({"text": "look", "thoughtSignature": "QQ=="}), chunk({"text": "."}),
        chunk({"functionCall": {"name": "f", "args": {"b": 1, "a": 2}}, "thoughtSignature": "Qg=="}),
        chunk({"text": "", "thoughtSignature": "Qw=="}, word="STOP"),
    )  # fmt: skip
    thought, first, second, call, last = response.choices[0].parts
    assert isinstance(thought, Reasoning) and (thought.text, thought.summary) == ("hmm", True)
    assert isinstance(first, Text) and first.signature is not None
    assert (first.text, first.signature.data) == ("I look", "QQ==")
    assert isinstance(second, Text) and second.text == "." and second.signature is None
    assert isinstance(call, Call) and call.arguments == '{"b":1,"a":2}' and call.signature is not None
    assert isinstance(last, Text) and last.signature is not None and last.signature.data == "Qw=="


def test_a_signature_in_an_empty_last_text_belongs_to_the_text_before_it() -> None:
    response = read(chunk({"text": "Hi"}), chunk({"text": "", "thoughtSignature": "QQ=="}, word="STOP"))
    assert len(response.choices[0].parts) == 1
    assert response.choices[0].parts[0].signature.data == "QQ=="  # type: ignore[union-attr]


def test_r044_each_call_of_one_chunk_is_its_own() -> None:
    call = {"functionCall": {"name": "f", "args": {"x": 1}}}
    stream = sse(
        chunk(call, {"text": "and"}, {"functionCall": {"name": "g", "args": {}}}), chunk(call, call, word="STOP")
    )
    parts = fold(decoded(stream)).choices[0].parts
    calls = [part for part in parts if isinstance(part, Call)]
    assert [type(part) for part in parts[:3]] == [Call, Text, Call]
    assert [one.name for one in calls] == ["f", "g", "f", "f"]
    assert len({one.id for one in calls}) == 4 and all(one.id for one in calls)
    for name in ("chat", "messages", "responses"):
        encoder, back = DIALECTS[name].encoder(asker()), DIALECTS[name].decoder()
        ids = [
            p.id
            for p in fold(back.feed(encoder.encode(decoded(stream))) + back.end()).choices[0].parts
            if isinstance(p, Call)
        ]
        assert len(set(ids)) == 4
    nameless = decoded(stream.replace(b'"responseId": "r1"', b'"other": 1'))
    assert all(event.id is None for event in nameless if isinstance(event, ev.PartStarted)), (
        "the client's encoder makes them"
    )


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_r028_a_malformed_call_is_an_error_and_never_an_empty_success(word: str) -> None:
    for candidate in ({"content": {"role": "model", "parts": [{"thoughtSignature": "QQ=="}]}}, {}):
        body = {"candidates": [{**candidate, "finishReason": word, "finishMessage": "bad call"}]}
        error = failure(decoded(sse(body)))
        assert (error.fault, error.kind) == (Fault.PROVIDER, Kind.UPSTREAM_FAILED)
        assert word in error.message and "bad call" in error.message
        with pytest.raises(Problem):
            DIALECT.read_response(body)
        with pytest.raises(Problem):
            DIALECT.read_usage(body)
        tap = DIALECT.tap(strip_usage=False)
        assert tap.forward(sse(body)) + tap.end() == b"" and tap.error is not None


@pytest.mark.parametrize(
    "stream",
    [sse(chunk({"text": "Hi"})), sse(chunk({"text": "Hi"}, {"text": " you"})) + b"data: {", b"", b"data: {}\n\n"],
)
def test_r031_a_stream_that_stops_in_the_middle_has_failed(stream: bytes) -> None:
    assert failure(decoded(stream)).kind is Kind.UPSTREAM_TRUNCATED


def test_r032_an_error_as_the_first_event_is_the_providers_status() -> None:
    body = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    for form in (body, [body]):
        error = failure(decoded(sse(form)))
        assert (error.kind, error.status) == (Kind.OVERLOADED, 503)
    with pytest.raises(Problem, match="overloaded"):
        DIALECT.read_response(body)
    tap = DIALECT.tap(strip_usage=False)
    assert tap.forward(sse(body)) == b""
    assert tap.error is not None and not tap.content_seen


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_r034_every_line_end_and_a_bom_give_the_same(line_end: bytes) -> None:
    plain = load("google-google_streaming_tool_call_thought_signature.0").stream
    stream = b"\xef\xbb\xbf" + plain.replace(b"\n", line_end).replace(b"data: ", b"data:")
    assert decoded(stream) == decoded(plain)
    tap = DIALECT.tap(strip_usage=False)
    assert tap.forward(stream) + tap.end() == stream[3:]
    assert tap.ended and tap.usage == fold(decoded(plain)).usage


def test_r035_big_events_arrive_whole_and_too_big_ones_fail_loudly() -> None:
    data = "QUJD" * 300_000
    response = read(chunk({"inlineData": {"mimeType": "image/png", "data": data}}, word="STOP"))
    image = response.choices[0].parts[0]
    assert isinstance(image, Image) and image.source.data == data
    decoder = DIALECT.decoder()
    events = [
        one for _ in range(9) for one in decoder.feed(b"data: " + b"x" * 4_000_000 if not _ else b"x" * 4_000_000)
    ]
    assert failure(events).kind is Kind.UPSTREAM_BROKEN
    assert decoder.feed(b"data: {}\n\n") == decoder.end() == []


def test_r038_an_empty_response_is_a_sign_of_life() -> None:
    stream = b"data: {}\n\n" + sse(chunk({"text": "a"}), {}, chunk({"text": "b"}, word="STOP"))
    assert decoded(stream)[0] == ev.Alive()
    assert fold(decoded(stream)).choices[0].parts[0].text == "ab"  # type: ignore[union-attr]


def test_r099_usage_is_taken_apart_and_the_last_one_counts() -> None:
    counted = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 800,
        "candidatesTokenCount": 5,
        "totalTokenCount": 1005,
    }
    response = read(
        chunk({"text": "a"}, usageMetadata={"promptTokenCount": 1000, "totalTokenCount": 1000}),
        chunk({"text": "b"}, usageMetadata={**counted, "candidatesTokenCount": 2}), chunk(word="STOP", usageMetadata=counted),
    )  # fmt: skip
    usage = response.usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.output_text, usage.output_reasoning) == (200, 800, 5, None)
    for body, input_, cached in ((counted, 200, 800), ({"promptTokenCount": 1000, "candidatesTokenCount": 5}, 1000, 0)):
        answer = DIALECT.read_response(chunk({"text": "a"}, word="STOP", usageMetadata=body))
        written = json.loads(DIALECTS["messages"].write_response(answer, asker())[0])["usage"]
        assert (written["input_tokens"], written.get("cache_read_input_tokens") or 0) == (input_, cached)


def test_thoughts_and_tool_prompts_are_counted_apart_and_a_missing_zero_follows_from_the_total() -> None:
    body = {"promptTokenCount": 10, "toolUsePromptTokenCount": 4, "thoughtsTokenCount": 6, "totalTokenCount": 20}
    usage = DIALECT.read_response(chunk({"text": "a"}, word="STOP", usageMetadata=body)).usage
    assert usage is not None
    assert (usage.input_total, usage.output_text, usage.output_reasoning, usage.output_total) == (14, 0, 6, 6)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"), ("SPII", "content_filter"), ("LANGUAGE", "other"), ("OTHER", "other"),
        ("CONTINUATION", "continuation"), ("A_NEW_WORD", "other"),
    ],
)  # fmt: skip
def test_every_finish_reason_has_its_meaning(word: str, reason: str) -> None:
    finish = read(chunk({"text": "a"}, word=word)).choices[0].finish
    assert finish is not None and (finish.reason, finish.native) == (reason, word)


def test_r007_calls_are_not_to_be_run_where_the_limit_cut_the_answer() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    for word, reason in (("STOP", "tool_use"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter")):
        finish = read(chunk(call, word=word)).choices[0].finish
        assert finish is not None and finish.reason == reason


def test_a_blocked_prompt_is_content_filtered_and_goes_back_to_gemini_as_it_was() -> None:
    body = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 3},
        "responseId": "r",
    }
    for response in (read(body), DIALECT.read_response(body)):
        finish = response.choices[0].finish
        assert finish is not None and finish.reason == "content_filter"
        written = json.loads(DIALECT.write_response(response, asker())[0])
        assert written == {**body, "modelVersion": "alias"}


def test_a_missing_signature_in_the_history_is_the_requests_fault() -> None:
    assert failure(decoded(sse(chunk(word="MISSING_THOUGHT_SIGNATURE")))).fault is Fault.REQUEST


@pytest.mark.parametrize("noise", [b"data: [1]\n\n", b"data: nonsense\n\n", b'data: "x"\n\n'])
def test_an_event_that_is_no_response_breaks_the_stream(noise: bytes) -> None:
    assert failure(decoded(sse(chunk({"text": "a"})) + noise + sse(chunk(word="STOP")))).kind is Kind.UPSTREAM_BROKEN


@pytest.mark.parametrize("body", [{}, {"usageMetadata": {"promptTokenCount": 1}}, {"candidates": []}])
def test_an_answer_without_candidates_is_none(body: dict[str, Any]) -> None:
    for reader in (DIALECT.read_response, DIALECT.read_usage):
        with pytest.raises(Problem) as raised:
            reader(body)
        assert raised.value.error.kind is Kind.UPSTREAM_BROKEN


def test_what_only_gemini_knows_is_kept_whole() -> None:
    part = {"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "QQ=="}
    response = DIALECT.read_response(chunk(part, word="STOP"))
    assert response.choices[0].parts == [Opaque("gemini", "executableCode", part)]


def test_citations_are_counted_in_characters() -> None:
    text = HELLO + "cited"
    start = len(HELLO.encode())
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"retrievedContext": {"title": "doc"}}],
        "groundingSupports": [
            {"segment": {"startIndex": start, "endIndex": start + 5, "text": "cited"}, "groundingChunkIndices": [0, 1]}
        ],
    }
    last = chunk(word="STOP", candidate={"groundingMetadata": grounding})
    for response in (
        read(chunk({"text": HELLO}), chunk({"text": "cited"}), last),
        DIALECT.read_response(chunk({"text": text}, word="STOP", candidate={"groundingMetadata": grounding})),
    ):
        part = response.choices[0].parts[0]
        assert isinstance(part, Text)
        assert [(one.kind, one.url, one.title) for one in part.citations] == [
            ("url", "https://a", "A"),
            ("document", None, "doc"),
        ]
        assert all(text[one.start : one.end] == "cited" == one.cited_text for one in part.citations)
        written = json.loads(DIALECT.write_response(response, asker())[0])
        assert written["candidates"][0]["groundingMetadata"] == grounding
    chat = json.loads(
        DIALECTS["chat"].write_response(
            DIALECT.read_response(chunk({"text": text}, word="STOP", candidate={"groundingMetadata": grounding})),
            asker(),
        )[0]
    )
    (annotation,) = chat["choices"][0]["message"]["annotations"]
    assert text[annotation["url_citation"]["start_index"] : annotation["url_citation"]["end_index"]] == "cited"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
def test_offsets_agree_with_encoding_the_text(pieces: list[str]) -> None:
    offsets, text = Offsets(), "".join(pieces)
    for piece in pieces:
        offsets.add(piece)
    for place in range(len(text) + 1):
        size = len(text[:place].encode())
        assert (offsets.bytes_at(place), offsets.characters_at(size)) == (size, place)
    assert offsets.characters == len(text)


def test_log_probabilities_take_chats_shape_and_come_back() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -2.0}]}
        ],
    }
    response = DIALECT.read_response(chunk({"text": "é"}, word="STOP", candidate={"logprobsResult": result}))
    logprobs = response.choices[0].logprobs
    assert logprobs is not None
    assert logprobs["content"][0]["bytes"] == list("é".encode())
    assert [one["logprob"] for one in logprobs["content"][0]["top_logprobs"]] == [-0.5, -2.0]
    assert json.loads(DIALECT.write_response(response, asker())[0])["candidates"][0]["logprobsResult"] == result


def test_streamed_arguments_become_one_call() -> None:
    response = fold(decoded(load("google-google-vertex-stream-tool-call-arguments-nested.1").stream))
    (call,) = (part for part in response.choices[0].parts if isinstance(part, Call))
    recipe = json.loads(call.arguments)["recipe"]
    assert recipe["ingredients"][0] == {"amount": "16 oz", "name": "Lasagna noodles"}
    assert call.signature is not None


@given(
    st.lists(
        st.fixed_dictionaries({"jsonPath": st.text(".[]$ab01'\"", max_size=12), "stringValue": st.text(max_size=2)}),
        max_size=6,
    )
)
def test_no_path_breaks_partial_arguments(pieces: list[Any]) -> None:
    arguments = PartialArguments()
    arguments.add([*pieces, None, {"jsonPath": 3}, {"jsonPath": "$.x[99999999]", "numberValue": 1}])
    json.dumps(arguments.value)


def test_candidates_have_their_own_parts_and_endings() -> None:
    two = {
        "candidates": [
            {"index": 1, "content": {"parts": [{"text": "b"}]}},
            {"index": 0, "content": {"parts": [{"text": "a"}]}},
        ]
    }
    ends = {"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1, "finishReason": "MAX_TOKENS"}]}
    response = read(two, ends)
    assert [(one.parts[0].text, one.finish.reason) for one in response.choices] == [("a", "stop"), ("b", "length")]  # type: ignore[union-attr]
    assert failure(decoded(sse(two, {"candidates": [ends["candidates"][0]]}))).kind is Kind.UPSTREAM_TRUNCATED


def test_the_tap_reads_usage_in_the_middle_and_parses_few_events() -> None:
    tap = DIALECT.tap(strip_usage=False)
    for number in range(100):
        event = sse(chunk({"text": "a"}, usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": number}))
        assert tap.forward(event) == event
    assert tap.usage is not None and (tap.usage.input_total, tap.usage.output_total) == (5, 99)
    tap.forward(sse(chunk(word="STOP", usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 100})))
    tap.end()
    assert tap.ended and tap.usage is not None and tap.usage.output_total == 100
