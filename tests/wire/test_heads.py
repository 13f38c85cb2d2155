"""Heads: what is taken, what is refused and with which status, and the same for any cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.wire import heads
from ds2api.wire.errors import PeerError
from ds2api.wire.heads import HeadBuffer, RequestHead, RequestParser, first_line, parse_request, parse_response
from ds2api.wire.settings import Limits

LIMITS = Limits(head_bytes=2_000, header_count=10, target_bytes=200)


def request(*lines: str, line: str = "GET /p HTTP/1.1", host: str | None = "Host: h") -> bytes:
    return "\r\n".join([line, *([host] if host is not None else []), *lines, "", ""]).encode("latin-1")


def read(data: bytes, limits: Limits = LIMITS) -> RequestHead | None:
    """As the server does: into the buffer, out as a head."""
    buffer = HeadBuffer(limits, for_requests=True)
    buffer.feed(data)
    raw = buffer.take_head()
    return None if raw is None else parse_request(raw, limits)


def read_in_bytes(data: bytes, limits: Limits = LIMITS) -> RequestHead | None:
    buffer = HeadBuffer(limits, for_requests=True)
    for byte in data:
        buffer.feed(bytes([byte]))
        raw = buffer.take_head()
        if raw is not None:
            return parse_request(raw, limits)
    return None


READERS = pytest.mark.parametrize("reader", [read, read_in_bytes], ids=["whole", "bytes"])


@READERS
def test_a_head_with_everything(reader) -> None:
    head = reader(
        request("Content-Length: 5", "X-A: 1", "x-a:2 ", "Expect: 100-Continue", line="POST /p/%20?q=1?2 HTTP/1.1")
    )
    assert (head.method, head.target, head.path, head.query) == ("POST", "/p/%20?q=1?2", "/p/%20", "q=1?2")
    assert head.http_version == "1.1"
    assert head.headers.all("x-a") == ["1", "2"]
    assert head.headers["x-a"] == "1"
    assert (head.framing.kind, head.framing.length) == ("length", 5)
    assert head.expects_continue
    assert head.keep_alive


@pytest.mark.parametrize(
    ("line", "field", "keep_alive"),
    [
        ("GET / HTTP/1.1", "a: b", True),
        ("GET / HTTP/1.1", "Connection: close", False),
        ("GET / HTTP/1.1", "Connection: x, CLOSE", False),
        ("GET / HTTP/1.0", "a: b", False),
        ("GET / HTTP/1.0", "Connection: keep-alive", True),
        ("GET / HTTP/1.0", "Connection: keep-alive, close", False),
    ],
)
def test_who_keeps_the_connection(line: str, field: str, keep_alive: bool) -> None:
    head = read(request(field, line=line))
    assert head is not None
    assert head.keep_alive is keep_alive


ACCEPTED = {
    "a higher minor version": (request(line="GET /a HTTP/1.2"), "/a", ""),
    "origin form": (request(line="GET /a?b HTTP/1.1"), "/a", "b"),
    "an empty query": (request(line="GET /a? HTTP/1.1"), "/a", ""),
    "two slashes": (request(line="GET //a HTTP/1.1"), "//a", ""),
    "absolute form": (request(line="GET http://h:1/a?b HTTP/1.1"), "/a", "b"),
    "absolute form in capitals": (request(line="GET HTTP://h/a HTTP/1.1"), "/a", ""),
    "absolute form without a path": (request(line="GET http://h HTTP/1.1"), "/", ""),
    "absolute form with a query only": (request(line="GET http://h?b HTTP/1.1"), "/", "b"),
    "asterisk": (request(line="OPTIONS * HTTP/1.1"), "*", ""),
    "HTTP/1.0 without a host": (request(line="GET /a HTTP/1.0", host=None), "/a", ""),
    "IPv6 host": (request(line="GET /a HTTP/1.1", host="Host: [::1]:80"), "/a", ""),
    "host with an empty port": (request(line="GET /a HTTP/1.1", host="Host: h:"), "/a", ""),
    "an empty line in front": (b"\r\n" + request(line="GET /a HTTP/1.1"), "/a", ""),
    "a value beyond ASCII": (request("a: \xff\x80", line="GET /a HTTP/1.1"), "/a", ""),
    "a tab in a value": (request("a: b\tc", line="GET /a HTTP/1.1"), "/a", ""),
    "an empty value": (request("a:", line="GET /a HTTP/1.1"), "/a", ""),
    "an unknown method": (request(line="BREW /a HTTP/1.1"), "/a", ""),
}


@READERS
@pytest.mark.parametrize(("data", "path", "query"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_heads(reader, data: bytes, path: str, query: str) -> None:
    head = reader(data)
    assert (head.path, head.query) == (path, query)


def test_the_authority_of_an_absolute_target_replaces_the_host() -> None:
    head = read(request(line="GET http://other:81/a HTTP/1.1"))
    assert head is not None
    assert head.headers["host"] == "other:81"


REFUSED = {
    # request line (RFC 9112 §3)
    "two spaces": (request(line="GET  / HTTP/1.1"), 400),
    "a tab": (request(line="GET\t/ HTTP/1.1"), 400),
    "a space at the end": (request(line="GET / HTTP/1.1 "), 400),
    "a space in front": (request(line=" GET / HTTP/1.1"), 400),
    "no version": (request(line="GET /"), 400),
    "no target": (request(line="GET HTTP/1.1"), 400),
    "three words": (request(line="GET / / HTTP/1.1"), 400),
    "a lower case version": (request(line="GET / http/1.1"), 400),
    "a long version": (request(line="GET / HTTP/1.10"), 400),
    "no such protocol": (request(line="GET / ICY/1.1"), 400),
    "HTTP/0.9": (request(line="GET / HTTP/0.9"), 505),
    "HTTP/2.0": (request(line="GET / HTTP/2.0"), 505),
    "HTTP/3.0": (request(line="GET / HTTP/3.0"), 505),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a method that is no token": (request(line="GE(T / HTTP/1.1"), 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "binary": (b"\x00\x01\x02", 400),
    "two empty lines": (b"\r\n\r\n" + request(), 400),
    "a bare LF in front": (b"\n" + request(), 400),
    # target (§3.2)
    "a relative target": (request(line="GET a HTTP/1.1"), 400),
    "a fragment": (request(line="GET /a#b HTTP/1.1"), 400),
    "an asterisk to GET": (request(line="GET * HTTP/1.1"), 400),
    "authority form": (request(line="GET h:80 HTTP/1.1"), 400),
    "CONNECT": (request(line="CONNECT h:80 HTTP/1.1"), 501),
    "another scheme": (request(line="GET ftp://h/ HTTP/1.1"), 400),
    "user information": (request(line="GET http://u@h/ HTTP/1.1"), 400),
    "no authority": (request(line="GET http:///a HTTP/1.1"), 400),
    "a target beyond ASCII": (request(line="GET /\xe4 HTTP/1.1"), 400),
    "a long target": (request(line="GET /" + "a" * 300 + " HTTP/1.1"), 414),
    "an endless target": (b"GET /" + b"a" * 300, 414),
    # host (RFC 9112 §3.2)
    "no host": (request(host=None), 400),
    "two hosts": (request("Host: h"), 400),
    "an empty host": (request(host="Host:"), 400),
    "a host with a path": (request(host="Host: h/a"), 400),
    "a host with a user": (request(host="Host: u@h"), 400),
    "a host list": (request(host="Host: h, i"), 400),
    "a host with a space": (request(host="Host: h i"), 400),
    "a host with a bad port": (request(host="Host: h:8a"), 400),
    "a host with a bad escape": (request(host="Host: h%2"), 400),
    "an open bracket": (request(host="Host: [::1"), 400),
    # fields (§5)
    "a space before the colon": (request("a : b"), 400),
    "a tab before the colon": (request("a\t: b"), 400),
    "a length with a space before the colon": (request("Content-Length : 5"), 400),
    "an empty name": (request(": b"), 400),
    "no colon": (request("ab"), 400),
    "a name beyond ASCII": (request("\xe4: b"), 400),
    "a folded line": (request("a: b", " c"), 400),
    "a folded line with a tab": (request("a: b", "\tc"), 400),
    "a folded coding": (request("Transfer-Encoding:", " chunked"), 400),
    "a fold at the start": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "NUL in a value": (request("a: b\0c"), 400),
    "NUL in a name": (request("a\0: b"), 400),
    "a control in a value": (request("a: b\x0bc"), 400),
    "DEL in a value": (request("a: b\x7f"), 400),
    "a bare CR in a value": (b"GET / HTTP/1.1\r\nHost: h\r\na: b\rc\r\n\r\n", 400),
    "a bare LF in a value": (b"GET / HTTP/1.1\r\nHost: h\r\na: b\nc: d\r\n\r\n", 400),
    "bare LF throughout": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "CR CR LF": (b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400),
    "too many fields": (request(*[f"a{number}: b" for number in range(10)]), 431),
    "too long a head": (request(*["a: " + "b" * 400] * 5), 431),
    "an endless head": (request(*["a: " + "b" * 400] * 5)[:-4], 431),
    # framing (§6)
    "length and coding": (request("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    "coding and length": (request("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
    "two equal lengths": (request("Content-Length: 5", "Content-Length: 5"), 400),
    "two lengths": (request("Content-Length: 5", "Content-Length: 6"), 400),
    "a list of lengths": (request("Content-Length: 5, 5"), 400),
    "a signed length": (request("Content-Length: +5"), 400),
    "a negative length": (request("Content-Length: -5"), 400),
    "a hexadecimal length": (request("Content-Length: 0x5"), 400),
    "a huge length": (request("Content-Length: " + "9" * 30), 400),
    "an empty length": (request("Content-Length:"), 400),
    "an unknown coding": (request("Transfer-Encoding: gzip, chunked"), 501),
    "chunked not last": (request("Transfer-Encoding: chunked, gzip"), 400),
    "chunked twice": (request("Transfer-Encoding: chunked, chunked"), 400),
    "two coding fields": (request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
    "identity": (request("Transfer-Encoding: identity"), 400),
    "a coding with a vertical tab": (request("Transfer-Encoding: \x0bchunked"), 400),
    "a quoted coding": (request('Transfer-Encoding: "chunked"'), 400),
    "a coding in HTTP/1.0": (request("Transfer-Encoding: chunked", line="POST / HTTP/1.0"), 400),
    # expectations
    "an unknown expectation": (request("Expect: a-miracle", "Content-Length: 5"), 417),
    "two expectations": (request("Expect: 100-continue, more", "Content-Length: 5"), 417),
}


@READERS
@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_heads(reader, data: bytes, status: int) -> None:
    with pytest.raises(PeerError) as refused:
        reader(data)
    assert refused.value.status_hint == status
    assert refused.value.message


def test_a_refusal_never_quotes_a_value() -> None:
    with pytest.raises(PeerError) as refused:
        read(request("authorization : Bearer sk-secret"))
    assert "secret" not in str(refused.value)
    with pytest.raises(PeerError) as refused:
        read(request("authorization: Bearer sk-secret\x01"))
    assert "secret" not in str(refused.value)


def test_http_1_0_ignores_expectations() -> None:
    head = read(request("Expect: 100-continue", "Content-Length: 5", line="POST / HTTP/1.0"))
    assert head is not None
    assert not head.expects_continue


def test_nothing_is_expected_for_no_body() -> None:
    head = read(request("Expect: 100-continue"))
    assert head is not None
    assert not head.expects_continue


@given(st.lists(st.integers(0, 200), max_size=8))
def test_heads_come_out_the_same_for_any_cut(places: list[int]) -> None:
    data = request("a: b") + request("c: d", line="GET /2 HTTP/1.1") + b"body"
    ends = sorted({place % len(data) for place in places} | {0, len(data)})
    buffer = HeadBuffer(LIMITS, for_requests=True)
    found = []
    for start, end in itertools.pairwise(ends):
        buffer.feed(data[start:end])
        while (raw := buffer.take_head()) is not None:
            found.append(raw)
    assert found == [request("a: b"), request("c: d", line="GET /2 HTTP/1.1")]
    assert buffer.take_rest() == b"body"
    assert len(buffer) == 0


def test_a_head_is_refused_as_soon_as_it_is_lost() -> None:
    """Without waiting for an end that may never come."""
    for start in (b"\x16", b"\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\na: \0", b"GET / HTTP/1.1\ra"):
        buffer = HeadBuffer(LIMITS, for_requests=True)
        buffer.feed(start)
        with pytest.raises(PeerError):
            buffer.take_head()


def outcome(parse, data: bytes) -> object:
    try:
        head = parse(data)
    except PeerError as error:
        return (error.status_hint, error.message)
    return (head.method, head.target, head.path, head.query, head.http_version, head.headers.items_list, head.framing,
            head.keep_alive, head.expects_continue)  # fmt: skip


SIMILAR = st.builds(
    lambda lines, line: request(*lines, line=line),
    st.lists(
        st.sampled_from([
            "Content-Length: 5", "content-length: 77", "Content-Length: 0", "Content-Length:5", "Content-Length: ",
            "Content-Length: 5 ", "A: b", "Expect: 100-continue", "Connection: close", "Transfer-Encoding: chunked",
        ]),
        max_size=3,
    ),
    st.sampled_from(["POST /a HTTP/1.1", "POST /b HTTP/1.1", "POST /a HTTP/1.0"]),
)  # fmt: skip


@given(st.lists(SIMILAR, max_size=8))
def test_remembering_the_last_head_changes_nothing(sent: list[bytes]) -> None:
    parser = RequestParser(LIMITS)
    for head in sent:
        assert outcome(parser.parse, head) == outcome(lambda data: parse_request(data, LIMITS), head)


def test_a_remembered_head_is_not_shared() -> None:
    parser = RequestParser(LIMITS)
    first = parser.parse(request("Content-Length: 5"))
    second = parser.parse(request("Content-Length: 66"))
    assert (first.framing.length, second.framing.length) == (5, 66)
    assert (first.headers["content-length"], second.headers["content-length"]) == ("5", "66")


def test_what_was_learned_of_a_head_comes_again_with_that_head_alone() -> None:
    parser = RequestParser(LIMITS)
    first = parser.parse(request("Content-Length: 5"))
    first.learned.value = "alice"
    assert parser.parse(request("Content-Length: 66")).learned.value == "alice"
    assert parser.parse(request("Content-Length: 66", "x-key: another")).learned.value is None
    assert parser.parse(request("Content-Length: 5")).learned.value is None


NAME = st.sampled_from(["A", "x-b", "Content-Length", "transfer-encoding", "Host", "Connection", "a b", "", "é", "x@y"])
VALUE = st.sampled_from(
    ["1", "chunked", "Chunked", " two  words ", "\tt", "", "h", "5, 5", "é", "close", "a:b", "0" * 19]
)
FIELDS = st.lists(st.builds("{}:{}{}".format, NAME, st.sampled_from(["", " ", "  ", "\t"]), VALUE), max_size=4)


@given(FIELDS, st.sampled_from(["GET / HTTP/1.1", "POST /a?b HTTP/1.1", "POST /a HTTP/1.0"]))
def test_a_plain_request_head_is_read_as_h11_reads_it(lines: list[str], line: str) -> None:
    head = request(*lines, line=line)
    ours = outcome(lambda data: parse_request(data, LIMITS), head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "_plain_fields", lambda head: None)
        assert outcome(lambda data: parse_request(data, LIMITS), head) == ours


@given(
    FIELDS, st.sampled_from(["HTTP/1.1 200 OK", "HTTP/1.1 204 ", "HTTP/1.1 500", "HTTP/1.0 200 OK", "HTTP/1.1 100 C"])
)
def test_a_plain_answers_head_is_read_as_h11_reads_it(lines: list[str], line: str) -> None:
    def outcome_of_answer() -> object:
        try:
            head = parse_response(response(*lines, line=line), "GET", LIMITS)
        except PeerError as error:
            return (error.status_hint, error.message)
        return head.status, head.http_version, head.headers.items_list, head.framing, head.keep_alive

    ours = outcome_of_answer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "_plain_answer", lambda head, limits: None)
        assert outcome_of_answer() == ours


def test_the_usual_heads_are_plain() -> None:
    assert heads._plain_fields(request("Content-Length: 5", "user-agent: OpenAI/Python 3.57.0 (x; y)")) is not None
    of_stream = response("transfer-encoding: chunked", "content-type: text/event-stream")
    assert heads._plain_answer(of_stream, LIMITS) is not None


def test_first_lines_give_a_refusal_its_shape() -> None:
    assert first_line(b"POST /v1/messages HTTP/9.9\r\n") == ("POST", "/v1/messages")
    assert first_line(b"\x16\x03\x01") == ("", "")


def response(*lines: str, line: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


def test_an_answers_head() -> None:
    head = parse_response(response("Content-Length: 5", "X: 1"), "GET", LIMITS)
    assert (head.status, head.http_version, head.keep_alive) == (200, "1.1", True)
    assert head.framing is not None
    assert head.framing.length == 5
    assert head.headers["x"] == "1"


def test_an_interim_head_has_no_framing() -> None:
    assert parse_response(response(line="HTTP/1.1 103 Early Hints"), "GET", LIMITS).framing is None


@pytest.mark.parametrize("line", ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 299 what \xe4ver", "HTTP/1.0 200 OK"])
def test_accepted_status_lines(line: str) -> None:
    assert parse_response(response("Content-Length: 0", line=line), "GET", LIMITS).status in (200, 299)


@pytest.mark.parametrize(
    "data",
    [
        response(line="HTTP/1.1 20 OK"),
        response(line="HTTP/1.1 2000 OK"),
        response(line="HTTP/1.1 600 OK"),
        response(line="HTTP/1.1 099 OK"),
        response(line="HTTP/1.1 101 Switching Protocols"),
        response(line="HTTP/2.0 200 OK"),
        response(line="ICY 200 OK"),
        response(line="HTTP/1.1  200 OK"),
        response(line="HTTP/1.1 abc OK"),
        response("a : b"),
        response("a: b", " c"),
        response("a: b\0"),
        response("Content-Length: 5", "Transfer-Encoding: chunked"),
        response("Content-Length: 5", "Content-Length: 6"),
        response("Transfer-Encoding: gzip"),
        response("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK"),
        response(*[f"a{number}: b" for number in range(11)]),
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
        b"<html>\r\n\r\n",
    ],
)
def test_broken_answers(data: bytes) -> None:
    with pytest.raises(PeerError):
        parse_response(data, "GET", LIMITS)
