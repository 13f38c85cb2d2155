"""The server: listeners, the connections they accept, and their end.

Accepting is a small loop of its own rather than the event loop's server, for three things which that cannot do: wait
when there are enough connections (the kernel keeps the rest in its queue), go on after the process ran out of
descriptors, and close one listener without the others. Each connection is one task (`ServerConnection.run`), which
serves its requests one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ds2api.wire.errors import LocalError, PeerError
from ds2api.wire.incoming import Incoming
from ds2api.wire.listeners import Listener, bind, descriptors_most, inherited_descriptors
from ds2api.wire.server_connection import ServerConnection
from ds2api.wire.settings import Limits, Timeouts, TlsServer
from ds2api.wire.timers import TimerWheel
from ds2api.wire.tls import server_context

__all__ = ["Incoming", "Refuse", "Server", "ServerStatistics", "inherited_descriptors"]

Handler = Callable[[Incoming], Awaitable[None]]
# (method, target, error) → status, fields, body; method and target are empty where no request line could be read.
Refuse = Callable[[str, str, PeerError], tuple[int, list[tuple[str, str]], bytes]]

# How long accepting rests after the system was out of something. asyncio's own server rests 1 s.
_ACCEPT_REST_S = 0.25
# At 30 µs each. One a turn is too few where turns are long: under more load than one core takes, clients on new
# connections waited 8 s in the kernel's queue while those on kept ones were served in 0.1.
_ACCEPTS_A_TURN = 32
_TOO_MANY_TEXT = b"too many connections are open from one client"
_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b" % (len(_TOO_MANY_TEXT), _TOO_MANY_TEXT)
)
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A snapshot. The last six count since the start."""

    connections: int
    idle: int
    exchanges: int  # handlers that run now
    read_buffer_bytes: int
    write_buffer_bytes: int
    accepted: int
    served: int
    refused: int  # answered by the wire itself
    turned_away: int  # connections beyond `limits.connections_per_address_count`
    starved: int  # times that accepting failed for want of descriptors or memory
    handshakes_failed: int


class Server:
    """Serves HTTP/1.1 on any number of listeners. For one event loop; nothing is safe from other threads."""

    def __init__(
        self,
        handler: Handler,
        refuse: Refuse,
        *,
        limits: Limits,
        timeouts: Timeouts,
        note: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """`handler` is called for each request and must answer it; if it raises or does not, the answer is a 500 by
        `refuse`, or a cut where it had begun. `refuse` writes the wire's own errors (400, 408, 413, 431, 500 …); it
        must not raise. `note` gets a sentence for the operator when connections cannot be accepted."""
        self._handler = handler
        self._refuse = refuse
        self.limits = limits
        self.timeouts = timeouts
        self.wheel: TimerWheel
        self.draining = False
        self.lingering = False  # while draining: idle connections may still send a request
        self._listeners: dict[str, Listener] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshaking: set[asyncio.Task[None]] = set()
        self._connections: set[ServerConnection] = set()
        self.idle: dict[ServerConnection, None] = {}  # the one that is idle longest comes first
        self._is_full = False
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._note = note
        self._by_address: Counter[str] = Counter()
        self._connections_most = min(limits.connections_count, max(1, descriptors_most() // 2))
        self._turned_away = 0
        self.exchanges = self.served = self._accepted = self._refused = self._starved = self._handshakes_failed = 0

    async def listen(self, address: str, *, tls: TlsServer | None = None, descriptor: int | None = None) -> str:
        """Listen on `address` (`127.0.0.1:8787`, `[::1]:0`, `unix:/path`, `fd:3`), by the socket `descriptor` where the
        process before this one handed it over, and give what was bound, in the same form. Raises `ValueError` for what
        is no address, `OSError` for one that cannot be had and for a certificate that cannot be read."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self.wheel = TimerWheel(self._loop)
        if self.draining:
            raise LocalError("listen() after drain()")
        context = server_context(tls) if tls is not None else None
        listener = self._listeners[address] = bind(address, self.limits.backlog_count, descriptor)
        accepting = self._loop.create_task(self._accept(listener, context))
        # The socket outlives the wait on it: closed before, its descriptor's number could be somebody else's already.
        accepting.add_done_callback(lambda _: listener.close())
        self._accepting.append(accepting)
        return listener.address

    async def drain(self, grace_s: float, linger_s: float = 0.0) -> int:
        """Stop: close the listeners and idle connections, let running exchanges finish (their answers say
        `connection: close`), and after `grace_s` seconds cut off the rest. Gives how many exchanges were cut.

        Idle connections are closed after `linger_s` seconds. Till then a client that is just about to use one finds it
        open, and learns from the answer that it was the last.

        Afterwards nothing of the server runs any more. If this is cancelled, the rest is cut off at once.
        """
        self.draining = True
        self.lingering = linger_s > 0
        self.close_listeners()
        try:
            await self._empties(linger_s)
            self.lingering = False
            for connection in list(self.idle):
                connection.close_idle()
            await self._empties(grace_s)
        finally:
            cut_count = self.exchanges
            for connection in list(self._connections):
                connection.cut_off()
        await asyncio.sleep(0)  # what was accepted just now begins: cancelled before, nobody would close its socket
        for task in self._handshaking:
            task.cancel()
        while ending := {*self._tasks, *(task for task in self._accepting if not task.done())}:
            await asyncio.wait(ending)
        while self._connections:  # an aborted transport says so in a later turn of the loop
            self._empty.clear()
            await self._empty.wait()
        if self._loop is not None:
            self.wheel.close()
        return cut_count

    async def _empties(self, most_s: float) -> None:
        """Until nothing is open, or that time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while self._connections or self._tasks:
                    self._empty.clear()
                    await self._empty.wait()

    def descriptors(self) -> dict[str, int]:
        """The listening sockets, by the address that `listen` was given."""
        return {address: listener.socket.fileno() for address, listener in self._listeners.items()}

    def leave_paths(self) -> None:
        """The paths of unix sockets belong to the next process: they stay when the listeners close."""
        for listener in self._listeners.values():
            listener.unix_path = None

    def close_listeners(self) -> None:
        """Accept no further connection; what is open goes on. Twice is fine."""
        for task in self._accepting:
            task.cancel()

    def statistics(self) -> ServerStatistics:
        """What is going on now."""
        buffered = [connection.buffered_bytes for connection in self._connections]
        return ServerStatistics(
            connections=len(self._connections),
            idle=len(self.idle),
            exchanges=self.exchanges,
            read_buffer_bytes=sum(read for read, _ in buffered),
            write_buffer_bytes=sum(write for _, write in buffered),
            accepted=self._accepted,
            served=self.served,
            refused=self._refused,
            turned_away=self._turned_away,
            starved=self._starved,
            handshakes_failed=self._handshakes_failed,
        )

    # --- accepting ---

    async def _accept(self, listener: Listener, context: ssl.SSLContext | None) -> None:
        loop, in_a_row = asyncio.get_running_loop(), 0
        while True:
            try:
                accepted, address = await _next_connection(loop, listener.socket)
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    if not self._starved:
                        self._note(f"a connection cannot be accepted: {error.strerror}; idle ones are closed for it")
                    self._starved += 1
                    # A closed transport gives its descriptor back within two turns of the loop.
                    await asyncio.sleep(0 if self._close_longest_idle() else _ACCEPT_REST_S)
                    await asyncio.sleep(0)
                elif listener.socket.fileno() < 0:
                    return
                continue  # that client left before it was taken in
            self._accepted += 1
            peer = str(address[0]) if isinstance(address, tuple) else "unix:"
            if self._by_address[peer] >= self.limits.connections_per_address_count and peer != "unix:":
                self._turned_away += 1
                if context is None:
                    with contextlib.suppress(OSError):
                        accepted.send(_TOO_MANY)
                accepted.close()
                await asyncio.sleep(0)
                continue
            try:
                await self._wait_for_room()
            except asyncio.CancelledError:
                accepted.close()
                raise
            self._by_address[peer] += 1
            task = loop.create_task(self._serve(accepted, peer, context))
            self._tasks.add(task)
            self._handshaking.add(task)
            task.add_done_callback(partial(self._task_done, peer, accepted))
            in_a_row += 1
            if in_a_row % _ACCEPTS_A_TURN == 0:
                await asyncio.sleep(0)  # with a full queue accepting would never wait, and nobody else would run

    async def _wait_for_room(self) -> None:
        """With a new connection in hand and as many open as may be: close the one that idles longest, or the first
        one that comes to idle."""
        while len(self._connections) + len(self._handshaking) >= self._connections_most:
            self._room.clear()
            self._is_full = True
            self._close_longest_idle()
            await self._room.wait()
        self._is_full = False

    def _close_longest_idle(self) -> bool:
        """Whether there was one."""
        for connection in self.idle:
            connection.close_idle()
            return True
        return False

    async def _serve(self, accepted: socket.socket, peer: str, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        connection = ServerConnection(self, "http" if context is None else "https", peer)
        task = asyncio.current_task()
        assert task is not None
        try:
            # With TLS, uvloop gives its own protocol back instead of ours.
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=None if context is None else self.timeouts.head_total_s,
            )
        except OSError:  # no TLS, no common version, gone, too slow: nobody to answer
            self._handshakes_failed += 1
            accepted.close()
            return
        finally:
            self._handshaking.discard(task)
        await connection.run(self._handler)

    def _task_done(self, peer: str, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        if task in self._handshaking:  # cancelled before its first step, so that nobody else would
            accepted.close()
        self._by_address[peer] -= 1
        if not self._by_address[peer]:
            del self._by_address[peer]
        self._tasks.discard(task)
        self._handshaking.discard(task)
        self._room.set()
        self._empty.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "serving a connection failed", "exception": error, "task": task}
            )

    # --- what connections tell ---

    def connection_opened(self, connection: ServerConnection) -> None:
        self._connections.add(connection)

    def connection_closed(self, connection: ServerConnection) -> None:
        self._connections.discard(connection)
        self.idle.pop(connection, None)
        self._room.set()
        self._empty.set()

    def connection_idle(self, connection: ServerConnection) -> None:
        self.idle[connection] = None
        if self._is_full:
            self._room.set()

    def refusal(self, method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
        """The answer to what the wire itself refuses."""
        self._refused += 1
        try:
            return self._refuse(method, target, error)
        except Exception as failure:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "refuse() failed", "exception": failure},
            )
            return error.status_hint, [("content-type", "text/plain")], error.message.encode()


async def _next_connection(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> tuple[socket.socket, Any]:
    """The next connection, without an await behind the accepting: a cancellation loses none. (The loop's own
    `sock_accept` drops the socket that it has just accepted when it is cancelled in that turn.)"""
    while True:
        try:
            accepted, address = listening.accept()
        except (BlockingIOError, InterruptedError):
            await _readable(loop, listening)
        else:
            accepted.setblocking(False)
            return accepted, address


async def _readable(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(listening.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(listening.fileno())
