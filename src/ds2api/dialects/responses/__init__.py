"""OpenAI's Responses: a conversation is a list of *items* (messages, calls, their outputs, reasoning, what hosted
tools did), an answer is more of them.

Items of the assistant that follow each other are one universal turn. Whatever came from a client or provider of this
dialect keeps the object it came in (`Extra.quiet`, `origin`), which goes back to its own dialect as it is; everything
else is written from the universal parts. Files end in `_in` (wire → universal) or `_out` (universal → wire). Imports
only `universal`, `wire.sse`, `jsons` and the helpers beside this folder; never another dialect.
"""

from __future__ import annotations

from ds2api.dialects.responses.dialect import DIALECT

__all__ = ["DIALECT"]
