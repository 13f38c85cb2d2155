"""A relayed stream passes as it came, and what it says is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.recordings import STREAMS, Recording, decoded, load, sse

from ds2api.dialects.chat.tap import ChatTap
from ds2api.universal import events as ev
from ds2api.universal.errors import Kind
from ds2api.universal.usage import Usage


def chunk(delta: dict[str, Any] | None = None, *, word: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": word}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
USAGE_CHUNK = chunk(usage=USAGE)
STREAM = sse(
    chunk({"role": "assistant", "content": ""}, usage=None),
    chunk({"content": 'says "usage":{"prompt_tokens":9} and [DONE] and "error":{'}, usage=None),
    chunk({}, word="stop", usage=None),
    USAGE_CHUNK,
    "[DONE]",
)


def through(tap: ChatTap, stream: bytes, cuts: list[int]) -> bytes:
    places = sorted({cut % (len(stream) + 1) for cut in cuts})
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    return b"".join(tap.forward(piece) for piece in pieces) + tap.end()


def is_all_before_the_error(passed: bytes, stream: bytes) -> bool:
    """The event of the error is taken out (the lane writes it anew), and nothing behind it passes."""
    return stream.startswith(passed) and b"error" in stream[len(passed) :].partition(b"\n\n")[0]


def noted(tap: ChatTap) -> tuple[Any, ...]:
    return tap.content_seen, tap.ended, tap.error, tap.usage


@pytest.mark.parametrize("recording", STREAMS, ids=lambda one: one.name)
def test_tap_passes_every_byte_and_sees_what_the_decoder_sees(recording: Recording) -> None:
    tap = ChatTap(strip_usage=False)
    passed = tap.forward(recording.stream)
    assert passed == recording.stream if tap.error is None else is_all_before_the_error(passed, recording.stream)
    assert tap.end() == b""
    events = decoded(recording.stream)
    assert tap.ended is isinstance(events[-1], ev.Ended)
    assert (tap.error is None) is not isinstance(events[-1], ev.Failed)
    usage: Usage | None = None
    for event in events:
        if isinstance(event, ev.UsageSeen):
            usage = usage or Usage()
            usage.merge(event.usage)
    assert tap.error is not None or tap.usage == usage
    assert tap.content_seen


CASES = [STREAM, load("openai-azure-model-router.1").stream, load("openrouter-openrouter_stream_error.0").stream,
         load("cache-openrouter_cache_streaming_e2e.0").stream]  # fmt: skip


@given(
    st.sampled_from(CASES), st.lists(st.integers(0, 9000), max_size=10), st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.booleans(),
)  # fmt: skip
def test_any_cut_and_line_end_gives_the_same(stream: bytes, cuts: list[int], line_end: bytes, strip: bool) -> None:
    """R034: LF, CR LF and CR, a CR LF split between two reads."""
    whole, cut = ChatTap(strip_usage=strip), ChatTap(strip_usage=strip)
    expected = through(whole, stream, [])
    passed = through(cut, stream.replace(b"\n", line_end), cuts)
    assert decoded(passed) == decoded(expected)
    assert noted(cut) == noted(whole)
    if not strip and cut.error is None:
        assert passed == stream.replace(b"\n", line_end)


@given(st.sampled_from(CASES), st.lists(st.integers(0, 9000), max_size=10))
def test_only_whole_events_leave(stream: bytes, cuts: list[int]) -> None:
    """So that a keep-alive or an error of the gateway's always stands between two of them."""
    tap = ChatTap(strip_usage=False)
    places = sorted({cut % (len(stream) + 1) for cut in cuts})
    passed = b""
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        passed += tap.forward(stream[start:end])
        assert stream.startswith(passed)
        assert not passed or passed.endswith((b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\n\n", b"\n\r\n"))
    passed += tap.end()
    assert passed == stream if tap.error is None else is_all_before_the_error(passed, stream)


def test_usage_chunk_that_only_the_gateway_asked_for_is_taken_out() -> None:
    """R094: the client that did not ask sees no chunk without choices, every other byte as it came."""
    tap = ChatTap(strip_usage=True)
    passed = through(tap, STREAM, [])
    assert passed == STREAM.replace(sse(USAGE_CHUNK), b"")
    assert tap.usage is not None
    assert (tap.usage.input_total, tap.usage.output_total) == (12, 3)
    assert tap.ended


def test_usage_chunk_that_the_client_asked_for_passes() -> None:
    tap = ChatTap(strip_usage=False)
    assert through(tap, STREAM, [5, 80]) == STREAM
    assert tap.usage is not None


def test_usage_beside_choices_is_read_and_never_taken_out() -> None:
    """R093: a chunk with choices is content, whatever else it holds."""
    stream = sse(chunk({"content": "x"}, word="stop", usage=USAGE), "[DONE]")
    tap = ChatTap(strip_usage=True)
    assert through(tap, stream, []) == stream
    assert tap.usage is not None
    assert tap.usage.output_total == 3


def test_azures_chunk_without_choices_passes() -> None:
    """R037: only usage makes it the gateway's own chunk."""
    azure = chunk(prompt_filter_results=[{"prompt_index": 0}])
    tap = ChatTap(strip_usage=True)
    assert tap.forward(sse(azure)) == sse(azure)
    assert not tap.content_seen


def test_role_alone_is_no_content() -> None:
    tap = ChatTap(strip_usage=True)
    tap.forward(sse(chunk({"role": "assistant", "content": ""})))
    assert not tap.content_seen
    tap.forward(sse(chunk({"reasoning_content": "hm"})))
    assert tap.content_seen


@pytest.mark.parametrize(
    "delta",
    [{"content": "x"}, {"refusal": "no"}, {"tool_calls": [{"index": 0}]}, {"reasoning": "x"}, {"audio": {"id": "a"}}],
)
def test_content_of_every_kind_is_seen(delta: dict[str, Any]) -> None:
    tap = ChatTap(strip_usage=False)
    tap.forward(sse(chunk(delta)))
    assert tap.content_seen


def test_answer_of_nothing_that_ends_properly_is_content() -> None:
    tap = ChatTap(strip_usage=False)
    tap.forward(sse(chunk({"role": "assistant"}), chunk({}, word="stop")))
    assert tap.content_seen


def test_error_in_the_middle_is_noted() -> None:
    tap = ChatTap(strip_usage=False)
    tap.forward(sse(chunk({"content": "x"}), {"error": {"message": "Overloaded", "code": 503}}))
    tap.end()
    assert tap.error is not None
    assert tap.error.kind is Kind.OVERLOADED
    assert not tap.ended


def test_named_error_event_is_noted() -> None:
    tap = ChatTap(strip_usage=False)
    tap.forward(sse(chunk({"content": "x"})))
    tap.forward(b'event: error\ndata: {"message":"boom","type":"server_error"}\n\n')
    assert tap.error is not None


def test_stream_that_stops_is_truncated() -> None:
    """R031: no finish reason, no marker. What is left of the last event would hide the error behind it."""
    tap = ChatTap(strip_usage=True)
    stream = sse(chunk({"content": "x"}), chunk({"content": "y"}))
    assert through(tap, stream + b'data: {"id"', [90]) == stream
    assert tap.error is not None
    assert tap.error.kind is Kind.UPSTREAM_TRUNCATED


def test_stream_that_finished_without_its_marker_is_complete() -> None:
    tap = ChatTap(strip_usage=False)
    through(tap, sse(chunk({"content": "x"}), chunk({}, word="stop")), [])
    assert tap.ended
    assert tap.error is None


def test_event_beyond_the_limit_is_an_error() -> None:
    """R035: memory is bounded, and the end is explicit: nothing of the event or behind it passes."""
    before = sse(chunk({"content": "x"}))
    stream = before + sse(chunk({"content": "y" * 5000})) + STREAM
    tap = ChatTap(strip_usage=True, limit_bytes=1000)
    passed = b"".join(tap.forward(stream[at : at + 100]) for at in range(0, len(stream), 100)) + tap.end()
    assert passed == before
    assert tap.error is not None
    assert tap.error.kind is Kind.UPSTREAM_BROKEN


def padded(text: str, padding: int) -> bytes:
    return sse(chunk({"content": text}, usage=None, obfuscation="x" * padding))


@pytest.mark.parametrize("paddings", [[3] * 200, [number % 17 for number in range(200)]])
def test_tap_sees_the_same_whether_events_are_alike_or_not(paddings: list[int]) -> None:
    """Events of one frame, and OpenAI's, which pads each to another length."""
    deltas = b"".join(padded(f"word {number}", padding) for number, padding in enumerate(paddings))
    ending = sse(chunk({}, word="stop", usage=None), USAGE_CHUNK, "[DONE]")
    tap = ChatTap(strip_usage=True)
    assert through(tap, deltas + ending, [7000, 11_000]) == (deltas + ending).replace(sse(USAGE_CHUNK), b"")
    assert tap.ended
    assert tap.usage is not None
    failing = ChatTap(strip_usage=True)
    failing.forward(deltas + sse({"error": {"message": "m"}}))
    assert failing.error is not None


def test_long_event_stays_linear() -> None:
    """R035: 4 MB in pieces; what is held is one event, never a growing copy a read."""
    text = json.dumps(chunk({"content": "z" * 4_000_000})).encode()
    stream = sse(chunk({"content": "x"})) + b"data: " + text + b"\n\n" + sse(chunk({}, word="stop"), "[DONE]")
    tap = ChatTap(strip_usage=True)
    passed = b"".join(tap.forward(stream[at : at + 65_536]) for at in range(0, len(stream), 65_536)) + tap.end()
    assert passed == stream
    assert tap.ended


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_byte_order_mark_is_not_passed_on(cut: int) -> None:
    """Behind a keep-alive that the gateway has written it would stand in the middle, where it hides the first event."""
    stream = b'\xef\xbb\xbfdata: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    tap = ChatTap(strip_usage=False)
    assert tap.forward(stream[:cut]) + tap.forward(stream[cut:]) == stream[3:]
