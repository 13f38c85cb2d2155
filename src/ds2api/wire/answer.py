"""An upstream's answer: its head, and its body on the way in.

The body is either read whole (`read`) or handed over as it comes (`stream`), in the callback that the socket's bytes
came in: no task, no queue. Until one of them is called, what comes is held, and reading pauses at the high water.

The connection and the answer part early: as soon as the framing says that the body is complete, the connection is
back in the pool (or closed), whether or not anybody has looked at the bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ds2api.wire.codings import CodingError, InflatedTooLarge, Inflater, UnknownCoding, coding_of
from ds2api.wire.errors import AnswerTooLarge, BrokenAnswer, Disconnected, LocalError, PeerError, ReadTimeout
from ds2api.wire.framing import BodyReader, ChunkedReader, Framing, FramingError, make_reader
from ds2api.wire.heads import ResponseHead

if TYPE_CHECKING:
    from ds2api.wire.upstream_connection import UpstreamConnection

__all__ = ["Answer"]


def _nowhere(data: bytes) -> None:
    """Everything was read."""


class Answer:
    """One final answer. Always `close` it; twice is fine.

    `reused` tells whether the connection had served before, `retried` whether the request was sent a second time
    because a kept connection turned out dead (then it cannot be proved that the first one was not worked on).
    """

    __slots__ = (
        "_closed", "_connection", "_end", "_fault", "_framing", "_held", "_held_bytes", "_idle_s", "_inflater",
        "_limits", "_on_data", "_on_end", "_paused", "_reader", "_wheel", "headers", "http_version", "retried",
        "reused", "status",
    )  # fmt: skip

    def __init__(self, head: ResponseHead, framing: Framing, connection: UpstreamConnection, idle_s: float) -> None:
        self.status = head.status
        self.http_version = head.http_version
        self.headers = head.headers
        self.reused = connection.reused
        self.retried = False
        self._connection: UpstreamConnection | None = connection
        self._wheel = connection.wheel
        self._limits = connection.limits
        self._idle_s = idle_s
        self._framing = framing
        self._reader: BodyReader | None = None  # as soon as there is something to read that is not whole
        self._inflater: Inflater | None = None
        self._fault: BrokenAnswer | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._end: tuple[PeerError | None] | None = None
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[PeerError | None], None] | None = None
        self._paused = False
        self._closed = False
        if framing.kind != "none" and "content-encoding" in head.headers:  # unasked
            try:
                coding = coding_of(head.headers.all("content-encoding"))
            except UnknownCoding as error:
                # A fault of the body only: the status may still say all that the caller needs.
                self._fault = BrokenAnswer(f"the answer's {error}", "body")
            else:
                self._inflater = Inflater(coding, ratio=self._limits.inflate_ratio) if coding else None

    def at_hand(self) -> bytes | None:
        """As `read`, if the body came with its head, as small ones do; else None."""
        if self._end == (None,) and len(self._held) == 1 and self._held_bytes <= self._limits.answer_bytes:
            self._on_data = _nowhere
            return self._held.pop()
        return None

    async def read(self, limit_bytes: int | None = None) -> bytes:
        """The whole body, its content-encoding undone. To be called once, and not beside `stream`.

        Raises `AnswerTooLarge` beyond `limit_bytes` (by default `limits.answer_bytes`), `Disconnected` if it was cut,
        `BrokenAnswer` if it is malformed, `ReadTimeout` if nothing came for as long as the first byte may take.
        After an error or a cancellation the connection is closed.
        """
        limit = self._limits.answer_bytes if limit_bytes is None else limit_bytes
        pieces: list[bytes] = []
        size = 0
        over: asyncio.Future[PeerError | None] = self._wheel.loop.create_future()

        def finish(error: PeerError | None) -> None:
            if not over.done():
                over.set_result(error)

        def take(data: bytes) -> None:
            nonlocal size
            idle.touch()
            size += len(data)
            if size > limit:
                self.close()
                finish(AnswerTooLarge(f"the answer is larger than {limit} bytes"))
            else:
                pieces.append(data)

        def give_up() -> None:
            finish(ReadTimeout(f"nothing more of the answer came for {self._idle_s:g} s"))

        idle = self._wheel.after(self._idle_s, give_up)
        try:
            self.stream(take, finish)
            error = await over
            if error is not None:
                raise error
        except BaseException:
            self.close()
            raise
        finally:
            idle.cancel()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stream(self, on_data: Callable[[bytes], None], on_end: Callable[[PeerError | None], None]) -> None:
        """Have the body handed over: `on_data` with the bytes of each read, then `on_end` exactly once, with None if
        the body is complete (by its framing; one that ends with its connection is complete if that was closed and
        not reset), else with what went wrong.

        What came with the head is handed over before this returns, and `on_end` too if that was all. Neither is
        called after `close`. To be called once; raises `LocalError` otherwise.
        """
        if self._closed or self._on_data is not None:
            raise LocalError("stream() after close(), or for the second time")
        self._on_data, self._on_end = on_data, on_end
        self.resume()

    def offer(self, take: Callable[[bytes], int] | None) -> None:
        """Show `take` the next reads as they come, framing and all, before anything else looks at them: it says how
        many bytes of one it has dealt with, which must be whole chunks. The first of which it leaves something goes on
        the usual way, and it is asked no more. Nor behind `pause`, or where a read would not begin with a chunk: then
        this is without effect. Not to be called by `take` itself.
        """
        connection, reader = self._connection, self._reader
        if connection is None:
            return
        is_plain = self._is_plain and not self._paused and not self._held
        is_ready = is_plain and isinstance(reader, ChunkedReader) and reader.is_between_chunks
        connection.shortcut = take if is_ready else None

    def pause(self) -> None:
        """Stop reading. Nothing is handed over until `resume`, but an end behind the last byte may be told."""
        self._paused = True
        if self._connection is not None:
            self._connection.shortcut = None
            self._connection.pause()

    def resume(self) -> None:
        """Go on. Without effect if it was not paused, or is over."""
        self._paused = False
        self._hand_over_held()
        if self._connection is not None and not self._paused:
            self._connection.resume()

    def close(self) -> None:
        """Let go of the answer: no callback comes any more. If its body was not read to the end, the connection is
        closed at once; else it is back in the pool already. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        self._on_data = self._on_end = None
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- what the connection calls ---

    def take(self, data: bytes) -> None:
        """The next bytes of the connection, framing and all."""
        reader = self._reader
        if reader is None:
            is_all = len(data) == self._framing.length
            if is_all and self._on_data is None and self._inflater is None and self._fault is None:
                if data:  # all of it with the head, as small ones come
                    self._held.append(data)
                    self._held_bytes = len(data)
                self._end = (None,)
                connection, self._connection = self._connection, None
                if connection is not None:
                    connection.answer_complete(b"")
                return
            reader = self._reader = make_reader(self._framing, lenient=True)
        try:
            body = reader.feed(data)
        except FramingError as error:
            self._fail(BrokenAnswer(str(error), "body"))
            return
        complete = reader.complete
        if complete:
            self._part(reader.rest)
        if body:
            if self._inflater is None and self._fault is None:
                self._hand_over(body)
            elif not self._inflate(body):
                return
        if complete:
            self._finish()

    def cut(self, error: Exception | None) -> None:
        """The connection ended: closed (None) or reset."""
        self._connection = None
        if self._end is not None:
            return
        try:
            if error is not None:
                raise FramingError("the connection was reset")
            (self._reader or make_reader(self._framing)).feed_eof()
        except FramingError as cause:
            self._conclude(Disconnected(str(cause), "body", answer_began=True, reused=self.reused))
        else:
            self._finish()

    # --- inside ---

    @property
    def _is_plain(self) -> bool:
        """What comes is the body itself."""
        return self._inflater is None and self._fault is None

    def _inflate(self, body: bytes) -> bool:
        if self._fault is not None:
            self._fail(self._fault)
            return False
        assert self._inflater is not None
        try:
            for piece in self._inflater.steps(body):
                self._hand_over(piece)
        except InflatedTooLarge as error:
            self._fail(AnswerTooLarge(str(error)))
            return False
        except CodingError as error:
            self._fail(BrokenAnswer(str(error), "body"))
            return False
        return True

    def _finish(self) -> None:
        """The framing says that this was all."""
        if self._inflater is not None:
            try:
                self._inflater.finish()
            except CodingError as error:
                self._conclude(BrokenAnswer(str(error), "body"))
                return
        self._conclude(None)

    def _part(self, rest: bytes) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.answer_complete(rest)

    def _fail(self, error: PeerError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._conclude(error)

    def _conclude(self, error: PeerError | None) -> None:
        if self._end is None and not self._closed:
            self._end = (error,)
            if not self._held:
                self._tell_end()

    def _tell_end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None and self._end is not None:
            on_end(self._end[0])

    def _hand_over(self, body: bytes) -> None:
        if self._on_data is not None and not self._paused and not self._held:
            self._on_data(body)
        elif not self._closed:
            self._held.append(body)
            self._held_bytes += len(body)
            if self._held_bytes > self._limits.high_water_bytes and self._connection is not None:
                self._connection.pause()

    def _hand_over_held(self) -> None:
        if self._held and self._on_data is not None:
            held = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            self._on_data(held)
        if self._end is not None and not self._held:
            self._tell_end()
