"""The server over real sockets: whose bytes are whose, in which order, and what happens when somebody misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import socket
import zlib
from pathlib import Path

import pytest
from tests.wire.helpers import RawClient, dial, echo, get, hang_up, post, refuse, serving, until_closed, within

from ds2api.wire import server as server_module
from ds2api.wire.errors import LocalError, PeerError
from ds2api.wire.server import Incoming, Server
from ds2api.wire.settings import Limits, Timeouts


async def test_an_answer_with_everything() -> None:
    async with serving() as (server, address), RawClient.to(address) as client:
        client.send(post("/a?b", b"body"))
        answer = await client.receive()
        assert (answer.status, answer.body) == (200, b"POST /a?b body")
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["content-length"] == "14"
        assert answer.headers["date"].endswith("GMT")
        assert "connection" not in answer.headers
        assert server.statistics().served == 1


async def test_what_a_handler_sees() -> None:
    seen: list[Incoming] = []

    async def handler(incoming: Incoming) -> None:
        seen.append(incoming)
        incoming.respond(204, [])

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(get("/a%20b?c=d", "X-A: 1", "x-a: 2"))
        assert (await client.receive()).status == 204
    incoming = seen[0]
    assert (incoming.method, incoming.target, incoming.path, incoming.query) == ("GET", "/a%20b?c=d", "/a%20b", "c=d")
    assert (incoming.http_version, incoming.scheme, incoming.peer) == ("1.1", "http", "127.0.0.1")
    assert incoming.headers.all("x-a") == ["1", "2"]
    assert incoming.started
    assert incoming.finished


async def test_one_connection_serves_many_requests() -> None:
    async with serving() as (server, address), RawClient.to(address) as client:
        for number in range(5):
            client.send(post(f"/{number}", b"x" * number))
            assert (await client.receive()).body == f"POST /{number} ".encode() + b"x" * number
        assert server.statistics().accepted == 1


async def test_pipelined_requests_are_answered_in_order_whatever_they_take() -> None:
    first_may_end = asyncio.Event()
    order: list[str] = []

    async def handler(incoming: Incoming) -> None:
        if incoming.path == "/0":
            await first_may_end.wait()
        order.append(incoming.path)
        await echo(incoming)

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(b"".join(post(f"/{number}", b"abc") for number in range(20)))
        first_may_end.set()
        for number in range(20):
            assert (await client.receive()).body == f"POST /{number} abc".encode()
        assert order == [f"/{number}" for number in range(20)]


async def test_requests_a_byte_at_a_time() -> None:
    chunked = (
        b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: v\r\n\r\n"
    )
    async with serving() as (_, address), RawClient.to(address) as client:
        for byte in post("/a", b"xy") + chunked + get("/b"):
            client.send(bytes([byte]))
            await client.writer.drain()
        assert (await client.receive()).body == b"POST /a xy"
        assert (await client.receive()).body == b"POST /c abcde"
        assert (await client.receive()).body == b"GET /b "


async def test_a_streamed_answer_comes_in_chunks_one_a_write() -> None:
    async def handler(incoming: Incoming) -> None:
        incoming.start(200, [("content-type", "text/event-stream")])
        before = incoming.last_write_at
        for piece in (b"one", b"", b"two"):
            incoming.write(piece)
        assert incoming.last_write_at >= before
        assert not incoming.finished
        incoming.finish()
        assert incoming.finished

    async with serving(handler) as (_, address):
        wire = await until_closed(address, get("/", "Connection: close"))
        head, _, body = wire.partition(b"\r\n\r\n")
        assert b"\r\ntransfer-encoding: chunked" in head
        assert b"\r\nconnection: close" in head
        assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def stream_ab(incoming: Incoming) -> None:
    incoming.start(200, [])
    incoming.write(b"a")
    incoming.write(b"b")
    incoming.finish()


async def test_http_1_0_gets_a_stream_plain_and_closed() -> None:
    async with serving(stream_ab) as (_, address):
        wire = await until_closed(address, get(version="1.0"))
        assert wire.startswith(b"HTTP/1.1 200 OK\r\n")
        head, _, body = wire.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"connection: close" in head
        assert body == b"ab"


async def test_http_1_0_keeps_a_connection_only_where_it_asks() -> None:
    async with serving() as (_, address):
        assert b"connection: close" in await until_closed(address, get(version="1.0"))
        async with RawClient.to(address) as client:
            for _ in range(2):
                client.send(get("/", "Connection: keep-alive", version="1.0"))
                assert (await client.receive()).headers["connection"] == "keep-alive"


async def test_head_has_a_head_only() -> None:
    async with serving() as (_, address), RawClient.to(address) as client:
        client.send(get(method="HEAD") + get("/next"))
        head = await client.receive("HEAD")
        assert head.headers["content-length"] == str(len(b"HEAD / "))
        assert (await client.receive()).body == b"GET /next "
    async with serving(stream_ab) as (_, address), RawClient.to(address) as client:
        client.send(get(method="HEAD") + get("/next"))
        await client.receive("HEAD")
        assert (await client.receive()).body == b"ab"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_never_have_a_body(status: int) -> None:
    async def handler(incoming: Incoming) -> None:
        if incoming.path == "/whole":
            incoming.respond(status, [], b"not sent")
        else:
            incoming.start(status, [])
            incoming.write(b"not sent")
            incoming.finish()

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(get("/whole") + get("/streamed") + get("/whole"))
        for _ in range(3):
            answer = await client.receive()
            assert (answer.status, answer.body) == (status, b"")
            assert not {"content-length", "transfer-encoding"} & set(answer.headers)


async def test_a_handler_breaks_no_protocol() -> None:
    async def handler(incoming: Incoming) -> None:
        with pytest.raises(LocalError):
            incoming.write(b"x")
        with pytest.raises(LocalError):
            incoming.finish()
        with pytest.raises(LocalError):
            incoming.respond(200, [("x", "a\r\nb: c")])
        with pytest.raises(LocalError):
            incoming.start(200, [("content-length", "5")])
        assert not incoming.started
        await incoming.read_body()
        with pytest.raises(LocalError):
            await incoming.read_body()
        incoming.respond(200, [], b"fine")
        for again in (lambda: incoming.respond(200, []), lambda: incoming.start(200, []), incoming.finish):
            with pytest.raises(LocalError):
                again()
        with pytest.raises(LocalError):
            incoming.write(b"x")

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(post("/", b"x"))
        assert (await client.receive()).body == b"fine"


# --- 100-continue ---


async def test_continue_is_sent_when_the_body_is_asked_for() -> None:
    asked = asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        await asked.wait()
        await echo(incoming)

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(post("/", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 3"))
        asked.set()
        async with within():
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        answer = await client.receive()
        assert answer.body == b"POST / abc"
        assert "connection" not in answer.headers


async def test_no_continue_where_the_body_came_anyway() -> None:
    async with serving() as (_, address):
        wire = await until_closed(address, post("/", b"abc", "Expect: 100-continue", "Connection: close"))
        assert wire.startswith(b"HTTP/1.1 200")


async def test_an_answer_instead_of_continue_closes() -> None:
    """R141: 401 without a 100, and the connection ends, since nobody knows whether the body will come."""

    async def handler(incoming: Incoming) -> None:
        incoming.respond(401, [], b"no")

    async with serving(handler) as (_, address):
        wire = await until_closed(address, post("/", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 3"))
        assert wire.startswith(b"HTTP/1.1 401")
        assert b"connection: close" in wire


async def test_too_long_a_body_is_refused_before_continue() -> None:
    async with serving(limits=Limits(body_bytes=10)) as (_, address):
        wire = await until_closed(address, post("/", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 11"))
        assert wire.startswith(b"HTTP/1.1 413")
        assert b"11 bytes" in wire
        assert b"limits.body_bytes (10)" in wire


# --- bodies ---


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(b"text")), ("deflate", zlib.compress(b"text")), ("x-gzip", gzip.compress(b"text"))],
    ids=["gzip", "deflate", "x-gzip"],  # the bytes hold the time
)
async def test_compressed_bodies_are_undone(coding: str, packed: bytes) -> None:
    async with serving() as (_, address), RawClient.to(address) as client:
        client.send(post("/", packed, f"Content-Encoding: {coding}"))
        assert (await client.receive()).body == b"POST / text"


async def test_bad_compressed_bodies_and_the_next_request() -> None:
    """R129: corrupt 400, bomb 413, unknown 415 naming what is accepted; each leaves the connection usable."""
    bomb = gzip.compress(b"\0" * 1_000_000)
    async with serving(limits=Limits(body_bytes=100_000)) as (_, address), RawClient.to(address) as client:
        for body, coding, status, text in (
            (b"corrupt", "gzip", 400, b"no valid gzip"),
            (gzip.compress(b"text")[:-1], "gzip", 400, b"in the middle"),
            (bomb, "gzip", 413, b"limits.body_bytes (100000)"),
            (b"text", "foo", 415, b"gzip, deflate, zstd"),
        ):
            client.send(post("/", body, f"Content-Encoding: {coding}"))
            answer = await client.receive()
            assert answer.status == status
            assert text in answer.body
        client.send(get("/still"))
        assert (await client.receive()).body == b"GET /still "


async def test_a_chunked_body_over_the_limit() -> None:
    async with serving(limits=Limits(body_bytes=1_000)) as (_, address):
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
        head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert b" 413 " in await until_closed(address, head + chunk * 11)
        async with RawClient.to(address) as client:
            client.send(head + chunk * 10 + b"0\r\n\r\n")
            assert (await client.receive()).body == b"POST / " + b"x" * 1_000


async def test_a_small_unread_body_is_dropped_and_the_connection_kept() -> None:
    async def handler(incoming: Incoming) -> None:
        incoming.respond(200, [], incoming.path.encode())

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(post("/1", b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"))
        assert (await client.receive()).body == b"/1"
        client.send(post("/2", b"x" * 1_000)[:-500])
        assert (await client.receive()).body == b"/2"
        client.send(b"x" * 500 + get("/3"))
        assert (await client.receive()).body == b"/3"


async def test_a_large_unread_body_closes_and_the_answer_is_still_read() -> None:
    async def handler(incoming: Incoming) -> None:
        incoming.respond(413, [], b"too large" * 10)

    async with serving(handler, limits=Limits(leftover_bytes=1_000)) as (_, address), RawClient.to(address) as client:
        client.send(post("/", b"x" * 3_000_000))
        answer = await client.receive()
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
        assert answer.body == b"too large" * 10
        assert answer.complete


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000

    async def handler(incoming: Incoming) -> None:
        incoming.respond(200, [], str(await incoming.read_body() == body).encode())

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(post("/", body) + get("/"))
        assert (await client.receive()).body == b"True"
        assert (await client.receive()).body == b"False"


# --- refusals ---

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"\r\nabcde\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n a: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\na: " + b"b" * 40_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417),
    ],
)  # fmt: skip
async def test_a_bad_request_is_answered_once_and_nothing_behind_it_is_read(data: bytes, status: int) -> None:
    seen: list[str] = []

    async def handler(incoming: Incoming) -> None:
        seen.append(incoming.path)
        await echo(incoming)

    async with serving(handler) as (_, address):
        wire = await until_closed(address, get("/before") + data + SMUGGLED)
        assert re.findall(rb"HTTP/1\.1 (\d{3}) ", wire) == [b"200", b"%d" % status]
        assert wire.count(b"connection: close") == 1
        assert "/smuggled" not in seen


async def test_a_refusal_knows_the_path_for_its_shape() -> None:
    async with serving() as (_, address):
        assert b"x-target: /v1/messages\r\n" in await until_closed(address, b"GET /v1/messages HTTP/1.1\r\n\r\n")
        endless = b"POST /v1/messages HTTP/1.1\r\nHost: h\r\na: " + b"b" * 40_000
        assert b"x-target: /v1/messages\r\n" in await until_closed(address, endless)
        assert b"x-target: \r\n" in await until_closed(address, b"\x16\x03\x01")


@pytest.mark.parametrize("fails_late", [False, True])
async def test_a_failing_handler(fails_late: bool) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def handler(incoming: Incoming) -> None:
        if incoming.path != "/bad":
            await echo(incoming)
            return
        if fails_late:
            incoming.start(200, [])
            incoming.write(b"part")
        raise RuntimeError("boom")

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        client.send(get("/bad"))
        answer = await client.receive()
        assert "boom" not in answer.body.decode()
        if fails_late:
            assert (answer.status, answer.body, answer.complete) == (200, b"part", False)
        else:
            assert (answer.status, answer.complete) == (500, True)
            client.send(get("/good"))
            assert (await client.receive()).status == 200
    assert [str(context["exception"]) for context in reported] == ["boom"]


async def test_a_handler_that_does_not_answer() -> None:
    async def nothing(incoming: Incoming) -> None:
        if incoming.path == "/part":
            incoming.start(200, [])

    async with serving(nothing) as (_, address), RawClient.to(address) as client:
        client.send(get("/"))
        assert (await client.receive()).status == 500
        client.send(get("/part"))
        assert not (await client.receive()).complete


async def test_an_aborted_stream_shows_its_cut() -> None:
    async def handler(incoming: Incoming) -> None:
        incoming.start(200, [])
        incoming.write(b"part")
        incoming.abort()
        incoming.abort()
        incoming.write(b"ignored")
        incoming.finish()

    async with serving(handler) as (_, address):
        async with RawClient.to(address) as client:
            client.send(get())
            answer = await client.receive()
            assert (answer.body, answer.complete) == (b"part", False)
        reader, writer = await dial(address)
        writer.write(get(version="1.0"))
        with pytest.raises(ConnectionResetError):  # a plain end would look like a whole answer
            async with within():
                while await reader.read(1_000):
                    pass
        await hang_up(writer)


# --- deadlines ---


async def test_a_slow_head_is_answered_408() -> None:
    async with serving(timeouts=Timeouts(head_total_s=0.05)) as (_, address):
        assert b" 408 " in await until_closed(address, b"GET / HTTP/1.1\r\nHo")
        assert await until_closed(address, b"") == b""


async def test_a_slow_body_is_answered_408() -> None:
    async with serving(timeouts=Timeouts(body_idle_s=0.05)) as (_, address):
        wire = await until_closed(address, post("/", b"abcd")[:-1])
        assert b" 408 " in wire
        assert b"timeouts.body_idle_s" in wire
        assert b"connection: close" in wire


async def test_a_body_that_drips_is_answered_408() -> None:
    timeouts = Timeouts(body_idle_s=0.3, body_rate_bytes_s=1_000_000)
    async with serving(timeouts=timeouts) as (_, address), RawClient.to(address) as client:
        client.send(post("/", b"", "a: b").replace(b"Length: 0", b"Length: 100000"))
        answering = asyncio.ensure_future(client.receive())
        async with within():
            while not answering.done():  # never still for body_idle_s
                client.send(b"x")
                await asyncio.wait([answering], timeout=0.02)
        assert answering.result().status == 408
        assert b"body_rate_bytes_s" in answering.result().body


async def test_an_idle_connection_is_closed_in_silence() -> None:
    async with serving(timeouts=Timeouts(keepalive_idle_s=0.05)) as (_, address), RawClient.to(address) as client:
        client.send(get())
        assert (await client.receive()).status == 200
        assert await client.closed() == b""


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    cancelled = asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        incoming.start(200, [])
        try:
            while True:
                incoming.write(b"x" * 100_000)
                await asyncio.sleep(0)
                if incoming._connection.write_paused:
                    await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(handler, timeouts=Timeouts(write_idle_s=0.05)) as (server, address):
        reader, writer = await dial(address)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(get())
        async with within():
            await cancelled.wait()
        assert server.statistics().exchanges == 0
        del reader
        writer.transport.abort()


# --- clients that leave ---


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("when", ["before the head", "in the body", "while it waits", "in the stream"])
async def test_a_client_that_leaves_cancels_its_handler_at_once(how: str, when: str) -> None:
    """R115, R128: whatever the handler waits for."""
    running, ended = asyncio.Event(), asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        running.set()
        try:
            if when == "in the body":
                await incoming.read_body()
            if when == "in the stream":
                incoming.start(200, [])
                incoming.write(b"first")
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async with serving(handler) as (server, address):
        reader, writer = await dial(address)
        writer.write(post("/", b"abc")[: -1 if when == "in the body" else None])
        async with within():
            await running.wait()
            if when == "in the stream":
                await reader.readuntil(b"first")
            if how == "half":
                writer.write_eof()
            elif how == "reset":
                from tests.wire.helpers import reset_connection

                reset_connection(writer)
            else:
                writer.close()
            await ended.wait()
        assert server.statistics().exchanges == 0
        writer.close()


async def test_a_request_and_an_end_in_one_read_frees_everything() -> None:
    running = 0

    async def handler(incoming: Incoming) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            running -= 1

    async with serving(handler) as (server, address):
        for _ in range(20):
            _, writer = await dial(address)
            writer.write(get())
            writer.write_eof()
            writer.close()
        async with within():
            while server.statistics().accepted < 20 or server.statistics().connections:
                await asyncio.sleep(0)
        assert running == 0


async def test_writing_to_a_client_that_left_is_harmless() -> None:
    left, ended = asyncio.Event(), asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        incoming.start(200, [])
        try:
            await left.wait()
        finally:
            incoming.write(b"x" * 10)
            incoming.finish()
            ended.set()

    async with serving(handler) as (_, address):
        reader, writer = await dial(address)
        writer.write(get())
        async with within():
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await ended.wait()


# --- backpressure ---


async def test_a_client_that_reads_slowly_pauses_and_resumes_the_writer() -> None:
    limits = Limits(high_water_bytes=20_000, low_water_bytes=5_000)
    total, piece = 8_000_000, b"x" * 10_000
    highest = 0
    paused_at_start: list[bool] = []

    async def handler(incoming: Incoming) -> None:
        nonlocal highest
        may_write = asyncio.Event()
        may_write.set()
        incoming.on_flow(may_write.clear, may_write.set)
        incoming.start(200, [])
        for _ in range(total // len(piece)):
            await may_write.wait()
            incoming.write(piece)
            highest = max(highest, incoming._connection.buffered_bytes[1])
            if not may_write.is_set() and not paused_at_start:
                # Whoever listens late is told at once.
                incoming.on_flow(lambda: paused_at_start.append(True), list)
                incoming.on_flow(may_write.clear, may_write.set)
        incoming.finish()

    async with serving(handler, limits=limits) as (_, address), RawClient.to(address) as client:
        client.send(get())
        answer = await client.receive()
        assert len(answer.body) == total
        assert paused_at_start == [True]
        assert highest <= limits.high_water_bytes + len(piece) + 100


async def test_pipelining_does_not_grow_memory() -> None:
    limits = Limits(read_ahead_bytes=10_000, head_bytes=10_000)
    held: list[int] = []

    async def handler(incoming: Incoming) -> None:
        held.append(incoming._connection.buffered_bytes[0])
        for _ in range(3):  # time for the socket to bring more
            await asyncio.sleep(0)
        incoming.respond(204, [])

    async with serving(handler, limits=limits) as (_, address), RawClient.to(address) as client:
        count, request = 4_000, get("/", "x: " + "y" * 400)

        async def send_all() -> None:
            for _ in range(count):
                client.send(request)
                await client.writer.drain()

        sending = asyncio.ensure_future(send_all())
        async with within():
            answers = b""
            while answers.count(b"HTTP/1.1 204") < count:
                answers += await client.reader.read(1_000_000)
            await sending
    # One read over the limit at most: 256 KiB on asyncio, 250 KB on uvloop.
    assert limits.read_ahead_bytes < max(held) <= limits.read_ahead_bytes + 262_144


async def test_answers_to_a_pipeline_that_nobody_reads_do_not_pile_up() -> None:
    limits = Limits(high_water_bytes=10_000, low_water_bytes=1_000)
    served = 0

    async def handler(incoming: Incoming) -> None:
        nonlocal served
        served += 1
        incoming.respond(200, [], b"x" * 100_000)

    async with serving(handler, limits=limits) as (server, address):
        _, writer = await dial(address)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(get() * 500)
        async with within():
            while not any(c.write_paused for c in server._connections):
                await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert served < 200
        assert server.statistics().write_buffer_bytes <= 110_000
        writer.transport.abort()


# --- the end ---


async def test_drain_waits_for_what_runs_and_closes_what_does_not() -> None:
    running, may_end = asyncio.Event(), asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        if incoming.path == "/slow":
            running.set()
            await may_end.wait()
        await echo(incoming)

    async with serving(handler) as (server, address):
        async with RawClient.to(address) as idle, RawClient.to(address) as busy:
            idle.send(get())
            await idle.receive()
            busy.send(get("/slow"))
            async with within():
                await running.wait()
                draining = asyncio.ensure_future(server.drain(5))
                assert await idle.closed() == b""
                assert not draining.done()
                with pytest.raises(OSError):
                    await dial(address)
                may_end.set()
                answer = await busy.receive()
                assert answer.body == b"GET /slow "
                assert answer.headers["connection"] == "close"
                assert await busy.closed() == b""
                assert await draining == 0
        with pytest.raises(LocalError):
            await server.listen("127.0.0.1:0")


async def test_drain_cuts_what_does_not_end() -> None:
    ended: list[str] = []
    running = asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        incoming.start(200, [])
        running.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(incoming.path)

    async with serving(handler) as (server, address), RawClient.to(address) as client:
        client.send(get("/stuck"))
        async with within():
            await running.wait()
            assert await server.drain(0.05) == 1
        assert ended == ["/stuck"]
        assert not (await client.receive()).complete


async def test_a_new_connection_is_taken_while_the_oldest_idle_one_goes() -> None:
    async with (
        serving(limits=Limits(connections_count=2)) as (server, address),
        RawClient.to(address) as first,
        RawClient.to(address) as second,
    ):
        for client in (first, second):
            client.send(get())
            await client.receive()
        async with RawClient.to(address) as third:
            third.send(get("/third"))
            assert (await third.receive()).body == b"GET /third "
            assert await first.closed() == b""
            assert server.statistics().connections <= 2
            second.send(get("/second"))
            assert (await second.receive()).body == b"GET /second "


async def test_a_full_server_takes_the_next_one_as_soon_as_somebody_is_done() -> None:
    may_end = asyncio.Event()

    async def handler(incoming: Incoming) -> None:
        if incoming.path == "/slow":
            await may_end.wait()
        await echo(incoming)

    one = Limits(connections_count=1)
    async with serving(handler, limits=one) as (server, address), RawClient.to(address) as first:
        first.send(get("/slow"))
        async with within():
            while not server.statistics().exchanges:
                await asyncio.sleep(0)
        async with RawClient.to(address) as second:
            second.send(get("/second"))
            async with within():
                while server.statistics().accepted < 2:
                    await asyncio.sleep(0)
            assert server.statistics().connections == 1
            may_end.set()
            assert (await first.receive()).status == 200
            assert (await second.receive()).body == b"GET /second "
            assert await first.closed() == b""


async def test_a_client_address_has_a_limit_of_its_own() -> None:
    async with (
        serving(limits=Limits(connections_per_address_count=2)) as (server, address),
        RawClient.to(address) as first,
        RawClient.to(address) as second,
    ):
        for client in (first, second):
            client.send(get())
            assert (await client.receive()).status == 200
        async with RawClient.to(address) as third:
            refused = await third.receive()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert await third.closed() == b""
        assert server.statistics().turned_away == 1
        await hang_up(first.writer)
        async with within():
            while server.statistics().connections > 1:
                await asyncio.sleep(0)
        async with RawClient.to(address) as fourth:
            fourth.send(get("/fourth"))
            assert (await fourth.receive()).body == b"GET /fourth "


async def test_an_address_that_is_used_up_takes_nothing_from_others() -> None:
    async with serving(limits=Limits(connections_per_address_count=1)) as (server, address):
        elsewhere = address.replace("127.0.0.1", "127.0.0.2")
        listening = await server.listen("127.0.0.2:0")
        assert listening != elsewhere
        async with RawClient.to(address) as first, RawClient.to(address) as second:
            first.send(get())
            assert (await first.receive()).status == 200
            assert (await second.receive()).status == 503
            reader, writer = await asyncio.open_connection(
                "127.0.0.2", int(listening.rpartition(":")[2]), local_addr=("127.0.0.3", 0)
            )
            writer.write(get("/other", "Connection: close"))
            async with within():
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
            await hang_up(writer)


async def test_out_of_descriptors_rests_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    monkeypatch.setattr(server_module, "_ACCEPT_REST_S", 0.001)
    failures = [OSError(errno.EMFILE, "no descriptors"), OSError(errno.ECONNABORTED, "gone")]
    accept = socket.socket.accept

    def failing_first(listening: socket.socket) -> object:
        if failures:
            raise failures.pop(0)
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", failing_first)
    server = Server(echo, refuse, limits=Limits(), timeouts=Timeouts())
    address = await server.listen("127.0.0.1:0")
    async with RawClient.to(address) as client:
        client.send(get())
        assert (await client.receive()).status == 200
    assert server.statistics().starved == 1
    monkeypatch.undo()
    await server.drain(0)


async def test_a_unix_socket(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(incoming: Incoming) -> None:
        seen.append(incoming.peer)
        await echo(incoming)

    async with serving(handler, address=f"unix:{tmp_path}/s") as (_, address), RawClient.to(address) as client:
        client.send(get())
        assert (await client.receive()).status == 200
        assert seen == ["unix:"]


async def test_a_refuse_that_fails_still_answers() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def broken(method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
        raise RuntimeError("boom")

    server = Server(echo, broken, limits=Limits(), timeouts=Timeouts())
    address = await server.listen("127.0.0.1:0")
    assert (await until_closed(address, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert len(reported) == 1
    await server.drain(0)


async def test_a_handlers_own_cancellation_scope_does_not_end_the_connection() -> None:
    async def handler(incoming: Incoming) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        await echo(incoming)

    async with serving(handler) as (_, address), RawClient.to(address) as client:
        for _ in range(2):
            client.send(get())
            assert (await client.receive()).status == 200


async def test_an_inherited_descriptor() -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        given.listen()
        name = f"127.0.0.1:{given.getsockname()[1]}"
        async with serving(address=f"fd:{os.dup(given.fileno())}") as (_, address), RawClient.to(address) as client:
            assert address == name
            client.send(get())
            assert (await client.receive()).status == 200


async def test_several_listeners_and_no_address() -> None:
    async with serving() as (server, one):
        two = await server.listen("127.0.0.1:0")
        for address in (one, two):
            assert (await until_closed(address, get("/", "Connection: close"))).startswith(b"HTTP/1.1 200")
        with pytest.raises(ValueError, match="expected"):
            await server.listen("nonsense")
        with pytest.raises(OSError):
            await server.listen(one)


async def test_a_burst_of_connections_is_served_while_accepting() -> None:
    async with serving() as (server, address):
        answers = await asyncio.gather(*(until_closed(address, get("/", "Connection: close")) for _ in range(200)))
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert server.statistics().accepted == 200
