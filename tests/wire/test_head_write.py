"""What we write of heads, and what we refuse to write."""

from __future__ import annotations

import re

import pytest

from ds2api.wire.errors import LocalError
from ds2api.wire.head_write import date_line, field_lines, request_lines, status_line
from ds2api.wire.heads import parse_request
from ds2api.wire.settings import Limits


def test_fields_are_written_as_they_are() -> None:
    assert field_lines([("content-type", "a/b"), ("X", "ü")]) == b"content-type: a/b\r\nX: \xfc\r\n"
    assert field_lines([]) == b""


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\r\nb: c", "a\0b"])
def test_a_value_never_adds_a_line_and_the_error_does_not_quote_it(bad: str) -> None:
    with pytest.raises(LocalError, match="the field x-one") as refused:
        field_lines([("a", "b"), ("x-one", bad)])
    assert bad not in str(refused.value)


def test_a_value_beyond_latin_1_is_refused_by_name() -> None:
    with pytest.raises(LocalError, match="the field x-one"):
        field_lines([("x-one", "日本")])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", "a\0"])
def test_a_name_must_be_a_token(name: str) -> None:
    with pytest.raises(LocalError, match="no token"):
        field_lines([(name, "b")])


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "CONNECTION", "host", "date", "upgrade"])
def test_what_frames_a_message_is_the_wires_alone(name: str) -> None:
    with pytest.raises(LocalError, match="set by the wire"):
        field_lines([(name, "b")])


def test_status_lines() -> None:
    assert status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert status_line(529) == b"HTTP/1.1 529 \r\n"
    for status in (99, 101, 600):
        with pytest.raises(LocalError):
            status_line(status)


def test_the_date_is_a_date() -> None:
    assert re.fullmatch(rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", date_line())


def test_a_request_reads_back() -> None:
    before, after = request_lines("POST", "/v1/x?y", "h:81", [("a", "b")], "Basic eA==")
    head = parse_request(before + b"content-length: 5\r\n" + after, Limits())
    assert (head.method, head.target, head.framing.length) == ("POST", "/v1/x?y", 5)
    assert head.headers.items_list == [
        ("host", "h:81"), ("content-length", "5"), ("proxy-authorization", "Basic eA=="), ("a", "b"),
    ]  # fmt: skip
    assert request_lines("GET", "/", "h", []) == (b"GET / HTTP/1.1\r\nhost: h\r\n", b"\r\n")


@pytest.mark.parametrize(
    ("method", "target", "host"),
    [
        ("GE T", "/", "h"),
        ("GET", "/a b", "h"),
        ("GET", "/\r\n", "h"),
        ("GET", "/ä", "h"),
        ("GET", "/", "h\r\n"),
        ("GET", "/", ""),
    ],
)
def test_a_request_line_never_breaks(method: str, target: str, host: str) -> None:
    with pytest.raises(LocalError):
        request_lines(method, target, host, [])
