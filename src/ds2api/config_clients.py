"""The clients' part of the configuration: what they may ask for (`[models]`), and who they are (`[callers]`).

A target that could never serve is refused here, not found out by the first request: a provider that is not there, or
tags that none of its accounts carries.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from ds2api.accounts import Account
from ds2api.config_providers import ProviderReader
from ds2api.config_values import joined
from ds2api.gateway.callers import Caller, key_hash
from ds2api.gateway.providers import Provider
from ds2api.gateway.routes import Route, ToolStyle
from ds2api.prompted import FORMATS
from ds2api.universal.losses import LossPolicy

__all__ = ["ClientReader", "Tags"]

_HASH_DIGITS = 64
# A day: no client waits longer for its first byte.
_PATIENCE_MOST_S = 86_400.0


class Tags:
    """Which sets of tags the accounts carry, by provider."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_provider: dict[str, set[frozenset[str]]] = {}
        for account in accounts:
            self._by_provider.setdefault(account.provider, set()).add(account.tags)

    def missing(self, provider: str | None, wanted: frozenset[str]) -> str:
        """Why no account of `provider` (None: of any) carries all of `wanted`; "" if one does."""
        names = [provider] if provider is not None else list(self._by_provider)
        carried = set().union(*(self._by_provider.get(name, set()) for name in names))
        if not wanted or not carried or any(wanted <= tags for tags in carried):
            return ""
        whose = f"no account of {provider}" if provider else "no account"
        known = sorted(set().union(*carried))
        unknown = next((tag for tag in sorted(wanted) if tag not in known), "")
        nearest = difflib.get_close_matches(unknown, known, n=1) if unknown else []
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"tags there: {', '.join(known) or 'none'}"
        return f"{whose} carries {' and '.join(repr(tag) for tag in sorted(wanted))}; {hint}"


class ClientReader(ProviderReader):
    """Reads models and callers."""

    def routes(self, table: Mapping[str, Any], providers: Mapping[str, Provider], known_tags: Tags) -> list[Route]:
        routes = []
        for name, given in table.items():
            path = f'models."{name}"'
            losses: LossPolicy = "report"
            tools: ToolStyle = "native"
            form = ""
            targets = given
            tags: frozenset[str] = frozenset()
            hedge = rescue = False
            if isinstance(given, dict):
                self.known(given, path, ["targets", "losses", "tools", "tool_format", "hedge", "rescue", "tags"])
                tags = frozenset(self.texts(given, "tags", path, '["paid"]') or ())
                hedge = "hedge" in given and self.boolean(given, "hedge", path)
                rescue = "rescue" in given and self.boolean(given, "rescue", path)
                targets = given.get("targets")
                tools = self.choice(given.get("tools", "native"), joined(path, "tools"), get_args(ToolStyle)) or tools
                form = self.choice(given.get("tool_format", ""), joined(path, "tool_format"), ["", *FORMATS]) or ""
                losses = (
                    self.choice(given.get("losses", "report"), joined(path, "losses"), get_args(LossPolicy)) or losses
                )
            if isinstance(targets, str):
                targets = [targets]
            if not isinstance(targets, list) or not targets or not all(isinstance(one, str) for one in targets):
                self.wrong(path, given, '"provider", "provider/model", a list of those, or { targets = […] }')
                continue
            if name.count("*") > 1:
                self.problem(path, "a pattern holds one `*`")
            for target in targets:
                provider = target.partition("/")[0]
                if provider not in providers:
                    nearest = difflib.get_close_matches(provider, providers, n=1)
                    hint = (
                        f"did you mean {nearest[0]!r}?" if nearest else f"configured: {', '.join(providers) or 'none'}"
                    )
                    self.problem(path, f"target {target!r}: there is no provider {provider!r}; {hint}")
                elif missing := known_tags.missing(provider, tags):
                    self.problem(joined(path, "tags"), f"target {target!r} could never serve: {missing}")
            routes.append(Route(name, tuple(targets), losses, tools, form, hedge=hedge, rescue=rescue, tags=tags))
        return routes

    def callers(self, table: Mapping[str, Any], known_tags: Tags) -> list[tuple[str, Caller]]:
        callers: list[tuple[str, Caller]] = []
        for name, given in table.items():
            path = f"callers.{name}"
            if not isinstance(given, dict):
                self.wrong(path, given, f"a table: [{path}]")
                continue
            self.known(given, path, ["key_hash", "key_env", "patience_s", "models", "weight", "tags"])
            hashed = self.hash_of(given, path)
            models = self.texts(given, "models", path, '["gpt-*"]')
            # The line is shared by weight: a hundredth is the least that is still served within a person's patience.
            weight = self.number(given, "weight", path, least=0.01, most=100)
            tags = frozenset(self.texts(given, "tags", path, '["paid"]') or ())
            if missing := known_tags.missing(None, tags):
                self.problem(joined(path, "tags"), f"nobody could serve {name}: {missing}")
            patience_s = self.number(given, "patience_s", path, most=_PATIENCE_MOST_S)
            if hashed is None:
                continue
            same = next((other for known, other in callers if known == hashed), None)
            if same is not None:
                self.problem(path, f"has the same key as callers.{same.name}")
            callers.append((hashed, Caller(name, patience_s, models, weight=weight or 1.0, tags=tags)))
        return callers

    def hash_of(self, given: Mapping[str, Any], path: str) -> str | None:
        if ("key_hash" in given) == ("key_env" in given):
            self.problem(path, "wanted exactly one of key_hash (made by `ds2api key new`) and key_env")
            return None
        if "key_env" in given:
            name = self.text(given, "key_env", path)
            value = self.variable(name, joined(path, "key_env")) if name else None
            return key_hash(value.strip()) if value else None
        hashed = given["key_hash"]
        digits = hashed.removeprefix("sha256:") if isinstance(hashed, str) else ""
        if len(digits) != _HASH_DIGITS or any(digit not in "0123456789abcdef" for digit in digits) or digits == hashed:
            # What stands here may be the key itself, by mistake: it is not repeated.
            self.problem(
                joined(path, "key_hash"), 'wanted "sha256:" and 64 hexadecimal digits, as `ds2api key new` prints'
            )
            return None
        return str(hashed)
