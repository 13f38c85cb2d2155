"""An exchange: one client request, from its first byte to its answer's last. Read it top to bottom.

    who is calling → read the body → which model, whose targets → (an account → an attempt)* → the answer

It only executes. Whom to ask is the pool's word, whether to try again is `Attempts`', what a failure means is
`judge`'s, how the bytes travel is `Attempt`'s. What belongs here is the order, and that what was taken is given
back: a lease ends within `_try`, whatever happens in it, a cancellation (the client left) included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ds2api.accounts import Ask, Candidate, Lease
from ds2api.dialects.contract import Asker, Dialect, Operation
from ds2api.gateway.attempt import Attempt
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.endings import Ending
from ds2api.gateway.failures import AttemptFailed, client_error, nobody_can_serve
from ds2api.gateway.house import House
from ds2api.gateway.routes import ResolvedTarget
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming

__all__ = ["Exchange"]


class Exchange:
    """One request of a client who speaks `dialect`. `run` is all there is to call."""

    def __init__(
        self,
        house: House,
        incoming: Incoming,
        dialect: Dialect,
        operation: Operation,
        record: ExchangeRecord,
        began_at: float,
    ) -> None:
        self._house = house
        self._incoming = incoming
        self._dialect = dialect
        self._operation = operation
        self._record = record
        self._began_at = began_at
        self._client = ClientAnswer(incoming, dialect, record, began_at)

    async def run(self) -> None:
        """Answer the request. Raises nothing but a cancellation: every failure is answered in the client's
        dialect. On return the answer is complete (or cut, where the head had left), nothing is held."""
        house, record, client = self._house, self._record, self._client
        try:
            async with asyncio.timeout(house.deadlines.exchange_total_s) as total:
                await self._serve()
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
        house, record, incoming = self._house, self._record, self._incoming
        caller = house.callers.identify(incoming.headers)
        record.caller = caller.name
        raw = await incoming.read_body()
        request = ClientRequest(self._dialect, raw, incoming.headers, incoming.path)
        record.model = request.peek.model[:200]
        places = house.routes.resolve(request.peek.model, caller)
        if self._operation == "count_tokens":
            await self._count_tokens(request, places[0], caller)
            return
        if request.peek.stream:
            self._client.open_stream(self._dialect.encoder(self._asker(request)), house.wheel, house.deadlines)
        patience_s = house.retries.patience_s if caller.patience_s is None else caller.patience_s
        patience_ends = house.now() + patience_s
        attempts = Attempts(house.retries, len(places), self._began_at + house.deadlines.exchange_total_s)
        step: TryAccount | GiveUp = attempts.first()
        while isinstance(step, TryAccount):
            offered = [places[index] for index in step.targets]
            lease = await self._acquire(request, offered, caller, patience_ends, step.avoid, attempts.last)
            attempts.begun()
            record.attempts = attempts.count
            failure = await self._try(request, offered[lease.target], lease)
            if failure is None:
                return
            record.tried.append(f"{lease.account.id}: {failure.verdict.reason}")
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
        request: ClientRequest,
        offered: Sequence[ResolvedTarget],
        caller: Caller,
        patience_ends: float,
        avoid: frozenset[str] = frozenset(),
        last: Error | None = None,
    ) -> Lease:
        """An account, within the caller's patience. Raises `Problem` if nobody can serve."""
        house, record, peek = self._house, self._record, request.peek
        ask = Ask(
            [Candidate(place.provider.name, place.model) for place in offered],
            patience_ends,
            caller.name,
            peek.affinity,
            house.pinned_accounts(peek.pins),
            request.input_estimate + (peek.output_limit or 0),
            avoid,
        )
        asked_at = house.now()
        granted = await house.admission.acquire(ask)
        record.wait_s = (record.wait_s or 0.0) + house.now() - asked_at
        if isinstance(granted, Lease):
            return granted
        record.ending = Ending.NO_ACCOUNT
        raise Problem(nobody_can_serve(granted, last, offered))

    async def _try(self, request: ClientRequest, place: ResolvedTarget, lease: Lease) -> AttemptFailed | None:
        """One attempt on `lease`, which is over when this returns, whatever happens. None: the client has its
        answer."""
        admission = self._house.admission
        try:
            usage = await Attempt(self._house, self._incoming, request, self._client, place, lease).run()
        except AttemptFailed as failure:
            admission.settle(lease, failure.verdict, announced=failure.announced)
            return failure
        except BaseException:
            admission.give_back(lease)
            raise
        used = None if usage is None or usage.input_total is None else usage.input_total + (usage.output_total or 0)
        admission.settle(lease, None, used=used)
        self._client.served(usage)
        return None

    async def _count_tokens(self, request: ClientRequest, place: ResolvedTarget, caller: Caller) -> None:
        """How many tokens a request would be: the provider's count where it has one, else the gateway's guess,
        which says that it is one."""
        house, client = self._house, self._client
        if self._dialect.name in place.provider.endpoints:
            lease = await self._acquire(request, [place], caller, house.now())
            try:
                counted = await Attempt(house, self._incoming, request, client, place, lease).count_tokens()
            except AttemptFailed as failure:
                raise Problem(failure.error) from None
            finally:
                house.admission.give_back(lease)
            if counted is not None:
                client.send_whole(counted)
                client.served(None)
                return
        client.losses = [Loss("estimated", "input_tokens", "the provider does not count; this is a guess")]
        client.send_whole(self._dialect.write_token_count(request.input_estimate))
        client.served(None)

    def _asker(self, request: ClientRequest) -> Asker:
        """For the keep-alives and errors of a stream, whichever attempt it ends with."""
        return Asker(request.peek.model, self._record.id, int(self._house.wall()), self._house.new_id)
