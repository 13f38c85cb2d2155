"""Where conversations are at home: the account that answered the last turn, and what is known of the next one's size.

The next turn's prompt holds the last one and its answer. What stood in that prompt stands in the cache of the account
that answered it, and its text is guessed as wrongly as before, so one answer makes the next guess right within some
percent.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ds2api.accounts.ask import Ask, Lease
from ds2api.universal.usage import Usage

__all__ = ["Home", "Homes"]

# Some 15 MB. The conversation that spoke longest ago is placed anew.
_MOST = 65_536


class Home(NamedTuple):
    """The account of a conversation's last turn; how many tokens it was guessed to have with its answer; how many there
    really were for each."""

    account: str
    tokens: float
    factor: float | None


# As `Home(…)`, without the function that a named tuple is made by: half the time.
_new = tuple.__new__


class Homes:
    """By (caller, conversation, provider)."""

    def __init__(self) -> None:
        # Ordered: the first of a plain one is found behind all that were taken out before it.
        self._homes: OrderedDict[tuple[str, str, str], Home] = OrderedDict()

    def of(self, ask: Ask, provider: str) -> Home | None:
        """None for a conversation that is not known there, or that says no name."""
        if ask.affinity is None:
            return None
        return self._homes.get((ask.caller, ask.affinity, provider))

    def begin(self, ask: Ask, lease: Lease, provider: str) -> None:
        """A turn goes to the account of `lease`."""
        if ask.affinity is None:
            return
        lease.conversation = key = (ask.caller, ask.affinity, provider)
        home = self._homes.pop(key, None)  # the latest stand last
        self._homes[key] = _new(Home, (lease.account.id, ask.input_tokens, None if home is None else home.factor))
        if len(self._homes) > _MOST:
            self._homes.popitem(last=False)

    def learn(self, lease: Lease, usage: Usage) -> None:
        """The turn of `lease` has been answered with so much."""
        home = None if lease.conversation is None else self._homes.get(lease.conversation)
        total = usage.input_total
        if lease.conversation is None or home is None or home.account != lease.account.id or not total:
            return
        factor = total / max(lease.input_tokens, 1.0)
        tokens = lease.input_tokens + (usage.output_total or 0) / factor
        self._homes[lease.conversation] = _new(Home, (home.account, max(home.tokens, tokens), factor))
