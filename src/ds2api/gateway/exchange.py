"""An exchange: one client request, from its first byte to its answer's last. Read it top to bottom.

    who is calling → read the body → which model, whose targets → (an account → an attempt)* → the answer

It only executes. Whom to ask is the pool's word, whether to try again is `Attempts`', what a failure means is
`judge`'s, how the bytes travel is `Attempt`'s. What belongs here is the order, and that what was taken is given
back: a lease ends within `_try`, whatever happens in it, a cancellation (the client left) included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ds2api import jsons
from ds2api.accounts import Ask, Candidate, Lease
from ds2api.dialects.contract import AnswerKeeper, Asker, Peek
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.attempt import Attempt
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.doors import Door
from ds2api.gateway.endings import Ending
from ds2api.gateway.errand import Errand, relayed_headers
from ds2api.gateway.failures import AttemptFailed, client_error, nobody_can_serve
from ds2api.gateway.house import House
from ds2api.gateway.providers import Endpoint, Provider
from ds2api.gateway.routes import ResolvedTarget
from ds2api.records import ExchangeRecord
from ds2api.stores import StoredAnswer
from ds2api.universal import estimate
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["Exchange"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who wants what of the pool. `tags` are the accounts that the request is bound to."""

    caller: Caller
    peek: Peek
    tags: tuple[str, ...] = ()


class Exchange:
    """One request of a client at `door`. `run` is all there is to call, or `pass_on` for a provider's own API."""

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
        self._began_at = began_at
        self._client = ClientAnswer(incoming, door.dialect, record, began_at)

    async def run(self) -> None:
        """Answer the request. Raises nothing but a cancellation: every failure is answered in the client's
        dialect. On return the answer is complete (or cut, where the head had left), nothing is held."""
        await self._answered(self._serve())

    async def _answered(self, story: Coroutine[Any, Any, None]) -> None:
        house, record, client = self._house, self._record, self._client
        try:
            async with asyncio.timeout(house.deadlines.exchange_total_s) as total:
                await story
        except Problem as problem:
            client.refuse(problem.error)
        except PeerError as error:
            client.refuse(client_error(error))
        except TimeoutError:
            if not total.expired():
                raise
            setting = f"`timeouts.exchange_total_s` ({house.deadlines.exchange_total_s:g} s)"
            client.refuse(Error(Fault.GATEWAY, Kind.TIMEOUT, f"the answer took longer than {setting}"))
        except asyncio.CancelledError:
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
                await self._stored(caller)
                return
            case "embed":
                embedder = self._dialect.embedder
                request = await self._read(caller, None if embedder is None else embedder.peek)
            case "relay":
                request = await self._read(caller, _peek_alone)
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
                await self._count_tokens(request, places, caller)
            case "embed":
                await self._embed(request, places, caller)
            case "relay":
                await self._relay(request, places, caller)
            case _:
                await self._generate(request, places, caller)

    async def _read(self, caller: Caller, peek: Callable[[dict[str, Any], str], Peek] | None = None) -> ClientRequest:
        raw = await self._incoming.read_body()
        return ClientRequest(self._dialect, raw, self._incoming.headers, self._incoming.target, caller.name, peek)

    async def _generate(self, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
        house = self._house
        places, tags = self._going_on(request, places)
        if request.peek.stream:
            self._client.open_stream(self._dialect.encoder(self._asker(request)), house.wheel, house.deadlines)

        async def once(place: ResolvedTarget, lease: Lease) -> Usage | None:
            return await Attempt(house, self._incoming, request, self._client, place, lease).run()

        await self._try_all(Wanted(caller, request.peek, tags), places, once)

    async def _count_tokens(self, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
        """How many tokens a request would be: the provider's count where it has one, else the gateway's guess,
        which says that it is one."""
        house, client, counter = self._house, self._client, self._dialect.token_counter
        assert counter is not None, "a dialect with this operation counts"
        endpoint = places[0].provider.endpoint_for(self._dialect.name)
        places, tags = self._going_on(request, places[:1])
        counted: list[int] = []
        if DIALECTS[endpoint.dialect].token_counter is not None:

            async def once(place: ResolvedTarget, lease: Lease) -> Usage | None:
                errand = Errand(house, request, client, place, lease, endpoint)
                count = await errand.count_tokens()
                if count is not None:
                    counted.append(count)
                return None

            await self._try_all(Wanted(caller, request.peek, tags), places, once)
        if not counted:
            counted.append(request.input_estimate)
            client.losses = [Loss("estimated", "input_tokens", "the provider does not count; this is a guess")]
        client.send_whole(counter.write_count(counted[0]))
        client.served(None)

    async def _embed(self, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
        house, embedder = self._house, self._dialect.embedder
        assert embedder is not None, "a dialect with this operation embeds"
        able = [(place, one) for place in places if (one := _embeds(place, self._dialect.name)) is not None]
        if not able:
            message = f"{places[0].provider.name} has no embeddings; route this model to a provider that has"
            raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED, message, "model"))
        endpoints = {place.provider.name: endpoint for place, endpoint in able}

        async def once(place: ResolvedTarget, lease: Lease) -> Usage | None:
            endpoint = endpoints[place.provider.name]
            return await Errand(house, request, self._client, place, lease, endpoint).embed(
                embedder, self._asker(request)
            )

        await self._try_all(Wanted(caller, request.peek), [place for place, _ in able], once)

    async def _relay(self, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
        """What only a provider of the client's own dialect can answer goes there as it is."""
        house, dialect = self._house, self._dialect
        able = [place for place in places if dialect.name in place.provider.endpoints]
        if not able:
            message = f"{places[0].provider.name} does not speak {dialect.name}, and nothing else has this request"
            raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED, message, "model"))

        async def once(place: ResolvedTarget, lease: Lease) -> Usage | None:
            endpoint = place.provider.endpoints[dialect.name]
            body = dialect.rewrite(request.raw, request.body, place.model, ask_usage=False)
            path = dialect.relay_path(request.path, place.model)
            headers = relayed_headers(request.headers)
            return await Errand(house, request, self._client, place, lease, endpoint).pass_on(
                self._incoming, "POST", path, headers, body
            )

        await self._try_all(Wanted(caller, request.peek), able, once)

    def _going_on(
        self, request: ClientRequest, places: Sequence[ResolvedTarget]
    ) -> tuple[Sequence[ResolvedTarget], tuple[str, ...]]:
        """Where a request may go that goes on from an earlier answer, and the accounts that it is bound to. Puts the
        earlier items in front where the gateway kept them. Raises `Problem` if nobody knows them."""
        house, keeper, caller = self._house, self._dialect.answer_keeper, request.caller
        if keeper is None:
            return places, ()
        client_body, previous = request.body, request.peek.previous_id
        earlier: Sequence[dict[str, Any]] = ()
        tags: tuple[str, ...] = ()
        if previous is not None:
            made_by = house.answers.made_by(caller, previous, house.now())
            stored = house.answers.get(caller, previous, house.now())
            if made_by is not None and any(place.provider.name == made_by[0] for place in places):
                places = [place for place in places if place.provider.name == made_by[0]]
                tags = (made_by[1],)
            elif stored is not None:
                earlier = [*stored.items, *keeper.output_of(stored.answer)]
                request.replay(keeper.replayed(request.body, earlier))
            elif not any(self._dialect.name in place.provider.endpoints for place in places):
                raise Problem(keeper.unknown_previous(previous))
        if house.answers.is_on and keeper.wants_keeping(client_body):

            def keep(answer: dict[str, Any]) -> None:
                said = keeper.items_of(client_body, house.new_id)
                stored = StoredAnswer([*earlier, *said], answer)
                house.answers.keep(caller, keeper.id_of(answer), stored, said, house.now())

            request.keep = keep
        return places, tags

    async def _stored(self, caller: Caller) -> None:
        """About an answer that was given before: asked of the provider that keeps it, or told from our own memory."""
        house, incoming, client, keeper = self._house, self._incoming, self._client, self._dialect.answer_keeper
        assert keeper is not None, "a dialect with this operation keeps answers"
        id_, now = self._door.name, house.now()
        stored = house.answers.get(caller.name, id_, now)
        if stored is not None:
            client.send_whole(self._told(keeper, id_, stored, caller))
            client.served(None)
            return
        made_by = house.answers.made_by(caller.name, id_, now)
        natives = [
            provider
            for provider in house.providers.values()
            if self._dialect.name in provider.endpoints and made_by is not None and provider.name == made_by[0]
        ]
        if not natives or made_by is None:
            raise Problem(_no_answer(id_))
        body = await incoming.read_body()
        place = ResolvedTarget(natives[0], "")
        path = self._dialect.generate_path + incoming.target[incoming.target.index(f"/{id_}") :]

        async def once(place: ResolvedTarget, lease: Lease) -> Usage | None:
            endpoint = place.provider.endpoints[self._dialect.name]
            headers = relayed_headers(incoming.headers)
            return await Errand(house, None, client, place, lease, endpoint).pass_on(
                incoming, incoming.method, path, headers, body
            )

        await self._try_all(Wanted(caller, Peek("", stream=False), (made_by[1],)), [place], once)

    def _told(self, keeper: AnswerKeeper, id_: str, stored: StoredAnswer, caller: Caller) -> bytes:
        """What our own memory says of `stored`."""
        incoming, query = self._incoming, dict(parse_qsl(self._incoming.query))
        if incoming.path.endswith("/input_items"):
            return keeper.write_items(stored.items, query)
        if incoming.path.endswith("/cancel"):
            message = f"the answer {id_!r} is complete; only one that runs in the background can be cancelled"
            raise Problem.bad_request(message)
        if incoming.method == "DELETE":
            self._house.answers.delete(caller.name, id_)
            return keeper.write_deleted(id_)
        if query.get("stream") == "true":
            raise Problem.unsupported("stream: this answer is kept by the gateway, which gives it whole", "stream")
        return jsons.dump(stored.answer)

    async def pass_on(self, provider: Provider, path: str) -> None:
        """A path of `provider`'s own API, for whoever may call: the whole exchange, as `run` is."""
        await self._answered(self._pass_on(provider, path))

    async def _pass_on(self, provider: Provider, path: str) -> None:
        house, incoming = self._house, self._incoming
        caller = house.callers.identify(incoming.headers, incoming.query)
        self._record.caller = caller.name
        if caller.models is not None:
            message = "this key is for certain models only, and what a provider's own API does is not known to name one"
            raise Problem(Error(Fault.REQUEST, Kind.FORBIDDEN, message))
        body = await incoming.read_body()
        endpoint, rest = provider.endpoint_at(path)
        query = "&".join(part for part in incoming.query.split("&") if part and not part.startswith("key="))
        target = rest + (f"?{query}" if query else "")

        async def once(place: ResolvedTarget, lease: Lease) -> Usage | None:
            headers = relayed_headers(incoming.headers)
            return await Errand(house, None, self._client, place, lease, endpoint).pass_on(
                incoming, incoming.method, target, headers, body
            )

        # Files and batches belong to the account that made them: one caller meets one account as long as it serves.
        peek = Peek("", stream=False, text_bytes=len(body), affinity=f"pass:{provider.name}:{caller.name}")
        await self._try_all(Wanted(caller, peek), [ResolvedTarget(provider, "")], once)

    async def _try_all(
        self,
        wanted: Wanted,
        places: Sequence[ResolvedTarget],
        once: Callable[[ResolvedTarget, Lease], Awaitable[Usage | None]],
    ) -> None:
        """Try `once` on one account after another, as `Attempts` decides, until the client has its answer. Raises
        `Problem` when it has not."""
        house, caller = self._house, wanted.caller
        patience_s = house.retries.patience_s if caller.patience_s is None else caller.patience_s
        patience_ends = house.now() + patience_s
        attempts = Attempts(house.retries, len(places), self._began_at + house.deadlines.exchange_total_s)
        step: TryAccount | GiveUp = attempts.first()
        while isinstance(step, TryAccount):
            offered = [places[index] for index in step.targets]
            lease = await self._acquire(wanted, offered, patience_ends, step.avoid, attempts.last)
            attempts.begun()
            self._record.attempts = attempts.count
            failure = await self._try(offered[lease.target], lease, once)
            if failure is None:
                return
            self._record.tried.append(f"{lease.account.id}: {failure.verdict.reason}")
            step = attempts.after(
                failure.error,
                failure.verdict,
                step.targets[lease.target],
                lease.account.id,
                house.now(),
                content_sent=self._client.content_sent,
            )
        raise Problem(step.error)

    async def _acquire(
        self,
        wanted: Wanted,
        offered: Sequence[ResolvedTarget],
        patience_ends: float,
        avoid: frozenset[str] = frozenset(),
        last: Error | None = None,
    ) -> Lease:
        """An account, within the caller's patience. Raises `Problem` if nobody can serve."""
        house, record, peek = self._house, self._record, wanted.peek
        ask = Ask(
            [Candidate(place.provider.name, place.model) for place in offered],
            patience_ends,
            wanted.caller.name,
            peek.affinity,
            wanted.tags or house.pinned_accounts(peek.pins),
            estimate.input_tokens(peek.text_bytes, peek.media_count) + (peek.output_limit or 0),
            avoid,
        )
        asked_at = house.now()
        granted = await house.admission.acquire(ask)
        record.wait_s = (record.wait_s or 0.0) + house.now() - asked_at
        if isinstance(granted, Lease):
            return granted
        record.ending = Ending.NO_ACCOUNT
        raise Problem(nobody_can_serve(granted, last, offered))

    async def _try(
        self,
        place: ResolvedTarget,
        lease: Lease,
        once: Callable[[ResolvedTarget, Lease], Awaitable[Usage | None]],
    ) -> AttemptFailed | None:
        """One attempt on `lease`, which is over when this returns, whatever happens. None: it went well."""
        admission = self._house.admission
        try:
            usage = await once(place, lease)
        except AttemptFailed as failure:
            admission.settle(lease, failure.verdict, announced=failure.announced)
            return failure
        except BaseException:
            admission.give_back(lease)
            raise
        used = None if usage is None or usage.input_total is None else usage.input_total + (usage.output_total or 0)
        admission.settle(lease, None, used=used)
        if self._incoming.started:
            self._client.served(usage)
        return None

    def _asker(self, request: ClientRequest) -> Asker:
        """For the keep-alives and errors of a stream, whichever attempt it ends with."""
        house, peek = self._house, request.peek
        return Asker(
            peek.model, self._record.id, int(house.wall()), house.new_id, form=peek.form, request=None,
            stream=peek.stream,
        )  # fmt: skip


def _peek_alone(body: dict[str, Any], path: str) -> Peek:
    """Of a request that is passed on, only where it goes."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem.bad_request("model: required, the name of a model", "model")
    return Peek(model, stream=body.get("stream") is True, text_bytes=len(jsons.dump(body)))


def _embeds(place: ResolvedTarget, dialect: str) -> Endpoint | None:
    """Where `place` embeds: in the client's own dialect if it can, else in the first that can."""
    able = [one for one in place.provider.endpoints.values() if DIALECTS[one.dialect].embedder is not None]
    return next((one for one in able if one.dialect == dialect), able[0] if able else None)


def _no_answer(id_: str) -> Error:
    message = f"there is no answer {id_[:100]!r} here, or it is too old"
    return Error(Fault.REQUEST, Kind.NOT_FOUND, message)
