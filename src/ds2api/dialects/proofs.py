"""Who may be shown a proof of reasoning that came back through a client of another dialect (`mapping.md` §4).

Such a proof travels in the gateway's own envelope. It goes to nobody but the provider, the model and the account that
gave it: everybody else would refuse it, and with it the whole conversation.

A proof that a client holds itself is none of our affair until a provider refuses it (`refuses_proofs`): then the
request can be sent once more without any (`without_proofs`), and the conversation lives (R083).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from ds2api.dialects.contract import Target
from ds2api.universal.envelope import PREFIX
from ds2api.universal.errors import Error, Fault
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Call, Part, Reasoning, Result, Sealed, Text
from ds2api.universal.request import Request

__all__ = ["opened_for", "refuses_proofs", "without_proofs"]

# What providers say of a proof that they did not give, or that is no longer good: OpenAI "The encrypted content gAAA…
# could not be verified" (code invalid_encrypted_content), Anthropic "Invalid `signature` in `thinking` block" and
# "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified", Gemini "Thought
# signature is not valid".
_REFUSED = re.compile(
    r"encrypted[ _]content|signature.{0,40}thinking|thinking.{0,80}(signature|cannot be modified|preserv)"
    r"|preserved[ _-]thinking|thought[ _]?signature",
    re.IGNORECASE | re.DOTALL,
)
# An envelope that nobody can open: every writer knows what to leave out beside it, and what to report.
_NOBODYS = PREFIX


def opened_for(target: Target, sealed: Sealed, kinds: Collection[str] | None = None) -> tuple[Sealed | None, str]:
    """The proof inside `sealed` that `target` may be sent; else None and why. `kinds` are the forms that its dialect
    has a place for, None for any."""
    if not sealed.data.startswith(PREFIX):
        return None, "this proof of reasoning was not given by this gateway, and proofs are not portable"
    opened = target.sealer.open(sealed.data) if target.sealer is not None else None
    if opened is None:
        return None, "this proof of reasoning was not sealed by this gateway, or it was changed"
    if kinds is not None and opened.kind not in kinds:
        return None, "this proof of reasoning belongs to a provider of another kind"
    if (opened.provider, opened.model) != (target.provider, target.model):
        return None, f"this reasoning was done by {opened.model} at {opened.provider}, and proofs are not portable"
    if target.account and opened.account and opened.account != target.account:
        return None, "this reasoning was done under another account, and proofs are not portable"
    return opened, ""


def refuses_proofs(error: Error) -> bool:
    """Whether a provider refused a request for the proofs of reasoning in its history."""
    if error.fault is not Fault.REQUEST or error.status not in (None, 400, 422):
        return False
    return _REFUSED.search(f"{error.code or ''} {error.message}") is not None


def without_proofs(request: Request) -> tuple[Request, list[Loss]] | None:
    """`request` with no proof in it that anybody would take, so that its writer leaves them out and reports them; None
    if it has none.

    A turn that is to go on with the results of its calls may not begin without its thinking while a thinking budget
    is set (Anthropic, "Preserving thinking blocks"): then thinking goes as well, which is the loss that comes with it.
    """
    turns = [replace(turn, parts=[_unproved(part) for part in turn.parts]) for turn in request.turns]
    if turns == request.turns:
        return None
    losses: list[Loss] = []
    control = request.reasoning
    if control is not None and control.mode == "enabled" and any(isinstance(one, Result) for one in turns[-1].parts):
        losses.append(Loss("dropped", control.path, "thinking is off: the turn to go on with lost its own thinking"))
        request = replace(request, reasoning=None)
    return replace(request, turns=turns), losses


def _unproved(part: Part) -> Part:
    match part:
        case Reasoning(sealed=Sealed() as sealed):
            return replace(part, sealed=replace(sealed, data=_NOBODYS))
        case Call(signature=Sealed() as sealed) | Text(signature=Sealed() as sealed):
            return replace(part, signature=replace(sealed, data=_NOBODYS))
    return part
