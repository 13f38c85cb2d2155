"""Sources that the model names: Anthropic's citation objects ⇄ universal citations.

Anthropic's places are ranges in the *source*, bound to a whole text block; nobody else has such, so the object
as it came stays in `extra` and goes back only to Anthropic's own clients. The other way there is no carrier: a
citation of another protocol has no `encrypted_index`, and one made up would be refused when it is sent back.
"""

from __future__ import annotations

from typing import Any

from ds2api.universal.parts import Citation, Extra

__all__ = ["read_citation", "write_citation"]

_NAME = "messages"


def read_citation(wire: Any) -> Citation | None:
    """One citation object; None for what is none."""
    if not isinstance(wire, dict):
        return None
    url = _text(wire.get("url")) or (_text(wire.get("source")) if "search_result_index" in wire else None)
    title = _text(wire.get("title")) or _text(wire.get("document_title"))
    return Citation(
        "url" if _text(wire.get("url")) else "document",
        url=url,
        title=title,
        cited_text=_text(wire.get("cited_text")),
        extra=Extra(_NAME, wire),
    )


def write_citation(citation: Citation) -> dict[str, Any] | None:
    """The object as it came from Anthropic; None for one that did not."""
    if citation.extra is not None and citation.extra.dialect == _NAME:
        return citation.extra.fields
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
