"""What the command line does around a gateway: where the configuration comes from, and what a person is told.

The banner is five lines: what is running, where, with which models and accounts, and what to try next. Keys are
shown by their last four characters, never more.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib import import_module, util
from pathlib import Path

from ds2api import __version__
from ds2api.config import Config, from_environment, from_file, from_mapping
from ds2api.demo import DemoUpstream, demo_table
from ds2api.gateway.callers import ANONYMOUS
from ds2api.gateway.catalogue import Catalogue, Listing, list_models
from ds2api.gateway.routes import Routes
from ds2api.service import Gateway
from ds2api.wire.settings import Proxies
from ds2api.wire.upstream import Client

__all__ = ["adjusted", "banner", "live_table", "load", "load_file_or_environment", "model_lines", "runtime", "summary"]

_DEFAULT_FILE = Path("ds2api.toml")
_SHOWN = 6


def load_file_or_environment(file: Path | None, environment: Mapping[str, str]) -> Config | None:
    """The configuration that `file`, ./ds2api.toml or the environment gives; None if there is none of them.

    Raises `ConfigError`.
    """
    if file is not None:
        return from_file(file, environment)
    if _DEFAULT_FILE.exists():
        return from_file(_DEFAULT_FILE, environment)
    return from_environment(environment)


async def load(
    file: Path | None, environment: Mapping[str, str], stack: AsyncExitStack, *, demo: bool = False
) -> tuple[Config, str]:
    """The same, with the demo (started on `stack`) where there is nothing else; and in words where it is from."""
    config = None if demo else load_file_or_environment(file, environment)
    if config is None:
        upstream = await stack.enter_async_context(DemoUpstream())
        config = from_mapping(demo_table(upstream.base_url), environment)
        return replace(config, source="demo", warnings=()), "the built-in demo (no key, no network)"
    if config.source == "environment":
        return config, "the provider keys in the environment"
    return config, config.source


def adjusted(config: Config, *, listen: list[str] | None, log: str | None) -> Config:
    """`config` with what the command line says instead."""
    if listen is not None:
        config = replace(config, listen=tuple(listen))
    if log is not None:
        config = replace(config, log=log)  # type: ignore[arg-type]
    return config


def banner(gateway: Gateway, what: str) -> str:
    """The five lines that `serve` begins with."""
    config, url = gateway.config, gateway.url
    models = _shortened([name for name, _ in gateway.house.routes.names(ANONYMOUS)] or _free_models(config))
    model = "demo" if config.source == "demo" else "MODEL"
    callers = f"callers need a key ({len(config.callers)} known)" if config.callers else "no caller key is needed"
    key = "-H 'authorization: Bearer KEY' " if config.callers else ""
    return "\n".join(
        (
            f"ds2api {__version__} serves {what}",
            f"  at        {', '.join(_shown_address(one, config) for one in gateway.addresses)}; {callers}",
            f"  models    {models}",
            f"  accounts  {_accounts(config)}",
            (
                f"  try       curl {url}/v1/chat/completions {key}-H 'content-type: application/json' -d "
                f'\'{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hello!"}}]}}\''
            ),
        )
    )


def summary(config: Config) -> str:
    """What a configuration says, a line a provider, for `check`."""
    lines = [f"{config.source}: listens on {', '.join(config.listen)}"]
    for provider in config.providers.values():
        for endpoint in provider.endpoints.values():
            path = f"{endpoint.url}"
            lines.append(f"  {provider.name:<14} {endpoint.dialect:<9} {path}")
        shown = ", ".join(
            f"{account_id.partition('/')[2]} {secret.shown if secret else '(no key)'}"
            for account_id, secret in provider.secrets.items()
        )
        lines.append(f"  {'':<14} accounts  {shown}")
    lines += [f"  model {route.name} → {', '.join(route.targets)}" for route in config.routes]
    callers = ", ".join(caller.name for _, caller in config.callers) or "none (open to whoever reaches it)"
    lines.append(f"  callers: {callers}")
    return "\n".join(lines)


async def live_table(config: Config, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Ask each account's provider for its models: a row an account, and whether all keys work."""
    client = Client(limits=config.limits, timeouts=config.timeouts, proxies=Proxies.from_environment(environment))
    rows = [("ACCOUNT", "KEY", "URL", "RESULT")]
    asked = [
        (provider, account_id, secret)
        for provider in config.providers.values()
        for account_id, secret in provider.secrets.items()
    ]
    try:
        listings = await asyncio.gather(*(list_models(client, provider, secret) for provider, _, secret in asked))
    finally:
        client.close()
    for (provider, account_id, secret), listing in zip(asked, listings, strict=True):
        url = next(iter(provider.endpoints.values())).url
        rows.append((account_id, secret.shown if secret else "(none)", url, _result(listing)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )
    return table, all(listing.problem is None for listing in listings)


async def model_lines(config: Config, environment: Mapping[str, str]) -> list[str]:
    """The model names that clients may use, a line each. Providers are asked where no table names them."""
    client = Client(limits=config.limits, timeouts=config.timeouts, proxies=Proxies.from_environment(environment))
    catalogue = Catalogue()
    try:
        await catalogue.refresh(client, config.providers)
    finally:
        client.close()
    routes = Routes(config.providers, config.routes, catalogue.names)
    patterns = [
        f"{route.name}  (a pattern → {', '.join(route.targets)})" for route in config.routes if route.is_pattern
    ]
    return [name for name, _ in routes.names(ANONYMOUS)] + patterns


def runtime() -> str:
    """What it runs on: Python, and which native parts are there."""
    native = [f"{name} {_installed(name)}" for name in ("uvloop", "orjson") if util.find_spec(name) is not None]
    missing = [name for name in ("uvloop", "orjson") if util.find_spec(name) is None]
    words = [f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"]
    words.append("with " + ", ".join(native) if native else "in pure Python")
    if missing:
        words.append(f"without {', '.join(missing)} (slower, otherwise the same)")
    return ", ".join(words)


def _installed(name: str) -> str:
    """The version of what would really be imported, which package metadata need not be."""
    return str(getattr(import_module(name), "__version__", "(unknown version)"))


def _result(listing: Listing) -> str:
    if listing.problem is None:
        return f"works, {len(listing.models)} models"
    return f"{listing.status or 'no answer'}: {listing.problem}"


def _free_models(config: Config) -> list[str]:
    patterns = [pattern for provider in config.providers.values() for pattern in provider.models]
    return [route.name for route in config.routes] or patterns or ["whatever the provider has"]


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more (`ds2api models`)"


def _accounts(config: Config) -> str:
    shown = []
    for provider in config.providers.values():
        keys = [
            f"{account_id.partition('/')[2]} {secret.shown}" if secret else account_id.partition("/")[2]
            for account_id, secret in provider.secrets.items()
        ]
        shown.append(f"{provider.name} ({_shortened(keys)})")
    return "; ".join(shown)


def _shown_address(address: str, config: Config) -> str:
    if address.startswith("unix:"):
        return address
    return f"{'https' if config.listen_tls else 'http'}://{address}"
