"""One request on one account after another, until its client has an answer or nobody can give one.

It only executes: whom to ask is the pool's word, whether to try again is `Attempts`', what a failure means is
`judge`'s. What belongs here is that what was taken is given back: a lease ends within `_try`, whatever happens in it,
a cancellation (the client left) included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ds2api.accounts import Ask, Candidate, Lease
from ds2api.dialects.contract import Asker, Peek
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.endings import Ending
from ds2api.gateway.failures import AttemptFailed, nobody_can_serve
from ds2api.gateway.house import House
from ds2api.gateway.routes import ResolvedTarget
from ds2api.records import ExchangeRecord
from ds2api.universal import estimate
from ds2api.universal.errors import Error, Problem
from ds2api.universal.usage import Usage
from ds2api.wire.server import Incoming

__all__ = ["Trying", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who wants what of the pool. `tags` are the accounts that the request is bound to."""

    caller: Caller
    peek: Peek
    tags: tuple[str, ...] = ()


class Trying:
    """The tries of one exchange that began at `began_at`."""

    def __init__(
        self, house: House, incoming: Incoming, client: ClientAnswer, record: ExchangeRecord, began_at: float
    ) -> None:
        self.house = house
        self.incoming = incoming
        self.client = client
        self.record = record
        self._began_at = began_at

    async def run(
        self,
        wanted: Wanted,
        places: Sequence[ResolvedTarget],
        once: Callable[[ResolvedTarget, Lease], Awaitable[Usage | None]],
    ) -> None:
        """Try `once` on one account after another, as `Attempts` decides, until the client has its answer. Raises
        `Problem` when it has not."""
        house, caller = self.house, wanted.caller
        patience_s = house.retries.patience_s if caller.patience_s is None else caller.patience_s
        patience_ends = house.now() + patience_s
        attempts = Attempts(house.retries, len(places), self._began_at + house.deadlines.exchange_total_s)
        step: TryAccount | GiveUp = attempts.first()
        while isinstance(step, TryAccount):
            offered = [places[index] for index in step.targets]
            lease = await self._acquire(wanted, offered, patience_ends, step.avoid, attempts.last)
            attempts.begun()
            self.record.attempts = attempts.count
            failure = await self._try(offered[lease.target], lease, once)
            if failure is None:
                return
            self.record.tried.append(f"{lease.account.id}: {failure.verdict.reason}")
            step = attempts.after(
                failure.error,
                failure.verdict,
                step.targets[lease.target],
                lease.account.id,
                house.now(),
                content_sent=self.client.content_sent,
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
        house, record, peek = self.house, self.record, wanted.peek
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
        admission = self.house.admission
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
        if self.incoming.started:
            self.client.served(usage)
        return None

    def asker(self, request: ClientRequest) -> Asker:
        """For the keep-alives and errors of a stream, whichever attempt it ends with."""
        house, peek = self.house, request.peek
        return Asker(
            peek.model, self.record.id, int(house.wall()), house.new_id, form=peek.form, request=None,
            stream=peek.stream,
        )  # fmt: skip
