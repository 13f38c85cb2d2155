"""Every accent of a chat stream gives the same events; a stream that goes wrong says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.recordings import decoded, sse

from ds2api.dialects.chat import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.errors import Fault, Kind
from ds2api.universal.parts import Audio, Call, Image, Reasoning, Refusal, Text
from ds2api.universal.response import Response, fold
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES


def chunk(
    delta: dict[str, Any] | None = None, *, word: str | None = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": word}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "m",
        "choices": choices,
        **more,
    }


def call(
    index: int | None, arguments: str | None = None, *, identity: str | None = None, name: str | None = None
) -> dict[str, Any]:
    function: dict[str, Any] = {}
    if name is not None:
        function["name"] = name
    if arguments is not None:
        function["arguments"] = arguments
    piece: dict[str, Any] = {"function": function}
    if index is not None:
        piece["index"] = index
    if identity is not None:
        piece["id"] = identity
    return {"tool_calls": [piece]}


def answer(*chunks: dict[str, Any] | str, word: str = "stop") -> Response:
    return fold(decoded(sse(*chunks, chunk({}, word=word), "[DONE]")))


def calls_of(response: Response) -> list[tuple[str, str, str]]:
    return [(part.id, part.name, part.arguments) for part in response.choices[0].parts if isinstance(part, Call)]


def thoughts_of(response: Response) -> list[str]:
    return [part.text for part in response.choices[0].parts if isinstance(part, Reasoning)]


def reason_of(response: Response) -> str:
    finish = response.choices[0].finish
    assert finish is not None
    return finish.reason


def failure(stream: bytes) -> ev.Failed:
    last = decoded(stream)[-1]
    assert isinstance(last, ev.Failed)
    return last


# --- tool calls ---


def test_r001_two_calls_one_after_the_other_stay_two() -> None:
    """R001."""
    response = answer(
        chunk(call(0, "", identity="call_a", name="t1")), chunk(call(0, "{}")), chunk(call(1, "{}", identity="call_b", name="t2")),
        word="tool_calls",
    )  # fmt: skip
    assert calls_of(response) == [("call_a", "t1", "{}"), ("call_b", "t2", "{}")]
    assert reason_of(response) == "tool_use"


def test_interleaved_calls_lose_no_piece() -> None:
    """R002."""
    both = {
        "tool_calls": [
            *call(0, "", identity="c0", name="f")["tool_calls"],
            *call(1, "", identity="c1", name="g")["tool_calls"],
        ]
    }
    pieces = [call(0, '{"a"'), call(1, '{"b"'), call(0, ":1}"), call(1, ":2}")]
    response = answer(chunk(both), *(chunk(piece) for piece in pieces), word="tool_calls")
    assert calls_of(response) == [("c0", "f", '{"a":1}'), ("c1", "g", '{"b":2}')]


def test_usage_on_every_chunk_ends_nothing() -> None:
    """R004: the last one counts, and all arguments arrive."""
    usages = [{"prompt_tokens": 9, "completion_tokens": number} for number in range(3)]
    response = answer(
        chunk(call(0, "", identity="c", name="f"), usage=usages[0]), chunk(call(0, '{"x"'), usage=usages[1]),
        chunk(call(0, ":1}"), usage=usages[2]), word="tool_calls",
    )  # fmt: skip
    assert calls_of(response) == [("c", "f", '{"x":1}')]
    assert response.usage is not None
    assert response.usage.output_total == 2


def test_call_that_was_cut_by_the_limit_is_no_tool_use() -> None:
    """R007: nobody may run half a call."""
    response = answer(chunk(call(0, '{"path":"x","text":"abc', identity="c", name="f")), word="length")
    assert reason_of(response) == "length"


def test_call_that_was_cut_by_the_connection_is_a_failure() -> None:
    assert failure(sse(chunk(call(0, '{"path":"x', identity="c", name="f")))).error.kind is Kind.UPSTREAM_TRUNCATED


def test_stop_after_calls_is_tool_use() -> None:
    """`streams.md` §9.7: Google's own chat layer ends so."""
    assert reason_of(answer(chunk(call(0, "{}", identity="c", name="f")), word="stop")) == "tool_use"


@pytest.mark.parametrize(
    "pieces",
    [
        [call(None, '{"a":1}', identity="x", name="f"), call(None, '{"b":2}', identity="y", name="g")],
        [call(None, '{"a"', identity="x", name="f"), call(None, ":1}"), call(None, '{"b":2}', identity="y", name="g")],
        [
            call(0, '{"a":1}', identity="x", name="f"),
            call(0, '{"b":2}', identity="y", name="g"),
        ],  # every call numbered 0
        [call(0, '{"a":1}', identity="x", name="f"), call(0, '{"b"', identity="y", name="g"), call(0, ":2}")],
        [call(1, '{"a":1}', identity="x", name="f"), call(2, '{"b":2}', identity="y", name="g")],  # numbered from 1
        [call(0, identity="x"), call(0, '{"a"', name="f"), call(0, ":1}"), call(1, '{"b":2}', identity="y", name="g")],
        [
            call(0, '{"a"', identity="x", name="f"),
            call(0, ":1}", identity="x"),
            call(1, '{"b":2}', identity="y", name="g"),
        ],
    ],
)
def test_calls_are_told_apart_in_every_way_of_numbering(pieces: list[dict[str, Any]]) -> None:
    response = answer(*(chunk(piece) for piece in pieces), word="tool_calls")
    assert calls_of(response) == [("x", "f", '{"a":1}'), ("y", "g", '{"b":2}')]


def test_call_without_an_id_gets_one_of_its_own() -> None:
    first = answer(chunk(call(0, "{}", name="f")), chunk(call(1, "{}", name="f")))
    ids = [identity for identity, _, _ in calls_of(first)]
    assert len(set(ids)) == 2
    assert all(identity.startswith("call_") for identity in ids)


def test_empty_call_is_no_call() -> None:
    """Snowflake sends them beside text."""
    piece = {"content": "x", "tool_calls": [{"index": 0, "id": "", "function": {"name": "", "arguments": ""}}]}
    response = answer(chunk(piece))
    assert calls_of(response) == []
    assert reason_of(response) == "stop"


def test_old_function_call_is_a_call() -> None:
    response = answer(
        chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": '{"a":1}'}}),
        word="function_call",
    )  # fmt: skip
    assert [(name, text) for _, name, text in calls_of(response)] == [("f", '{"a":1}')]
    assert reason_of(response) == "tool_use"


def test_custom_call_takes_free_text() -> None:
    start = {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "p", "input": ""}}]}
    more = {"tool_calls": [{"index": 0, "custom": {"input": "*** Begin\n"}}]}
    part = answer(chunk(start), chunk(more), word="tool_calls").choices[0].parts[0]
    assert isinstance(part, Call)
    assert (part.custom, part.arguments) == (True, "*** Begin\n")


def test_arguments_as_an_object_are_text() -> None:
    piece = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]}
    assert calls_of(answer(chunk(piece))) == [("c", "f", '{"a":1}')]


# --- reasoning, refusals, citations, media ---


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "let "}, {"reasoning_content": "me"}],
        [{"reasoning": "let "}, {"reasoning": "me"}],
        [{"reasoning_content": "let ", "reasoning": "let "}, {"reasoning_content": "me", "reasoning": "me"}],
        [
            {"reasoning": text, "reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]}
            for text in ("let ", "me")
        ],
        [{"reasoning_details": [{"type": "reasoning.summary", "summary": "let me", "index": 0}]}],
        [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "let me"}]}]}],
    ],
)
def test_r025_every_spelling_of_reasoning_gives_the_text_once(deltas: list[dict[str, Any]]) -> None:
    """R025."""
    response = answer(*(chunk(delta) for delta in deltas), chunk({"content": "yes"}))
    assert thoughts_of(response) == ["let me"]
    assert [type(part) for part in response.choices[0].parts] == [Reasoning, Text]


def test_proof_of_reasoning_comes_whole_at_its_end() -> None:
    entries = [
        {"type": "reasoning.text", "text": "hm", "index": 0},
        {"type": "reasoning.text", "signature": "SIG", "index": 0},
    ]
    response = answer(*(chunk({"reasoning_details": [entry]}) for entry in entries), chunk({"content": "x"}))
    part = response.choices[0].parts[0]
    assert isinstance(part, Reasoning)
    assert part.sealed is not None
    assert json.loads(part.sealed.data) == {"type": "reasoning.text", "signature": "SIG", "index": 0}


def test_r026_parts_of_one_kind_never_mix() -> None:
    """R026: a delta comes only within a part of its own kind."""
    events = decoded(
        sse(chunk({"reasoning": "a"}), chunk({"content": "b"}), chunk({"reasoning": "c"}), chunk({}, word="stop"))
    )
    kinds: dict[int, str] = {}
    open_parts: set[int] = set()
    for event in events:
        if isinstance(event, ev.PartStarted):
            kinds[event.part] = event.kind
            open_parts.add(event.part)
        elif isinstance(event, ev.TextDelta):
            assert event.part in open_parts
            assert kinds[event.part] == "text"
        elif isinstance(event, ev.ReasoningDelta):
            assert event.part in open_parts
            assert kinds[event.part] == "reasoning"
        elif isinstance(event, ev.PartFinished):
            open_parts.remove(event.part)
    assert list(kinds.values()) == ["reasoning", "text", "reasoning"]
    assert not open_parts


def test_refusal_is_an_answer() -> None:
    """R013."""
    response = answer(chunk({"refusal": "I can"}), chunk({"refusal": "'t"}))
    assert [part.text for part in response.choices[0].parts if isinstance(part, Refusal)] == ["I can't"]
    assert reason_of(response) == "refusal"


def test_citations_without_text_are_an_answer() -> None:
    """R013, its other stream."""
    note = {
        "type": "url_citation",
        "url_citation": {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 4},
    }
    part = answer(chunk({"annotations": [note]})).choices[0].parts[0]
    assert isinstance(part, Text)
    assert [(one.url, one.title, one.start, one.end) for one in part.citations] == [("https://a.example", "A", 0, 4)]


def test_audio_comes_in_pieces() -> None:
    response = answer(
        chunk({"audio": {"id": "audio_1", "transcript": "hi"}}), chunk({"audio": {"data": "AAAA"}}),
        chunk({"audio": {"data": "BBBB"}}),
    )  # fmt: skip
    part = response.choices[0].parts[0]
    assert isinstance(part, Audio)
    assert part.source.data == "AAAABBBB"


def test_image_is_a_part() -> None:
    url = "data:image/png;base64,iVBOR"
    part = answer(chunk({"images": [{"type": "image_url", "image_url": {"url": url}}]})).choices[0].parts[0]
    assert isinstance(part, Image)
    assert (part.source.media_type, part.source.data) == ("image/png", "iVBOR")


def test_logprobs_belong_to_their_choice() -> None:
    piece = chunk({"content": "x"})
    piece["choices"][0]["logprobs"] = {
        "content": [{"token": "x", "logprob": -0.1, "top_logprobs": []}],
        "refusal": None,
    }
    assert answer(piece).choices[0].logprobs == piece["choices"][0]["logprobs"]


# --- endings ---


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("model_length", "context_full"),
        ("eos", "stop"), ("", "stop"), ("abort", "other"),
    ],
)  # fmt: skip
def test_finish_word_is_read(word: str, reason: str) -> None:
    response = answer(chunk({"content": "x"}), word=word)
    assert reason_of(response) == reason


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
def test_stop_sequence_that_was_met_is_named(field: str) -> None:
    last = chunk({}, word="stop")
    last["choices"][0][field] = "END"
    finish = fold(decoded(sse(chunk({"content": "x"}), last, "[DONE]"))).choices[0].finish
    assert finish is not None
    assert (finish.reason, finish.stop_sequence) == ("stop_sequence", "END")


@pytest.mark.parametrize(
    ("word", "kind"), [("error", Kind.UPSTREAM_FAILED), ("insufficient_system_resource", Kind.OVERLOADED)]
)
def test_finish_word_of_a_failure_is_no_ending(word: str, kind: Kind) -> None:
    failed = failure(sse(chunk({"content": "x"}), chunk({}, word=word), "[DONE]"))
    assert (failed.error.fault, failed.error.kind) == (Fault.PROVIDER, kind)


def test_r010_content_and_finish_in_one_chunk_are_both_there() -> None:
    """R010."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    response = fold(decoded(sse(chunk({"content": "end"}, word="length", usage=usage), "[DONE]")))
    assert response.choices[0].parts == [Text("end")]
    assert reason_of(response) == "length"
    assert response.usage is not None


def test_end_of_the_bytes_is_an_end_if_every_choice_finished() -> None:
    assert type(decoded(sse(chunk({"content": "x"}), chunk({}, word="stop")))[-1]) is ev.Ended


def test_end_of_the_bytes_with_one_choice_unfinished_is_a_failure() -> None:
    stream = sse(chunk({"content": "x"}), chunk({"content": "y"}, index=1), chunk({}, word="stop"))
    assert failure(stream).error.kind is Kind.UPSTREAM_TRUNCATED


def test_two_deltas_and_then_nothing_is_a_failure() -> None:
    """R031: no made-up end."""
    failed = failure(sse(chunk({"content": "a"}), chunk({"content": "b"})))
    assert failed.error.kind is Kind.UPSTREAM_TRUNCATED
    assert failed.error.fault is Fault.PROVIDER


@pytest.mark.parametrize("stream", [b"", b": hi\n\n", sse("[DONE]"), sse(chunk(), "[DONE]")])
def test_stream_without_an_answer_is_a_failure(stream: bytes) -> None:
    assert failure(stream).error.kind in {Kind.UPSTREAM_TRUNCATED, Kind.UPSTREAM_BROKEN}


def test_nothing_follows_a_failure() -> None:
    decoder = DIALECT.decoder()
    events = decoder.feed(sse({"error": {"message": "m"}}, chunk({"content": "x"}), "[DONE]"))
    assert [type(event) for event in events] == [ev.Failed]
    assert decoder.feed(sse(chunk({"content": "y"}))) == []
    assert decoder.end() == []


@pytest.mark.parametrize("data", ["{", "null", "[1]", '"text"', "{}x"])
def test_event_that_is_no_object_is_a_broken_protocol(data: str) -> None:
    assert failure(sse(chunk({"content": "x"}), data)).error.kind is Kind.UPSTREAM_BROKEN


def test_event_beyond_the_limit_is_a_broken_protocol() -> None:
    """R035."""
    decoder = DIALECT.decoder()
    events = decoder.feed(b"data: " + b"x" * (DEFAULT_LIMIT_BYTES + 1))
    assert isinstance(events[-1], ev.Failed)
    assert events[-1].error.kind is Kind.UPSTREAM_BROKEN


@pytest.mark.parametrize("size", [70_000, 1_100_000, 4_000_000])
def test_large_event_arrives_whole(size: int) -> None:
    """R035."""
    response = answer(chunk(call(0, "x" * size, identity="c", name="f")))
    assert len(calls_of(response)[0][2]) == size


@given(st.lists(st.sampled_from([
    b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n', b'data: {"choices":[{"delta":null}]}\n\n',
    b'data: {"choices":[{"index":"a","delta":{"tool_calls":[null,{"function":7},{"index":0}]}}]}\n\n',
    b'data: {"choices":[{"delta":{"reasoning_details":[{"type":3,"index":{}}]}}]}\n\n', b'data: {"choices":{"a":1}}\n\n',
    b'data: {"choices":[{"delta":{"content":[{"type":"thinking","thinking":[7]}]},"finish_reason":9}]}\n\n',
    b'data: {"usage":[1],"id":3,"model":[],"created":"x"}\n\n', b'data: {"choices":[{"delta":{"annotations":[{}]}}]}\n\n',
    b'data: {"choices":[{"delta":{"audio":{"data":4}},"logprobs":3,"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n",
    b'data: {"choices":[{"delta":{"images":[{"image_url":{"url":3}}],"function_call":{"name":1}}}]}\n\n', b"event: x\n\n",
                b'data: {"choices":[{"index":{},"delta":{"tool_calls":[{"index":[],"function":{"arguments":"x"}}]}}]}\n\n',
]), max_size=8))  # fmt: skip
def test_decoder_is_total_over_odd_types(pieces: list[bytes]) -> None:
    events = decoded(b"".join(pieces))
    assert isinstance(events[-1], (ev.Ended, ev.Failed))


@given(st.binary(max_size=80))
def test_decoder_is_total_over_garbage(stream: bytes) -> None:
    assert isinstance(decoded(stream)[-1], (ev.Ended, ev.Failed))


# --- the short ways of the hot path, held to the general one ---

_WORDS = st.sampled_from(["plain ", "words", "x", "", 'q"uote', "é 😀", "back\\slash", "line\n", "\u2028", "stop", "m"])
_STEPS = st.one_of(
    st.tuples(st.just("content"), _WORDS),
    st.tuples(st.just("reasoning"), _WORDS),
    st.tuples(st.just("arguments"), _WORDS),
    st.tuples(st.just("call"), _WORDS),
    st.tuples(st.just("alive"), st.just("")),
    st.tuples(st.just("other"), _WORDS),
    st.tuples(st.just("usage"), _WORDS),
)


def written(steps: list[tuple[str, str]], padding: int) -> bytes:
    stream = sse(chunk({"role": "assistant", "content": ""}))
    for number, (kind, word) in enumerate(steps):
        more = {"obfuscation": "x" * (number % padding)} if padding else {}
        match kind:
            case "content" | "reasoning":
                stream += sse(chunk({kind: word}, **more))
            case "arguments":
                stream += sse(chunk(call(0, word), **more))
            case "call":
                stream += sse(chunk(call(number, word, identity=f"c{number}", name="f"), **more))
            case "alive":
                stream += b": hello\n\n"
            case "other":
                stream += sse(chunk({"content": word}, index=1, **more))
            case "usage":
                stream += sse(chunk({"content": word}, usage={"prompt_tokens": 1, "completion_tokens": number}, **more))
    return stream + sse(chunk({}, word="stop"), chunk({}, word="stop", index=1), "[DONE]")


@given(st.lists(_STEPS, max_size=40), st.sampled_from([0, 0, 3]), st.integers(1, 3))
def test_short_ways_give_the_events_of_the_general_one(
    steps: list[tuple[str, str]], padding: int, repeats: int
) -> None:
    """A stream with CR in it never takes the frame: it is the plain twin."""
    stream = written([step for step in steps for _ in range(repeats)], padding)
    assert decoded(stream) == decoded(stream.replace(b"\n", b"\r\n"))


def test_stream_of_which_no_two_events_are_alike_is_read_to_its_end() -> None:
    steps = [("content", f"word {number} ") for number in range(300)]
    events = decoded(written(steps, padding=50))
    assert fold(events).choices[0].parts == [Text("".join(word for _, word in steps))]


# --- accents around the answer ---


def test_r037_azures_chunks_without_delta_are_no_content() -> None:
    """R037: neither the leading chunk nor the late filter's gives a client anything."""
    leading = {"choices": [], "id": "", "model": "", "object": "", "created": 0, "prompt_filter_results": [{}]}
    late = {
        "id": "",
        "object": "",
        "choices": [
            {"index": 0, "finish_reason": None, "content_filter_results": {}, "content_filter_offsets": {"a": 1}}
        ],
    }
    events = decoded(
        sse(leading, chunk({"content": "x"}), late, chunk({"content": "y"}), chunk({}, word="stop"), "[DONE]")
    )
    assert not any(isinstance(event, ev.OpaqueSeen) for event in events)
    assert fold(events).choices[0].parts == [Text("xy")]
    assert isinstance(events[0], ev.Started)
    assert (events[0].id, events[0].model) == ("chatcmpl-1", "m")


def test_missing_usage_stays_unknown() -> None:
    """R011."""
    assert answer(chunk({"content": "x"})).usage is None


def test_usage_of_zero_stays_zero() -> None:
    """R091."""
    usage = answer(
        chunk({"content": "x"}), chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    ).usage
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (0, 0)


def test_groqs_usage_is_found() -> None:
    usage = answer(
        chunk({"content": "x"}), chunk({}, x_groq={"usage": {"prompt_tokens": 4, "completion_tokens": 5}})
    ).usage
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (4, 5)


def test_comments_are_signs_of_life_only() -> None:
    events = decoded(b": OPENROUTER PROCESSING\n\n" + sse(chunk({"content": "x"}), chunk({}, word="stop"), "[DONE]"))
    assert isinstance(events[0], ev.Alive)
    assert not isinstance(events[0], ev.CONTENT)


def test_moderation_of_the_whole_answer_is_kept() -> None:
    events = decoded(
        sse(chunk({"content": "x"}), chunk(moderation={"flagged": True}), chunk({}, word="stop"), "[DONE]")
    )
    notes = [event.data for event in events if isinstance(event, ev.OpaqueSeen)]
    assert notes == [{"fields": {"moderation": {"flagged": True}}}]


def test_whole_message_in_one_chunk_is_read() -> None:
    faked = {
        "id": "c",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}],
    }
    assert fold(decoded(sse(faked, "[DONE]"))).choices[0].parts == [Text("all")]


def test_choices_stay_apart() -> None:
    response = fold(decoded(sse(
        chunk({"content": "a"}), chunk({"content": "x"}, index=1), chunk({"content": "b"}), chunk({"content": "y"}, index=1),
        chunk({}, word="stop"), chunk({}, word="length", index=1), "[DONE]",
    )))  # fmt: skip
    assert [choice.parts for choice in response.choices] == [[Text("ab")], [Text("xy")]]
    assert [choice.finish.reason for choice in response.choices if choice.finish] == ["stop", "length"]
