"""Moves one streamed answer from the provider's connection through a lane to the client.

Synchronous callbacks, no task, no await for a chunk: `Answer.stream` calls in with every read, the lane makes the
client's bytes, one write leaves. The exchange waits twice: for `opened` (content, the end, or a failure) and,
after it has committed, for `done`.

Work per callback is bounded. One read can bring 256 KB, over a thousand events, several milliseconds in which
every other stream would wait; beyond `_SLICE_BYTES` the rest is taken up in the next turn of the loop, with the
provider paused meanwhile. Memory per stream: (one read + the client's high-water mark) × the growth of the
translation (a delta of chat is about 1.3 times one of messages); what is held back before the head is bounded by
`_SILENT_MOST_BYTES`.
"""

from __future__ import annotations

import asyncio

from ds2api.gateway.client_stream import ClientStream
from ds2api.gateway.failures import idle_error
from ds2api.gateway.lanes import Lane
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES
from ds2api.wire.timers import TimerWheel
from ds2api.wire.upstream import Answer

__all__ = ["Pump"]

# About 250 events of a chat stream: a millisecond of translation, so that a thousand streams that burst at once
# delay each other by no more than one such slice each.
_SLICE_BYTES = 64 * 1024
# What may come before the first content: a start event and pings, Azure's filter results (1 KB), and then one event as
# large as any may be. Beyond it the provider only keeps us busy.
_SILENT_MOST_BYTES = DEFAULT_LIMIT_BYTES + 4 * 1024 * 1024
# Behind the terminal event the end of the body is still to come, usually in the same read. Nobody waits for it; but
# given this time it keeps the connection for another request.
_TRAILING_S = 0.5


class Pump:
    """One attempt's answer on its way. Start with `start`, always end with `close`."""

    __slots__ = (
        "_answer", "_client", "_client_full", "_committed", "_end", "_event_idle_s", "_held", "_idle", "_incoming",
        "_is_closed", "_loop", "_silent_bytes", "_slices", "_wheel", "done", "failure", "lane", "opened",
    )  # fmt: skip

    def __init__(
        self,
        answer: Answer,
        lane: Lane,
        incoming: Incoming,
        client: ClientStream,
        wheel: TimerWheel,
        event_idle_s: float,
    ) -> None:
        loop = wheel.loop
        self.lane = lane
        self.failure: Error | None = None  # what came was too much before its first content
        self.opened: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._answer = answer
        self._incoming = incoming
        self._client = client
        self._wheel = wheel
        self._event_idle_s = event_idle_s
        self._held = bytearray()
        self._silent_bytes = 0
        self._committed = False
        self._slices: list[bytes] = []  # four at most: a read is 256 KB
        self._end: tuple[PeerError | None] | None = None
        self._idle = wheel.after(event_idle_s, self._idle_too_long)
        self._client_full = False
        self._is_closed = False

    def start(self) -> None:
        self._answer.stream(self._on_data, self._on_end)

    def commit(self) -> None:
        """The head has left: write what was held back, from now on directly and at the client's pace."""
        self._committed = True
        self._incoming.on_flow(self._pause, self._resume)
        if self._held:
            held = bytes(self._held)
            self._held.clear()
            self._client.write(held)
        self._offer()
        if (self.done.done() or self.lane.ended) and not self.lane.is_cut:
            self._client.finish(has_failed=self.error is not None)

    def close(self) -> None:
        """Stop: nothing reaches the lane or the client after this. The provider's connection is kept only if its
        answer was read to the end; behind a terminal event it has a moment for that. Harmless twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._answer.offer(None)
        self._idle.cancel()
        self._slices.clear()
        if self.lane.ended and self._end is None:
            self._idle = self._wheel.after(_TRAILING_S, self._answer.close)
            self._answer.resume()
        else:
            self._answer.close()

    @property
    def error(self) -> Error | None:
        """Why the answer is not complete, None if it is."""
        return self.lane.error or self.failure

    def _offer(self) -> None:
        if self._incoming.is_chunked:
            self._answer.offer(self._shortcut)

    def _shortcut(self, data: bytes) -> int:
        """How much of one read the lane takes as it came, chunks and all. The rest is `_on_data`'s, which would make
        the same of all of it."""
        # --- hot: what an event costs that comes alone ---
        if len(data) > _SLICE_BYTES:
            return 0
        made, used = self.lane.shortcut(data)
        if made:
            self._idle.touched_at = self._incoming.write_chunks(made)
        elif used:
            self._idle.touch()
        return used

    def _on_data(self, data: bytes) -> None:
        if self._is_closed or self.lane.ended:  # nothing behind the terminal event means anything
            return
        self._idle.touch()
        if self._slices or len(data) > _SLICE_BYTES:
            self._put_off(data)
            return
        self._move(data)

    def _move(self, data: bytes) -> None:
        lane = self.lane
        made = lane.feed(data)
        if self._committed:
            if made:
                self._client.write(made)
            self._offer()
        else:
            self._held += made
            self._silent_bytes += len(data)
            if self._silent_bytes > _SILENT_MOST_BYTES and not lane.content_seen:
                message = f"the provider sent {_SILENT_MOST_BYTES} bytes without content"
                self.failure = Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message)
            if (lane.content_seen or lane.ended or self.error is not None) and not self.opened.done():
                self.opened.set_result(None)
        if lane.ended or self.error is not None:
            self._finish()  # the client need not wait for the provider's connection to say so

    def _on_end(self, error: PeerError | None) -> None:
        self._end = (error,)
        if self._is_closed:
            self._idle.cancel()
            self._answer.close()
            return
        if self._slices:
            return
        if not self.lane.ended and self.error is None:
            made = self.lane.end()
            if self._committed:
                self._client.write(made)
            else:
                self._held += made
        self._finish()

    def _finish(self) -> None:
        self._idle.cancel()
        self._answer.offer(None)
        if self._committed and not self.lane.is_cut:
            self._client.finish(has_failed=self.error is not None)
        if not self.opened.done():
            self.opened.set_result(None)
        if not self.done.done():
            self.done.set_result(None)

    def _idle_too_long(self) -> None:
        made = self.lane.fail(idle_error(self._event_idle_s))
        if self._committed:
            self._client.write(made)
        self._finish()

    def _put_off(self, data: bytes) -> None:
        if not self._slices:
            self._answer.pause()
            self._loop.call_soon(self._take_up)
        self._slices.extend(data[at : at + _SLICE_BYTES] for at in range(0, len(data), _SLICE_BYTES))

    def _take_up(self) -> None:
        if not self._slices:  # closed meanwhile
            return
        self._move(self._slices.pop(0))
        if self._slices:
            self._loop.call_soon(self._take_up)
        elif self._end is not None:
            self._on_end(self._end[0])
        elif not self._client_full:
            self._answer.resume()

    def _pause(self) -> None:
        self._client_full = True
        self._answer.pause()

    def _resume(self) -> None:
        self._client_full = False
        if not self._slices:
            self._answer.resume()
