"""Faults of the connection and of HTTP: what is the same whatever the body says."""

from __future__ import annotations

import gzip

from tests.end_to_end.faults.provider import CLOSE, HOLD, RESET, Drip, Right, Step, chunk
from tests.end_to_end.faults.rows import EITHER, ENDED, ERROR, RIGHT, Fault, Made, Steps, head, rows, says

__all__ = ["FAULTS"]


def forged(right: Right) -> bytes:
    """An answer that nobody asked for."""
    return Right(right.dialect, right.stream, "forged and for nobody").sized()


# --- the connection ---
_CONNECTION: Made = {
    "it closes without a byte": (ERROR, lambda r: [CLOSE]),
    "it resets without a byte": (ERROR, lambda r: [RESET]),
    "it says nothing": (ERROR, lambda r: [HOLD]),
    "it says nothing but an empty line": (ERROR, says(b"\r\n", HOLD)),
    "it sends zeros": (ERROR, says(b"\0" * 1_000)),
    "it sends zeros without end": (ERROR, lambda r: [Drip(b"\0" * 60_000, 60_000, endless=True)]),
    "it sends random bytes": (ERROR, says(bytes(range(256)) * 8)),
    "it speaks TLS": (ERROR, says(b"\x15\x03\x01\x00\x02\x02\x46")),
    "it speaks SSH": (ERROR, says(b"SSH-2.0-OpenSSH_9.6\r\n", HOLD)),
    "it speaks SMTP": (ERROR, says(b"220 mail ESMTP\r\n", HOLD)),
    "it speaks HTTP/2": (ERROR, says(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64\0\4\0\xa0\0\0\0\5\0\0\x40\0", HOLD)),
    "it says the body without a head": (ERROR, lambda r: [r.body, CLOSE]),
    "it echoes the request": (ERROR, lambda r: [b"POST / HTTP/1.1\r\nhost: a\r\n\r\n", HOLD]),
    "it answers twice at once": (RIGHT, lambda r: [r.sized() + forged(r), HOLD]),
    "it answers twice, in chunks": (RIGHT, lambda r: [r.chunked() + forged(r), HOLD]),
    "it sends a line behind its answer": (RIGHT, lambda r: [r.sized() + b"\r\n", HOLD]),
    "it answers a byte at a time": (RIGHT, lambda r: [Drip(r.sized()), CLOSE]),
}
# --- the status line ---
_LINES = (
    "H", "HTTP", "HTTP/", "HTTP/1", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 2", "HTTP/1.1 20", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK",
    "HTTP/1.1 abc OK", "HTTP/1.1 099 OK", "HTTP/1.1 000 OK", "HTTP/1.1 600 OK", "HTTP/1.1 999 OK", "HTTP/1.1 -200 OK", "HTTP/1.1 +200 OK",
    "HTTP/1.1 0x200 OK", "HTTP/1.1 200.0 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", " HTTP/1.1 200 OK", "HTTP/1.1 200OK",
    "HTTP/2 200 OK", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/3 200", "HTTP/11 200 OK", "HTTP/1.11 200 OK", "http/1.1 200 OK",
    "ICY 200 OK", "200 OK", "OK", "<!DOCTYPE html>", '{"error": "no"}', "HTTP/1.1 200 O\0K", "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 OK\r",
)  # fmt: skip
_STATUS_LINES: Made = {
    **{f"{line!r}": (ERROR, head(line=line)) for line in _LINES},
    **{
        f"half, {word}": (ERROR, says(b"HTTP/1.1 2", end))
        for word, end in (("silent", HOLD), ("closed", CLOSE), ("reset", RESET))
    },
    "without words": (RIGHT, lambda r: [r.sized(line="HTTP/1.1 200"), CLOSE]),
    "with an empty phrase": (RIGHT, lambda r: [r.sized(line="HTTP/1.1 200 "), CLOSE]),
    "with a phrase beyond ASCII": (RIGHT, lambda r: [r.sized(line="HTTP/1.1 200 \xd6K"), CLOSE]),
    "HTTP/1.0": (RIGHT, lambda r: [r.sized(line="HTTP/1.0 200 OK"), CLOSE]),
    "HTTP/1.2": (EITHER, lambda r: [r.sized(line="HTTP/1.2 200 OK"), CLOSE]),
}
# --- the head ---
_BAD_FIELDS = {
    "NUL in a value": "x-a: b\0c", "a control in a value": "x-a: b\x01", "a bare CR in a value": "x-a: b\rc", "a bare LF in a value": "x-a: b\nc",
    "a bare CR and a field": "x-a: b\rset-cookie: c", "no colon": "x-a b", "a space before the colon": "x-a : b", "an empty name": ": b",
    "a control in a name": "x\x01a: b", "a name beyond ASCII": "x-\xe4: b", "a fold": "x-a: b\r\n c", "a fold with a tab": "x-a: b\r\n\tc",
}  # fmt: skip
_HEADS: Made = {
    **{name: (ERROR, head(line)) for name, line in _BAD_FIELDS.items()},
    "bare LF throughout": (ERROR, lambda r: [r.sized().replace(b"\r\n", b"\n"), CLOSE]),
    "of 200 KB": (ERROR, head("x-a: " + "b" * 200_000)),
    "of 20,000 fields": (ERROR, head(*["x-a: b"] * 20_000)),
    "without end": (ERROR, lambda r: [r.head("x-a: b")[:-4], Drip(b"x-a: b\r\n" * 4_000, 32_000, endless=True)]),
    "that is not finished": (ERROR, lambda r: [r.head()[:-2], HOLD]),
    "that drips": (ERROR, lambda r: [Drip(r.head() + b"x" * 99, 1, 0.1)]),
    "that is cut": (ERROR, lambda r: [r.head()[:-9], CLOSE]),
    "that is cut in front of its end": (ERROR, lambda r: [r.head()[:-2], CLOSE]),
    "that is reset": (ERROR, lambda r: [r.head()[:-9], RESET]),
    "alone, then closed": (ERROR, lambda r: [r.head("content-length: 99"), CLOSE]),
    "alone, then reset": (ERROR, lambda r: [r.head("content-length: 99"), RESET]),
    "alone, then silence": (ERROR, lambda r: [r.head("content-length: 99"), HOLD]),
    "alone, chunked, then silence": (ERROR, lambda r: [r.head("transfer-encoding: chunked"), HOLD]),
    "alone, without a framing, then closed": (ERROR, lambda r: [r.head(), CLOSE]),
    "with a value beyond ASCII": (RIGHT, head("x-a: \xff")),
    "with Set-Cookie": (RIGHT, head("set-cookie: a=b; path=/", "set-cookie2: c=d")),
    "with fields of its own": (
        RIGHT,
        head("x-secret: a", "server: nginx", "via: 1.1 a", "alt-svc: h3=':443'", "x-powered-by: a", "link: <a>"),
    ),
    "with fields for browsers": (
        RIGHT,
        head(
            "access-control-allow-origin: *",
            "strict-transport-security: a",
            "content-security-policy: a",
            "refresh: 0; url=http://a/",
        ),
    ),
    "with fields of one hop": (
        RIGHT,
        head("keep-alive: timeout=5", "upgrade: h2c", "proxy-authenticate: Basic", "te: a", "trailer: a"),
    ),
    "with our own fields": (
        RIGHT,
        head("x-ds2api-request-id: forged", "x-ds2api-served-by: forged", "x-ds2api-warning: forged"),
    ),
    "with a request id that is none": (RIGHT, head("x-request-id: \xff\t\xfe" + "a" * 5_000)),
    "with an odd date": (RIGHT, head("date: yesterday", "retry-after: -5", "age: x")),
    "that closes": (RIGHT, lambda r: [r.sized("connection: close"), CLOSE]),
    "that stays open": (RIGHT, lambda r: [r.sized(), HOLD]),
    "that says close and stays open": (RIGHT, lambda r: [r.sized("connection: close"), HOLD]),
}
# --- answers before the answer ---
_INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n"
_INTERIMS: Made = {
    "100 and the answer": (RIGHT, lambda r: [b"HTTP/1.1 100 Continue\r\n\r\n", r.sized(), CLOSE]),
    "102, 103 and the answer": (RIGHT, lambda r: [b"HTTP/1.1 102 Processing\r\n\r\n" + _INTERIM, r.sized(), CLOSE]),
    "100 and the answer in one": (RIGHT, lambda r: [b"HTTP/1.1 100 Continue\r\n\r\n" + r.sized(), CLOSE]),
    "199 and the answer": (RIGHT, lambda r: [b"HTTP/1.1 199 Odd\r\nx-a: b\r\n\r\n", r.sized(), CLOSE]),
    "50 times 100": (ERROR, lambda r: [b"HTTP/1.1 100 Continue\r\n\r\n" * 50, r.sized(), CLOSE]),
    "100 without end": (ERROR, lambda r: [Drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 2_500, endless=True)]),
    "100 and silence": (ERROR, lambda r: [b"HTTP/1.1 100 Continue\r\n\r\n", HOLD]),
    "100 and the end": (ERROR, lambda r: [b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE]),
    "100 and a reset": (ERROR, lambda r: [b"HTTP/1.1 100 Continue\r\n\r\n", RESET]),
    "100 with a length": (EITHER, lambda r: [b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\n", r.sized(), CLOSE]),
    "101": (
        ERROR,
        lambda r: [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", HOLD],
    ),
    "101 and the answer": (
        ERROR,
        lambda r: [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\n\r\n", r.sized(), CLOSE],
    ),
}


def length(text: str, *then: Step) -> Steps:
    return lambda r: [r.head(f"content-length: {text}") + r.body, *(then or (CLOSE,))]


def odd_size(size: bytes) -> Steps:
    return lambda r: [r.head("transfer-encoding: chunked") + size + b"\r\n" + r.body, CLOSE]


# --- the end of the body ---
_FRAMING: Made = {
    "chunked": (RIGHT, lambda r: [r.chunked(), CLOSE]),
    "chunked, a byte each": (
        RIGHT,
        lambda r: [
            r.head("transfer-encoding: chunked")
            + b"".join(chunk(r.body[at : at + 1]) for at in range(len(r.body)))
            + b"0\r\n\r\n",
            CLOSE,
        ],
    ),
    "chunked, in capitals": (
        RIGHT,
        lambda r: [r.head("Transfer-Encoding: CHUNKED") + chunk(r.body) + b"0\r\n\r\n", CLOSE],
    ),
    "chunked, with extensions": (
        RIGHT,
        lambda r: [
            r.head("transfer-encoding: chunked") + b'%x;a="b"\r\n%b\r\n0;c\r\n\r\n' % (len(r.body), r.body),
            CLOSE,
        ],
    ),
    "chunked, with a trailer": (RIGHT, lambda r: [r.chunked(last=b"0\r\nx-a: b\r\n\r\n"), CLOSE]),
    "chunked, with Set-Cookie in a trailer": (
        EITHER,
        lambda r: [r.chunked(last=b"0\r\nset-cookie: a=b\r\n\r\n"), CLOSE],
    ),
    "chunked, with a padded size": (
        RIGHT,
        lambda r: [r.head("transfer-encoding: chunked") + b"%x  \r\n%b\r\n0\r\n\r\n" % (len(r.body), r.body), CLOSE],
    ),
    "by the end of the connection": (RIGHT, lambda r: [r.head() + r.body, CLOSE]),
    "by the end of the connection, HTTP/1.0": (RIGHT, lambda r: [r.head(line="HTTP/1.0 200 OK") + r.body, CLOSE]),
    "by a reset": ((ERROR, EITHER), lambda r: [r.head() + r.body, RESET]),
    "by silence": ((ERROR, ENDED), lambda r: [r.head() + r.body, HOLD]),
    "length and chunked": (ERROR, lambda r: [r.chunked("content-length: 5"), CLOSE]),
    "chunked in HTTP/1.0": (ERROR, lambda r: [r.chunked().replace(b"HTTP/1.1", b"HTTP/1.0", 1), CLOSE]),
    "two equal lengths": (EITHER, lambda r: [r.sized(f"content-length: {len(r.body)}"), CLOSE]),
    "two lengths": (ERROR, lambda r: [r.sized("content-length: 5"), CLOSE]),
    "a list of lengths": (ERROR, length("5, 6")),
    "a negative length": (ERROR, length("-5")),
    "a signed length": (ERROR, length("+5")),
    "a length in words": (ERROR, length("many")),
    "an empty length": (ERROR, length("")),
    "a hexadecimal length": (ERROR, length("0xff")),
    "a length of 2^64": (ERROR, length(str(2**64), HOLD)),
    "a length of 40 digits": (ERROR, length("9" * 40)),
    "a length that is too long, closed": ((ERROR, ENDED), length("99999", CLOSE)),
    "a length that is too long, reset": ((ERROR, EITHER), length("99999", RESET)),
    "a length that is too long, silent": ((ERROR, ENDED), length("99999", HOLD)),
    "a length that is too short": (ERROR, lambda r: [r.head(f"content-length: {len(r.before())}") + r.body, HOLD]),
    "a length of zero": (ERROR, lambda r: [r.head("content-length: 0") + r.body, HOLD]),
    "a length one too short": (EITHER, lambda r: [r.head(f"content-length: {len(r.body) - 1}") + r.body, HOLD]),
    "an unknown coding": (ERROR, lambda r: [r.head("transfer-encoding: cow") + chunk(r.body) + b"0\r\n\r\n", CLOSE]),
    "gzip and chunked": (
        ERROR,
        lambda r: [r.head("transfer-encoding: gzip, chunked") + chunk(gzip.compress(r.body)) + b"0\r\n\r\n", CLOSE],
    ),
    "chunked twice": (
        ERROR,
        lambda r: [
            r.head("transfer-encoding: chunked", "transfer-encoding: chunked") + chunk(r.body) + b"0\r\n\r\n",
            CLOSE,
        ],
    ),
    "identity": (ERROR, lambda r: [r.head("transfer-encoding: identity") + r.body, CLOSE]),
    **{
        f"a chunk size: {name}": (
            ERROR,
            odd_size(size),
        )
        for name, size in {
            "empty": b"",
            "no digit": b"zz",
            "a prefix": b"0x5",
            "negative": b"-5",
            "signed": b"+5",
            "2^64": b"1" + b"0" * 16,
            "NUL": b"5\0",
            "40 digits": b"f" * 40,
            "5 KB": b"0" * 5_000,
        }.items()
    },
    "a chunk longer than its size": (
        ERROR,
        lambda r: [r.head("transfer-encoding: chunked") + b"5\r\n" + r.body + b"\r\n0\r\n\r\n", CLOSE],
    ),
    "a chunk ended by LF": (
        EITHER,
        lambda r: [r.head("transfer-encoding: chunked") + b"%x\r\n%b\n0\r\n\r\n" % (len(r.body), r.body), CLOSE],
    ),
    "a size line ended by LF": (
        ERROR,
        lambda r: [r.head("transfer-encoding: chunked") + b"%x\n%b\r\n0\r\n\r\n" % (len(r.body), r.body), CLOSE],
    ),
    "no last chunk, closed": ((ERROR, ENDED), lambda r: [r.chunked(last=b""), CLOSE]),
    "no last chunk, reset": ((ERROR, EITHER), lambda r: [r.chunked(last=b""), RESET]),
    "no last chunk, silent": ((ERROR, ENDED), lambda r: [r.chunked(last=b""), HOLD]),
    "half a last chunk, silent": ((ERROR, ENDED), lambda r: [r.chunked(last=b"0\r\n"), HOLD]),
    "a trailer without end": (
        (ERROR, ENDED),
        lambda r: [r.chunked(last=b"0\r\n"), Drip(b"x-a: b\r\n" * 1_000, 8_000, endless=True)],
    ),
    "chunks of nothing but extensions": (
        ERROR,
        lambda r: [
            r.head("transfer-encoding: chunked"),
            Drip(b"1;" + b"a" * 3_000 + b"\r\n \r\n", 3_100, endless=True),
        ],
    ),
    "an empty body with a length": (ERROR, lambda r: [r.sized(body=b""), HOLD]),
    "an empty body in chunks": (ERROR, lambda r: [r.chunked(body=b""), HOLD]),
    "an empty body by its end": (ERROR, lambda r: [r.head(), CLOSE]),
    "204": (ERROR, lambda r: [r.head(line="HTTP/1.1 204 No Content") + b"", HOLD]),
    "204 with a body": (ERROR, lambda r: [r.sized(line="HTTP/1.1 204 No Content"), HOLD]),
    "205 with a body": (EITHER, lambda r: [r.sized(line="HTTP/1.1 205 Reset Content"), HOLD]),
    "201": (EITHER, lambda r: [r.sized(line="HTTP/1.1 201 Created"), HOLD]),
    "202": (EITHER, lambda r: [r.sized(line="HTTP/1.1 202 Accepted"), HOLD]),
    "206": (EITHER, lambda r: [r.sized(line="HTTP/1.1 206 Partial Content"), HOLD]),
    "299": (EITHER, lambda r: [r.sized(line="HTTP/1.1 299 Odd"), HOLD]),
    "304": (ERROR, lambda r: [r.head(line="HTTP/1.1 304 Not Modified"), HOLD]),
}

FAULTS: list[Fault] = [
    *rows("connection", _CONNECTION),
    *rows("status line", _STATUS_LINES),
    *rows("head", _HEADS),
    *rows("interim", _INTERIMS),
    *rows("framing", _FRAMING),
    Fault(
        "it answers before it was asked whole",
        "connection",
        (EITHER, EITHER),
        lambda r: [r.sized(), HOLD],
        is_early=True,
    ),
    Fault(
        "it refuses before it was asked whole",
        "connection",
        (ERROR, ERROR),
        lambda r: [r.sized(line="HTTP/1.1 413 No"), CLOSE],
        is_early=True,
    ),
    Fault("it closes before it was asked whole", "connection", (ERROR, ERROR), lambda r: [CLOSE], is_early=True),
]
