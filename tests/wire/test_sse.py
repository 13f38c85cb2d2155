"""Event streams: the same events for any cut, and lines that end in CR, LF or CR LF and in nothing else."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.wire.sse import EventTooLarge, SseEvent, SseParser


def parse(*pieces: bytes, end: bool = True) -> list[SseEvent]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + (parser.end() if end else [])


LINES = st.sampled_from([
    b"data: a", b"data:b", b"data", b"data:  two spaces", b"data: \xe2\x80\xa8 u2028", b"data: \xf0\x9f\x98\x80",
    b"event: name", b"event:", b"event", b"id: 7", b"id", b"retry: 5", b": a comment", b":", b"unknown: x", b"",
    b"", b"datax: no", b"data: \xc2\x85 nel", b"\xef\xbb\xbfdata: late bom",
])  # fmt: skip
STREAMS = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=25),
).map(lambda stream: stream[0] + b"".join(line + end for line, end in stream[1]))


@given(STREAMS, st.lists(st.integers(0, 500), max_size=10))
def test_the_same_events_for_any_cut(stream: bytes, places: list[int]) -> None:
    whole = parse(stream)
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    assert parse(*[stream[a:b] for a, b in itertools.pairwise(ends)]) == whole
    assert parse(*[bytes([byte]) for byte in stream]) == whole


@given(st.lists(st.tuples(LINES, st.sampled_from([b"\r", b"\r\n"])), max_size=25))
def test_line_ends_make_no_difference(lines: list[tuple[bytes, bytes]]) -> None:
    # A CR before an LF would be one end, so the mix is compared with LF alone.
    mixed = b"".join(line + end for line, end in lines)
    plain = b"".join(line + b"\n" for line, _ in lines)
    if b"\r\r\n" not in mixed.replace(b"\r\n", b"\n"):
        assert parse(mixed) == parse(plain)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_with_everything(end: bytes) -> None:
    lines = [b": hello", b"event: delta", b"id: 1", b"data: a", b"data: b", b"", b"data: c", b"", b""]
    assert parse(end.join(lines)) == [
        SseEvent(b" hello", comment=True), SseEvent(b"a\nb", b"delta"), SseEvent(b"c"),
    ]  # fmt: skip


def test_an_id_alone_and_spare_blank_lines_are_no_event() -> None:
    assert parse(b"id: 1\n\n\n\nevent: x\n\n\n") == []


def test_a_name_does_not_outlive_its_event() -> None:
    assert parse(b"event: x\n\ndata: a\n\n") == [SseEvent(b"a")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_what_is_no_line_end(separator: str) -> None:
    data = f'{{"a":"b{separator}c"}}'.encode()
    assert parse(b"data: " + data + b"\n\n") == [SseEvent(data)]


def test_a_bom_is_dropped_at_the_start_only() -> None:
    assert parse(b"\xef\xbb\xbfdata: a\n\n") == [SseEvent(b"a")]
    assert parse(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [SseEvent(b"a")]
    assert parse(b"\xef\xbb") == []


def test_a_last_event_without_its_blank_line_is_given_at_the_end() -> None:
    assert parse(b"data: a\ndata: b", end=False) == []
    assert parse(b"data: a\ndata: b") == [SseEvent(b"a\nb")]


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 200, b"data: xxxxxxxx\n" * 30, b"data: x\r" * 200, b"data: " + b"x" * 200 + b"\n\n"]
)
@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_one_event_has_a_limit(stream: bytes, byte_by_byte: bool) -> None:
    parser = SseParser(limit_bytes=100)
    with pytest.raises(EventTooLarge, match="100 bytes"):
        for piece in [bytes([byte]) for byte in stream] if byte_by_byte else [stream]:
            parser.feed(piece)


def test_many_events_are_no_large_event() -> None:
    parser = SseParser(limit_bytes=100)
    assert len(parser.feed(b"data: " + b"x" * 50 + b"\n\ndata: y\n\n")) == 2
    assert len(parser.feed((b"data: " + b"x" * 50 + b"\n\n") * 10)) == 10
