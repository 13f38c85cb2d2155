"""What the operator sees of the pool, and does to it: ``/admin/…``.

    GET  /admin/pool[?explain=MODEL[&caller=NAME]]      everything, and whom a request would meet just now, and why
    GET  /admin/accounts                                its accounts alone
    POST /admin/accounts/ID/drain | rest | revive       ID as shown ("openai/a"); rest takes {"for_s": 60}

For the admin key; where no caller needs a key either, for this machine, but then never for a page in its browser: a
page of any site may send a POST to a loopback address, and says so by its `origin`. No key is in any answer, since the
pool holds none.
"""

from __future__ import annotations

import asyncio
import difflib
import math
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from ds2api import jsons
from ds2api.accounts import Ask, Candidate
from ds2api.gateway.browsers import is_this_machine
from ds2api.gateway.callers import ANONYMOUS
from ds2api.gateway.failures import client_error
from ds2api.gateway.house import House
from ds2api.slices import one_by_one
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["PREFIX", "administer", "check_method"]

PREFIX = "/admin/"
_ACCOUNTS = "/admin/accounts"
_DEEDS = ("drain", "rest", "revive")
# A week: whoever wants an account out for longer drains it.
_REST_MOST_S = 604_800.0


async def administer(house: House, incoming: Incoming) -> bytes:
    """The answer, as JSON. Raises `Problem`."""
    _check_operator(house, incoming)
    path = incoming.path.rstrip("/")
    if path in ("/admin/pool", _ACCOUNTS):
        check_method(incoming, "GET", "HEAD")
        now = house.now()
        view = await one_by_one(house.admission.pool.view(now))
        asked = dict(parse_qsl(incoming.query))
        if path == _ACCOUNTS:
            return await _written({"accounts": view.accounts})
        shown = {one.name: getattr(view, one.name) for one in fields(view)}
        shown["recent"] = [{**_plain(choice), "ago_s": now - choice.at} for choice in view.recent]
        if "explain" in asked:
            shown["explanation"] = _explained(house, asked["explain"], asked.get("caller", ""))
        return await _written(shown)
    account_id, _, deed = path.removeprefix(_ACCOUNTS + "/").rpartition("/")
    if not path.startswith(_ACCOUNTS + "/") or deed not in _DEEDS or not account_id:
        message = f"there is no {incoming.path[:200]!r}; there are /admin/pool, {_ACCOUNTS} and, by POST, "
        raise _not_found(message + ", ".join(f"{_ACCOUNTS}/ID/{deed}" for deed in _DEEDS))
    check_method(incoming, "POST")
    return await _done(house, incoming, unquote(account_id), deed)


async def _done(house: House, incoming: Incoming, account_id: str, deed: str) -> bytes:
    admission = house.admission
    seconds = await _rest_seconds(incoming) if deed == "rest" else 0.0
    try:
        if deed == "drain":
            admission.drain(account_id)
        elif deed == "rest":
            admission.rest(account_id, seconds)
        else:
            admission.revive(account_id)
    except KeyError:
        raise _unknown("account", account_id, [one.id for one in admission.pool.accounts]) from None
    return await _written({"account": admission.pool.account_view(account_id, house.now())})


async def _rest_seconds(incoming: Incoming) -> float:
    try:
        body = jsons.parse_object(await incoming.read_body() or b"{}")
    except PeerError as error:
        raise Problem(client_error(error)) from None
    except jsons.JsonError as error:
        raise Problem.bad_request(f"the request body is {error}") from None
    seconds = body.get("for_s")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _REST_MOST_S:
        raise Problem.bad_request(f"for_s: wanted a number of seconds up to {_REST_MOST_S:,.0f}", "for_s")
    return float(seconds)


def _explained(house: House, model: str, name: str) -> dict[str, Any]:
    caller = house.callers.named(name) if name else ANONYMOUS
    if caller is None:
        raise _unknown("caller", name, house.callers.names())
    patience_s = house.retries.patience_s if caller.patience_s is None else caller.patience_s
    targets = [
        Candidate(target.provider.name, target.model, caller.tags | target.tags)
        for target in house.routes.resolve(model, caller)
    ]
    ask = Ask(targets, house.now() + patience_s, caller.name, caller.weight)
    explanation: dict[str, Any] = _plain(house.admission.pool.explain(ask, house.now()))
    others = [{"account": account_id, "reason": reason} for account_id, reason in explanation["others"]]
    return {"model": model, "caller": caller.name, **explanation, "others": others}


async def _written(value: Any) -> bytes:
    # In a thread: 10,000 accounts take a while, in which no stream should wait.
    return await asyncio.to_thread(lambda: jsons.dump(_plain(value)))


def _plain(value: Any) -> Any:
    """`value` as JSON has it: what has no clock (infinity) is null, a set a sorted list."""
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)  # of an enum: its value
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return [_plain(one) for one in (sorted(value) if isinstance(value, frozenset | set) else value)]


def _check_operator(house: House, incoming: Incoming) -> None:
    house.admin.identify(incoming.headers)
    if not house.admin.is_open:
        return
    if not house.callers.is_open or not is_this_machine(incoming.peer):
        raise _forbidden("this page is for the operator: set [admin] key_hash in the configuration and send that key")
    if incoming.method not in ("GET", "HEAD") and incoming.headers.get("origin") is not None:
        raise _forbidden("a page in a browser needs an admin key for this: set [admin] key_hash and send that key")


def check_method(incoming: Incoming, *allowed: str) -> None:
    if incoming.method not in allowed:
        listed = list(allowed)
        message = f"{incoming.method[:20]} is not possible on {incoming.path[:200]!r}; allowed: {', '.join(listed)}"
        raise Problem(Error(Fault.REQUEST, Kind.METHOD_NOT_ALLOWED, message, details=listed))


def _unknown(what: str, name: str, known: list[str]) -> Problem:
    nearest = difflib.get_close_matches(name, known, n=1)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {shown or 'none'}"
    return _not_found(f"there is no {what} {name[:100]!r}; {hint}")


def _not_found(message: str) -> Problem:
    return Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, message))


def _forbidden(message: str) -> Problem:
    return Problem(Error(Fault.REQUEST, Kind.FORBIDDEN, message))
