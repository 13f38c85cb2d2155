"""Who is calling: keys to the gateway, found by their digest.

A caller's key is a long random string, so a fast hash is right, and a look-up by SHA-256 digest tells nothing
through its timing: equal prefixes of keys have unrelated digests. A key is never kept, logged or repeated.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from ds2api.universal.errors import Error, Fault, Kind, Problem

__all__ = ["ANONYMOUS", "Caller", "Callers", "key_hash", "new_key"]

_KEY_PREFIX = "ds2-"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds a key to the gateway. `models` are the route names it may use, None means all; `weight` is its
    share of the line, and only accounts with all of `tags` serve it."""

    name: str
    patience_s: float | None = None
    models: tuple[str, ...] | None = None
    weight: float = 1.0
    tags: frozenset[str] = frozenset()


ANONYMOUS = Caller("anonymous")


def new_key() -> str:
    """A key that nobody can guess: 256 random bits."""
    return _KEY_PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """What the configuration holds instead of `key`: ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


class Callers:
    """All callers. With none, everybody is `ANONYMOUS` (the configuration allows that on loopback only)."""

    def __init__(self, callers: Iterable[tuple[str, Caller]]) -> None:
        """`callers` are (key hash as of `key_hash`, caller). Raises `ValueError` for a key that two share."""
        self._by_hash: dict[str, Caller] = {}
        for hashed, caller in callers:
            if hashed in self._by_hash:
                raise ValueError(f"callers {self._by_hash[hashed].name!r} and {caller.name!r} have the same key")
            self._by_hash[hashed] = caller

    @property
    def is_open(self) -> bool:
        return not self._by_hash

    def names(self) -> list[str]:
        return [caller.name for caller in self._by_hash.values()]

    def named(self, name: str) -> Caller | None:
        return next((caller for caller in self._by_hash.values() if caller.name == name), None)

    def identify(self, headers: Mapping[str, str], query: str = "") -> Caller:
        """The caller whose key stands in `headers`, or as ``key=`` in `query`, which is Gemini's way. Raises `Problem`
        (UNAUTHENTICATED), never with the key."""
        if self.is_open:
            return ANONYMOUS
        name, key = _presented(headers, query)
        if key is None:
            raise _unauthenticated(
                "no key was sent; send the key that the operator of this gateway gave you as "
                "`Authorization: Bearer …` or `x-api-key: …`"
            )
        caller = self._by_hash.get(key_hash(key))
        if caller is None:
            raise _unauthenticated(
                f"the key in `{name}` is not known to this gateway; a provider's own key is not "
                "accepted here, ask the operator for one made by `ds2api key new`"
            )
        return caller


def _presented(headers: Mapping[str, str], query: str) -> tuple[str, str | None]:
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return "authorization", key.strip()
    for name in ("x-api-key", "api-key", "x-goog-api-key"):
        key_only = headers.get(name)
        if key_only:
            return name, key_only.strip()
    for name, value in parse_qsl(query) if "key=" in query else ():
        if name == "key" and value:
            return "key", value
    return "", None


def _unauthenticated(message: str) -> Problem:
    return Problem(Error(Fault.REQUEST, Kind.UNAUTHENTICATED, message))
