"""Routes: from the model name that a client says to the targets that may serve it, in order.

The order of look-up: the exact name, then the pattern with the longest literal text, then ``provider/model``;
without a `[models]` table also any plain name, at the provider whose own names look like it, else at the first.
In a target ``provider/*`` the star stands for the whole name that was asked; in any other place for what the
pattern's star matched; a target that is only a provider keeps the name.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ds2api.dialects.contract import Target
from ds2api.gateway.callers import Caller
from ds2api.gateway.providers import Provider
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import LossPolicy

__all__ = ["ResolvedTarget", "Route", "Routes", "ToolStyle"]

# "prompted": the model has no tools of its own; they are told in words and found in its text.
ToolStyle = Literal["native", "prompted"]

_NEAREST = 3
# Resolved names that are remembered. They come from clients; what a table of routes names is seldom more.
_REMEMBERED_MOST = 1024
_REMEMBERED_CHARACTERS = 200  # a name may be as long as a body


@dataclass(frozen=True, slots=True)
class Route:
    """One line of `[models]`. `targets` are ``provider`` or ``provider/model`` as written; the rest is as in
    `ResolvedTarget`."""

    name: str
    targets: tuple[str, ...]
    losses: LossPolicy = "report"
    tools: ToolStyle = "native"
    tool_format: str = ""
    tags: frozenset[str] = frozenset()
    hedge: bool = False
    rescue: bool = False

    @property
    def is_pattern(self) -> bool:
        return "*" in self.name

    def matched(self, model: str) -> str | None:
        """What the star stands for in `model`; None if this pattern does not match it."""
        before, _, after = self.name.partition("*")
        if len(model) >= len(before) + len(after) and model.startswith(before) and model.endswith(after):
            return model[len(before) : len(model) - len(after)]
        return None


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """Where a request may go: the provider, its name of the model, and the route's policy."""

    provider: Provider
    model: str
    losses: LossPolicy = "report"
    tools: ToolStyle = "native"
    tool_format: str = ""  # of `prompted.FORMATS`; "" for what the model's name tells
    tags: frozenset[str] = frozenset()  # only accounts that carry all of these
    hedge: bool = False  # a late first byte is raced by a second account (`hedging`)
    rescue: bool = False  # an answer that breaks off is continued elsewhere (`rescue`)

    def target(self, flavour: str, account: str, sealer: Sealer) -> Target:
        """The place as a dialect's writers see it, for one account (its tag)."""
        return Target(
            provider=self.provider.name,
            model=self.model,
            flavour=flavour,
            account=account,
            losses=self.losses,
            default_max_output_tokens=self.provider.default_max_output_tokens,
            anthropic_version=self.provider.anthropic_version,
            sealer=sealer,
        )


class Routes:
    """Resolves model names. `known_models` tells the model names that a provider is known to have (from its own
    list, if it was asked), for suggestions and lists."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Sequence[Route] = (),
        known_models: Callable[[str], Iterable[str]] = lambda provider: (),
    ) -> None:
        self._providers = providers
        self._exact = {route.name: route for route in routes if not route.is_pattern}
        self._patterns = sorted(
            (route for route in routes if route.is_pattern), key=lambda route: len(route.name), reverse=True
        )
        self._is_free = not routes
        self._known_models = known_models
        self._resolved_before: dict[tuple[str, tuple[str, ...] | None], list[ResolvedTarget]] = {}

    def resolve(self, model: str, caller: Caller) -> list[ResolvedTarget]:
        """The targets of `model`, at least one. Raises `Problem` (MODEL_NOT_FOUND) naming the nearest names
        that this caller may use.

        A name without a tag and the same with ":latest" are one (Ollama's clients add it, R173); an exact name wins."""
        known = self._resolved_before.get((model, caller.models))
        if known is not None:
            return known
        bare = model.removesuffix(":latest")
        for name in (model, bare) if bare != model else (model, f"{model}:latest"):
            if name == model or self._is_named(name):
                places = self._resolved(name, caller)
                if places is not None:
                    if not self._is_free and len(model) <= _REMEMBERED_CHARACTERS:
                        if len(self._resolved_before) >= _REMEMBERED_MOST:
                            del self._resolved_before[next(iter(self._resolved_before))]
                        self._resolved_before[model, caller.models] = places
                    return places
        raise self._unknown(model, caller)

    def _is_named(self, model: str) -> bool:
        """Whether the table or, without one, a provider's list has this very name."""
        if not self._is_free:
            return model in self._exact
        return any(model in self._known_models(provider) for provider in self._providers)

    def _resolved(self, model: str, caller: Caller) -> list[ResolvedTarget] | None:
        if caller.models is not None and not any(fnmatch.fnmatchcase(model, allowed) for allowed in caller.models):
            return None
        route = self._exact.get(model)
        if route is not None:
            return [self._target(text, model, "", route) for text in route.targets]
        for pattern in self._patterns:
            matched = pattern.matched(model)
            if matched is not None:
                return [self._target(text, model, matched, pattern) for text in pattern.targets]
        provider_name, slash, rest = model.partition("/")
        if self._is_free:
            if slash and rest and provider_name in self._providers:
                return [ResolvedTarget(self._providers[provider_name], rest)]
            home = self._home(model)
            if home is not None:
                return [ResolvedTarget(home, model)]
        return None

    def names(self, caller: Caller) -> list[tuple[str, str]]:
        """(model name, owner) of everything that this caller may name, for lists: the exact routes, or, without
        a `[models]` table, what the providers are known to have."""
        if self._is_free:
            found = [
                (model, provider.name)
                for provider in self._providers.values()
                for model in self._known_models(provider.name)
            ]
        else:
            found = [(route.name, route.targets[0].partition("/")[0]) for route in self._exact.values()]
            for pattern in self._patterns:
                provider_name = pattern.targets[0].partition("/")[0]
                known = self._known_models(provider_name)
                found += [(model, provider_name) for model in known if pattern.matched(model) is not None]
        unique = dict(found)
        if caller.models is not None:
            unique = {
                name: owner
                for name, owner in unique.items()
                if any(fnmatch.fnmatchcase(name, allowed) for allowed in caller.models)
            }
        return list(unique.items())

    def _target(self, text: str, asked: str, matched: str, route: Route) -> ResolvedTarget:
        provider_name, slash, model = text.partition("/")
        if not slash or model == "*":
            model = asked
        else:
            model = model.replace("*", matched)
        provider = self._providers[provider_name]
        return ResolvedTarget(
            provider, model, route.losses, route.tools, route.tool_format, route.tags, route.hedge, route.rescue
        )

    def _home(self, model: str) -> Provider | None:
        """Whose model is that? Only its own patterns or list tell, unless there is but one provider."""
        providers = list(self._providers.values())
        if len(providers) == 1:
            return providers[0]
        for provider in providers:
            if any(fnmatch.fnmatchcase(model, pattern) for pattern in provider.models):
                return provider
        for provider in providers:
            if model in self._known_models(provider.name):
                return provider
        return None

    def _unknown(self, model: str, caller: Caller) -> Problem:
        names = [name for name, _ in self.names(caller)]
        nearest = difflib.get_close_matches(model, names, n=_NEAREST, cutoff=0.5)
        shown = model if len(model) <= 100 else model[:100] + "…"
        hint = f" Did you mean {' or '.join(repr(name) for name in nearest)}?" if nearest else ""
        message = f"The model {shown!r} is not known to this gateway.{hint} `GET /v1/models` lists what you may use."
        return Problem(Error(Fault.REQUEST, Kind.MODEL_NOT_FOUND, message, "model", code="model_not_found"))
