"""Accounts out of the configuration: their keys, their limits, and what makes a pool of them impossible.

What an account says beats what its provider says for all (`limits`), word by word; what is said for a pattern of
models beats both in the same way. One key is one account: a pool that counts it twice promises what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ds2api.accounts import Account, AccountLimits
from ds2api.config_keys import KEY_WAYS, KeySources
from ds2api.config_values import joined
from ds2api.gateway.presets import PRESETS
from ds2api.gateway.providers import Endpoint, Provider
from ds2api.gateway.secret import Secret

__all__ = ["AccountReader"]

# Word → the least and the most that is believed: a thousand times OpenAI's highest tier (30,000 requests and 180
# million tokens a minute) is a slip of the hand.
_RATES: Mapping[str, tuple[float, float]] = {
    "rpm": (0.001, 3e7), "tpm": (1, 1e12), "itpm": (1, 1e12), "otpm": (1, 1e12), "rpd": (1, 1e10),
}  # fmt: skip
_LIMITS: Mapping[str, tuple[float, float]] = {**_RATES, "concurrency": (1, 1e6)}
_WHOLE = frozenset(("rpd", "concurrency"))
_WEIGHT_MOST = 1000.0
_PRIORITY_MOST = 1000

_WORDS = ("name", *KEY_WAYS, "limit_group", *_LIMITS, "models", "weight", "priority", "tags")
_Words = dict[str, float]


class AccountReader(KeySources):
    """Reads the accounts of a provider."""

    def accounts(
        self, provider: str, given: Mapping[str, Any], path: str, endpoints: Mapping[str, Endpoint]
    ) -> tuple[list[Account], dict[str, Secret | None]]:
        listed = given.get("accounts")
        needs_key = any(one.auth != "none" for one in endpoints.values())
        if listed is None:
            if needs_key and endpoints:
                preset = PRESETS.get(provider)
                variable = preset.environment if preset else "MY_KEY"
                self.problem(
                    joined(path, "accounts"),
                    f'is missing: write accounts = [{{ name = "a", key_env = "{variable}" }}], or auth = "none" if '
                    "this provider wants no key",
                )
                return [], {}
            listed = [{"name": "default"}]
        if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
            self.wrong(joined(path, "accounts"), listed, 'a list like [{ name = "a", key_env = "OPENAI_API_KEY" }]')
            return [], {}
        defaults = self.table(given, "limits", path)
        self.known(defaults, joined(path, "limits"), [*_LIMITS, "models"])
        common, common_patterns = self.limits(defaults, joined(path, "limits"))
        zone = self.day_zone(provider, given, path)
        built: list[Account] = []
        secrets: dict[str, Secret | None] = {}
        places: dict[str, str] = {}  # what tells keys apart, without telling the key → where it stands
        for index, one in enumerate(listed):
            where = f"{path}.accounts[{index}]"
            self.known(one, where, _WORDS)
            name = self.text(one, "name", where) or f"{index + 1}"
            keys = self.keys(one, where) if needs_key or any(word.startswith("key") for word in one) else [None]
            own, patterns = self.limits(one, where)
            words = {**common, **own}
            patterns |= {pattern: said for pattern, said in common_patterns.items() if pattern not in patterns}
            weight = self.number(one, "weight", where, most=_WEIGHT_MOST)
            priority = self.number(one, "priority", where, whole=True, most=_PRIORITY_MOST)
            tags = self.texts(one, "tags", where, '["paid"]')
            group = self.text(one, "limit_group", where)
            for count, secret in enumerate(keys, 1):
                account_id = f"{provider}/{name}" + (f"-{count}" if len(keys) > 1 else "")
                tag = (secret or Secret(account_id)).tag
                if account_id in secrets:
                    self.problem(where, f"a second account is called {name!r}; names tell accounts apart")
                    continue
                if tag in places:
                    self.problem(where, f"has the same key as {places[tag]}; one key is one account, list it once")
                    continue
                secrets[account_id], places[tag] = secret, where
                built.append(
                    Account(
                        account_id,
                        provider,
                        _limits(words),
                        group=f"{provider}:{group}" if group else "",
                        weight=1.0 if weight is None else weight,
                        tag=tag,
                        priority=int(priority or 0),
                        tags=frozenset(tags or ()),
                        model_limits=tuple((pattern, _limits({**words, **said})) for pattern, said in patterns.items()),
                        day_zone=zone,
                    )
                )
        if built and not any(account.weight for account in built):
            self.problem(
                joined(path, "accounts"),
                "every weight is 0, so no new conversation could be served; give one account a weight above 0",
            )
        return built, secrets

    def limits(self, given: Mapping[str, Any], path: str) -> tuple[_Words, dict[str, _Words]]:
        """What `given` says of limits: for all models, and by pattern."""
        patterns = {}
        for pattern, one in self.table(given, "models", path).items():
            where = f'{path}.models."{pattern}"'
            if isinstance(one, dict) and one:
                self.known(one, where, _RATES)  # at a time: an account is limited as a whole
                patterns[pattern] = self.limit_words(one, where)
            else:
                self.wrong(where, one, "limits like { rpm = 500, tpm = 30_000 }")
        return self.limit_words(given, path), patterns

    def limit_words(self, given: Mapping[str, Any], path: str) -> _Words:
        values = {
            word: self.number(given, word, path, whole=word in _WHOLE, least=least, most=most)
            for word, (least, most) in _LIMITS.items()
        }
        return {word: value for word, value in values.items() if value is not None}

    def day_zone(self, provider: str, given: Mapping[str, Any], path: str) -> str:
        """Where the provider's day of `rpd` begins at midnight. A preset's zone that this machine does not know (there
        are machines without zones) is UTC, with a warning."""
        preset = PRESETS[provider].day_zone if provider in PRESETS else "UTC"
        name = self.text(given, "day_zone", path) or preset
        try:
            if name != "UTC":
                ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            if name == preset:
                self.warnings.append(
                    f"{joined(path, 'day_zone')}: this machine does not know {name!r} (install `tzdata`): its days "
                    "are counted in UTC"
                )
                return "UTC"
            self.problem(joined(path, "day_zone"), f'{name!r} is no time zone; wanted one like "America/Los_Angeles"')
        return name

    def shared_keys(self, providers: Iterable[Provider]) -> None:
        """One key at one server under two providers is counted twice: refused where both entries are the same, told
        where they differ (another protocol, other headers)."""
        seen: dict[str, list[tuple[str, Provider]]] = {}
        for provider in providers:
            endpoints = provider.endpoints.values()
            for account_id, secret in provider.secrets.items():
                earlier = seen.setdefault(secret.tag, []) if secret else []
                for other_id, other in earlier:
                    others = other.endpoints.values()
                    if any(one in others for one in endpoints) and other is not provider:
                        self.problem(
                            f"providers.{provider.name}",
                            f"{account_id} has the same key at the same URL as {other_id}; one key is one account, "
                            "list it once",
                        )
                    elif {one.origin for one in endpoints} & {one.origin for one in others}:
                        self.warnings.append(
                            f"providers.{provider.name}: {account_id} shows the same key to the same server as "
                            f"{other_id}; each counts its limits alone, so give each its part of them"
                        )
                earlier.append((account_id, provider))


def _limits(words: _Words) -> AccountLimits:
    return AccountLimits(**{word: int(value) if word in _WHOLE else value for word, value in words.items()})  # type: ignore[arg-type]
