"""Undoes on the way back what a request's translation had to change on the way out.

A writer that shortens a tool's name, wraps a custom tool as a function or has to watch for stop sequences
itself notes it here; the answer's events pass through `events` between the provider's decoder and the client's
encoder. Most requests need none of it and have no `Restore` at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ds2api import jsons
from ds2api.universal import events as ev

__all__ = ["Restore", "Restorer"]


@dataclass(slots=True)
class Restore:
    """What must be undone. Empty means nothing."""

    tool_names: dict[str, str] = field(default_factory=dict)  # as the provider knows it → as the client does
    custom_tools: set[str] = field(default_factory=set)  # client's names of tools sent as functions with `input`
    stop: list[str] = field(default_factory=list)  # the provider knows no stop sequences: cut here

    def __bool__(self) -> bool:
        return bool(self.tool_names or self.custom_tools or self.stop)


class Restorer:
    """Applies one `Restore` to one answer. A stop sequence that is met ends it here, with `Finished` and `Ended`
    (whoever drives the stream then leaves the provider), and nothing that follows is let through but its usage."""

    only_listens = False

    def __init__(self, restore: Restore) -> None:
        self._restore = restore
        self._custom: dict[int, list[str]] = {}  # open custom calls: their JSON so far
        self._held: dict[int, str] = {}  # text part → an ending that may be the beginning of a stop sequence
        self._open: dict[int, int] = {}  # part → choice
        self._longest = max((len(stop) for stop in restore.stop), default=0)
        self.stopped = False

    def events(self, events: list[ev.Event]) -> list[ev.Event]:
        """What the client is to see for `events`."""
        restored: list[ev.Event] = []
        for event in events:
            if not self.stopped:
                self._one(event, restored)
            elif isinstance(event, ev.UsageSeen) and restored:  # came with the text, in a whole answer: it is billed
                restored.insert(-2, event)  # before `Finished` and `Ended`
        return restored

    def _one(self, event: ev.Event, out: list[ev.Event]) -> None:
        match event:
            case ev.PartStarted():
                self._open[event.part] = event.choice
                if event.kind == "call" and event.name is not None:
                    event.name = self._restore.tool_names.get(event.name, event.name)
                    if event.name in self._restore.custom_tools:
                        event.custom = True
                        self._custom[event.part] = []
                out.append(event)
            case ev.ArgumentsDelta() if event.part in self._custom:
                self._custom[event.part].append(event.text)
            case ev.PartFinished():
                self._open.pop(event.part, None)
                if event.part in self._custom:
                    text = _unwrapped("".join(self._custom.pop(event.part)))
                    out.append(ev.ArgumentsDelta(event.part, text, event.choice))
                held = self._held.pop(event.part, "")
                if held:
                    out.append(ev.TextDelta(event.part, held, event.choice))
                out.append(event)
            case ev.TextDelta() if self._longest:
                self._watch(event, out)
            case _:
                out.append(event)

    def _watch(self, event: ev.TextDelta, out: list[ev.Event]) -> None:
        text = self._held.pop(event.part, "") + event.text
        met = [(at, stop) for stop in self._restore.stop if (at := text.find(stop)) >= 0]
        if met:
            at, stop = min(met)
            if at:
                out.append(ev.TextDelta(event.part, text[:at], event.choice))
            out += [ev.PartFinished(part, choice) for part, choice in self._open.items()]
            out += [ev.Finished("stop_sequence", event.choice, stop), ev.Ended()]
            self.stopped = True
            return
        keep = _may_begin(text, self._restore.stop, self._longest)
        if keep:
            self._held[event.part] = text[-keep:]
            text = text[:-keep]
        if text:
            out.append(ev.TextDelta(event.part, text, event.choice))


def _may_begin(text: str, stops: list[str], longest: int) -> int:
    """How many characters at the end of `text` could be the beginning of a stop sequence."""
    for length in range(min(longest - 1, len(text)), 0, -1):
        ending = text[-length:]
        if any(stop.startswith(ending) for stop in stops):
            return length
    return 0


def _unwrapped(arguments: str) -> str:
    """The free text inside ``{"input": "…"}``; arguments of any other shape are the text themselves."""
    try:
        value = jsons.parse(arguments)
    except jsons.JsonError:
        return arguments
    if isinstance(value, dict) and isinstance(value.get("input"), str):
        text: str = value["input"]
        return text
    return arguments
