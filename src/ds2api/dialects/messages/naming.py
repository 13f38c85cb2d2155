"""Names and ids that Anthropic takes, derived from those it does not: always the same from the same.

Tool names are ``[A-Za-z0-9_-]{1,128}``, call ids ``[A-Za-z0-9_-]+`` and no two calls of a conversation share one
(`features.md` row 12, `mapping.md` §2). A changed tool name is noted, so that the answer shows the client's own; a
changed id needs no way back, since it only occurs in what the client sends. In answers a provider's ids are kept
where a client of Anthropic's could have got them.
"""

from __future__ import annotations

import hashlib
import re

from ds2api.dialects.contract import Asker
from ds2api.dialects.naming import ToolNames

__all__ = ["CallIds", "call_id", "tool_names", "message_id"]

_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_legal_id = re.compile(r"[A-Za-z0-9_-]+").fullmatch


def message_id(given: str | None, asker: Asker) -> str:
    """An answer's id: the provider's where it is one of Anthropic's form, else a new one."""
    return given if given is not None and given.startswith("msg_") else "msg_" + asker.new_id()


def call_id(given: str | None, asker: Asker) -> str:
    """A call's id in an answer: as the provider gave it where Anthropic's alphabet holds it, else a new one."""
    return given if given and _legal_id(given) else "toolu_" + asker.new_id()


def tool_names() -> ToolNames:
    """The names of one request, as Anthropic takes them."""
    return ToolNames(_LEGAL_NAME, 128)


class CallIds:
    """Ids in the order of the conversation: each call `begin`s, each result asks `of` for the latest."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._used: set[str] = set()

    def begin(self, id_: str) -> str:
        """The id of a new call. One that was used before gets another, as its result will."""
        legal, again = id_, 0
        while not _legal_id(legal) or legal in self._used:
            legal = "toolu_" + hashlib.sha256(f"{again}:{id_}".encode(errors="replace")).hexdigest()[:24]
            again += 1
        self._used.add(legal)
        self._given[id_] = legal
        return legal

    def of(self, id_: str) -> str | None:
        """The id of the latest call with `id_`; None if there was none."""
        return self._given.get(id_)
