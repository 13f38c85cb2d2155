"""Where an answer names its sources: `groundingMetadata` and `citationMetadata` ⇄ citations.

Gemini's places are bytes of the text, citations count characters (`offsets`). What Gemini said is kept whole beside
the ending and goes back to its own clients from there, so its citations carry an empty `extra` as a mark.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.gemini.fields import NAME
from ds2api.dialects.gemini.offsets import Offsets
from ds2api.universal.parts import Citation, Extra

__all__ = ["is_own", "read_citations", "written_grounding"]

_OWN = Extra(NAME, {})
_SOURCES = ("web", "maps", "retrievedContext", "image")


def is_own(citation: Citation) -> bool:
    return citation.extra is not None and citation.extra.dialect == NAME


def read_citations(candidate: dict[str, Any], offsets: Offsets) -> list[Citation]:
    """All citations of a candidate. Total: what has another type than expected is not there."""
    grounding, recited = candidate.get("groundingMetadata"), candidate.get("citationMetadata")
    citations: list[Citation] = []
    if isinstance(grounding, dict):
        chunks = _objects(grounding.get("groundingChunks"))
        supports = _objects(grounding.get("groundingSupports"))
        for support in supports:
            places = support.get("groundingChunkIndices")
            citations += [
                _citation(chunks[place], support.get("segment"), offsets)
                for place in (places if isinstance(places, list) else ())
                if isinstance(place, int) and 0 <= place < len(chunks)
            ]
        if not supports:
            citations += [_citation(chunk, None, offsets) for chunk in chunks]
    if isinstance(recited, dict):
        for one in _objects(recited.get("citations")) or _objects(recited.get("citationSources")):
            citations.append(_citation({"web": one}, one, offsets))
    return citations


def written_grounding(citations: list[Citation], offsets: Offsets) -> tuple[dict[str, Any] | None, bool]:
    """`groundingMetadata` for another provider's citations, and whether some have no form there: only pages have."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for citation in citations:
        if citation.url is None:
            continue
        web = {"uri": citation.url} | ({"title": citation.title} if citation.title else {})
        if {"web": web} not in chunks:
            chunks.append({"web": web})
        start = offsets.bytes_at(citation.start or 0)
        end = offsets.bytes_at(offsets.characters if citation.end is None else citation.end)
        segment: dict[str, Any] = {"startIndex": start, "endIndex": end}
        if citation.cited_text:
            segment["text"] = citation.cited_text
        supports.append({"segment": segment, "groundingChunkIndices": [chunks.index({"web": web})]})
    found = {"groundingChunks": chunks, "groundingSupports": supports} if chunks else None
    return found, len(supports) < len(citations)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _citation(chunk: dict[str, Any], segment: Any, offsets: Offsets) -> Citation:
    kind = next(
        (name for name in ("web", "maps", "retrievedContext", "image") if isinstance(chunk.get(name), dict)), ""
    )
    source = chunk.get(kind) or {}
    start = end = None
    cited = None
    if isinstance(segment, dict):
        begin, stop = segment.get("startIndex", 0), segment.get("endIndex")
        if isinstance(begin, int) and isinstance(stop, int):
            start, end = offsets.characters_at(begin), offsets.characters_at(stop)
        cited = _text(segment.get("text"))
    url = _text(source.get("uri"))
    return Citation("url" if url else "document", url, _text(source.get("title")), cited, start, end, _OWN)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
