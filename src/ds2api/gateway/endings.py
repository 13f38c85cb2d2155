"""How an exchange ended: who × in which phase. One word, the same in log, ledger and metric."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Ending"]


class Ending(StrEnum):
    SERVED = "served"
    REFUSED = "refused"  # the request was wrong or not allowed; no provider's fault
    SHED = "shed"  # one request too many for the gateway itself
    NO_ACCOUNT = "no_account"  # nobody could serve within the caller's patience
    PROVIDER_REFUSED = "provider_refused"  # the provider called the request wrong
    PROVIDER_FAILED = "provider_failed"  # before the first byte of the answer
    PROVIDER_CUT = "provider_cut"  # in the middle of the answer
    TIMED_OUT = "timed_out"  # one of our own deadlines, in any phase
    CLIENT_GONE_WAITING = "client_gone_waiting"  # before the answer began
    CLIENT_GONE_READING = "client_gone_reading"  # in the middle of it
    GATEWAY_FAILED = "gateway_failed"  # our bug
