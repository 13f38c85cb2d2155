"""One connection to an upstream: one request at a time, and an answer to each.

States, each set in one place:

    IDLE      in the pool, unused: any byte or end closes it (an answer that nobody asked for must reach nobody)
    RESERVED  taken out of the pool, or new, by the call that will use it; nobody else can get it
    WAITING   the request leaves, its answer has not begun or its head is not whole
    BODY      an `Answer` takes the bytes
    CLOSED    nothing more happens

    IDLE → RESERVED (pool.take) → WAITING (exchange) → BODY (final head) → IDLE (body complete and reusable)
    every state → CLOSED

A connection is reusable if the answer's body was complete by its framing, both sides allow it, the request had left
whole, and not one byte stood behind the answer.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ds2api.wire.answer import Answer
from ds2api.wire.errors import BrokenAnswer, Disconnected, FirstByteTimeout, LocalError, PeerError, ReadTimeout
from ds2api.wire.framing import Framing
from ds2api.wire.heads import HeadBuffer, ResponseHead, parse_response
from ds2api.wire.origin import Origin
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.timers import Deadline, TimerWheel
from ds2api.wire.tls import ClientContext

if TYPE_CHECKING:
    from ds2api.wire.pool import Pool

__all__ = ["UpstreamConnection", "UpstreamState"]

# A body up to this size leaves in one piece with its head; beyond, the copy would cost more than the second write.
_JOIN_BYTES = 65_536
# Of a larger one, so much leaves in one turn of the loop. On a quick line the kernel takes 10 MB in one call, which is
# 10 ms in which nobody else's stream moves; TLS would encrypt them in one go as well.
_SLICE_BYTES = 262_144


class UpstreamState(enum.Enum):
    """Where a connection stands."""

    IDLE = "idle"
    RESERVED = "reserved"
    WAITING = "waiting"
    BODY = "body"
    CLOSED = "closed"


class UpstreamConnection(asyncio.Protocol):
    """See the opening of this file. Made by `Client`, owned by whoever reserved it, or by the pool."""

    __slots__ = (
        "__weakref__", "_answer", "_deadline", "_first_byte_idle_s", "_head_began", "_input", "_interim_count",
        "_keep_alive", "_method", "_pool", "_reading_paused", "_session_kept", "_timeouts", "_transport", "_unsent",
        "_unsent_bytes", "_waiter", "_writing_paused", "limits", "origin", "reused", "shortcut", "state", "wheel",
    )  # fmt: skip

    def __init__(self, origin: Origin, pool: Pool, wheel: TimerWheel, limits: Limits, timeouts: Timeouts) -> None:
        self.origin = origin
        self._pool = pool
        self.wheel = wheel
        self.limits = limits
        self._timeouts = timeouts
        self._transport: asyncio.Transport | None = None
        self._input = HeadBuffer(limits, for_requests=False)
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer: Answer | None = None
        self._deadline: Deadline | None = None  # of whatever `state` waits for, `_late` says what; in BODY of nothing
        self._method = ""
        self._first_byte_idle_s = timeouts.first_byte_idle_s
        self._keep_alive = False
        self._head_began = False
        self._interim_count = 0
        self._unsent = memoryview(b"")  # of the body, what the transport has not got yet
        self._unsent_bytes = 0
        self._writing_paused = False
        self._reading_paused = False
        self._session_kept = False
        self.reused = False
        self.shortcut: Callable[[bytes], int] | None = None  # see `Answer.offer`; only ever set in BODY
        self.state = UpstreamState.RESERVED

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports have the methods, not the class
        self._pool.connection_opened(self)

    def data_received(self, data: bytes) -> None:
        if self.shortcut is not None:  # --- hot: nearly every event of a stream ends here ---
            used = self.shortcut(data)
            if used == len(data):
                return
            self.shortcut, data = None, data[used:]
        if self.state is UpstreamState.BODY:
            assert self._answer is not None
            self._answer.take(data)
        elif self.state is UpstreamState.WAITING:
            try:
                self._read_heads(data)
            except PeerError as error:
                self._fail(BrokenAnswer(error.message))
        elif self.state is not UpstreamState.CLOSED:
            self._pool.connection_spoke(self)
            self.close()

    def eof_received(self) -> bool | None:
        self._ended(None)
        return None  # the transport closes itself

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._write_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self._pool.connection_closed(self)

    # --- what Client, Pool and Answer call ---

    async def exchange(self, method: str, head: bytes, body: bytes, first_byte_idle_s: float) -> Answer:
        """Send a request; give its answer as soon as the final head is there.

        Raises `Disconnected`, `FirstByteTimeout`, `ReadTimeout` (the head began and stood still) or `BrokenAnswer`.
        Raising or cancelled, it leaves the connection closed.
        """
        waiter = self.begin(method, head, body, first_byte_idle_s)
        try:
            return await waiter
        except BaseException:
            self.abandon(waiter)
            raise

    def begin(self, method: str, head: bytes, body: bytes, first_byte_idle_s: float) -> asyncio.Future[Answer]:
        """As `exchange`, for who awaits the answer; where that fails or is cancelled, `abandon` must follow."""
        transport = self._transport
        if self.state is not UpstreamState.RESERVED or transport is None:
            if self.state is UpstreamState.CLOSED:
                raise self._gone("the connection was closed before the request")
            raise LocalError(f"a request on a connection that is {self.state.value}, not reserved")
        self.state = UpstreamState.WAITING
        self._method = method
        self._first_byte_idle_s = first_byte_idle_s
        self._head_began = False
        self._interim_count = 0
        waiter: asyncio.Future[Answer] = self.wheel.loop.create_future()
        self._waiter = waiter
        if len(body) > _JOIN_BYTES:
            transport.write(head)
            self._unsent = memoryview(body)
            self._write_on()
        else:
            transport.write(head + body)
        self._await_first_byte()
        return waiter

    def abandon(self, waiter: asyncio.Future[Answer]) -> None:
        """Nobody wants what was begun."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            # Cancelled in the turn in which the answer came. If that was complete, the connection is in the pool
            # or somebody else's already: only the answer knows whether it is still ours to close.
            waiter.result().close()
        else:
            self.close()

    def close(self) -> None:
        """Close at once; what was not sent is dropped. Whoever waits for an answer is told. Twice is fine."""
        if self.state is UpstreamState.CLOSED:
            return
        self._enter_closed()
        if self._transport is not None:
            self._transport.abort()

    def idle(self) -> None:
        """For the pool: from now on it is unused, for so long at most."""
        self.state = UpstreamState.IDLE
        self._within(self._timeouts.upstream_keepalive_idle_s)

    def reserve(self) -> bool:
        """For the pool: it is given to somebody. False: it is at its end, and to be closed."""
        if self.state is not UpstreamState.IDLE:
            raise LocalError(f"a connection that is {self.state.value} cannot be reserved")
        self.state = UpstreamState.RESERVED
        self.reused = True
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_usable(self) -> bool:
        """It is not known to be at its end."""
        return (
            self.state is not UpstreamState.CLOSED and self._transport is not None and not self._transport.is_closing()
        )

    def answer_complete(self, rest: bytes) -> None:
        """The answer's body was read to its end; `rest` is what stood behind it."""
        self._answer = self.shortcut = None
        transport = self._transport
        assert transport is not None
        if not self._session_kept:
            self._keep_session(transport)
        unsent = self._unsent or transport.get_write_buffer_size()
        if not self._keep_alive or rest or unsent or transport.is_closing():
            if rest:
                self._pool.connection_spoke(self)
            self.close()
            return
        if self._reading_paused:
            self.resume()
        self._pool.put(self)

    def pause(self) -> None:
        """Stop reading."""
        if not self._reading_paused and self.is_usable and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._reading_paused and self.is_usable and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    # --- inside ---

    def _read_heads(self, data: bytes) -> None:
        raw = self._input.take_head(data)
        while raw is not None:
            head = parse_response(raw, self._method, self.limits)
            self._head_began = True
            if head.framing is not None:
                self._begin_answer(head, head.framing)
                return
            self._interim_count += 1
            if self._interim_count > self.limits.interim_count:
                raise PeerError(f"more than {self.limits.interim_count} interim answers (limits.interim_count)")
            self._head_began = False
            self._await_first_byte()
            raw = self._input.take_head()
        if self._input.data and not self._head_began:
            self._head_began = True
            self._within(self._timeouts.head_total_s)

    def _write_on(self) -> None:
        """Give the transport a slice of what is unsent, and the next in a later turn, or when it has room."""
        if not self._unsent or self._writing_paused or self._transport is None:
            return
        slice_, self._unsent = self._unsent[:_SLICE_BYTES], self._unsent[_SLICE_BYTES:]
        self._transport.write(slice_)
        if self._unsent and not self._writing_paused:
            self.wheel.loop.call_soon(self._write_on)

    def _waiting_bytes(self) -> int:
        """Of the request, what has not left."""
        return len(self._unsent) + (self._transport.get_write_buffer_size() if self._transport is not None else 0)

    def _begin_answer(self, head: ResponseHead, framing: Framing) -> None:
        self._keep_alive = head.keep_alive and framing.kind != "eof"
        answer = self._answer = Answer(head, framing, self, self._first_byte_idle_s)
        self.state = UpstreamState.BODY
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)  # before the body, which may end the connection
        rest = self._input.take_rest()
        if rest or framing.kind == "none":
            answer.take(rest)

    def _await_first_byte(self) -> None:
        assert self._transport is not None
        self._unsent_bytes = len(self._unsent) + self._transport.get_write_buffer_size()
        self._within(self._first_byte_idle_s)

    def _within(self, seconds: float) -> None:
        """What the connection waits for now may take so long."""
        if self._deadline is None:
            self._deadline = self.wheel.after(seconds, self._late)
        else:
            self._deadline.restart(seconds)

    def _late(self) -> None:
        self._deadline = None
        if self.state is UpstreamState.WAITING and self._head_began:
            limit = f"timeouts.head_total_s ({self._timeouts.head_total_s:g})"
            self._fail(ReadTimeout(f"the head of the answer did not come within {limit}", "head"))
        elif self.state is UpstreamState.WAITING:
            self._first_byte_late()
        elif self.state is UpstreamState.IDLE:
            self.close()

    def _first_byte_late(self) -> None:
        unsent = self._waiting_bytes()
        if unsent < self._unsent_bytes:  # a large request on a slow line: it still leaves
            self._await_first_byte()
        elif unsent:
            message = f"{unsent} bytes of the request could not be sent for {self._first_byte_idle_s:g} s"
            self._fail(FirstByteTimeout(message, "send"))
        else:
            self._fail(FirstByteTimeout(f"no answer came within {self._first_byte_idle_s:g} s"))

    def _ended(self, exc: Exception | None) -> None:
        """The other side closed (None) or reset the connection."""
        if self.state is UpstreamState.CLOSED:
            return
        answer = self._answer
        began = self._head_began or self._interim_count > 0
        how = "closed" if exc is None else "reset"
        error = self._gone(f"the upstream {how} the connection" + ("" if began else " before it answered"), began)
        self._enter_closed(error)
        if answer is not None:
            answer.cut(exc)

    def _gone(self, message: str, answer_began: bool = False) -> Disconnected:
        phase = "send" if self._waiting_bytes() and not answer_began else "head"
        return Disconnected(
            message, "send" if phase == "send" else "head", answer_began=answer_began, reused=self.reused
        )

    def _fail(self, error: PeerError) -> None:
        self._enter_closed(error)
        if self._transport is not None:
            self._transport.abort()

    def _enter_closed(self, error: PeerError | None = None) -> None:
        was, self.state = self.state, UpstreamState.CLOSED
        if self._deadline is not None:
            self._deadline.cancel()
        self._answer = self.shortcut = None
        if was is UpstreamState.IDLE:
            self._pool.forget(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error or self._gone("the connection was closed on this side"))
        self._unsent = self._unsent[:0]

    def _keep_session(self, transport: asyncio.Transport) -> None:
        self._session_kept = True
        tls_object = transport.get_extra_info("ssl_object")
        if tls_object is not None and isinstance(tls_object.context, ClientContext):
            tls_object.context.remember(tls_object)
