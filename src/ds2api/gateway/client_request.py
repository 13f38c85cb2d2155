"""What the client asked, read as far as somebody needs it: bytes, JSON, a peek, the universal request.

Each is made once. The writers of all attempts get the same universal request and leave it as it is, so that every
attempt is built from the client's own and nothing of an earlier one is in it (R119).
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Dialect, Peek
from ds2api.universal import estimate
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.request import Request
from ds2api.wire.headers import Headers

__all__ = ["ClientRequest"]

_JSON_TYPES = ("application/json", "text/json", "")


class ClientRequest:
    """One request body in `dialect`. Raises `Problem` where it is no such thing, naming the field."""

    __slots__ = ("_universal", "body", "dialect", "headers", "path", "peek", "raw")

    def __init__(self, dialect: Dialect, raw: bytes, headers: Headers, path: str) -> None:
        self.dialect = dialect
        self.raw = raw
        self.headers = headers
        self.path = path
        self.body: dict[str, Any] = _parsed(raw, headers)
        self.peek: Peek = dialect.peek(self.body, path)
        self._universal: Request | None = None

    @property
    def universal(self) -> Request:
        """The request in the universal format. Raises `Problem` for what relaying would leave to the provider."""
        if self._universal is None:
            self._universal = self.dialect.read_request(self.body, self.headers, self.path)
        return self._universal

    @property
    def universal_if_read(self) -> Request | None:
        return self._universal

    @property
    def input_estimate(self) -> int:
        """The gateway's guess of the prompt's tokens."""
        return estimate.input_tokens(self.peek.text_bytes, self.peek.media_count)


def _parsed(raw: bytes, headers: Headers) -> dict[str, Any]:
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type not in _JSON_TYPES and not media_type.endswith("+json"):
        message = f"content-type {media_type[:100]!r} is not taken here; send application/json"
        raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED_MEDIA, message))
    try:
        body = jsons.parse_object(raw)
    except jsons.JsonError as error:
        raise Problem.bad_request(f"the request body is {error}") from None
    twice = jsons.first_duplicate(body, levels=1)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: this key stands twice in the request", twice)
    return body
