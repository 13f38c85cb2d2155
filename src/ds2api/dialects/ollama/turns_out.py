"""Turns: universal → messages of `/api/chat`.

A message holds one string, its images and its calls. An own turn is one message, as it came. Turns of another dialect
are put into order: turns of the assistant that belong to one answer become one message (R058), results stand right
behind the calls they answer, in the order of the calls (R055, R059, R074), and what stood between follows, with the
pictures that tools gave back (R047). System text stays where it stood. An assistant's turn at the end is continued by
the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.ollama.extras import own_fields
from ds2api.dialects.ollama.writing import Writing
from ds2api.universal.parts import Call, File, Image, Opaque, Part, Reasoning, Refusal, Result, Text
from ds2api.universal.request import Turn

__all__ = ["TurnsWriter"]

Message = dict[str, Any]


class TurnsWriter:
    """`write(turns)` gives the messages. Raises `Problem` for what cannot be carried."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._messages: list[Message] = []
        self._names: dict[str, str] = {}  # call id → tool
        self._waiting: list[str] = []  # calls of the last assistant's message, in their order
        self._results: dict[str, Message] = {}  # for these
        self._later: list[Message] = []  # what came before the last of them

    def write(self, turns: Sequence[Turn]) -> list[Message]:
        is_own = self._writing.is_own
        for turn in turns:
            if is_own and turn.role == "tool":
                self._messages += [own_result(part, self._writing) for part in turn.parts if isinstance(part, Result)]
            elif is_own:
                message = {"role": turn.role, **self.content(turn.parts, turn.role), **self._calls(turn)}
                self._messages.append(message | own_fields(turn.extra))
            else:
                self._head(turn)
                (self._assistant if turn.role == "assistant" else self._asked)(turn)
        self._flush()
        return self._messages

    def content(self, parts: Sequence[Part], role: str) -> Message:
        """`content`, `thinking` and `images` of one message; its calls and results are not looked at."""
        texts: list[str] = []
        thoughts: list[str] = []
        images: list[str] = []
        for part in parts:
            if isinstance(part, Reasoning):
                thoughts += self._thought(part)
            elif not isinstance(part, (Call, Result)):
                self._content_part(part, texts, images)
        # What the model wrote in pieces is one text; what a person wrote in parts is several.
        message: Message = {"content": ("" if role == "assistant" else "\n").join(texts)}
        if any(thoughts):
            message["thinking"] = "".join(thoughts)
        if images:
            message["images"] = images
        return message

    def _head(self, turn: Turn) -> None:
        self._writing.lose_extra(turn.extra, turn.path)
        if turn.name is not None:
            self._writing.drop(f"{turn.path}.name", "Ollama knows no participants")

    def _asked(self, turn: Turn) -> None:
        """A system, developer, user or tool turn: its results, then the rest."""
        pictures: list[str] = []
        for part in turn.parts:
            if isinstance(part, Result):
                self._result(part, pictures)
        if pictures:
            self._later.append({"role": "user", "content": "", "images": pictures})
        others = [part for part in turn.parts if not isinstance(part, Result)]
        if others or not turn.parts:
            role = "system" if turn.role in ("system", "developer") else "user"
            message = {"role": role, **self.content(others, role)}
            if role == "user" or message["content"].strip():  # blank system text says nothing (R053)
                self._later.append(message)
        if len(self._results) == len(self._waiting):
            self._flush()

    def _assistant(self, turn: Turn) -> None:
        message = {"role": "assistant", **self.content(turn.parts, "assistant")}
        calls = self._calls(turn)
        before = self._messages[-1] if self._messages and not self._results and not self._later else {}
        if before.get("role") == "assistant" and not (before["content"] and message["content"]):
            before["content"] += message["content"]
            for name in ("thinking", "images"):
                if name in message:
                    before[name] = before[name] + message[name] if name in before else message[name]
        else:
            self._flush()
            if not (message["content"] or len(message) > 2 or calls):
                return  # blank, or nothing is left of it and what was lost has been said
            before = message
            self._messages.append(message)
        if calls:
            before["tool_calls"] = [*before.get("tool_calls", []), *calls["tool_calls"]]
            self._waiting += [call["id"] for call in calls["tool_calls"]]

    def _calls(self, turn: Turn) -> Message:
        calls = [self._call(part) for part in turn.parts if isinstance(part, Call)]
        return {"tool_calls": calls} if calls else {}

    def _call(self, part: Call) -> Message:
        writing = self._writing
        self._names[part.id] = part.name
        value, is_faithful = as_object(part.arguments, custom=part.custom)
        if not is_faithful:
            writing.losses.report("approximated", part.path, RAW_REASON)
        if part.signature is not None:
            writing.drop(part.path, "a signature on a call is another provider's and is not portable")
        writing.lose_extra(part.extra, part.path)
        writing.lose_mark(part.cache, part.path)
        own = own_fields(part.extra)
        function = {"name": part.name, "arguments": value, **own.pop("function", {})}
        call = {"id": part.id, "function": function, **own}
        if call["id"] is None:  # the client gave none
            del call["id"]
        return call

    def _result(self, part: Result, pictures: list[str]) -> None:
        writing = self._writing
        writing.lose_extra(part.extra, part.path)
        writing.lose_mark(part.cache, part.path)
        texts: list[str] = []
        for one in part.content:
            if isinstance(one, Image):
                before = len(pictures)
                self._content_part(one, texts, pictures)
                if len(pictures) > before:
                    texts.append("(image follows)")
                    reason = "a tool's result is text only: the image follows in a user message"
                    writing.losses.report("approximated", one.path, reason)
            else:
                self._content_part(one, texts, pictures)
        text = "\n".join(texts)
        if part.is_error:
            text = f"ERROR: {text}"
            writing.losses.report("approximated", f"{part.path}.is_error", 'there is no flag: the text says "ERROR"')
        message = {"role": "tool", "content": text, "tool_call_id": part.call_id}
        name = self._names.get(part.call_id, part.name)
        if name is not None:
            message["tool_name"] = name
        if part.call_id in self._waiting and part.call_id not in self._results:
            self._results[part.call_id] = message
            return
        reason = f"no call with the id {part.call_id[:80]!r} waits for a result here"
        writing.losses.refuse_soft(part.path, reason, "approximated")
        self._later.append({"role": "user", "content": text})

    def _flush(self) -> None:
        """Write the results in the order of their calls, then what stood between. A call without a result is no
        fault: the server takes it."""
        self._messages += [self._results[call_id] for call_id in self._waiting if call_id in self._results]
        self._messages += self._later
        self._waiting, self._results, self._later = [], {}, []

    def _thought(self, part: Reasoning) -> list[str]:
        """Proofs are not portable, and there is none of Ollama's: a thought with one is another provider's."""
        if part.sealed is not None:
            self._writing.drop(part.path, "this reasoning was done by another provider, and proofs are not portable")
            return []
        return [part.text]

    def _content_part(self, part: Part, texts: list[str], images: list[str]) -> None:
        writing = self._writing
        match part:
            case Text():
                if part.citations:
                    writing.drop(f"{part.path}.citations", "citations cannot be sent back in another protocol's form")
                if part.signature is not None:
                    writing.drop(part.path, "a signature on text has no place here")
                texts += [part.text] if part.text else []
            case Refusal():
                writing.losses.report("approximated", part.path, "an earlier refusal is sent as text")
                texts.append(part.text)
            case Image():
                images += _image(part, writing)
            case File() if writing.client == "messages":
                writing.losses.refuse_soft(part.path, "documents are not taken by Ollama", "approximated")
                texts += [part.text] if part.text else []
            case Opaque():
                writing.losses.refuse_soft(part.path, f"{part.kind} is known to {part.dialect} only")
            case _:
                raise writing.losses.refuse(part.path, f"{type(part).__name__.lower()} is not taken by Ollama here")
        writing.lose_extra(part.extra if not isinstance(part, Opaque) else None, part.path)
        if isinstance(part, (Text, Image, File)):
            writing.lose_mark(part.cache, part.path)


def own_result(part: Result, writing: Writing) -> Message:
    """A result as its client sent it."""
    own = own_fields(part.extra)
    message: Message = {"role": "tool", **TurnsWriter(writing).content(part.content, "tool")}
    for name, value in (("tool_name", part.name), ("tool_call_id", part.call_id)):
        if name not in own:
            message[name] = value
    return {**message, **{name: value for name, value in own.items() if value is not None}}


def _image(part: Image, writing: Writing) -> list[str]:
    source, path = part.source, part.path
    if part.detail not in (None, "auto"):
        writing.drop(f"{path}.detail", "Ollama has no degrees of detail")
    if source.data is not None:
        return [source.data]
    if source.url is None:
        raise writing.losses.refuse(path, "an image by file id: the file is known to another provider only")
    writing.losses.refuse_soft(path, "url images unsupported: Ollama takes base64 data only")
    return []
