"""Which proxy an origin is reached through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl reads them.

* Both cases of a name count, the lower one first. HTTP_PROXY in capitals is ignored in a CGI program
  (REQUEST_METHOD is set there, and HTTP_PROXY is the client's header `Proxy`).
* A proxy is `http://[user:password@]host[:port]`, the scheme may be left out. TLS to the proxy itself and SOCKS are
  not supported and refused by name, but only where such a proxy would be used.
* NO_PROXY is a list of names, suffixes (`.example.com`, `*.example.com` and `example.com` all match both the domain
  and what is below it), addresses, networks (`10.0.0.0/8`), each with an optional port, or `*`.

Credentials never show in a repr.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

__all__ = ["Proxies", "Proxy"]

# What curl takes for a proxy without a port.
_DEFAULT_PORT = 1080


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy. `authorization` is the whole value of `proxy-authorization`."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Bypass:
    """One entry of NO_PROXY."""

    domain: str = ""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    port: int | None = None

    def matches(self, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        return address is None and (host == self.domain or host.endswith("." + self.domain))


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of a program: one for each scheme, and who is reached without."""

    http: Proxy | None = None
    https: Proxy | None = None
    bypass_all: bool = False
    bypass: tuple[_Bypass, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies:
        """Read the variables. Raises `ValueError` naming the variable for what cannot be used."""

        def value(name: str) -> tuple[str, str]:
            for spelling in (name.lower(), name):
                if spelling == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
                    continue
                if found := environment.get(spelling, "").strip():
                    return spelling, found
            return name, ""

        chosen: dict[str, Proxy | None] = {}
        for scheme in ("http", "https"):
            variable, text = value(f"{scheme.upper()}_PROXY")
            if not text:
                variable, text = value("ALL_PROXY")
            chosen[scheme] = _read_proxy(variable, text) if text else None
        variable, text = value("NO_PROXY")
        entries = [entry for entry in text.replace(",", " ").split() if entry]
        return cls(
            http=chosen["http"],
            https=chosen["https"],
            bypass_all="*" in entries,
            bypass=tuple(_read_bypass(variable, entry) for entry in entries if entry != "*"),
        )

    def choose(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for an origin, None for a direct connection."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or self.bypass_all:
            return None
        host = host.lower().rstrip(".")
        address = _address(host)
        if any(entry.matches(host, address, port) for entry in self.bypass):
            return None
        return proxy


def _read_proxy(variable: str, text: str) -> Proxy:
    parts = urlsplit(text if "://" in text else "http://" + text)
    if parts.scheme != "http":
        raise ValueError(f"{variable}: a proxy of the kind {parts.scheme!r} is not supported, only http://host:port is")
    try:
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        raise ValueError(f"{variable}: the port is no number from 1 to 65535; expected http://host:port") from None
    if not host:
        raise ValueError(f"{variable}: no host in it; expected http://host:port")
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(credentials.encode()).decode()
    return Proxy(host, port, authorization)


def _read_bypass(variable: str, entry: str) -> _Bypass:
    try:
        return _Bypass(network=ipaddress.ip_network(entry.strip("[]"), strict=False))
    except ValueError:
        pass  # a name, or something with a port
    host, colon, port_text = entry.rpartition(":")
    port = None
    if colon:
        if not port_text.isascii() or not port_text.isdigit():
            raise ValueError(f"{variable}: {entry[:80]!r} is no host, address, network or host:port")
        port = int(port_text)
    else:
        host = entry
    address = _address(host.strip("[]"))
    if address is not None:
        return _Bypass(network=ipaddress.ip_network(address), port=port)
    return _Bypass(domain=host.lower().removeprefix("*").strip("."), port=port)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
