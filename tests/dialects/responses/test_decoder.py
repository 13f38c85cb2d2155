"""Streams of responses servers: what each maker leaves out changes nothing of what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.responses.recordings import decoded, sse

from ds2api.dialects.registry import DIALECTS
from ds2api.dialects.responses import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.errors import Fault, Kind
from ds2api.universal.parts import Call, Opaque, Part, Reasoning, Refusal, Text
from ds2api.universal.response import fold
from ds2api.wire.sse import BOM, DEFAULT_LIMIT_BYTES

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 17,
}


def created(**fields: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress", **fields}}


def added(index: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def completed(*output: dict[str, Any], kind: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "status": kind, "output": [*output], "usage": USAGE, **fields}
    return {"type": f"response.{kind}", "response": response}


def parts_of(*events: dict[str, Any]) -> list[Part]:
    return fold(decoded(sse(*events))).choices[0].parts


def text_item(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def test_r005_arguments_only_in_done_arrive_once() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    events = [
        created(),
        added(0, **call, arguments=""),
        {"type": "response.function_call_arguments.done", "output_index": 0, "item_id": "fc_1", "arguments": '{"q":1}'},
        done(0, **call, arguments='{"q":1}'),
        completed({**call, "arguments": '{"q":1}'}),
    ]
    assert [part.arguments for part in parts_of(*events) if isinstance(part, Call)] == ['{"q":1}']
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "fc_1", "delta": '{"q":1}'}
    assert parts_of(*events[:2], delta, *events[2:]) == parts_of(*events)
    for client in ("chat", "messages"):
        encoder, decoder = DIALECTS[client].encoder(asker_of(client)), DIALECTS[client].decoder()
        read = fold([*decoder.feed(encoder.encode(decoded(sse(*events)))), *decoder.end()])
        assert [json.loads(part.arguments) for part in read.choices[0].parts if isinstance(part, Call)] == [{"q": 1}]


def asker_of(client: str) -> Any:
    from tests.dialects.responses.recordings import asker

    return asker(client)


@pytest.mark.parametrize("output", [[], None])
def test_r019_items_only_in_item_done(output: Any) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    last = completed()
    if output is None:
        del last["response"]["output"]
    stream = [created(), done(0, **text_item("Hello")), done(1, **call), last]
    text, made = parts_of(*stream)
    assert isinstance(text, Text)
    assert isinstance(made, Call)
    assert (text.text, made.id, made.arguments) == ("Hello", "call_1", "{}")
    encoder = DIALECT.encoder(asker_of("alias"))
    encoder.encode(decoded(sse(*stream)))
    assert encoder.answer["output"] == [text_item("Hello"), call]  # type: ignore[attr-defined]


def test_items_only_in_the_final_response() -> None:
    text = parts_of(created(), completed(text_item("Hello")))[0]
    assert isinstance(text, Text)
    assert text.text == "Hello"


def test_a_bare_server_without_indexes_names_and_ids() -> None:
    """What small servers of other makers send."""
    events = [
        {"type": "response.created", "response": {}},
        {"type": "response.output_item.added", "item": {"type": "message"}},
        {"type": "response.output_text.delta", "delta": "Hel"},
        {"type": "response.output_text.delta", "delta": "lo"},
        {"type": "response.completed", "response": {}},
    ]
    stream = "".join(f"data:{json.dumps(one)}\r\n\r\n" for one in events).encode()
    response = fold(decoded(stream))
    assert [part.text for part in response.choices[0].parts if isinstance(part, Text)] == ["Hello"]
    assert response.usage is None
    assert response.choices[0].finish is not None
    assert response.choices[0].finish.reason == "stop"


def test_usage_is_taken_apart() -> None:
    usage = fold(decoded(sse(created(), completed(text_item("x"))))).usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.cache_write) == (5, 4, 1)
    assert (usage.output_text, usage.output_reasoning, usage.input_total, usage.output_total) == (5, 2, 10, 7)


def test_reasoning_takes_its_proof_from_the_finished_item() -> None:
    begun = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "EARLY"}
    summary = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]
    deltas = [
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": place, "delta": text}
        for place, text in ((0, "o"), (0, "ne"), (1, "two"))
    ]
    last = done(0, **{**begun, "summary": summary, "encrypted_content": "LATE"})
    for stream in ([created(), added(0, **begun), *deltas, last, completed()], [created(), last, completed()]):
        thought = parts_of(*stream)[0]
        assert isinstance(thought, Reasoning)
        assert (thought.text, thought.summary, thought.id) == ("one\n\ntwo", True, "rs_1")
        assert thought.sealed is not None
        assert thought.sealed.data == "rs_1 LATE"


def test_refusal_hosted_items_custom_calls_and_citations() -> None:
    link = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    file = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 1}
    cited = {"type": "message", "id": "msg_2", "role": "assistant", "content": [
        {"type": "output_text", "text": "hi", "annotations": [link, file]}]}  # fmt: skip
    said_no = {
        "type": "message",
        "id": "msg_3",
        "role": "assistant",
        "content": [{"type": "refusal", "refusal": "No."}],
    }
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_9", "name": "patch", "input": "*** Begin\n"}
    parts = parts_of(
        created(),
        added(0, **search),
        done(0, **search),
        added(1, **{**cited, "content": []}),
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "hi"},
        {"type": "response.output_text.annotation.added", "output_index": 1, "content_index": 0, "annotation": link},
        {"type": "response.output_text.annotation.added", "output_index": 1, "content_index": 0, "annotation": file},
        done(1, **cited),
        done(2, **custom),
        done(3, **said_no),
        completed(),
    )
    opaque, text, call, refusal = parts
    assert isinstance(opaque, Opaque)
    assert opaque.data == search
    assert isinstance(text, Text)
    assert [(one.kind, one.url, one.title) for one in text.citations] == [
        ("url", "https://a", "A"),
        ("file", None, "a.pdf"),
    ]
    assert isinstance(call, Call)
    assert (call.custom, call.arguments, call.id) == (True, "*** Begin\n", "call_9")
    assert isinstance(refusal, Refusal)
    assert refusal.text == "No."


def test_log_probabilities_come_before_their_text() -> None:
    entry = {"token": "hi", "logprob": -0.1, "bytes": [104, 105], "top_logprobs": []}
    events = decoded(sse(
        created(),
        added(0, **{**text_item(""), "content": []}),
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi", "logprobs": [entry]},
        completed(),
    ))  # fmt: skip
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("Logprobs") == kinds.index("TextDelta") - 1
    assert fold(events).choices[0].logprobs == {"content": [entry]}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "other"), (None, "other")],
)
def test_r040_incomplete_is_an_answer(reason: str | None, expected: str) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    events = decoded(
        sse(created(), done(0, **thought), completed(kind="incomplete", incomplete_details={"reason": reason}))
    )
    finish = fold(events).choices[0].finish
    assert finish is not None
    assert finish.reason == expected
    assert fold(events).usage is not None


def test_r007_a_call_that_was_cut_is_no_tool_use() -> None:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c",
        "name": "f",
        "arguments": '{"a',
        "status": "incomplete",
    }
    details = {"reason": "max_output_tokens"}
    finish = fold(
        decoded(sse(created(), done(0, **call), completed(kind="incomplete", incomplete_details=details)))
    ).choices
    assert finish[0].finish is not None
    assert finish[0].finish.reason == "length"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "server_error", "code": "rate_limit_exceeded", "message": "slow"}},
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
        {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}},
        },
    ],
    ids=["nested", "flat", "failed"],
)
def test_each_form_of_an_error_fails_the_stream(event: dict[str, Any]) -> None:
    last = decoded(sse(created(), event, completed(text_item("late"))))[-1]
    assert isinstance(last, ev.Failed)
    assert (last.error.fault, last.error.kind, last.error.message) == (Fault.ACCOUNT, Kind.RATE_LIMITED, "slow")


def test_r031_a_stream_without_its_terminal_event_was_cut() -> None:
    item = added(0, **{**text_item(""), "content": []})
    last = decoded(sse(created(), item, {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"}))[-1]
    assert isinstance(last, ev.Failed)
    assert last.error.kind is Kind.UPSTREAM_TRUNCATED
    assert isinstance(decoded(b"")[-1], ev.Failed)
    assert isinstance(decoded(b"data: [DONE]\n\n")[-1], ev.Failed)


def test_r035_an_event_of_megabytes_arrives_and_one_without_end_is_an_error() -> None:
    text = "x" * 1_100_000
    assert parts_of(created(), completed(text_item(text)))[0].text == text  # type: ignore[union-attr]
    decoder = DIALECT.decoder()
    last = decoder.feed(b"data: " + b"x" * (DEFAULT_LIMIT_BYTES + 1))[-1]
    assert isinstance(last, ev.Failed)
    assert last.error.kind is Kind.UPSTREAM_BROKEN
    assert decoder.feed(b"more") == decoder.end() == []


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "x", "message", "reasoning", "function_call"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "id", "item", "delta", "output_index", "content_index", "text", "part", "response",
                         "output", "status", "error", "arguments", "call_id", "name", "content", "summary", "usage"]),
        inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
KINDS = [
    "response.created", "response.output_item.added", "response.output_item.done", "response.content_part.added",
    "response.content_part.done", "response.output_text.delta", "response.output_text.done", "response.completed",
    "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.refusal.delta",
    "response.reasoning_summary_text.delta", "response.reasoning_text.done", "response.output_text.annotation.added",
    "response.incomplete", "response.failed", "error", "response.anything.new",
]  # fmt: skip


@given(events=st.lists(st.tuples(st.sampled_from(KINDS), ODD), max_size=8))
def test_no_event_of_any_shape_breaks_it(events: list[tuple[str, Any]]) -> None:
    datas = [{**(value if isinstance(value, dict) else {"item": value}), "type": kind} for kind, value in events]
    read = decoded(sse(*datas))
    assert isinstance(read[-1], ev.Ended | ev.Failed)
    if isinstance(read[-1], ev.Ended):
        fold(read)
    tap = DIALECT.tap(strip_usage=False)
    tap.forward(sse(*datas))
    tap.end()


def test_an_answer_of_the_background_is_no_end_of_one() -> None:
    response = DIALECT.read_response({"id": "resp_1", "status": "queued", "output": [], "background": True})
    assert response.choices == [] or response.choices[0].finish is not None
    written, _ = DIALECT.write_response(response, asker_of("alias"))
    assert json.loads(written)["status"] == "queued"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_r034_every_spelling_of_lines_gives_the_same_events_and_usage(end: str, space: str, begin: str) -> None:
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x\u2028y"}
    events = [created(), added(0, **{**text_item(""), "content": []}), delta, completed(text_item("x\u2028y"))]
    stream = begin + "".join(f"data:{space}{json.dumps(one, ensure_ascii=False)}{end}{end}" for one in events)
    read = decoded(stream.encode())
    assert read == decoded(sse(*events))
    tap = DIALECT.tap(strip_usage=False)
    pieces = [tap.forward(stream.encode()[at : at + 3]) for at in range(0, len(stream.encode()), 3)]
    assert b"".join(pieces) + tap.end() == stream.encode().removeprefix(BOM)
    assert tap.usage == fold(read).usage


def test_a_call_that_was_whole_when_it_was_added() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"q":1}'}
    made = parts_of(created(), added(0, **call), completed())[0]
    assert isinstance(made, Call)
    assert made.arguments == '{"q":1}'


def test_a_part_ends_with_its_own_done_and_not_with_its_item() -> None:
    """Whoever writes parts one after the other would else hold the next one back."""
    content = text_item("one")["content"][0]
    decoder = DIALECT.decoder()
    where = {"output_index": 0, "content_index": 0}
    events = decoder.feed(sse(
        created(),
        added(0, **{**text_item(""), "content": []}),
        {"type": "response.content_part.added", **where, "part": {**content, "text": ""}},
        {"type": "response.output_text.delta", **where, "delta": "one"},
        {"type": "response.content_part.done", **where, "part": content},
    ))  # fmt: skip
    assert [type(event) for event in events[-2:]] == [ev.TextDelta, ev.PartFinished]
