"""Keys that nobody can mistake for anything else. They are made anew in each run, so that no source line, and thus
no traceback, holds one by itself; whoever finds one in an output has found a leak."""

from __future__ import annotations

import secrets
from typing import Any

from ds2api.gateway.callers import key_hash

__all__ = ["assert_no_key", "caller_key", "caller_table", "leaked", "upstream_key"]

_RUN = secrets.token_hex(8)
_MADE: set[str] = set()


def upstream_key(name: str) -> str:
    """The key of the account `name` at a mock."""
    return _made(f"sk-proj-{_RUN}-upstream-of-{name}-{_RUN[::-1]}")


def caller_key(name: str) -> str:
    """The key of the caller `name` of the gateway."""
    return _made(f"ds2-{_RUN}-caller-{name}-{_RUN[::-1]}")


def caller_table(*names: str, **settings: Any) -> dict[str, Any]:
    return {name: {"key_hash": key_hash(caller_key(name)), **settings} for name in names}


def _made(key: str) -> str:
    _MADE.add(key)
    return key


def leaked(text: str) -> list[str]:
    """Which keys of this run stand in `text`, named without showing them. Their random part is enough."""
    return ["a key of this run"] if _RUN in text or _RUN[::-1] in text else []


def assert_no_key(text: str, where: str) -> None:
    assert not leaked(text), f"there is a key in {where}"
