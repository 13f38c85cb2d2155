"""One client request and its answer: what a handler holds in its hands.

Reading the body is the only thing that waits. Everything that writes is synchronous: the bytes go to the transport in
one piece, and what the transport cannot take at once it keeps; `on_flow` says when that is too much. After the client
is gone, writing is without effect, since the handler is being cancelled anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ds2api.wire.codings import UnknownCoding, coding_of
from ds2api.wire.errors import LocalError, PeerError
from ds2api.wire.framing import LAST_CHUNK
from ds2api.wire.head_write import date_line, field_lines, status_line
from ds2api.wire.heads import RequestHead
from ds2api.wire.request_body import inflate

if TYPE_CHECKING:
    from ds2api.wire.server_connection import ServerConnection

__all__ = ["Incoming"]

# A body up to this size leaves in one piece with its head; beyond, the copy would cost more than the second write.
_JOIN_BYTES = 65_536
# What a status must come with (RFC 9110 §15.5.2, §15.5.22, §7.8).
_DEMANDED = {
    401: b'www-authenticate: Bearer realm="ds2api"\r\n',
    426: b"upgrade: HTTP/1.1\r\nconnection: upgrade\r\n",
}


class Incoming:
    """One request on one connection.

    `path` and `query` are as on the wire; `peer` is the client's address without its port, or "unix:". `started` and
    `finished` are about the answer, `last_write_at` is the loop's time of the last bytes written; `extra_fields` go out
    with whatever the answer is; `learned` is for the handler (`heads.Learned`), and
    `time_limit` for all of this request: its task is cancelled when the time is over.
    """

    __slots__ = (
        "_chunked", "_close_delimited", "_connection", "_head", "_muted", "_pause", "_resume", "aborted",
        "extra_fields", "finished", "headers", "http_version", "last_write_at", "learned", "method", "path", "peer",
        "query", "scheme", "started", "target", "time_limit",
    )  # fmt: skip

    def __init__(self, connection: ServerConnection, head: RequestHead, scheme: str, peer: str) -> None:
        self._connection = connection
        self._head = head
        self.method = head.method
        self.target = head.target
        self.path = head.path
        self.query = head.query
        self.http_version = head.http_version
        self.headers = head.headers
        self.learned = head.learned
        self.time_limit = connection.time_limit
        self.scheme = scheme
        self.peer = peer
        self.started = False
        self.finished = False
        self.aborted = False
        self.last_write_at = 0.0
        self.extra_fields: Sequence[tuple[str, str]] = ()
        self._chunked = False
        self._close_delimited = False
        self._muted = False  # the answer has a head only: HEAD, 204, 304
        self._pause: Callable[[], None] | None = None
        self._resume: Callable[[], None] | None = None

    def body_at_hand(self) -> bytes | None:
        """As `read_body`, if nothing need be waited for or undone; else None, and `read_body` is to be called."""
        return None if "content-encoding" in self.headers else self._connection.body_at_hand(self._head)

    async def read_body(self) -> bytes:
        """The whole body, its content-encoding undone. To be called once; b"" where there is none.

        A client that waits for `100 Continue` gets it here and nowhere else, after its length and coding were found
        acceptable. Raises `PeerError` 400, 408, 413 or 415; what was not read of the body is then dropped, or the
        connection closes behind the answer. Cancelled, it leaves the connection fit for nothing but an answer.
        """
        try:
            is_coded = "content-encoding" in self.headers and self._head.framing.kind != "none"
            coding = coding_of(self.headers.all("content-encoding")) if is_coded else ""
        except UnknownCoding as error:
            raise PeerError(str(error), 415, "body") from None
        body = self._connection.body_at_hand(self._head)
        if body is None:
            body = await self._connection.read_body(self._head)
        if coding and body:
            return await inflate(body, coding, self._connection.limits.body_bytes)
        return body

    def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes = b"", *, close: bool = False
    ) -> None:
        """Send a whole answer. Length, date and connection fields are set here; HEAD, 204 and 304 go without body.
        `close`: the connection ends behind it.

        Raises `LocalError` for a second answer and for what must not stand in a head; then nothing was sent.
        """
        lines = self._begin(status, headers)
        if status not in (204, 304):
            lines += b"content-length: %d\r\n" % len(body)
        closing = self._connection.closing_lines(self._head, self_delimited=not close)
        head = lines + closing + _DEMANDED.get(status, b"") + b"\r\n"
        self.started = self.finished = True
        write = self._connection.write
        if self._muted or not body:
            write(head)
        elif len(body) <= _JOIN_BYTES:
            write(head + body)
        else:
            write(head)
            write(body)
        self._pause = self._resume = None

    def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Send the head of an answer whose body comes by `write` and ends by `finish`.

        In chunks for HTTP/1.1; a client of HTTP/1.0 gets the bytes plain, and the end of the connection as their end.
        Raises as `respond` does.
        """
        lines = self._begin(status, headers)
        if not self._muted:
            self._chunked = self.http_version != "1.0"
            self._close_delimited = not self._chunked
        if self._chunked:
            lines += b"transfer-encoding: chunked\r\n"
        self.started = True
        self._write(
            lines + self._connection.closing_lines(self._head, self_delimited=not self._close_delimited) + b"\r\n"
        )

    def write(self, data: bytes) -> None:
        """Send a piece of the body: one chunk, one write. Nothing for b"". Raises `LocalError` before `start` and
        after the end."""
        if not self.started or self.finished:
            if self.aborted:
                return
            raise LocalError("write() needs an answer that was started and not finished")
        if not data or self._muted:
            return
        # Hot: as `_write`, without the call.
        connection = self._connection
        connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.last_write_at = connection.now()

    @property
    def is_chunked(self) -> bool:
        """The body goes out in chunks, and is not over."""
        return self._chunked and not self.finished

    def write_chunks(self, chunks: bytes) -> float:
        """As `write`, for bytes that are whole chunks already. Only while `is_chunked`. Gives the loop's time."""
        connection = self._connection
        connection.write(chunks)
        now = self.last_write_at = connection.now()
        return now

    def finish(self) -> None:
        """End the body. Raises `LocalError` before `start` and for a second end; without effect after `abort`."""
        if self.aborted:
            return
        if not self.started or self.finished:
            raise LocalError("finish() needs an answer that was started and not finished")
        self.finished = True
        if self._chunked:
            self._write(LAST_CHUNK)
        self.let_go()

    def abort(self) -> None:
        """The answer cannot be completed: end the connection so that the client sees a cut, and never an end.

        What was written goes out first where the cut shows without it (chunks without the last one); a body that
        ends with its connection is reset. Twice is fine; without effect after the end.
        """
        if self.finished:
            return
        self.aborted = self.finished = True
        self._connection.cut(reset=self._close_delimited or not self.started)

    def on_flow(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Have `pause` called when more than the high water waits to be written, `resume` when less than the low.

        If it is so already, `pause` is called at once.
        """
        self._pause, self._resume = pause, resume
        if self._connection.write_paused:
            pause()

    def let_go(self) -> None:
        """Nobody listens for the flow any more."""
        self._pause = self._resume = None

    def flow(self, *, paused: bool) -> None:
        """For the connection: pass on what the transport says."""
        callback = self._pause if paused else self._resume
        if callback is not None:
            callback()

    def _begin(self, status: int, headers: Sequence[tuple[str, str]]) -> bytes:
        if self.started or self.finished:
            raise LocalError("the request has an answer already")
        self._muted = self.method == "HEAD" or status in (204, 304)
        return status_line(status) + date_line() + field_lines([*headers, *self.extra_fields])

    def _write(self, data: bytes) -> None:
        self._connection.write(data)
        self.last_write_at = self._connection.now()
