"""One request on one account after another, until its client has an answer or nobody can give one.

It only executes: whom to ask is the pool's word, whether to try again is `Attempts`', what a failure means is
`judge`'s. What belongs here is that what was taken is given back: a lease ends within `_try`, whatever happens in it,
a cancellation (the client left) included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from ds2api.accounts import Ask, Candidate, Lease, Refused, Ticket
from ds2api.dialects.contract import Asker, Peek
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount, first_step
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.endings import Ending
from ds2api.gateway.failures import AttemptFailed, nobody_can_serve
from ds2api.gateway.house import House
from ds2api.gateway.race import FailedTry, Race, Runner
from ds2api.gateway.routes import ResolvedTarget
from ds2api.records import ExchangeRecord
from ds2api.universal import estimate
from ds2api.universal.errors import Error, Problem
from ds2api.universal.usage import Usage
from ds2api.wire.server import Incoming

__all__ = ["Once", "Trying", "Wanted"]

_hedges = attrgetter("hedge")

# One try at a place, on a leased account, for a client. None: nobody counted its tokens.
Once = Callable[[ResolvedTarget, Lease, ClientAnswer], Awaitable[Usage | None]]


@dataclass(slots=True)
class Wanted:
    """Who wants what of the pool. `tags` are the accounts that the request is bound to. `beside` names what providers
    count apart from generating: its limits, and what is held against an account, are its own (R125). `may_race`: its
    attempts say when they have something for the client (`ClientAnswer.claim`). `goes_on`: whether a place could
    continue the answer that broke off."""

    caller: Caller
    peek: Peek
    tags: tuple[str, ...] = ()
    beside: str = ""
    may_race: bool = False
    goes_on: Callable[[ResolvedTarget], bool] = lambda place: False


class Trying:
    """The tries of one exchange that began at `began_at`. `run` once."""

    __slots__ = (
        "_ends_at", "_patience_s", "client", "house", "incoming", "record",
    )  # fmt: skip

    def __init__(
        self, house: House, incoming: Incoming, client: ClientAnswer, record: ExchangeRecord, began_at: float
    ) -> None:
        self.house = house
        self.incoming = incoming
        self.client = client
        self.record = record
        self._ends_at = began_at + house.deadlines.exchange_total_s
        self._patience_s = 0.0  # what is left of it

    async def run(self, wanted: Wanted, places: Sequence[ResolvedTarget], once: Once) -> None:
        """Try `once` on one account after another, as `Attempts` decides, until the client has its answer. Raises
        `Problem` when it has not."""
        house, patience_s = self.house, wanted.caller.patience_s
        self._patience_s = house.retries.patience_s if patience_s is None else patience_s
        attempts: Attempts | None = None  # as long as nothing has failed there is nothing to decide
        step: TryAccount | GiveUp = first_step(len(places))
        may_race = wanted.may_race and any(map(_hedges, places))
        if may_race:
            house.hedging.asked()
        while isinstance(step, TryAccount):
            targets, offered = step.targets, places
            if attempts is not None:
                if self.client.cut is not None:
                    targets = tuple(index for index in targets if wanted.goes_on(places[index]))
                    if not targets:
                        raise Problem(self.client.cut.error)
                offered = [places[index] for index in targets]
            ask = self._ask(wanted, offered, step)
            granted = house.admission.at_once(ask)
            if not isinstance(granted, Lease):
                granted = await self._in_line(granted, offered, None if attempts is None else attempts.last)
            self.record.attempts += 1
            target = targets[granted.target]
            place = places[target]
            failed: Sequence[FailedTry]
            if may_race and place.hedge and not wanted.tags and self.client.cut is None:
                failed = await self._race(wanted, place, granted, step, once)
            else:
                one_failed = await self._try(place, granted, once, self.client)
                if one_failed is None:
                    return
                failed = (one_failed,)
            if not failed:
                return
            if attempts is None:
                names = [place.provider.name for place in places]
                attempts = Attempts(house.retries, names, self._ends_at, house.chance)
            for one in failed:
                account, cause = one.lease.account.id, one.cause
                self.record.tried.append(f"{account}: {cause.verdict.reason}")
                step = attempts.after(
                    cause.error,
                    cause.verdict,
                    target,
                    account,
                    house.now(),
                    patience_s=self._wait_most_s,
                    content_sent=self.client.content_sent,
                )
                if isinstance(step, GiveUp):
                    break
        raise Problem(step.error)

    async def _race(
        self, wanted: Wanted, place: ResolvedTarget, lease: Lease, step: TryAccount, once: Once
    ) -> list[FailedTry]:
        """One attempt on `lease` and, if its first byte is late, a second on another account (`race`). Empty: the
        client has its answer."""
        house, hedging = self.house, self.house.hedging
        leases, where = [lease], (place.provider.name, place.model, wanted.peek.stream)

        def second() -> Runner | None:
            if not hedging.can_afford:
                return None
            avoid = step.avoid | {lease.account.id}
            ask = replace(self._ask(wanted, [place], TryAccount((0,), avoid)), spare_only=True)
            spare = house.admission.at_once(ask)  # who asks for what is spare never stands in line
            if not isinstance(spare, Lease):
                return None
            hedging.spend()
            self.record.hedged = True
            leases.append(spare)
            return partial(self._try, place, spare, once)

        try:
            race = Race(self.client, partial(hedging.took, where), house.now)
            return await race.run(partial(self._try, place, lease, once), hedging.late_s(where), second)
        finally:
            for one in leases:  # a task that is cancelled before its first step has given nothing back
                house.admission.give_back(one)

    @property
    def _wait_most_s(self) -> float:
        """How long the client may stand in line from now on: its patience is for the line alone, and whoever leaves
        it must have time to be served."""
        left_s = self._ends_at - self.house.retries.attempt_least_s - self.house.now()
        return max(0.0, min(self._patience_s, left_s))

    async def _in_line(self, place: Ticket | Refused, offered: Sequence[ResolvedTarget], last: Error | None) -> Lease:
        """An account, within the caller's patience. Raises `Problem` if nobody can serve."""
        house, record = self.house, self.record
        asked_at = house.now()
        granted = await house.admission.wait(place) if isinstance(place, Ticket) else place
        waited_s = house.now() - asked_at
        record.wait_s = (record.wait_s or 0.0) + waited_s
        self._patience_s -= waited_s
        if isinstance(granted, Lease):
            return granted
        record.ending = Ending.NO_ACCOUNT
        raise Problem(nobody_can_serve(granted, last, offered))

    def _ask(self, wanted: Wanted, offered: Sequence[ResolvedTarget], step: TryAccount) -> Ask:
        caller, peek, house = wanted.caller, wanted.peek, self.house
        now = house.now()
        beside = f" {wanted.beside}" if wanted.beside else ""
        return Ask(
            [Candidate(place.provider.name, place.model + beside, caller.tags | place.tags) for place in offered],
            # Its patience is for the line alone, and whoever leaves it must have time to be served.
            max(now, min(now + self._patience_s, self._ends_at - house.retries.attempt_least_s)),
            caller.name,
            caller.weight,
            peek.affinity,
            wanted.tags or (house.pinned_accounts(peek.pins) if peek.pins else ()),
            bool(wanted.tags),
            estimate.input_tokens(peek.text_bytes, peek.media_count),
            None if peek.output_limit is None else peek.output_limit * peek.choices,
            step.avoid,
            step.retries,
            step.not_before,
        )

    async def _try(self, place: ResolvedTarget, lease: Lease, once: Once, client: ClientAnswer) -> FailedTry | None:
        """One attempt on `lease`, which is over when this returns, whatever happens. None: it went well."""
        admission = self.house.admission
        try:
            usage = await once(place, lease, client)
        except AttemptFailed as failure:
            admission.settle(lease, failure.verdict, usage=failure.usage, announced=failure.announced)
            return FailedTry(lease, failure)
        except BaseException:
            admission.give_back(lease)
            raise
        admission.settle(lease, None, usage=usage)
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
