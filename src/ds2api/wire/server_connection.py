"""One client connection: its requests one after the other, in one task.

The protocol half (callbacks of the transport) takes bytes and keeps deadlines; the task half (`run`) waits for a
head, calls the handler, and sees to what must happen between two requests. They meet in three futures: for a head,
for a body, for room to write.

States, each set by `_enter`:

    IDLE      no byte of a next request yet: the connection may be closed at any moment
    HEAD      a part of a head came, `head_total_s` runs
    EXCHANGE  a handler runs; its body may be on its way in, its answer on its way out
    CLOSING   our last bytes leave; what still comes is dropped, so that the client can read them
    CLOSED    nothing more happens

A client that closes or half-closes its side while a handler runs counts as gone, and the handler is cancelled: a
half-close cannot be told from a close before something is written, and no client of an AI model sends its request by
half-closing. (nginx does the same unless told otherwise.) But what the gateway answers by itself, a refusal above all,
is there within a millisecond, and is still sent to who half-closes behind its request, as scripts do
(`_HALF_CLOSED_S`).

What comes while a handler runs (a further request, pipelined) is kept up to `read_ahead_bytes`, then reading pauses.
While it is paused, a client that leaves is noticed only by the next write.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from ds2api.wire.errors import LocalError, PeerError
from ds2api.wire.head_write import CONTINUE, date_line, field_lines, status_line
from ds2api.wire.heads import HeadBuffer, RequestHead, RequestParser, first_line
from ds2api.wire.incoming import Incoming
from ds2api.wire.request_body import RequestBody, too_large
from ds2api.wire.timers import Deadline, Limit

if TYPE_CHECKING:
    from ds2api.wire.server import Server

__all__ = ["ServerConnection", "State"]

# More is a whole read buffer (256,000 bytes on uvloop), behind which more waits. libuv reads up to 32 of them before
# anybody else's turn comes, which takes 8 ms.
_FULL_READ_BYTES = 200_000
# Enough for whatever needs no upstream, and no cost worth naming at one.
_HALF_CLOSED_S = 0.02
# A linger of zero seconds: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)


class State(enum.Enum):
    """Where a connection stands."""

    IDLE = "idle"
    HEAD = "head"
    EXCHANGE = "exchange"
    CLOSING = "closing"
    CLOSED = "closed"


class ServerConnection(asyncio.Protocol):
    """See the opening of this file. Made and owned by `Server`."""

    __slots__ = (
        "__weakref__", "_body", "_body_began_at", "_deadline", "_first_line", "_gone", "_half_closed", "_head_waiter",
        "_incoming", "_input", "_keep_alive", "_loop", "_parser", "_peer", "_reading_paused", "_room_waiter",
        "_scheme", "_served_count", "_server", "_task", "_transport", "_unread", "_waiting_bytes", "_write_deadline",
        "limits", "now", "state", "time_limit", "timeouts", "write", "write_paused",
    )  # fmt: skip

    def __init__(self, server: Server, scheme: str, peer: str) -> None:
        self._server = server
        self.limits = server.limits
        self.timeouts = server.timeouts
        self._scheme = scheme
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._transport: asyncio.Transport
        self._input = HeadBuffer(server.limits, for_requests=True)
        self._parser = RequestParser(server.limits)
        self._head_waiter: asyncio.Future[RequestHead | None] | None = None
        self._room_waiter: asyncio.Future[None] | None = None
        self._body: RequestBody | None = None  # the one that is being read
        self._unread: RequestHead | None = None  # whose body nobody asked for yet
        self._incoming: Incoming | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline: Deadline | None = None  # of whatever `state` waits for; `_late` says what
        self.time_limit = Limit(server.wheel)  # of the running request, for whoever answers it
        self._write_deadline: Deadline | None = None
        self._waiting_bytes = 0
        self._body_began_at = 0.0
        self._reading_paused = False
        self.write_paused = False
        self._keep_alive = True
        self._served_count = 0
        self._first_line = ("", "")  # of the head that is being read, for the shape of a refusal
        self._gone = False
        self._half_closed: Deadline | None = None  # the client ended its side
        self.write: Callable[[bytes], None] = self._write_nowhere
        self.state = State.IDLE

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports have the methods, not the class
        self.write = self._transport.write
        self._transport.set_write_buffer_limits(self.limits.high_water_bytes, self.limits.low_water_bytes)
        self._server.connection_opened(self)
        self._enter(State.IDLE)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is State.EXCHANGE:
            body = self._body
            if body is not None and not body.complete:
                body.feed(data)
                self._check_body_rate(body)
                if len(data) > _FULL_READ_BYTES and not body.complete:
                    self._pause_reading()
                    self._loop.call_soon(self._resume_reading)
                if body.complete or body.error is not None:
                    self._input.feed(body.rest)
                return
            self._input.feed(data)
            if self._holds_enough():
                self._pause_reading()
        elif state is State.IDLE or state is State.HEAD:
            self._look_for_head(data)

    def eof_received(self) -> bool | None:
        if self._scheme != "http" or self.state in (State.CLOSING, State.CLOSED):
            if self.state is State.EXCHANGE:
                self._client_gone()
            return None  # the transport closes itself
        if self._half_closed is None:
            self._half_closed = self._server.wheel.after(_HALF_CLOSED_S, self._half_closed_late)
        if self.state is State.EXCHANGE and self._incoming is not None and self._incoming.started:
            self._client_gone()
        elif self._head_waiter is not None and not self._head_waiter.done():
            self._head_waiter.set_result(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        was = self.state
        self._enter(State.CLOSED)
        self.write = self._write_nowhere
        self._stop_write_deadline()
        if self._half_closed is not None:
            self._half_closed.cancel()
        self._server.connection_closed(self)
        if was is State.EXCHANGE:
            self._client_gone()
        if self._head_waiter is not None and not self._head_waiter.done():
            self._head_waiter.set_result(None)
        if self._room_waiter is not None and not self._room_waiter.done():
            self._room_waiter.set_result(None)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._stop_write_deadline()
        self._waiting_bytes = self._transport.get_write_buffer_size()
        self._write_deadline = self._server.wheel.after(self.timeouts.write_idle_s, self._check_write_progress)
        if self._incoming is not None:
            self._incoming.flow(paused=True)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._stop_write_deadline()
        if self._room_waiter is not None and not self._room_waiter.done():
            self._room_waiter.set_result(None)
        if self._incoming is not None:
            self._incoming.flow(paused=False)

    # --- the task's side ---

    async def run(self, handler: Callable[[Incoming], Awaitable[None]]) -> None:
        """Serve the connection to its end. Never raises but for a cancellation from outside."""
        self._task = asyncio.current_task()
        try:
            while (head := await self._next_head()) is not None:
                self._head_waiter = None
                await self._serve(handler, head)
                if (self.write_paused or self._unread is not None) and self._goes_on:
                    await self._settle()
                if not self._goes_on:
                    break
                self._enter(State.IDLE)
                if self._reading_paused and not self._holds_enough():
                    self._resume_reading()
        except PeerError as error:
            self._refuse(error)
        except asyncio.CancelledError:
            if not self._gone:
                self._transport.abort()
                raise
        finally:
            self._task = None
            self._incoming = self._head_waiter = None
            self.time_limit.close()
            self._close()

    def _next_head(self) -> asyncio.Future[RequestHead | None]:
        """The next request's head, None at the end of the connection, `PeerError` for a bad one."""
        self._first_line = ("", "")
        waiter: asyncio.Future[RequestHead | None] = self._loop.create_future()
        self._head_waiter = waiter
        if self.state in (State.CLOSING, State.CLOSED):
            waiter.set_result(None)
        elif self._input.data:
            self._look_for_head()
        elif self._server.draining and not self._server.lingering:
            waiter.set_result(None)
        if self._half_closed is not None and not waiter.done():
            waiter.set_result(None)
        return waiter

    async def _serve(self, handler: Callable[[Incoming], Awaitable[None]], head: RequestHead) -> None:
        server = self._server
        self._served_count += 1
        self._unread = head if head.framing.kind != "none" else None
        self._body = None
        incoming = self._incoming = Incoming(self, head, self._scheme, self._peer)
        server.exchanges += 1
        server.served += 1
        failure: PeerError | None = None
        try:
            await handler(incoming)
        except PeerError as error:
            failure = error
        except Exception as error:
            failure = PeerError("an internal error", 500)
            self._loop.call_exception_handler({"message": "the handler of a request failed", "exception": error})
        finally:
            server.exchanges -= 1
        if not incoming.finished:
            incoming.let_go()
            if incoming.started:
                incoming.abort()
            else:
                failure = failure or PeerError("the request was not answered", 500)
                status, fields, body = self._server.refusal(head.method, head.target, failure)
                incoming.respond(status, fields, body)

    async def _settle(self) -> None:
        """Between two requests: let what waits be written, and drop what is left of the body."""
        if self.write_paused:
            self._room_waiter = self._loop.create_future()
            try:
                await self._room_waiter
            finally:
                self._room_waiter = None
        if self._unread is not None:
            body = self._begin_body(self._unread, keep=False)
            try:
                await body.wait()
            except PeerError:
                self._keep_alive = False  # the answer is sent; there is nobody to tell

    @property
    def _goes_on(self) -> bool:
        return self._keep_alive and not self._gone and self.state is State.EXCHANGE

    # --- what Incoming calls ---

    def body_at_hand(self, head: RequestHead) -> bytes | None:
        """The body of the running request as it stands on the wire, if all of it is here, as small ones are."""
        length = head.framing.length
        if length == 0:
            return b""
        if self._unread is None:
            raise LocalError("the body was read before")
        if length is None or length > len(self._input.data) or length > self.limits.body_bytes:
            return None
        self._unread = None
        body = self._input.take(length)
        if self._reading_paused:
            self._resume_reading()
        return body

    async def read_body(self, head: RequestHead) -> bytes:
        """The body of the running request as it stands on the wire, where it is not at hand."""
        length = head.framing.length
        if length is not None and length > self.limits.body_bytes:
            raise too_large(self.limits.body_bytes, length)
        if head.expects_continue and not len(self._input):
            self.write(CONTINUE)
        return await self._begin_body(head, keep=True).wait()

    def closing_lines(self, head: RequestHead, *, self_delimited: bool) -> bytes:
        """The connection field of an answer that is about to be sent; decides whether the connection goes on."""
        is_read = self._unread is None and self._body is None
        keeps = head.keep_alive and self_delimited and not self._server.draining
        if not (keeps and (is_read or self._can_skip_body(head))):
            self._keep_alive = False
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if head.http_version == "1.0" else b""

    def cut(self, *, reset: bool) -> None:
        """End the connection in the middle of an answer."""
        self._keep_alive = False
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self._enter(State.CLOSING)
        if reset:
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                try:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                except OSError:
                    self._gone = True  # the socket is closed already, which cuts just as well
            self._transport.abort()
        else:
            self._transport.close()

    # --- what Server calls ---

    def close_idle(self) -> None:
        """Close a connection on which nothing happens."""
        if self.state is State.IDLE:
            self._close()

    def cut_off(self) -> None:
        """End the connection at once, whatever happens on it; a running handler is cancelled."""
        self._keep_alive = False
        if self.state is State.EXCHANGE:
            self._client_gone()
        self._transport.abort()

    @property
    def buffered_bytes(self) -> tuple[int, int]:
        """What was read and not yet used, and what waits to be written."""
        waiting = 0 if self.state is State.CLOSED else self._transport.get_write_buffer_size()
        return len(self._input), waiting

    # --- inside ---

    def _enter(self, state: State) -> None:
        was = self.state
        if was is State.CLOSED:
            return
        self.state = state
        if was is State.IDLE:
            self._server.idle.pop(self, None)
        if state is State.IDLE:
            self._server.connection_idle(self)
            # A new connection owes its first request as quickly as any head.
            self._within(self.timeouts.keepalive_idle_s if self._served_count else self.timeouts.head_total_s)
        elif state is State.HEAD:
            self._within(self.timeouts.head_total_s)
        elif state is State.CLOSING:
            self._waiting_bytes = self._transport.get_write_buffer_size()
            self._within(self.timeouts.write_idle_s if self._waiting_bytes else self.timeouts.close_linger_s)
        elif state is State.CLOSED and self._deadline is not None:
            self._deadline.cancel()

    def _within(self, seconds: float) -> None:
        """What the connection waits for now may take so long. (A running request has no limit of this kind but for its
        body: what is left over from before passes without effect.)"""
        if self._deadline is None:
            self._deadline = self._server.wheel.after(seconds, self._late)
        else:
            self._deadline.restart(seconds)

    def _late(self) -> None:
        self._deadline = None
        match self.state:
            case State.IDLE:
                self._close()
            case State.HEAD:
                self._head_late()
            case State.EXCHANGE if self._body is not None and not self._body.complete and self._body.error is None:
                self._body_late(self._body)
            case State.CLOSING:
                self._closing_late()

    def _look_for_head(self, more: bytes = b"") -> None:
        waiter = self._head_waiter
        if waiter is None or waiter.done():
            self._input.feed(more)
            return
        raw = None
        try:
            raw = self._input.take_head(more)
            if raw is None:
                state = State.HEAD if len(self._input) else State.IDLE  # it was an empty line only
                if state is not self.state:
                    self._enter(state)
                return
            head = self._parser.parse(raw)
        except PeerError as error:
            if raw is not None:  # these bytes are gone, and a refusal needs the path
                self._first_line = first_line(raw)
            self._enter(State.HEAD)
            waiter.set_exception(error)
            return
        self._enter(State.EXCHANGE)
        waiter.set_result(head)

    def _head_late(self) -> None:
        if self._head_waiter is not None and not self._head_waiter.done():
            message = f"the head did not come within timeouts.head_total_s ({self.timeouts.head_total_s:g})"
            self._head_waiter.set_exception(PeerError(message, 408))

    def _begin_body(self, head: RequestHead, *, keep: bool) -> RequestBody:
        self._unread = None
        body = self._body = RequestBody(head.framing, self.limits, keep=keep)
        self._body_began_at = self.now()
        held = self._input.take_rest()
        if held:
            body.feed(held)
        if body.complete:
            self._input.feed(body.rest)
        elif body.error is None:
            self._within(self.timeouts.body_idle_s)
        self._resume_reading()
        return body

    def _body_late(self, body: RequestBody) -> None:
        setting = f"timeouts.body_idle_s ({self.timeouts.body_idle_s:g})"
        body.fail(PeerError(f"no byte of the body came within {setting}", 408, "body"))
        self._keep_alive = False

    def _check_body_rate(self, body: RequestBody) -> None:
        now = self.now()
        if self._deadline is not None:
            self._deadline.touch()
        allowed_s = self.timeouts.body_idle_s + body.received_bytes / self.timeouts.body_rate_bytes_s
        if now - self._body_began_at > allowed_s:
            setting = f"timeouts.body_rate_bytes_s ({self.timeouts.body_rate_bytes_s:g})"
            body.fail(PeerError(f"the body comes more slowly than {setting}", 408, "body"))

    def _can_skip_body(self, head: RequestHead) -> bool:
        """What is left of the request's body can be dropped without waiting for much of it, if it is sent at all."""
        body = self._body
        if body is not None:
            return body.complete and body.error is None
        if self._unread is None:
            return True
        length = head.framing.length
        if length is None:
            return False
        missing = length - len(self._input)
        return missing <= 0 or (missing <= self.limits.leftover_bytes and not head.expects_continue)

    def _refuse(self, error: PeerError) -> None:
        """Answer what is no request, and close."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        method, target = self._first_line if self._first_line[0] else first_line(self._input.data)
        status, fields, body = self._server.refusal(method, target, error)
        head = status_line(status) + date_line() + field_lines(fields)
        self.write(head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
        if body and method != "HEAD":
            self.write(body)

    def _half_closed_late(self) -> None:
        if self.state is State.EXCHANGE:
            self._client_gone()

    def _client_gone(self) -> None:
        self._gone = True
        self.write = self._write_nowhere
        if self._task is not None:
            self._task.cancel()

    def _close(self) -> None:
        """Close behind what was written. If the client may still be sending, take it in for a while: a reset would
        else overtake the answer (RFC 9112 §9.6)."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        body = self._body
        may_be_sending = (
            self.state is State.HEAD
            or self._unread is not None
            or (body is not None and not body.complete)
            or len(self._input) > 0
        )
        self._input.take_rest()
        self._enter(State.CLOSING)
        if not may_be_sending or self._gone:
            self._transport.close()
            return
        if self._transport.can_write_eof():  # TLS cannot; there the answer's own length has to do
            self._transport.write_eof()
        self._resume_reading()

    def _check_write_progress(self) -> None:
        self._write_deadline = None
        waiting = self._transport.get_write_buffer_size()
        if waiting >= self._waiting_bytes:
            self.cut_off()
            return
        self._waiting_bytes = waiting
        self._write_deadline = self._server.wheel.after(self.timeouts.write_idle_s, self._check_write_progress)

    def _closing_late(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        if waiting < self._waiting_bytes:  # the client still takes its answer
            self._enter(State.CLOSING)
        else:
            self._transport.abort()

    def _holds_enough(self) -> bool:
        # A whole head must fit, or with reading paused it would never become one.
        return len(self._input) > max(self.limits.read_ahead_bytes, self.limits.head_bytes)

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def _stop_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _write_nowhere(self, data: bytes) -> None:
        """The client is gone."""
