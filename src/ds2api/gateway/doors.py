"""Which dialect and operation a request is for, by its path first, then by its headers.

One base URL serves every SDK. Each adds its own version to it, and users write that version themselves, or a
provider's name, or neither; so leading segments that only say "an API is here" (`_SPARE`) may be doubled, foreign or
missing, and the same door is found. What several dialects have (`/v1/models`, `/v1/chat/completions`) goes to the one
that recognises its client (`Dialect.claims`), or to whom a provider's name in front of the path names, else to the
first in the registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from ds2api.dialects.contract import Dialect, Operation
from ds2api.universal.errors import Error, Fault, Kind, Problem

__all__ = ["Door", "Doors"]

# `…/openai/v1/…` and `…/v1beta/openai/…` are how Azure, Groq and Google spell it for clients of chat.
_SPARE = frozenset({"v1", "v1beta", "v1alpha", "v1beta1", "api", "openai", "anthropic", "gemini", "google", "ollama",
                    "mistral", "deployments"})  # fmt: skip
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "openai": ("chat", "responses"),
    "anthropic": ("messages",),
    "gemini": ("gemini",),
    "google": ("gemini",),
    "ollama": ("ollama",),
    "mistral": ("mistral",),
}
_DEPLOYMENT = re.compile(r"^/openai/deployments/[^/]+(?=/)")  # the SDK for Azure says the model in the body as well


@dataclass(frozen=True, slots=True)
class Door:
    """`name` is what stood for ``{model}`` or ``{id}`` in the path, decoded; "" where there is no such place."""

    dialect: Dialect
    operation: Operation
    name: str = ""


class Doors:
    """All paths of `dialects`."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self._exact: dict[str, dict[str, list[Door]]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, list[Door]]]] = {}
        self._dialects = {dialect.name: dialect for dialect in dialects}
        for dialect in self._dialects.values():
            for route in dialect.routes:
                door = Door(dialect, route.operation)
                for spelling in dict.fromkeys((route.path, route.path.removeprefix(dialect.version_prefix))):
                    methods = self._methods(spelling)
                    methods.setdefault(route.method, []).append(door)

    def find(self, method: str, path: str, headers: Mapping[str, str], query: str) -> Door:
        """Raises `Problem`: NOT_FOUND with the known paths, METHOD_NOT_ALLOWED with what is allowed in `details`."""
        methods, name, families = self._look_up(path)
        if methods is None:
            known = ", ".join(sorted(one for one in self._exact if one.startswith(("/v1/", "/api/"))))
            message = f"there is no {path[:200]!r} here; known paths: {known}"
            raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, message))
        doors = methods.get("GET" if method == "HEAD" else method)  # the wire leaves the body of HEAD away
        if doors is None:
            allowed = sorted(methods)
            message = f"{method[:20]} is not possible on {path[:200]!r}; allowed: {', '.join(allowed)}"
            raise Problem(Error(Fault.REQUEST, Kind.METHOD_NOT_ALLOWED, message, details=allowed))
        door = _chosen(doors, families, headers, query)
        return Door(door.dialect, door.operation, unquote(name)) if name else door

    def methods_at(self, path: str) -> list[str]:
        """What may be done at `path`; nothing where there is no such thing."""
        return sorted(self._look_up(path)[0] or ())

    def dialect_of(self, path: str, headers: Mapping[str, str], query: str) -> Dialect:
        """Whose error shape to use for `path`, known or not."""
        methods, _, families = self._look_up(path)
        if methods is not None:
            return _chosen([door for doors in methods.values() for door in doors], families, headers, query).dialect
        for dialect in self._dialects.values():
            if dialect.claims(headers, query):
                return dialect
        if "/messages" in path:
            return self._dialects["messages"]
        native = (one for one in self._dialects.values() if one.version_prefix not in ("/v1", ""))
        return next((one for one in native if path.startswith(one.version_prefix + "/")), self._dialects["chat"])

    def _methods(self, path: str) -> dict[str, list[Door]]:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        if path not in self._patterns:
            pattern = re.escape(path).replace(r"\{model\}", "(.+)").replace(r"\{id\}", "([^/]+)")
            self._patterns[path] = (re.compile(pattern), {})
        return self._patterns[path][1]

    def _look_up(self, path: str) -> tuple[dict[str, list[Door]] | None, str, tuple[str, ...]]:
        """What may be done at `path`, what stands for its place, and the dialects that a name in front of it allows."""
        families: tuple[str, ...] = ()
        methods = self._exact.get(path)
        if methods is not None:
            return methods, "", families
        if "//" in path or path.endswith("/"):
            path = "/" + "/".join(segment for segment in path.split("/") if segment)
        path = _DEPLOYMENT.sub("/openai", path)
        while True:
            methods = self._exact.get(path)
            if methods is not None:
                return methods, "", families
            name, methods = self._match(path)
            if methods:
                return methods, name, families
            first, _, rest = path[1:].partition("/")
            if first not in _SPARE or not rest:
                return None, "", families
            families = _FAMILIES.get(first, families)
            path = "/" + rest

    def _match(self, path: str) -> tuple[str, dict[str, list[Door]]]:
        """The patterns that fit, joined; those with the shortest name first, which are the most exact."""
        found = [(match[1], methods) for fits, methods in self._patterns.values() if (match := fits.fullmatch(path))]
        found.sort(key=lambda one: len(one[0]))
        joined: dict[str, list[Door]] = {}
        for name, methods in found:
            if name == found[0][0]:
                for method, doors in methods.items():
                    joined.setdefault(method, []).extend(doors)
        return (found[0][0] if found else ""), joined


def _chosen(doors: list[Door], families: tuple[str, ...], headers: Mapping[str, str], query: str) -> Door:
    if len(doors) == 1:
        return doors[0]
    for door in doors:
        if door.dialect.name in families:
            return door
    return next((door for door in doors if door.dialect.claims(headers, query)), doors[0])
