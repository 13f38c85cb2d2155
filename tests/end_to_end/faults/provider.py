"""A provider on a raw socket that does as a fault says: bytes, silence, and ends of the connection.

Each fault is a function of what would be the right answer (`Right`) to a list of steps. The first segment of the target
says which fault is played, so that one provider stands for all.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.end_to_end.faults.speech import pieces_of, whole_of

__all__ = ["CLOSE", "HOLD", "RESET", "Drip", "Provider", "Right", "Step"]

_READ_BYTES = 65_536
# A bound, so that a provider that nobody reads from ends: no fault is played for longer.
_PLAY_S = 15.0


@dataclass(frozen=True)
class _Mark:
    name: str


HOLD = _Mark("silence until the gateway leaves or asks again")
CLOSE = _Mark("a polite end")
RESET = _Mark("a reset")


@dataclass(frozen=True)
class Drip:
    """`data` in pieces of `size` bytes, each after `pause_s`, again and again if it is `endless`; until the gateway leaves."""

    data: bytes
    size: int = 1
    pause_s: float = 0.0
    endless: bool = False


Step = bytes | _Mark | Drip


@dataclass
class Right:
    """The right answer to the request that came, to be spoilt."""

    dialect: str
    stream: bool
    text: str
    key: str = ""  # what the request was authenticated with
    trap: str = ""  # the URL of another origin, where nobody may come
    pieces: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.pieces = pieces_of(self.dialect, self.text) if self.stream else [whole_of(self.dialect, self.text)]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def media_type(self) -> str:
        if not self.stream:
            return "application/json"
        return "application/x-ndjson" if self.dialect == "ollama" else "text/event-stream"

    def head(self, *fields: str, line: str = "HTTP/1.1 200 OK", media_type: str | None = None) -> bytes:
        typed = self.media_type if media_type is None else media_type
        lines = [line, *([f"content-type: {typed}"] if typed else []), *fields, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def sized(
        self, *fields: str, body: bytes | None = None, line: str = "HTTP/1.1 200 OK", media_type: str | None = None
    ) -> bytes:
        """A whole answer with a length."""
        data = self.body if body is None else body
        return self.head(f"content-length: {len(data)}", *fields, line=line, media_type=media_type) + data

    def chunked(self, *fields: str, body: bytes | None = None, last: bytes = b"0\r\n\r\n") -> bytes:
        data = self.body if body is None else body
        return self.head("transfer-encoding: chunked", *fields) + chunk(data) + last

    def event(self, data: bytes) -> bytes:
        """`data` as one event of a stream."""
        return data + b"\n" if self.dialect == "ollama" else b"data: " + data + b"\n\n"

    @property
    def content_at(self) -> int:
        """The index of the first piece behind the first half of the text."""
        half = self.text[: len(self.text) // 2].encode()
        return next(index for index, piece in enumerate(self.pieces) if half in piece) + 1

    def before(self) -> bytes:
        """Up to the first half of the text (of an answer in one piece: half of its bytes)."""
        return b"".join(self.pieces[: self.content_at]) if self.stream else self.body[: len(self.body) // 2]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class Playable(Protocol):
    name: str

    def steps(self, right: Right) -> Sequence[Step]: ...


@dataclass
class Asked:
    """One request that came."""

    target: str
    head: bytes
    body: bytes
    connection: int


class Provider:
    """Enter it on a loop. `play` tells the fault and the right answer for a request, None for a question that is none
    of the table's (the model list)."""

    def __init__(self, play: Callable[[str], tuple[Playable, Right] | None]) -> None:
        self._play = play
        self.asked: list[Asked] = []
        self.listed = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=2_000)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of its own: asyncio reports one of its streams' that is cancelled as a failure.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait([task])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        try:
            async with asyncio.timeout(_PLAY_S):
                while await self._one(reader, writer, number):
                    pass
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except RuntimeError:  # uvloop's word for writing to what the gateway has closed
            pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode()
        found = self._play(target)
        lines = dict(line.split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
        if found is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            self.listed += 1
            return False
        fault, right = found
        right.key = next(
            (
                lines[name].decode().removeprefix("Bearer ")
                for name in (b"authorization", b"x-api-key", b"x-goog-api-key")
                if name in lines
            ),
            "",
        )
        is_early = getattr(fault, "is_early", False)
        body = b"" if is_early else await reader.readexactly(int(lines.get(b"content-length", b"0")))
        self.asked.append(Asked(target, head, body, number))
        for step in fault.steps(right):
            if not await self._take(step, reader, writer):
                return False
        return True

    async def _take(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
            return True
        if isinstance(step, Drip):
            while True:
                for at in range(0, len(step.data), step.size):
                    if writer.is_closing() or reader.at_eof():
                        return False
                    await asyncio.sleep(step.pause_s)
                    writer.write(step.data[at : at + step.size])
                    await writer.drain()
                if not step.endless:
                    return True
        if step is HOLD:
            await writer.drain()
            await reader.read(_READ_BYTES)  # the end, or a next request, which is answered by hanging up
        elif step is RESET:
            await writer.drain()
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()
        return False
