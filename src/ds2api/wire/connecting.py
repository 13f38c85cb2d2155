"""From an origin to a connection on which a request can be sent: name, TCP, proxy, TLS.

The four take `connect_total_s` together. What fails says how far it came, and never more than host and port: an
error's text goes to logs.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ds2api.wire.addresses import connect_first, resolve
from ds2api.wire.errors import ConnectFailed, ConnectTimeout, PeerError, Phase
from ds2api.wire.heads import HeadBuffer, parse_response
from ds2api.wire.origin import Origin
from ds2api.wire.proxies import Proxy
from ds2api.wire.settings import Limits, TlsClient
from ds2api.wire.tls import client_context

if TYPE_CHECKING:
    from ds2api.wire.upstream_connection import UpstreamConnection

__all__ = ["connect"]


class _Progress:
    """How far a connection came."""

    phase: Phase = "dns"


async def connect(
    origin: Origin,
    proxy: Proxy | None,
    make: Callable[[], UpstreamConnection],
    *,
    tls: TlsClient,
    limits: Limits,
    connect_total_s: float,
) -> UpstreamConnection:
    """Open a connection to `origin`, through `proxy` if there is one. `make` gives its protocol.

    Raises `ConnectFailed` (or `ConnectTimeout`, which is one). Cancelled, it leaves nothing open.
    """
    progress = _Progress()
    try:
        async with asyncio.timeout(connect_total_s):
            return await _connect(origin, proxy, make, tls, limits, progress)
    except TimeoutError:
        limit = f"timeouts.connect_total_s ({connect_total_s:g})"
        raise ConnectTimeout(f"no connection to {origin.where} within {limit}", progress.phase) from None
    except ssl.SSLCertVerificationError as error:
        message = f"the certificate of {origin.where} is not valid: {error.verify_message}"
        raise ConnectFailed(message, "tls") from None
    except ssl.SSLError as error:
        reason = (error.reason or "the handshake failed").lower().replace("_", " ")
        raise ConnectFailed(f"no TLS with {origin.where}: {reason}", "tls") from None
    except UnicodeError:  # a host name that IDNA cannot carry
        raise ConnectFailed(f"{origin.host[:80]!r} is no host name", "dns") from None
    except OSError as error:
        through = f" through the proxy {proxy.host}:{proxy.port}" if proxy is not None else ""
        reason = error.strerror or str(error) or type(error).__name__
        raise ConnectFailed(f"no connection to {origin.where}{through}: {reason}", progress.phase) from None


async def _connect(
    origin: Origin,
    proxy: Proxy | None,
    make: Callable[[], UpstreamConnection],
    tls: TlsClient,
    limits: Limits,
    progress: _Progress,
) -> UpstreamConnection:
    loop = asyncio.get_running_loop()
    # Files are read before anything is opened.
    context = client_context(tls) if origin.scheme == "https" else None
    hostname = origin.host.rstrip(".") if context is not None else None
    if origin.unix_path is not None:
        progress.phase = "connect"
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            unix.setblocking(False)
            await loop.sock_connect(unix, origin.unix_path)
            progress.phase = "tls" if context is not None else "connect"
            _, over_unix = await loop.create_unix_connection(make, sock=unix, ssl=context, server_hostname=hostname)
        except BaseException:
            unix.close()
            raise
        return over_unix
    if proxy is not None:
        addresses = await resolve(proxy.host, proxy.port)
    else:
        addresses = await resolve(origin.host, origin.port)
    progress.phase = "connect"
    connected = await connect_first(addresses)
    try:
        if proxy is not None and context is not None:
            transport = await _tunnel(connected, origin, proxy, limits)
            progress.phase = "tls"
            return await _start_tls(transport, make(), context, hostname)
        if context is not None:
            progress.phase = "tls"
        _, connection = await loop.create_connection(make, sock=connected, ssl=context, server_hostname=hostname)
    except BaseException:
        connected.close()
        raise
    return connection


async def _start_tls(
    transport: asyncio.Transport, connection: UpstreamConnection, context: ssl.SSLContext, hostname: str | None
) -> UpstreamConnection:
    loop = asyncio.get_running_loop()
    try:
        secured = await loop.start_tls(transport, connection, context, server_hostname=hostname)
    except BaseException:
        transport.abort()
        raise
    if secured is None:
        raise OSError("the connection was closed in the handshake")
    connection.connection_made(secured)
    return connection


async def _tunnel(connected: socket.socket, origin: Origin, proxy: Proxy, limits: Limits) -> asyncio.Transport:
    """Have `proxy` connect us to `origin`. Gives the transport, on which nothing was read beyond the answer."""
    loop = asyncio.get_running_loop()
    transport, tunnel = await loop.create_connection(lambda: _Tunnel(limits), sock=connected)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"host: {host}:{origin.port}"]
    if proxy.authorization is not None:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    where = f"the proxy {proxy.host}:{proxy.port}"
    try:
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        status = await tunnel.answer
    except PeerError as error:
        transport.abort()
        raise ConnectFailed(f"{where} gave no answer to CONNECT: {error.message}", "connect") from None
    except BaseException:
        transport.abort()
        raise
    if not 200 <= status <= 299:
        transport.abort()
        raise ConnectFailed(f"{where} answered CONNECT with {status}", "connect")
    return transport


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT, and not a byte more."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._input = HeadBuffer(limits, for_requests=False)
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        self._input.feed(data)
        try:
            while (raw := self._input.take_head()) is not None:
                head = parse_response(raw, "CONNECT", self._limits)
                if head.framing is None:
                    continue  # interim
                if 200 <= head.status <= 299 and len(self._input):
                    raise PeerError("bytes came behind it, before TLS began")
                self.answer.set_result(head.status)
                return
        except PeerError as error:
            self.answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(PeerError("it closed the connection"))
