"""Who may be shown a proof of reasoning that came back through a client of another dialect (`mapping.md` §4).

Such a proof travels in the gateway's own envelope. It goes to nobody but the provider, the model and the account that
gave it: everybody else would refuse it, and with it the whole conversation.
"""

from __future__ import annotations

from collections.abc import Collection

from ds2api.dialects.contract import Target
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Sealed

__all__ = ["opened_for"]


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
