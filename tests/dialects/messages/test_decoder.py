"""Streams of providers: the same events for any cut, and every stream ends in `Ended` or `Failed`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dialects.messages.recordings import STREAMS, Recording, streams_of

from ds2api import jsons
from ds2api.dialects.messages import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.errors import Fault, Kind
from ds2api.universal.parts import Call, Opaque, Text
from ds2api.universal.response import fold
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES

SMALL = [one for one in STREAMS if len(one.stream) < 9_000]


def decoded(*pieces: bytes) -> list[ev.Event]:
    decoder = DIALECT.decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def sse(*datas: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (data["type"].encode(), jsons.dump(data)) for data in datas)


def started(**changes: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    return {
        "type": "message_start",
        "message": {**message, "usage": {"input_tokens": 100, "output_tokens": 1}, **changes},
    }


def block_start(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def block_delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def block_stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def stopped(reason: str | None, **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}
TEXT = [block_start(0, {"type": "text", "text": ""}), block_delta(0, "text_delta", text="hi"), block_stop(0)]


@settings(max_examples=60)
@given(data=st.data())
def test_any_cut_gives_the_same_events(data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from(SMALL)).stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decoded(*pieces) == decoded(stream)


@pytest.mark.parametrize("recording", SMALL[:6], ids=lambda one: one.name)
def test_byte_by_byte_is_the_whole(recording: Recording) -> None:
    stream = recording.stream
    assert decoded(*(stream[at : at + 1] for at in range(len(stream)))) == decoded(stream)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_gives_the_same_events(ending: bytes) -> None:  # R034
    stream = sse(started(), *TEXT, stopped("end_turn", output_tokens=5), STOP)
    changed = stream.replace(b"\n", ending)
    assert decoded(changed) == decoded(stream)
    assert decoded(b"\xef\xbb\xbf" + changed.replace(b"data: ", b"data:")) == decoded(stream)
    split = changed.index(ending) + 1
    assert decoded(changed[:split], changed[split:]) == decoded(stream)


@pytest.mark.parametrize("recording", SMALL, ids=lambda one: one.name)
def test_every_prefix_ends_well(recording: Recording) -> None:  # R031
    for stream in streams_of(recording):
        whole = decoded(stream)
        for length in range(0, len(stream), 7):
            events = decoded(stream[:length])
            assert sum(isinstance(event, ev.Ended | ev.Failed) for event in events) == 1
            assert isinstance(events[-1], ev.Ended | ev.Failed)
            if isinstance(events[-1], ev.Failed) and not isinstance(whole[-1], ev.Failed):
                assert events[-1].error.kind is Kind.UPSTREAM_TRUNCATED


def test_end_after_the_reason_is_an_end_without_message_stop() -> None:
    assert isinstance(decoded(sse(started(), *TEXT, stopped("end_turn", output_tokens=5)))[-1], ev.Ended)


def test_nothing_follows_the_end() -> None:
    decoder = DIALECT.decoder()
    assert isinstance(decoder.feed(sse(started(), *TEXT, stopped("end_turn", output_tokens=1), STOP))[-1], ev.Ended)
    assert decoder.feed(sse(started())) == []
    assert decoder.end() == []


def test_last_usage_of_each_counter_wins() -> None:  # R097
    first = {**stopped(None, output_tokens=20)}
    second = stopped("end_turn", output_tokens=50, input_tokens=100)
    usage = fold(decoded(sse(started(), *TEXT, first, second, STOP))).usage
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (100, 50)


def test_counter_that_the_delta_does_not_name_stays() -> None:
    start = started(
        usage={
            "input_tokens": 10,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 90,
            "output_tokens": 1,
        }
    )
    usage = fold(decoded(sse(start, *TEXT, stopped("end_turn", output_tokens=5), STOP))).usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.cache_write, usage.output_total) == (10, 900, 90, 5)  # R088
    assert usage.input_total == 1000


def test_unknown_counter_is_none_and_zero_is_zero() -> None:  # R091
    usage = fold(
        decoded(sse(started(usage={"output_tokens": 0}), *TEXT, stopped("end_turn", output_tokens=0), STOP))
    ).usage
    assert usage is not None
    assert (usage.input_uncached, usage.output_total) == (None, 0)


def test_r090_cache_writes_are_told_apart_by_their_lifetime() -> None:  # R090
    creation = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}
    start = started(
        usage={"input_tokens": 1, "cache_creation_input_tokens": 300, "cache_creation": creation, "output_tokens": 1}
    )
    usage = fold(decoded(sse(start, *TEXT, stopped("end_turn", output_tokens=5), STOP))).usage
    assert usage is not None
    assert (usage.cache_write, usage.cache_write_5m, usage.cache_write_1h) == (300, 100, 200)


def test_thinking_tokens_are_a_part_of_the_output() -> None:
    end = stopped("end_turn", output_tokens=50)
    end["usage"]["output_tokens_details"] = {"thinking_tokens": 20}
    usage = fold(decoded(sse(started(), *TEXT, end, STOP))).usage
    assert usage is not None
    assert (usage.output_text, usage.output_reasoning, usage.output_total) == (30, 20, 50)


@pytest.mark.parametrize(
    ("error", "kind", "fault"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Kind.OVERLOADED, Fault.PROVIDER),  # R032
        ({"type": "rate_limit_error", "message": "slow"}, Kind.RATE_LIMITED, Fault.ACCOUNT),
        ({"type": "invalid_request_error", "message": "bad"}, Kind.BAD_REQUEST, Fault.REQUEST),
        ({"type": "something_new", "message": "?"}, Kind.UPSTREAM_FAILED, Fault.PROVIDER),
        ("words", Kind.UPSTREAM_FAILED, Fault.PROVIDER),
        ([1], Kind.UPSTREAM_FAILED, Fault.PROVIDER),
    ],
)
def test_error_event_fails_with_what_the_provider_said(error: Any, kind: Kind, fault: Fault) -> None:
    events = decoded(sse(started(), {"type": "error", "error": error}, *TEXT))
    assert isinstance(events[-1], ev.Failed)
    assert (events[-1].error.kind, events[-1].error.fault) == (kind, fault)
    assert not any(isinstance(event, ev.PartStarted) for event in events)


def test_error_event_that_is_no_json_fails_too() -> None:
    events = decoded(b"event: error\ndata: Service Unavailable\n\n")
    assert isinstance(events[-1], ev.Failed)
    assert events[-1].error.message == "Service Unavailable"


def test_pings_and_comments_are_life_and_no_content() -> None:
    events = decoded(sse(started()) + b": hello\n\n" + sse({"type": "ping"}) + b"event: ping\ndata:\n\n")
    assert [type(event) for event in events] == [ev.Started, ev.Alive, ev.Alive, ev.Alive, ev.Failed]


@pytest.mark.parametrize("word", ["xyz", "pause_turn", "model_context_window_exceeded", "compaction"])
def test_reasons_keep_the_providers_word(word: str) -> None:  # R041
    finish = fold(decoded(sse(started(), *TEXT, stopped(word, output_tokens=1), STOP))).choices[0].finish
    assert finish is not None
    known = {"pause_turn": "pause", "model_context_window_exceeded": "context_full", "compaction": "compaction"}
    assert (finish.reason, finish.native) == (known.get(word, "other"), word)


def test_calls_make_the_reason_tool_use_unless_it_was_cut() -> None:
    use = [block_start(0, {"type": "tool_use", "id": "t", "name": "f", "input": {}}), block_stop(0)]
    for word, reason in (("end_turn", "tool_use"), ("tool_use", "tool_use"), ("max_tokens", "length")):
        choice = fold(decoded(sse(started(), *use, stopped(word, output_tokens=1), STOP))).choices[0]
        assert choice.finish is not None
        assert choice.finish.reason == reason
        assert isinstance(choice.parts[0], Call)
        assert choice.parts[0].arguments == "{}"


def test_input_in_the_start_of_a_block_is_its_arguments() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"player": "p"}, "caller": {"type": "direct"}}
    part = (
        fold(decoded(sse(started(), block_start(0, block), block_stop(0), stopped("tool_use", output_tokens=1), STOP)))
        .choices[0]
        .parts[0]
    )
    assert isinstance(part, Call)
    assert json.loads(part.arguments) == {"player": "p"}
    assert part.extra is not None
    assert part.extra.fields == {"caller": {"type": "direct"}}


def test_message_that_is_whole_at_its_start() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    choice = fold(decoded(sse(started(content=[block], stop_reason="tool_use"), STOP))).choices[0]
    assert choice.finish is not None
    assert (choice.finish.reason, len(choice.parts)) == ("tool_use", 1)


def test_same_start_twice_is_one_and_another_start_is_a_failure() -> None:
    stop = [stopped("end_turn", output_tokens=1), STOP]
    assert fold(decoded(sse(started(), started(), *TEXT, *stop))) == fold(decoded(sse(started(), *TEXT, *stop)))
    events = decoded(sse(started(), *TEXT, started(id="msg_2"), *TEXT, *stop))
    assert isinstance(events[-1], ev.Failed)
    assert events[-1].error.kind is Kind.UPSTREAM_BROKEN


@pytest.mark.parametrize(
    "bad",
    [
        [block_delta(0, "text_delta", text="x")],
        [block_stop(0)],
        [TEXT[0], TEXT[0]],
        [{"type": "content_block_start", "index": "0", "content_block": {"type": "text"}}],
        [{"type": "content_block_start", "index": 0}],
        [stopped("end_turn", output_tokens=1), TEXT[0]],
        [{"type": "message_start", "message": []}],
    ],
)
def test_broken_grammar_is_named(bad: list[dict[str, Any]]) -> None:
    first = [] if bad[0]["type"] == "message_start" else [started()]
    events = decoded(sse(*first, *bad))
    assert isinstance(events[-1], ev.Failed)
    assert events[-1].error.kind is Kind.UPSTREAM_BROKEN
    assert "broke its protocol" in events[-1].error.message


@pytest.mark.parametrize("data", [b"{not json", b"[]", b"{}", b'{"type":1}', b"\xff"])
def test_event_that_is_none_is_broken(data: bytes) -> None:
    events = decoded(sse(started()) + b"event: x\ndata: " + data + b"\n\n" + sse(*TEXT))
    assert isinstance(events[-1], ev.Failed)
    assert events[-1].error.kind is Kind.UPSTREAM_BROKEN


@settings(max_examples=200)
@given(data=st.binary(max_size=200), prefix=st.sampled_from([b"", b"data: ", b"event: message_start\ndata: {"]))
def test_any_bytes_end_in_failure_and_never_raise(data: bytes, prefix: bytes) -> None:
    assert isinstance(decoded(prefix + data)[-1], ev.Failed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.dictionaries(
    st.sampled_from(["index", "content_block", "delta", "message", "usage", "type", "error"]),
    json_values | st.fixed_dictionaries({"type": st.sampled_from(["text", "tool_use", "text_delta", "x"])}),
)
event_types = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "z",
    ]
)


@settings(max_examples=200)
@given(events=st.lists(st.tuples(event_types, fields), max_size=6))
def test_events_of_any_shape_never_raise(events: list[tuple[str, dict[str, Any]]]) -> None:
    stream = sse(started(), *({**data, "type": kind} for kind, data in events))
    assert isinstance(decoded(stream)[-1], ev.Failed | ev.Ended)


def test_event_beyond_the_limit_fails_and_one_of_four_megabytes_does_not() -> None:  # R035
    big = "x" * 4_000_000
    stream = sse(
        started(), TEXT[0], block_delta(0, "text_delta", text=big), TEXT[2], stopped("end_turn", output_tokens=1), STOP
    )
    part = fold(decoded(stream[:1000], stream[1000:2_000_000], stream[2_000_000:])).choices[0].parts[0]
    assert isinstance(part, Text)
    assert part.text == big
    events = decoded(sse(started()), b"data: " + b"x" * (DEFAULT_LIMIT_BYTES + 1))
    assert isinstance(events[-1], ev.Failed)
    assert events[-1].error.kind is Kind.UPSTREAM_BROKEN


def test_blocks_that_only_anthropic_knows_are_kept_whole() -> None:
    blocks = [
        block_start(0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        block_delta(0, "input_json_delta", partial_json='{"query":'),
        block_delta(0, "input_json_delta", partial_json='"x"}'),
        block_stop(0),
        block_start(1, {"type": "compaction", "content": None}),
        block_delta(1, "compaction_delta", content="sum", encrypted_content="E"),
        block_delta(1, "compaction_delta", content="mary"),
        block_stop(1),
        block_start(2, {"type": "brand_new", "x": 1}),
        block_stop(2),
    ]
    parts = fold(decoded(sse(started(), *blocks, stopped("end_turn", output_tokens=1), STOP))).choices[0].parts
    assert parts == [
        Opaque(
            "messages",
            "server_tool_use",
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        ),
        Opaque("messages", "compaction", {"type": "compaction", "content": "summary", "encrypted_content": "E"}),
        Opaque("messages", "brand_new", {"type": "brand_new", "x": 1}),
    ]


def test_unknown_events_go_on_to_the_same_dialect() -> None:
    events = decoded(sse(started(), {"type": "future", "a": 1}, *TEXT, stopped("end_turn", output_tokens=1), STOP))
    assert ev.OpaqueSeen("messages", "future", {"type": "future", "a": 1}) in events


@settings(max_examples=200)
@given(
    text=st.text(),
    kind=st.sampled_from(["text_delta", "thinking_delta", "input_json_delta"]),
    ascii_only=st.booleans(),
    padding=st.sampled_from(["", "   "]),
)
def test_hot_path_reads_what_the_plain_one_reads(text: str, kind: str, ascii_only: bool, padding: str) -> None:
    blocks = {
        "text_delta": ({"type": "text", "text": ""}, "text"),
        "thinking_delta": ({"type": "thinking", "thinking": "", "signature": ""}, "thinking"),
        "input_json_delta": ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, "partial_json"),
    }
    block, field = blocks[kind]
    text = text.encode("utf-8", "replace").decode()
    written = json.dumps(
        {"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: text}},
        ensure_ascii=ascii_only,
        separators=(",", ":"),
    )
    line = f"data: {written[:-2]}{padding}}}{padding}}}{padding}\n\n".encode()
    teacher = json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: "plain text"}})
    teacher = teacher.replace(", ", ",").replace(": ", ":").replace("}}", f"{padding}}}{padding}}}{padding}")
    stream = sse(started(), block_start(0, block)) + f"data: {teacher}\n\n".encode() + line * 2
    fast = decoded(stream)
    assert decoded(stream.replace(b"\n", b"\r\n")) == fast, "with CR LF every event goes the general way"
    deltas = [event.text for event in fast if isinstance(event, ev.TextDelta | ev.ReasoningDelta | ev.ArgumentsDelta)]
    assert "".join(deltas) == "plain text" + text * 2
