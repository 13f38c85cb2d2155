"""Providers: named upstreams, the dialects they speak, where, and how a key is shown to them.

`PRESETS` is what a newcomer need not know: base URLs and header styles, each from the provider's own documents.
Everything else is built from the configuration by `endpoint`.

One function makes an endpoint's path of a base URL, however its user wrote it (R144): with or without the
version, with or without a slash. A URL that already names the endpoint is refused with a hint, since whatever
follows it would be doubled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import quote, urlsplit

from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.secret import Secret
from ds2api.wire.settings import TlsClient
from ds2api.wire.upstream import Origin

__all__ = ["AUTH_STYLES", "PRESETS", "AuthStyle", "Endpoint", "Preset", "Provider", "endpoint"]

AuthStyle = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "none"]
AUTH_STYLES: tuple[AuthStyle, ...] = get_args(AuthStyle)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_VERSION = re.compile(r"^v\d+(?:(?:alpha|beta)\d*)?$")


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a provider by its name. `models` are patterns of its own model names: they decide where
    a plain name goes when several providers are configured and no `[models]` table says it."""

    base_urls: Mapping[str, str]  # dialect → base URL, the preferred dialect first
    auth: Mapping[str, AuthStyle] = field(default_factory=dict)  # dialect → style; "bearer" where not said
    flavour: str = ""
    models: tuple[str, ...] = ()
    environment: str = ""  # where its users keep their keys


PRESETS: Mapping[str, Preset] = {
    # developers.openai.com/api/reference; platform.claude.com/docs/en/api (x-api-key is taken by both versions)
    "openai": Preset(
        {"chat": "https://api.openai.com/v1"},
        flavour="openai",
        models=("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "codex-*"),
        environment="OPENAI_API_KEY",
    ),
    "anthropic": Preset(
        {"messages": "https://api.anthropic.com/v1"},
        {"messages": "x-api-key"},
        models=("claude-*",),
        environment="ANTHROPIC_API_KEY",
    ),
    # api-docs.deepseek.com (guides/anthropic_api)
    "deepseek": Preset(
        {"chat": "https://api.deepseek.com", "messages": "https://api.deepseek.com/anthropic"},
        {"messages": "x-api-key"},
        flavour="deepseek",
        models=("deepseek-*",),
        environment="DEEPSEEK_API_KEY",
    ),
    # openrouter.ai/docs/api/reference/overview
    "openrouter": Preset(
        {"chat": "https://openrouter.ai/api/v1"}, flavour="openrouter", environment="OPENROUTER_API_KEY"
    ),
    # console.groq.com/docs/openai
    "groq": Preset({"chat": "https://api.groq.com/openai/v1"}, flavour="groq", environment="GROQ_API_KEY"),
    # docs.mistral.ai/api
    "mistral": Preset(
        {"chat": "https://api.mistral.ai/v1"},
        flavour="mistral",
        models=("mistral-*", "open-mi*", "codestral-*", "ministral-*", "magistral-*"),
        environment="MISTRAL_API_KEY",
    ),
    # docs.ollama.com/api/openai-compatibility and anthropic-compatibility
    "ollama": Preset({"chat": "http://127.0.0.1:11434/v1", "messages": "http://127.0.0.1:11434/v1"}, {"chat": "none"}),
}


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
        target = self.base_path.replace("{model}", quote(model, safe="")) + path
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
        return [(self.auth, secret.reveal())]


@dataclass(frozen=True, slots=True)
class Provider:
    """A named upstream. `endpoints` by dialect, the preferred one first; `secrets` by account id."""

    name: str
    endpoints: Mapping[str, Endpoint]
    secrets: Mapping[str, Secret | None]
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
) -> Endpoint:
    """The endpoint at `base_url`. Raises `ValueError` with what to write instead."""
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
        path = path.removesuffix("/v1").removesuffix("/api") + "/api"
    elif "{model}" not in path and not any(_VERSION.match(segment) for segment in path.strip("/").split("/")):
        path = path.rstrip("/") + speaks.version_prefix
    origin = Origin(url.scheme, url.hostname, port, unix_path, tls)  # type: ignore[arg-type]
    return Endpoint(dialect, origin, path, auth, flavour, tuple(headers), url.query)
