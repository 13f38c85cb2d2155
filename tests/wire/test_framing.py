"""Where a body ends: our readers against h11, over any cut, and stricter where h11 is lax."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.wire.framing import (
    LAST_CHUNK,
    ChunkedReader,
    EofReader,
    Framing,
    FramingError,
    LengthReader,
    body_framing,
    make_reader,
    write_chunk,
)
from ds2api.wire.headers import Headers

NEXT = b"GET /next HTTP/1.1\r\n"


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at `places` (taken modulo its length)."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def read_ours(pieces: list[bytes], *, lenient: bool = False) -> tuple[bytes, bool, bytes]:
    reader = ChunkedReader(lenient=lenient)
    body = b"".join(reader.feed(piece) for piece in pieces)
    return body, reader.complete, reader.rest


def read_h11(pieces: list[bytes]) -> tuple[bytes, bool, bytes]:
    """The plain twin: what h11 makes of the same chunks. Raises `h11.RemoteProtocolError`."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    connection.next_event()
    body, complete = b"", False
    for piece in pieces:
        connection.receive_data(piece)
        while not complete:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                break
            if isinstance(event, h11.EndOfMessage):
                complete = True
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
    return body, complete, connection.trailing_data[0] if complete else b""


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """Well-formed chunks: sizes in either case, zeros in front, extensions, trailers."""
    parts = []
    for data in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6)):
        size = f"{len(data):{draw(st.sampled_from(['x', 'X', '04x']))}}"
        extension = draw(st.sampled_from(["", ";a", "; a=b", ';a="q;\\""', ";a=1;b=2", "; a = b"]))
        parts.append(f"{size}{extension}\r\n".encode() + data + b"\r\n")
    last = draw(st.sampled_from([b"0\r\n", b"000\r\n", b"0;end\r\n"]))
    trailer = draw(st.sampled_from([b"", b"x-sum: 1\r\n", b"a: \r\nb:c\r\n"]))
    return b"".join(parts) + last + trailer + b"\r\n"


@given(chunked_bodies(), st.lists(st.integers(0, 10_000), max_size=12))
def test_chunks_read_as_h11_reads_them_for_any_cut(wire: bytes, places: list[int]) -> None:
    pieces = cuts(wire, places)
    assert read_ours(pieces) == read_ours([wire]) == read_h11([wire])
    assert read_ours(pieces)[1]


@given(chunked_bodies())
def test_chunks_byte_by_byte_with_another_message_behind(wire: bytes) -> None:
    whole = read_ours([wire])[0]
    one_by_one = [bytes([byte]) for byte in wire]
    assert read_ours(one_by_one) == (whole, True, b"")
    assert read_ours([wire + NEXT]) == (whole, True, NEXT)


@given(
    st.one_of(chunked_bodies(), st.binary(max_size=40)),
    st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(b'\r\n\0 ;"0123aAgG-+_x\t\x0b\xff')), max_size=3),
    st.lists(st.integers(0, 10_000), max_size=6),
)
def test_mutated_chunks_are_never_accepted_where_h11_refuses(
    wire: bytes, changes: list[tuple[int, int]], places: list[int]
) -> None:
    """Ours may refuse more; what it accepts, h11 reads to the same bytes. And a cut never changes the verdict."""
    changed = bytearray(wire or b"0")
    for place, byte in changes:
        changed[place % len(changed)] = byte
    mutated = bytes(changed)
    outcomes = []
    for pieces in ([mutated], cuts(mutated, places), [bytes([byte]) for byte in mutated]):
        try:
            outcomes.append(read_ours(pieces))
        except FramingError:
            outcomes.append(None)
    complete = [outcome for outcome in outcomes if outcome is not None and outcome[1]]
    if complete:
        assert outcomes == [complete[0]] * 3, "the verdict depends on the cut"
        assert complete[0] == read_h11([mutated])


REFUSED = {
    "bare LF behind the size": b"3\nabc\r\n0\r\n\r\n",
    "bare LF behind the data": b"3\r\nabc\n0\r\n\r\n",
    "bare LF behind the last chunk": b"0\n\r\n",
    "bare LF ends the trailer": b"0\r\n\n",
    "bare CR behind the size": b"3\rabc\r\n",
    "no size": b"\r\nabc\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\nabc\r\n",
    "a space in front": b" 3\r\nabc\r\n0\r\n\r\n",
    "a space behind": b"3 \r\nabc\r\n0\r\n\r\n",
    "a space before an extension": b"3 ;a\r\nabc\r\n0\r\n\r\n",
    "a tab behind": b"3\t\r\nabc\r\n0\r\n\r\n",
    "no hexadecimal digit": b"g\r\n",
    "sixteen digits": b"0000000000000003\r\nabc\r\n0\r\n\r\n",
    "an overflow": b"fffffffffffffffff\r\nabc",
    "data longer than the size": b"3\r\nabcd\r\n0\r\n\r\n",
    "data shorter than the size": b"5\r\nabc\r\n0\r\n\r\n",
    "NUL in an extension": b"3;a\0\r\nabc\r\n0\r\n\r\n",
    "an open quote": b'3;a="b\r\nabc\r\n0\r\n\r\n',
    "a quote with a line end": b'3;a="b\r\n"\r\nabc\r\n0\r\n\r\n',
    "an extension without a name": b"3;\r\nabc\r\n0\r\n\r\n",
    "an extension with a bare LF": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a comma for a semicolon": b"3,a\r\nabc\r\n0\r\n\r\n",
    "a long size line": b"3;a=" + b"b" * 5_000 + b"\r\nabc\r\n0\r\n\r\n",
    "long extensions in all": (b"1;a=" + b"b" * 4_000 + b"\r\nx\r\n") * 5 + LAST_CHUNK,
    "an endless size line": b"3;a=" + b"b" * 5_000,
    "a trailer that is no field": b"0\r\nnonsense\r\n\r\n",
    "a folded trailer": b"0\r\na: b\r\n c\r\n\r\n",
    "a space before the colon of a trailer": b"0\r\na : b\r\n\r\n",
    "NUL in a trailer": b"0\r\na: b\0\r\n\r\n",
    "a length in the trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding in the trailer": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    "a host in the trailer": b"0\r\nhost: h\r\n\r\n",
    "an endless trailer": b"0\r\n" + b"a: b\r\n" * 2_000,
    "an endless trailer line": b"0\r\na: " + b"b" * 9_000,
}


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
def test_refused_chunks(wire: bytes, byte_by_byte: bool) -> None:
    pieces = [bytes([byte]) for byte in wire] if byte_by_byte else [wire]
    with pytest.raises(FramingError):
        read_ours(pieces)


def test_padding_behind_a_size_is_for_answers_only() -> None:
    padded = b"3  \r\nabc\r\n0 \r\n\r\n"
    assert read_ours([padded], lenient=True) == (b"abc", True, b"")
    assert read_h11([padded])[0] == b"abc"
    with pytest.raises(FramingError):
        read_ours([padded])


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8))
def test_what_is_written_reads_back(chunks: list[bytes]) -> None:
    wire = b"".join(map(write_chunk, chunks)) + LAST_CHUNK
    assert read_ours([wire]) == (b"".join(chunks), True, b"") == read_h11([wire])


def test_a_body_that_ends_early_is_never_complete() -> None:
    wire = write_chunk(b"abc") + write_chunk(b"defg") + LAST_CHUNK
    for end in range(len(wire)):
        reader = ChunkedReader()
        reader.feed(wire[:end])
        assert not reader.complete
        with pytest.raises(FramingError, match="without its last chunk"):
            reader.feed_eof()


def test_one_large_chunk_is_passed_on_without_a_copy() -> None:
    reader = ChunkedReader()
    reader.feed(b"100000\r\n")
    piece = b"x" * 65_536
    assert reader.feed(b"y") == b"y"
    assert reader.feed(piece) is piece


@given(st.binary(max_size=60), st.integers(0, 60), st.lists(st.integers(0, 100), max_size=5))
def test_a_length_takes_its_bytes_and_leaves_the_rest(data: bytes, length: int, places: list[int]) -> None:
    reader = LengthReader(length)
    body = b"".join(reader.feed(piece) for piece in cuts(data, places))
    assert body == data[:length]
    assert reader.rest == data[length:]
    assert reader.complete == (len(data) >= length)
    if not reader.complete:
        with pytest.raises(FramingError, match=f"{len(data)} of {length}"):
            reader.feed_eof()


def test_a_body_to_the_end_of_the_connection() -> None:
    reader = EofReader()
    assert reader.feed(b"abc") == b"abc"
    assert not reader.complete
    reader.feed_eof()
    assert reader.complete


def headers(*items: tuple[str, str]) -> Headers:
    return Headers(items)


LENGTH, CHUNKED = ("content-length", "5"), ("transfer-encoding", "chunked")


@pytest.mark.parametrize(
    ("method", "status", "fields", "kind", "length"),
    [
        ("GET", None, (), "none", 0),
        ("POST", None, (), "none", 0),
        ("POST", None, (LENGTH,), "length", 5),
        ("POST", None, (("content-length", "0"),), "none", 0),
        ("POST", None, (CHUNKED,), "chunked", None),
        ("POST", None, (("transfer-encoding", "Chunked"),), "chunked", None),
        ("GET", 200, (), "eof", None),
        ("GET", 200, (LENGTH,), "length", 5),
        ("GET", 200, (LENGTH, LENGTH), "length", 5),
        ("GET", 200, (("content-length", "5, 5"),), "length", 5),
        ("GET", 200, (CHUNKED,), "chunked", None),
        ("HEAD", 200, (LENGTH,), "none", 0),
        ("HEAD", 200, (CHUNKED,), "none", 0),
        ("GET", 204, (), "none", 0),
        ("GET", 304, (LENGTH,), "none", 0),
        ("CONNECT", 200, (), "none", 0),
        ("CONNECT", 407, (LENGTH,), "length", 5),
    ],
)
def test_how_a_body_is_framed(
    method: str, status: int | None, fields: tuple[tuple[str, str], ...], kind: str, length: int | None
) -> None:
    framing = body_framing(method, status, headers(*fields))
    assert (framing.kind, framing.length) == (kind, length)


@pytest.mark.parametrize("status", [None, 200])
@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ((LENGTH, CHUNKED), 400),
        ((LENGTH, ("content-length", "6")), 400),
        ((("content-length", "5, 6"),), 400),
        ((("content-length", ""),), 400),
        ((("content-length", "+5"),), 400),
        ((("content-length", "-5"),), 400),
        ((("content-length", "0x5"),), 400),
        ((("content-length", "5 5"),), 400),
        ((("content-length", "5_0"),), 400),
        ((("content-length", "٥"),), 400),
        ((("content-length", "9" * 19),), 400),
        ((("transfer-encoding", ""),), 400),
        ((("transfer-encoding", "identity"),), 400),
        ((("transfer-encoding", "xchunked"),), 400),
        ((("transfer-encoding", '"chunked"'),), 400),
        ((("transfer-encoding", "chunked;q=1"),), 400),
        ((("transfer-encoding", "chunked, identity"),), 400),
        ((("transfer-encoding", "chunked, chunked"),), 400),
        ((("transfer-encoding", ", chunked"), ("transfer-encoding", "")), 400),
        ((CHUNKED, CHUNKED), 400),
        ((("transfer-encoding", "gzip, chunked"),), 501),
        ((("transfer-encoding", "gzip"), CHUNKED), 501),
    ],
)
def test_framing_that_can_be_read_in_two_ways_is_refused(
    status: int | None, fields: tuple[tuple[str, str], ...], hint: int
) -> None:
    with pytest.raises(FramingError) as refused:
        body_framing("POST", status, headers(*fields))
    assert refused.value.status_hint == hint


@pytest.mark.parametrize("fields", [(LENGTH, LENGTH), (("content-length", "5, 5"),)])
def test_a_repeated_length_is_refused_in_requests_only(fields: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(FramingError, match="more than one"):
        body_framing("POST", None, headers(*fields))
    assert body_framing("POST", 200, headers(*fields)).length == 5


@pytest.mark.parametrize("status", [None, 200])
def test_http_1_0_has_no_transfer_encoding(status: int | None) -> None:
    with pytest.raises(FramingError, match=r"HTTP/1\.0"):
        body_framing("POST", status, headers(CHUNKED), "1.0")


def test_readers_fit_their_framing() -> None:
    assert isinstance(make_reader(Framing("chunked")), ChunkedReader)
    assert isinstance(make_reader(Framing("eof")), EofReader)
    assert make_reader(Framing("none", 0)).complete
    assert not make_reader(Framing("length", 1)).complete
