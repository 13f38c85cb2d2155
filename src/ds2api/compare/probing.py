"""The first question to each place, before anything is measured: how it speaks, which models it has, whether the mock
stands behind it, how far away it is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ds2api import jsons
from ds2api.compare.asking import Asking
from ds2api.compare.mock import MODEL
from ds2api.compare.places import TRIED, Place
from ds2api.compare.question import WORKS
from ds2api.wire.errors import PeerError
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.upstream import Client

__all__ = ["NotUsable", "Probed", "probe"]

_MOST_TOKENS = 16  # of a probe's answer
_SHOWN_MODELS = 8


class NotUsable(Exception):
    """A place that cannot be compared; the text is for a person."""


@dataclass(frozen=True, slots=True)
class Probed:
    """A place with its dialect and model. `connect_s` is what a TCP connection to it takes: about one way and back."""

    place: Place
    of_mock: bool
    connect_s: float


async def probe(place: Place, environment: Mapping[str, str], timeout_s: float) -> Probed:
    """Ask `place` once (in each dialect that it may speak, until one is answered). Raises `NotUsable`."""
    client = Client(limits=Limits(), timeouts=Timeouts(connect_total_s=min(timeout_s, 10), first_byte_idle_s=timeout_s))
    work = replace(WORKS["json"], max_tokens=_MOST_TOKENS)
    refused = ""
    try:
        for dialect in (place.dialect,) if place.dialect else TRIED:
            one = replace(place, dialect=dialect)
            if not one.model:
                one = replace(one, model=await _model(one, client, environment))
            sample = await Asking(one, work, client, environment, timeout_s).ask()
            if not sample.error or sample.error == "empty answer":  # a model that only thought, within so few tokens
                return Probed(one, sample.of_mock, await _connect_s(one))
            refused = refused or f"{sample.error}, asked in {dialect} for the model {one.model!r}"
            if not sample.error.startswith(("status 404", "status 405")):
                break
    finally:
        client.close()
    raise NotUsable(f"{place.name} gives no answer that could be measured: {refused}")


async def _model(place: Place, client: Client, environment: Mapping[str, str]) -> str:
    at = place.endpoint()
    target = at.target("/tags" if place.dialect == "ollama" else "/models")
    names: list[str] = []
    try:
        answer = await client.send(at.origin, "GET", target, place.credential(environment), b"")
        try:
            names = _names(jsons.parse(await answer.read()))
        finally:
            answer.close()
    except PeerError as error:
        if error.phase in ("dns", "connect", "tls"):
            raise NotUsable(f"{place.name}: {error.message}") from None
    except jsons.JsonError:
        pass
    if MODEL in names or len(names) == 1:
        return MODEL if MODEL in names else names[0]
    shown = f"; it has {', '.join(names[:_SHOWN_MODELS])}{' …' * (len(names) > _SHOWN_MODELS)}" if names else ""
    raise NotUsable(f"which model of {place.name}? Name it with --model {place.name}=MODEL{shown}")


def _names(listed: Any) -> list[str]:
    """Of a model list in any dialect."""
    rows: Any = next((listed[key] for key in ("data", "models") if isinstance(listed, dict) and key in listed), [])
    names = (
        [row.get("id") or row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )
    return [name.removeprefix("models/") for name in names if isinstance(name, str) and "*" not in name]


async def _connect_s(place: Place) -> float:
    """The fastest of three, without TLS."""
    loop, at = asyncio.get_running_loop(), place.endpoint().origin
    found = await loop.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with socket.socket(found[0][0], socket.SOCK_STREAM) as one:
            one.setblocking(False)
            try:
                await asyncio.wait_for(loop.sock_connect(one, found[0][4]), 5)
            except OSError:
                return 0.0
        times.append(time.perf_counter() - began)
    return min(times)
