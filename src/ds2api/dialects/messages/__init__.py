"""Anthropic's Messages API, both ways: what its clients send and read, what its providers take and give.

Words: a *block* is one entry of `content`; an *own* request came from a client of this dialect and goes back as it
came, a *foreign* one is translated; a *proof* is the signature of a thinking block, or a redacted block's data.

Both API versions are spoken (``2023-06-01``, ``2026-10-21``): they differ in what a model takes, which
`capabilities` knows, not in form. This room imports from `dialects` (contract and helpers), `universal`,
`wire.sse` and `jsons`.
"""

from __future__ import annotations

from ds2api.dialects.messages.dialect import DIALECT

__all__ = ["DIALECT"]
