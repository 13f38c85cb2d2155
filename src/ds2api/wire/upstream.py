"""The upstream client: a request to an origin, its answer, and the connections in between.

`send_body` is the whole story: a kept connection if there is one, else a new one; a kept one that proves dead before
any byte of an answer came is replaced, once, by a new one, and nobody need know. Redirects are never followed (a 3xx is
an answer like any other): a key goes to its own origin only. Cookies are not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ds2api.wire.answer import Answer
from ds2api.wire.connecting import connect
from ds2api.wire.errors import Disconnected, LocalError
from ds2api.wire.head_write import request_lines
from ds2api.wire.origin import Origin
from ds2api.wire.pool import Pool
from ds2api.wire.proxies import Proxies, Proxy
from ds2api.wire.settings import Limits, Timeouts, TlsClient
from ds2api.wire.timers import TimerWheel
from ds2api.wire.upstream_connection import UpstreamConnection

__all__ = ["Answer", "Client", "ClientStatistics", "Origin", "Outline"]

# Without a body these say nothing of a length; the others say 0 (RFC 9110 §8.6).
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """A snapshot. The last four count since the start."""

    open: int
    idle: int
    opened: int
    reused: int
    retried: int  # kept connections that proved dead, the request sent again
    spoke: int  # connections closed for bytes that nobody asked for


@dataclass(frozen=True, slots=True, repr=False)
class Outline:
    """A request but for its body, made by `Client.outline` for all that differ in nothing else: its head is checked and
    written once. It may hold a key: whoever keeps it forgets it with the key."""

    origin: Origin
    proxy: Proxy | None
    method: str
    before: bytes  # the line of the length
    after: bytes


class Client:
    """Sends requests. For one event loop; nothing is safe from other threads."""

    def __init__(
        self,
        *,
        limits: Limits,
        timeouts: Timeouts,
        tls: TlsClient | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        """`tls` is for origins that have none of their own."""
        self._limits = limits
        self._timeouts = timeouts
        self._tls = tls or TlsClient()
        self._proxies = proxies or Proxies()
        self._pool = Pool(limits.upstream_idle_count)
        self._wheel: TimerWheel | None = None
        self._retried = 0
        self._closed = False

    def send(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        first_byte_idle_s: float | None = None,
    ) -> Coroutine[Any, Any, Answer]:
        """`send_body` for a request that nobody will send again."""
        return self.send_body(self.outline(origin, method, target, headers), body, first_byte_idle_s)

    def outline(self, origin: Origin, method: str, target: str, headers: Sequence[tuple[str, str]]) -> Outline:
        """What `send_body` wants. Host, content-length and the connection's own fields are set here. Raises
        `LocalError` for what must not stand in a head."""
        if not target.startswith("/") and target != "*":
            raise LocalError("a request target must begin with /")
        proxy = None if origin.unix_path is not None else self._proxies.choose(origin.scheme, origin.host, origin.port)
        authorization = None
        if proxy is not None and origin.scheme == "http":  # RFC 9112 §3.2.2: a proxy is told the whole URL
            target = f"http://{origin.authority}{target}"
            authorization = proxy.authorization
        lines = request_lines(method, target, origin.authority, headers, authorization)
        return Outline(origin, proxy, method, *lines)

    async def send_body(self, outline: Outline, body: bytes, first_byte_idle_s: float | None = None) -> Answer:
        """Send a request and give its answer once the final head is there; interim ones are skipped. Whoever gets the
        answer closes it.

        Raises `LocalError` after `close` (then nothing was sent), `ConnectFailed` if no connection could be had,
        `Disconnected`, `FirstByteTimeout`, `ReadTimeout` or `BrokenAnswer` for what came of it. Cancelled, it closes
        the connection; the upstream may have worked on the request.
        """
        if self._closed:
            raise LocalError("send() after close()")
        method, origin = outline.method, outline.origin
        length = b"content-length: %d\r\n" % len(body) if body or method not in _BODILESS else b""
        head = outline.before + length + outline.after
        idle_s = self._timeouts.first_byte_idle_s if first_byte_idle_s is None else first_byte_idle_s
        kept = self._pool.take(origin)
        if kept is not None:
            waiter = kept.begin(method, head, body, idle_s)
            try:
                return await waiter
            except BaseException as error:
                kept.abandon(waiter)
                if not isinstance(error, Disconnected) or error.answer_began:
                    raise
                self._retried += 1
        if self._wheel is None:
            self._wheel = TimerWheel(asyncio.get_running_loop())
        connection = await self._connect(origin, outline.proxy, self._wheel)
        answer = await connection.exchange(method, head, body, idle_s)
        answer.retried = kept is not None
        return answer

    def close(self) -> None:
        """Close every connection; whoever waits on one gets `Disconnected`. Twice is fine."""
        self._closed = True
        self._pool.close()
        if self._wheel is not None:
            self._wheel.close()

    def statistics(self) -> ClientStatistics:
        """What is going on now."""
        pool = self._pool
        return ClientStatistics(
            open=pool.open_count,
            idle=pool.idle_count,
            opened=pool.opened,
            reused=pool.reused,
            retried=self._retried,
            spoke=pool.spoke,
        )

    async def _connect(self, origin: Origin, proxy: Proxy | None, wheel: TimerWheel) -> UpstreamConnection:
        def make() -> UpstreamConnection:
            return UpstreamConnection(origin, self._pool, wheel, self._limits, self._timeouts)

        return await connect(
            origin,
            proxy,
            make,
            tls=origin.tls or self._tls,
            limits=self._limits,
            connect_total_s=self._timeouts.connect_total_s,
        )
