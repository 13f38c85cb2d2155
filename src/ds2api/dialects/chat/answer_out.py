"""Pieces of a chat answer that whole answers and streams have in common: universal → wire."""

from __future__ import annotations

from typing import Any

from ds2api.dialects.chat.reasoning import TEXT_FIELDS, carrier_of, written_detail
from ds2api.dialects.contract import Asker
from ds2api.universal.parts import Citation, Extra, Sealed

__all__ = ["answer_id", "text_field", "written_citation", "written_proof", "written_signature"]


def answer_id(identity: str | None, extra: Extra | None, asker: Asker) -> str:
    """A chat server's own id, or one of ours: other protocols' ids have prefixes that chat clients do not expect."""
    if identity and ((extra is not None and extra.dialect == "chat") or identity.startswith("chatcmpl-")):
        return identity
    return f"chatcmpl-{asker.new_id()}"


def text_field(extra: Extra | None) -> str:
    """The field in which a client reads reasoning: the one that the chat server used, else the one that most
    clients know."""
    came = extra.get("chat") if extra is not None else {}
    return next((name for name in TEXT_FIELDS if name in came), TEXT_FIELDS[0])


def written_citation(citation: Citation, start: int, end: int) -> dict[str, Any] | None:
    """An annotation; `start` and `end` are the cited text's where the citation does not say. None: chat has none
    for citations of documents."""
    if citation.url is None:
        return None
    said = citation.extra.get("chat") if citation.extra is not None else {}
    return {
        "type": "url_citation",
        "url_citation": {
            "url": citation.url,
            "title": citation.title or "",
            "start_index": start if citation.start is None else citation.start,
            "end_index": end if citation.end is None else citation.end,
            **said,
        },
    }


def written_proof(sealed: Sealed, index: int, asker: Asker, *, summary: bool, has_text: bool) -> dict[str, Any] | None:
    """The entry of `reasoning_details` that a client sends back unread, without its text. None: nothing here can
    seal it."""
    carrier = carrier_of(sealed)
    if carrier is not None:
        if carrier.get("type") == "thinking":  # Mistral's block
            carrier["type"] = "reasoning.text"
        return {**carrier, "index": index}
    if asker.sealer is None:
        return None
    envelope = asker.sealer.seal(sealed, asker.provider, asker.upstream_model, asker.account)
    return written_detail(sealed, envelope, index, summary=summary, has_text=has_text)


def written_signature(sealed: Sealed, asker: Asker) -> dict[str, Any] | None:
    """The `extra_content` of a call: Google's own carrier for what is bound to a call and not to a thought."""
    carrier = carrier_of(sealed)
    if carrier is not None:
        return carrier
    if asker.sealer is None:
        return None
    envelope = asker.sealer.seal(sealed, asker.provider, asker.upstream_model, asker.account)
    return {"google": {"thought_signature": envelope}}
