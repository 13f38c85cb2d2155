"""The front door: which dialect and operation a request is for, and what the gateway answers by itself.

The path decides first, then the headers: `/v1/models` is asked by clients of several protocols, and only
`anthropic-version` tells an Anthropic one (`features.md` §1). Users write base URLs with and without `/v1`, and
SDKs add theirs, so a doubled or missing version finds the same door.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote

from ds2api import __version__, jsons
from ds2api.dialects.contract import Dialect, Operation
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.endings import Ending
from ds2api.gateway.exchange import Exchange
from ds2api.gateway.house import House
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["App"]

_JSON = ("content-type", "application/json")
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
        self._exact: dict[str, dict[str, list[tuple[Dialect, Operation]]]] = {}
        self._prefixes: dict[str, list[tuple[Dialect, Operation]]] = {}
        for dialect in DIALECTS.values():
            for route in dialect.routes:
                path, brace, _ = route.path.partition("{model}")
                spellings = {path, path.removeprefix(dialect.version_prefix)}
                for spelling in spellings:
                    if brace:
                        self._prefixes.setdefault(spelling, []).append((dialect, route.operation))
                    else:
                        methods = self._exact.setdefault(spelling, {})
                        methods.setdefault(route.method, []).append((dialect, route.operation))

    async def handle(self, incoming: Incoming) -> None:
        """Answer one request. Raises nothing but a cancellation."""
        house = self.house
        began_at = house.now()
        record = ExchangeRecord("req_" + house.new_id(), incoming.method, incoming.path[:200], incoming.peer)
        try:
            if self._answer_itself(incoming, record):
                return
            dialect, operation, rest = self._door(incoming)
            record.client_dialect = dialect.name
            if operation in ("models", "model"):
                self._models(incoming, record, dialect, operation, rest)
                return
            await Exchange(house, incoming, dialect, operation, record, began_at).run()
        except Problem as problem:
            self._refused(incoming, record, problem.error)
        finally:
            record.total_s = house.now() - began_at
            house.log.exchange(record)

    def refuse(self, method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
        """The wire's own error, in the shape of the path's dialect. The status stays the wire's."""
        dialect = self._dialect_of(target.partition("?")[0], {})
        request_id = "req_" + self.house.new_id()
        kind = _KINDS.get(error.status_hint, Kind.INTERNAL if error.status_hint == 500 else Kind.BAD_REQUEST)
        written = dialect.write_error(Error(Fault.REQUEST, kind, error.message), request_id)
        return error.status_hint, [_JSON, *written.headers, ("x-ds2api-request-id", request_id)], written.body

    def _answer_itself(self, incoming: Incoming, record: ExchangeRecord) -> bool:
        path, house = incoming.path, self.house
        if path not in ("/", "/healthz", "/readyz", "/api/hello", "/admin/accounts"):
            return False
        if incoming.method not in ("GET", "HEAD"):
            raise _wrong_method(incoming, ["GET", "HEAD"])
        if path == "/admin/accounts":
            self._accounts(incoming, record)
            return True
        status, body = 200, {"name": "ds2api", "version": __version__, "status": "ok"}
        if path == "/readyz":
            usable = [one for one in house.admission.pool.status(house.now()) if one.out_for_s is not None]
            ready = bool(usable) and not self.is_draining
            status = 200 if ready else 503
            body["status"] = "draining" if self.is_draining else "ready" if ready else "no usable account"
        record.status, record.ending = status, Ending.SERVED
        incoming.respond(status, [_JSON], jsons.dump(body))
        return True

    def _accounts(self, incoming: Incoming, record: ExchangeRecord) -> None:
        """The pool as it is, for the operator: with the admin key, or, where nobody needs a key, on this machine."""
        house = self.house
        house.admin.identify(incoming.headers)
        if house.admin.is_open and not (house.callers.is_open and _is_this_machine(incoming.peer)):
            raise _forbidden()
        accounts = [
            {
                "account": one.id,
                "health": one.health,
                "in_flight": one.in_flight,
                "served": one.served,
                "refused": one.refused,
                "out_for_s": None if one.out_for_s is None else round(one.out_for_s, 1),
                "reason": one.reason,
                "since_s": None if one.since_s is None else round(one.since_s, 1),
                "resting": {model: round(seconds, 1) for model, seconds in one.resting.items()},
            }
            for one in house.admission.pool.status(house.now())
        ]
        record.status, record.ending = 200, Ending.SERVED
        body = jsons.dump({"accounts": accounts, "waiting": house.admission.pool.waiting})
        incoming.respond(200, [_JSON], body)

    def _door(self, incoming: Incoming) -> tuple[Dialect, Operation, str]:
        """The dialect and operation of the path; `rest` is what stood for ``{model}``. Raises `Problem`."""
        path = self._plain(incoming.path)
        method = "GET" if incoming.method == "HEAD" else incoming.method  # the wire leaves the body away
        methods = self._exact.get(path)
        if methods is not None:
            if method not in methods:
                raise _wrong_method(incoming, sorted(methods))
            choices, rest = methods[method], ""
        else:
            for prefix, found in self._prefixes.items():
                if path.startswith(prefix) and len(path) > len(prefix):
                    if method != "GET":
                        raise _wrong_method(incoming, ["GET"])
                    choices, rest = found, path[len(prefix) :]
                    break
            else:
                known = ", ".join(sorted(path for path in self._exact if path.startswith("/v1")))
                message = f"there is no {incoming.path[:200]!r} here; known paths: {known}"
                raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, message))
        for dialect, operation in choices:
            if (dialect.name == "messages") == ("anthropic-version" in incoming.headers):
                return dialect, operation, rest
        return (*choices[0], rest)

    def _plain(self, path: str) -> str:
        """`path` without doubled slashes, doubled versions and a slash at the end."""
        if "//" in path or path.endswith("/"):
            path = "/" + "/".join(segment for segment in path.split("/") if segment)
        while path.startswith("/v1/v1/"):
            path = path[3:]
        return path

    def _dialect_of(self, path: str, headers: Mapping[str, str]) -> Dialect:
        """Whose error shape to use for `path`, known or not."""
        methods = self._exact.get(self._plain(path))
        if methods is not None:
            choices = [dialect for found in methods.values() for dialect, _ in found]
            if len({dialect.name for dialect in choices}) == 1:
                return choices[0]
        return DIALECTS["messages" if "anthropic-version" in headers or "/messages" in path else "chat"]

    def _models(
        self, incoming: Incoming, record: ExchangeRecord, dialect: Dialect, operation: Operation, rest: str
    ) -> None:
        house = self.house
        caller = house.callers.identify(incoming.headers)
        record.caller = caller.name
        models = house.models(house.routes.names(caller))
        if operation == "models":
            body = dialect.write_models(models, dict(parse_qsl(incoming.query)))
        else:
            wanted = unquote(rest)
            found = next((model for model in models if model.id == wanted), None)
            if found is None:
                house.routes.resolve(wanted, caller)  # says which names are near, if it is unknown
                found = house.catalogue.info(wanted, "ds2api")
            body = dialect.write_model(found)
        record.status, record.ending = 200, Ending.SERVED
        incoming.respond(200, [_JSON, ("x-ds2api-request-id", record.id)], body)

    def _refused(self, incoming: Incoming, record: ExchangeRecord, error: Error) -> None:
        written = self._dialect_of(incoming.path, incoming.headers).write_error(error, record.id)
        record.status, record.ending, record.reason = written.status, Ending.REFUSED, str(error.kind)
        headers = [_JSON, ("x-ds2api-request-id", record.id), *written.headers]
        if error.kind is Kind.METHOD_NOT_ALLOWED and isinstance(error.details, list):
            headers.append(("allow", ", ".join(error.details)))
        incoming.respond(written.status, headers, written.body)


def _is_this_machine(peer: str) -> bool:
    try:
        return peer.startswith("unix:") or ip_address(peer).is_loopback
    except ValueError:
        return False


def _forbidden() -> Problem:
    message = "this page is for the operator: set [admin] key_hash in the configuration and send that key"
    return Problem(Error(Fault.REQUEST, Kind.FORBIDDEN, message))


def _wrong_method(incoming: Incoming, allowed: list[str]) -> Problem:
    message = f"{incoming.method[:20]} is not possible on {incoming.path[:200]!r}; allowed: {', '.join(allowed)}"
    return Problem(Error(Fault.REQUEST, Kind.METHOD_NOT_ALLOWED, message, details=allowed))
