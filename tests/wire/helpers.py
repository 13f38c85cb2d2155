"""What the socket tests share: a server, a raw client, and an upstream that does as it is told.

Nothing here sleeps. Whoever waits, waits for bytes or for an event; `within` only turns a hang into a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import h11

from ds2api.wire.errors import PeerError
from ds2api.wire.origin import Origin
from ds2api.wire.server import Incoming, Server
from ds2api.wire.settings import Limits, Timeouts, TlsServer

HANG_S = 10


def within(seconds: float = HANG_S) -> asyncio.Timeout:
    """Fail rather than hang."""
    return asyncio.timeout(seconds)


def refuse(method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
    return error.status_hint, [("content-type", "text/plain"), ("x-target", target)], error.message.encode("ascii")


async def echo(incoming: Incoming) -> None:
    """Answers with the method, the target and the body."""
    body = await incoming.read_body()
    incoming.respond(200, [("content-type", "text/plain")], f"{incoming.method} {incoming.target} ".encode() + body)


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[Incoming], Awaitable[None]] = echo,
    *,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    address: str = "127.0.0.1:0",
    tls: TlsServer | None = None,
) -> AsyncIterator[tuple[Server, str]]:
    """A server with one listener; afterwards nothing of it may be left."""
    server = Server(handler, refuse, limits=limits or Limits(), timeouts=timeouts or Timeouts())
    bound = await server.listen(address, tls=tls)
    try:
        yield server, bound
    finally:
        async with within():
            await server.drain(0)
        after = server.statistics()
        assert (after.connections, after.exchanges, after.idle) == (0, 0, 0), after


async def dial(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def until_closed(address: str, data: bytes) -> bytes:
    """Send, and read until the server closes."""
    reader, writer = await dial(address)
    async with within():
        writer.write(data)
        answer = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while piece := await reader.read(65_536):
                answer += piece
    await hang_up(writer)
    return bytes(answer)


@dataclass
class Received:
    """One answer as h11, the neutral referee, reads it."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True


class RawClient:
    """A connection on which bytes are sent as they are and answers read by h11."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.rest = b""
        self.hang_s: float = HANG_S

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, address: str) -> AsyncIterator[RawClient]:
        client = cls(*await dial(address))
        try:
            yield client
        finally:
            await hang_up(client.writer)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self, method: str = "GET") -> Received:
        """The next answer; `complete` is false if the connection ended within it."""
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        connection.send(h11.EndOfMessage())
        received = Received(0, {}, b"")
        if self.rest:
            connection.receive_data(self.rest)
            self.rest = b""
        async with within(self.hang_s):
            while True:
                try:
                    event = connection.next_event()
                except h11.RemoteProtocolError:
                    received.complete = False
                    return received
                if event is h11.NEED_DATA:
                    try:
                        connection.receive_data(await self.reader.read(65_536))
                    except ConnectionResetError:
                        received.complete = False
                        return received
                elif isinstance(event, h11.Response):
                    received.status = event.status_code
                    received.headers = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    received.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self.rest = connection.trailing_data[0]
                    return received
                elif isinstance(event, h11.ConnectionClosed):
                    received.complete = False
                    return received

    async def closed(self) -> bytes:
        """What still comes until the server closes."""
        rest = bytearray(self.rest)
        async with within():
            with contextlib.suppress(ConnectionResetError):
                while piece := await self.reader.read(65_536):
                    rest += piece
        return bytes(rest)


def post(path: str = "/", body: bytes = b"", *fields: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: h", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def get(path: str = "/", *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: h", *fields, "", ""]).encode()


@dataclass
class UpstreamRequest:
    """What the scripted upstream read."""

    head: bytes
    body: bytes
    connection: int


# What an upstream does with a request: reads are done, it writes and decides when to close.
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """A server that plays one script a request, in order; the last one again and again."""

    scripts: list[Script]
    requests: list[UpstreamRequest] = field(default_factory=list)
    connections: int = 0
    origin: Origin = field(default_factory=lambda: Origin("http", "127.0.0.1", 0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                body = await reader.readexactly(length)
                self.requests.append(UpstreamRequest(head, body, number))
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                await script(reader, writer)
                await writer.drain()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def says(*pieces: bytes, close: bool = False, reset: bool = False) -> Script:
    """Write `pieces`; then close or reset, or go on."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if reset:
            reset_connection(writer)
        elif close:
            writer.close()

    return script


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Close with an RST instead of a FIN."""
    import socket
    import struct

    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def upstream(*scripts: Script, unix: str | None = None, **server: object) -> AsyncIterator[Upstream]:
    """A scripted upstream on loopback (or a unix socket)."""
    played = Upstream(list(scripts) or [says(OK)])
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # asyncio's streams report a cancelled task as a failure
            await played.serve(reader, writer)
        tasks.discard(task)

    if unix is not None:
        listening = await asyncio.start_unix_server(serve, unix)
        played.origin = Origin("http", "localhost", 80, unix)
    else:
        listening = await asyncio.start_server(serve, "127.0.0.1", 0, **server)  # type: ignore[arg-type]
        port = listening.sockets[0].getsockname()[1]
        played.origin = Origin("https" if server.get("ssl") else "http", "127.0.0.1", port)
    try:
        yield played
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
