"""Providers: named upstreams, the dialects they speak, where, and how a key is shown to them.

Built from the configuration by `endpoint`; what is known of a provider by its name alone is in `presets`.

One function makes an endpoint's path of a base URL, however its user wrote it (R144): with or without the
version, with or without a slash. A URL that already names the endpoint is refused with a hint, since whatever
follows it would be doubled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.presets import AuthStyle
from ds2api.gateway.secret import Secret
from ds2api.wire.settings import TlsClient
from ds2api.wire.upstream import Origin

__all__ = ["Endpoint", "Provider", "endpoint"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_VERSION = re.compile(r"^v\d+(?:(?:alpha|beta)\d*)?$")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider speaks one dialect. `base_path` ends without a slash and holds the version."""

    dialect: str
    origin: Origin
    base_path: str
    auth: AuthStyle = "bearer"
    flavour: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # sent with every request, from the configuration
    query: str = ""  # likewise (Azure's `api-version`)

    def target(self, path: str, model: str = "") -> str:
        """The request target for the dialect's own `path`. A ``{model}`` in the base path stands for `model`."""
        base = self.base_path
        target = (base.replace("{model}", quote(model, safe="")) if "{" in base else base) + path
        if not self.query:
            return target
        return f"{target}{'&' if '?' in target else '?'}{self.query}"

    @property
    def url(self) -> str:
        """For people: what requests are sent to, before the dialect's own path."""
        if self.origin.unix_path is not None:
            return f"unix:{self.origin.unix_path}{self.base_path}"
        shown_port = "" if self.origin.port == _DEFAULT_PORTS[self.origin.scheme] else f":{self.origin.port}"
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        return f"{self.origin.scheme}://{host}{shown_port}{self.base_path}"

    def credential(self, secret: Secret | None) -> list[tuple[str, str]]:
        """The header that shows `secret` to this provider. The one place where a key is revealed."""
        if secret is None or self.auth == "none":
            return []
        if self.auth == "bearer":
            return [("authorization", f"Bearer {secret.reveal()}")]
        names = ("x-api-key", "api-key") if self.auth == "foundry" else (self.auth,)
        return [(name, secret.reveal()) for name in names]


@dataclass(frozen=True, slots=True)
class Provider:
    """A named upstream. `endpoints` by dialect, the preferred one first; `secrets` by account id."""

    name: str
    endpoints: Mapping[str, Endpoint]
    secrets: dict[str, Secret | None]  # one book for all configurations in which the provider is at this place
    models: tuple[str, ...] = ()  # patterns of its own model names
    first_byte_idle_s: float | None = None
    event_idle_s: float | None = None
    anthropic_version: str = "2023-06-01"
    default_max_output_tokens: int | None = None
    streaming: Literal["both", "always", "never"] = "both"  # what its server can do

    def streams(self, wanted: bool) -> bool:
        """Whether to ask for a stream, given what the client wants: the gather lane makes up the difference."""
        return wanted if self.streaming == "both" else self.streaming == "always"

    def endpoint_at(self, path: str) -> tuple[Endpoint, str]:
        """The endpoint whose API `path` belongs to, and what of it stands behind the endpoint's base. Clients write
        the provider's own whole path, or only what follows its base URL."""
        listed = sorted(self.endpoints.values(), key=lambda one: -len(one.base_path))
        for one in listed:
            if path.startswith(one.base_path + "/"):
                return one, path[len(one.base_path) :]
        return next(iter(self.endpoints.values())), path

    def endpoint_for(self, dialect: str) -> Endpoint:
        """The client's own dialect if this provider speaks it, else its preferred one."""
        return self.endpoints.get(dialect) or next(iter(self.endpoints.values()))


def endpoint(
    dialect: str,
    base_url: str,
    *,
    auth: AuthStyle = "bearer",
    flavour: str = "",
    headers: Sequence[tuple[str, str]] = (),
    tls: TlsClient | None = None,
    unix_path: str | None = None,
    is_bare: bool = False,
) -> Endpoint:
    """The endpoint at `base_url`; `is_bare`: this API has no version in its path. Raises `ValueError` with what to
    write instead."""
    url = urlsplit(base_url)
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        raise ValueError(f"{base_url!r} is not an http:// or https:// URL with a host name")
    if url.username or url.password:
        raise ValueError("a base URL holds no user name or key; put the key into `accounts`")
    if url.fragment:
        raise ValueError(f"{base_url!r}: a base URL has no fragment")
    if not all(part.startswith("api-version=") for part in url.query.split("&") if part):
        raise ValueError(f"{base_url!r}: of a query only `api-version=…` belongs to a base URL")
    try:
        port = url.port or _DEFAULT_PORTS[url.scheme]
    except ValueError:
        raise ValueError(f"{base_url!r}: the port is not a number from 1 to 65535") from None
    speaks = DIALECTS[dialect]
    path = "/" + "/".join(segment for segment in url.path.split("/") if segment)
    if path.endswith(speaks.generate_path) and path.removesuffix(speaks.generate_path).strip("/"):
        without = base_url[: base_url.rindex(speaks.generate_path)]
        raise ValueError(f"{base_url!r} names the endpoint itself; write the base URL, {without!r}")
    if speaks.version_prefix == "/api":
        # Ollama's own API has no version; users take the URL that clients of chat are given.
        path = path.rstrip("/").removesuffix("/v1").removesuffix("/api") + "/api"
    elif (
        not is_bare
        and "{model}" not in path
        and not any(_VERSION.match(segment) for segment in path.strip("/").split("/"))
    ):
        path = path.rstrip("/") + speaks.version_prefix
    origin = Origin(url.scheme, url.hostname, port, unix_path, tls)  # type: ignore[arg-type]
    return Endpoint(dialect, origin, path, auth, flavour, tuple(headers), url.query)
