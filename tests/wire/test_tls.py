"""TLS both ways: who is trusted, who is not, and that a second handshake is short."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.wire.helpers import OK, RawClient, echo, get, says, serving, until_closed, upstream, within

from ds2api.wire.errors import ConnectFailed, ConnectTimeout, Disconnected
from ds2api.wire.server import Incoming
from ds2api.wire.settings import Limits, Proxies, Timeouts, TlsClient, TlsServer
from ds2api.wire.tls import ClientContext, client_context
from ds2api.wire.upstream import Client, Origin


@dataclass
class Files:
    """One authority, a server's certificate for localhost, and a client's."""

    authority: trustme.CA
    ca: str
    server: TlsServer
    client: TlsClient


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, certificate in (
        ("server", authority.issue_cert("localhost", "127.0.0.1")),
        ("client", authority.issue_cert("client@example.org")),
    ):
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        with (folder / f"{name}.pem").open("wb") as chain:
            chain.writelines(blob.bytes() for blob in certificate.cert_chain_pems)
    ca = str(folder / "ca.pem")
    return Files(
        authority,
        ca,
        TlsServer(str(folder / "server.pem"), str(folder / "server.key")),
        TlsClient(ca, str(folder / "client.pem"), str(folder / "client.key")),
    )


@contextlib.asynccontextmanager
async def client(
    tls: TlsClient | None = None, timeouts: Timeouts | None = None, proxies: Proxies | None = None
) -> AsyncIterator[Client]:
    made = Client(limits=Limits(), timeouts=timeouts or Timeouts(), tls=tls, proxies=proxies)
    try:
        yield made
    finally:
        made.close()
        async with within():
            while made.statistics().open:
                await asyncio.sleep(0)


def origin_of(address: str, host: str = "127.0.0.1") -> Origin:
    return Origin("https", host, int(address.rpartition(":")[2]))


async def ask(sender: Client, origin: Origin) -> bytes:
    async with within():
        answer = await sender.send(origin, "POST", "/p", [], b"body")
        try:
            return await answer.read()
        finally:
            answer.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_server_and_client_over_tls(files: Files, host: str) -> None:
    schemes: list[str] = []

    async def handler(incoming: Incoming) -> None:
        schemes.append(incoming.scheme)
        await echo(incoming)

    async with serving(handler, tls=files.server) as (_, address), client(TlsClient(files.ca)) as sender:
        origin = origin_of(address, host)
        for _ in range(3):
            assert await ask(sender, origin) == b"POST /p body"
        assert sender.statistics().opened == 1
        assert schemes == ["https"] * 3


async def test_large_bodies_over_tls(files: Files) -> None:
    body = bytes(range(256)) * 8_000
    async with serving(tls=files.server) as (_, address), client(TlsClient(files.ca)) as sender, within():
        answer = await sender.send(origin_of(address), "POST", "/", [], body)
        assert await answer.read() == b"POST / " + body
        answer.close()


async def test_a_stream_over_tls_is_cut_visibly(files: Files) -> None:
    async def handler(incoming: Incoming) -> None:
        incoming.start(200, [])
        incoming.write(b"part")
        incoming.abort()

    async with serving(handler, tls=files.server) as (_, address), client(TlsClient(files.ca)) as sender:
        with pytest.raises(Disconnected):
            await ask(sender, origin_of(address))


async def test_an_unknown_authority_is_refused(files: Files) -> None:
    async with serving(tls=files.server) as (server, address), client() as sender:
        with pytest.raises(ConnectFailed) as failed:
            await ask(sender, origin_of(address))
        assert failed.value.phase == "tls"
        assert "certificate" in failed.value.message
        assert server.statistics().served == 0
        assert sender.statistics().open == 0


async def test_a_certificate_for_another_name_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    from ds2api.wire import connecting

    async def loopback(host: str, port: int) -> list[object]:
        import socket

        return [(socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(connecting, "resolve", loopback)
    async with serving(tls=files.server) as (server, address), client(TlsClient(files.ca)) as sender:
        with pytest.raises(ConnectFailed) as failed:
            await ask(sender, origin_of(address, "other.example"))
        assert failed.value.phase == "tls"
        assert "other.example" in failed.value.message
        assert server.statistics().served == 0


async def test_plain_http_behind_an_https_url_is_named(files: Files) -> None:
    async with serving() as (_, address), client(TlsClient(files.ca)) as sender:
        with pytest.raises(ConnectFailed) as failed:
            await ask(sender, origin_of(address))
        assert failed.value.phase == "tls"


async def test_plain_http_on_a_tls_port_disturbs_nobody(files: Files) -> None:
    async with serving(tls=files.server) as (server, address), client(TlsClient(files.ca)) as sender:
        assert await until_closed(address, get()) == b""
        assert await ask(sender, origin_of(address)) == b"POST /p body"
        assert server.statistics().handshakes_failed == 1


async def test_an_unreadable_certificate_is_an_error_of_listen(files: Files, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        async with serving(tls=TlsServer(str(tmp_path / "missing.pem"))):
            pass


async def test_missing_client_files_are_an_error_of_the_connection(tmp_path: Path) -> None:
    async with upstream() as server, client(TlsClient(str(tmp_path / "missing.pem"))) as sender:
        with pytest.raises(ConnectFailed):
            await ask(sender, server.origin._replace(scheme="https"))
        assert server.connections == 0


def server_side(files: Files, *, asks_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server.certificate_file, files.server.key_file)
    context.set_alpn_protocols(["http/1.1"])
    if asks_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.ca)
    return context


async def test_a_client_certificate(files: Files) -> None:
    async with upstream(ssl=server_side(files, asks_client=True)) as server:
        async with client(files.client) as sender:
            assert await ask(sender, server.origin) == b"ok"
        async with client(TlsClient(files.ca)) as sender:
            with pytest.raises((ConnectFailed, Disconnected)):
                await ask(sender, server.origin)
        async with client() as sender:  # an origin's own settings come before the client's
            assert await ask(sender, server.origin._replace(tls=files.client)) == b"ok"


async def test_a_second_handshake_resumes_the_session(files: Files) -> None:
    reused: list[bool] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls_object = writer.get_extra_info("ssl_object")
        reused.append(tls_object.session_reused)
        assert tls_object.selected_alpn_protocol() == "http/1.1"
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    async with upstream(script, ssl=server_side(files)) as server, client(TlsClient(files.ca)) as sender:
        client_context(TlsClient(files.ca))._known_sessions().clear()
        for _ in range(3):
            assert await ask(sender, server.origin) == b"ok"
    assert reused == [False, True, True]


def test_contexts_are_made_once_and_remember_a_bounded_number_of_names(files: Files) -> None:
    context = client_context(TlsClient(files.ca))
    assert context is client_context(TlsClient(files.ca))
    assert context is not client_context(files.client)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    sessions = ClientContext(ssl.PROTOCOL_TLS_CLIENT)._known_sessions()
    assert sessions == {}


def test_a_renewed_file_is_taken_up(files: Files, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Path(files.ca).read_bytes())
    context = client_context(TlsClient(str(ca)))
    assert client_context(TlsClient(str(ca))) is context
    os.utime(ca, ns=(1, 1))
    assert client_context(TlsClient(str(ca))) is not context


# --- through proxies ---

Spoken = list[bytes]


@contextlib.asynccontextmanager
async def proxy(
    answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n", *, joins: bool = True
) -> AsyncIterator[tuple[int, Spoken]]:
    """A CONNECT proxy that connects everything to loopback, or only answers."""
    heads: Spoken = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            writer.write(answer)
            if joins:
                port = int(head.split(b" ")[1].rpartition(b":")[2])
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
                finally:
                    far_writer.close()
            else:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], heads
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def through(port: int, credentials: str = "") -> Proxies:
    return Proxies.from_environment({"ALL_PROXY": f"http://{credentials}127.0.0.1:{port}"})


async def test_https_through_a_proxy_is_a_tunnel(files: Files) -> None:
    async with serving(tls=files.server) as (_, address), proxy() as (port, heads):
        async with client(TlsClient(files.ca), proxies=through(port, "user:pass@")) as sender:
            origin = origin_of(address, "localhost")
            for _ in range(2):
                assert await ask(sender, origin) == b"POST /p body"
        assert heads == [
            f"CONNECT localhost:{origin.port} HTTP/1.1\r\nhost: localhost:{origin.port}\r\n"
            "proxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n".encode()
        ]


async def test_http_through_a_proxy_names_the_whole_url() -> None:
    async with upstream(says(OK)) as server:
        async with client(proxies=through(server.origin.port, "user:pass@")) as sender:
            assert await ask(sender, Origin("http", "far.example", 8080)) == b"ok"
        head = server.requests[0].head
        assert head.startswith(b"POST http://far.example:8080/p HTTP/1.1\r\nhost: far.example:8080\r\n")
        assert b"\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n" in head


async def test_no_proxy_is_direct(files: Files) -> None:
    async with serving(tls=files.server) as (_, address), proxy() as (port, heads):
        proxies = Proxies.from_environment({"ALL_PROXY": f"127.0.0.1:{port}", "NO_PROXY": "localhost"})
        async with client(TlsClient(files.ca), proxies=proxies) as sender:
            assert await ask(sender, origin_of(address, "localhost")) == b"POST /p body"
        assert heads == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "answered CONNECT with 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered CONNECT with 502"),
        (b"HTTP/1.1 200 OK\r\n\r\nextra", "bytes came behind it"),
        (b"SSH-2.0\r\n\r\n", "no HTTP/1.1"),
    ],
)
async def test_a_proxy_that_will_not(files: Files, answer: bytes, message: str) -> None:
    async with proxy(answer, joins=False) as (port, _):
        async with client(TlsClient(files.ca), proxies=through(port, "user:secret@")) as sender:
            with pytest.raises(ConnectFailed) as failed:
                await ask(sender, Origin("https", "localhost", 1))
        assert message in failed.value.message
        assert failed.value.phase == "connect"
        assert "secret" not in failed.value.message


async def test_interim_answers_of_a_proxy_are_skipped(files: Files) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    async with (
        serving(tls=files.server) as (_, address),
        proxy(answer) as (port, _),
        client(TlsClient(files.ca), proxies=through(port)) as sender,
    ):
        assert await ask(sender, origin_of(address)) == b"POST /p body"


Stall = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize("phase", ["connect", "tls"])
async def test_connecting_has_one_limit_in_all(files: Files, phase: str) -> None:
    """A proxy that never answers, a server that never shakes hands."""
    writers: list[asyncio.StreamWriter] = []
    listening = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    proxies = through(port) if phase == "connect" else None
    client_context(TlsClient(files.ca))  # reading the trust store, once, may take as long as the limit of this test
    async with client(TlsClient(files.ca), Timeouts(connect_total_s=0.2), proxies) as sender:
        with pytest.raises(ConnectTimeout) as late:
            await ask(sender, Origin("https", "127.0.0.1", port))
        assert late.value.phase == phase
        assert late.value.status_hint == 504
        assert "timeouts.connect_total_s (0.2)" in late.value.message
    listening.close()
    for writer in writers:
        writer.close()


async def test_a_slow_handshake_does_not_hold_the_server(files: Files) -> None:
    async with serving(tls=files.server, timeouts=Timeouts(head_total_s=0.05)) as (server, address):
        async with RawClient.to(address) as silent:
            assert await silent.closed() == b""
        assert server.statistics().handshakes_failed == 1
        async with RawClient.to(address), within():
            while server.statistics().accepted < 2:
                await asyncio.sleep(0)
            assert await server.drain(0) == 0
