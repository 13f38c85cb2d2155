"""The tap of the relay lane: the bytes pass as they came, and what matters in them is seen, for any cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dialects.messages.recordings import STREAMS, Recording, streams_of

from ds2api import jsons
from ds2api.dialects.messages import DIALECT
from ds2api.dialects.messages.tap import MessagesTap
from ds2api.universal import events as ev
from ds2api.universal.errors import Kind
from ds2api.universal.response import Folder
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES

START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
}
PING: dict[str, Any] = {"type": "ping"}
DELTA: dict[str, Any] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
END: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
STOP: dict[str, Any] = {"type": "message_stop"}
OVERLOADED: dict[str, Any] = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def block(kind: str) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": kind}}


def sse(*datas: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (data["type"].encode(), jsons.dump(data)) for data in datas)


def tapped(*pieces: bytes) -> MessagesTap:
    tap = DIALECT.tap(strip_usage=True)
    passed = b"".join(tap.forward(piece) for piece in pieces) + tap.end()
    if tap.error is None:  # less what stands behind the end; with an end where it had none
        sent = b"".join(pieces)
        stop, behind = sent.find(b'"message_stop"'), sent.find(b"data: []")
        assert passed == (sent + MessagesTap.marker if stop < 0 else sent if behind < 0 else sent[:behind])
    elif tap.error.kind in (Kind.UPSTREAM_TRUNCATED, Kind.UPSTREAM_BROKEN):  # less what cannot be read
        assert b"".join(pieces).startswith(passed)
    else:  # the event of the error is taken out (the lane writes it anew), and nothing behind it passes
        rest = b"".join(pieces).removeprefix(passed)
        assert passed + rest == b"".join(pieces)
        assert b"error" in rest.partition(b"\n\n")[0]
    return tap


@pytest.mark.parametrize("recording", STREAMS, ids=lambda one: one.name)
def test_relayed_usage_is_the_decoded_one(recording: Recording) -> None:
    for stream in streams_of(recording):
        events = DIALECT.decoder().feed(stream)
        tap = tapped(stream)
        if isinstance(events[-1], ev.Failed):  # a second message spliced in: the client's to see, on relay
            assert tap.ended
            continue
        folder = Folder()
        for event in events:
            folder.add(event)
        assert tap.usage == folder.finish().usage
        assert (tap.ended, tap.error, tap.content_seen) == (True, None, True)


@settings(max_examples=60)
@given(data=st.data(), ending=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cut_and_line_ending_sees_the_same(data: st.DataObject, ending: bytes) -> None:  # R034
    stream = sse(START, PING, block("text"), DELTA, END, STOP).replace(b"\n", ending)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    tap = tapped(*(stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
    assert (tap.ended, tap.error, tap.content_seen) == (True, None, True)
    assert tap.usage is not None
    assert (tap.usage.input_total, tap.usage.output_total) == (9, 5)


@pytest.mark.parametrize(
    ("events", "is_content"),
    [
        ([START, PING], False),
        ([START, block("text")], False),
        ([START, block("thinking")], False),
        ([START, block("tool_use")], True),
        ([START, block("redacted_thinking")], True),
        ([START, DELTA], True),
        ([START, END], True),
    ],
)
def test_only_content_is_content(events: list[dict[str, Any]], is_content: bool) -> None:
    tap = DIALECT.tap(strip_usage=False)
    tap.forward(sse(*events))
    assert tap.content_seen is is_content


def test_error_before_content_is_seen_before_content() -> None:  # R032
    tap = tapped(sse(START, PING, OVERLOADED, DELTA))
    assert tap.error is not None
    assert tap.error.kind is Kind.OVERLOADED
    assert not tap.content_seen
    assert tapped(b"event: error\ndata: nonsense\n\n").error is not None


def test_stream_that_stops_in_the_middle_is_truncated() -> None:
    tap = tapped(sse(START, DELTA) + b"event: message_st")
    assert tap.error is not None
    assert tap.error.kind is Kind.UPSTREAM_TRUNCATED
    assert tapped(sse(START, DELTA, END)).ended


def test_events_without_a_name_are_seen_as_well() -> None:
    stream = b"".join(b"data: %b\n\n" % jsons.dump(data) for data in (START, DELTA, END, STOP))
    tap = tapped(b": c\n\n" + stream + b"data: []\n\n")
    assert (tap.ended, tap.content_seen, tap.error) == (True, True, None)


def test_event_beyond_the_limit_is_an_error() -> None:
    tap = DIALECT.tap(strip_usage=True)
    assert tap.forward(sse(START)) == sse(START)
    assert tap.forward(b"data: " + b"x" * (DEFAULT_LIMIT_BYTES + 1)) == b""
    assert tap.error is not None
    assert tap.error.kind is Kind.UPSTREAM_BROKEN
    assert tap.forward(b"more") + tap.end() == b""


@given(raw=st.binary(max_size=200))
def test_any_bytes_pass_and_never_raise(raw: bytes) -> None:
    assert tapped(raw).error is not None
