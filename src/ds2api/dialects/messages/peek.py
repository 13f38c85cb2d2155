"""Reads of a request's body what routing and the pool need, in one walk and without building anything.

Affinity tells the turns of one conversation from all others: a digest of who asks (`metadata.user_id`), the system
text and the first user turn *together*, so that neither a shared system prompt nor one busy user gathers
everything on one account (`pool-model.md` §5, §7). Only what is said counts: clients move their cache marks with
every turn.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Peek
from ds2api.dialects.reading import list_of, maybe_boolean, maybe_integer, text_of
from ds2api.universal.envelope import PREFIX
from ds2api.universal.errors import Problem

__all__ = ["peek"]

_MEDIA = ("image", "document")
# Of what is said first, to tell conversations apart: a picture has megabytes.
_SAID_CHARACTERS = 65_536


def peek(body: dict[str, Any], path: str) -> Peek:
    """Raises `Problem` for a missing model and for wrong types of what is read here."""
    if "model" not in body:
        raise Problem.bad_request("model: required, a string", "model")
    model = text_of(body["model"], "model")
    if not model:
        raise Problem.bad_request("model: expected the name of a model, found an empty string", "model")
    walk = _Walk()
    walk.content(body.get("system"))
    messages = list_of(body["messages"], "messages") if "messages" in body else []
    digest = hashlib.blake2b(digest_size=16)
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    for piece in (user if isinstance(user, str) else "", body.get("system")):
        _add(digest, piece)
    has_first = False
    for turn in messages:
        if isinstance(turn, dict):
            content = turn.get("content")
            walk.content(content)
            if not has_first and turn.get("role") == "user":
                has_first = True
                _add(digest, content)
    if "tools" in body:
        walk.text_bytes += len(jsons.dump(body["tools"]))
    return Peek(
        model,
        maybe_boolean(body.get("stream"), "stream") or False,
        output_limit=maybe_integer(body.get("max_tokens"), "max_tokens", lowest=0),
        text_bytes=walk.text_bytes,
        media_count=walk.media_count,
        affinity=digest.hexdigest() if has_first else None,
        pins=tuple(walk.pins),
        wants_usage=True,
    )


class _Walk:
    """Sums over content of any shape: what is no block of a known shape counts nothing."""

    def __init__(self) -> None:
        self.text_bytes = 0
        self.media_count = 0
        self.pins: dict[str, None] = {}  # in order, each once

    def content(self, value: Any) -> None:
        if isinstance(value, str):
            self._text(value)
        elif isinstance(value, list):
            for block in value:
                if isinstance(block, dict):
                    self._block(block)

    def _block(self, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind == "text":
            self._text(block.get("text"))
        elif kind == "tool_result":
            self.content(block.get("content"))
        elif kind == "tool_use":
            self.text_bytes += len(jsons.dump(block.get("input")))
        elif kind == "thinking":
            self._text(block.get("thinking"))
            self._pin(block.get("signature"))
        elif kind == "redacted_thinking":
            self._pin(block.get("data"))
        elif kind in _MEDIA:
            source = block.get("source")
            if isinstance(source, dict) and source.get("type") in ("text", "content"):
                self._text(source.get("data"))
                self.content(source.get("content"))
            else:
                self.media_count += 1
        else:
            self.content(block.get("content"))

    def _text(self, value: Any) -> None:
        if isinstance(value, str):
            self.text_bytes += len(value) if value.isascii() else len(value.encode(errors="replace"))

    def _pin(self, value: Any) -> None:
        if isinstance(value, str) and value.startswith(PREFIX):
            self.pins[value] = None


def _add(digest: Any, content: Any) -> None:
    """What `content` says: the beginnings of its texts and of the data of its media, each behind its length, so that
    "ab", "c" is not "a", "bc"; one string and a list of one text are the same."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    digest.update(b"\x00")
    for block in content if isinstance(content, list) else []:
        if isinstance(block, dict):
            source = block.get("source")
            fields = {**source, **block} if isinstance(source, dict) else block
            said = [fields.get(name) for name in ("text", "data", "url", "file_id")]
            for value in said:
                if isinstance(value, str):
                    digest.update(f"{len(value)}:{value[:_SAID_CHARACTERS]}".encode(errors="replace"))
