"""Our own heads, written from templates.

What no value may hold is looked for in the finished text, once: every field adds one CR and one LF, so any further
one came in with a value. Names are checked once each and remembered, since the same few dozen are written over and
over. What frames a message or belongs to one connection is written here alone and refused from callers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from ds2api.wire.errors import LocalError

__all__ = ["CONTINUE", "date_line", "field_lines", "request_lines", "status_line"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
# Framing, the connection's own, and the date: set in one place, or two of them would contradict each other.
_OURS = frozenset({
    "connection", "content-length", "date", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """The first line of an answer. Raises `LocalError` outside 200 to 599."""
    if not 200 <= status <= 599:
        raise LocalError(f"the status of an answer must be from 200 to 599, not {status}")
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def field_lines(fields: Sequence[tuple[str, str]]) -> bytes:
    """The lines of `fields`. Raises `LocalError` naming the field for a name or value that must not be sent."""
    text = "".join([f"{_checked_name(name)}: {value}\r\n" for name, value in fields])
    count = len(fields)
    if text.count("\r") != count or text.count("\n") != count or "\0" in text:
        culprit = next(name for name, value in fields if any(bad in value for bad in "\r\n\0"))
        raise LocalError(f"the value of the field {culprit} holds a CR, LF or NUL")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        culprit = next(name for name, value in fields if any(ord(character) > 255 for character in value))
        raise LocalError(f"the value of the field {culprit} holds a character beyond Latin-1") from None


def request_lines(
    method: str,
    target: str,
    host: str,
    fields: Sequence[tuple[str, str]],
    proxy_authorization: str | None = None,
) -> tuple[bytes, bytes]:
    """A request's head: what stands before the line of its length, and what behind it."""
    if not _NAME.fullmatch(method):
        raise LocalError(f"the method {method[:20]!r} is no token")
    if not _TARGET.fullmatch(target):
        raise LocalError("the request target is empty or holds a space, a control or a character beyond ASCII")
    if not _TARGET.fullmatch(host):
        raise LocalError("the host is empty or holds a space, a control or a character beyond ASCII")
    lines = field_lines(fields) + b"\r\n"
    if proxy_authorization is not None:
        lines = b"proxy-authorization: %b\r\n%b" % (proxy_authorization.encode(), lines)
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode(), target.encode(), host.encode()), lines


@lru_cache(maxsize=1_024)
def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise LocalError(f"the field name {name[:40]!r} is no token")
    if name.lower() in _OURS:
        raise LocalError(f"the field {name} is set by the wire alone")
    return name


_date_second = 0
_date_line = b""


def date_line() -> bytes:
    """The line of the date field, made once a second."""
    global _date_second, _date_line  # noqa: PLW0603 - one clock in the process, one text for each of its seconds
    second = int(time.time())
    if second != _date_second:
        _date_line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        _date_second = second
    return _date_line
