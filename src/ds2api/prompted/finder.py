"""Finds calls in an answer's text as it streams: text events in, text and call events out.

Text passes at once, but for an ending that may be the beginning of a mark: never more than one mark's length. Behind
a mark everything is held until a call is complete; what turns out to be none is given out as the text that it was,
whole, with a loss (`losses`). All marks are known at once, whatever the model was told. A call without any mark
(Llama 3) is looked for at the beginning of the answer only, and only for tools that there are.

Parts are numbered anew, since one text part of the provider's may become several parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ds2api import jsons
from ds2api.prompted.formats import FORMATS, Format
from ds2api.prompted.section import FoundCall, Malformed, Section
from ds2api.universal import events as ev
from ds2api.universal.losses import Loss

__all__ = ["CallFinder"]

_MARKED: dict[str, Format] = {form.opener: form for form in FORMATS.values()}
_OPENER = re.compile("|".join(re.escape(mark) for mark in sorted(_MARKED, key=len, reverse=True)))
_LONGEST = max(map(len, _MARKED))
_BEGINNINGS = {mark[:length] for mark in _MARKED for length in range(1, len(mark))}
# How a bare call begins, up to the tool's name; several are parted by semicolons.
_BARE_FORM = FORMATS["llama3"]
_BARE_BEGINNINGS = (
    ("{", '"name"', ":"),
    ("{", '"type"', ":", '"function"', ",", '"name"', ":"),
    ("{", '"function"', ":"),
)


class CallFinder:
    """One for each answer. `tools` are the names of the tools that were offered, `custom` those that take free text;
    `new_id` gives unguessable tails for the ids of calls."""

    only_listens = False

    def __init__(self, tools: Iterable[str], custom: Iterable[str], new_id: Callable[[], str]) -> None:
        self.losses: list[Loss] = []
        self._tools = frozenset(tools)
        self._custom = frozenset(custom)
        self._new_id = new_id
        self._parts = 0
        self._numbers: dict[int, int] = {}  # of parts that pass: the provider's → ours
        self._texts: dict[int, _Text] = {}  # text parts that are read
        self._calls: set[int] = set()  # choices that hold calls

    def events(self, events: list[ev.Event]) -> list[ev.Event]:
        """What the client is to see for `events`."""
        out: list[ev.Event] = []
        for event in events:
            match event:
                case ev.PartStarted(kind="text"):
                    self._texts[event.part] = _Text(event.choice)
                case ev.TextDelta() if event.part in self._texts:
                    self._read(self._texts[event.part], event.text, out)
                case ev.PartFinished() if event.part in self._texts:
                    self._end(self._texts.pop(event.part), out)
                case ev.PartStarted():
                    self._numbers[event.part] = self._new_part()
                    event.part = self._numbers[event.part]
                    out.append(event)
                case ev.Finished():
                    for part in [part for part, text in self._texts.items() if text.choice == event.choice]:
                        self._end(self._texts.pop(part), out)
                    if event.reason == "stop" and event.choice in self._calls:
                        event.reason, event.native = "tool_use", None  # the provider's own word says less
                    out.append(event)
                case _:
                    self._renumber(event, out)
                    out.append(event)
        return out

    def _renumber(self, event: ev.Event, out: list[ev.Event]) -> None:
        part: int | None = getattr(event, "part", None)
        if part is None:
            return
        if part in self._texts:  # a citation or a signature of text: it belongs where the text is now
            self._numbers[part] = self._open(self._texts[part], out)
        event.part = self._numbers.get(part, part)  # type: ignore[union-attr]

    def _read(self, text: _Text, more: str, out: list[ev.Event]) -> None:
        while more:
            if text.section is not None:
                more = self._in_section(text, text.section, more, out)
            else:
                more = self._in_text(text, more, out)

    def _in_text(self, text: _Text, more: str, out: list[ev.Event]) -> str:
        """Outside of a section. Gives what is still to be read."""
        held = text.held + more
        text.held = ""
        if text.is_beginning:
            bare = self._bare(held)
            if bare is None:
                text.held = held
                return ""
            text.is_beginning = False
            if bare:
                said = len(held) - len(held.lstrip(" \t\r\n;"))
                text.begin(_BARE_FORM, held[:said], is_bare=True)
                return held[said:]
        match = _OPENER.search(held)
        if match is not None:
            self._say(text, held[: match.start()], out)
            text.begin(_MARKED[match[0]], match[0])
            return held[match.end() :]
        keep = next((n for n in range(min(_LONGEST - 1, len(held)), 0, -1) if held[-n:] in _BEGINNINGS), 0)
        self._say(text, held[: len(held) - keep], out)
        text.held = held[len(held) - keep :]
        return ""

    def _in_section(self, text: _Text, section: Section, more: str, out: list[ev.Event]) -> str:
        try:
            section.feed(more)
        except Malformed:
            self._take(text, section, out)
            self._give_up(text, section, out)
            return ""
        self._take(text, section, out)
        if section.over:
            text.section, text.is_beginning = None, text.is_bare  # another bare call may follow
            return section.rest
        return ""

    def _take(self, text: _Text, section: Section, out: list[ev.Event]) -> None:
        for call in section.take():
            self._call(text, call, out)
            text.opener = ""  # it led to a call, and is no text any more

    def _give_up(self, text: _Text, section: Section, out: list[ev.Event]) -> None:
        """What was read is no call: it is text again, whole. A mark may stand in what is behind the first one."""
        reason = "what began like a tool call is none; it is given as the text that it is"
        self.losses.append(Loss("approximated", "tool_calls", reason))
        text.section = None
        if text.is_bare:
            self._say(text, text.opener + section.raw, out)
        else:
            self._say(text, text.opener, out)
            self._read(text, section.raw, out)

    def _bare(self, text: str) -> bool | None:
        """Whether an answer that begins with `text` begins with a bare call; None if it is too early to say."""
        found: bool | None = False
        for marks in _BARE_BEGINNINGS:
            for name in self._tools:
                begins = _begins(text, (*marks, jsons.dump(name).decode()))
                if begins:
                    return True
                found = None if begins is None else found
        return found

    def _end(self, text: _Text, out: list[ev.Event]) -> None:
        while (section := text.section) is not None:
            try:
                section.finish()
                text.section = None
            except Malformed:
                self._give_up(text, section, out)
        self._say(text, text.held, out)
        text.held = ""
        self._close(text, out)

    def _say(self, text: _Text, said: str, out: list[ev.Event]) -> None:
        if text.part is None and text.has_calls:
            said = said.lstrip()  # line breaks behind a call are markup too
        if not said:
            return
        out.append(ev.TextDelta(self._open(text, out), said, text.choice))

    def _open(self, text: _Text, out: list[ev.Event]) -> int:
        if text.part is None:
            text.part = self._new_part()
            out.append(ev.PartStarted(text.part, "text", text.choice))
        return text.part

    def _close(self, text: _Text, out: list[ev.Event]) -> None:
        if text.part is not None:
            out.append(ev.PartFinished(text.part, text.choice))
            text.part = None

    def _call(self, text: _Text, call: FoundCall, out: list[ev.Event]) -> None:
        self._close(text, out)
        text.has_calls = True
        self._calls.add(text.choice)
        part, is_custom, arguments = self._new_part(), call.name in self._custom, call.arguments
        if is_custom:
            free = jsons.parse_object(arguments.encode()).get("input")
            arguments = free if isinstance(free, str) else arguments
        id_ = call.id or "call_" + self._new_id()
        out += [
            ev.PartStarted(part, "call", text.choice, id=id_, name=call.name, custom=is_custom),
            ev.ArgumentsDelta(part, arguments, text.choice),
            ev.PartFinished(part, text.choice),
        ]

    def _new_part(self) -> int:
        self._parts += 1
        return self._parts - 1


def _begins(text: str, marks: tuple[str, ...]) -> bool | None:
    """Whether `text` begins with `marks`, blanks between them; None if it ends too early to say."""
    rest = text.lstrip(" \t\r\n;")
    for mark in marks:
        if not rest.startswith(mark):
            return None if mark.startswith(rest) else False
        rest = rest[len(mark) :].lstrip()
    return True


class _Text:
    """One text part of the provider's, and how far it is read."""

    __slots__ = ("choice", "has_calls", "held", "is_bare", "is_beginning", "opener", "part", "section")

    def __init__(self, choice: int) -> None:
        self.choice = choice
        self.part: int | None = None  # the open text part that it is written to
        self.held = ""  # an ending that may begin a mark
        self.is_beginning = True
        self.has_calls = False
        self.section: Section | None = None
        self.opener = ""
        self.is_bare = False

    def begin(self, form: Format, opener: str, *, is_bare: bool = False) -> None:
        self.section, self.opener, self.is_bare = Section(form), opener, is_bare
        self.is_beginning = False
