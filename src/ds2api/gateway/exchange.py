"""An exchange: one client request, from its first byte to its answer's last. Read it top to bottom.

    who is calling → read the body → which model, whose targets → (an account → an attempt)* → the answer

What stands in brackets is `Trying`'s; how the bytes of one attempt travel is `Attempt`'s; what is no generation is in
`errands` and `earlier`. What belongs here is the order, and that every way out is answered in the client's dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
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
from ds2api.gateway.trying import Once, Trying, Wanted
from ds2api.long_strings import LARGE_BYTES
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["Exchange", "Visit"]

_BESIDE = {"count_tokens": count_tokens, "embed": embed, "relay": relay}


@dataclass(slots=True)
class Visit:
    """What a request's head tells by itself: at which door of `house` who is calling. `answer_fields` go out with any
    answer. The next request of a connection mostly has the same head, and is then received without a second look
    (`heads.Learned`), as long as the house is the same."""

    house: House
    door: Door
    answer_fields: Sequence[tuple[str, str]]
    caller: Caller | None = None  # once the key was looked at


class Exchange:
    """One request of a client on a `visit`. `run` is all there is to call, or `pass_on` for a provider's own API."""

    __slots__ = (
        "_client", "_dialect", "_house", "_incoming", "_record", "_trying", "_visit",
    )  # fmt: skip

    def __init__(self, visit: Visit, incoming: Incoming, record: ExchangeRecord, began_at: float) -> None:
        self._visit = visit
        self._house = visit.house
        self._incoming = incoming
        self._dialect = visit.door.dialect
        self._record = record
        self._client = ClientAnswer(incoming, self._dialect, record, began_at)
        self._trying = Trying(visit.house, incoming, self._client, record, began_at)

    async def run(self, story: Coroutine[Any, Any, None] | None = None) -> None:
        """Answer the request. Raises nothing but a cancellation: every failure is answered in the client's
        dialect. On return the answer is complete (or cut, where the head had left), nothing is held."""
        house, record, client = self._house, self._record, self._client
        try:
            with self._incoming.time_limit.of(house.deadlines.exchange_total_s) as total:
                await (story or self._serve())
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
            if client.stream is not None:
                client.stream.close()

    async def _serve(self) -> None:
        """The story of a request that goes well; everything else is raised."""
        house, incoming, trying, door = self._house, self._incoming, self._trying, self._visit.door
        caller = self._visit.caller or self._identified()
        self._record.caller = caller.name
        peek: Callable[[dict[str, Any], str], Peek] | None = None
        if door.operation == "stored":
            await tell(trying, door, caller)
            return
        if door.operation == "embed":
            peek = None if self._dialect.embedder is None else self._dialect.embedder.peek
        elif door.operation == "relay":
            peek = peek_alone
        raw = incoming.body_at_hand()
        if raw is None:
            raw = await incoming.read_body()
        found = await long_strings_of(raw) if len(raw) > LARGE_BYTES else None
        request = ClientRequest(self._dialect, raw, incoming.headers, incoming.target, caller.name, peek, found)
        if request.peek.local_answer is not None:
            self._client.send_whole(request.peek.local_answer)
            self._client.served(None)
            return
        self._record.model = request.peek.model[:200]
        places: Sequence[ResolvedTarget] = house.routes.resolve(request.peek.model, caller)
        if door.operation == "generate":
            await trying.run(*self._generation(request, places, caller))
        else:
            await _BESIDE[door.operation](trying, request, places, caller)

    def _identified(self) -> Caller:
        """Raises `Problem`. For this head the answer is known from now on."""
        incoming = self._incoming
        caller = self._visit.caller = self._house.callers.identify(incoming.headers, incoming.query)
        incoming.learned.value = self._visit
        return caller

    def _generation(
        self, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller
    ) -> tuple[Wanted, Sequence[ResolvedTarget], Once]:
        """Who wants it, where it may be had, and how one place is tried."""
        house = self._house
        tags: tuple[str, ...] = ()
        if self._dialect.answer_keeper is not None:
            places, tags = go_on(house, request, places)
        if request.peek.stream:
            self._client.open_stream(self._dialect.encoder(self._trying.asker(request)), house.wheel, house.deadlines)

        def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Coroutine[Any, Any, Usage | None]:
            return Attempt(house, self._incoming, request, client, place, lease).run()

        def goes_on(place: ResolvedTarget) -> bool:
            return self._client.cut is not None and can_continue(house, request, place, self._client.cut)

        return Wanted(caller, request.peek, tags, may_race=True, goes_on=goes_on), places, once

    async def pass_on(self, provider: Provider, path: str) -> None:
        """A path of `provider`'s own API, for whoever may call: the whole exchange, as `run` is."""
        await self.run(pass_on(self._trying, provider, path))
