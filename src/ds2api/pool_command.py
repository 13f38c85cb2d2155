"""`ds2api pool`: asks a running gateway for its pool, by ``/admin/…``, and prints it for a person, or for a program.

On a terminal the page is drawn again every second until Ctrl-C; anywhere else it is printed once. The gateway is the
one that the configuration describes (only where it listens is read, so no provider key is needed here), or the one at
`--url`. The admin key comes from the environment: on a command line every user of the machine could read it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, urlencode, urlsplit

from ds2api import jsons
from ds2api.config import DEFAULT_LISTEN, listens_at
from ds2api.pool_page import explanation_text, page
from ds2api.wire.errors import PeerError
from ds2api.wire.settings import Limits, Timeouts, TlsClient
from ds2api.wire.upstream import Client, Origin

__all__ = ["Place", "find", "pool"]

_KEY_VARIABLE = "DS2API_ADMIN_KEY"
_EVERY_S = 1.0
# The view of 10,000 accounts takes the gateway 0.3 s, in which its streams stand still: looking costs it 5 % at most.
_LEISURE = 20
_DONE = {
    "drain": "takes no new requests; {running} still run. `ds2api pool revive {id}` brings it back.",
    "rest": "takes no new requests for {seconds:g} s; {running} still run.",
    "revive": "is ready; what was held against it is forgotten.",
}
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (where it listens, seen from here)


class _Failed(Exception):
    """What went wrong, as a sentence for the person; `status` is the command's exit status."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gateway answers; `shown` is for people."""

    origin: Origin
    shown: str


def find(url: str | None, config: Path | None, default_file: Path) -> Place:
    """The gateway's place. Raises `_Failed`, and `ConfigError` for a configuration that says no good one."""
    tls = None
    if url is None:
        listen: tuple[str, ...] = (DEFAULT_LISTEN,)
        file = config or (default_file if default_file.exists() else None)
        if file is not None:
            listen, server = listens_at(file)
            tls = TlsClient(server.certificate_file) if server else None
        address = next((one for one in listen if not one.startswith("fd:") and not one.endswith(":0")), None)
        if address is None:
            raise _Failed(f"{file}: no address stands in `listen` that could be asked; name one with --url")
        url = address if address.startswith("unix:") else f"{'https' if tls else 'http'}://{address}"
    if url.startswith("unix:"):
        return Place(Origin("http", "localhost", 80, url.removeprefix("unix:")), url)
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or parts.hostname is None or not port or parts.username:
        raise _Failed('--url is no place of a gateway; wanted one like "http://127.0.0.1:8787" or "unix:/path"', 2)
    host = _ANY.get(parts.hostname, parts.hostname)
    origin = Origin("https" if parts.scheme == "https" else "http", host, port, None, tls)
    return Place(origin, f"{origin.scheme}://{origin.authority}")


def pool(options: argparse.Namespace, environment: Mapping[str, str], default_file: Path, out: TextIO) -> int:
    """The command. Returns the exit status."""
    try:
        if options.deed is not None and options.account is None:
            raise _Failed(f"which account? For example: ds2api pool {options.deed} openai/a", 2)
        if (options.deed == "rest") != (options.seconds is not None):
            raise _Failed("`rest`, and only that, takes --for SECONDS: ds2api pool rest openai/a --for 60", 2)
        if options.key_env is not None and not environment.get(options.key_env):
            raise _Failed(f"--key-env {options.key_env}: this environment variable is not set", 2)
        place = find(options.url, options.config, default_file)
        key = environment.get(options.key_env or _KEY_VARIABLE, "").strip()
        return asyncio.run(_run(options, place, key, out, "NO_COLOR" not in environment))
    except _Failed as error:
        print(f"ds2api pool: {error}", file=sys.stderr)
        return error.status


async def _run(options: argparse.Namespace, place: Place, key: str, out: TextIO, is_coloured: bool) -> int:
    client = Client(limits=Limits(), timeouts=Timeouts(connect_total_s=5, first_byte_idle_s=10))
    asked = _Asked(client, place, key, options.key_env or _KEY_VARIABLE)
    try:
        if options.deed is not None:
            answer = await asked.do(options.deed, options.account, options.seconds)
            account = answer["account"]
            done = _DONE[options.deed].format(
                id=account["id"], running=account["in_flight"], seconds=options.seconds or 0
            )
            print(json.dumps(answer) if options.json else f"{account['id']} {done}", file=out)
        elif options.json or options.explain or options.once or not out.isatty():
            await _print_once(options, asked, out)
        else:
            await _draw(asked, out, is_coloured)
    finally:
        client.close()
    return 0


async def _print_once(options: argparse.Namespace, asked: _Asked, out: TextIO) -> None:
    view = await asked.view(options.explain, options.caller)
    width = shutil.get_terminal_size((160, 24)).columns
    if options.json:
        print(json.dumps(view, ensure_ascii=False, indent=1), file=out)
    elif options.explain:
        print(explanation_text(view["explanation"], width, is_plain=_is_plain(out)), file=out)
    else:
        print(page(view, width=width, is_plain=_is_plain(out), title=asked.place.shown), file=out)


async def _draw(asked: _Asked, out: TextIO, is_coloured: bool) -> None:
    """Every second, on a screen of its own, which is taken away at the end."""
    out.write("\x1b[?1049h\x1b[?25l")
    try:
        while True:
            size = shutil.get_terminal_size()
            asked_at = asyncio.get_running_loop().time()
            try:
                view = await asked.view()
                text = page(
                    view,
                    width=size.columns,
                    height=size.lines,
                    is_coloured=is_coloured,
                    is_plain=_is_plain(out),
                    title=asked.place.shown,
                )
            except _Failed as error:
                text = str(error)
            # Line by line over the old page, and what is left of it behind: an erased screen would flicker.
            out.write("\x1b[H" + text.replace("\n", "\x1b[K\r\n") + "\x1b[J")
            out.flush()
            took_s = asyncio.get_running_loop().time() - asked_at
            await asyncio.sleep(max(_EVERY_S, took_s * _LEISURE))
    finally:
        out.write("\x1b[?25h\x1b[?1049l")
        out.flush()


class _Asked:
    """Questions to one gateway."""

    def __init__(self, client: Client, place: Place, key: str, variable: str) -> None:
        self.place = place
        self._client = client
        self._variable = variable
        self._headers = [("accept", "application/json"), ("user-agent", "ds2api")]
        if key:
            self._headers.append(("authorization", f"Bearer {key}"))

    async def view(self, model: str | None = None, caller: str | None = None) -> dict[str, Any]:
        asked = {"explain": model, "caller": caller}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return await self._send("GET", "/admin/pool" + (f"?{query}" if query else ""))

    async def do(self, deed: str, account_id: str, seconds: float | None) -> dict[str, Any]:
        body = jsons.dump({"for_s": seconds}) if seconds is not None else b""
        return await self._send("POST", f"/admin/accounts/{quote(account_id)}/{deed}", body)

    async def _send(self, method: str, target: str, body: bytes = b"") -> dict[str, Any]:
        headers = [*self._headers, ("content-type", "application/json")] if body else self._headers
        try:
            answer = await self._client.send(self.place.origin, method, target, headers, body)
            try:
                read = await answer.read()
            finally:
                answer.close()
        except PeerError as error:
            hint = "is it running? `--url` names another place"
            raise _Failed(f"the gateway at {self.place.shown} does not answer ({error.message}); {hint}") from None
        try:
            value = jsons.parse_object(read)
        except jsons.JsonError:
            raise _Failed(f"what answers at {self.place.shown} is no ds2api (status {answer.status})") from None
        if answer.status == 200:
            return value
        told = value.get("error")
        said = told.get("message") if isinstance(told, dict) else None
        hint = f" (the admin key is read from ${self._variable})" if answer.status in (401, 403) else ""
        raise _Failed(f"{said or f'the gateway answered {answer.status}'}{hint}")


def _is_plain(out: TextIO) -> bool:
    return "utf" not in (out.encoding or "").lower()
