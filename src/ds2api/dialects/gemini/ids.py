"""Ids of calls in an answer: Gemini often gives none (`features.md` row 43), every other protocol needs one."""

from __future__ import annotations

import hashlib

__all__ = ["call_id"]


def call_id(response_id: str | None, part: int) -> str | None:
    """The same whenever it is read, and no other part or answer has it (R044). None where the answer itself has no id
    to make it from: then the client's encoder gives a new one."""
    if response_id is None:
        return None
    return "call_" + hashlib.sha256(f"{response_id}/{part}".encode(errors="replace")).hexdigest()[:24]
