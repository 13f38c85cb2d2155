"""Ollama's own API, both ways: `/api/chat` and `/api/generate`, embeddings, and the paths by which editors look around.

Words: a *line* is one JSON object of a stream, which is lines and nothing else (no event names, no comments, no blank
lines: its SDK fails on one). An *own* request came from a client of this dialect and goes back as it came, a *foreign*
one is translated. This dialect has no carrier for proofs of reasoning, so none is written and none is read.

There are no recordings of Ollama: what decides is its SDK's types and its server's (`api/types.go`,
`server/routes.go`).
This room imports from `dialects` (contract and helpers), `universal` and `jsons`.
"""

from __future__ import annotations

from ds2api.dialects.ollama.dialect import DIALECT

__all__ = ["DIALECT"]
