"""The pool: asks in, leases, tickets and refusals out.

One waiting line for all accounts, first come first served among those who can be served at all: no request
waits at a full account while another is idle. `acquire` decides and returns; whoever asked does the waiting.
Freed capacity goes to the first in line within the same call (`settle`, `give_back`), so there is no window in
which an account looks free and is not (the classic gap of connection pools, `style.md` §5).

The choice, per target in order: the account that the request is bound to (`pins`), else the conversation's own, which
is waited for a little (`Policy.home_wait_s`), else the one with most left of its limits, the least loaded of equals.
What the limits are is configured, or learned (`quota`), per limit group and model; keys of one organisation are one
group as soon as a header says so.

Cost: O(accounts of the targets) an ask, O(line) a wake, which is this room's next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from ds2api.accounts.account import Account, Health
from ds2api.accounts.announced import Announced
from ds2api.accounts.policy import Policy
from ds2api.accounts.quota import Quota
from ds2api.accounts.verdicts import Action, Verdict
from ds2api.universal.errors import Kind

_64_BITS = (1 << 64) - 1
# Models' names come from clients, so what is learned of each is bounded; the oldest is learned anew.
_QUOTAS_MOST = 4096
# Conversations whose account is remembered: some 15 MB. The one that began longest ago is placed anew.
_HOMES_MOST = 65_536

__all__ = ["AccountStatus", "Ask", "Candidate", "Grant", "Lease", "Pool", "Refused", "Ticket"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that may serve: the provider whose accounts to use, and its name of the model."""

    provider: str
    model: str


@dataclass(slots=True)
class Ask:
    """What is wanted. `deadline` is the clock at which the caller's patience ends. `avoid` are account ids that
    failed this request already: taken only when nothing else can serve."""

    targets: Sequence[Candidate]
    deadline: float
    caller: str = ""
    affinity: str | None = None
    pins: tuple[str, ...] = ()  # tags of accounts that made something in the request
    estimate: float = 1.0  # tokens
    avoid: frozenset[str] = frozenset()
    home_until: float = 0.0  # set by the pool: how long the conversation's own account is waited for


@dataclass(slots=True, eq=False)
class Lease:
    """An account, held for one attempt. Ends by exactly one of `Pool.settle` and `Pool.give_back`."""

    account: Account
    target: int  # index into `Ask.targets`
    model: str
    reserved: float
    over: bool = False


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the line. `wake_at` is the earliest clock at which it could be served by time alone."""

    ask: Ask
    wake_at: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody can serve within the deadline: `kind` is why the one who could soonest cannot now, RATE_LIMITED
    where it is only busy. `retry_after_s` is None where no clock helps."""

    kind: Kind
    retry_after_s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What became of a ticket."""

    ticket: Ticket
    outcome: Lease | Refused


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account as people see it. `resting` maps models to the seconds they are out for."""

    id: str
    provider: str
    health: Health
    in_flight: int
    served: int
    refused: int
    out_for_s: float | None
    reason: str
    since_s: float | None = None  # how long it is not READY
    resting: dict[str, float] = field(default_factory=dict)


class Pool:
    """All accounts. Every method takes `now`, a clock that never goes back."""

    def __init__(self, accounts: Iterable[Account], policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._accounts: dict[str, Account] = {}
        self._by_provider: dict[str, list[Account]] = {}
        self._line: list[Ticket] = []
        self._homes: dict[tuple[str, str, str], str] = {}  # (caller, conversation, provider) → account id
        self._quotas: dict[tuple[str, str, str], Quota] = {}  # (provider, limit group, model)
        for account in accounts:
            if account.id in self._accounts:
                raise ValueError(f"two accounts are called {account.id!r}")
            self._accounts[account.id] = account
            self._by_provider.setdefault(account.provider, []).append(account)

    def acquire(self, ask: Ask, now: float) -> Lease | Ticket | Refused:
        """An account for `ask`, a place in the line, or a refusal. Never waits."""
        ask.home_until = min(ask.deadline, now + self._policy.home_wait_s)
        lease = self._try(ask, now)
        if lease is not None:
            return lease
        ticket_or_refused = self._outlook(ask, now)
        if isinstance(ticket_or_refused, Ticket):
            self._line.append(ticket_or_refused)
        return ticket_or_refused

    def settle(
        self,
        lease: Lease,
        verdict: Verdict | None,
        now: float,
        *,
        used: float | None = None,
        announced: Announced | None = None,
    ) -> list[Grant]:
        """The attempt is over: `verdict` None means that it was served. Twice is an error of the caller's.

        Returns who in the line is served by what became free.
        """
        account, model = self._end(lease), lease.model
        if announced is not None:
            self._find_group(account, announced)
        quota = self._quota(account, model)
        if announced is not None:
            quota.learn(announced)
        if used is not None:
            account.correct(lease.reserved, used)
        if verdict is None:
            account.succeed(model)
            quota.succeed()
        elif verdict.action is not Action.NONE:
            if verdict.wait_s is None and announced is not None and verdict.action is Action.COOL:
                wait_s = announced.retry_after_s
                wait_s = announced.exhausted_s if wait_s is None else wait_s
                verdict = replace(verdict, wait_s=wait_s)
            account.fail(model, verdict, self._policy, now)
            if verdict.kind is Kind.RATE_LIMITED:
                quota.refuse(lease.reserved, verdict.wait_s, now)
            else:
                quota.give_back()
            self._share(account, model, verdict)
        else:
            quota.give_back()
        return self._serve_line(now)

    def give_back(self, lease: Lease, now: float) -> list[Grant]:
        """The attempt ended without a word about the account (the client left, the request was refused).
        Synchronous, so that no cancellation can stop it. Twice is harmless."""
        if lease.over:
            return []
        self._quota(self._end(lease), lease.model).give_back()
        return self._serve_line(now)

    def cancel(self, ticket: Ticket) -> None:
        """Leave the line. Twice, or after the grant, is harmless."""
        if ticket in self._line:
            self._line.remove(ticket)

    def tick(self, now: float) -> list[Grant]:
        """Time has passed: who can be served, and whose patience is over."""
        return self._serve_line(now)

    def next_wake(self) -> float | None:
        """The clock at which `tick` has something to do by time alone; None if the line is empty."""
        if not self._line:
            return None
        return min(min(ticket.wake_at, ticket.ask.deadline) for ticket in self._line)

    def replace(self, accounts: Iterable[Account], policy: Policy) -> None:
        """A new configuration: accounts that stay keep their health and what they have running, new ones come,
        the others serve no more (their leases end as ever). A changed key (`tag`) is a new chance."""
        known = self._accounts
        self._policy = policy
        self._accounts, self._by_provider = {}, {}
        for new in accounts:
            old = known.get(new.id)
            account = new if old is None else old.update(new)
            self._accounts[account.id] = account
            self._by_provider.setdefault(account.provider, []).append(account)

    def account(self, account_id: str) -> Account:
        """Raises `KeyError` for an unknown id."""
        return self._accounts[account_id]

    def status(self, now: float) -> list[AccountStatus]:
        """A snapshot for people, in the order of the configuration."""
        return [
            AccountStatus(
                account.id,
                account.provider,
                Health.COOLING if self._is_cooling(account, now) else account.health,
                account.in_flight,
                account.served,
                account.refused,
                None if account.out_until == float("inf") else max(0.0, account.out_until - now),
                _why(account),
                None if account.health is Health.READY else now - account.since,
                {model: rest.until - now for model, rest in account.rests.items() if rest.until > now},
            )
            for account in self._accounts.values()
        ]

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    @property
    def in_flight(self) -> int:
        """How many leases are out."""
        return sum(account.in_flight for account in self._accounts.values())

    def _try(self, ask: Ask, now: float) -> Lease | None:
        if self._waits_for_home(ask, now) is not None:
            return None
        for avoided in (False, True) if ask.avoid else (True,):
            for index, target in enumerate(ask.targets):
                free = [
                    account
                    for account in self._by_provider.get(target.provider, ())
                    if not account.is_full
                    and (avoided or account.id not in ask.avoid)
                    and self._ready_at(account, target.model, ask.estimate, now) <= now
                ]
                if free:
                    account = self._choose(free, ask, target, now)
                    account.begin(ask.estimate, now)
                    self._quota(account, target.model).begin(ask.estimate, now)
                    return Lease(account, index, target.model, ask.estimate)
        return None

    def _ready_at(self, account: Account, model: str, cost: float, now: float) -> float:
        at = account.ready_at(model, cost, now)
        quota = self._quotas.get((account.provider, account.group, model))
        return at if quota is None else max(at, quota.free_at(cost, now))

    def _quota(self, account: Account, model: str) -> Quota:
        key = (account.provider, account.group, model)
        quota = self._quotas.get(key)
        if quota is None:
            if len(self._quotas) >= _QUOTAS_MOST:
                del self._quotas[next(iter(self._quotas))]
            quota = self._quotas[key] = Quota()
        return quota

    def _find_group(self, account: Account, announced: Announced) -> None:
        """Keys of one organisation share its buckets, whatever the configuration does not say."""
        if announced.organisation and account.group == account.id:
            account.group = f"organisation {announced.organisation}"

    def _choose(self, free: list[Account], ask: Ask, target: Candidate, now: float) -> Account:
        for account in free:
            if account.tag and account.tag in ask.pins:
                return account
        if ask.affinity is None:
            return min(free, key=lambda account: (account.load, account.last_used, account.id))
        conversation = (ask.caller, ask.affinity, target.provider)
        home = self._homes.get(conversation)
        known = next((one for one in free if one.id == home), None)
        if known is not None:
            return known
        # A new conversation, or one whose home cannot serve: it goes where most is left, and stays there. Among equals
        # it is the same account in every process and after a restart.
        seed = _digest(f"{ask.caller}\0{ask.affinity}")
        account = min(
            free, key=lambda one: (round(self._pressure(one, target.model, now), 1), one.load, -_rendezvous(seed, one))
        )
        self._homes[conversation] = account.id
        if len(self._homes) > _HOMES_MOST:
            del self._homes[next(iter(self._homes))]
        return account

    def _pressure(self, account: Account, model: str, now: float) -> float:
        quota = self._quotas.get((account.provider, account.group, model))
        return max(account.pressure(now), quota.pressure(now) if quota is not None else 0.0)

    def _waits_for_home(self, ask: Ask, now: float) -> float | None:
        """When the conversation's own account can serve it, if that is soon enough to be waited for: what stands in
        its cache is worth a little wait. None: it need not or should not wait."""
        if ask.affinity is None or ask.avoid or now >= ask.home_until:
            return None
        target = ask.targets[0]
        account = self._accounts.get(self._homes.get((ask.caller, ask.affinity, target.provider), ""))
        if account is None or account.is_full:
            return None
        at = self._ready_at(account, target.model, ask.estimate, now)
        return at if now < at <= ask.home_until else None

    def _outlook(self, ask: Ask, now: float) -> Ticket | Refused:
        """No account is free: when could one be, and does the patience last?"""
        home_at = self._waits_for_home(ask, now)
        if home_at is not None:
            return Ticket(ask, home_at)
        soonest: tuple[float, Account | None, str] = (float("inf"), None, "")
        full = False
        for target in ask.targets:
            for account in self._by_provider.get(target.provider, ()):
                at = self._ready_at(account, target.model, ask.estimate, now)
                full = full or (account.is_full and at <= ask.deadline)
                if soonest[1] is None or at < soonest[0]:
                    soonest = (at, account, target.model)
        wake_at, found, model = soonest
        if wake_at <= ask.deadline and ask.deadline > now:
            # If only full accounts are ready, somebody's end wakes us, the deadline at the latest.
            return Ticket(ask, ask.deadline if full and wake_at <= now else wake_at)
        if found is None:
            return Refused(Kind.UPSTREAM_FAILED, None, "no account is configured for this model")
        cause = found.cause_for(model)
        retry_after_s = None if wake_at == float("inf") else max(0.0, wake_at - now)
        if cause is None:
            return Refused(Kind.RATE_LIMITED, retry_after_s, "busy" if found.is_full else "limit reached")
        return Refused(cause.kind, retry_after_s, cause.reason)

    def _serve_line(self, now: float) -> list[Grant]:
        grants: list[Grant] = []
        if not self._line:
            return grants
        still: list[Ticket] = []
        # Who wants the same as somebody in front who could not be served, or more, need not be tried.
        hopeless: dict[tuple[Candidate, ...], Ticket] = {}
        for ticket in self._line:
            targets = tuple(ticket.ask.targets)
            before = hopeless.get(targets)
            if (
                before is not None
                and ticket.ask.estimate >= before.ask.estimate
                and ticket.ask.deadline > now
                and ticket.ask.deadline >= before.wake_at  # else there is no hope for it, and it is told so now
            ):
                ticket.wake_at = before.wake_at
                still.append(ticket)
                continue
            lease = self._try(ticket.ask, now)
            if lease is not None:
                grants.append(Grant(ticket, lease))
                continue
            outlook = self._outlook(ticket.ask, now)
            if isinstance(outlook, Refused):
                grants.append(Grant(ticket, outlook))
            else:
                ticket.wake_at = outlook.wake_at
                still.append(ticket)
                # Who only waits for its own account says nothing of the others.
                if not ticket.ask.avoid and self._waits_for_home(ticket.ask, now) is None:
                    hopeless[targets] = ticket
        self._line = still
        return grants

    def _end(self, lease: Lease) -> Account:
        if lease.over:
            raise ValueError("this lease has ended already")
        lease.over = True
        lease.account.finish()
        return lease.account

    def _share(self, account: Account, model: str, verdict: Verdict) -> None:
        """A rate limit holds for every account of the same limit group."""
        if verdict.kind is not Kind.RATE_LIMITED or account.group == account.id:
            return
        rest = account.rests.get(model)
        if rest is None:
            return
        for other in self._by_provider[account.provider]:
            if other.group == account.group and other is not account:
                other.rest(model, rest.until, rest.cause)

    def _is_cooling(self, account: Account, now: float) -> bool:
        return account.health is Health.READY and any(rest.until > now for rest in account.rests.values())


def _rendezvous(seed: int, account: Account) -> float:
    """How strongly `account` wants the conversation of `seed`. One hash a conversation and one an account, mixed
    (the finalizer of splitmix64, Steele 2014), instead of one for each pair."""
    mixed = ((seed ^ account.spot) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return (mixed ^ (mixed >> 31)) * account.weight


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _why(account: Account) -> str:
    causes = [account.cause, *(rest.cause for rest in account.rests.values())]
    return next((cause.reason for cause in causes if cause is not None), "")
