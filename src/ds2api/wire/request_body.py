"""The body of one client request, on its way in.

Bytes are taken synchronously as the socket brings them; whoever waits is woken once, by the end or by the first
fault.

Chunks are cut by our own strict reader alone. h11, which reads the head, would do it too, but takes 12 µs a chunk:
one read of 256 KB in chunks of one byte holds the loop, and everybody's streams, for half a second (here: 28 ms),
and it lets pass more (trailers with bare LF, NUL in extensions). The tests hold our reader to h11 over random bytes
and cuts: whatever it accepts, h11 reads to the same body with the same end.
"""

from __future__ import annotations

import asyncio
import io

from ds2api.wire.codings import CodingError, InflatedTooLarge, Inflater
from ds2api.wire.errors import PeerError
from ds2api.wire.framing import BodyReader, Framing, FramingError, make_reader
from ds2api.wire.settings import Limits

__all__ = ["RequestBody", "inflate", "too_large"]

# Beyond, pieces go straight to their place: joined at the end, a body would be there twice, and 10 MB take 4 ms.
_JOINED_BYTES = 1_000_000


class RequestBody:
    """Collects a body up to `limits.body_bytes`; with `keep=False` it only finds its end."""

    __slots__ = (
        "_keep",
        "_large",
        "_length",
        "_limits",
        "_pieces",
        "_reader",
        "_waiter",
        "error",
        "received_bytes",
        "rest",
    )

    def __init__(self, framing: Framing, limits: Limits, *, keep: bool = True) -> None:
        self._limits = limits
        self._keep = keep
        self._length = framing.length or 0
        self._pieces: list[bytes] = []
        self._large: io.BytesIO | None = None
        self._reader: BodyReader = make_reader(framing)
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
        except FramingError as error:
            self._end_with(PeerError(str(error), error.status_hint, "body"))
            return
        self.received_bytes += len(piece)
        if self.received_bytes > self._limits.body_bytes and self._keep:
            self._end_with(too_large(self._limits.body_bytes))
            return
        if piece and self._keep:
            self._add(piece)
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
        if self._large is not None:
            return self._large.getvalue()  # shared, not copied, as it has just this size
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _add(self, piece: bytes) -> None:
        if self._large is None:
            self._pieces.append(piece)
            if self.received_bytes <= _JOINED_BYTES:
                return
            # Memory that was never written to costs none: a length that is announced and never sent takes nothing.
            self._large = io.BytesIO(bytes(self._length))
            piece = b"".join(self._pieces)
            self._pieces.clear()
        self._large.write(piece)

    def _end_with(self, error: PeerError) -> None:
        self.error = error
        self._pieces.clear()
        self._large = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


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
