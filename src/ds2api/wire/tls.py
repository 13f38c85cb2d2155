"""TLS contexts, one for each set of files.

A client context verifies against the system's trust store (and `ca_file` beside it), checks the name, speaks HTTP/1.1
only, and remembers the last session of each name: a resumed handshake saves a round of signatures, about 1 ms of CPU.
asyncio has no door for a session, so the context puts it in itself when asyncio asks it for its TLS object.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ds2api.wire.settings import TlsClient, TlsServer

__all__ = ["ClientContext", "client_context", "server_context"]

# Names whose session is remembered, the least recently used forgotten first: more than any configuration has origins.
_SESSION_COUNT = 256


class ClientContext(ssl.SSLContext):
    """A client context that resumes sessions."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As `SSLContext.wrap_bio`, with the session that `server_hostname` gave last."""
        if session is None and isinstance(server_hostname, str):
            session = self._known_sessions().get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, tls_object: ssl.SSLObject) -> None:
        """Keep the session of a connection for the next one to the same name. To be called after something was
        read: with TLS 1.3 the ticket comes behind the handshake."""
        name, session = tls_object.server_hostname, tls_object.session
        if session is None or not session.has_ticket or not isinstance(name, str):
            return
        sessions = self._known_sessions()
        sessions[name] = session
        sessions.move_to_end(name)
        while len(sessions) > _SESSION_COUNT:
            sessions.popitem(last=False)

    def _known_sessions(self) -> OrderedDict[str, ssl.SSLSession]:
        # `SSLContext` is made by `__new__` with its protocol, so there is no `__init__` to put this into.
        sessions: OrderedDict[str, ssl.SSLSession] | None = self.__dict__.get("_sessions")
        if sessions is None:
            sessions = self.__dict__["_sessions"] = OrderedDict()
        return sessions


def client_context(settings: TlsClient) -> ClientContext:
    """The context for `settings`, made anew when one of its files has changed. Raises `OSError` for a file that
    cannot be read, `ssl.SSLError` (which is one) for what is in it."""
    files = (settings.ca_file, settings.certificate_file, settings.key_file)
    return _client_context(settings, tuple(Path(file).stat().st_mtime_ns for file in files if file is not None))


@lru_cache(maxsize=64)
def _client_context(settings: TlsClient, changed_at: tuple[int, ...]) -> ClientContext:
    context: Any = ClientContext(ssl.PROTOCOL_TLS_CLIENT)  # verification and the check of the name are on by default
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.ca_file is not None:
        context.load_verify_locations(settings.ca_file)
    if settings.certificate_file is not None:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    context.set_alpn_protocols(["http/1.1"])
    checked: ClientContext = context
    return checked


def server_context(settings: TlsServer) -> ssl.SSLContext:
    """The context of a listener. Reads files, each time anew, so that a renewed certificate is taken up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate_file, settings.key_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
