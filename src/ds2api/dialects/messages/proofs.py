"""Proofs of reasoning in Anthropic's two places for them: a thinking block's `signature`, a redacted block's `data`.

Anthropic's own proofs pass byte for byte. Another provider's proof travels through a client of Anthropic's in our
envelope (``ds2.1.…``, `mapping.md` §4), which is opened again only for whoever made it. An envelope never goes to a
provider, and a proof never goes to a model or an account that did not give it: both would be refused there.
"""

from __future__ import annotations

from ds2api.dialects.contract import Asker, Target
from ds2api.dialects.proofs import opened_for
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Sealed

__all__ = ["for_client", "for_provider"]

_OWN_KINDS = ("anthropic_signature", "anthropic_redacted")


def for_client(sealed: Sealed, asker: Asker) -> str | None:
    """What stands in `signature` or `data` for a client; None where there is no way to carry it."""
    if sealed.kind in _OWN_KINDS or sealed.data.startswith(PREFIX):
        return sealed.data
    if asker.sealer is None:
        return None
    return asker.sealer.seal(sealed, asker.provider, asker.upstream_model, asker.account)


def for_provider(sealed: Sealed, target: Target) -> tuple[Sealed | None, str]:
    """The proof that `target` may be sent for one that a client of another dialect gave back; else None and why."""
    return opened_for(target, sealed, _OWN_KINDS)
