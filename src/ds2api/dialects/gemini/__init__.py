"""Gemini's generateContent: contents of parts, one verb for each form of answer, whole tool calls.

Words: a *content* is a turn, a *part* what it is made of; a *thought signature* proves what the model thought and
stands on the part that followed; the *place* (the URL) says the model and the verb, the body neither. A file is one
noun; `proofs` knows how another provider's proof travels through a client of this dialect, `schemas` the two forms of
a schema. May import `ds2api.dialects` helpers, `ds2api.universal` and `ds2api.wire`; no other dialect.
"""

from ds2api.dialects.gemini.dialect import DIALECT

__all__ = ["DIALECT"]
