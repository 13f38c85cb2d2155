"""Keeps the reasoning that a client will not send back, and puts it back where it is missing (`stores.Thoughts`).

`Listener` watches an answer's events on their way to the client; `completed` gives a request with the thoughts of its
own past in their places. Only translated requests pass here: on relay the client holds what it got, byte for byte.
"""

from __future__ import annotations

from dataclasses import replace

from ds2api.dialects.contract import Target
from ds2api.stores import TextName, Thought, Thoughts, call_name
from ds2api.universal import events as ev
from ds2api.universal.parts import Call, Part, Reasoning, Sealed, Text
from ds2api.universal.request import Request, Turn

__all__ = ["Listener", "completed"]

# Of one turn's reasoning text: more is not kept, and the turn goes without it, as it would have before.
_TEXT_BYTES = 256 * 1024


class Listener:
    """Watches one answer made by `target`; `keep` once it is complete. Only the first choice: no client that sends
    several on has one past. `wants_thoughts`: the provider takes its thoughts back without a proof, too."""

    only_listens = True
    __slots__ = ("_calls", "_hears_text", "_length", "_reasoning", "_seals", "_target", "_text", "_wants_thoughts")

    def __init__(self, target: Target, *, wants_thoughts: bool, hears_text: bool) -> None:
        self._target = target
        self._wants_thoughts = wants_thoughts
        self._hears_text = hears_text  # from the beginning: a text may be proved without a thought before it
        self._reasoning: dict[int, tuple[ev.PartStarted, list[str]]] = {}
        self._seals: dict[int, Sealed] = {}
        self._calls: dict[int, tuple[ev.PartStarted, list[str]]] = {}
        self._text = TextName()
        self._length = 0

    def events(self, events: list[ev.Event]) -> list[ev.Event]:
        """Take note of what thoughts and calls there are; all events go on.

        Text is only told apart, never kept: most of an answer is text, and a stream's memory must not grow with it
        (R137)."""
        texts: list[str] = []
        for event in events:
            if type(event) is ev.TextDelta:
                if self._hears_text:
                    texts.append(event.text)
                continue
            match event:
                case ev.PartStarted(kind="reasoning", choice=0):
                    self._reasoning[event.part] = (event, [])
                    self._hears_text = True
                case ev.PartStarted(kind="call", choice=0):
                    self._calls[event.part] = (event, [])
                case ev.ReasoningDelta() if event.part in self._reasoning:
                    self._add(self._reasoning[event.part][1], event.text)
                case ev.ArgumentsDelta() if event.part in self._calls:
                    self._add(self._calls[event.part][1], event.text)
                case ev.ReasoningSealed(choice=0):
                    self._seals[event.part] = event.sealed
        if texts:
            self._text.add("".join(texts))
        return events

    def _add(self, pieces: list[str], text: str) -> None:
        self._length += len(text)
        if self._length <= _TEXT_BYTES:
            pieces.append(text)

    def keep(self, thoughts: Thoughts, caller: str, now: float) -> None:
        """Remember what there was to remember."""
        if not (self._seals or (self._reasoning and self._wants_thoughts)) or self._length > _TEXT_BYTES:
            return
        target, sealer = self._target, self._target.sealer
        assert sealer is not None

        def wrapped(part: int) -> Sealed | None:
            sealed = self._seals.get(part)
            if sealed is None:
                return None
            return Sealed(sealed.kind, sealer.seal(sealed, target.provider, target.model, target.account))

        reasoning = tuple(
            Reasoning(
                "".join(pieces),
                seal := wrapped(part),
                start.summary,
                redacted=not pieces and seal is not None and seal.kind == "anthropic_redacted",
                id=start.id,
            )
            for part, (start, pieces) in self._reasoning.items()
        )
        calls = [
            Call(start.id or "", start.name or "", "".join(pieces), start.custom)
            for start, pieces in self._calls.values()
        ]
        proofs = tuple(
            (call_name(call), seal)
            for call, part in zip(calls, self._calls, strict=True)
            if (seal := wrapped(part)) is not None
        )
        others = [seal for part in self._seals if part not in self._reasoning and part not in self._calls
                  if (seal := wrapped(part)) is not None]  # fmt: skip
        thought = Thought(target.provider, target.model, reasoning, proofs, others[-1] if others else None)
        thoughts.keep(caller, calls, self._text, thought, now)


def completed(request: Request, target: Target, thoughts: Thoughts, caller: str, now: float) -> Request:
    """`request` with remembered thoughts put back into those of its assistant turns that come without any."""
    if not thoughts.has_any(caller, target.provider, target.model, now):
        return request
    turns: list[Turn] | None = None
    for place, turn in enumerate(request.turns):
        if turn.role != "assistant" or any(_is_proved(part) for part in turn.parts):
            continue
        thought = thoughts.find(caller, turn.parts, target.provider, target.model, now)
        if thought is None:
            continue
        turns = list(request.turns) if turns is None else turns
        turns[place] = replace(turn, parts=_with(thought, turn))
    return request if turns is None else replace(request, turns=turns)


def _is_proved(part: Part) -> bool:
    """Whether the client sent the proof itself. A thought without one says nothing to its maker."""
    if isinstance(part, Reasoning):
        return part.sealed is not None
    return isinstance(part, Call | Text) and part.signature is not None


def _with(thought: Thought, turn: Turn) -> list[Part]:
    proofs = dict(thought.calls)
    parts: list[Part] = [replace(one, path=turn.path) for one in thought.reasoning]
    last = max((place for place, part in enumerate(turn.parts) if isinstance(part, Text)), default=-1)
    for place, part in enumerate(turn.parts):
        if isinstance(part, Reasoning) and thought.reasoning:
            continue  # the same thought, without its proof
        if isinstance(part, Call) and (proof := proofs.get(call_name(part))) is not None:
            parts.append(replace(part, signature=proof))
        elif place == last and isinstance(part, Text) and thought.text is not None:
            parts.append(replace(part, signature=thought.text))
        else:
            parts.append(part)
    return parts
