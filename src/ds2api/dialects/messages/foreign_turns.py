"""Puts the turns of another dialect into Anthropic's order (`mapping.md` §2, Turn shape).

    conversation := user (assistant user)* with system turns only after a user's, where the model takes them
    user         := results of the calls just made, in their order, first; then everything else

So: consecutive turns of one role become one; a tool's turn is part of the user's; every call is answered in the
very next user turn, by one result, and every result answers such a call. What a client sent in another order is
sorted where that changes nothing (R047, R055, R058, R074); a call without a result, or a result without a call, is
refused, unless the target's `losses` allows it.

Fixed rules for blank turns (R053), since roles must alternate and blank text is a 400: a blank user turn becomes
the text "."; a blank assistant turn is left out. System text in the middle goes after the user turn it stands
before or in, as a system turn where the model takes one, else as text in ``<system>`` tags at the end of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api.dialects.messages.foreign_parts import (
    assistant_blocks,
    call_block,
    result_block,
    text_block,
    user_blocks,
)
from ds2api.dialects.messages.writing import Writing
from ds2api.universal.parts import Call, Result, Text
from ds2api.universal.request import Turn

__all__ = ["ForeignTurns"]

_BLANK = "."
_NO_RESULT = "no result"
_GO_ON = "Continue."

Blocks = list[dict[str, Any]]


class ForeignTurns:
    """`write(turns)`; then `system` and `messages` are the body's, and `ends_unproven` says whether the last
    assistant turn makes calls without the thinking that led to them, `is_prefilled` whether it is to be continued."""

    def __init__(self, writing: Writing) -> None:
        self.system: Blocks = []
        self.messages: list[dict[str, Any]] = []
        self.ends_unproven = False
        self.is_prefilled = False
        self._writing = writing
        self._calls: dict[str, str] = {}  # calls of the last assistant turn that wait for a result: id → path
        self._results: dict[str, dict[str, Any]] = {}  # of the open user turn
        self._rest: Blocks = []
        self._middle: list[Blocks] = []  # system turns that stood in the open user turn
        self._user_path: str | None = None  # of the open user turn; None: none is open

    def write(self, turns: Sequence[Turn]) -> None:
        leading = 0
        while leading < len(turns) and turns[leading].role in ("system", "developer"):
            self._head(turns[leading])
            self.system += self._system_blocks(turns[leading])
            leading += 1
        for turn in turns[leading:]:
            self._head(turn)
            if turn.role == "assistant":
                self._assistant(turn)
            elif turn.role in ("system", "developer"):
                self._system_in_the_middle(turn)
            else:
                self._user(turn)
        self._close_user(is_last=True)
        self._end(turns)

    def _head(self, turn: Turn) -> None:
        self._writing.report_extra(turn.extra, turn.path)
        if turn.name is not None:
            self._writing.losses.report("dropped", f"{turn.path}.name", "a participant's name has no form here")

    def _system_blocks(self, turn: Turn) -> Blocks:
        blocks: Blocks = []
        for part in turn.parts:
            if not isinstance(part, Text):
                raise self._writing.losses.refuse(part.path, "a system turn takes text only")
            blocks += text_block(part, self._writing)
        return blocks

    def _system_in_the_middle(self, turn: Turn) -> None:
        blocks = self._system_blocks(turn)
        if not blocks:
            return
        losses = self._writing.losses
        if not self._writing.capabilities.mid_system:
            reason = "this model takes no system turn here: sent as text in <system> tags"
            losses.report("approximated", turn.path, reason)
            self._open_user(turn)
            self._rest += _tagged(blocks)
            return
        if self._user_path is None or self._results.keys() != self._calls.keys():
            reason = "a system turn must follow a user's: it was moved behind the next one"
            losses.report("approximated", turn.path, reason)
        self._open_user(turn)
        self._middle.append(blocks)
        if self._results.keys() == self._calls.keys() and (self._results or self._rest):
            self._close_user(is_last=False)  # what follows is a turn of its own

    def _open_user(self, turn: Turn) -> None:
        if self._user_path is None:
            self._user_path = turn.path

    def _user(self, turn: Turn) -> None:
        self._open_user(turn)
        for part in turn.parts:
            if isinstance(part, Result):
                self._result(part)
            else:
                self._rest += user_blocks(part, self._writing)

    def _result(self, part: Result) -> None:
        writing = self._writing
        call_id = writing.ids.of(part.call_id)
        if call_id is None or call_id not in self._calls:
            reason = f"no call with the id {part.call_id[:80]!r} stands in the assistant's turn before"
            writing.losses.refuse_soft(part.path, reason, "approximated")
            self._rest += [block for one in part.content for block in user_blocks(one, writing)]
        elif call_id in self._results:
            writing.losses.refuse_soft(part.path, f"a second result for the call {part.call_id[:80]!r}")
        else:
            self._results[call_id] = result_block(part, call_id, writing)

    def _assistant(self, turn: Turn) -> None:
        self._close_user(is_last=False)
        if not self.messages:
            self._writing.losses.report(
                "approximated", turn.path, "a conversation begins with a user's turn: '.' was put first"
            )
            self.messages.append({"role": "user", "content": [{"type": "text", "text": _BLANK}]})
        blocks: Blocks = []
        for part in turn.parts:
            if isinstance(part, Call):
                block = call_block(part, self._writing)
                self._calls[block["id"]] = part.path
                blocks.append(block)
            else:
                blocks += assistant_blocks(part, self._writing)
        if self.messages[-1]["role"] == "assistant":
            self.messages[-1]["content"] += blocks
        elif blocks:
            self.messages.append({"role": "assistant", "content": blocks})

    def _close_user(self, *, is_last: bool) -> None:
        """End the open user turn, or make the one that open calls need."""
        losses = self._writing.losses
        if self._user_path is None and (not self._calls or not is_last):
            return  # two assistant turns in a row become one, and the results come after both
        content: Blocks = []
        for call_id, call_path in self._calls.items():
            block = self._results.get(call_id)
            if block is None:
                losses.refuse_soft(call_path, "this call has no result in the turn that follows", "approximated")
                block = {"type": "tool_result", "tool_use_id": call_id, "content": _NO_RESULT, "is_error": True}
            content.append(block)
        content += self._rest
        middle, path = self._middle, self._user_path
        self._calls, self._results, self._rest, self._middle, self._user_path = {}, {}, [], [], None
        if not content:  # a system turn with no user's turn to follow goes as text after all
            content = [block for blocks in middle for block in _tagged(blocks)]
            middle = []
        if not content and self.messages and self.messages[-1]["role"] != "assistant":
            return  # nothing was said, and the user's turn before stands
        if not content:
            losses.report("approximated", path or "", f"a turn must not be blank: sent as {_BLANK!r}")
            content = [{"type": "text", "text": _BLANK}]
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages[-1]["content"] += content
        else:
            self.messages.append({"role": "user", "content": content})
        self.messages += [{"role": "system", "content": blocks} for blocks in middle]

    def _end(self, turns: Sequence[Turn]) -> None:
        losses, capabilities = self._writing.losses, self._writing.capabilities
        if not self.messages:
            path = turns[0].path if turns else "messages"
            raise losses.refuse(path, "a request needs a user's turn, and this one has none")
        last = self.messages[-1]
        for message in reversed(self.messages):
            if message["role"] == "assistant":
                blocks = message["content"]
                is_open = any(block["type"] == "tool_use" for block in blocks)
                self.ends_unproven = is_open and not any(block["type"].endswith("thinking") for block in blocks)
                break
        self.is_prefilled = last["role"] == "assistant" and capabilities.prefill
        if last["role"] != "assistant":
            return
        path = turns[-1].path
        if not capabilities.prefill:
            reason = f"assistant prefill unsupported by {self._writing.target.model}: the last turn must be a user's"
            losses.refuse_soft(path, reason, "approximated")
            self.messages.append({"role": "user", "content": [{"type": "text", "text": _GO_ON}]})
        elif last["content"][-1]["type"] == "text":
            block = last["content"][-1]
            stripped = block["text"].rstrip()
            if stripped != block["text"]:
                losses.report("approximated", path, "a prefill must not end in white space: it was cut")
                block["text"] = stripped


def _tagged(blocks: Blocks) -> Blocks:
    """System text as part of a user's turn."""
    for block in blocks:
        block["text"] = f"<system>{block['text']}</system>"
    return blocks
