"""The front door: which dialect and operation a request is for, and what the gateway answers by itself.

`Doors` knows the paths, `admin` what is the operator's. What is answered here asks no provider: health, model lists,
and every refusal that comes before an exchange.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from ds2api import __version__, jsons
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway import admin
from ds2api.gateway.browsers import answer_fields, check_page, is_this_machine, preflight_fields
from ds2api.gateway.doors import Door, Doors
from ds2api.gateway.endings import Ending
from ds2api.gateway.exchange import Exchange, Visit
from ds2api.gateway.failures import client_error
from ds2api.gateway.house import House
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["App"]

_JSON = ("content-type", "application/json")
_PROVIDERS = "/providers/"
_OWN_PATHS = ("/", "/healthz", "/readyz", "/api/hello")
_KINDS = {
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
    408: Kind.TOO_SLOW,
    413: Kind.TOO_LARGE,
    415: Kind.UNSUPPORTED_MEDIA,
    431: Kind.TOO_LARGE,
}


class App:
    """`handle` is what `wire.Server` runs for each request, `refuse` what it asks for its own errors."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.is_draining = False
        self._doors = Doors(DIALECTS.values())

    async def handle(self, incoming: Incoming) -> None:
        """Answer one request. Raises nothing but a cancellation."""
        house = self.house
        began_at = house.now()
        record = ExchangeRecord("req_" + house.new_id(), incoming.method, incoming.path[:200], incoming.peer)
        try:
            visit = incoming.learned.value
            if not isinstance(visit, Visit) or visit.house is not house:
                visit = await self._received(incoming, record, began_at)
            if visit is not None:
                record.client_dialect = visit.door.dialect.name
                incoming.extra_fields = visit.answer_fields
                house.load.check()
                await Exchange(visit, incoming, record, began_at).run()
        except Problem as problem:
            self._refused(incoming, record, problem.error)
        finally:
            record.total_s = house.now() - began_at
            house.log.exchange(record)

    async def _received(self, incoming: Incoming, record: ExchangeRecord, began_at: float) -> Visit | None:
        """Whose request this is and what for, as far as its head tells; None where that was all, and it is answered."""
        house = self.house
        self._check_page(incoming)
        if incoming.method == "OPTIONS":
            self._tell_options(incoming, record)
            return None
        if self._answer_itself(incoming, record):
            return None
        if incoming.path.startswith(admin.PREFIX):
            self._served(incoming, record, await admin.administer(house, incoming))
            return None
        if incoming.path.startswith(_PROVIDERS):
            house.load.check()
            await self._pass(incoming, record, began_at)
            return None
        door = self._doors.find(incoming.method, incoming.path, incoming.headers, incoming.query)
        record.client_dialect = door.dialect.name
        if door.operation in ("models", "model"):
            await self._models(incoming, record, door)
            return None
        if door.operation == "note":  # a version, which asks for no key: editors look for it before they have one
            self._served(incoming, record, door.dialect.write_note(incoming.target))
            return None
        return Visit(house, door, incoming.extra_fields)

    def refuse(self, method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
        """The wire's own error, in the shape of the path's dialect. The status stays the wire's."""
        path, _, query = target.partition("?")
        dialect = self._doors.dialect_of(path, {}, query)
        request_id = "req_" + self.house.new_id()
        kind = _KINDS.get(error.status_hint, Kind.INTERNAL if error.status_hint == 500 else Kind.BAD_REQUEST)
        written = dialect.write_error(Error(Fault.REQUEST, kind, error.message), request_id)
        return error.status_hint, [_JSON, *written.headers, ("x-ds2api-request-id", request_id)], written.body

    def _check_page(self, incoming: Incoming) -> None:
        house = self.house
        if house.browsers.origins:
            incoming.extra_fields = answer_fields(house.browsers, incoming.headers)
        if house.callers.is_open and incoming.peer != "unix:" and is_this_machine(incoming.peer):
            check_page(house.browsers, incoming.headers)

    def _tell_options(self, incoming: Incoming, record: ExchangeRecord) -> None:
        """Without a key, since a browser's preflight has none; it says nothing of models and accounts."""
        if incoming.path in _OWN_PATHS:
            methods = ["GET"]
        elif incoming.path == "*" or incoming.path.startswith((_PROVIDERS, admin.PREFIX)):
            methods = ["DELETE", "GET", "PATCH", "POST", "PUT"]
        else:
            methods = self._doors.methods_at(incoming.path)
        if not methods:
            self._doors.find("OPTIONS", incoming.path, incoming.headers, incoming.query)  # says which paths there are
        allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
        fields = preflight_fields(incoming.headers, allowed) if incoming.extra_fields else []
        record.status, record.ending = 204, Ending.SERVED
        incoming.respond(204, [("allow", allowed), ("x-ds2api-request-id", record.id), *fields])

    def _answer_itself(self, incoming: Incoming, record: ExchangeRecord) -> bool:
        path, house = incoming.path, self.house
        if path not in _OWN_PATHS:
            return False
        admin.check_method(incoming, "GET", "HEAD")
        if path == "/api/hello" and incoming.method != "HEAD":
            house.callers.identify(incoming.headers, incoming.query)
        accept = incoming.headers.get("accept", "*/*")
        if path == "/" and "json" not in accept:
            # Editors and Ollama's own command look for these very words to know that somebody is there (R173).
            record.status, record.ending = 200, Ending.SERVED
            incoming.respond(200, [("content-type", "text/plain; charset=utf-8")], b"Ollama is running")
            return True
        status, body = 200, {"name": "ds2api", "version": __version__, "status": "ok"}
        if path == "/readyz":
            ready = house.can_serve() and not self.is_draining
            status = 200 if ready else 503
            body["status"] = "draining" if self.is_draining else "ready" if ready else "not ready"
        record.status, record.ending = status, Ending.SERVED
        incoming.respond(status, [_JSON], jsons.dump(body))
        return True

    async def _pass(self, incoming: Incoming, record: ExchangeRecord, began_at: float) -> None:
        """``/providers/NAME/…``: the provider's own API, with an account's key."""
        house = self.house
        house.callers.identify(incoming.headers, incoming.query)  # before anything is said of providers
        name, _, path = incoming.path[len(_PROVIDERS) :].partition("/")
        provider = house.providers.get(unquote(name))
        if provider is None:
            message = f"there is no provider {name[:100]!r}; there are: {', '.join(house.providers)}"
            raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, message))
        # However it is written: what stands behind may undo escapes first, and take a backslash for a slash.
        if any(segment in (".", "..") for segment in re.split(r"[/\\]", unquote(path))):
            raise Problem.bad_request("a path that is passed on holds no `.` or `..`")
        door = Door(DIALECTS[next(iter(provider.endpoints.values())).dialect], "relay")
        visit = Visit(house, door, incoming.extra_fields)
        await Exchange(visit, incoming, record, began_at).pass_on(provider, "/" + path)

    async def _models(self, incoming: Incoming, record: ExchangeRecord, door: Door) -> None:
        house, dialect, target = self.house, door.dialect, incoming.target
        caller = house.callers.identify(incoming.headers, incoming.query)
        record.caller = caller.name
        models = house.models(house.routes.names(caller))
        if door.operation == "models":
            self._served(incoming, record, dialect.write_models(models, dict(parse_qsl(incoming.query)), target))
            return
        wanted = door.name or await _named_in(incoming)
        found = next((model for model in models if model.id in (wanted, wanted.removesuffix(":latest"))), None)
        if found is None:
            house.routes.resolve(wanted, caller)  # says which names are near, if it is unknown
            found = house.catalogue.info(wanted, "ds2api")
        self._served(incoming, record, dialect.write_model(found))

    def _served(self, incoming: Incoming, record: ExchangeRecord, body: bytes) -> None:
        record.status, record.ending = 200, Ending.SERVED
        incoming.respond(200, [_JSON, ("x-ds2api-request-id", record.id)], body)

    def _refused(self, incoming: Incoming, record: ExchangeRecord, error: Error) -> None:
        dialect = self._doors.dialect_of(incoming.path, incoming.headers, incoming.query)
        is_unspoken = error.kind is Kind.METHOD_NOT_ALLOWED and _wants_websocket(incoming)
        if is_unspoken:
            error = error.with_(message="this gateway speaks HTTP, not WebSocket: send the same request with POST")
        written = dialect.write_error(error, record.id)
        # Only a 426 makes Codex fall back at once; anything else costs it five reconnects (R150).
        status = 426 if is_unspoken else written.status
        record.ending = Ending.SHED if error.kind is Kind.OVERLOADED else Ending.REFUSED
        record.status, record.reason = status, str(error.kind)
        headers = [_JSON, ("x-ds2api-request-id", record.id), *written.headers]
        if error.kind is Kind.METHOD_NOT_ALLOWED and isinstance(error.details, list):
            headers.append(("allow", ", ".join(error.details)))
        incoming.respond(status, headers, written.body, close=is_unspoken)


def _wants_websocket(incoming: Incoming) -> bool:
    return incoming.method == "GET" and incoming.headers.get("upgrade", "").lower() == "websocket"


async def _named_in(incoming: Incoming) -> str:
    """The model that a request for one model names in its body (Ollama: `model`, formerly `name`)."""
    try:
        body = jsons.parse_object(await incoming.read_body())
    except PeerError as error:
        raise Problem(client_error(error)) from None
    except jsons.JsonError as error:
        raise Problem.bad_request(f"the request body is {error}") from None
    wanted = body.get("model") or body.get("name")
    if not isinstance(wanted, str):
        raise Problem.bad_request("model: required, the name of a model", "model")
    return wanted
