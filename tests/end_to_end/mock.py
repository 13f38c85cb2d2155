"""A strict upstream that does what a test says: raw asyncio streams and h11, nothing of `ds2api.wire`.

It records every request (head, body, connection), checks it with the dialects' `strict.check`, and answers from a
script: one `Reply` a request, in order, or what a function says. A reply is a head and steps: bytes leave at once,
`Hold` waits for the test, `Cut` and `Reset` end the connection in the two ways that networks know. It runs on the
loop of `harness.Thread`; tests look at it from their own thread, and what they wait for are events.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import h11
from tests.dialects.chat import strict as chat_strict
from tests.dialects.gemini import strict as gemini_strict
from tests.dialects.messages import strict as messages_strict
from tests.dialects.mistral import strict as mistral_strict
from tests.dialects.ollama import strict as ollama_strict
from tests.dialects.responses import strict as responses_strict
from tests.end_to_end.harness import Thread

__all__ = ["Cut", "Hold", "Mock", "Received", "Reply", "Reset", "Step", "dialect_of", "faults_of", "mock_upstream"]

# What stands between host and the dialect's own paths: chat and Mistral share one path, so Mistral's stands apart.
BASES = {"gemini": "/v1beta", "ollama": "/api", "mistral": "/mistral/v1"}
_GEMINI_DOOR = re.compile(r"/v1(?:beta)?/models/[^/:]+:(?:generateContent|streamGenerateContent(?:\?alt=sse)?)")
_BESIDE = ("/count_tokens", "/embeddings", "/api/embed", ":batchEmbedContents", ":countTokens", "/input_tokens")


def dialect_of(target: str) -> str | None:
    """Whose generate request goes to `target`; None: nobody's."""
    if _GEMINI_DOOR.fullmatch(target):
        return "gemini"
    if target in ("/api/chat", "/api/generate"):
        return "ollama"
    if target.endswith("/fim/completions"):
        return "mistral"
    if target.endswith("/chat/completions"):
        return "mistral" if target.startswith("/mistral/") else "chat"
    return next((name for name in ("messages", "responses") if target.endswith(f"/{name}")), None)


# A bound for every wait: an event that does not come in this time never comes.
WAIT_S = 20.0


class Hold:
    """A step that waits until the test calls `release`, or until the gateway leaves."""

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reached = threading.Event()
        self._early = False

    def release(self) -> None:
        self._early = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._released.set)

    def wait_reached(self) -> None:
        assert self.reached.wait(WAIT_S), "the mock never came to this step"

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._early:
            self._released.set()
        self.reached.set()
        await self._released.wait()


class Cut:
    """A step that closes the connection politely (FIN)."""


class Reset:
    """A step that closes the connection rudely (RST)."""


Step = bytes | Hold | Cut | Reset


@dataclass
class Reply:
    """An answer. `framing`: "length" (of all bytes together), "chunked", or "close" (the body ends with the
    connection). Without a Cut or Reset the connection stays open for the next request, as far as framing lets it;
    `close_after` closes it although the head does not say so."""

    status: int = 200
    steps: Sequence[Step] = ()
    headers: Sequence[tuple[str, str]] = ()
    framing: str = "chunked"
    close_after: bool = False
    before_head: Sequence[Hold | Cut | Reset] = ()

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Reply:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return cls(status, [body], [("content-type", "application/json"), *headers], "length")

    @classmethod
    def sse(cls, *steps: Step, headers: Sequence[tuple[str, str]] = ()) -> Reply:
        return cls(200, steps, [("content-type", "text/event-stream"), *headers])


@dataclass
class Received:
    """One request as it came, and what became of its connection."""

    number: int
    connection: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    faults: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    gone: threading.Event = field(default_factory=threading.Event)  # the gateway closed the connection

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} came twice"
        return found[0] if found else None

    @property
    def key(self) -> str:
        return self.header("x-api-key") or (self.header("authorization") or "").removeprefix("Bearer ")

    def wait_gone(self) -> None:
        assert self.gone.wait(WAIT_S), "the gateway kept its upstream connection"


def faults_of(received: Received) -> list[str]:
    """Why the provider of the dialect that `received` speaks would refuse it."""
    body = json.loads(received.body)
    match dialect_of(received.target):
        case "chat":
            return chat_strict.check(body)
        case "responses":
            return responses_strict.check(body)
        case "gemini":
            return gemini_strict.check(body, received.target)
        case "ollama":
            return ollama_strict.check(body, received.target)
        case "mistral":
            return mistral_strict.check(body, received.target)
        case "messages":
            version = received.header("anthropic-version")
            if version is None:
                return ["anthropic-version is missing"]
            return messages_strict.check(body, version=version, beta=received.header("anthropic-beta") is not None)
        case _:
            return [] if received.target.endswith(_BESIDE) else [f"no such path: {received.target}"]


Script = Callable[[Received], Reply]


class Mock:
    """Enter on a loop. `received` grows by one for each generate request; list requests are answered by `models`
    and kept apart in `listed`."""

    def __init__(self, script: Script | None = None, *, is_strict: bool = True, send_buffer_bytes: int = 0) -> None:
        self.replies: deque[Reply] = deque()
        self.received: list[Received] = []
        self.listed: list[Received] = []
        # The gateway asks when it starts; on a connection of its own, so that the first request's one is fresh.
        listing = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}], "has_more": False}).encode()
        self.models = Reply(200, [listing], [("content-type", "application/json")], "close")
        self.connection_count = 0
        self.arrived = threading.Condition()
        self.problems: list[str] = []
        self.url = ""
        self._script = script
        self._is_strict = is_strict
        self._send_buffer_bytes = send_buffer_bytes
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def then(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    def wait_for(self, count: int) -> list[Received]:
        """Until `count` generate requests have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, WAIT_S), "no request came"
            return self.received[:count]

    async def __aenter__(self) -> Mock:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that was accepted in this very turn is ours four turns later: accepted, its transport made, its
        # protocol told, its task begun. (The gateway asks for the list of models as it starts; a short test is over then.)
        for _ in range(10):
            for writer in self._writers:
                writer.transport.abort()  # whoever holds or waits sees the end, and ends
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(0)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connection_count += 1
        if self._send_buffer_bytes:
            socket_ = writer.get_extra_info("socket")
            socket_.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
            writer.transport.set_write_buffer_limits(high=self._send_buffer_bytes)
        connection = _Connection(self, self.connection_count, reader, writer)
        try:
            await connection.serve()
        except ConnectionError:
            pass  # the gateway left: `gone` tells
        except h11.RemoteProtocolError as error:
            self.problems.append(f"the gateway broke HTTP: {error}")
        finally:
            connection.over()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.discard(task)
            self._writers.discard(writer)

    def record(self, received: Received) -> None:
        is_generate = received.method == "POST"
        if is_generate and self._is_strict:
            received.faults = faults_of(received)
        with self.arrived:
            received.number = len(self.received)
            (self.received if is_generate else self.listed).append(received)
            self.arrived.notify_all()

    def url_of(self, dialect: str) -> str:
        """The base URL under which this mock is an upstream of `dialect`."""
        return self.url.removesuffix("/v1") + BASES.get(dialect, "/v1")

    def reply_to(self, received: Received) -> Reply:
        if received.method != "POST":
            return self.models
        if received.faults:
            message = "; ".join(received.faults)
            self.problems.append(message)
            return Reply.json({"type": "error", "error": {"type": "invalid_request_error", "message": message}}, 400)
        if self._script is not None:
            return self._script(received)
        return self.replies.popleft()


class _Connection:
    def __init__(self, mock: Mock, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mock = mock
        self._number = number
        self._reader = reader
        self._writer = writer
        self._machine = h11.Connection(h11.SERVER)
        self._received: list[Received] = []
        self._is_over = False
        self._watch: asyncio.Task[bytes] | None = None

    def over(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for received in self._received:
            received.gone.set()

    async def serve(self) -> None:
        while (received := await self._request()) is not None:
            self._received.append(received)
            self._mock.record(received)
            if not await self._answer(received, self._mock.reply_to(received)):
                return
            self._received.clear()
            if self._machine.our_state is h11.MUST_CLOSE:
                return
            self._machine.start_next_cycle()

    async def _request(self) -> Received | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._machine.next_event()
            if event is h11.NEED_DATA:
                data = await self._watch if self._watch is not None else await self._reader.read(65536)
                self._watch = None
                self._machine.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = [(name.decode(), value.decode()) for name, value in head.headers]
                return Received(0, self._number, head.method.decode(), head.target.decode(), headers, bytes(body))
            else:
                return None

    async def _answer(self, received: Received, reply: Reply) -> bool:
        """Whether the connection goes on."""
        self._watch = asyncio.ensure_future(self._reader.read(65536))  # sees the gateway leave while we hold
        for step in reply.before_head:
            if not await self._take(step, received):
                return False
        headers: list[tuple[str, str]] = list(reply.headers)
        if reply.framing == "length":
            total = sum(len(step) for step in reply.steps if isinstance(step, bytes))
            headers.append(("content-length", str(total)))
        elif reply.framing == "chunked":
            headers.append(("transfer-encoding", "chunked"))
        else:
            headers.append(("connection", "close"))
        await self._write(self._machine.send(h11.Response(status_code=reply.status, headers=headers)), received)
        for step in reply.steps:
            if isinstance(step, bytes):
                if step:
                    await self._write(self._machine.send(h11.Data(data=step)), received)
            elif not await self._take(step, received):
                return False
        await self._write(self._machine.send(h11.EndOfMessage()), received)
        return not reply.close_after and reply.framing != "close"

    async def _write(self, data: bytes | None, received: Received) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()
            received.sent_bytes += len(data)

    async def _take(self, step: Hold | Cut | Reset, received: Received) -> bool:
        if isinstance(step, Hold):
            held = asyncio.ensure_future(step.wait())
            assert self._watch is not None
            await asyncio.wait({held, self._watch}, return_when=asyncio.FIRST_COMPLETED)
            is_gone = not held.done()
            held.cancel()
            if is_gone:
                received.gone.set()
            return not is_gone
        if isinstance(step, Reset):
            socket_ = self._writer.get_extra_info("socket")
            socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        return False


@contextmanager
def mock_upstream(script: Script | None = None, **options: Any) -> Iterator[Mock]:
    """A mock on a loop of its own. What it found wrong fails the test at the end."""
    thread = Thread()
    try:
        mock = thread.enter(Mock(script, **options))
        yield mock
        assert mock.problems == []
    finally:
        thread.close()
