"""What all exchanges share: one object a gateway, handed to each of them."""

from __future__ import annotations

import random
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ds2api.accounts import Health
from ds2api.dialects.contract import ModelInfo
from ds2api.gateway.admission import Admission
from ds2api.gateway.callers import Callers
from ds2api.gateway.catalogue import Catalogue
from ds2api.gateway.contact import Contacts
from ds2api.gateway.hedging import Hedging
from ds2api.gateway.load import Load
from ds2api.gateway.providers import Provider
from ds2api.gateway.routes import Routes
from ds2api.gateway.settings import Browsers, Deadlines, Retries
from ds2api.records import AccessLog
from ds2api.stores import Answers, StoreLimits, Thoughts
from ds2api.universal.envelope import Sealer
from ds2api.wire.timers import TimerWheel
from ds2api.wire.upstream import Client

__all__ = ["House"]


class _Ids:
    """Unguessable ids of 96 bits. The randomness is fetched a page at a time: a system call for each id was 4 % of
    a small request."""

    __slots__ = ("_at", "_page")
    _PAGE_DIGITS = 8192
    _ID_DIGITS = 24

    def __init__(self) -> None:
        self._page, self._at = "", 0

    def __call__(self) -> str:
        if self._at + self._ID_DIGITS > len(self._page):
            self._page, self._at = secrets.token_hex(self._PAGE_DIGITS // 2), 0
        self._at += self._ID_DIGITS
        return self._page[self._at - self._ID_DIGITS : self._at]


@dataclass(slots=True)
class House:
    """The gateway's rooms, joined. `wall` is the wall clock, `new_id` gives unguessable tails for ids, `chance` 0 … 1
    for the jitter of pauses."""

    providers: Mapping[str, Provider]
    routes: Routes
    callers: Callers
    admin: Callers
    admission: Admission
    client: Client
    wheel: TimerWheel
    catalogue: Catalogue
    log: AccessLog
    deadlines: Deadlines = field(default_factory=Deadlines)
    retries: Retries = field(default_factory=Retries)
    answers: Answers = field(default_factory=lambda: Answers(StoreLimits()))
    thoughts: Thoughts = field(default_factory=lambda: Thoughts(StoreLimits()))
    sealer: Sealer = field(default_factory=lambda: Sealer(secrets.token_bytes(32)))
    user_agent: str = "ds2api"
    wall: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default_factory=_Ids)
    chance: Callable[[], float] = random.random
    contacts: Contacts = field(default_factory=Contacts)
    hedging: Hedging = field(default_factory=Hedging)
    browsers: Browsers = field(default_factory=Browsers)
    load: Load = field(init=False)
    now: Callable[[], float] = field(init=False)  # the clock of deadlines, leases and durations; not the wall's

    def __post_init__(self) -> None:
        self.now = self.admission.now
        self.load = Load(self.wheel.loop, self.deadlines.loop_lag_s, self.log.note)

    def pinned_accounts(self, pins: tuple[str, ...]) -> tuple[str, ...]:
        """The tags of the accounts that made the envelopes in `pins`; foreign and broken ones say nothing."""
        if not pins:
            return ()
        opened = (self.sealer.open(pin) for pin in pins)
        return tuple(sealed.account for sealed in opened if sealed is not None and sealed.account)

    def can_serve(self) -> bool:
        """Whether there is an account that a clock, at the latest, makes serve."""
        return any(one.health not in (Health.DEAD, Health.DRAINING) for one in self.admission.pool.accounts)

    def models(self, names: list[tuple[str, str]]) -> list[ModelInfo]:
        """Model names and owners as entries of a list."""
        return [self.catalogue.info(name, owner) for name, owner in names]

    def report_bug(self, error: BaseException, request_id: str) -> None:
        """A failure of our own: the whole trace to the operator, only the id to the client. A trace shows code
        lines, no values, so no key and no content."""
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.log.note(f"bug in exchange {request_id}: {type(error).__name__}\n{trace}")
        if sys.flags.dev_mode:
            self.log.note(f"{error!r}")
