"""What a page in somebody's browser may ask: where it comes from (`origin`), and under which name (`host`).

A browser runs programs of strangers on the operator's own machine. Two of their ways to a gateway that asks no keys
are closed here, both only for a gateway without callers and a client on this machine, since elsewhere a key is asked:

* *cross-site*: a page of any site may send a POST to a loopback address. It says so by its `origin`.
* *DNS rebinding*: a site lets its own name point at a loopback address, and its page is then of the "same" origin. It
  says so by its `host`, which is then a name that nobody here gave.

Whom the operator lists (`[browsers] origins`) may ask, and read the answers too (CORS): a preflight is answered
without a key, since browsers send none, and the fields stand on every answer, or a page could not read an error (R143).
Everything is decided from two fields; nothing here knows a socket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from ds2api.gateway.settings import Browsers
from ds2api.universal.errors import Error, Fault, Kind, Problem

__all__ = ["answer_fields", "check_page", "is_this_machine", "preflight_fields"]

# Pages of programs, not of sites: editors and desktop shells. The same as Ollama's own defaults.
_PROGRAMS = ("app://", "file://", "tauri://", "vscode-file://", "vscode-webview://")
_HOST = re.compile(r"(?:https?://)?(\[[^\]]*\]|[^:/]*)(?::\d*)?", re.IGNORECASE)
_FIELD_NAMES = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z, ]*")
# Browsers ask again after this at the latest (Chromium caps at two hours).
_PREFLIGHT_S = "600"


def check_page(browsers: Browsers, headers: Mapping[str, str]) -> None:
    """For a gateway that asks no key, and a client on its own machine. Raises `Problem` (FORBIDDEN)."""
    host = headers.get("host", "")
    if host and not _is_local_name(host) and _name_of(host) not in browsers.hosts:
        raise _forbidden(
            f"{host[:100]!r} is no name of this gateway, which asks no key and so answers this machine alone; "
            "if it is one, list it in `[browsers] hosts`"
        )
    origin = headers.get("origin")
    if origin is None:
        # A picture or a script of another site's page; a link that somebody follows is no such thing.
        is_foreign = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
        origin = "another site" if is_foreign else None
    elif _may_read(browsers, origin) or _is_own(browsers, origin):
        return
    if origin is not None:
        raise _forbidden(
            f"a page of {origin[:100]} asked, and this gateway asks no key; list the origin in `[browsers] origins`, "
            "or give callers and operator keys (`key_hash`)"
        )


def answer_fields(browsers: Browsers, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What lets the page that asked read the answer; nothing for any other."""
    origin = headers.get("origin")
    if origin is None or not _may_read(browsers, origin):
        return ()
    return (("access-control-allow-origin", origin), ("access-control-expose-headers", "*"), ("vary", "origin"))


def preflight_fields(headers: Mapping[str, str], allowed: str) -> list[tuple[str, str]]:
    """What a page asks before it asks (Fetch §3.2.2), where `answer_fields` lets it."""
    asked = headers.get("access-control-request-headers", "")
    return [
        ("access-control-allow-methods", allowed),
        ("access-control-allow-headers", asked if _FIELD_NAMES.fullmatch(asked) else ""),
        ("access-control-max-age", _PREFLIGHT_S),
    ]


def is_this_machine(peer: str) -> bool:
    """Whether a client's address is this machine's own."""
    try:
        return peer.startswith("unix:") or ip_address(peer).is_loopback
    except ValueError:
        return False


def _may_read(browsers: Browsers, origin: str) -> bool:
    return origin in browsers.origins or "*" in browsers.origins


def _is_own(browsers: Browsers, origin: str) -> bool:
    if origin.startswith(("http://", "https://")):
        return _is_local_name(origin, is_origin=True) or _name_of(origin) in browsers.hosts
    return origin.startswith(_PROGRAMS)


def _name_of(text: str) -> str:
    found = _HOST.fullmatch(text)
    return found[1].lower().rstrip(".") if found else ""


def _is_local_name(text: str, *, is_origin: bool = False) -> bool:
    """No site can have it: an address (no name to be pointed elsewhere), `localhost`, or a name without a dot (of a
    container, say). Another machine's page is not of here, whatever its address."""
    name = _name_of(text)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return not is_origin and bool(name) and "." not in name
    return not is_origin or address.is_loopback


def _forbidden(message: str) -> Problem:
    return Problem(Error(Fault.REQUEST, Kind.FORBIDDEN, message))
