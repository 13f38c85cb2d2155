"""What the client asked, read as far as somebody needs it: bytes, JSON, a peek, the universal request.

The body of a large request is known by its outline alone until somebody wants the whole (`long_strings`). Each is made
once. The writers of all attempts get the same universal request and leave it as it is, so that every
attempt is built from the client's own and nothing of an earlier one is in it (R119).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Dialect, Peek
from ds2api.long_strings import LARGE_BYTES, LongStrings
from ds2api.universal import estimate
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.request import Request
from ds2api.wire.headers import Headers

__all__ = ["ClientRequest", "long_strings_of"]

_JSON_TYPES = ("application/json", "text/json", "")
# What `curl -d` says of any body, and so do Ollama's own examples. A page of another site can send it without asking
# first, and then it says its origin.
_CURL_TYPE = "application/x-www-form-urlencoded"


class ClientRequest:
    """One request body in `dialect`, sent to `path` (the whole target) by `caller`. Raises `Problem` where it is no
    such thing, naming the field.

    `keep` takes the finished answer, where a later request may go on from it. `is_replayed`: earlier items were put
    in front of the client's own, so that its bytes are not what is to be sent; `previous_id` says of which answer.
    """

    __slots__ = (
        "_long_strings",
        "_universal",
        "caller",
        "dialect",
        "headers",
        "is_replayed",
        "keep",
        "outline",
        "path",
        "peek",
        "previous_id",
        "raw",
    )

    def __init__(
        self,
        dialect: Dialect,
        raw: bytes,
        headers: Headers,
        path: str,
        caller: str,
        peek: Callable[[dict[str, Any], str], Peek] | None = None,
        long_strings: LongStrings | None = None,
    ) -> None:
        self.dialect = dialect
        self.raw = raw
        self.headers = headers
        self.path = path
        self.caller = caller
        self._long_strings = long_strings
        self.outline: dict[str, Any] = self._parsed()
        self.peek: Peek = (peek or dialect.peek)(self.outline, path)
        self.keep: Callable[[dict[str, Any]], None] | None = None
        self.is_replayed = False
        self.previous_id: str | None = None
        self._universal: Request | None = None

    def replay(self, body: dict[str, Any]) -> None:
        """Go on with `body`, which holds what was said before as well. Raises `Problem` where a key stands twice."""
        _refuse_twice(self.outline, levels=3)
        self.previous_id = self.peek.previous_id
        self.outline = body
        self.peek = self.dialect.peek(body, self.path)
        self.is_replayed = True

    @property
    def body(self) -> dict[str, Any]:
        """The whole body, which `outline` is for all that routing and relaying look at."""
        for _ in self._fill():
            pass
        return self.outline

    async def complete(self) -> None:
        """Make `outline` the whole body, and let others run in between."""
        for _ in self._fill():
            await asyncio.sleep(0)

    def _fill(self) -> Iterator[None]:
        if self._long_strings is not None:
            yield from self._long_strings.fill()
            self._universal = self._long_strings = None

    @property
    def universal(self) -> Request:
        """The request in the universal format. Raises `Problem` for what relaying would leave to the provider."""
        return self._read_as(self.body)

    @property
    def outlined(self) -> Request:
        """As `universal`, but the data of files may be marks: what is written of it is to go through `whole`."""
        return self._read_as(self.outline)

    def _read_as(self, body: dict[str, Any]) -> Request:
        if self._universal is None:
            self._universal = self.dialect.read_request(body, self.headers, self.path)
        return self._universal

    @property
    def may_be_outlined(self) -> bool:
        """Whether `outlined` is less than `universal`, and enough to write it for a provider."""
        return self._long_strings is not None and self._long_strings.are_files and self.keep is None

    def whole(self, written: bytes) -> bytes | None:
        """A request written of `outlined`, with the data of its files. None: it is to be written of `universal`."""
        return written if self._long_strings is None else self._long_strings.whole(written)

    @property
    def universal_if_read(self) -> Request | None:
        return self._universal

    @property
    def input_estimate(self) -> int:
        """The gateway's guess of the prompt's tokens."""
        return estimate.input_tokens(self.peek.text_bytes, self.peek.media_count)

    def _parsed(self) -> dict[str, Any]:
        if self.headers.get("content-type") != "application/json":
            _check_type(self.headers)
        if self._long_strings is not None:
            try:
                outline = jsons.parse_object(self._long_strings.outline)
            except jsons.JsonError:
                outline = {}  # the whole tells where the fault is
            if outline and self._long_strings.place(outline):
                _refuse_twice(outline, levels=1)
                return outline
            self._long_strings = None
        try:
            body: dict[str, Any] = jsons.parse(self.raw)
            if type(body) is dict:  # and no key stands twice anywhere
                return body
            body = jsons.parse_object(self.raw)  # says what it is
        except jsons.JsonError as error:
            raise Problem.bad_request(f"the request body is {error}") from None
        _refuse_twice(body, levels=1)
        return body


async def long_strings_of(raw: bytes) -> LongStrings | None:
    """None for a body that is not large."""
    if len(raw) <= LARGE_BYTES:
        return None
    found = LongStrings(raw)
    for _ in found.find():
        await asyncio.sleep(0)
    return found


def _check_type(headers: Headers) -> None:
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    is_curl = media_type == _CURL_TYPE and "origin" not in headers
    if media_type not in _JSON_TYPES and not media_type.endswith("+json") and not is_curl:
        message = f"content-type {media_type[:100]!r} is not taken here; send application/json"
        raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED_MEDIA, message))


def _refuse_twice(body: dict[str, Any], levels: int) -> None:
    twice = jsons.first_duplicate(body, levels)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: this key stands twice in the request", twice)
