"""A client's body on its way in: both readers agree, limits hold, whoever waits is woken once."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from ds2api.wire.errors import PeerError
from ds2api.wire.framing import Framing
from ds2api.wire.request_body import RequestBody, inflate
from ds2api.wire.settings import Limits

LIMITS = Limits(body_bytes=100)
CHUNKED = Framing("chunked")


async def test_a_length() -> None:
    body = RequestBody(Framing("length", 5), LIMITS)
    body.feed(b"hel")
    assert not body.complete
    body.feed(b"lo and more")
    assert body.complete
    assert body.rest == b" and more"
    assert await body.wait() == b"hello"


async def test_chunks_in_any_pieces() -> None:
    wire = b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n"
    for size in range(1, len(wire)):
        body = RequestBody(CHUNKED, LIMITS)
        for start in range(0, len(wire), size):
            body.feed(wire[start : start + size])
        assert await body.wait() == b"hello"
        assert body.rest == b""


async def test_bytes_behind_the_last_chunk_belong_to_the_next_request() -> None:
    body = RequestBody(CHUNKED, LIMITS)
    body.feed(b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n")
    assert body.rest == b"GET / HTTP/1.1\r\n"
    assert await body.wait() == b"a"


async def test_whoever_waits_is_woken_by_the_end() -> None:
    body = RequestBody(Framing("length", 2), LIMITS)
    waiting = asyncio.ensure_future(body.wait())
    await asyncio.sleep(0)
    body.feed(b"a")
    await asyncio.sleep(0)
    assert not waiting.done()
    body.feed(b"b")
    assert await waiting == b"ab"


@pytest.mark.parametrize("wire", [b"x\r\n", b"3\nabc\r\n", b"1\r\nab\r\n", b"0\r\nhost: h\r\n\r\n", b"3 \r\nabc\r\n"])
async def test_a_fault_is_told_once_and_ends_the_body(wire: bytes) -> None:
    body = RequestBody(CHUNKED, LIMITS)
    waiting = asyncio.ensure_future(body.wait())
    await asyncio.sleep(0)
    body.feed(wire)
    body.feed(b"0\r\n\r\n")
    assert not body.complete
    with pytest.raises(PeerError) as fault:
        await waiting
    assert (fault.value.status_hint, fault.value.phase) == (400, "body")


async def test_the_limit_counts_what_comes() -> None:
    body = RequestBody(CHUNKED, LIMITS)
    body.feed(b"64\r\n" + b"x" * 100 + b"\r\n1\r\nx\r\n0\r\n\r\n")
    with pytest.raises(PeerError, match=r"limits\.body_bytes \(100\)") as fault:
        await body.wait()
    assert fault.value.status_hint == 413


async def test_a_dropped_body_is_not_kept() -> None:
    body = RequestBody(Framing("length", 1_000), LIMITS, keep=False)
    body.feed(b"x" * 1_000)
    assert await body.wait() == b""


async def test_a_deadline_fails_the_wait_unless_the_body_is_there() -> None:
    body = RequestBody(Framing("length", 1), LIMITS)
    body.feed(b"x")
    body.fail(PeerError("late", 408))
    assert await body.wait() == b"x"
    late = RequestBody(Framing("length", 1), LIMITS)
    late.fail(PeerError("late", 408))
    late.fail(PeerError("later", 408))
    with pytest.raises(PeerError, match=r"late$"):
        await late.wait()


async def test_inflating_lets_others_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.ensure_future(count())
    assert len(await inflate(gzip.compress(b"\0" * 5_000_000), "gzip", 5_000_000)) == 5_000_000
    others.cancel()
    assert turns >= 15


@pytest.mark.parametrize("size", [999, 400_000, 3_000_000])
@pytest.mark.parametrize("kind", ["length", "chunked"])
async def test_a_large_body_is_what_was_sent_in_any_pieces(kind: str, size: int) -> None:
    sent = bytes(range(256)) * 10_000
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, sent[:9], len(sent) - 9, sent[9:])
    wire, framing = (sent, Framing("length", len(sent))) if kind == "length" else (chunks, CHUNKED)
    body = RequestBody(framing, Limits())
    for start in range(0, len(wire), size):
        body.feed(wire[start : start + size])
    assert body.complete
    assert await body.wait() == sent
