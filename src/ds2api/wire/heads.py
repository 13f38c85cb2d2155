"""Heads, from bytes to something checked: where one ends, which bytes it may hold, what h11 makes of it.

h11 parses every head from outside, but for those whose every line is of the plainest form: there is only one way to
read them (`_plain_fields`; the tests hold it to h11). And h11 lets pass (tried with 0.16) what two parsers read in two
ways: lines that end in a bare LF, folded lines, any size that arrives in one read, thousands of fields, repeated
lengths. So `HeadBuffer` finds the end and refuses by size, `check_head` looks at the bytes, and the framing fields are
judged as they stand on the wire, before h11, which is then given exactly one head and no byte more.

Everything is refused with a `PeerError` that holds the status for a client; `upstream_connection` turns it into a
`BrokenAnswer`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h11

from ds2api.wire.errors import PeerError
from ds2api.wire.framing import Framing, FramingError, body_framing, length_framing
from ds2api.wire.headers import Headers, list_members
from ds2api.wire.settings import Limits

__all__ = [
    "HeadBuffer", "RequestHead", "RequestParser", "ResponseHead", "first_line", "parse_request", "parse_response",
]  # fmt: skip

# RFC 9110 §5.5 lets a recipient keep the controls beyond CR, LF and NUL if it is sure of them. Nobody is.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?![\n])(?!\Z)")
_FRAMING_FIELD = re.compile(rb"\r\n(content-length|transfer-encoding):([^\r]*)", re.IGNORECASE)
_PLAIN_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]{1,18})\r\n", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) (HTTP/[0-9]\.[0-9])")
_TOKEN_START = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]")
# uri-host [ ":" port ] without user information (RFC 9110 §7.2, RFC 3986 §3.2.2); an empty host is no http host.
_PORT = r"(?::[0-9]{0,5})?"
_NAME = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_HOST = re.compile(_NAME + _PORT + r"|\[[0-9A-Fa-f:.]+\]" + _PORT)
_ABSOLUTE = re.compile(r"(?i:https?)://([^/?#]*)([/?].*)?")
_PLAIN_FIELD = re.compile(r"(?<=\n)([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\r")
_PLAIN_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_PLAIN_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*\r\n")
# Of the fields that h11 judges, and what it takes without a word.
_FRAMING_NAME = re.compile(r"\n(?:content-length|transfer-encoding):", re.IGNORECASE)
_JUDGED = {"content-length": re.compile(r"[0-9]{1,18}"), "transfer-encoding": re.compile("chunked")}
# Lines of answers that were read before: those of some tens of providers. Never of requests, which hold keys.
_KNOWN_LINES_MOST, _KNOWN_LINE_BYTES = 1_024, 256
_known_lines: dict[bytes, tuple[str, str]] = {}
_INTERIM_STARTS = (b"HTTP/1.1 1", b"HTTP/1.0 1")
# Of a request line, what is no target: method, version, two spaces.
_AROUND_TARGET_BYTES = 64
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"


class Learned:
    """What the handler has found out from a head alone. It is there again with each further request of the connection
    whose head differs in its length only: who serves a thousand requests need look at one head."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: object = None


@dataclass(slots=True)
class RequestHead:
    """One checked request head. `path` and `query` are as on the wire, percent-encoding and all."""

    method: str
    target: str
    path: str
    query: str
    http_version: str
    headers: Headers
    framing: Framing
    keep_alive: bool
    expects_continue: bool
    learned: Learned = field(default_factory=Learned, compare=False, repr=False)


@dataclass(slots=True)
class ResponseHead:
    """One checked response head. `framing` is None for an interim answer."""

    status: int
    http_version: str
    headers: Headers
    framing: Framing | None
    keep_alive: bool


class HeadBuffer:
    """Holds bytes until they make a head. What stands behind it stays for the body or the next message.

    The end is searched for once in each byte, so that a byte at a time costs no more than all at once. What comes in
    one read is held as it came, so that a body behind its head is copied once.
    """

    __slots__ = ("_begun", "_for_requests", "_limits", "_searched", "data")

    def __init__(self, limits: Limits, *, for_requests: bool) -> None:
        self.data: bytes | bytearray = b""
        self._searched = 0
        self._begun = False  # the first byte was looked at
        self._limits = limits
        self._for_requests = for_requests

    def __len__(self) -> int:
        return len(self.data)

    def feed(self, data: bytes) -> None:
        """Take bytes; `take_head` looks at them."""
        if not self.data:
            self.data = data
        else:
            if isinstance(self.data, bytes):
                self.data = bytearray(self.data)
            self.data += data

    def take_rest(self) -> bytes:
        """Everything that is held."""
        if not self.data:
            return b""
        rest, self.data = bytes(self.data), b""
        self._searched = 0
        self._begun = False
        return rest

    def take_head(self, more: bytes = b"") -> bytes | None:
        """The next head with its empty line, None until it is whole; `more` is fed before. Raises `PeerError` as soon
        as what came cannot become a head any more."""
        if more:
            if self.data:
                self.feed(more)
            else:
                self.data = more
        data = self.data
        if self._for_requests and not self._begun and data.startswith(b"\r"):
            # RFC 9112 §2.2: one empty line before a request is to be overlooked.
            if len(data) == 1:
                return None
            if data.startswith(b"\r\n"):
                data = self.data = data[2:]
            self._begun = True
        if not data:
            return None
        self._begun = True
        end = data.find(b"\r\n\r\n", max(self._searched - 3, 0))
        if end < 0:
            self._check_unfinished()
            self._searched = len(data)
            return None
        end += 4
        if end > self._limits.head_bytes:
            self._check_target(data.find(b"\r\n"))  # RFC 9112 §3: a target too long to read is a 414, whatever follows
            raise PeerError(f"the head is {end} bytes, more than limits.head_bytes ({self._limits.head_bytes})", 431)
        head = bytes(data[:end])
        if isinstance(data, bytes):
            self.data = data[end:]
        else:
            del data[:end]
        self._searched = 0
        self._begun = False
        return head

    def take(self, size: int) -> bytes:
        """The next `size` bytes, which are here, behind a head."""
        data = bytes(self.data)
        self.data = data[size:]
        return data if size == len(data) else data[:size]

    def _check_unfinished(self) -> None:
        data = self.data
        start = max(self._searched - 1, 0)
        if self._for_requests and not self._searched:
            _check_first_byte(data)
        if _BARE_LF.search(data, start) or _BARE_CR.search(data, start):
            raise PeerError("a line of the head does not end in CR LF")
        if _CONTROL.search(data, self._searched):
            raise PeerError("a control character in the head")
        if len(data) > self._limits.target_bytes:
            line_end = data.find(b"\r\n")
            self._check_target(line_end if line_end >= 0 else len(data))
        if len(data) > self._limits.head_bytes:
            raise PeerError(f"the head is longer than limits.head_bytes ({self._limits.head_bytes})", 431)

    def _check_target(self, line_bytes: int) -> None:
        limit = self._limits.target_bytes
        if self._for_requests and line_bytes > limit + _AROUND_TARGET_BYTES:
            raise PeerError(f"the request target is longer than limits.target_bytes ({limit})", 414)


def first_line(data: bytes | bytearray) -> tuple[str, str]:
    """Method and target of what may be no request at all, both empty if it is not: for the shape of a refusal."""
    found = re.match(rb"([A-Za-z]{1,32}) ([\x21-\x7e]{1,1024})", data)
    return (found[1].decode(), found[2].decode()) if found else ("", "")


def parse_request(head: bytes, limits: Limits) -> RequestHead:
    """Check and parse exactly one request head. Raises `PeerError` with the status to answer."""
    _check_first_byte(head)
    if head == _HTTP2_PREFACE:
        raise PeerError("HTTP/2 without TLS is not supported here, only HTTP/1.1 is", 505)
    _check_head(head, limits)
    line = head[: head.index(b"\r\n")]
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise PeerError("the request line is not: method, one space, target, one space, HTTP/1.1")
    version = _version_of(found[3].decode().removeprefix("HTTP/"))
    if version is None:
        raise PeerError(f"{found[3].decode()} is not supported, only HTTP/1.1 and HTTP/1.0 are", 505)
    if len(found[2]) > limits.target_bytes:
        raise PeerError(f"the request target is longer than limits.target_bytes ({limits.target_bytes})", 414)
    method, target = found[1].decode(), found[2].decode()
    plain = _plain_fields(head)
    headers = Headers(plain or ())
    try:
        framing = body_framing(method, None, headers if plain else _framing_fields(head), version)
    except FramingError as error:
        raise PeerError(str(error), error.status_hint) from None
    if len(headers.all("host")) != 1:
        headers = _parse(head, h11.CLIENT).headers
    path, query, authority = _split_target(method, target, headers, version)
    if authority:  # RFC 9112 §3.2.2: it stands in for whatever Host says
        headers = Headers([(name, authority if name == "host" else value) for name, value in headers.items_list])
    connection = list_members(headers.all("connection")) if "connection" in headers else []
    expects_continue = False
    if "expect" in headers and version == "1.1":
        if list_members(headers.all("expect")) != ["100-continue"]:
            raise PeerError("the only expectation that can be met is: 100-continue", 417)
        expects_continue = framing.kind != "none"
    headers, keep_alive = headers.end_to_end(), _keeps_alive(version, connection)
    return RequestHead(method, target, path, query, version, headers, framing, keep_alive, expects_continue)


class RequestParser:
    """`parse_request` for the heads of one connection, which are mostly the same head again.

    An SDK sends the same head with each request but for the digits of its content-length. Two heads that differ in
    nothing else parse alike, so the second one takes 5 µs instead of 80 (18 fields; `bench/`, small requests). Only
    the last head of the connection is remembered, so nothing outlives it and nobody sees another's. The tests hold
    it to `parse_request` over random sequences.
    """

    __slots__ = ("_around_length", "_last", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._around_length: tuple[bytes, bytes] | None = None
        self._last: RequestHead | None = None

    def parse(self, head: bytes) -> RequestHead:
        """As `parse_request`."""
        found = _PLAIN_LENGTH.search(head)
        if found is None:
            return parse_request(head, self._limits)
        start, end = found.span(1)
        around = (head[:start], head[end:])
        last = self._last
        if last is None or around != self._around_length:
            last = parse_request(head, self._limits)
            if "expect" not in last.headers:
                self._around_length, self._last = around, last
            return last
        digits = found[1].decode()
        if digits == last.headers["content-length"]:
            return last
        return RequestHead(
            last.method,
            last.target,
            last.path,
            last.query,
            last.http_version,
            last.headers.replaced("content-length", digits),
            length_framing(int(digits)),
            last.keep_alive,
            expects_continue=False,
            learned=last.learned,
        )


def parse_response(head: bytes, method: str, limits: Limits) -> ResponseHead:
    """Check and parse exactly one head of an answer to a `method` request. Raises `PeerError`."""
    if not head.startswith(b"HTTP/1."):
        raise PeerError(f"the answer is no HTTP/1.1: it begins with {head[:16]!r}")
    line = _PLAIN_STATUS_LINE.match(head)
    headers = _plain_answer(head, limits) if line is not None else None
    is_plain = line is not None and headers is not None
    if line is not None and headers is not None:
        status, version = int(line[1]), "1.1"
    else:
        _check_head(head, limits)
        parsed = _parse(head, h11.SERVER)
        status, headers = parsed.status, parsed.headers
        known = _version_of(parsed.version)
        if known is None:
            raise PeerError(f"the answer is in HTTP/{parsed.version}, expected HTTP/1.1 or HTTP/1.0")
        version = known
    if not 100 <= status <= 599:
        raise PeerError(f"the status {status} of the answer is not between 100 and 599")
    if status == 101:
        raise PeerError("the answer switches protocols, which was not asked for")
    framing = None
    if is_plain and status == 200 and method == "POST" and "transfer-encoding" not in headers:
        length = headers.get("content-length")  # all digits, and once, or the head was not plain
        framing = Framing("eof") if length is None else length_framing(int(length))
    elif status >= 200:
        try:
            framing = body_framing(method, status, headers if is_plain else _framing_fields(head), version)
        except FramingError as error:
            raise PeerError(str(error)) from None
    keep_alive = version == "1.1"
    if "connection" in headers:
        keep_alive = _keeps_alive(version, list_members(headers.all("connection")))
    return ResponseHead(status, version, headers, framing, keep_alive)


def _check_first_byte(data: bytes | bytearray) -> None:
    if data[0] == 0x16:
        raise PeerError("this port speaks plain HTTP, and a TLS handshake came: use http:// or switch TLS on")
    if not _TOKEN_START.match(data):
        raise PeerError("a request must begin with its method")


def _check_head(head: bytes, limits: Limits) -> None:
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise PeerError("a line of the head does not end in CR LF")
    if lines - 2 > limits.header_count:
        raise PeerError(f"the head has {lines - 2} fields, more than limits.header_count ({limits.header_count})", 431)
    if b"\r\n " in head or b"\r\n\t" in head:
        raise PeerError("a folded line in the head")
    if _CONTROL.search(head):
        raise PeerError("a control character in the head")


def _plain_fields(head: bytes) -> list[tuple[str, str]] | None:
    """The fields of a checked head, as h11 gives them, if all their lines are of the plainest form; None leaves it to
    h11, which says what is wrong or knows what is meant. 4 µs for nine fields, where h11 takes 30 (`bench/parts.py`);
    the tests hold it to h11."""
    text = head.decode("latin-1")
    found = _PLAIN_FIELD.findall(text)
    if len(found) != text.count("\n") - 2:
        return None
    fields = [(name.lower(), value) for name, value in found]
    judged = [name for name, value in fields if name in _JUDGED and _JUDGED[name].fullmatch(value)]
    return fields if len(judged) == len(_FRAMING_NAME.findall(text)) == len(set(judged)) else None


def _plain_answer(head: bytes, limits: Limits) -> Headers | None:
    """As `_plain_fields`, for an answer's head that need not be checked before: a plain line holds nothing to check.
    Lines that came before (most of any provider's, over and over) are not read again."""
    lines = head.split(b"\r\n")
    if len(lines) - 3 > limits.header_count:
        return None
    fields = []
    for line in lines[1:-2]:
        field = _known_lines.get(line) or _plain_line(line)
        if field is None:
            return None
        fields.append(field)
    headers = Headers(fields)
    if len(headers) < len(fields) and any(len(headers.all(name)) > 1 for name in _JUDGED):
        return None
    return headers


def _plain_line(line: bytes) -> tuple[str, str] | None:
    found = _PLAIN_LINE.fullmatch(line)
    if found is None:
        return None
    name, value = found[1].decode().lower(), found[2].decode()
    if name in _JUDGED and not _JUDGED[name].fullmatch(value):
        return None
    if len(line) <= _KNOWN_LINE_BYTES:
        if len(_known_lines) >= _KNOWN_LINES_MOST:
            _known_lines.clear()
        _known_lines[line] = (name, value)
    return name, value


def _framing_fields(head: bytes) -> Headers:
    # As they stand: h11 merges equal lengths into one. A name with a space before its colon is not found here, and
    # h11 refuses it.
    found = _FRAMING_FIELD.findall(head)
    return Headers([(name.decode().lower(), value.decode("latin-1").strip(" \t")) for name, value in found])


@dataclass(slots=True)
class _Parsed:
    headers: Headers
    status: int
    version: str


def _parse(head: bytes, sender: type[h11.CLIENT] | type[h11.SERVER]) -> _Parsed:
    # A new machine for each head: what h11 remembers from message to message is decided here already, and a client
    # machine takes an answer without having seen its request.
    reader = h11.Connection(h11.SERVER if sender is h11.CLIENT else h11.CLIENT, max_incomplete_event_size=len(head) + 1)
    if head.startswith(_INTERIM_STARTS):
        # The one thing that h11 takes only behind a request.
        reader.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    reader.receive_data(head)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError as error:
        # h11 quotes the line, which may hold a key.
        hint = error.error_status_hint
        raise PeerError(_without_quotes(str(error)), hint if hint > 0 else 400) from None
    if not isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse)):
        raise PeerError("the head is not complete")
    # `raw_items` is one pass in C; iterating over h11's headers calls a method for each field.
    headers = Headers(
        [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in event.headers.raw_items()]
    )
    status = 0 if isinstance(event, h11.Request) else event.status_code
    return _Parsed(headers, status, event.http_version.decode())


def _without_quotes(message: str) -> str:
    for opening in ("bytearray(b", "b'", 'b"'):
        message = message.split(opening, 1)[0]
    return message.strip(" :(") or "the head is malformed"


def _version_of(said: str) -> str | None:
    """The version to go by. RFC 9110 §2.5: a higher minor one is to be taken for the highest that is known."""
    if said.startswith("1."):
        return "1.0" if said == "1.0" else "1.1"
    return None


def _keeps_alive(version: str, connection: list[str]) -> bool:
    if "close" in connection:
        return False
    return version == "1.1" or "keep-alive" in connection


def _split_target(method: str, target: str, headers: Headers, version: str) -> tuple[str, str, str]:
    hosts = headers.all("host")
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        raise PeerError(f"a request must have exactly one host field, {len(hosts)} came")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise PeerError("the host field is no host[:port]")
    if "#" in target:
        raise PeerError("the request target holds a fragment (#)")
    if method == "CONNECT":
        raise PeerError("CONNECT is not supported: this is no forward proxy", 501)
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query, ""
    if target == "*":
        if method != "OPTIONS":
            raise PeerError("the target * is for OPTIONS only")
        return "*", "", ""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise PeerError("the request target must be a path that begins with /")
    if not _HOST.fullmatch(absolute[1]):
        raise PeerError("the authority of the request target is no host[:port]")
    path, _, query = (absolute[2] or "/").partition("?")
    return path or "/", query, absolute[1]
