"""Where requests of a comparison go: what a person writes on the command line, read.

    URL    NAME=URL    DIALECT=URL    NAME:DIALECT=URL

A key is named by the variable that holds it, so that it stands in no list of processes, and belongs to one place: a
place on another machine gets a key only if it was named for that place, or if there is no other such place. A known
provider gets its usual variable's over TLS alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from ds2api.config_providers import AUTH_OF_DIALECT
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.presets import PRESETS, AuthStyle
from ds2api.gateway.providers import Endpoint, endpoint
from ds2api.gateway.secret import Secret

__all__ = ["TRIED", "Place", "read_places", "with_keys", "with_models"]

# How a place may speak of which nothing is known, the most usual first.
TRIED = ("chat", "messages", "responses", "gemini", "ollama")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Place:
    """`dialect` and `model` are "" until they are found out. Holds no key, so it may be written anywhere."""

    name: str
    url: str
    dialect: str = ""
    model: str = ""
    auth: AuthStyle | None = None  # None: as the dialect's own servers want it
    flavour: str = ""
    is_bare: bool = False
    key_variable: str = ""

    def endpoint(self) -> Endpoint:
        """Raises `ValueError` for a URL that is none."""
        auth = self.auth or AUTH_OF_DIALECT.get(self.dialect, "bearer")
        return endpoint(self.dialect, self.url, auth=auth, flavour=self.flavour, is_bare=self.is_bare)

    def credential(self, environment: Mapping[str, str]) -> list[tuple[str, str]]:
        """The header with its key; nothing where it has none."""
        key = environment.get(self.key_variable, "").strip() if self.key_variable else ""
        return self.endpoint().credential(Secret(key) if key else None)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def read_places(texts: Sequence[str], dialect: str | None) -> list[Place]:
    """Raises `ValueError` with what to write instead. `dialect` is for those that say none."""
    places: list[Place] = []
    for text in texts:
        label, mark, url = text.partition("=") if "=" in text.partition("://")[0] else ("", "", text)
        if "://" not in url:
            url = f"{'http' if Place('', f'//{url}').is_local else 'https'}://{url}"
        name, speaks = "", dialect or ""
        for word in label.split(":"):
            name, speaks = (name, word) if word in DIALECTS else (word or name, speaks)
        if "key=" in urlsplit(url).query.lower():
            raise ValueError("a URL holds no key; name a variable that does with --key-env")
        place = _known(Place(name, url, speaks))
        replace(place, dialect=place.dialect or "chat").endpoint()
        shown = urlsplit(place.url)
        if not name:
            name = f"{place.host}:{shown.port}" if shown.port else place.host
            name += f" ({place.dialect or len(places) + 1})" if any(one.name == name for one in places) else ""
        if mark and not label.strip(":"):
            raise ValueError(f"{text!r}: wanted NAME=URL or DIALECT=URL, DIALECT being one of {', '.join(DIALECTS)}")
        places.append(replace(place, name=name))
    if len({one.name for one in places}) < len(places):
        raise ValueError("two places have one name; write NAME=URL")
    return places


def with_keys(places: Sequence[Place], named: Sequence[str], environment: Mapping[str, str]) -> list[Place]:
    """`named` holds VARIABLE (for all) and NAME=VARIABLE. Raises `ValueError` where a key might reach a place that it
    was not meant for, and for a variable that is not set."""
    given = _assigned(places, named, "--key-env")
    for variable in given.values():
        if not _VARIABLE.fullmatch(variable):
            raise ValueError("--key-env wants the name of a variable that holds the key, never the key itself")
        if not environment.get(variable, "").strip():
            raise ValueError(f"--key-env {variable}: this environment variable is not set")
    if "" in given and len({one.host for one in places if not one.is_local and one.name not in given}) > 1:
        raise ValueError(f"--key-env {given['']}: whose key is it? Write --key-env NAME={given['']} for each place")
    keyed = []
    for one in places:
        variable = given.get(one.name) or given.get("") or one.key_variable
        keyed.append(replace(one, key_variable=variable if environment.get(variable, "").strip() else ""))
    return keyed


def with_models(places: Sequence[Place], named: Sequence[str]) -> list[Place]:
    """`named` holds MODEL (for all) and NAME=MODEL."""
    given = _assigned(places, named, "--model")
    return [replace(one, model=given.get(one.name) or given.get("") or one.model) for one in places]


def _assigned(places: Sequence[Place], named: Sequence[str], option: str) -> dict[str, str]:
    """Place → value; "" → what is for all."""
    names = [one.name for one in places]
    given = {}
    for text in named:
        name, mark, value = text.partition("=")
        if mark and name not in names:
            raise ValueError(f"{option}: there is no place {name[:40]!r}; places: {', '.join(names)}")
        given[name if mark else ""] = value if mark else text
    return given


def _known(place: Place) -> Place:
    """With what its host or path tells of it."""
    shown = urlsplit(place.url)
    for preset in PRESETS.values():
        urls = {name: url for name, url in preset.base_urls.items() if url and urlsplit(url).hostname == shown.hostname}
        if not urls or place.is_local:
            continue
        inside = [name for name, url in urls.items() if urlsplit(url).path.strip("/") in shown.path]
        speaks = place.dialect or max(inside or urls, key=lambda name: len(urls[name]) if name in inside else 0)
        url = place.url if shown.path.strip("/") else urls.get(speaks, place.url)
        return replace(
            place,
            url=url,
            dialect=speaks,
            auth=preset.auth.get(speaks),
            flavour=preset.flavour,
            is_bare=preset.is_bare,
            key_variable=preset.environment if shown.scheme == "https" else "",
        )
    path = shown.path.rstrip("/")
    for name in ("chat", "responses", "messages"):  # somebody copied the whole address
        if path.endswith(DIALECTS[name].generate_path):
            place = replace(place, url=place.url.rstrip("/").removesuffix(DIALECTS[name].generate_path))
            return replace(place, dialect=place.dialect or name)
    return place
