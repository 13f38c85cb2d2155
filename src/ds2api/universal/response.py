"""A whole answer, and the two ways between it and its events: `fold` and `play`.

``fold(play(response)) == response`` for everything the universal format has a word for; a property test says
so. Both are used by the gather lane (a JSON client on a streaming provider, or the other way round) and by
JSON-to-JSON translation, so that streams and whole answers cannot differ in meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, assert_never

from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.parts import (
    Audio,
    Call,
    Extra,
    Image,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Sealed,
    Source,
    Text,
)  # fmt: skip
from ds2api.universal.usage import Usage

__all__ = ["Choice", "Folder", "Response", "fold", "play"]


@dataclass(slots=True)
class Choice:
    index: int = 0
    parts: list[Part] = field(default_factory=list)
    finish: ev.Finished | None = None
    logprobs: dict[str, Any] | None = None
    extra: Extra | None = None


@dataclass(slots=True)
class Response:
    """`created` is seconds since the epoch. `notes` are side notes of one dialect (`OpaqueSeen` without part)."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[Choice] = field(default_factory=list)
    usage: Usage | None = None
    notes: list[Opaque] = field(default_factory=list)
    extra: Extra | None = None

    @property
    def is_plain_text(self) -> bool:
        """Nothing but text without proofs: no call, no thought, nothing of one dialect."""
        for choice in self.choices:
            for part in choice.parts:
                if type(part) is not Text or part.signature is not None:
                    return False
        return True


class Folder:
    """Folds events into a `Response`, as they come: `add` each, then `finish`."""

    def __init__(self) -> None:
        self._response = Response()
        self._open: dict[int, Part] = {}
        self._pieces: dict[int, list[str]] = {}
        self.ended = False

    def add(self, event: ev.Event) -> None:
        """Take one event. Raises `Problem` on `Failed`."""
        response = self._response
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.ArgumentsDelta():
                self._pieces[event.part].append(event.text)
            case ev.PartStarted():
                part = _new_part(event)
                self._open[event.part] = part
                self._pieces[event.part] = []
                if part is not None and event.kind not in ("opaque", "media"):
                    self._choice(event.choice).parts.append(part)
            case ev.PartFinished():
                self._close(event.part)
            case ev.ReasoningSealed():
                self._seal(event)
            case ev.CitationSeen():
                cited = self._open.get(event.part)
                if isinstance(cited, Text):
                    cited.citations.append(event.citation)
            case ev.MediaSeen():
                self._media(event)
            case ev.OpaqueSeen():
                opaque = Opaque(event.dialect, event.kind, event.data)
                if event.part is None:
                    response.notes.append(opaque)
                else:
                    self._choice(event.choice).parts.append(opaque)
            case ev.Logprobs():
                _join_logprobs(self._choice(event.choice), event.tokens)
            case ev.Started():
                response.id, response.model, response.created = event.id, event.model, event.created
                response.extra = event.extra
                if event.usage is not None:
                    self._use(event.usage)
            case ev.UsageSeen():
                self._use(event.usage)
            case ev.Finished():
                self._choice(event.choice).finish = event
            case ev.Ended():
                self.ended = True
            case ev.Failed():
                raise Problem(event.error)
            case ev.Alive():
                pass
            case _:
                assert_never(event)

    def finish(self) -> Response:
        """The whole answer. Parts still open are closed as they are."""
        for part in list(self._pieces):
            self._close(part)
        self._response.choices.sort(key=lambda choice: choice.index)
        return self._response

    def _choice(self, index: int) -> Choice:
        for choice in self._response.choices:
            if choice.index == index:
                return choice
        choice = Choice(index)
        self._response.choices.append(choice)
        return choice

    def _close(self, number: int) -> None:
        pieces = self._pieces.pop(number, None)
        part = self._open.get(number)
        if pieces is None or part is None:
            return
        text = "".join(pieces)
        match part:
            case Text() | Refusal() | Reasoning():
                part.text += text
                if isinstance(part, Reasoning):
                    part.redacted = not part.text and part.sealed is not None and part.redacted
            case Call():
                part.arguments += text

    def _seal(self, event: ev.ReasoningSealed) -> None:
        part = self._open.get(event.part)
        match part:
            case Reasoning():
                part.sealed = event.sealed
                part.redacted = event.sealed.kind == "anthropic_redacted"
            case Text() | Call():
                part.signature = event.sealed

    def _media(self, event: ev.MediaSeen) -> None:
        part = self._open.get(event.part)
        if isinstance(part, Media):
            part.source = Source(data=(part.source.data or "") + event.data, media_type=part.source.media_type)
            return
        kind = Audio if (event.media_type or "").startswith("audio/") else Image
        media = kind(Source(data=event.data, media_type=event.media_type), extra=event.extra)
        self._open[event.part] = media
        self._choice(event.choice).parts.append(media)

    def _use(self, usage: Usage) -> None:
        if self._response.usage is None:
            self._response.usage = Usage()
        self._response.usage.merge(usage)


def fold(events: Iterable[ev.Event]) -> Response:
    """The answer that `events` describe. Raises `Problem` if they end in `Failed`."""
    folder = Folder()
    for event in events:
        folder.add(event)
    return folder.finish()


def play(response: Response) -> list[ev.Event]:
    """The events that `response` would have been streamed as, each part in one piece."""
    played: list[ev.Event] = [ev.Started(response.id, response.model, response.created, None, response.extra)]
    played += [ev.OpaqueSeen(note.dialect, note.kind, note.data) for note in response.notes]
    number = 0
    for choice in response.choices:
        for part in choice.parts:
            played += _play_part(part, number, choice.index)
            number += 1
        if choice.logprobs is not None:
            played.append(ev.Logprobs(choice.logprobs, choice.index))
    played += [choice.finish for choice in response.choices if choice.finish is not None]
    if response.usage is not None:
        played.append(ev.UsageSeen(response.usage))
    played.append(ev.Ended())
    return played


def _play_part(part: Part, number: int, choice: int) -> list[ev.Event]:
    def wrapped(start: ev.PartStarted, *inner: ev.Event) -> list[ev.Event]:
        return [start, *inner, ev.PartFinished(number, choice)]

    def signature(sealed: Sealed | None) -> list[ev.Event]:
        return [] if sealed is None else [ev.ReasoningSealed(number, sealed, choice)]

    match part:
        case Text():
            return wrapped(
                ev.PartStarted(number, "text", choice, extra=part.extra),
                ev.TextDelta(number, part.text, choice),
                *(ev.CitationSeen(number, citation, choice) for citation in part.citations),
                *signature(part.signature),
            )
        case Refusal():
            return wrapped(
                ev.PartStarted(number, "refusal", choice, extra=part.extra),
                ev.TextDelta(number, part.text, choice),
            )
        case Reasoning():
            start = ev.PartStarted(number, "reasoning", choice, id=part.id, summary=part.summary, extra=part.extra)
            text = [ev.ReasoningDelta(number, part.text, choice)] if part.text else []
            return wrapped(start, *text, *signature(part.sealed))
        case Call():
            start = ev.PartStarted(
                number, "call", choice, id=part.id, name=part.name, custom=part.custom, extra=part.extra
            )
            return wrapped(start, ev.ArgumentsDelta(number, part.arguments, choice), *signature(part.signature))
        case Opaque():
            return wrapped(
                ev.PartStarted(number, "opaque", choice),
                ev.OpaqueSeen(part.dialect, part.kind, part.data, number, choice),
            )
        case Media():
            return wrapped(
                ev.PartStarted(number, "media", choice),
                ev.MediaSeen(number, part.source.media_type, part.source.data or "", choice, part.extra),
            )
    return []


def _new_part(event: ev.PartStarted) -> Part:
    match event.kind:
        case "text":
            return Text("", extra=event.extra)
        case "refusal":
            return Refusal("", extra=event.extra)
        case "reasoning":
            return Reasoning("", summary=event.summary, id=event.id, extra=event.extra)
        case "call":
            return Call(event.id or "", event.name or "", "", event.custom, extra=event.extra)
        case "opaque" | "media":  # what they are is said by the event that follows
            return Opaque("", event.kind, {})
        case _:
            assert_never(event.kind)


def _join_logprobs(choice: Choice, tokens: dict[str, Any]) -> None:
    if choice.logprobs is None:
        choice.logprobs = {}
    for key, value in tokens.items():
        known = choice.logprobs.get(key)
        choice.logprobs[key] = known + value if isinstance(known, list) and isinstance(value, list) else value
