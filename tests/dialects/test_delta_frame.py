"""Learned frames against their plain twin: what `DeltaFrame` takes is what parsing each event gives, whatever stands in
the text and whatever differs around it; and an event that differs anywhere else is left to the general way."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api import jsons
from ds2api.dialects.delta_frame import DeltaFrame, EventSplitter
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.wire.sse import SseParser

TEXT = st.text(min_size=1, max_size=12) | st.sampled_from(['","x":"', '\\"', "\\", '"}', "\n", "é", '", "logprobs":[]'])


def plain(text: str, number: int, filler: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "id": "c1"}


def responses(text: str, number: int, filler: str) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "delta": text, "logprobs": [], "obfuscation": filler,
    }  # fmt: skip


def gemini(text: str, number: int, filler: str) -> dict[str, Any]:
    counts = {"promptTokenCount": 9, "candidatesTokenCount": number, "totalTokenCount": number + 9}
    details = [{"modality": "TEXT", "tokenCount": 9}]
    return {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
        "usageMetadata": {**counts, "promptTokensDetails": details}, "modelVersion": "m", "responseId": "r1",
    }  # fmt: skip


shapes = pytest.mark.parametrize("shape", [plain, responses, gemini])
SPACES = [(", ", ": "), (",", ":"), (",", ": ")]


def event(value: dict[str, Any], separators: tuple[str, str]) -> bytes:
    return b"data: " + json.dumps(value, separators=separators, ensure_ascii=False).encode()


def chunk(data: bytes, size: str) -> bytes:
    return f"{len(data):{size}}".encode() + b"\r\n" + data + b"\r\n"


@shapes
@given(
    st.lists(st.tuples(TEXT, st.integers(0, 10**12), st.text("abcXYZ019", max_size=9))),
    st.sampled_from(SPACES),
    st.sampled_from(["", "x", "X"]),
    st.sampled_from([b"", b"data: {}\n\n", b'data: {"', b"\xff", b"0\r\n\r\n"]),
)
def test_a_frame_takes_what_parsing_gives(
    shape: Any, deltas: list[tuple[str, int, str]], separators: tuple[str, str], size: str, tail: bytes
) -> None:
    """All of it, plain or in chunks, up to what is no event of its own; and as written, up to another spelling."""
    frame = DeltaFrame.learn(event(shape("the lesson", 1, "pad"), separators), "the lesson")
    assert frame is not None
    events = [event(shape(*delta), separators) + b"\n\n" for delta in deltas]
    if size:
        events = [chunk(one, size) for one in events]
    data = b"".join(events) + tail
    texts, used = frame.cutter(b"\n\n", in_chunks=bool(size))(data)
    assert [json.loads(b'"%b"' % text) for text in texts] == [text for text, _, _ in deltas[: len(texts)]]
    assert used == len(b"".join(events[: len(texts)]))
    assert len(texts) == len(events) or size == "X"  # whose letters are told by the first size line
    written, _ = frame.cutter(b"\n\n", as_written=True, in_chunks=bool(size))(data)
    dumped = [json.dumps(text, ensure_ascii=False).encode() for text, _, _ in deltas]
    alike = [jsons.dump_text(json.loads(one)) == one and b"\\u00" not in one for one in dumped]
    assert written == texts[: len(written)]
    assert len(written) == len([*itertools.takewhile(bool, alike)]) or size == "X"


def test_a_chunk_whose_size_is_not_that_of_its_event_is_left() -> None:
    frame = DeltaFrame.learn(event(plain("the lesson", 1, ""), (",", ":")), "the lesson")
    assert frame is not None
    good = event(plain("a word", 1, ""), (",", ":")) + b"\n\n"
    cut = frame.cutter(b"\n\n", in_chunks=True)
    assert cut(chunk(good, "x")) == ([b"a word"], len(chunk(good, "x")))
    line = f"{len(good):x}".encode()
    for other in (b"0" + line, line + b";a", line + b" ", b"+" + line, b"1" + line, f"{len(good) + 1:x}".encode(), b""):
        assert cut(other + b"\r\n" + good + b"\r\n") == ([], 0)
        both = chunk(good, "x") + other + b"\r\n" + good + b"\r\n"
        assert cut(both) == ([b"a word"], len(chunk(good, "x")))


def changed(value: Any) -> Any:
    """Every value that differs from `value` in one number or string, or by one member."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for other in changed(inner):
                yield {**value, name: other}
        yield {**value, "more": 1}
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            for other in changed(inner):
                yield [*value[:place], other, *value[place + 1 :]]
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value + 1
        yield -1
    elif value is None or isinstance(value, str):
        yield 5


@shapes
def test_what_differs_elsewhere_is_left_to_the_general_way(shape: Any) -> None:
    """Above all another index: it would put a text into the wrong part."""
    separators = (",", ":")
    lesson = shape("the lesson", 1, "pad")
    frame = DeltaFrame.learn(event(lesson, separators), "the lesson")
    assert frame is not None
    meaningless = ("sequence_number", "TokenCount", "tokenCount")
    count = 0
    for other in changed(lesson):
        taken, _ = frame.cutter(b"\n\n")(event(other, separators) + b"\n\n")
        if taken:
            flat = json.dumps(other)
            assert any(word in flat for word in meaningless) and taken == [b"the lesson"] and "-1" not in flat
        count += 1
    assert count > 5


@given(
    st.lists(st.text("ab:\n ", max_size=6).map(lambda text: f"data: {text!r}"), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.integers(1, 9), max_size=20),
    st.sampled_from(["", "\r", "\r\r", "\n\n", "\r\n\r\n", "data: x\r\ry: z\n"]),
)
def test_the_splitter_cuts_as_the_parser_does(events: list[str], end: str, cuts: list[int], tail: str) -> None:
    """Any cut, lines that end alike, and a tail that may end otherwise."""
    data = "".join(one + end * 2 for one in events).encode() + tail.encode()
    splitter, found, at = EventSplitter(), b"", 0
    rest: bytes | None = None
    for cut in [*cuts, len(data)]:
        piece, at = data[at : at + cut], at + cut
        if rest is not None:
            rest += piece
            continue
        split = splitter.split(piece)
        if split is None:
            rest = splitter.rest
        else:
            found += split
    left = splitter.rest if rest is None else rest
    ours, theirs = SseParser(), SseParser()
    mine = [(one.name, one.data) for one in (*ours.feed(found + left), *ours.end())]
    assert mine == [(one.name, one.data) for one in (*theirs.feed(data), *theirs.end())]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("reads", [1, 3, 50])
def test_usage_that_counts_up_in_framed_events_is_the_last_one_said(end: str, reads: int) -> None:
    """Decoder and tap, where no event after the deltas says any count."""
    values = [gemini(f" word {number}", number, "") for number in range(1, 41)]
    last = {"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}]}
    lines = [event(one, (",", ": ")).decode() + end * 2 for one in (*values, last)]
    decoder, tap = DIALECTS["gemini"].decoder(), DIALECTS["gemini"].tap(strip_usage=False)
    events: list[ev.Event] = []
    passed = b""
    for at in range(0, len(lines), reads):
        piece = "".join(lines[at : at + reads]).encode()
        events += decoder.feed(piece)
        passed += tap.forward(piece)
    events += decoder.end()
    passed += tap.end()
    assert passed == "".join(lines).encode() and tap.ended
    text = "".join(one.text for one in events if isinstance(one, ev.TextDelta))
    assert text == "".join(f" word {number}" for number in range(1, 41))
    usage = next(one.usage for one in events if isinstance(one, ev.UsageSeen))
    assert (usage.input_total, usage.output_total) == (9, 40)
    assert tap.usage is not None and (tap.usage.input_total, tap.usage.output_total) == (9, 40)
