"""Reasoning of the history: universal → the fields of a chat assistant's message.

Proofs are not portable. A proof goes back only to the provider, model and account that made it: a chat server's own
from its own client, or ours opened. A thought whose proof is somebody else's is left out whole, with its text, since
a model that reads foreign thoughts as its own words is worse off than without; a thought without any proof goes
where the server has a field for it.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.chat.destination import Destination
from ds2api.dialects.chat.reasoning import TEXT_FIELDS, carrier_of
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Reasoning

__all__ = ["write_thoughts"]


def write_thoughts(
    thoughts: list[Reasoning], message: dict[str, Any], *, has_calls: bool, destination: Destination
) -> list[dict[str, Any]]:
    """Put `thoughts` into `message`. Returns blocks that belong into its content (Mistral's form)."""
    texts: list[str] = []
    details: list[dict[str, Any]] = []
    blocks: list[dict[str, Any]] = []
    fields = destination.flavour.reasoning_fields
    for thought in thoughts:
        entries = _entries(thought, destination)
        if entries is None:
            continue
        as_it_came = thought.extra.get("chat") if thought.extra is not None else {}
        if fields is None and destination.is_same:
            blocks += [as_it_came["thinking"]] if "thinking" in as_it_came else []
            message.update({name: as_it_came[name] for name in TEXT_FIELDS if name in as_it_came})
            details += entries
        elif fields is None:
            details += entries
            if not entries:
                _drop(thought, "this chat server is not known to take thoughts back", destination)
        elif not fields:
            _drop(thought, "this chat server takes no thoughts back", destination)
        elif fields == ("content",):
            block = {"type": "thinking", "thinking": [{"type": "text", "text": thought.text}]}
            chunk = as_it_came.get("thinking", block)
            if str(chunk.get("signature")).startswith(PREFIX):  # opened: it goes back as its maker wrote it
                chunk = {**chunk, "signature": entries[0].get("signature")}
            blocks.append(chunk)
        else:
            if thought.text:
                texts.append(thought.text)
            if "reasoning_details" in fields:
                details += entries
            elif not thought.text:
                _drop(thought, "this chat server takes no sealed thoughts back", destination)
    if fields and fields != ("content",) and (texts or (has_calls and destination.flavour.reasoning_with_calls)):
        message[fields[0]] = "".join(texts)
    if details:
        message["reasoning_details"] = details
    return blocks


def _entries(thought: Reasoning, destination: Destination) -> list[dict[str, Any]] | None:
    """The entries of `reasoning_details` for `thought`; None if it must be left out."""
    as_it_came = thought.extra.get("chat") if thought.extra is not None else {}
    sealed = thought.sealed
    if sealed is None:
        return list(as_it_came.get("reasoning_details", ()))
    if not sealed.data.startswith(PREFIX):
        if destination.is_same:
            return list(as_it_came.get("reasoning_details", ()))
        _drop(thought, "its signature was made by another provider", destination)
        return None
    opened = destination.opened(sealed)
    carrier = carrier_of(opened) if opened is not None else None
    if carrier is None:
        _drop(thought, "it was sealed by another provider, model or account", destination)
        return None
    if thought.text:
        carrier["summary" if thought.summary else "text"] = thought.text
    return [carrier]


def _drop(thought: Reasoning, reason: str, destination: Destination) -> None:
    if thought.text or thought.sealed is not None:
        destination.losses.report("dropped", thought.path, reason)
