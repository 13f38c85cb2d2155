"""What a translation could not carry, and whether that is refused or reported.

The dialects' writers say *what* they cannot express and how grave it is; the target's policy says what
happens then (`losses` in the configuration, `mapping.md` §1):

===================  =========================  =======================  ==========================
the writer calls     policy ``"refuse"``        ``"report"`` (default)   ``"allow"``
===================  =========================  =======================  ==========================
`Losses.report`      400                        passes, reported         passes, reported
`Losses.refuse_soft` 400                        400                      passes, reported (the † of the table)
`Losses.refuse`      400                        400                      400
===================  =========================  =======================  ==========================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from ds2api.universal.errors import Problem

__all__ = ["Loss", "LossCode", "LossPolicy", "Losses"]

LossPolicy = Literal["refuse", "report", "allow"]

# dropped: the field is gone. approximated: something near it was sent. emulated: the gateway does it itself.
# clamped: a value was moved to the nearest allowed one. estimated: a figure is the gateway's own guess. rescued: the
# answer broke off and was continued elsewhere.
LossCode = Literal["dropped", "approximated", "emulated", "clamped", "estimated", "rescued"]


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that did not arrive as it was sent. `path` is the field in the client's own request
    (``messages[2].content[0].image_url``); for losses of an answer it is the field in the provider's."""

    code: LossCode
    path: str
    reason: str

    @property
    def warning(self) -> str:
        """``<code> field=<path>``, the path percent-encoded, so that nothing a client wrote can break a header."""
        return f"{self.code} field={quote(self.path, safe='[]')}"


class Losses:
    """Collects the losses of one translation under one policy."""

    __slots__ = ("items", "policy")

    def __init__(self, policy: LossPolicy = "report") -> None:
        self.policy = policy
        self.items: list[Loss] = []

    def report(self, code: LossCode, path: str, reason: str) -> None:
        """A loss that most callers can live with. Raises `Problem` under ``"refuse"``."""
        if self.policy == "refuse":
            raise Problem.unsupported(f"{path}: {reason} (this model's `losses` is set to refuse)", path)
        self.items.append(Loss(code, path, reason))

    def refuse_soft(self, path: str, reason: str, code: LossCode = "dropped") -> None:
        """A loss that most callers cannot live with, unless the target allows it. Raises `Problem`."""
        if self.policy != "allow":
            raise Problem.unsupported(f"{path}: {reason}", path)
        self.items.append(Loss(code, path, reason))

    def refuse(self, path: str, reason: str) -> Problem:
        """A loss nobody can live with: ``raise losses.refuse(…)``, whatever the policy."""
        return Problem.unsupported(f"{path}: {reason}", path)
