"""Writes a universal request for Gemini.

One of Gemini's own dialect goes back as it came (`own_request`). One of another dialect is translated: turns, tools
and controls each by their own writer, which share one `Writing`. What cannot be carried is refused with the client's
path or reported as a loss (`mapping.md` §1, §2). The model stands in the path and nowhere in the body.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.gemini.fields import NAME, put_extra
from ds2api.dialects.gemini.foreign_controls import (
    refuse_what_cannot_be,
    report_hints,
    written_config,
    written_rest,
)  # fmt: skip
from ds2api.dialects.gemini.foreign_tools import write_tools
from ds2api.dialects.gemini.foreign_turns import ForeignTurns
from ds2api.dialects.gemini.own_request import own_body
from ds2api.dialects.gemini.place import STREAM_VERB, place_of
from ds2api.dialects.gemini.writing import Writing
from ds2api.universal.losses import Losses
from ds2api.universal.request import Request

__all__ = ["write_request"]


def write_request(request: Request, target: Target) -> Outgoing:
    """The request for `target`. Raises `Problem` for what cannot be carried."""
    path = place_of(target.model, STREAM_VERB if request.stream else "generateContent")
    if request.is_own(NAME):
        losses = Losses(target.losses)
        return Outgoing(path, jsons.dump(own_body(request, target, losses)), losses=losses.items)
    writing = Writing(target)
    body = put_extra(_body(request, writing), request.extra)
    writing.restore.tool_names = writing.names.changed
    return Outgoing(path, jsons.dump(body), losses=writing.losses.items, restore=writing.restore)


def _body(request: Request, writing: Writing) -> dict[str, Any]:
    refuse_what_cannot_be(request, writing)
    writing.report_extra(request.extra, "")
    tools = write_tools(request, writing)
    turns = ForeignTurns(writing)
    turns.write(request.turns)
    config = written_config(request, writing)
    report_hints(request, writing)
    body: dict[str, Any] = {}
    if turns.system:
        body["systemInstruction"] = {"parts": turns.system, "role": "user"}
    body |= tools
    body["contents"] = turns.contents
    if config:
        body["generationConfig"] = config
    return body | written_rest(request, writing)
