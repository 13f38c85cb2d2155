"""Accounts: which credential sends this.

Words: an *account* is one credential at a provider with its limits and health; an *ask* says what is wanted;
the *pool* answers with a *lease* (an account held for one attempt), a *ticket* (a place in the line) or a
*refusal*; a *verdict* says what a provider's answer means for the account; what a provider's headers say about
limits is *announced*.

Promises: a lease has one owner and one release; what is given back goes to the first in line within the same
call; no account is used beyond the limits that are known; a dead key is never tried again, and none is called dead
without proof; a failing provider is asked by one request, not by all. Pure: no I/O, no clock of its own, no chance of
its own, no key (an account is known here by its id), so a week of traffic runs in seconds. Nothing on the way of a
request walks a list of accounts: O(log n) a decision.

May import `universal`.
"""

from ds2api.accounts.account import Account, AccountLimits, Health
from ds2api.accounts.announced import Announced, read_announced
from ds2api.accounts.ask import Ask, Candidate, Lease, Refused
from ds2api.accounts.line import Ticket
from ds2api.accounts.policy import Policy
from ds2api.accounts.pool import Grant, Pool
from ds2api.accounts.verdicts import Action, Scope, Verdict, judge
from ds2api.accounts.view import AccountView, Choice, CircuitView, Explanation, GroupView, LineView, PoolView, QuotaView

__all__ = [
    "Account", "AccountLimits", "AccountView", "Action", "Announced", "Ask", "Candidate", "Choice", "CircuitView",
    "Explanation", "Grant", "GroupView", "Health", "Lease", "LineView", "Policy", "Pool", "PoolView", "QuotaView",
    "Refused", "Scope", "Ticket", "Verdict", "judge", "read_announced",
]  # fmt: skip
