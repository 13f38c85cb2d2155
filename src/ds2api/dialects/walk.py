"""One pass over what a request says, for `peek`: its size, its media, its proofs, and the beginning that tells it from
all other conversations.

*Affinity* is a hash of that beginning: what was said before the first answer, with the client's cache key and user id
where it gave them. All of it together, since a shared system prompt, or one user's id on all traffic, must not gather
everybody on one account (`pool-model.md` §7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

__all__ = ["IDENTITIES", "Walk"]

# OpenAI's fields that name the client's own cache or user.
IDENTITIES = ("prompt_cache_key", "safety_identifier", "user")
# Of a picture's data: enough to tell two apart without hashing megabytes (its length goes in as well).
_MEDIA_CHARACTERS = 512


class Walk:
    """What was seen so far. `pins` are envelopes, in order, each once."""

    __slots__ = ("beginning", "has_user", "is_beginning", "media_count", "pins", "text_bytes")

    def __init__(self) -> None:
        self.text_bytes = 0
        self.media_count = 0
        self.pins: dict[str, None] = {}
        self.beginning = hashlib.blake2b(digest_size=16)
        self.is_beginning = True
        self.has_user = False

    def identify(self, body: dict[str, Any]) -> None:
        """Who asks, as far as the client says."""
        for name in IDENTITIES:
            value = body.get(name)
            if isinstance(value, str):
                self.beginning.update(f"{name}={value}\n".encode("utf-8", "replace"))

    def text(self, text: str) -> None:
        if text.isascii() and not self.is_beginning:  # as nearly all of a long conversation
            self.text_bytes += len(text)
            return
        raw = text.encode("utf-8", "replace")
        self.text_bytes += len(raw)
        if self.is_beginning:
            self.beginning.update(raw)

    def media(self, values: Iterable[Any]) -> None:
        """A picture or the like, which holds `values`."""
        self.media_count += 1
        for value in values if self.is_beginning else ():
            if isinstance(value, str):
                self.beginning.update(f"{len(value)}:{value[:_MEDIA_CHARACTERS]}".encode("utf-8", "replace"))

    def affinity(self) -> str | None:
        return self.beginning.hexdigest() if self.has_user else None
