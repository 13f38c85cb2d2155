"""Where keys come from: the environment, a file, a command, or (with a warning) the configuration itself.

A key is a `Secret` from here on, and no message of this file holds one.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ds2api.config_values import ValueReader, joined, shown
from ds2api.gateway.presets import PRESETS
from ds2api.gateway.secret import Secret

__all__ = ["KEY_WAYS", "KeySources"]

KEY_WAYS = ("key", "key_env", "key_file", "key_command")

# `pass`, `op read` and cloud CLIs answer within a few seconds, or wait for a person, whom nobody sees here.
_KEY_COMMAND_S = 10.0
# Where container engines and systemd mount secrets, often for all to read, since nobody else is in there.
_MOUNTED = ("/run/secrets/", "/var/run/secrets/", "/run/credentials/")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _named_variables(table: Mapping[str, Any]) -> Iterator[str]:
    """The variables that any `…_env` in `table` names."""
    for name, value in table.items():
        if isinstance(value, str) and name in ("key_env", "secret_env"):
            yield value
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _named_variables(one)


class KeySources(ValueReader):
    """A `ValueReader` that can fetch keys. `readable_by_others`: the configuration file is."""

    def __init__(self, source: str, environment: Mapping[str, str] | None, *, readable_by_others: bool = False) -> None:
        super().__init__()
        self.source = source
        self.environment = os.environ if environment is None else environment
        self.readable_by_others = readable_by_others
        # Names of variables that hold keys: the usual ones, and those that the configuration names (`read`).
        self.key_variables = {preset.environment for preset in PRESETS.values() if preset.environment}

    def hide_variables(self, table: Mapping[str, Any]) -> None:
        """Key commands are not to see what the variables hold that `table` names."""
        self.key_variables.update(_named_variables(table))

    def keys(self, one: Mapping[str, Any], where: str) -> list[Secret | None]:
        """The keys that one account entry names; several in one variable make several accounts."""
        named = [word for word in KEY_WAYS if word in one]
        if len(named) != 1:
            found = " and ".join(named) or "none"
            self.problem(where, f"found {found}, wanted exactly one of key_env, key_file, key_command, key")
            return []
        way = named[0]
        path = joined(where, way)
        value = one[way]
        if way == "key_command":
            text = self.command_output(value, path)
        elif not isinstance(value, str) or not value.strip():
            self.problem(path, "wanted a text that is not empty")
            return []
        elif way == "key_env":
            text = self.variable(value, path)
        elif way == "key_file":
            text = self.key_file(value, path)
        else:
            text = value
            if self.readable_by_others:
                self.warnings.append(
                    f"{self.source}: {path}: a key stands in a file that others on this machine can read"
                )
        if text is None:
            return []
        found_keys = [key.strip() for key in text.split(",") if key.strip()] if way == "key_env" else [text.strip()]
        for key in found_keys:
            if not key.isascii() or not key.isprintable() or " " in key:
                self.problem(path, "what stands there is no key: it holds spaces, line breaks or non-ASCII characters")
                return []
        if not found_keys or not found_keys[0]:
            self.problem(path, "is empty")
            return []
        return [Secret(key) for key in found_keys]

    def variable(self, name: str, path: str) -> str | None:
        value = self.environment.get(name)
        if not _VARIABLE.fullmatch(name):
            self.problem(path, "is no name of an environment variable (does the key itself stand there?)")
        elif value is None:
            self.problem(path, f"the environment variable {name} is not set")
        elif not value.strip():
            self.problem(path, f"the environment variable {name} is set, but empty")
        else:
            return value
        return None

    def key_file(self, name: str, path: str) -> str | None:
        """What stands in a file that nobody but its owner may read: one of ours that others can is refused, one that
        was mounted for us is told of."""
        try:
            status = Path(name).stat()
            if os.name == "posix" and status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
                if status.st_uid == os.geteuid() and not str(Path(name).absolute()).startswith(_MOUNTED):
                    self.problem(path, f"{shown(name)} can be read by others on this machine: chmod 600 it")
                    return None
                self.warnings.append(f"{self.source}: {path}: {shown(name)} can be read by others on this machine")
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.problem(path, f"{shown(name)} cannot be read: {reason}")
            return None

    def command_output(self, value: Any, path: str) -> str | None:
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            self.wrong(path, value, 'a list of words, run without a shell: ["pass", "show", "openai"]')
            return None
        try:
            done = subprocess.run(  # noqa: S603 (the operator's own command, an argument list, no shell)
                value,
                capture_output=True,
                timeout=_KEY_COMMAND_S,
                check=False,
                stdin=subprocess.DEVNULL,
                env={name: text for name, text in os.environ.items() if name not in self.key_variables},
            )
        except OSError as error:
            self.problem(path, f"{shown(value[0])} cannot be run: {error.strerror}")
            return None
        except subprocess.TimeoutExpired:
            self.problem(path, f"{shown(value[0])} did not end within {_KEY_COMMAND_S:g} s")
            return None
        if done.returncode != 0:
            self.problem(path, f"{shown(value[0])} ended with {done.returncode}; run it by hand to see why")
            return None
        return done.stdout.decode("utf-8", "replace").strip()

    def sealing_secret(self, table: Mapping[str, Any]) -> bytes | None:
        if "secret_env" in table:
            name = self.text(table, "secret_env", "")
            text = self.variable(name, "secret_env") if name else None
        elif "secret_file" in table:
            name = self.text(table, "secret_file", "")
            text = self.key_file(name, "secret_file") if name else None
        else:
            return None
        if text is None:
            return None
        if len(text) < 32:
            self.problem("secret_file" if "secret_file" in table else "secret_env", "wanted at least 32 characters")
        return text.encode()
