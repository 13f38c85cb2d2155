"""An answer that broke off goes on elsewhere: the pure half. Off unless the route (`rescue = true`) or the request
(``x-ds2api-rescue: on``) wants it.

What the client has already is sent along as the beginning of the assistant's turn, to a place that goes on from such a
beginning instead of starting anew; what comes is joined to what was there (`Joint`): no second start, the numbers of
the parts go on, the counters add up. The same encoder writes on, so the client sees one stream, and before its end the
warning that it was rescued.

Only plain text can be handed on: `SoFar` watches what left and says when something else did (a call, a citation, a
picture), after which a break is an error as ever. Thoughts are left out, with a loss: no place takes another's. Whoever
may be rescued is never relayed, since only what was translated is known in the universal words; without the wish
nothing here runs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ds2api.dialects.contract import Encoder
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.providers import Endpoint
from ds2api.gateway.routes import ResolvedTarget
from ds2api.universal import estimate
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Text
from ds2api.universal.request import Request, Turn
from ds2api.universal.usage import Usage

__all__ = ["Cut", "Joint", "SoFar", "added", "can_go_on", "continued", "echoes", "wants_rescue"]

# Who goes on from an assistant's turn at the end. Within `messages` the model decides, and its writer knows: Claude up
# to 4.5 (platform.claude.com, "Prefill Claude's response"; a 400 since 4.6).
#   mistral   docs.mistral.ai, prefix: the last message with `prefix: true`; the answer repeats it
#   gemini    ai.google.dev, prompt strategies, "completion strategy": the last content is the model's
#   ollama    ollama/ollama#6778: /api/chat leaves the last turn open where it is the assistant's
_DIALECTS = frozenset({"messages", "mistral", "gemini", "ollama"})
# Of chat servers (`dialects.chat.flavours`, `prefill`). Not OpenAI's own, which starts anew; not OpenRouter, where it
# depends on who serves; not DeepSeek, which has it behind another base URL only.
#   vllm, sglang   `continue_final_message`
#   llamacpp       ggml-org/llama.cpp#13174: an assistant's message at the end is continued
#   moonshot       platform.moonshot.ai, Partial Mode: `partial: true`
_CHAT_FLAVOURS = frozenset({"mistral", "moonshot", "sglang", "vllm", "llamacpp"})
_ECHOES = frozenset({"mistral"})  # dialect or flavour whose answer repeats the beginning

# Of an answer: what is longer than any model's output limit (128,000 tokens) is not kept.
_TEXT_CHARACTERS = 1024 * 1024


def wants_rescue(request: ClientRequest, place: ResolvedTarget) -> bool:
    """Whether a break of this answer would be mended: somebody wishes it, and it is one stream of free text."""
    said = request.headers.get("x-ds2api-rescue", "").strip().lower()
    if not request.peek.stream or request.peek.choices != 1 or said == "off" or not (place.rescue or said == "on"):
        return False
    try:
        wanted = request.universal
    except Problem:
        return False  # relaying leaves the word to the provider
    if not wanted.turns:
        return False
    is_free = wanted.output is None or wanted.output.kind == "text"
    is_forced = wanted.tool_choice is not None and wanted.tool_choice.mode in ("required", "named")
    return is_free and not is_forced and wanted.suffix is None and set(wanted.modalities or ()) <= {"text"}


def can_go_on(endpoint: Endpoint) -> bool:
    """Whether servers of this kind continue an assistant's turn. Their writer may still refuse for the model."""
    if endpoint.dialect == "chat":
        return endpoint.flavour in _CHAT_FLAVOURS
    return endpoint.dialect in _DIALECTS


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an answer broke off: `text` has left in all, the last of it in `part`, which is still open; `parts` is the
    next free number. `spent` is what the attempts so far have cost."""

    encoder: Encoder
    error: Error
    text: str
    part: int
    parts: int
    has_thoughts: bool
    spent: Usage

    @property
    def beginning(self) -> str:
        """What is sent along. Anthropic refuses one that ends in white space, and no tokenizer likes it."""
        return self.text.rstrip()


class SoFar:
    """A `course.Step` that keeps what the client has got. `before`: where an earlier attempt broke off."""

    only_listens = True
    __slots__ = ("_before", "_has_thoughts", "_is_plain", "_length", "_part", "_parts", "_texts")

    def __init__(self, before: Cut | None = None) -> None:
        self._before = before
        self._texts = [before.text] if before else []
        self._length = len(self._texts[0]) if before else 0
        self._part: int | None = before.part if before else None
        self._parts = before.parts if before else 0
        self._has_thoughts = before is not None and before.has_thoughts
        self._is_plain = True

    @property
    def can_go_on(self) -> bool:
        return self._is_plain and self._part is not None and any(not text.isspace() for text in self._texts)

    def events(self, events: list[ev.Event]) -> list[ev.Event]:
        for event in events:
            match event:
                case ev.TextDelta() if event.part == self._part:
                    self._texts.append(event.text)
                    self._length += len(event.text)
                    if self._length > _TEXT_CHARACTERS:
                        self._spoil()
                case ev.PartStarted(kind="text"):
                    self._part = event.part
                    self._parts = max(self._parts, event.part + 1)
                case ev.PartStarted(kind="reasoning"):
                    self._has_thoughts = True
                    self._parts = max(self._parts, event.part + 1)
                case ev.PartFinished():
                    self._part = None if event.part == self._part else self._part
                case ev.OpaqueSeen(part=None):
                    pass  # a side note
                case (
                    ev.Started() | ev.ReasoningDelta() | ev.ReasoningSealed() | ev.UsageSeen() | ev.Logprobs()
                    | ev.Alive() | ev.Failed()
                ):  # fmt: skip
                    pass
                case _:
                    self._spoil()
        return events

    def _spoil(self) -> None:
        self._is_plain = False
        self._texts.clear()

    def cut(self, encoder: Encoder, error: Error, usage: Usage | None, input_estimate: int) -> Cut:
        """It broke off with `error`; `usage` is what this attempt told of its cost. What it did not tell is guessed."""
        assert self._part is not None
        text = "".join(self._texts)
        before = self._before
        made = text[len(before.text) :] if before else text
        spent = Usage() if usage is None else replace(usage)
        if spent.input_total is None:
            spent.input_uncached, spent.estimated = input_estimate, True
        guess = estimate.input_tokens(len(made.encode("utf-8", "replace")))
        if (spent.output_total or 0) < guess:  # Anthropic tells the first token at the start, and the rest at the end
            spent.output_text, spent.estimated = guess, True
        total = added(before.spent, spent) if before else spent
        return Cut(encoder, error, text, self._part, self._parts, self._has_thoughts, total)


class Joint:
    """A `course.Step` that makes an answer the continuation of one that broke off at `cut`. `own` is what it cost
    itself."""

    only_listens = False
    __slots__ = ("_beginning", "_closed", "_cut", "_dropped", "_numbers", "_space", "_text", "own")

    def __init__(self, cut: Cut, *, echoes: bool) -> None:
        self.own: Usage | None = None
        self._cut = cut
        self._beginning = cut.beginning if echoes else ""  # what of it may still be repeated
        self._space = cut.text[len(cut.beginning) :]  # was not sent along, and may come again
        self._text: int | None = None  # the number here of the text that goes on
        self._numbers: dict[int, int] = {}
        self._dropped: set[int] = set()
        self._closed = False

    def events(self, events: list[ev.Event]) -> list[ev.Event]:
        joined: list[ev.Event] = []
        for event in events:
            match event:
                case ev.Started():
                    self._use(event.usage)
                case ev.UsageSeen():
                    self._use(event.usage)
                case ev.PartStarted(kind="reasoning"):
                    self._dropped.add(event.part)
                case ev.PartStarted(kind="text") if self._text is None and not self._closed:
                    self._text = event.part
                    self._numbers[event.part] = self._cut.part
                case ev.PartStarted():
                    self._close(joined)
                    self._numbers[event.part] = self._cut.parts + len(self._numbers)
                    joined.append(replace(event, part=self._numbers[event.part]))
                case ev.TextDelta() if event.part == self._text:
                    if text := self._new(event.text):
                        joined.append(replace(event, part=self._cut.part, text=text))
                case ev.Finished() | ev.Ended():
                    self._close(joined)
                    if isinstance(event, ev.Ended):
                        joined.append(ev.UsageSeen(added(self._cut.spent, self.own or Usage())))
                    joined.append(event)
                case ev.Logprobs() | ev.Alive() | ev.Failed() | ev.OpaqueSeen(part=None):
                    joined.append(event)
                case _ if event.part in self._numbers:
                    self._closed = self._closed or (isinstance(event, ev.PartFinished) and event.part == self._text)
                    joined.append(replace(event, part=self._numbers[event.part]))
                case _:
                    assert event.part in self._dropped, "a part starts before anything of it comes"
        return joined

    def _close(self, joined: list[ev.Event]) -> None:
        """Something else begins, or all is over: the text that was open when the answer broke off ends here, unless
        it goes on."""
        if not self._closed and self._text is None:
            joined.append(ev.PartFinished(self._cut.part))
            self._closed = True

    def _new(self, text: str) -> str:
        """`text` without what stands before the break already."""
        if self._beginning:
            if not self._beginning.startswith(text[: len(self._beginning)]):
                begun = self._cut.beginning.removesuffix(self._beginning)
                text, self._beginning = begun + text, ""  # no repetition after all
            else:
                text, self._beginning = text[len(self._beginning) :], self._beginning[len(text) :]
        while text and self._space:
            if text[0] != self._space[0]:
                self._space = ""
            else:
                text, self._space = text[1:], self._space[1:]
        return text

    def _use(self, usage: Usage | None) -> None:
        if usage is not None:
            self.own = self.own or Usage()
            self.own.merge(usage)


def continued(request: Request, cut: Cut) -> tuple[Request, list[Loss]]:
    """`request`, to go on from `cut`, and what is lost by that."""
    beginning = Text(cut.beginning)
    *before, last = request.turns
    if last.role == "assistant":  # the client's own beginning
        before.append(replace(last, parts=[*last.parts, beginning]))
    else:
        before += [last, Turn("assistant", [beginning], path="stream")]
    losses = [Loss("rescued", "stream", f"it broke off ({cut.error.kind}) and was continued elsewhere")]
    if cut.has_thoughts:
        losses.append(Loss("dropped", "stream.reasoning", "who continued it was not shown the thoughts before it"))
    if request.reasoning is not None:
        losses.append(Loss("dropped", request.reasoning.path, "no model thinks in the middle of its answer"))
    limit = request.max_output_tokens
    if limit is not None:
        limit = max(1, limit - estimate.input_tokens(len(cut.text.encode("utf-8", "replace"))))
    return replace(request, turns=before, reasoning=None, max_output_tokens=limit, reworded=True), losses


def echoes(endpoint: Endpoint) -> bool:
    return endpoint.dialect in _ECHOES or endpoint.flavour in _ECHOES


def added(one: Usage, other: Usage) -> Usage:
    """Both together. The objects as they came are of one answer each, and are left out."""
    total = Usage(estimated=one.estimated or other.estimated)
    for counter in fields(Usage):
        values = [getattr(one, counter.name), getattr(other, counter.name)]
        if counter.name not in ("estimated", "raw") and values != [None, None]:
            setattr(total, counter.name, sum(value or 0 for value in values))
    return total
