"""Faults of what is said: codings, types, JSON, streams, refusals and redirects."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence

from tests.end_to_end.answers import sse
from tests.end_to_end.faults.provider import CLOSE, HOLD, RESET, Drip, Right, Step, chunk
from tests.end_to_end.faults.rows import EITHER, ENDED, ERROR, RIGHT, Fault, Made, Steps, head, rows

__all__ = ["FAULTS"]


def coded(coding: str, packed: Callable[[bytes], bytes]) -> Steps:
    return lambda r: [r.sized(f"content-encoding: {coding}", body=packed(r.body)), CLOSE]


def _bomb(size: int) -> bytes:
    return gzip.compress(b" " * size)


# --- what it is ---
_CODINGS: Made = {
    "gzip, unasked": (RIGHT, coded("gzip", gzip.compress)),
    "x-gzip, unasked": (RIGHT, coded("x-gzip", gzip.compress)),
    "deflate, unasked": (RIGHT, coded("deflate", zlib.compress)),
    "identity": (RIGHT, coded("identity", bytes)),
    "gzip in two members": (RIGHT, coded("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:]))),
    "gzip of nothing": (ERROR, coded("gzip", lambda body: gzip.compress(b""))),
    "gzip, cut": ((ERROR, EITHER), coded("gzip", lambda body: gzip.compress(body)[:-12])),
    "gzip without its check sum": ((ERROR, ENDED), coded("gzip", lambda body: gzip.compress(body)[:-8])),
    "gzip with a wrong check sum": ((ERROR, EITHER), coded("gzip", lambda body: gzip.compress(body)[:-8] + b"\0" * 8)),
    "gzip with bytes behind": ((ERROR, EITHER), coded("gzip", lambda body: gzip.compress(body) + b"more")),
    "gzip that is none": (ERROR, coded("gzip", bytes)),
    "gzip of gzip": (ERROR, coded("gzip", lambda body: gzip.compress(gzip.compress(body)))),
    "gzip said twice": (ERROR, coded("gzip, gzip", lambda body: gzip.compress(gzip.compress(body)))),
    "deflate that is none": (ERROR, coded("deflate", lambda body: b"\x78\x9c" + body)),
    "br": (ERROR, coded("br", bytes)),
    "an unknown one": (ERROR, coded("cow", bytes)),
    "a bomb of 10 KB": (ERROR, coded("gzip", lambda body: _bomb(12_000_000))),
    "a bomb behind the answer": ((ERROR, EITHER), coded("gzip", lambda body: gzip.compress(body) + _bomb(12_000_000))),
    "a bomb in chunks": (ERROR, lambda r: [r.chunked("content-encoding: gzip", body=_bomb(12_000_000)), CLOSE]),
}
_TYPES: Made = {
    "HTML under 200": (ERROR, head(body=b"<html><body>Sign in</body></html>", media_type="text/html")),
    "HTML that says it is JSON": (ERROR, head(body=b"<html></html>", media_type="application/json")),
    "HTML that says it is a stream": (ERROR, head(body=b"<html></html>", media_type="text/event-stream")),
    "text": (ERROR, head(body=b"OK", media_type="text/plain")),
    "no content-type": ((EITHER, EITHER), head(media_type="")),
    "an empty content-type": ((EITHER, EITHER), head("content-type:", media_type="")),
    "octets": ((EITHER, EITHER), head(media_type="application/octet-stream")),
    "a charset": (RIGHT, lambda r: [r.sized(media_type=f"{r.media_type}; charset=utf-8"), CLOSE]),
    "in capitals": (RIGHT, lambda r: [r.sized(media_type=r.media_type.upper()), CLOSE]),
    "two content-types": (EITHER, head("content-type: text/html")),
    "the other form": (RIGHT, lambda r: [Right(r.dialect, not r.stream, r.text).sized(), CLOSE]),
    "the form of another dialect": (
        ERROR,
        lambda r: [
            Right("messages" if r.dialect != "messages" else "gemini", r.stream, r.text).sized(media_type=r.media_type),
            CLOSE,
        ],
    ),
}


def whole(make: Callable[[Right], bytes]) -> Steps:
    """The bytes as a body in one piece; in a stream as one event, where the first of the content would come."""
    return lambda r: [
        r.sized(body=b"".join(r.pieces[: r.content_at - 1]) + r.event(make(r)) if r.stream else make(r)), CLOSE,
    ]  # fmt: skip


_DEPTH = 100_000
# --- JSON ---
_JSON: Made = {
    "empty": (ERROR, whole(lambda r: b"")),
    "a space": (ERROR, whole(lambda r: b" ")),
    "null": (ERROR, whole(lambda r: b"null")),
    "a number": (ERROR, whole(lambda r: b"5")),
    "a string": (ERROR, whole(lambda r: b'"Hello"')),
    "a list": (ERROR, whole(lambda r: b"[]")),
    "an empty object": (ERROR, whole(lambda r: b"{}")),
    "another object": (ERROR, whole(lambda r: b'{"status":"ok"}')),
    "cut": (ERROR, lambda r: [r.sized(body=r.body[: len(r.body) // 2]), CLOSE]),
    "cut by one byte": (ERROR, whole(lambda r: (r.body if not r.stream else b'{"a":1}')[:-1])),
    "no JSON": (ERROR, whole(lambda r: b"{oops")),
    "single quotes": (ERROR, whole(lambda r: b"{'a': 1}")),
    "bytes behind": ((ERROR, ERROR), whole(lambda r: (r.body if not r.stream else b'{"a":1}') + b"more")),
    "two documents": ((ERROR, ERROR), whole(lambda r: (r.body if not r.stream else b'{"a":1}') * 2)),
    "NaN": (ERROR, whole(lambda r: b'{"a": NaN}')),
    "broken UTF-8": (ERROR, whole(lambda r: b'{"a": "\xff\xfe"}')),
    "UTF-16": (ERROR, whole(lambda r: '{"a": 1}'.encode("utf-16"))),
    "NUL": (ERROR, whole(lambda r: b'{"a": "\0"}')),
    "an open string": (ERROR, whole(lambda r: b'{"a": "' + b"b" * 9_000)),
    "depth": (ERROR, whole(lambda r: b"[" * _DEPTH + b"]" * _DEPTH)),
    "depth of objects": (ERROR, whole(lambda r: b'{"a":' * _DEPTH + b"1" + b"}" * _DEPTH)),
    "a number of a million digits": (ERROR, whole(lambda r: b'{"a": ' + b"9" * 1_000_000 + b"}")),
    "an exponent beyond all": (ERROR, whole(lambda r: b'{"a": 1e999999}')),
    "100,000 equal keys": (ERROR, whole(lambda r: b"{" + b'"a":1,' * 100_000 + b'"a":1}')),
    "an error under 200": (
        ERROR,
        whole(
            lambda r: json.dumps(
                {
                    "error": {
                        "message": f"Incorrect API key: {r.key}",
                        "type": "server_error",
                        "code": 500,
                        "status": "INTERNAL",
                    }
                }
            ).encode()
        ),
    ),
    "an error of messages under 200": (
        ERROR,
        whole(lambda r: b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
    ),
    "an error in a word under 200": (ERROR, whole(lambda r: b'{"error":"model is loading"}')),
    "types that are wrong": (
        ERROR,
        whole(
            lambda r: json.dumps(
                {
                    "id": 5,
                    "choices": "a",
                    "output": 7,
                    "content": 5,
                    "candidates": {"a": 1},
                    "message": [],
                    "type": "message",
                    "usage": "x",
                    "done": "x",
                }
            ).encode()
        ),
    ),
    "lists that are empty": (
        ERROR,
        whole(lambda r: json.dumps({"id": "a", "choices": [], "output": [], "candidates": []}).encode()),
    ),
    "an answer beyond all limits": (ERROR, whole(lambda r: b'{"a": "' + b"b" * 9_000_000 + b'"}')),
}


def stream(make: Callable[[Right], Sequence[Step]]) -> Steps:
    """The steps behind a stream's head, its bytes in chunks; an answer in one piece comes right."""

    def steps(r: Right) -> Sequence[Step]:
        if not r.stream:
            return [r.sized(), CLOSE]
        return [
            r.head("transfer-encoding: chunked"),
            *(chunk(step) if isinstance(step, bytes) else step for step in make(r)),
        ]

    return steps


def ended(make: Callable[[Right], bytes]) -> Steps:
    """A stream of these bytes that ends as HTTP wants it."""
    return lambda r: [r.chunked(body=make(r)), CLOSE] if r.stream else [r.sized(), CLOSE]


def _cut_at(part: Callable[[Right], bytes], end: Step) -> Steps:
    return stream(lambda r: [part(r), end])


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


_PARTS: dict[str, Callable[[Right], bytes]] = {
    "the first event": lambda r: r.pieces[0],
    "half the first event": lambda r: r.pieces[0][: len(r.pieces[0]) // 2],
    "half the text": lambda r: r.before(),
    "half an event": lambda r: r.before() + r.pieces[r.content_at][:20],
    "all but the last event": lambda r: b"".join(r.pieces[:-1]),
}
_STREAMS: Made = {
    **{
        f"{how} behind {name}": ((RIGHT, ERROR if name != "all but the last event" else EITHER), _cut_at(part, end))
        for name, part in _PARTS.items()
        for how, end in (("closed", CLOSE), ("reset", RESET), ("silent", HOLD))
    },
    **{
        f"ended well behind {name}": ((RIGHT, ERROR if name != "all but the last event" else EITHER), ended(part))
        for name, part in _PARTS.items()
    },
    "no event": ((RIGHT, ERROR), ended(lambda r: b"\n\n\n")),
    "nothing but comments": ((RIGHT, ERROR), ended(lambda r: b": a\n\n" * 9 if r.dialect != "ollama" else b"\n" * 9)),
    "nothing but pings without end": (
        (RIGHT, ERROR),
        stream(lambda r: [Drip(chunk(b": ping\n\n" if r.dialect != "ollama" else b"\n"), 99, 0.05, endless=True)]),
    ),
    "garbage in the middle": (
        (RIGHT, ERROR),
        ended(lambda r: r.before() + r.event(b"{oops") + b"".join(r.pieces[r.content_at :])),
    ),
    "broken UTF-8 in the middle": (
        (RIGHT, ERROR),
        ended(lambda r: r.before() + r.event(b'{"a": "\xff"}') + b"".join(r.pieces[r.content_at :])),
    ),
    "broken UTF-8 in the text": ((RIGHT, ERROR), ended(lambda r: r.body.replace(b", ", b", \xff"))),
    "UTF-8 cut in the text": ((RIGHT, ERROR), ended(lambda r: r.body.replace(b", ", b", \xe2\x82"))),
    "HTML in the middle": ((RIGHT, ERROR), ended(lambda r: r.before() + b"<html>\n\n</html>\n\n")),
    "an error first": (
        (RIGHT, ERROR),
        ended(lambda r: r.event(b'{"error":{"message":"no","type":"server_error","code":500}}')),
    ),
    "an error of messages first": (
        (RIGHT, ERROR),
        ended(lambda r: sse({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, named=True)),
    ),
    "an error in the middle": (
        (RIGHT, ERROR),
        ended(
            lambda r: (
                r.before()
                + r.event(
                    json.dumps(
                        {"type": "error", "error": {"message": r.key, "type": "server_error", "code": 500}}
                    ).encode()
                )
            )
        ),
    ),
    "an empty data field": (
        RIGHT,
        ended(
            lambda r: (
                r.before() + (b"data:\n\n" if r.dialect != "ollama" else b"\n") + b"".join(r.pieces[r.content_at :])
            )
        ),
    ),
    "fields that nobody knows": (
        RIGHT,
        ended(lambda r: (b"id: 5\nretry: 9\nfoo: bar\n\n" if r.dialect != "ollama" else b"") + r.body),
    ),
    "CR LF": (RIGHT, ended(lambda r: r.body.replace(b"\n", b"\r\n"))),
    "CR": (RIGHT, ended(lambda r: r.body.replace(b"\n", b"\r") if r.dialect != "ollama" else r.body)),
    "a byte order mark": (RIGHT, ended(lambda r: (b"\xef\xbb\xbf" if r.dialect != "ollama" else b"") + r.body)),
    "a comment of 5 MB": (
        RIGHT,
        ended(lambda r: (b": " + b"a" * 5_000_000 + b"\n\n" if r.dialect != "ollama" else b"") + r.body),
    ),
    "10,000 events in one write": (
        RIGHT,
        ended(lambda r: (b": a\n\n" if r.dialect != "ollama" else b"\n") * 10_000 + r.body),
    ),
    "pieces of a few bytes": (
        RIGHT,
        stream(lambda r: [Drip(b"".join(map(chunk, _cut(r.body, 40))) + b"0\r\n\r\n", 45), CLOSE]),
    ),
}


# --- what stands behind the terminal event: nothing of it may reach anybody ---
_BEHIND: Made = {
    "events": (RIGHT, ended(lambda r: r.body + r.before())),
    "garbage": (RIGHT, ended(lambda r: r.body + r.event(b"{oops"))),
    "an error": (RIGHT, ended(lambda r: r.body + r.event(b'{"error":{"message":"no"}}'))),
    "the whole stream twice": (RIGHT, ended(lambda r: r.body * 2)),
    "an endless one": (
        RIGHT,
        stream(lambda r: [r.body, Drip(chunk(b": a\n\n" * 1_000), 5_010, endless=True)]),
    ),
}


# --- streams without an end, at full speed ---
_ENDLESS: Made = {
    "a line without end": (
        (RIGHT, ERROR),
        stream(lambda r: [r.before(), Drip(chunk(b"data: " + b"a" * 900_000), 900_020, endless=True)]),
    ),
    "an event without end": (
        (RIGHT, ERROR),
        stream(lambda r: [r.before(), Drip(chunk(b"data: a\n" * 90_000), 900_020, endless=True)]),
    ),
    "events without content, without end": (
        (RIGHT, ERROR),
        stream(lambda r: [Drip(chunk(r.event(b'{"type":"ping"}') * 40_000), 2_000_000, endless=True)]),
    ),
    "data lines without a word": (
        (RIGHT, ERROR),
        stream(lambda r: [r.before(), Drip(chunk(b"data:\n" * 90_000), 900_020, endless=True)]),
    ),
}


def _error_body(r: Right) -> bytes:
    message = f"no: {r.key}"
    return json.dumps(
        {
            "type": "error",
            "error": {"message": message, "type": "a", "code": 500, "status": "INTERNAL"},
            "message": message,
        }
    ).encode()


_REFUSALS = (
    400,
    401,
    402,
    403,
    404,
    405,
    408,
    409,
    410,
    413,
    415,
    418,
    422,
    425,
    429,
    431,
    451,
    499,
    500,
    501,
    502,
    503,
    504,
    507,
    511,
    520,
    524,
    529,
    599,
)
_ODD_WAITS = ("0", "-1", "1e9", "abc", "nan", "inf", "1e400", "5, 6", "99999999999999999999", "1.5", "", "0x10",
              "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 99 Foo 9999 99:99:99 GMT")  # fmt: skip


def refusal(
    status: int,
    *fields: str,
    body: Callable[[Right], bytes] = _error_body,
    media_type: str = "application/json",
    end: Step = CLOSE,
) -> Steps:
    return lambda r: [r.sized(*fields, body=body(r), line=f"HTTP/1.1 {status} No", media_type=media_type), end]


def half(status: int, end: Step) -> Steps:
    return lambda r: [r.head("content-length: 999", line=f"HTTP/1.1 {status} No") + b'{"error', end]


def redirect(status: int) -> Steps:
    return lambda r: [r.sized(f"location: {r.trap}", body=b"", line=f"HTTP/1.1 {status} Moved"), HOLD]


# --- refusals and redirects ---
_STATUSES: Made = {
    **{f"{status}": (ERROR, refusal(status)) for status in _REFUSALS},
    **{
        f"{status} with a page": (
            ERROR,
            refusal(status, body=lambda r: b"<html>" + r.key.encode(), media_type="text/html"),
        )
        for status in (400, 401, 403, 404, 429, 500, 502, 503)
    },
    **{
        f"{status} without a body": (ERROR, refusal(status, body=lambda r: b""))
        for status in (400, 401, 404, 429, 500, 503)
    },
    **{f"{status} with half a body": (ERROR, half(status, CLOSE)) for status in (400, 429, 500)},
    **{f"{status} and silence": (ERROR, half(status, HOLD)) for status in (400, 429, 500)},
    **{f"429, retry-after: {wait!r}": (ERROR, refusal(429, f"retry-after: {wait}")) for wait in _ODD_WAITS},
    "503 with a body without end": (
        ERROR,
        lambda r: [
            r.head("transfer-encoding: chunked", line="HTTP/1.1 503 No"),
            Drip(chunk(b"a" * 60_000), 60_010, endless=True),
        ],
    ),
    "500 with a bomb": (ERROR, refusal(500, "content-encoding: gzip", body=lambda r: _bomb(12_000_000))),
    "500 that is no JSON": (ERROR, refusal(500, body=lambda r: b"{oops")),
    "500 of another type": (ERROR, refusal(500, body=lambda r: b'[{"error":5}]')),
    "500 with Set-Cookie": (ERROR, refusal(500, "set-cookie: a=b", "location: http://a/")),
    "500 that stays open": (ERROR, refusal(500, end=HOLD)),
    **{f"{status} to another origin": (ERROR, redirect(status)) for status in (300, 301, 302, 303, 305, 307, 308)},
    "302 to itself": (ERROR, lambda r: [r.sized("location: /v1/models", body=b"", line="HTTP/1.1 302 Found"), HOLD]),
    "307 with the right body": (ERROR, lambda r: [r.sized(f"location: {r.trap}", line="HTTP/1.1 307 Moved"), HOLD]),
}

FAULTS: list[Fault] = [
    *rows("coding", _CODINGS), *rows("type", _TYPES), *rows("JSON", _JSON), *rows("stream", _STREAMS),
    *rows("behind the end", _BEHIND), *rows("endless", _ENDLESS), *rows("status", _STATUSES),
]  # fmt: skip
