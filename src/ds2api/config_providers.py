"""The `[providers]` part of the configuration: where each provider is, how it speaks, with which accounts.

A provider with a preset's name needs only its accounts; any other says its dialects and base URL. Every complaint
tells what could be written instead.
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ds2api.accounts import Account
from ds2api.config_accounts import AccountReader
from ds2api.config_values import joined
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.presets import AUTH_STYLES, PRESETS, AuthStyle
from ds2api.gateway.providers import Endpoint, Provider, endpoint
from ds2api.wire.settings import TlsClient

__all__ = ["AUTH_OF_DIALECT", "ProviderReader"]

# How each dialect's own servers want their key.
AUTH_OF_DIALECT: Mapping[str, AuthStyle] = {"messages": "x-api-key", "gemini": "x-goog-api-key"}


def _has_keys(given: Mapping[str, Any]) -> bool:
    listed = given.get("accounts")
    accounts = listed if isinstance(listed, list) else []
    return any(word.startswith("key") for one in accounts if isinstance(one, dict) for word in one)


class ProviderReader(AccountReader):
    """Reads providers with their accounts."""

    def providers(self, table: Mapping[str, Any]) -> tuple[dict[str, Provider], list[Account]]:
        providers: dict[str, Provider] = {}
        accounts: list[Account] = []
        for name, given in table.items():
            path = f"providers.{name}"
            if not isinstance(given, dict):
                self.wrong(path, given, f"a table: [{path}]")
                continue
            if "/" in name or "*" in name or not name.isprintable():
                self.problem(path, "a provider's name holds no `/` and no `*`: targets are written provider/model")
                continue
            endpoints = self.endpoints(name, given, path)
            own, secrets = self.accounts(name, given, path, endpoints)
            accounts += own
            if endpoints:
                first_byte = self.number(given, "first_byte_idle_s", path)
                event = self.number(given, "event_idle_s", path)
                most = self.number(given, "default_max_output_tokens", path, whole=True, least=1)
                streaming = self.choice(
                    given.get("streaming", "both"), joined(path, "streaming"), ("both", "always", "never")
                )
                providers[name] = Provider(
                    name,
                    endpoints,
                    secrets,
                    PRESETS[name].models if name in PRESETS else (),
                    first_byte,
                    event,
                    self.text(given, "anthropic_version", path) or "2023-06-01",
                    None if most is None else int(most),
                    streaming or "both",
                )
        self.shared_keys(providers.values())
        return providers, accounts

    def endpoints(self, name: str, given: Mapping[str, Any], path: str) -> dict[str, Endpoint]:
        preset = PRESETS.get(name)
        self.known(
            given,
            path,
            [
                "accounts",
                "limits",
                "day_zone",
                "dialects",
                "base_url",
                "auth",
                "flavour",
                "headers",
                "ca_file",
                "certificate_file",
                "key_file",
                "unix",
                "first_byte_idle_s",
                "event_idle_s",
                "anthropic_version",
                "default_max_output_tokens",
                "streaming",
            ],
        )
        urls = self.base_urls(given, path, dict(preset.base_urls) if preset else None)
        if urls is None:
            return {}
        tls = self.client_tls(given, path)
        flavour = self.text(given, "flavour", path) or (preset.flavour if preset else "")
        headers = self.headers(given, path)
        built: dict[str, Endpoint] = {}
        for dialect, url in urls.items():
            auth: AuthStyle = (
                AUTH_OF_DIALECT.get(dialect, "bearer") if preset is None else preset.auth.get(dialect, "bearer")
            )
            if auth == "none" and _has_keys(given):  # a local server behind a key of its user's
                auth = AUTH_OF_DIALECT.get(dialect, "bearer")
            elif dialect == "ollama" and "accounts" not in given:
                auth = "none"
            if "auth" in given:
                auth = self.choice(given["auth"], joined(path, "auth"), AUTH_STYLES) or auth
            try:
                built[dialect] = endpoint(
                    dialect,
                    url,
                    auth=auth,
                    flavour=flavour,
                    headers=headers,
                    tls=tls,
                    unix_path=self.text(given, "unix", path),
                    is_bare=preset is not None and preset.is_bare,
                )
            except ValueError as error:
                self.problem(joined(path, "base_url"), str(error))
        return built

    def base_urls(self, given: Mapping[str, Any], path: str, preset: dict[str, str] | None) -> dict[str, str] | None:
        dialects = given.get("dialects")
        if dialects is not None:
            if not isinstance(dialects, list) or not dialects:
                self.wrong(joined(path, "dialects"), dialects, "a list like " + str(list(DIALECTS)))
                return None
            for dialect in dialects:
                if dialect not in list(DIALECTS):  # a list, since what stands there may be anything
                    self.wrong(joined(path, "dialects"), dialect, " or ".join(f'"{known}"' for known in DIALECTS))
                    return None
        url = given.get("base_url")
        if url is None:
            if preset is None:
                nearest = difflib.get_close_matches(path.rpartition(".")[2], PRESETS, n=1)
                hint = f" Or did you mean the preset [providers.{nearest[0]}]?" if nearest else ""
                self.problem(
                    path,
                    "is no preset, so it needs `base_url` and `dialects`; presets: " + ", ".join(PRESETS) + "." + hint,
                )
                return None
            if not any(preset.values()):
                self.problem(joined(path, "base_url"), "is missing: this provider gives each customer a URL of its own")
                return None
            return {dialect: preset[dialect] for dialect in dialects or preset if dialect in preset}
        if isinstance(url, str):
            speaks = dialects or list(preset or ())
            if not speaks:
                self.problem(joined(path, "dialects"), f"is missing: how it speaks, of {list(DIALECTS)}")
                return None
            return dict.fromkeys(speaks, url)
        if isinstance(url, dict) and url and all(isinstance(one, str) for one in url.values()):
            for dialect in url:
                if dialect not in list(DIALECTS):  # a list, since what stands there may be anything
                    self.wrong(joined(path, "base_url"), dialect, " or ".join(f'"{known}"' for known in DIALECTS))
                    return None
            return {dialect: url[dialect] for dialect in dialects or url if dialect in url}
        self.wrong(joined(path, "base_url"), url, 'a URL, or one for each dialect: { chat = "…", messages = "…" }')
        return None

    def client_tls(self, given: Mapping[str, Any], path: str) -> TlsClient | None:
        names = ("ca_file", "certificate_file", "key_file")
        files = {name: self.text(given, name, path) for name in names}
        for name, file in files.items():
            if file is not None and not Path(file).is_file():
                self.problem(joined(path, name), f"there is no file {file!r}")
        return TlsClient(**files) if any(files.values()) else None

    def headers(self, given: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
        headers = self.table(given, "headers", path)
        built = []
        for name, value in headers.items():
            where = joined(path, f"headers.{name}")
            if not isinstance(value, str) or any(ord(character) < 32 for character in value):
                self.wrong(where, value, "a text without line breaks")
            elif not name or not all(character in string.ascii_letters + string.digits + "-_" for character in name):
                self.problem(where, "a header's name is made of letters, digits, `-` and `_`")
            elif name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
                self.problem(where, "this header is the gateway's own")
            else:
                built.append((name.lower(), value))
        return built
