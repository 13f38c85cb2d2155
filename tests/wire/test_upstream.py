"""The upstream client against upstreams that behave, break, stall and lie."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.wire.helpers import OK, Upstream, says, upstream, within

from ds2api.wire.errors import (
    AnswerTooLarge,
    BrokenAnswer,
    ConnectFailed,
    Disconnected,
    FirstByteTimeout,
    LocalError,
    PeerError,
    ReadTimeout,
)
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.upstream import Answer, Client, Origin

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def client(limits: Limits | None = None, timeouts: Timeouts | None = None) -> AsyncIterator[Client]:
    made = Client(limits=limits or Limits(), timeouts=timeouts or Timeouts())
    try:
        yield made
    finally:
        made.close()
        async with within():
            while made.statistics().open:
                await asyncio.sleep(0)


async def fetch(sender: Client, server: Upstream, body: bytes = b"", method: str = "POST") -> tuple[Answer, bytes]:
    async with within():
        answer = await sender.send(server.origin, method, "/p", [], body)
        try:
            return answer, await answer.read()
        finally:
            answer.close()


class Collected:
    """What `stream` hands over."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[PeerError | None] = []
        self.over = asyncio.Event()

    def on_data(self, data: bytes) -> None:
        assert not self.ends, "data behind the end"
        self.pieces.append(data)

    def on_end(self, error: PeerError | None) -> None:
        self.ends.append(error)
        self.over.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    async def end(self) -> PeerError | None:
        async with within():
            await self.over.wait()
        assert len(self.ends) == 1
        return self.ends[0]


async def stream(sender: Client, server: Upstream) -> Collected:
    async with within():
        answer = await sender.send(server.origin, "POST", "/", [], b"")
    collected = Collected()
    answer.stream(collected.on_data, collected.on_end)
    await collected.end()
    answer.close()
    return collected


# --- what is sent ---


async def test_a_request_as_the_upstream_sees_it() -> None:
    async with upstream() as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/v1/x?y=z", [("authorization", "Bearer k")], b"body")
        assert (answer.status, answer.http_version, answer.reused, answer.retried) == (200, "1.1", False, False)
        assert await answer.read() == b"ok"
        answer.close()
        seen = server.requests[0]
        assert seen.body == b"body"
        port = server.origin.port
        assert (
            seen.head
            == (
                f"POST /v1/x?y=z HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 4\r\nauthorization: Bearer k\r\n\r\n"
            ).encode()
        )


@pytest.mark.parametrize(("method", "says_length"), [("GET", False), ("HEAD", False), ("POST", True), ("PUT", True)])
async def test_no_body_is_said_where_one_could_be(method: str, says_length: bool) -> None:
    async with upstream(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as server, client() as sender:
        assert (await fetch(sender, server, method=method))[1] == b""
        assert (b"content-length: 0" in server.requests[0].head) is says_length


@pytest.mark.parametrize(
    ("headers", "target"),
    [([("x", "a\r\nb: c")], "/"), ([("x\n", "a")], "/"), ([("host", "h")], "/"), ([], "/a b"), ([], "http://h/")],
)
async def test_what_must_not_stand_in_a_head_is_never_sent(headers: list[tuple[str, str]], target: str) -> None:
    async with upstream() as server, client() as sender:
        with pytest.raises(LocalError):
            await sender.send(server.origin, "POST", target, headers, b"")
        assert server.connections == 0


async def test_small_writes_are_not_held_back_by_the_kernel() -> None:
    async with upstream() as server, client() as sender:
        await fetch(sender, server)
        transport = next(iter(sender._pool._open))._transport
        assert transport is not None
        raw = transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    async with upstream() as server, client() as sender:
        await fetch(sender, server, body)
        assert server.requests[0].body == body


# --- what is read ---


@pytest.mark.parametrize(
    ("wire", "body", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nsum: 1\r\n\r\n", b"hello", True),
        (CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 302 Found\r\nlocation: http://other/\r\ncontent-length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
    ],
)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "bytes"])
async def test_answers_and_what_becomes_of_the_connection(wire: bytes, body: bytes, kept: bool, cut: bool) -> None:
    pieces = [bytes([byte]) for byte in wire] if cut else [wire]
    async with upstream(says(*pieces)) as server, client() as sender:
        answer, got = await fetch(sender, server)
        assert got == body
        assert answer.status == int(wire[9:12])
        assert sender.statistics().idle == int(kept)
        again, _ = await fetch(sender, server)
        assert again.reused is kept
        assert server.connections == (1 if kept else 2)


async def test_a_body_that_ends_with_its_connection() -> None:
    async with upstream(says(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", close=True)) as server, client() as sender:
        assert (await fetch(sender, server))[1] == b"hello"
        assert (await stream(sender, server)).ends == [None]
        assert sender.statistics().idle == 0


async def test_interim_answers_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    async with upstream(says(interim, OK)) as server, client() as sender:
        answer, body = await fetch(sender, server)
        assert (answer.status, body) == (200, b"ok")
        assert sender.statistics().idle == 1


async def test_a_storm_of_interim_answers_is_broken() -> None:
    async with upstream(says(b"HTTP/1.1 102 Processing\r\n\r\n" * 50, OK)) as server, client() as sender:
        with pytest.raises(BrokenAnswer, match="interim_count"):
            await fetch(sender, server)
        assert sender.statistics().open == 0 or sender.statistics().idle == 0


async def test_an_answer_to_head() -> None:
    async with upstream(says(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")) as server, client() as sender:
        assert (await fetch(sender, server, method="HEAD"))[1] == b""
        assert sender.statistics().idle == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 40_000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
        CHUNKED + b"2\nok\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\ncontent-length: 5\r\n\r\n",
    ],
)
async def test_broken_answers_are_named_and_never_pooled(wire: bytes) -> None:
    async with upstream(says(wire)) as server, client() as sender:
        with pytest.raises(BrokenAnswer) as broken:
            await fetch(sender, server)
        assert broken.value.status_hint == 502
        assert broken.value.phase in ("head", "body")
        assert sender.statistics().idle == 0
        assert server.connections == 1


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "wire",
    [CHUNKED, CHUNKED + b"5\r\nhel", CHUNKED + b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"],
)
async def test_a_cut_body_is_never_an_end(wire: bytes, reset: bool) -> None:
    """R134."""
    async with upstream(says(wire, close=True, reset=reset)) as server, client() as sender:
        with pytest.raises(Disconnected) as cut:
            await fetch(sender, server)
        assert cut.value.answer_began
        assert cut.value.phase == "body" or reset
        if not reset:
            collected = await stream(sender, server)
            assert isinstance(collected.ends[0], Disconnected)


async def test_a_reset_is_no_end_of_a_body_that_ends_with_its_connection() -> None:
    async with upstream(says(b"HTTP/1.1 200 OK\r\n\r\nhello", reset=True)) as server, client() as sender:
        with pytest.raises(Disconnected):
            await fetch(sender, server)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_new_connection_that_is_closed_in_the_head(wire: bytes, reset: bool) -> None:
    async with upstream(says(wire, close=True, reset=reset)) as server, client() as sender:
        with pytest.raises(Disconnected) as gone:
            await fetch(sender, server)
        assert not gone.value.reused
        assert gone.value.answer_began is (bool(wire) and not (reset and not gone.value.answer_began))
        assert server.connections == 1


# --- codings nobody asked for ---


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(b"text" * 99, mtime=0)), ("deflate", zlib.compress(b"text" * 99))],
)
async def test_unasked_compression_is_undone(coding: str, packed: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    async with upstream(says(head, packed[:9], packed[9:])) as server, client() as sender:
        assert (await fetch(sender, server))[1] == b"text" * 99
        assert (await stream(sender, server)).body == b"text" * 99
        assert sender.statistics().idle == 1


@pytest.mark.parametrize(
    ("coding", "packed", "error"),
    [
        ("gzip", gzip.compress(b"\0" * 5_000_000, mtime=0), AnswerTooLarge),
        ("gzip", b"corrupt", BrokenAnswer),
        ("gzip", gzip.compress(b"text", mtime=0)[:-3], BrokenAnswer),
        ("br", b"text", BrokenAnswer),
    ],
)
async def test_bad_compression_is_an_error_of_the_body(coding: str, packed: bytes, error: type[PeerError]) -> None:
    head = f"HTTP/1.1 429 Slow\r\ncontent-encoding: {coding}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    async with upstream(says(head + packed)) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        assert answer.status == 429
        with pytest.raises(error):
            await answer.read()
        answer.close()
        assert isinstance((await stream(sender, server)).ends[0], error)


async def test_an_answer_has_a_limit() -> None:
    long = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
    async with upstream(says(long)) as server, client() as sender:
        answer = await sender.send(server.origin, "GET", "/", [], b"")
        with pytest.raises(AnswerTooLarge, match="larger than 1000 bytes"):
            await answer.read(1_000)
        answer.close()
        answer = await sender.send(server.origin, "GET", "/", [], b"")
        assert len(await answer.read(100_000)) == 100_000


# --- kept connections ---


async def test_a_kept_connection_closed_at_reuse_is_replaced_unseen() -> None:
    """R132, when the end comes with the request: the first script closes instead of answering the second one."""
    for reset in (False, True):
        async with upstream(says(OK), says(close=True, reset=reset), says(OK)) as server, client() as sender:
            await fetch(sender, server)
            answer, body = await fetch(sender, server, b"again")
            assert (answer.status, body) == (200, b"ok")
            assert (answer.retried, answer.reused) == (True, False)
            assert sender.statistics().retried == 1
            assert [request.body for request in server.requests] == [b"", b"again", b"again"]
            assert server.connections == 2


async def test_a_retry_is_made_once_and_on_a_new_connection_only() -> None:
    async with upstream(says(OK), says(close=True)) as server, client() as sender:
        await fetch(sender, server)
        with pytest.raises(Disconnected) as gone:
            await fetch(sender, server)
        assert not gone.value.reused
        assert len(server.requests) == 3


async def test_no_retry_once_an_answer_began() -> None:
    async with upstream(says(OK), says(b"HTTP/1.1 2", close=True), says(OK)) as server, client() as sender:
        await fetch(sender, server)
        with pytest.raises(Disconnected) as gone:
            await fetch(sender, server)
        assert gone.value.answer_began
        assert gone.value.reused
        assert len(server.requests) == 2


async def test_a_connection_that_closes_while_idle_is_gone_from_the_pool() -> None:
    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with upstream(answer_and_close) as server, client() as sender:
        await fetch(sender, server)
        async with within():
            while sender.statistics().open:
                await asyncio.sleep(0)
        answer, _ = await fetch(sender, server)
        assert not answer.retried
        assert sender.statistics().retried == 0


async def test_a_second_answer_on_an_idle_connection_reaches_nobody() -> None:
    """R161: whether it comes with the first answer or after it."""
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"
    speak = asyncio.Event()

    async def speaks_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await speak.wait()
        writer.write(evil)

    async with upstream(says(OK + evil), speaks_later, says(OK)) as server, client() as sender:
        assert (await fetch(sender, server))[1] == b"ok"
        assert sender.statistics().idle == 0
        assert (await fetch(sender, server))[1] == b"ok"
        assert sender.statistics().idle == 1
        speak.set()
        async with within():
            while sender.statistics().open:
                await asyncio.sleep(0)
        assert sender.statistics().spoke == 2
        answer, body = await fetch(sender, server)
        assert (body, answer.reused, answer.retried) == (b"ok", False, False)


@pytest.mark.parametrize("wire", [CHUNKED + b"5\r\nhel", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel"])
async def test_an_abandoned_answer_is_never_pooled(wire: bytes) -> None:
    """R161: the next request must not read the tail of the former answer."""
    async with upstream(says(wire), says(OK)) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        answer.close()
        answer.close()
        assert sender.statistics().idle == 0
        _, body = await fetch(sender, server)
        assert body == b"ok"
        assert server.connections == 2


async def test_an_answer_before_the_request_was_sent_ends_the_connection() -> None:
    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.get_running_loop().create_future()

    started: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        started.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await answer_early(reader, writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1_000)
    origin = Origin("http", "127.0.0.1", listening.sockets[0].getsockname()[1])
    async with client() as sender:
        async with within():
            answer = await sender.send(origin, "POST", "/", [], b"x" * 30_000_000)
            assert (answer.status, await answer.read()) == (413, b"no")
        answer.close()
        assert sender.statistics().idle == 0
    listening.close()
    for task in started:
        task.cancel()
    await asyncio.wait(started)


async def test_the_last_used_connection_is_used_next_and_the_stack_is_bounded() -> None:
    async with upstream(says(OK)) as server, client(Limits(upstream_idle_count=2)) as sender:
        first = await asyncio.gather(*(fetch(sender, server) for _ in range(4)))
        assert not any(answer.reused for answer, _ in first)
        assert sender.statistics().idle == 2
        kept = [connection for stack in sender._pool._stacks.values() for connection in stack]
        await fetch(sender, server)
        assert [connection for stack in sender._pool._stacks.values() for connection in stack] == kept
        taken = sender._pool.take(server.origin)
        assert taken is kept[-1]
        taken.close()


async def test_an_unused_connection_is_closed_in_time() -> None:
    async with upstream() as server, client(timeouts=Timeouts(upstream_keepalive_idle_s=0.03)) as sender:
        await fetch(sender, server)
        assert sender.statistics().idle == 1
        async with within():
            while sender.statistics().open:
                await asyncio.sleep(0.01)


async def test_origins_do_not_share_connections() -> None:
    async with upstream() as one, upstream() as two, client() as sender:
        await fetch(sender, one)
        await fetch(sender, two)
        assert (one.connections, two.connections, sender.statistics().idle) == (1, 1, 2)


async def test_a_unix_socket(tmp_path: Path) -> None:
    async with upstream(unix=str(tmp_path / "s")) as server, client() as sender:
        await fetch(sender, server)
        answer, body = await fetch(sender, server)
        assert (answer.reused, body) == (True, b"ok")
        assert b"host: localhost\r\n" in server.requests[0].head


# --- deadlines and cancellation ---


async def test_silence_is_a_first_byte_timeout() -> None:
    async with upstream(says(b"")) as server, client() as sender:
        with pytest.raises(FirstByteTimeout) as late:
            async with within():
                await sender.send(server.origin, "POST", "/", [], b"", first_byte_idle_s=0.03)
        assert (late.value.phase, late.value.status_hint) == ("head", 504)


async def test_an_upstream_that_does_not_read_is_a_timeout_of_sending() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(1)

    writers: list[asyncio.StreamWriter] = []
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1_000)
    origin = Origin("http", "127.0.0.1", listening.sockets[0].getsockname()[1])
    async with client() as sender:
        with pytest.raises(FirstByteTimeout) as late:
            async with within():
                await sender.send(origin, "POST", "/", [], b"x" * 30_000_000, first_byte_idle_s=0.2)
        assert late.value.phase == "send"
    listening.close()
    for writer in writers:
        writer.close()


async def test_an_interim_answer_is_a_sign_of_life() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(4):  # longer than the limit in all, never silent for it
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.05)
        writer.write(OK)

    async with upstream(slow) as server, client() as sender, within():
        answer = await sender.send(server.origin, "POST", "/", [], b"", first_byte_idle_s=0.15)
        assert await answer.read() == b"ok"


async def test_half_a_head_is_a_read_timeout() -> None:
    impatient = Timeouts(head_total_s=0.03)
    async with upstream(says(b"HTTP/1.1 200 OK\r\nx")) as server, client(timeouts=impatient) as sender:
        with pytest.raises(ReadTimeout) as late:
            await fetch(sender, server)
        assert late.value.phase == "head"


async def test_half_a_body_is_a_read_timeout() -> None:
    async with upstream(says(CHUNKED + b"5\r\nhel")) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"", first_byte_idle_s=0.03)
        with pytest.raises(ReadTimeout) as late:
            async with within():
                await answer.read()
        assert late.value.phase == "body"
        assert sender.statistics().idle == 0


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200 OK\r\nx", CHUNKED + b"5\r\nhel"])
async def test_a_cancelled_request_closes_its_connection(wire: bytes) -> None:
    closed = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        await reader.read()
        closed.set()
        writer.close()

    async with upstream(watch) as server, client() as sender:
        task = asyncio.ensure_future(fetch(sender, server))
        async with within():
            while not server.requests:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await closed.wait()


async def test_closing_the_client_ends_what_waits() -> None:
    async with upstream(says(b"")) as server:
        sender = Client(limits=Limits(), timeouts=Timeouts())
        task = asyncio.ensure_future(sender.send(server.origin, "POST", "/", [], b""))
        async with within():
            while not server.requests:
                await asyncio.sleep(0)
            sender.close()
            sender.close()
            with pytest.raises(Disconnected):
                await task
        with pytest.raises(LocalError):
            await sender.send(server.origin, "POST", "/", [], b"")


async def test_nobody_listens() -> None:
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    async with client() as sender:
        with pytest.raises(ConnectFailed) as failed:
            await sender.send(Origin("http", "127.0.0.1", port), "POST", "/", [], b"")
        assert failed.value.phase == "connect"
        assert f"http://127.0.0.1:{port}" in failed.value.message
        assert sender.statistics().open == 0


# --- streaming ---


async def test_one_callback_a_read_and_what_came_with_the_head_at_once() -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"1\r\na\r\n1\r\nb\r\n")
        await go_on.wait()
        writer.write(b"1\r\nc\r\n1\r\nd\r\n0\r\n\r\n")

    async with upstream(script) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        collected = Collected()
        answer.stream(collected.on_data, collected.on_end)
        if not collected.pieces:  # the chunks came behind the head
            async with within():
                while not collected.pieces:
                    await asyncio.sleep(0)
        assert collected.pieces == [b"ab"]
        with pytest.raises(LocalError):
            answer.stream(collected.on_data, collected.on_end)
        go_on.set()
        assert await collected.end() is None
        assert collected.pieces == [b"ab", b"cd"]
        assert sender.statistics().idle == 1
        answer.close()
        assert sender.statistics().idle == 1


async def test_no_callback_after_close() -> None:
    async with upstream(says(CHUNKED + b"1\r\na\r\n")) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        collected = Collected()

        def take_and_close(data: bytes) -> None:
            collected.on_data(data)
            answer.close()

        answer.stream(take_and_close, collected.on_end)
        async with within():
            while sender.statistics().open:
                await asyncio.sleep(0)
        assert collected.pieces == [b"a"]
        assert collected.ends == []
        with pytest.raises(LocalError):
            answer.stream(collected.on_data, collected.on_end)


async def test_closing_in_the_last_callback_keeps_the_connection_and_tells_no_end() -> None:
    async with upstream(says(OK)) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        ends: list[PeerError | None] = []
        answer.stream(lambda data: answer.close(), ends.append)
        assert ends == []
        assert sender.statistics().idle == 1


async def test_a_paused_answer_pauses_the_upstream() -> None:
    sent = 0
    piece = b"x" * 65_536

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with upstream(endless) as server, client() as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        received = 0

        def take(data: bytes) -> None:
            nonlocal received
            received += len(data)
            answer.pause()

        answer.stream(take, lambda error: None)
        async with within():
            while not received:
                await asyncio.sleep(0)
            steady, before = 0, -1
            while steady < 50:  # until the sockets' own buffers are full
                steady = steady + 1 if sent == before else 0
                before = sent
                await asyncio.sleep(0)
            stopped_at = received
            assert stopped_at <= 400_000
            answer.resume()
            while received == stopped_at:
                await asyncio.sleep(0)
        answer.close()


async def test_an_answer_that_nobody_reads_is_held_up_to_the_high_water() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        while sent < 50_000_000:
            writer.write(b"x" * 50_000)
            await writer.drain()
            sent += 50_000

    limits = Limits(high_water_bytes=10_000)
    async with upstream(endless) as server, client(limits) as sender:
        answer = await sender.send(server.origin, "POST", "/", [], b"")
        steady, before = 0, -1
        while steady < 50:
            steady = steady + 1 if sent == before else 0
            before = sent
            await asyncio.sleep(0)
        assert answer._held_bytes <= limits.high_water_bytes + 262_144
        async with within():
            assert len(await answer.read()) == 50_000_000
        answer.close()
        assert sender.statistics().idle == 1


async def test_resume_and_pause_behind_the_end_are_harmless() -> None:
    async with upstream() as server, client() as sender:
        answer, _ = await fetch(sender, server)
        answer.pause()
        answer.resume()
        answer.close()
        answer.resume()
        assert (await fetch(sender, server))[0].reused
