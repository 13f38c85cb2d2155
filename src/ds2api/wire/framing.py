"""Where a message's body ends: the decision, the readers that cut it out, and the writer of chunks.

`body_framing` decides for both directions (RFC 9112 §6.3), stricter than the RFC allows where smuggling lives: length
and chunks together, more than one length, any coding but one final `chunked`, and codings in HTTP/1.0 are refused.

A reader takes bytes as they come and gives the body's bytes among them. All have the same doors:

* `feed(data) -> bytes`: what of the body was in `data`, all of it in one piece; raises `FramingError`;
* `complete`: the end was seen; `rest` is then what stood behind it (the next message, or nobody's bytes);
* `feed_eof()`: the connection ended; raises `FramingError` unless that is how this body ends.

`ChunkedReader` is the hot one: about 0.6 µs a chunk where many stand in one read, against 12 µs in h11, to which the
tests hold it over random cuts. Where they differ it is stricter: chunk lines end in CR LF only, are at most 4 KiB
long, their extensions follow the grammar (no NUL, no open quote), and the trailer is bounded and follows the rules of
a head. Trailers are checked and dropped: nobody here could use them, and merging them is how headers are forged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from ds2api.wire.headers import Headers, list_members

__all__ = [
    "LAST_CHUNK", "BodyReader", "ChunkedReader", "EofReader", "Framing", "FramingError", "LengthReader",
    "body_framing", "length_framing", "make_reader", "write_chunk",
]  # fmt: skip

# Go's `maxLineLength`.
_CHUNK_LINE_BYTES = 4_096
# All extensions of one body together: hyper's `CHUNKED_EXTENSIONS_LIMIT`. Each chunk of a byte could else bring 4 KiB.
_EXTENSIONS_BYTES = 16_384
# A trailer, all lines. hyper 16 KiB, and nobody sends one.
_TRAILER_BYTES = 8_192

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# No space before a semicolon: the grammar's "bad whitespace" has no honest sender, and h11 refuses it too.
_EXTENSION = rb";[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
# 15 digits are a petabyte times a thousand, and still far from where other parsers overflow. Leading zeros count, so
# that no line of zeros is read for long.
_NEXT_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})\r\n")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_FULL_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:" + _EXTENSION + rb")*)")
_PADDED_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:" + _EXTENSION + rb")*)[ \t]*")
_TRAILER_LINE = re.compile(rb"(" + _TOKEN + rb"):[\t \x21-\x7e\x80-\xff]*")
# Framing and routing in a trailer is never honest (RFC 9110 §6.5.1).
_FORBIDDEN_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer"})
_DIGITS = re.compile(r"[0-9]{1,18}")

LAST_CHUNK = b"0\r\n\r\n"


class FramingError(ValueError):
    """The body is not framed as its head says, or the head says nothing clear. `status_hint` is for requests."""

    def __init__(self, message: str, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


@dataclass(frozen=True, slots=True)
class Framing:
    """How a body is framed. `length` is its size where that is known: 0 without a body, None otherwise."""

    kind: Literal["none", "length", "chunked", "eof"]
    length: int | None = None


_NONE = Framing("none", 0)
_CHUNKED = Framing("chunked")
_EOF = Framing("eof")


def body_framing(method: str, status: int | None, headers: Headers, http_version: str = "1.1") -> Framing:
    """Decide how a body ends. `status` is None for a request, else that of the answer to a `method` request.

    Raises `FramingError` for what two readers could read in two ways.
    """
    lengths = headers.all("content-length") if "content-length" in headers else []
    codings = headers.all("transfer-encoding") if "transfer-encoding" in headers else []
    if lengths and codings:
        raise FramingError("content-length and transfer-encoding together: expected one of them")
    if codings:
        _check_codings(codings, http_version)
    length = _read_length(lengths, is_request=status is None) if lengths else None
    if status is not None and (
        status < 200 or status in (204, 304) or method == "HEAD" or (method == "CONNECT" and status < 300)
    ):
        return _NONE
    if codings:
        return _CHUNKED
    if length is not None:
        return length_framing(length)
    return _NONE if status is None else _EOF


def length_framing(length: int) -> Framing:
    """The framing of a body whose length is known."""
    return Framing("length", length) if length else _NONE


def _check_codings(values: list[str], http_version: str) -> None:
    if http_version == "1.0":
        raise FramingError("transfer-encoding in HTTP/1.0, which does not have it")
    members = list_members(values)
    if members == ["chunked"] and len(values) == 1:
        return
    if not members or members[-1] != "chunked" or "chunked" in members[:-1] or len(members) == 1:
        raise FramingError("transfer-encoding must be exactly: chunked")
    raise FramingError("a transfer-encoding beside chunked is not supported", 501)


def _read_length(values: list[str], *, is_request: bool) -> int:
    # Two equal lengths are harmless in an answer and a probe in a request.
    if len(values) == 1 and _DIGITS.fullmatch(values[0]):
        return int(values[0])
    distinct = {value.strip(" \t") for field in values for value in field.split(",")}
    if len(distinct) != 1 or (is_request and (len(values) > 1 or "," in values[0])):
        raise FramingError("more than one content-length")
    text = distinct.pop()
    if not _DIGITS.fullmatch(text):
        raise FramingError("content-length must be 1 to 18 digits")
    return int(text)


class BodyReader(Protocol):
    """What the readers have in common; see the opening of this file."""

    complete: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes: ...

    def feed_eof(self) -> None: ...


def make_reader(framing: Framing, *, lenient: bool = False) -> BodyReader:
    """The reader for a body. `lenient` takes spaces behind a chunk size, as old servers pad it."""
    if framing.kind == "chunked":
        return ChunkedReader(lenient=lenient)
    if framing.kind == "eof":
        return EofReader()
    return LengthReader(framing.length or 0)


class LengthReader:
    """A body of a known length."""

    __slots__ = ("complete", "length", "remaining", "rest")

    def __init__(self, length: int) -> None:
        self.length = length
        self.remaining = length
        self.complete = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        if size > self.remaining:
            self.rest += data[self.remaining :]
            data = data[: self.remaining]
        self.remaining = 0
        self.complete = True
        return data

    def feed_eof(self) -> None:
        if not self.complete:
            raise FramingError(f"the body ended after {self.length - self.remaining} of {self.length} bytes")


class EofReader:
    """A body that ends with its connection."""

    __slots__ = ("complete", "rest")

    def __init__(self) -> None:
        self.complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        return data

    def feed_eof(self) -> None:
        self.complete = True


class ChunkedReader:
    """A body in chunks (RFC 9112 §7.1).

    Between two reads it stands in one of four places, kept as the method that takes the next bytes: in a size line,
    in a chunk's data, in the CR LF behind it, in the trailer. Whole chunks inside one read never leave `_size`.
    """

    __slots__ = (
        "_extensions_bytes",
        "_held",
        "_line",
        "_next",
        "_pieces",
        "_remaining",
        "_trailer_bytes",
        "complete",
        "rest",
    )

    def __init__(self, *, lenient: bool = False) -> None:
        self._next: Callable[[bytes, int], int] = self._size
        self._held = b""  # an unfinished line
        self._pieces: list[bytes] = []
        self._remaining = 0  # of the chunk that is being read
        self._extensions_bytes = 0
        self._trailer_bytes = 0
        self._line = _PADDED_LINE if lenient else _FULL_LINE
        self.complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        if self.complete:
            self.rest += data
            return b""
        # Inside one large chunk: nothing to look at, nothing to copy.
        if len(data) < self._remaining:
            self._remaining -= len(data)
            return data
        at = 0
        if self._held:
            data = self._held + data
            self._held = b""
        end = len(data)
        while at < end and not self.complete:
            at = self._next(data, at)
        if at < end:
            self.rest = data[at:]
        pieces = self._pieces
        if not pieces:
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        return body

    def feed_eof(self) -> None:
        if not self.complete:
            raise FramingError("the body ended without its last chunk")

    @property
    def is_between_chunks(self) -> bool:
        """The next byte begins a size line."""
        return self._next == self._size and not self._held and not self.complete

    def _size(self, data: bytes, at: int) -> int:
        # --- hot: all the whole chunks of one read are taken in this loop ---
        match_next, append, end = _NEXT_SIZE.match, self._pieces.append, len(data)
        found = _SIZE_LINE.match(data, at)
        while found:
            size = int(found[1], 16)
            start = found.end()
            stop = start + size
            if stop + 2 > end or not size:
                return self._begin(data, start, size)
            # The line end behind a chunk and the next size line, in one look.
            found = match_next(data, stop)
            if found is None and data[stop : stop + 2] != b"\r\n":
                raise FramingError("a chunk is longer than its size line says")
            append(data[start:stop])
            at = stop + 2
        if at == end:
            return at
        # --- a line with an extension, a broken one, or not enough of one ---
        line_end = data.find(b"\n", at, at + _CHUNK_LINE_BYTES)
        if line_end < 0:
            return self._hold(data, at)
        line = data[at : line_end - 1]
        if line_end == at or data[line_end - 1] != 0x0D:
            raise FramingError("a chunk's size line must end in CR LF")
        full = self._line.fullmatch(line)
        if full is None:
            raise FramingError("a chunk's size must be 1 to 15 hexadecimal digits, with extensions by the grammar")
        self._extensions_bytes += len(full[2])
        if self._extensions_bytes > _EXTENSIONS_BYTES:
            raise FramingError(f"more than {_EXTENSIONS_BYTES} bytes of chunk extensions")
        return self._begin(data, line_end + 1, int(full[1], 16))

    def _hold(self, data: bytes, at: int) -> int:
        if len(data) - at >= _CHUNK_LINE_BYTES:
            raise FramingError(f"a chunk's size line is longer than {_CHUNK_LINE_BYTES} bytes")
        # What cannot become a size any more is refused now, not when the sender feels like ending its line.
        if not re.match(rb"[0-9A-Fa-f]", data[at : at + 1]):
            raise FramingError("a chunk's size must begin with a hexadecimal digit")
        self._held = data[at:]
        return len(data)

    def _begin(self, data: bytes, at: int, size: int) -> int:
        if not size:
            self._next = self._trailer
            return at
        self._remaining = size
        self._next = self._data
        return at

    def _data(self, data: bytes, at: int) -> int:
        stop = at + self._remaining
        piece = data[at:stop]
        self._pieces.append(piece)
        self._remaining -= len(piece)
        if not self._remaining:
            self._next = self._terminator
        return at + len(piece)

    def _terminator(self, data: bytes, at: int) -> int:
        found = data[at : at + 2]
        if found == b"\r\n":
            self._next = self._size
            return at + 2
        if found != b"\r":
            raise FramingError("a chunk is longer than its size line says")
        self._held = found
        return at + 1

    def _trailer(self, data: bytes, at: int) -> int:
        """One line of the trailer; an empty one ends the body."""
        end = data.find(b"\n", at)
        size = (end + 1 if end >= 0 else len(data)) - at
        if self._trailer_bytes + size > _TRAILER_BYTES:
            raise FramingError(f"the trailer is longer than {_TRAILER_BYTES} bytes")
        if end < 0:
            self._held = data[at:]
            return len(data)
        self._trailer_bytes += size
        line = data[at : end - 1]
        if end == at or data[end - 1] != 0x0D:
            raise FramingError("a trailer line must end in CR LF")
        if not line:
            self.complete = True
            return end + 1
        found = _TRAILER_LINE.fullmatch(line)
        if found is None:
            raise FramingError("a trailer line is no field")
        if found[1].lower() in _FORBIDDEN_TRAILERS:
            raise FramingError(f"the field {found[1].decode()} is not allowed in a trailer")
        return end + 1


def write_chunk(data: bytes) -> bytes:
    """One chunk around `data`, which must not be empty: an empty one would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
