"""Chunks, their extensions and trailers (RFC 9112 §7.1)."""

from __future__ import annotations

from tests.wire.hostile.rows import BODY, Row, chunked, either, pass_on, refused, served

__all__ = ["ROWS"]

_SIZE = b"%x" % len(BODY)
_LAST = b"0\r\n\r\n"
_HIDDEN = pass_on("/hidden")


def size_line(line: bytes, end: bytes = b"\r\n") -> bytes:
    """The whole body in one chunk behind `line`."""
    return chunked(line + end + BODY + b"\r\n" + _LAST)


def last(tail: bytes) -> bytes:
    """The whole body, and then `tail` for a last chunk."""
    return chunked(_SIZE + b"\r\n" + BODY + b"\r\n" + tail)


def trailer(*lines: bytes) -> bytes:
    return last(b"0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


def pieces(size: int) -> bytes:
    parts = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    return chunked(*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), _LAST)


_BAD_SIZES = {
    "empty": b"", "a prefix": b"0x" + _SIZE, "a capital prefix": b"0X" + _SIZE, "signed": b"+" + _SIZE,
    "negative": b"-" + _SIZE, "minus one": b"-1", "a space in front": b" " + _SIZE, "a tab in front": b"\t" + _SIZE,
    "a space within": _SIZE[:1] + b" " + _SIZE[1:], "no hexadecimal digit": b"g", "a letter behind": _SIZE + b"h",
    "an underscore": _SIZE[:1] + b"_" + _SIZE[1:], "a point": _SIZE + b".0", "a comma": _SIZE + b",0", "quoted": b'"38"',
    "2^64": b"10000000000000000", "2^64 and the size": b"100000000000000" + _SIZE, "2^63": b"8000000000000000",
    "as many digits as fit nowhere": b"f" * 40, "zeros without end": b"0" * 5_000, "NUL behind": _SIZE + b"\0",
    "a control behind": _SIZE + b"\x0b", "a form feed behind": _SIZE + b"\x0c", "beyond ASCII": _SIZE + b"\xff",
    "an h behind": _SIZE + b"H", "a colon": _SIZE + b":", "an equals sign": _SIZE + b"=a", "a braced size": b"{38}",
    "fullwidth digits": "\uff13\uff18".encode(),
}  # fmt: skip
_BAD_ENDS = {
    "a bare LF": b"\n", "a bare CR": b"\r", "CR CR LF": b"\r\r\n", "LF CR": b"\n\r", "CR and a letter": b"\rX",
    "nothing": b"", "NUL": b"\0",
}  # fmt: skip
_BAD_EXTENSIONS = {
    "a NUL": b";a\0", "a bare CR": b";a=\rb", "a bare LF": b";a=b\n", "an open quote": b';a="b', "an open quote and a line": b';a="b\r\nc"',
    "a control": b";a=\x01", "beyond ASCII unquoted": b";a=\xff", "two values": b";a=b=c", "5 KB": b";a=" + b"b" * 5_000,
    "1 MB": b";" + b"a" * 1_000_000, "a space and a letter": b" a", "a bare LF in a quote": b';a="b\nc"',
    "a quote and a letter": b';a="b"c', "an escaped end": b';a="b\\"', "a name that is no token": b";a(b",
    "a bare LF that hides a size": b";\n38",
}  # fmt: skip
_DATA = {
    "data longer than its size": b"3\r\nabcd\r\n" + _LAST,
    "data shorter than its size": b"5\r\nabc\r\n" + _LAST,
    "data ended by a bare LF": _SIZE + b"\r\n" + BODY + b"\n" + _LAST,
    "data ended by a bare CR": _SIZE + b"\r\n" + BODY + b"\r" + _LAST,
    "data ended by nothing": _SIZE + b"\r\n" + BODY + _LAST,
    "data ended by two letters": _SIZE + b"\r\n" + BODY + b"XX" + _LAST,
    "data ended by CR X": _SIZE + b"\r\n" + BODY + b"\rX" + _LAST,
    "data ended by CR LF CR LF": _SIZE + b"\r\n" + BODY + b"\r\n\r\n" + _LAST,
    "no chunk at all but a request": _HIDDEN,
    "JSON instead of chunks": BODY,
}
_BAD_LASTS = {
    "ended by a bare LF": b"0\n\r\n", "and an empty line of LF": b"0\r\n\n", "ended by CR": b"0\r\r\n\r\n", "with a prefix": b"0x0\r\n\r\n",
    "negative": b"-0\r\n\r\n", "with a space in front": b" 0\r\n\r\n", "and data": b"0\r\nabc\r\n\r\n", "and a bare CR": b"0\r\n\r\r\n",
    "and bare LF LF": b"0\n\n", "signed": b"+0\r\n\r\n",
}  # fmt: skip
# Not to be sent, and not to be merged into the head; refused or dropped (RFC 9110 §6.5.1).
_FORBIDDEN = ("Content-Length: 5", "Transfer-Encoding: chunked", "Host: a", "Connection: close", "Trailer: a",
              "Authorization: Bearer of-the-client", "Content-Encoding: gzip", "Cookie: a=b")  # fmt: skip
_BAD_TRAILERS = {
    "no colon": (b"abc",), "an empty name": (b": a",),
    "a space before the colon": (b"A : b",), "a fold": (b"A: b", b" c"), "a NUL": (b"A: \0",), "a bare LF": (b"A: b\nC: d",),
    "a bare CR": (b"A: b\rC: d",), "a control": (b"A: \x01",), "a request": (_HIDDEN[:-4],), "1 MB": (b"A: " + b"b" * 1_000_000,),
    "10,000 fields": (b"A: b",) * 10_000, "a name beyond ASCII": (b"\xc4: b",),
}  # fmt: skip

ROWS: list[Row] = [
    served("one chunk", "§7.1", size_line(_SIZE)),
    served("in capitals", "§7.1", size_line(_SIZE.upper())),
    served("zeros in front", "§7.1", size_line(b"000" + _SIZE)),
    *(served(f"chunks of {size}", "§7.1", pieces(size)) for size in (1, 2, 7, 50)),
    *(refused(f"size: {name}", "§7.1", size_line(text)) for name, text in _BAD_SIZES.items()),
    either("size: a space behind", "§7.1.1", size_line(_SIZE + b" ")),
    either("size: a tab behind", "§7.1.1", size_line(_SIZE + b"\t")),
    *(refused(f"size line ended by {name}", "§7.1", size_line(_SIZE, end)) for name, end in _BAD_ENDS.items()),
    served("extension: a name", "§7.1.1", size_line(_SIZE + b";a")),
    served("extension: a value", "§7.1.1", size_line(_SIZE + b";a=b")),
    served("extension: a quoted value", "§7.1.1", size_line(_SIZE + b';a="b;c\\"d"')),
    served("extension: several", "§7.1.1", size_line(_SIZE + b";a;b=c;d")),
    served("extension: of the last chunk", "§7.1.1", last(b"0;a=b\r\n\r\n")),
    either("extension: spaces around", "§7.1.1", size_line(_SIZE + b" ; a = b")),
    either("extension: empty", "§7.1.1", size_line(_SIZE + b";")),
    *(refused(f"extension: {name}", "§7.1.1", size_line(_SIZE + text)) for name, text in _BAD_EXTENSIONS.items()),
    refused(
        "extension: 100 bytes with each byte",
        "§7.1.1",
        chunked(*(b"1;%b\r\n%c\r\n" % (b"a" * 3_000, byte) for byte in BODY), _LAST),
    ),
    *(refused(name, "§7.1", chunked(text)) for name, text in _DATA.items()),
    *(refused(f"last chunk: {name}", "§7.1", last(text)) for name, text in _BAD_LASTS.items()),
    served("last chunk: many zeros", "§7.1", last(b"000\r\n\r\n")),
    served("trailer: one field", "§7.1.2", trailer(b"X-A: b"), absent=("x-a",)),
    served("trailer: three fields", "§7.1.2", trailer(b"X-A: b", b"X-C:", b"X-D: \xff"), absent=("x-a", "x-c", "x-d")),
    *(either(f"trailer: {line}", "RFC 9110 §6.5.1", trailer(line.encode()), absent=("cookie",)) for line in _FORBIDDEN),
    *(refused(f"trailer: {name}", "§7.1.2", trailer(*lines)) for name, lines in _BAD_TRAILERS.items()),
    served("a request behind the trailer", "§9.3", trailer(b"X-A: b") + _HIDDEN, BODY, b""),
]
