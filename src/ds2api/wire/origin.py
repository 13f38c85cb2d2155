"""Where requests go: the key of the connection pool."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ds2api.wire.settings import TlsClient

__all__ = ["Origin"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """A server and how to talk to it. Equal origins share connections, so everything that tells two of them apart
    stands here, the client certificate included. `unix_path` replaces the way there, not the name in `host`."""

    scheme: Literal["http", "https"]
    host: str  # without brackets, also for IPv6
    port: int
    unix_path: str | None = None
    tls: TlsClient | None = None

    @property
    def authority(self) -> str:
        """As in a Host field: no default port, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def where(self) -> str:
        """For messages: scheme, host and port."""
        return f"{self.scheme}://{self.authority}" + (f" (unix:{self.unix_path})" if self.unix_path else "")
