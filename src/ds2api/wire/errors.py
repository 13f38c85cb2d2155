"""Whose fault it is, in two words: `LocalError` (ours) and `PeerError` (theirs).

A `PeerError` about a client carries the status that it should be answered with; one about an upstream is a
subclass that says in which `phase` it happened and what that means for another try. Messages name the field, the
limit and what came, shortened; they never hold the value of a header, since that may be a key.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "AnswerTooLarge", "BrokenAnswer", "ConnectFailed", "ConnectTimeout", "Disconnected", "FirstByteTimeout",
    "LocalError", "PeerError", "Phase", "ReadTimeout", "UpstreamError",
]  # fmt: skip

Phase = Literal["dns", "connect", "tls", "send", "head", "body"]


class LocalError(Exception):
    """This side would have broken the protocol: a bug of whoever called."""


class PeerError(Exception):
    """The other side broke the protocol, ran into a limit or let a deadline pass.

    `message` is for a person. `status_hint` is the status that a client is answered with. `phase` is where it
    happened.
    """

    def __init__(self, message: str, status_hint: int = 400, phase: Phase = "head") -> None:
        super().__init__(message)
        self.message = message
        self.status_hint = status_hint
        self.phase = phase


class UpstreamError(PeerError):
    """An upstream could not be reached or did not keep to the protocol."""

    def __init__(self, message: str, phase: Phase, status_hint: int = 502) -> None:
        super().__init__(message, status_hint, phase)


class ConnectFailed(UpstreamError):
    """No connection: no such name, refused, unreachable, no valid certificate, or a proxy that would not."""


class ConnectTimeout(ConnectFailed):
    """No connection within `connect_total_s`; `phase` says how far it came."""

    def __init__(self, message: str, phase: Phase) -> None:
        super().__init__(message, phase, 504)


class FirstByteTimeout(UpstreamError):
    """The request was sent (phase `head`) or could not be sent (phase `send`), and no answer came in time."""

    def __init__(self, message: str, phase: Phase = "head") -> None:
        super().__init__(message, phase, 504)


class ReadTimeout(UpstreamError):
    """The answer began and then stood still."""

    def __init__(self, message: str, phase: Phase = "body") -> None:
        super().__init__(message, phase, 504)


class Disconnected(UpstreamError):
    """The upstream closed or reset the connection.

    `answer_began` tells whether any byte of an answer had come, `reused` whether the connection had served a
    request before: only if the first is false and the second true may the request be sent again unseen.
    """

    def __init__(self, message: str, phase: Phase, *, answer_began: bool, reused: bool) -> None:
        super().__init__(message, phase)
        self.answer_began = answer_began
        self.reused = reused


class BrokenAnswer(UpstreamError):
    """The upstream sent what is no HTTP answer, or contradicts itself."""

    def __init__(self, message: str, phase: Phase = "head") -> None:
        super().__init__(message, phase)


class AnswerTooLarge(BrokenAnswer):
    """The answer, or what it inflates to, is larger than the caller takes."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "body")
