"""Chat completions: OpenAI's protocol and the accents of everybody who speaks it.

A *flavour* is a row of differences between servers, an *accent* what the decoder reads without being told. Files
end in `_in` (wire → universal) or `_out` (universal → wire). Imports only `universal`, `wire.sse`, `jsons` and the
helpers beside this folder; never another dialect.
"""

from __future__ import annotations

from ds2api.dialects.chat.dialect import DIALECT

__all__ = ["DIALECT"]
