"""Plays a row against a server and judges what came of it.

The client is a plain socket and h11, which reads the answers; the upstream records each request that reaches it, word
for word, and answers it at once. After the answers that a row may get, a canary (a request for `/healthz`) goes over
the same connection: if it gets its own answer and nothing else, the connection stood at the border of a message, and
no byte of the row was taken for another request.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import h11
from tests.wire.hostile.rows import Outcome, Row

__all__ = ["ANSWER", "Recorder", "Seen", "faults", "play"]

# For who hangs: no row takes this long in a server that keeps its limits.
HANG_S = 3.0
_READ_BYTES = 65_536
_CANARY = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_BODY = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"y"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
# What no request that is passed on may have: it belongs to the client's connection (RFC 9110 §7.6.1).
_ONE_HOP = frozenset({
    b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy-connection", b"proxy-authorization",
})  # fmt: skip


@dataclass
class Reached:
    """One request as the upstream got it."""

    method: str
    target: str
    fields: list[tuple[bytes, bytes]]
    body: bytes


class Recorder:
    """The upstream. `reached` is what came since it was cleared; `faults` what no proxy may send."""

    def __init__(self) -> None:
        self.reached: list[Reached] = []
        self.faults: list[str] = []
        self.address = ("", 0)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        machine = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
        try:
            while await self._one(machine, reader, writer):
                machine.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self.faults.append(f"what reached the upstream is no HTTP: {error}")
        except (h11.LocalProtocolError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, machine: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = machine.next_event()
            if event is h11.NEED_DATA:
                machine.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                if not (head.method == b"GET" and head.target.endswith(b"/models")):  # the gateway's own question
                    reached = Reached(head.method.decode(), head.target.decode(), list(head.headers), bytes(body))
                    self.reached.append(reached)
                answer = h11.Response(
                    status_code=200, headers=[("content-length", str(len(_BODY))), ("content-type", "application/json")]
                )
                writer.write(machine.send(answer) or b"")
                if head.method != b"HEAD":
                    writer.write(machine.send(h11.Data(data=_BODY)) or b"")
                writer.write(machine.send(h11.EndOfMessage()) or b"")
                return machine.our_state is h11.DONE
            else:
                return False


@dataclass
class Seen:
    """What a client saw: the statuses of the final answers in order, how many 100s, the last answer's head, whether
    the connection ended by itself, whether the canary behind the rest got its own answer, and what was wrong."""

    statuses: list[int] = field(default_factory=list)
    interims: int = 0
    head: bytes = b""
    closed: bool = False
    canary: bool = False
    problems: list[str] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)

    def __str__(self) -> str:
        end = "closed" if self.closed else "open" if self.canary else "HUNG"
        return " ".join([*map(str, self.statuses), end, *([f"+{len(self.reached)}"] if self.reached else [])])


class _Client:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._data = b""

    async def answer(self, seen: Seen, method: str) -> bool:
        """Read one final answer. False at the end of the connection."""
        machine = h11.Connection(h11.CLIENT)
        machine.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        machine.send(h11.EndOfMessage())
        if self._data:
            machine.receive_data(self._data)
        start, ended, status = self._data, False, 0
        while True:
            event = machine.next_event()
            if event is h11.NEED_DATA:
                data = await self._read()
                ended = not data
                if ended and not start:
                    return False
                start += data
                machine.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                seen.interims += 1
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                seen.statuses.append(status)
                seen.head = start.rpartition(b"HTTP/1.1 %d" % status)[2].partition(b"\r\n\r\n")[0].lower()
                self._data = machine.trailing_data[0]
                return True
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return False

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(_READ_BYTES)
        except ConnectionError:
            return b""

    async def rest(self) -> bytes:
        while more := await self._read():
            self._data += more
        return self._data


async def play(row: Row, address: tuple[str, int], recorder: Recorder, *, by_bytes: bool = False) -> Seen:
    """One client sends `row`, in one piece or a byte at a time."""
    recorder.reached.clear()
    recorder.faults.clear()
    reader, writer = await asyncio.open_connection(*address)
    seen = Seen()
    client = _Client(reader)
    most = max(len(outcome.answers) for outcome in row.outcomes)
    sending = asyncio.ensure_future(_send(writer, row, by_bytes))
    try:
        async with asyncio.timeout(HANG_S):
            while len(seen.statuses) < most and not seen.closed:
                method = row.methods[len(seen.statuses)] if len(seen.statuses) < len(row.methods) else "POST"
                seen.closed = not await client.answer(seen, method)
            if not seen.closed:
                await _look_behind(row, client, writer, seen, sending)
    except TimeoutError:
        seen.problems.append("it hangs")
    except h11.RemoteProtocolError as error:
        seen.problems.append(f"what came is no HTTP answer: {error}")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
        await asyncio.sleep(0)
    seen.reached = list(recorder.reached)
    seen.problems += recorder.faults
    return seen


async def _look_behind(
    row: Row, client: _Client, writer: asyncio.StreamWriter, seen: Seen, sending: asyncio.Future[None]
) -> None:
    """Whether the connection ends, or goes on with the next message."""
    if row.is_slow or row.ends or b"connection: close" in seen.head:
        rest = await client.rest()
        seen.closed = True
        if rest:
            seen.problems.append(f"{len(rest)} bytes came behind the last answer")
        return
    with contextlib.suppress(ConnectionError):
        await sending
        writer.write(_CANARY)
    behind = Seen()
    if not await client.answer(behind, "GET"):
        seen.closed = True
        return
    seen.canary = behind.statuses == [200]
    if rest := await client.rest():
        seen.problems.append(f"{len(rest)} bytes came behind the canary's answer")


async def _send(writer: asyncio.StreamWriter, row: Row, by_bytes: bool) -> None:
    with contextlib.suppress(ConnectionError):
        step = 1 if by_bytes and len(row.data) < 4_000 else 997 if by_bytes else max(1, len(row.data))
        for at in range(0, len(row.data), step):
            writer.write(row.data[at : at + step])
            if by_bytes:
                await asyncio.sleep(0)
        await writer.drain()
        if row.ends:
            writer.write_eof()


def faults(row: Row, seen: Seen) -> list[str]:
    """Why what was seen is none of the row's right outcomes. Empty: it is one."""
    best = min((_unlike(row, outcome, seen) for outcome in row.outcomes), key=len)
    return seen.problems + best


def _unlike(row: Row, outcome: Outcome, seen: Seen) -> list[str]:
    found = []
    wanted = " ".join("/".join(map(str, one)) for one in outcome.answers) or "no answer"
    fits = len(seen.statuses) == len(outcome.answers) and all(
        status in right for status, right in zip(seen.statuses, outcome.answers, strict=True)
    )
    if not fits:
        found.append(f"answers {seen.statuses}, wanted {wanted}")
    if outcome.closes is True and not seen.closed:
        found.append("the connection stays open")
    if outcome.closes is False and not seen.canary:
        found.append("the connection does not go on")
    if outcome.closes is None and not (seen.closed or seen.canary):
        found.append("the connection neither ends nor goes on")
    bodies = [one.body for one in seen.reached]
    if bodies != list(outcome.bodies):
        found.append(f"{len(bodies)} requests reached the upstream, wanted {len(outcome.bodies)}, word for word")
    for one in seen.reached:
        names = {name for name, _ in one.fields}
        if gone := names & (_ONE_HOP | {name.encode() for name in row.absent if name != "connection"}):
            found.append(f"passed on: {', '.join(name.decode() for name in gone)}")
        if any(b"of-the-client" in value for _, value in one.fields):
            found.append("passed on: the client's key")
        if row.target and one.target != row.target:
            found.append(f"passed on as {one.target}")
    if row.interims is not None and row.interims != seen.interims:
        found.append(f"{seen.interims} interim answers, wanted {row.interims}")
    found += [f"no {line.decode()!r} in the answer's head" for line in row.head if b"\r\n" + line not in seen.head]
    return found
