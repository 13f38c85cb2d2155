"""The configuration: one TOML file (or the environment) → the rooms' own settings, and every error at once.

Checked by plain code over the standard library's `tomllib`, so that it works without any native part. What may
stand in the file is known from the rooms' settings classes themselves (`_GROUPS`), so a new setting there is
accepted, listed by `ds2api config` and documented without a change here. A wrong line is answered with the file,
the path, what was found, what is allowed and the nearest right name; all wrong lines are told together.

Keys are read here (environment, file, command) and are `Secret` from then on. No message of this file holds one.
"""

from __future__ import annotations

import ipaddress
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from ds2api.accounts import Account, Policy
from ds2api.config_clients import ClientReader, Tags
from ds2api.gateway.callers import Caller
from ds2api.gateway.presets import PRESETS
from ds2api.gateway.providers import Provider
from ds2api.gateway.routes import Route
from ds2api.gateway.settings import Browsers, Deadlines, Retries
from ds2api.records import LogFormat, StateSettings, default_path
from ds2api.stores import StoreLimits
from ds2api.wire.settings import Limits, Timeouts, TlsServer

__all__ = [
    "DEFAULT_LISTEN", "SETTINGS", "Config", "ConfigError", "from_environment", "from_file", "from_mapping",
    "listens_at", "setting_names",
]  # fmt: skip

DEFAULT_LISTEN = "127.0.0.1:8787"

# TOML table → the classes whose fields may stand in it. A field that is no number and no text is not for the file.
SETTINGS: Mapping[str, tuple[type, ...]] = {
    "limits": (Limits,),
    "timeouts": (Timeouts, Deadlines),
    "retries": (Retries,),
    "pool": (Policy, StateSettings),
    "store": (StoreLimits,),
    "browsers": (Browsers,),
}


class ConfigError(Exception):
    """The configuration is wrong. `problems` has one line for each thing to mend."""

    def __init__(self, source: str, problems: list[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))
        self.source = source
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a gateway is built from. `warnings` are for the operator, and stop nothing."""

    source: str
    listen: tuple[str, ...]
    providers: Mapping[str, Provider]
    accounts: tuple[Account, ...]
    routes: tuple[Route, ...] = ()
    callers: tuple[tuple[str, Caller], ...] = ()
    admin_hash: str | None = None
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    deadlines: Deadlines = field(default_factory=Deadlines)
    retries: Retries = field(default_factory=Retries)
    policy: Policy = field(default_factory=Policy)
    store: StoreLimits = field(default_factory=StoreLimits)
    browsers: Browsers = field(default_factory=Browsers)
    listen_tls: TlsServer | None = None
    log: LogFormat = "text"
    sealing_secret: bytes | None = None
    state_path: Path | None = None  # where the pool's state is kept
    warnings: tuple[str, ...] = ()

    @property
    def is_exposed(self) -> bool:
        """Others than this machine can reach it."""
        return any(not _is_local(address) for address in self.listen)


def from_file(path: str | Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read `path`. Raises `ConfigError` with every problem found."""
    path = Path(path)
    table = _table_of(path)
    readable_by_others = bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    reader = _Reader(str(path), environment, readable_by_others=readable_by_others)
    return reader.read(table, default_path(path, reader.environment))


def listens_at(path: Path) -> tuple[tuple[str, ...], TlsServer | None]:
    """Where the gateway that `path` describes listens. Reads no key: whoever only asks it something has none. Raises
    `ConfigError`."""
    table = _table_of(path)
    reader = _Reader(str(path), {})
    found = reader.listen(table.get("listen", DEFAULT_LISTEN)), reader.server_tls(table)
    if reader.problems:
        raise ConfigError(str(path), reader.problems)
    return found


def _table_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"the file cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), ["the file is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from None


def from_mapping(table: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Config:
    """The same for a table that is in memory already (embedding). Raises `ConfigError`."""
    return _Reader("configuration", environment).read(dict(table))


def from_environment(environment: Mapping[str, str]) -> Config | None:
    """Providers whose usual variables (`OPENAI_API_KEY`, …) are set, each with one account for every key in it
    (separated by commas). None if there is none."""
    providers = {
        name: {"accounts": [{"name": "key", "key_env": preset.environment}]}
        for name, preset in PRESETS.items()
        if preset.environment and environment.get(preset.environment, "").strip()
    }
    if not providers:
        return None
    return _Reader("environment", environment).read({"providers": providers})


def setting_names(table: str) -> dict[str, Any]:
    """The settings of one table with their defaults."""
    return {
        one.name: one.default
        for kind in SETTINGS[table]
        for one in fields(kind)
        if isinstance(one.default, int | float | str | tuple)
    }


class _Reader(ClientReader):
    """Reads one table; collects what is wrong instead of stopping at the first."""

    def read(self, table: dict[str, Any], default_state: Path | None = None) -> Config:
        """`default_state`: where the pool's state goes unless the table says otherwise."""
        self.known(
            table,
            "",
            ["listen", "tls", "log", "providers", "models", "callers", "admin", "secret_file", "secret_env", *SETTINGS],
        )
        settings = {name: self.settings(table, name) for name in SETTINGS}
        self.hide_variables(table)
        self.check_placeholders(table, "")
        providers, accounts = self.providers(self.table(table, "providers"))
        tags = Tags(accounts)
        routes = self.routes(self.table(table, "models"), providers, tags)
        callers = self.callers(self.table(table, "callers"), tags)
        listen = self.listen(table.get("listen", DEFAULT_LISTEN))
        log = self.choice(table.get("log", "text"), "log", get_args(LogFormat))
        admin = self.table(table, "admin")
        self.known(admin, "admin", ["key_hash", "key_env"])
        admin_hash = self.hash_of(admin, "admin") if admin else None
        tls = self.server_tls(table)
        secret = self.sealing_secret(table)
        if not providers and not self.problems:
            self.problem(
                "providers",
                "no provider is configured; add for example\n"
                '      [providers.openai]\n      accounts = [{ name = "a", key_env = "OPENAI_API_KEY" }]',
            )
        if self.problems:
            raise ConfigError(self.source, self.problems)
        return Config(
            self.source,
            listen,
            providers,
            tuple(accounts),
            tuple(routes),
            tuple(callers),
            admin_hash,
            settings["limits"][Limits],
            settings["timeouts"][Timeouts],
            settings["timeouts"][Deadlines],
            settings["retries"][Retries],
            settings["pool"][Policy],
            settings["store"][StoreLimits],
            settings["browsers"][Browsers],
            tls,
            log or "text",
            secret,
            _state_path(settings["pool"][StateSettings].state_file, default_state),
            tuple(self.warnings),
        )

    def settings(self, table: Mapping[str, Any], name: str) -> dict[type, Any]:
        given = self.table(table, name)
        self.known(given, name, setting_names(name))
        built: dict[type, Any] = {}
        for kind in SETTINGS[name]:
            values: dict[str, Any] = {}
            for one in fields(kind):
                if one.name in given and isinstance(one.default, bool):
                    values[one.name] = self.boolean(given, one.name, name)
                elif one.name in given and isinstance(one.default, int | float):
                    whole = one.type in (int, "int")
                    value = self.number(given, one.name, name, whole=whole, least=0 if one.name == "max" else 0.001)
                    if value is not None:
                        values[one.name] = value
                elif one.name in given and isinstance(one.default, tuple):
                    values[one.name] = self.texts(given, one.name, name, '["https://chat.example.com"]') or ()
                elif one.name in given and isinstance(one.default, str):
                    values[one.name] = self.text(given, one.name, name) or one.default
            built[kind] = kind(**values)
        return built

    # -- the parts

    def listen(self, value: Any) -> tuple[str, ...]:
        addresses = [value] if isinstance(value, str) else value
        if not isinstance(addresses, list) or not addresses or not all(isinstance(a, str) for a in addresses):
            self.wrong("listen", value, f'an address like "{DEFAULT_LISTEN}" or "unix:/run/ds2api.sock", or a list')
            return (DEFAULT_LISTEN,)
        for address in addresses:
            if not address.startswith(("unix:", "fd:")) and not _is_host_port(address):
                self.wrong("listen", address, f'host:port like "{DEFAULT_LISTEN}", "unix:/path" or "fd:3"')
        return tuple(addresses)

    def server_tls(self, table: Mapping[str, Any]) -> TlsServer | None:
        tls = self.table(table, "tls")
        if not tls:
            return None
        self.known(tls, "tls", ["certificate_file", "key_file"])
        certificate, key = self.text(tls, "certificate_file", "tls"), self.text(tls, "key_file", "tls")
        for name, file in (("certificate_file", certificate), ("key_file", key)):
            if file is None:
                self.problem(f"tls.{name}", "is missing: the path of a PEM file")
            elif not Path(file).is_file():
                self.problem(f"tls.{name}", f"there is no file {file!r}")
        return TlsServer(certificate, key) if certificate and key else None


def _state_path(setting: str, default: Path | None) -> Path | None:
    if setting == "auto":
        return default
    return None if setting == "off" else Path(setting).expanduser()


def _is_host_port(address: str) -> bool:
    host, colon, port = address.rpartition(":")
    return bool(colon and host and port.isdecimal() and int(port) < 65536)


def _is_local(address: str) -> bool:
    if address.startswith(("unix:", "fd:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
