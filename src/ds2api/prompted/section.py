"""Reads one section of calls, from behind its opener on, as its text comes.

A small machine over a buffer. JSON is looked at once and kept in pieces (`_JsonEnd`), so long arguments that come in
small pieces stay linear. What it cannot make sense of is `Malformed`: whoever feeds it
then shows the whole raw text instead, so nothing of an answer can be lost here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ds2api import jsons
from ds2api.prompted.formats import Format

__all__ = ["FoundCall", "Malformed", "Section"]

# Models wrap arguments into Markdown now and then, DeepSeek V3 always does.
_FENCE = "```"
_LONGEST_NAME = 256
# "functions.NAME:0" of Kimi.
_DECORATED = re.compile(r"^(?:functions?\.)?(?P<name>.+?)(?::\d+)?$", re.DOTALL)


class Malformed(Exception):
    """What was read is no call."""


@dataclass(frozen=True, slots=True)
class FoundCall:
    """`arguments` is JSON text of an object."""

    name: str
    arguments: str
    id: str | None = None


class Section:
    """Feed it text; `over` turns true with the section's end, and `rest` is then what stands behind it. `raw` is
    everything behind the last complete call, as it came."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._buffer = ""
        self._pieces: list[str] = []  # of the JSON that is being read
        self._json: _JsonEnd | None = None
        self._name = ""
        self._id: str | None = None
        self._step = "between"
        self._count = 0
        self._raw: list[str] = []
        self._found: list[FoundCall] = []
        self.over = False

    @property
    def rest(self) -> str:
        return self._buffer

    @property
    def raw(self) -> str:
        return "".join(self._raw)

    def feed(self, text: str) -> None:
        """Take more. Raises `Malformed`; what was complete before it can still be taken."""
        self._buffer += text
        self._raw.append(text)
        while not self.over and self._advance():
            pass

    def take(self) -> list[FoundCall]:
        """The calls that are complete since the last time."""
        found, self._found = self._found, []
        return found

    def finish(self) -> None:
        """The answer is over. Raises `Malformed` if the section is not: its last call is missing a part."""
        is_complete = self._step == "between" and self._count > 0 and not self._buffer.strip()
        if not self.over and not is_complete:
            raise Malformed

    def _advance(self) -> bool:
        """One step. False: more text is needed."""
        if self._step == "json":
            return self._read_json()
        if self._step == "name":
            return self._read_name()
        if self._step == "behind":
            return self._read_behind()
        return self._read_between()

    def _read_between(self) -> bool:
        """Before a call, or behind the last one."""
        form, text = self._form, self._buffer.lstrip() if self._count == 0 or self._form.closer else self._buffer
        if form.closer and self._count and text.startswith(form.closer):
            self._buffer, self.over = text[len(form.closer) :], True
            return False
        if self._count and not form.closer:
            self.over = True  # a section without a closer holds one list, or one call
            return False
        if not text or any(_may_begin(mark, text) for mark in (form.closer, form.item_opener) if mark):
            return False
        if form.item_opener:
            if not text.startswith(form.item_opener):
                raise Malformed
            self._buffer, self._step = text[len(form.item_opener) :], "name"
            return True
        if text[0] in "[{":
            self._buffer, self._json, self._step = text, _JsonEnd(), "json"
            return True
        if form.body == "object" and form.opener == "[TOOL_CALLS]":
            self._buffer, self._step = text, "name"  # Mistral since v11: [TOOL_CALLS]NAME[ARGS]{…}
            return True
        raise Malformed

    def _read_behind(self) -> bool:
        """Behind a call's arguments: the end of a fence, perhaps, and the call's closer."""
        text, mark = self._buffer.lstrip(), self._form.item_closer
        if text.startswith(_FENCE):
            text = text[len(_FENCE) :].lstrip()
        elif not text or _may_begin(_FENCE, text):
            return False
        if not text.startswith(mark):
            if _may_begin(mark, text):
                return False
            raise Malformed
        self._buffer, self._step = text[len(mark) :], "between"
        return True

    def _read_name(self) -> bool:
        separator = self._form.separator or "[ARGS]"
        at = self._buffer.find("{")
        if max(at, len(self._buffer) if at < 0 else 0) > _LONGEST_NAME:
            raise Malformed
        if at < 0:
            return False
        name, _, id_ = self._buffer[:at].replace(separator, "\n").strip().partition("[CALL_ID]")
        self._id = id_.strip() or None
        for fence in (_FENCE + "json", _FENCE):
            name = name.removesuffix(fence).strip()
        lines = [line.strip() for line in name.splitlines() if line.strip()]
        # DeepSeek V3 writes "function" before the separator and the name behind it, V3.1 the name alone.
        if lines and lines[0] == "function" and len(lines) > 1:
            lines = lines[1:]
        decorated = _DECORATED.match(lines[0]) if len(lines) == 1 else None
        if decorated is None:
            raise Malformed
        self._name = decorated["name"]
        self._buffer, self._json, self._step = self._buffer[at:], _JsonEnd(), "json"
        return True

    def _read_json(self) -> bool:
        assert self._json is not None
        end = self._json.find(self._buffer)
        if end is None:
            self._pieces.append(self._buffer)
            self._buffer = ""
            return False
        raw = "".join((*self._pieces, self._buffer[:end]))
        self._buffer, self._json = self._buffer[end:], None
        self._pieces.clear()
        if self._name:
            self._found.append(FoundCall(self._name, _object(raw), self._id))
            self._name, self._id = "", None
        else:
            self._found += _listed(raw)
        self._raw = [self._buffer]
        self._count += 1
        self._step = "behind" if self._form.item_closer else "between"
        return True


def _listed(raw: str) -> list[FoundCall]:
    """The calls of a JSON object, or of a list of such."""
    try:
        value = jsons.parse(raw)
    except jsons.JsonError:
        raise Malformed from None
    calls = [_call(one) for one in (value if isinstance(value, list) else [value])]
    if not calls:
        raise Malformed
    return calls


def _call(value: Any) -> FoundCall:
    """A call from an object in any of the spellings that models use."""
    if not isinstance(value, dict):
        raise Malformed
    inner = value.get("function")
    if isinstance(inner, dict):
        value = {**value, **inner}
    name = value.get("name") if isinstance(value.get("name"), str) else inner
    arguments: Any = next((value[key] for key in ("arguments", "parameters") if key in value), {})
    if isinstance(arguments, str):
        arguments = jsons.parse(_object(arguments))
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise Malformed
    id_ = value.get("id")
    return FoundCall(name, jsons.dump(arguments).decode(), id_ if isinstance(id_, str) and id_ else None)


def _object(raw: str) -> str:
    """`raw`, if it is a JSON object."""
    try:
        value = jsons.parse(raw or "{}")
    except jsons.JsonError:
        raise Malformed from None
    if not isinstance(value, dict):
        raise Malformed
    return raw or "{}"


def _may_begin(mark: str, text: str) -> bool:
    """Whether `text` is the beginning of `mark`, and no more."""
    return len(text) < len(mark) and mark.startswith(text)


class _JsonEnd:
    """Where a JSON object or array ends that comes in pieces."""

    __slots__ = ("_depth", "_in_string", "_skip")
    _SPECIAL = re.compile(r'[\[\]{}"]')
    _STRING_END = re.compile(r'["\\]')

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._skip = 0  # of the next piece: what a backslash at the end of the last one escapes

    def find(self, piece: str) -> int | None:
        """The place in `piece` behind the value; None if it goes on."""
        at = self._skip if piece else 0
        self._skip -= min(self._skip, len(piece))
        while True:
            match = (self._STRING_END if self._in_string else self._SPECIAL).search(piece, at)
            if match is None:
                return None
            mark, at = match[0], match.end()
            if mark == "\\":
                self._skip = 1 if at == len(piece) else 0
                at += 1
            elif mark == '"':
                self._in_string = not self._in_string
            elif mark in "[{":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    return at
