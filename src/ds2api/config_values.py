"""Typed values out of a configuration table, and what is said of wrong ones.

Every complaint has the path of the value, what was found and what is wanted; all are collected, so that a person
mends a file once. What is long and random enough to be a key is never repeated: people put keys into the wrong
place.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ds2api.gateway.secret import Secret

__all__ = ["ValueReader", "joined", "shown"]

_LIKE_A_KEY = re.compile(r"[A-Za-z0-9_-]{20,}")


# `$${NAME}`, by which those programs mean the very text, is left alone.
_PLACEHOLDER = re.compile(r"(?<!\$)\$\{(\w+)\}")


class ValueReader:
    """Reads values; `problems` and `warnings` grow as it goes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def problem(self, path: str, text: str) -> None:
        self.problems.append(f"{path}: {text}" if path else text)

    def wrong(self, path: str, value: Any, wanted: str) -> None:
        self.problem(path, f"found {shown(value)}, wanted {wanted}")

    def known(self, table: Mapping[str, Any], path: str, names: Iterable[str]) -> None:
        allowed = list(names)
        for name in table:
            if name not in allowed:
                nearest = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
                hint = f"did you mean `{nearest[0]}`?" if nearest else f"allowed here: {', '.join(sorted(allowed))}"
                self.problem(joined(path, name), f"there is no such setting; {hint}")

    def table(self, table: Mapping[str, Any], name: str, path: str = "") -> dict[str, Any]:
        value = table.get(name, {})
        if isinstance(value, dict):
            return value
        self.wrong(joined(path, name), value, f"a table: [{joined(path, name)}]")
        return {}

    def text(self, table: Mapping[str, Any], name: str, path: str) -> str | None:
        value = table.get(name)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        self.wrong(joined(path, name), value, "a text that is not empty")
        return None

    def check_placeholders(self, value: Any, path: str) -> None:
        """Other programs put a variable where `${NAME}` stands; taken as it is, it would be a key that is none."""
        if isinstance(value, dict):
            for name, one in value.items():
                self.check_placeholders(one, joined(path, name) if path else name)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                self.check_placeholders(one, f"{path}[{number}]")
        elif isinstance(value, str) and (found := _PLACEHOLDER.search(value)):
            self.problem(path, f"{found[0]} is not expanded here; write a key as key_env = {found[1]!r}")

    def boolean(self, table: Mapping[str, Any], name: str, path: str) -> bool:
        value = table.get(name)
        if not isinstance(value, bool):
            self.wrong(joined(path, name), value, "true or false")
        return value is True

    def texts(self, table: Mapping[str, Any], name: str, path: str, example: str) -> tuple[str, ...] | None:
        value = table.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self.wrong(joined(path, name), value, f"a list of texts like {example}")
            return None
        return tuple(value)

    def number(
        self,
        table: Mapping[str, Any],
        name: str,
        path: str,
        *,
        whole: bool = False,
        least: float = 0.0,
        most: float = math.inf,
    ) -> float | None:
        """A finite number from `least` to `most`."""
        value: Any = table.get(name)
        if value is None:
            return None
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= min(most, sys.float_info.max):
            kind = "a whole number" if whole else "a number"
            bounds = f"of at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:,.15g}"
            self.wrong(joined(path, name), value, f"{kind} {bounds}")
            return None
        found: float = value
        return found

    def choice(self, value: Any, path: str, allowed: Iterable[str]) -> Any:
        options = list(allowed)
        if value in options:
            return value
        self.wrong(path, value, " or ".join(f'"{option}"' for option in options))
        return None


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def shown(value: Any) -> str:
    """`value` for an error message. What is long and random enough to be a key is never repeated: people put
    keys into the wrong place."""
    text = _LIKE_A_KEY.sub(lambda found: Secret(found[0]).shown, repr(value))
    return text if len(text) <= 60 else text[:60] + "…"
