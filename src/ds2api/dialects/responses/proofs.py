"""Proofs of reasoning: `encrypted_content`, and the envelope in which another provider's proof travels there.

OpenAI's own passes byte for byte between its clients and itself. On its way through another dialect the id of its
item goes with it (OpenAI answers a 400 when the two do not belong together), in front of the first space: neither
holds one. Another provider's proof is sealed for a client (``ds2.1.…``, `mapping.md` §4) and opened again only for
whoever made it. What proves not a thought but a call or a text (Gemini's signature) stands in a reasoning item of its
own right behind it, told by the prefix of its id.
"""

from __future__ import annotations

from typing import Final

from ds2api.dialects.contract import Asker, Target
from ds2api.dialects.proofs import opened_for
from ds2api.universal.parts import Sealed

__all__ = ["KIND", "SIGNATURE_PREFIX", "bound", "for_client", "for_provider", "unbound"]

KIND: Final = "openai_encrypted"
SIGNATURE_PREFIX = "rs_sig_"


def bound(item_id: str | None, encrypted: str) -> Sealed:
    """The proof of a provider's item."""
    return Sealed(KIND, f"{item_id} {encrypted}" if item_id else encrypted)


def unbound(sealed: Sealed) -> tuple[str | None, str]:
    """The item's id and its `encrypted_content`."""
    item_id, space, encrypted = sealed.data.partition(" ")
    return (item_id, encrypted) if space else (None, sealed.data)


def for_client(sealed: Sealed, asker: Asker) -> str | None:
    """What stands in `encrypted_content` for a client; None where there is no way to carry it."""
    if sealed.kind == KIND:
        return unbound(sealed)[1]
    if asker.sealer is None:
        return None
    return asker.sealer.seal(sealed, asker.provider, asker.upstream_model, asker.account)


def for_provider(sealed: Sealed, target: Target) -> tuple[Sealed | None, str]:
    """The proof that `target` may be sent for one of ours that a client gave back; else None and why."""
    return opened_for(target, sealed, (KIND,))
