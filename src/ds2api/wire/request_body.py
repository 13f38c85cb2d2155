"""The body of one client request, on its way in.

Bytes are taken synchronously as the socket brings them; whoever waits is woken once, by the end or by the first
fault. A length is counted here. Chunks pass two readers: our own, which is strict and says where the body ends, and
h11, which frames it; what the two do not agree on is refused, so that no bytes are a body for one and a further
request for the other.
"""

from __future__ import annotations

import asyncio

import h11

from ds2api.wire.codings import CodingError, InflatedTooLarge, Inflater
from ds2api.wire.errors import PeerError
from ds2api.wire.framing import ChunkedReader, Framing, FramingError, LengthReader
from ds2api.wire.settings import Limits

__all__ = ["RequestBody", "inflate"]

_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"


class RequestBody:
    """Collects a body up to `limits.body_bytes`; with `keep=False` it only finds its end."""

    __slots__ = ("_h11", "_keep", "_limits", "_pieces", "_reader", "_waiter", "error", "received_bytes", "rest")

    def __init__(self, framing: Framing, limits: Limits, *, keep: bool = True) -> None:
        self._limits = limits
        self._keep = keep
        self._pieces: list[bytes] = []
        self._reader: LengthReader | ChunkedReader
        self._h11: h11.Connection | None = None
        if framing.kind == "chunked":
            self._reader = ChunkedReader()
            self._h11 = h11.Connection(h11.SERVER)
            self._h11.receive_data(_CHUNKED_HEAD)
            self._h11.next_event()
        else:
            self._reader = LengthReader(framing.length or 0)
        self._waiter: asyncio.Future[None] | None = None
        self.error: PeerError | None = None
        self.received_bytes = 0
        self.rest = b""  # what stood behind the end: the next request

    @property
    def complete(self) -> bool:
        return self._reader.complete

    def feed(self, data: bytes) -> None:
        """Take bytes. A fault is kept in `error` and raised by `wait`; after it everything is dropped."""
        if self.error is not None:
            return
        try:
            piece = self._reader.feed(data)
            if self._h11 is not None:
                piece = self._agreed(self._h11, data, piece)
        except FramingError as error:
            self._end_with(PeerError(str(error), error.status_hint, "body"))
            return
        self.received_bytes += len(piece)
        if self.received_bytes > self._limits.body_bytes and self._keep:
            self._end_with(too_large(self._limits.body_bytes))
            return
        if piece and self._keep:
            self._pieces.append(piece)
        if self._reader.complete:
            self.rest = self._reader.rest
            self._wake()

    def fail(self, error: PeerError) -> None:
        """End the wait with `error`, unless it ended before."""
        if self.error is None and not self.complete:
            self._end_with(error)

    async def wait(self) -> bytes:
        """The whole body, as sent. Raises the `PeerError` that came instead."""
        if self.error is None and not self.complete:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.error is not None:
            raise self.error
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end_with(self, error: PeerError) -> None:
        self.error = error
        self._pieces.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _agreed(self, reader: h11.Connection, data: bytes, ours: bytes) -> bytes:
        """What h11 makes of the same bytes. Raises `FramingError` if that is something else."""
        mine = data[: len(data) - len(self._reader.rest)] if self._reader.complete else data
        reader.receive_data(mine)
        theirs = bytearray()
        ended = False
        try:
            while isinstance(event := reader.next_event(), (h11.Data, h11.EndOfMessage)):
                if isinstance(event, h11.EndOfMessage):
                    ended = True
                    break
                theirs += event.data
        except h11.RemoteProtocolError:
            raise FramingError("the chunks of the body are malformed") from None
        if ended != self._reader.complete or theirs != ours:
            raise FramingError("the chunks of the body can be read in two ways")
        return bytes(theirs)


def too_large(limit_bytes: int, came_bytes: int | None = None) -> PeerError:
    """The 413 that names size, limit and setting."""
    came = "is larger" if came_bytes is None else f"has {came_bytes} bytes, more"
    return PeerError(f"the body {came} than limits.body_bytes ({limit_bytes})", 413, "body")


async def inflate(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """Undo `coding`, letting others run between steps. Raises `PeerError` with 400 or 413."""
    inflater = Inflater(coding, limit_bytes=limit_bytes)
    pieces: list[bytes] = []
    try:
        for piece in inflater.steps(body):
            pieces.append(piece)
            await asyncio.sleep(0)
        inflater.finish()
    except InflatedTooLarge:
        raise PeerError(f"the body inflates to more than limits.body_bytes ({limit_bytes})", 413, "body") from None
    except CodingError as error:
        raise PeerError(str(error), 400, "body") from None
    return b"".join(pieces)
