"""An exchange: one client request, from its first byte to its answer's last. Read it top to bottom.

    who is calling → read the body → which model, whose targets → (an account → an attempt)* → the answer

What stands in brackets is `Trying`'s; how the bytes of one attempt travel is `Attempt`'s; what is no generation is in
`errands` and `earlier`. What belongs here is the order, and that every way out is answered in the client's dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ds2api.accounts import Lease
from ds2api.dialects.contract import Peek
from ds2api.gateway.attempt import Attempt, can_continue
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest, long_strings_of
from ds2api.gateway.doors import Door
from ds2api.gateway.earlier import go_on, tell
from ds2api.gateway.endings import Ending
from ds2api.gateway.errands import count_tokens, embed, pass_on, peek_alone, relay
from ds2api.gateway.failures import client_error
from ds2api.gateway.house import House
from ds2api.gateway.providers import Provider
from ds2api.gateway.routes import ResolvedTarget
from ds2api.gateway.trying import Trying, Wanted
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["Exchange"]


class Exchange:
    """One request of a client at `door`. `run` is all there is to call, or `pass_on` for a provider's own API."""

    __slots__ = (
        "_client", "_dialect", "_door", "_house", "_incoming", "_record", "_trying",
    )  # fmt: skip

    def __init__(
        self,
        house: House,
        incoming: Incoming,
        door: Door,
        record: ExchangeRecord,
        began_at: float,
    ) -> None:
        self._house = house
        self._incoming = incoming
        self._door = door
        self._dialect = door.dialect
        self._record = record
        self._client = ClientAnswer(incoming, door.dialect, record, began_at)
        self._trying = Trying(house, incoming, self._client, record, began_at)

    async def run(self) -> None:
        """Answer the request. Raises nothing but a cancellation: every failure is answered in the client's
        dialect. On return the answer is complete (or cut, where the head had left), nothing is held."""
        await self._answered(self._serve())

    async def _answered(self, story: Coroutine[Any, Any, None]) -> None:
        house, record, client = self._house, self._record, self._client
        try:
            with self._incoming.time_limit.of(house.deadlines.exchange_total_s) as total:
                await story
        except Problem as problem:
            client.refuse(problem.error)
        except PeerError as error:
            client.refuse(client_error(error))
        except TimeoutError:
            if not total.is_expired:
                raise
            setting = f"`timeouts.exchange_total_s` ({house.deadlines.exchange_total_s:g} s)"
            client.refuse(Error(Fault.GATEWAY, Kind.TIMEOUT, f"the answer took longer than {setting}"))
        except asyncio.CancelledError:
            if not (self._incoming.finished and record.ending):  # else it has its answer, and left before we did
                is_reading = self._incoming.started
                record.ending = Ending.CLIENT_GONE_READING if is_reading else Ending.CLIENT_GONE_WAITING
            raise
        except Exception as error:
            house.report_bug(error, record.id)
            message = f"the gateway failed; tell its operator the id {record.id}"
            client.refuse(Error(Fault.GATEWAY, Kind.INTERNAL, message))
        finally:
            client.close()

    async def _serve(self) -> None:
        """The story of a request that goes well; everything else is raised."""
        house, incoming = self._house, self._incoming
        caller = house.callers.identify(incoming.headers, incoming.query)
        self._record.caller = caller.name
        match self._door.operation:
            case "stored":
                await tell(self._trying, self._door, caller)
                return
            case "embed":
                embedder = self._dialect.embedder
                request = await self._read(caller, None if embedder is None else embedder.peek)
            case "relay":
                request = await self._read(caller, peek_alone)
            case _:
                request = await self._read(caller)
        if request.peek.local_answer is not None:
            self._client.send_whole(request.peek.local_answer)
            self._client.served(None)
            return
        self._record.model = request.peek.model[:200]
        places = house.routes.resolve(request.peek.model, caller)
        match self._door.operation:
            case "count_tokens":
                await count_tokens(self._trying, request, places, caller)
            case "embed":
                await embed(self._trying, request, places, caller)
            case "relay":
                await relay(self._trying, request, places, caller)
            case _:
                await self._generate(request, places, caller)

    async def _read(self, caller: Caller, peek: Callable[[dict[str, Any], str], Peek] | None = None) -> ClientRequest:
        raw = await self._incoming.read_body()
        incoming, found = self._incoming, await long_strings_of(raw)
        return ClientRequest(self._dialect, raw, incoming.headers, incoming.target, caller.name, peek, found)

    async def _generate(self, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
        house = self._house
        places, tags = go_on(house, request, places)
        if request.peek.stream:
            self._client.open_stream(self._dialect.encoder(self._trying.asker(request)), house.wheel, house.deadlines)

        async def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Usage | None:
            return await Attempt(house, self._incoming, request, client, place, lease).run()

        def goes_on(place: ResolvedTarget) -> bool:
            return self._client.cut is not None and can_continue(house, request, place, self._client.cut)

        wanted = Wanted(caller, request.peek, tags, may_race=True, goes_on=goes_on)
        await self._trying.run(wanted, places, once)

    async def pass_on(self, provider: Provider, path: str) -> None:
        """A path of `provider`'s own API, for whoever may call: the whole exchange, as `run` is."""
        await self._answered(pass_on(self._trying, provider, path))
