"""Carries a provider's proof of reasoning through a client of another protocol, and back.

A client that speaks chat cannot hold an Anthropic signature; what it can hold is an opaque string that it
sends back unread. `Sealer.seal` makes that string, ``ds2.1.<base64url>``, `Sealer.open` reads it: only our own,
unbroken, and never as a wish of the client's. It is signed (HMAC-SHA-256, truncated to 128 bit as RFC 2104 §5
allows), not encrypted: the proof inside is opaque already, and the names of provider and model are what the
client sees anyway; the account is a hash. Same-protocol traffic never passes here: it keeps its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from ds2api import jsons
from ds2api.universal.parts import Sealed

__all__ = ["PREFIX", "Sealer"]

PREFIX = "ds2.1."
_TAG_BYTES = 16


class Sealer:
    """Seals and opens under one `secret` (32 random bytes of the installation, the same after a restart)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, sealed: Sealed, provider: str, model: str, account: str) -> str:
        """`sealed`, bound to who made it. `account` is a hash, never a key."""
        payload = jsons.dump([sealed.kind, sealed.data, provider, model, account])
        return PREFIX + base64.urlsafe_b64encode(self._tag(payload) + payload).decode()

    def open(self, text: str) -> Sealed | None:
        """What `seal` was given, with provider, model and account; None for anything that we did not seal."""
        if not text.startswith(PREFIX):
            return None
        try:
            raw = base64.b64decode(text[len(PREFIX) :].encode("ascii"), altchars=b"-_", validate=True)
        except (ValueError, UnicodeEncodeError):
            return None
        tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(payload)):
            return None
        kind, data, provider, model, account = jsons.parse(payload)
        return Sealed(kind, data, provider, model, account)

    def _tag(self, payload: bytes) -> bytes:
        return hmac.new(self._secret, payload, hashlib.sha256).digest()[:_TAG_BYTES]
