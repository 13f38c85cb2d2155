"""Configurations for the tests: one provider a mock, accounts by name, keys made for the run."""

from __future__ import annotations

from typing import Any

from tests.end_to_end.keys import upstream_key

__all__ = ["accounts", "provider", "table"]

# No waiting in tests unless one is about it: who cannot be served at once is refused at once.
IMPATIENT = {"patience_s": 0.001}


def accounts(*names: str, **settings: Any) -> list[dict[str, Any]]:
    return [{"name": name, "key": upstream_key(name), **settings} for name in names]


def provider(url: str, dialect: str | list[str], *names: str, **settings: Any) -> dict[str, Any]:
    dialects = [dialect] if isinstance(dialect, str) else dialect
    return {"dialects": dialects, "base_url": url, "accounts": accounts(*(names or ("a",))), **settings}


def table(providers: dict[str, Any], models: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """`models` default to "m", served by the first provider as "m"."""
    first = next(iter(providers))
    return {"providers": providers, "models": models or {"m": f"{first}/m"}, "retries": IMPATIENT, **more}
