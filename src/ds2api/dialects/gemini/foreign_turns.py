"""Puts the turns of another dialect into Gemini's order (`mapping.md` §2, Turn shape).

    contents := user (model user)*
    user     := a functionResponse for each call just made, in the order of the calls; then everything else

Consecutive turns of one role become one; a tool's turn is part of the user's. A call without a result, or a result
without a call, is refused, unless the target's `losses` allows it. System text in the middle goes into the user's
content it stands before or in, behind the results (R055). Blank turns, as in the other dialects: a user's becomes
".", an assistant's is left out (R053).

A signature belongs to a part here and to a block of thoughts elsewhere: it goes to the part that follows the thought.
Gemini 3 wants one on the first call of each step; where there is none, the sentinel says that another model called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ds2api.dialects.gemini.foreign_parts import Parts, call_part, content_parts, response_part
from ds2api.dialects.gemini.proofs import SENTINEL, for_provider
from ds2api.dialects.gemini.writing import Writing
from ds2api.universal.parts import Call, Opaque, Reasoning, Result, Sealed, Text
from ds2api.universal.request import Turn

__all__ = ["ForeignTurns"]

_BLANK = "."


@dataclass(slots=True)
class _Pending:
    """A call of the last model content; `response` answers it."""

    call: Call
    response: dict[str, Any] | None = None


class ForeignTurns:
    """`write(turns)`; then `system` and `contents` are the body's."""

    def __init__(self, writing: Writing) -> None:
        self.system: Parts = []
        self.contents: list[dict[str, Any]] = []
        self._writing = writing
        self._pending: list[_Pending] = []
        self._rest: Parts = []  # of the open user content, behind the results
        self._media: Parts = []  # of its results
        self._user_path: str | None = None  # of the open user content; None: none is open

    def write(self, turns: Sequence[Turn]) -> None:
        is_leading = True
        for turn in turns:
            self._writing.report_extra(turn.extra, turn.path)
            if turn.name is not None:
                self._writing.losses.report("dropped", f"{turn.path}.name", "a participant's name has no form here")
            is_system = turn.role in ("system", "developer")
            is_leading = is_leading and is_system
            if is_leading:
                self.system += self._system(turn)
            elif is_system:
                self._system_in_the_middle(turn)
            elif turn.role == "assistant":
                self._assistant(turn)
            else:
                self._user(turn)
        self._close_user(is_last=True)
        if not self.contents:
            path = turns[0].path if turns else "messages"
            raise self._writing.losses.refuse(path, "a request needs a user's turn, and this one has none")

    def _system(self, turn: Turn) -> Parts:
        parts: Parts = []
        for part in turn.parts:
            if isinstance(part, (Text, Opaque)):
                parts += content_parts(part, self._writing)
            else:
                raise self._writing.losses.refuse(part.path, "a system turn takes text only")
        return parts

    def _system_in_the_middle(self, turn: Turn) -> None:
        parts = self._system(turn)
        if parts:
            reason = "system text stands only at the beginning here: sent as the user's, in <system> tags"
            self._writing.losses.report("approximated", turn.path, reason)
            self._user_path = self._user_path or turn.path
            self._rest += [{"text": f"<system>{part['text']}</system>"} for part in parts]

    def _user(self, turn: Turn) -> None:
        self._user_path = self._user_path or turn.path
        for part in turn.parts:
            if isinstance(part, Result):
                self._result(part)
            else:
                self._rest += content_parts(part, self._writing)

    def _result(self, part: Result) -> None:
        waiting = [one for one in self._pending if one.call.id == part.call_id]
        pending = next((one for one in waiting if one.response is None), None)
        if pending is not None:
            name = self._writing.names.of(pending.call.name)
            pending.response = response_part(part, name, self._writing, self._media)
            return
        losses = self._writing.losses
        if waiting:
            losses.refuse_soft(part.path, f"a second result for the call {part.call_id[:80]!r}")
            return
        reason = f"no call with the id {part.call_id[:80]!r} stands in the assistant's turn before"
        losses.refuse_soft(part.path, reason, "approximated")
        self._rest += [written for one in part.content for written in content_parts(one, self._writing)]

    def _assistant(self, turn: Turn) -> None:
        self._close_user(is_last=False)
        if not self.contents:
            reason = f"a conversation begins with a user's turn: {_BLANK!r} was put first"
            self._writing.losses.report("approximated", turn.path, reason)
            self.contents.append({"role": "user", "parts": [{"text": _BLANK}]})
        parts: Parts = []
        signature: str | None = None  # of thoughts that wait for their part
        unproved: list[Reasoning] = []
        for part in turn.parts:
            if isinstance(part, Reasoning):
                signature = self._proof(part.sealed, part.path) or signature
                unproved += [part] if part.sealed is None and part.text else []
                continue
            if isinstance(part, Call):
                written = [call_part(part, self._writing)]
                self._pending.append(_Pending(part))
            else:
                written = content_parts(part, self._writing)
            own = self._proof(part.signature, part.path) if isinstance(part, (Call, Text)) else None
            if written and (own or signature):
                written[0]["thoughtSignature"] = own or signature
                signature = None
            parts += written
        if signature is not None:
            parts.append({"text": "", "thoughtSignature": signature})
        if not any("thoughtSignature" in one for one in parts):
            for thought in unproved:  # else this very model had them, and wants its signature alone (`mapping.md` §1)
                reason = "reasoning without a proof of who did it is not taken by this provider"
                self._writing.losses.report("dropped", thought.path, reason)
        if not parts:
            return
        if self.contents[-1]["role"] == "model":
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": "model", "parts": parts})
        if self._writing.capabilities.needs_signature:
            calls = [one for one in self.contents[-1]["parts"] if "functionCall" in one]
            if calls:
                calls[0].setdefault("thoughtSignature", SENTINEL)

    def _proof(self, sealed: Sealed | None, path: str) -> str | None:
        if sealed is None:
            return None
        signature, reason = for_provider(sealed, self._writing.target)
        if signature is None:
            self._writing.losses.report("dropped", path, reason)
        return signature

    def _close_user(self, *, is_last: bool) -> None:
        """End the open user content, or make the one that open calls need."""
        if self._user_path is None and (not self._pending or not is_last):
            return  # two assistant turns in a row become one, and the results come after both
        losses = self._writing.losses
        parts: Parts = []
        for one in self._pending:
            response = one.response
            if response is None:
                losses.refuse_soft(one.call.path, "this call has no result in the turn that follows", "approximated")
                result = Result(one.call.id, [Text("no result")], is_error=True, path=one.call.path)
                response = response_part(result, self._writing.names.of(one.call.name), self._writing, self._media)
            parts.append(response)
        parts += self._media + self._rest
        path = self._user_path or ""
        self._pending, self._rest, self._media, self._user_path = [], [], [], None
        if not parts:
            losses.report("approximated", path, f"a turn must not be blank: sent as {_BLANK!r}")
            parts = [{"text": _BLANK}]
        self.contents.append({"role": "user", "parts": parts})
