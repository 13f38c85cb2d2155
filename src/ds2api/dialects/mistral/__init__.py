"""Mistral's chat API (La Plateforme), as its own clients speak it: `mistralai`, and what is written after it.

As a provider Mistral is a flavour of chat, so the doors towards providers belong to another dialect that `mistral` is
given (`upstream`); this room does the clients' side, in which Mistral differs: content in chunks,
thoughts among them, whole tool calls, usage without asking, errors of its own shape.

Words: an *own* request came from a client of this dialect. Its extras are tagged "mistral"; on the way to and from
`upstream` they are `retagged`. Imports `dialects` (contract and helpers), `universal` and `jsons`, no other dialect.
"""

from __future__ import annotations

from ds2api.dialects.mistral.dialect import mistral

__all__ = ["mistral"]
