"""Streams, both ways: lines of a server are read for any cut, and the real SDK reads what is written."""

from __future__ import annotations

import itertools
import json
from typing import Any

import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.ollama.samples import STREAMS, asker, decoded, lines, ndjson
from tests.dialects.ollama.sdk import answered

from ds2api.dialects.ollama import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.parts import Call, Citation, Sealed, Text
from ds2api.universal.response import fold, play
from ds2api.universal.usage import Usage

END: list[ev.Event] = [ev.UsageSeen(Usage(input_uncached=3, output_text=4)), ev.Finished("stop"), ev.Ended()]
each_stream = pytest.mark.parametrize("name", STREAMS)


def text(part: int, *pieces: str) -> list[ev.Event]:
    return [ev.PartStarted(part, "text"), *(ev.TextDelta(part, piece) for piece in pieces), ev.PartFinished(part)]


def call(part: int, id_: str | None, name: str, *pieces: str) -> list[ev.Event]:
    deltas: list[ev.Event] = [ev.ArgumentsDelta(part, piece) for piece in pieces]
    return [ev.PartStarted(part, "call", id=id_, name=name), *deltas, ev.PartFinished(part)]


def encoded(*events: ev.Event, **changes: Any) -> bytes:
    return DIALECT.encoder(asker(**changes)).encode([ev.Started("id", "m", 1), *events])


@given(
    name=st.sampled_from(sorted(STREAMS)),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_cut_gives_the_same_events(name: str, cuts: list[int], end: str) -> None:
    stream = ndjson(*STREAMS[name]).replace(b"\n", end.encode())
    decoder = DIALECT.decoder()
    events: list[ev.Event] = []
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    for start, stop in itertools.pairwise([0, *places, len(stream)]):
        events += decoder.feed(stream[start:stop])
    assert [*events, *decoder.end()] == decoded(ndjson(*STREAMS[name]))


@each_stream
def test_every_prefix_ends_and_the_tap_agrees(name: str) -> None:
    stream = ndjson(*STREAMS[name])
    for at in range(len(stream) + 1):
        decoder, tap = DIALECT.decoder(), DIALECT.tap(strip_usage=False)
        events = [*decoder.feed(stream[:at]), *decoder.end()]
        passed = tap.forward(stream[:at]) + tap.end()
        assert isinstance(events[-1], ev.Ended if at >= len(stream) - 1 else ev.Failed)
        assert tap.ended is isinstance(events[-1], ev.Ended)
        assert stream.startswith(passed)
        assert passed.endswith(b"\n") or not passed
        if isinstance(events[-1], ev.Failed):
            assert events[-1].error.kind is Kind.UPSTREAM_TRUNCATED
            assert tap.error is not None
            assert tap.error.kind is Kind.UPSTREAM_TRUNCATED
            assert events[-1].error.fault is Fault.PROVIDER


@each_stream
@given(cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_tap_passes_every_byte_and_reads_the_end(name: str, cuts: list[int]) -> None:
    stream = ndjson(*STREAMS[name])
    tap = DIALECT.tap(strip_usage=True)
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    passed = b"".join(tap.forward(stream[a:b]) for a, b in itertools.pairwise([0, *places, len(stream)]))
    assert passed + tap.end() == stream
    assert tap.ended
    assert tap.content_seen
    assert tap.error is None
    assert tap.usage is not None
    assert (tap.usage.input_total, tap.usage.output_total) == (26, 298)


def test_tap_waits_for_content_and_takes_an_error_out() -> None:
    tap = DIALECT.tap(strip_usage=False)
    empty = ndjson(STREAMS["text"][0] | {"message": {"role": "assistant", "content": ""}})
    assert tap.forward(empty) == empty
    assert not tap.content_seen
    first = ndjson(STREAMS["text"][0])
    assert tap.forward(first + ndjson({"error": "out of memory sk-abc123"}) + first) == first
    assert tap.content_seen
    assert tap.error is not None
    assert tap.error.status == 200
    assert tap.forward(first) == b""


@each_stream
def test_whole_answer_means_the_same_as_its_stream(name: str) -> None:
    """`stream: false` gives one object with the same fields."""
    streamed = fold(decoded(ndjson(*STREAMS[name])))
    whole: dict[str, Any] = dict(STREAMS[name][-1])
    key = "response" if "response" in whole else "message"
    for line in STREAMS[name][:-1]:
        said = line if key == "response" else line["message"]
        into = whole if key == "response" else whole.setdefault("m", {"role": "assistant", "content": ""})
        for field in ("response", "content", "thinking"):
            if said.get(field):
                into[field] = into.get(field, "") + said[field]
        if said.get("tool_calls"):
            into["tool_calls"] = into.get("tool_calls", []) + said["tool_calls"]
        if "logprobs" in line:
            whole["logprobs"] = whole.get("logprobs", []) + line["logprobs"]
    if "m" in whole:
        whole["message"] = whole.pop("m")
    assert DIALECT.read_response(whole) == streamed


@each_stream
def test_what_is_read_is_written_again(name: str) -> None:
    form = "generate" if name == "generate" else ""
    response = fold(decoded(ndjson(*STREAMS[name])))
    encoder = DIALECT.encoder(asker(form=form))
    again = encoder.encode(play(response))
    back = fold(decoded(again))
    assert encoder.losses == []
    assert back.choices == response.choices
    assert back.usage == response.usage
    body, losses = DIALECT.write_response(response, asker(form=form))
    assert losses == []
    assert DIALECT.read_response(json.loads(body)).choices == response.choices


def test_figures_and_what_only_ollama_says_come_back_to_its_client() -> None:
    events = decoded(ndjson(*STREAMS["generate"]))
    last = lines(DIALECT.encoder(asker(form="generate")).encode(events))[-1]
    given = STREAMS["generate"][-1]
    assert last == given | {"model": "alias", "created_at": "2023-11-14T22:13:20Z"}


def test_the_sdk_reads_every_delta() -> None:
    stream = encoded(
        ev.PartStarted(0, "reasoning"), ev.ReasoningDelta(0, "Hm"), ev.PartFinished(0),
        *text(1, "Hel", 'lo "☀"\n'), *call(2, "c1", "look", '{"a"', ":1}"), *call(3, None, "look", ""), *END,
    )  # fmt: skip
    chunks = list(answered(200, stream).chat("alias", stream=True))
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == "Hm"
    assert "".join(chunk.message.content or "" for chunk in chunks) == 'Hello "☀"\n'
    calls = [one.function for chunk in chunks for one in chunk.message.tool_calls or []]
    assert [(one.name, one.arguments) for one in calls] == [("look", {"a": 1}), ("look", {})]
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    last = chunks[-1]
    assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 3, 4)
    assert all(getattr(last, name) == 0 for name in ("total_duration", "load_duration", "eval_duration"))
    assert {chunk.model for chunk in chunks} == {"alias"}


def test_the_sdk_reads_the_generate_form() -> None:
    stream = encoded(
        ev.PartStarted(0, "reasoning"), ev.ReasoningDelta(0, "Hm"), ev.PartFinished(0), *text(1, "Yes"), *END,
        form="generate",
    )  # fmt: skip
    chunks = list(answered(200, stream).generate("alias", "Why?", stream=True))
    assert "".join(chunk.response or "" for chunk in chunks) == "Yes"
    assert "".join(chunk.thinking or "" for chunk in chunks) == "Hm"
    body, _ = DIALECT.write_response(fold(decoded(stream)), asker(form="generate"))
    whole = answered(200, body).generate("alias", "Why?")
    assert (whole.response, whole.thinking, whole.done) == ("Yes", "Hm", True)


def test_each_delta_leaves_at_once() -> None:
    encoder = DIALECT.encoder(asker())
    encoder.encode([ev.Started("id", "m", 1), ev.PartStarted(0, "text")])
    for piece in ("a", "b\n", "☀"):
        (line,) = lines(encoder.encode([ev.TextDelta(0, piece)]))
        assert line["message"] == {"role": "assistant", "content": piece}
        assert line["done"] is False


def test_keep_alive_is_a_delta_without_text() -> None:
    """A blank line is an error to the SDK."""
    encoder = DIALECT.encoder(asker())
    stream = encoder.alive() + encoder.encode([ev.Started("id", "m", 1)]) + encoder.alive()
    stream += encoder.encode([*text(0, "Hi"), *END])
    assert encoder.alive() == b""
    chunks = list(answered(200, stream).chat("alias", stream=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == "Hi"


def test_interleaved_calls_leave_whole_and_in_the_order_in_which_they_began() -> None:
    events: list[ev.Event] = [
        ev.PartStarted(0, "call", id="c0", name="a"), ev.PartStarted(1, "call", id="c1", name="b"),
        ev.ArgumentsDelta(0, '{"a"'), ev.ArgumentsDelta(1, '{"b"'), ev.ArgumentsDelta(1, ":2}"), ev.PartFinished(1),
        ev.ArgumentsDelta(0, ":1}"), ev.PartFinished(0),
    ]  # fmt: skip
    said = [one for line in lines(encoded(*events, *END)) for one in line["message"].get("tool_calls", [])]
    assert said == [
        {"id": "c0", "function": {"index": 0, "name": "a", "arguments": {"a": 1}}},
        {"id": "c1", "function": {"index": 1, "name": "b", "arguments": {"b": 2}}},
    ]


@pytest.mark.parametrize(
    ("reason", "word", "is_lost"),
    [
        ("stop", "stop", False), ("stop_sequence", "stop", False), ("length", "length", False),
        ("context_full", "length", False), ("tool_use", "stop", False), ("refusal", "stop", True),
        ("content_filter", "stop", True), ("pause", "stop", True), ("compaction", "stop", True),
        ("continuation", "stop", True), ("other", "stop", True),
    ],
)  # fmt: skip
def test_r041_every_reason_has_a_legal_word(reason: ev.FinishReason, word: str, is_lost: bool) -> None:
    encoder = DIALECT.encoder(asker())
    last = lines(encoder.encode([*text(0, "x"), ev.Finished(reason, native="xyz"), ev.Ended()]))[-1]
    assert last["done_reason"] == word
    assert ("ds2api_warnings" in last) is is_lost
    assert [loss.path for loss in encoder.losses] == (["done_reason"] if is_lost else [])


def test_r028_a_malformed_call_is_an_error() -> None:
    events = [ev.Started("id", "m", 1), ev.Finished("malformed_tool", native="MALFORMED_FUNCTION_CALL"), ev.Ended()]
    (line,) = lines(DIALECT.encoder(asker()).encode(events))
    assert "MALFORMED_FUNCTION_CALL" in line["error"]


def test_r031_a_failure_is_the_last_line_and_raises() -> None:
    error = Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "the provider's stream ended before its answer was complete")
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.PartStarted(0, "text"), ev.TextDelta(0, "Hel"), ev.Failed(error)])
    assert encoder.encode(END) == b""
    assert lines(stream)[-1] == {"error": error.message}
    chunks = answered(200, stream).chat("alias", stream=True)
    assert next(chunks).message.content == "Hel"
    with pytest.raises(ollama.ResponseError, match="before its answer"):
        next(chunks)


def test_r031_a_server_that_stops_in_the_middle_failed() -> None:
    events = decoded(ndjson(*STREAMS["text"][:2]))
    assert [type(event) for event in events[-2:]] == [ev.TextDelta, ev.Failed]


@pytest.mark.parametrize("line", [b"{\n", b"[1]\n", b"7\n", b"<html>\n"])
def test_what_is_no_object_broke_the_protocol(line: bytes) -> None:
    event = decoded(line)[-1]
    assert isinstance(event, ev.Failed)
    assert event.error.kind is Kind.UPSTREAM_BROKEN
    tap = DIALECT.tap(strip_usage=False)
    assert tap.forward(line) == b""
    assert tap.error is not None


def test_r035_large_lines_arrive_and_too_large_ones_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    big = STREAMS["text"][0] | {"message": {"role": "assistant", "content": "x" * 4_000_000}}
    stream = ndjson(big, STREAMS["text"][-1])
    decoder = DIALECT.decoder()
    pieces = [decoder.feed(stream[at : at + 65_536]) for at in range(0, len(stream), 65_536)]
    events = [event for piece in pieces for event in piece]
    assert len(fold(events).choices[0].parts[0].text) == 4_000_000  # type: ignore[union-attr]
    from ds2api.dialects.ollama.lines import LineSplitter
    from ds2api.wire.sse import EventTooLarge

    splitter = LineSplitter(100)
    with pytest.raises(EventTooLarge, match="100 bytes"):
        splitter.feed(b"x" * 101)
    with pytest.raises(EventTooLarge):
        LineSplitter(100).feed(b"x" * 101 + b"\n")


def test_r007_a_call_cut_by_the_limit_is_no_call() -> None:
    events = [*call(0, "c1", "write", '{"path":"x","text":"abc'), ev.Finished("length"), ev.Ended()]
    encoder = DIALECT.encoder(asker())
    (last,) = lines(encoder.encode(events))
    assert (last["done"], last["done_reason"]) == (True, "length")
    assert encoder.losses == []
    body, losses = DIALECT.write_response(fold([ev.Started(), *events]), asker())
    assert "tool_calls" not in json.loads(body)["message"]
    assert losses == []


@pytest.mark.parametrize("follows", [[], text(1, "more"), call(1, "c2", "b", "{}")])
def test_a_call_that_is_no_json_is_wrapped_and_reported(follows: list[ev.Event]) -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([*call(0, "c1", "write", "{broken"), *follows, ev.Finished("tool_use"), ev.Ended()])
    said = [one for line in lines(stream) for one in line["message"].get("tool_calls", [])]
    assert said[0]["function"]["arguments"] == {"_raw": "{broken"}
    assert lines(stream)[-1]["ds2api_warnings"] == ["approximated field=tool_calls"]


def test_r008_a_call_alone_is_the_only_part() -> None:
    events = decoded(ndjson(*STREAMS["calls"]))
    starts = [event for event in events if isinstance(event, ev.PartStarted)]
    assert [start.kind for start in starts] == ["call", "call"]
    assert [start.part for start in starts] == [0, 1]
    finish = next(event for event in events if isinstance(event, ev.Finished))
    assert finish.reason == "tool_use"
    assert finish.native == "stop"


def test_r044_calls_without_ids_get_their_own_and_r079_numbers_survive() -> None:
    events = decoded(ndjson(STREAMS["calls"][0], STREAMS["calls"][0], *STREAMS["calls"][1:]))
    calls = [part for part in fold(events).choices[0].parts if isinstance(part, Call)]
    assert len({one.id for one in calls}) == 3
    assert calls[-1].id == "c2"
    assert calls[-1].arguments == f'{{"n":{2**70}}}'


def test_r091_what_is_left_out_beside_a_count_was_zero_and_nothing_is_unknown() -> None:
    base = STREAMS["text"][-1]
    bare = {name: value for name, value in base.items() if not name.endswith(("_count", "_duration"))}
    cached = fold(decoded(ndjson(bare | {"eval_count": 5}))).usage
    assert cached is not None
    assert (cached.input_total, cached.output_total) == (0, 5)
    assert fold(decoded(ndjson(bare))).usage is None
    timed = fold(decoded(ndjson(bare | {"total_duration": 5}))).usage
    assert timed is not None
    assert (timed.input_total, timed.output_total) == (None, None)


def test_r011_no_usage_is_invented() -> None:
    last = lines(encoded(*text(0, "x"), ev.Finished("stop"), ev.Ended()))[-1]
    assert "prompt_eval_count" not in last
    assert "eval_count" not in last


def test_r088_cached_and_thought_tokens_are_in_the_counts() -> None:
    usage = Usage(input_uncached=10, cache_read=900, cache_write=90, output_text=5, output_reasoning=7)
    last = lines(encoded(*text(0, "x"), ev.UsageSeen(usage), ev.Finished("stop"), ev.Ended()))[-1]
    assert (last["prompt_eval_count"], last["eval_count"]) == (1000, 12)


def test_r004_usage_early_ends_nothing() -> None:
    early = ev.UsageSeen(Usage(input_uncached=1, output_text=1))
    stream = encoded(ev.PartStarted(0, "text"), early, ev.TextDelta(0, "a"), early, ev.TextDelta(0, "b"), *END)
    assert [line["done"] for line in lines(stream)] == [False, False, True]


def test_error_line_is_read_by_its_words() -> None:
    (event,) = decoded(ndjson({"error": "model 'x' not found"}))
    assert isinstance(event, ev.Failed)
    assert (event.error.kind, event.error.status) == (Kind.MODEL_NOT_FOUND, 200)
    (event,) = decoded(ndjson({"error": "llama runner process has terminated", "status_code": 500}))
    assert isinstance(event, ev.Failed)
    assert (event.error.fault, event.error.status) == (Fault.PROVIDER, 500)


def test_what_has_no_form_is_reported_once_before_the_end() -> None:
    encoder = DIALECT.encoder(asker())
    seen = ev.CitationSeen(0, Citation("url", "https://x"))
    stream = encoder.encode(
        [
            ev.PartStarted(0, "text"), ev.TextDelta(0, "a"), seen, seen, ev.TextDelta(0, "other", 1),
            ev.ReasoningSealed(0, Sealed("gemini_signature", "S")), ev.PartFinished(0),
            ev.OpaqueSeen("messages", "web_search_tool_result", {}), *END,
        ]
    )  # fmt: skip
    assert lines(stream)[-1]["ds2api_warnings"] == [
        "dropped field=citations",
        "dropped field=choices",
        "dropped field=web_search_tool_result",
    ]
    assert "".join(line["message"]["content"] for line in lines(stream)) == "a"


def test_r013_a_refusal_is_text() -> None:
    events = [ev.PartStarted(0, "refusal"), ev.TextDelta(0, "I can't"), ev.PartFinished(0)]
    stream = encoded(*events, ev.Finished("refusal"), ev.Ended())
    assert lines(stream)[0]["message"]["content"] == "I can't"


def test_logprobs_stand_beside_their_text() -> None:
    tokens = {"content": [{"token": "A", "logprob": -1, "bytes": None, "top_logprobs": []}]}
    said = lines(encoded(ev.PartStarted(0, "text"), ev.Logprobs(tokens), ev.TextDelta(0, "A"), *END))
    assert said[0]["logprobs"] == [{"token": "A", "logprob": -1}]
    chunk = next(iter(answered(200, ndjson(said[0])).chat("alias", stream=True)))
    assert chunk.logprobs is not None
    assert chunk.logprobs[0].token == "A"


@given(st.lists(st.text(min_size=1, max_size=8), max_size=5), st.booleans())
def test_deltas_concatenate_to_the_whole(pieces: list[str], thinks: bool) -> None:
    kind: ev.PartKind = "reasoning" if thinks else "text"
    delta = ev.ReasoningDelta if thinks else ev.TextDelta
    events: list[ev.Event] = [ev.Started(), ev.PartStarted(0, kind), *(delta(0, one) for one in pieces), *END]
    body, _ = DIALECT.write_response(fold(events), asker())
    name = "thinking" if thinks else "content"
    streamed = "".join(line["message"].get(name, "") for line in lines(DIALECT.encoder(asker()).encode(events)))
    assert streamed == json.loads(body)["message"].get(name, "")


def test_an_answer_that_is_none_is_refused() -> None:
    from ds2api.universal.errors import Problem

    for body in ({}, {"done": True}, {"message": "x"}, {"error": "boom"}, {"choices": []}):
        with pytest.raises(Problem):
            DIALECT.read_response(body)
        with pytest.raises(Problem):
            DIALECT.read_usage(body)
    with pytest.raises(Problem):
        DIALECT.read_response({"message": {"content": "half"}, "done": False})


def test_text_parts_are_joined() -> None:
    response = fold([ev.Started(), *text(0, "a"), *text(1, "b"), *END])
    assert [part.text for part in response.choices[0].parts if isinstance(part, Text)] == ["a", "b"]
    assert json.loads(DIALECT.write_response(response, asker())[0])["message"]["content"] == "ab"
