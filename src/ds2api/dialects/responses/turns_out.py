"""The turns of another dialect: universal → items.

Everything stands where it stood, system and developer text too (`mapping.md` §3). Two rules are the server's: the
output of a call follows it, in the order of the calls (R047, R055, R058, R074), each call has one and each output a
call (400 otherwise); and a reasoning item is followed by what came of it. Items get an id only where the protocol
wants one, with the prefix that it checks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ds2api.dialects.responses import proofs
from ds2api.dialects.responses.content_out import plain_text, written_content
from ds2api.dialects.responses.writing import Writing
from ds2api.universal.parts import Call, Opaque, Reasoning, Refusal, Result, Text
from ds2api.universal.request import Turn

__all__ = ["written_items"]

Item = dict[str, Any]
_NO_RESULT = "ERROR: no result"


def written_items(turns: Sequence[Turn], writing: Writing) -> list[Item]:
    """All items. Raises `Problem` for what cannot be carried."""
    return _Items(writing).write(turns)


class _Items:
    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._items: list[Item] = []
        self._results: dict[str, list[Result]] = {}  # by the id of the call: those that no call has met yet
        self._pending: list[tuple[str, str, bool]] = []  # calls without output so far: id, path, custom

    def write(self, turns: Sequence[Turn]) -> list[Item]:
        for turn in turns:
            for part in turn.parts:
                if isinstance(part, Result):
                    self._results.setdefault(part.call_id, []).append(part)
        for turn in turns:
            self._writing.report_extra(turn.extra, turn.path)
            if turn.name is not None:
                self._writing.losses.report("dropped", f"{turn.path}.name", "this server knows no participants")
            if turn.role == "assistant":
                self._assistant(turn)
            else:
                self._message(turn)
        for waiting in self._results.values():
            for result in waiting:
                raise self._writing.losses.refuse(result.path, "a tool result without the call that it answers")
        if not self._items:
            raise self._writing.losses.refuse(turns[0].path if turns else "messages", "nothing is said in this request")
        if turns[-1].role == "assistant" and self._items[-1].get("role") == "assistant":
            reason = "the conversation ends with the assistant, and this server cannot continue its words"
            self._writing.losses.refuse_soft(turns[-1].path, reason, "approximated")
        return self._items

    def _message(self, turn: Turn) -> None:
        content = written_content([part for part in turn.parts if not isinstance(part, Result)], self._writing)
        if content:
            role = "user" if turn.role == "tool" else turn.role
            self._items.append({"role": role, "content": plain_text(content) or content})

    def _assistant(self, turn: Turn) -> None:
        writing, losses = self._writing, self._writing.losses
        thoughts: list[tuple[Item, Reasoning]] = []
        for part in turn.parts:
            item = None
            match part:
                case Reasoning():
                    thought = self._thought(part)
                    if thought is not None:
                        writing.report_extra(part.extra, part.path)
                        thoughts.append((thought, part))
                case Call():
                    item = self._call(part)
                case Text():
                    text = plain_text(written_content([Text(part.text, part.citations, path=part.path)], writing))
                    writing.report_extra(part.extra, part.path)
                    if part.signature is not None:
                        losses.report("dropped", part.path, "a signature on text has no place here")
                    item = self._said(text) if text else None
                case Refusal():
                    item = _refusal(part)
                case Opaque():
                    losses.refuse_soft(part.path, f"{part.kind} is known to {part.dialect} only")
                case _:
                    noun = type(part).__name__.lower()
                    raise losses.refuse(part.path, f"an assistant's turn takes text and tool calls, not {noun}")
            if item is not None:
                self._items += [thought for thought, _ in thoughts]
                thoughts = []
                self._items.append(item)
        for _, part in thoughts:
            losses.report("dropped", part.path, "nothing came of this reasoning, and it is not taken alone")
        for call_id, path, custom in self._pending:
            self._output(call_id, path, custom=custom)
        self._pending = []

    def _said(self, text: str) -> Item:
        if self._writing.target.flavour != "llamacpp":
            return {"role": "assistant", "content": text}
        # It knows an assistant's message only as answers have it (else a 400, "Cannot determine type of 'item'").
        return _message("output_text", text, {"text": text, "annotations": []})

    def _thought(self, part: Reasoning) -> Item | None:
        losses = self._writing.losses
        if part.sealed is None:
            if part.text:
                losses.report("dropped", part.path, "reasoning without a proof of who did it is not taken here")
            return None
        opened, reason = proofs.for_provider(part.sealed, self._writing.target)
        if opened is None:
            losses.report("dropped", part.path, reason)
            return None
        identity, encrypted = proofs.unbound(opened)
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        item_id = identity or _item_id("rs", encrypted)
        return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}

    def _call(self, part: Call) -> Item:
        writing = self._writing
        writing.report_extra(part.extra, part.path)
        if part.signature is not None:
            writing.losses.report("dropped", part.path, "the call's signature was made by another provider")
        self._pending.append((part.id, part.path, part.custom))
        head = {"call_id": writing.call_id(part.id), "name": writing.names.of(part.name)}
        if part.custom:
            return {"type": "custom_tool_call", **head, "input": part.arguments}
        return {"type": "function_call", **head, "arguments": part.arguments or "{}"}

    def _output(self, call_id: str, path: str, *, custom: bool) -> None:
        writing = self._writing
        waiting = self._results.get(call_id)
        output: str | list[Item] = _NO_RESULT
        if waiting:
            output = self._result(waiting.pop(0))
        else:
            writing.losses.refuse_soft(path, "this call has no result", "approximated")
        kind = "custom_tool_call_output" if custom else "function_call_output"
        self._items.append({"type": kind, "call_id": writing.call_id(call_id), "output": output})

    def _result(self, result: Result) -> str | list[Item]:
        writing = self._writing
        writing.report_extra(result.extra, result.path)
        content = written_content(result.content, writing)
        if result.is_error:
            reason = 'outputs have no flag for errors: the text says "ERROR"'
            writing.losses.report("approximated", f"{result.path}.is_error", reason)
            if content and content[0]["type"] == "input_text":
                content[0] = {**content[0], "text": f"ERROR: {content[0]['text']}"}
            else:
                content.insert(0, {"type": "input_text", "text": "ERROR"})
        return content if content and plain_text(content) is None else plain_text(content) or ""


def _refusal(part: Refusal) -> Item | None:
    """Must be given whole, id included: a string would make it a text."""
    return _message("refusal", part.text, {"refusal": part.text}) if part.text else None


def _message(kind: str, text: str, fields: Item) -> Item:
    """An assistant's message in the long form, as answers have it."""
    content = [{"type": kind, **fields}]
    identity = _item_id("msg", text)
    return {"type": "message", "id": identity, "status": "completed", "role": "assistant", "content": content}


def _item_id(prefix: str, content: str) -> str:
    """Derived, so that equal requests give equal bytes."""
    return f"{prefix}_{hashlib.sha256(content.encode(errors='replace')).hexdigest()[:48]}"
