"""Proofs of reasoning in Gemini's one place for them: the `thoughtSignature` of a part.

Gemini's own pass byte for byte. Another provider's travels through a Gemini client in the gateway's envelope
(``ds2.1.…``, `mapping.md` §4). The field is of type bytes, and the SDKs decode it: google-genai refuses an answer whose
signature is no base64 ("Invalid symbol 46", the dot of the envelope). So the envelope goes out in base64 once more,
which always begins with the same eight letters, and is taken out of it again.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ds2api.dialects.contract import Asker, Target
from ds2api.dialects.proofs import opened_for
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Sealed

__all__ = ["SENTINEL", "envelope_in", "for_client", "for_provider", "read_signature"]

# ai.google.dev/gemini-api/docs/thought-signatures: for calls that another model made.
SENTINEL = "skip_thought_signature_validator"

_WRAPPED = base64.b64encode(PREFIX.encode()).decode()  # six letters make eight without padding


def envelope_in(signature: str) -> str | None:
    """Our envelope in a client's `thoughtSignature`, in either dress; None for any other signature."""
    if signature.startswith(PREFIX):
        return signature
    if not signature.startswith(_WRAPPED):
        return None
    try:
        padded = signature.rstrip("=") + "=" * (-len(signature.rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None


def read_signature(signature: Any) -> Sealed | None:
    """The proof on a part; None where there is none."""
    if not isinstance(signature, str) or not signature:
        return None
    return Sealed("gemini_signature", envelope_in(signature) or signature)


def for_client(sealed: Sealed, asker: Asker) -> str | None:
    """What stands in `thoughtSignature` for a client; None where there is no way to carry it."""
    if sealed.data.startswith(PREFIX):
        envelope = sealed.data
    elif sealed.kind == "gemini_signature":
        return sealed.data
    elif asker.sealer is None:
        return None
    else:
        envelope = asker.sealer.seal(sealed, asker.provider, asker.upstream_model, asker.account)
    return base64.b64encode(envelope.encode()).decode()


def for_provider(sealed: Sealed, target: Target) -> tuple[str | None, str]:
    """The signature that `target` may be sent for a proof in our envelope or of another dialect; else None and why."""
    opened, reason = opened_for(target, sealed, ("gemini_signature",))
    return (None if opened is None else opened.data), reason
