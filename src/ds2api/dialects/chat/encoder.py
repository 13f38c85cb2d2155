"""Writes a chat client's stream: universal events → SSE chunks.

It owns what the SDKs choke on (`streams.md` §0): the role stands in the first delta of a choice and never again; tool
calls are numbered from 0 without gaps; id and name come once; entries of every other list are numbered too; `id`,
`created` and `model` are the same in every chunk; the usage chunk has no choices, comes last, and only to clients
that asked; an error ends the stream without ``[DONE]``.

The hot path is `encode` with its branch for deltas: a prebuilt head and tail around the JSON of one string, one join
a call. Cost: 0.6 µs an event (CPython 3.11, `bench/parts.py`), half of it for making the text JSON. Memory:
nothing that grows with the stream but citations until their text is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from ds2api import jsons
from ds2api.dialects.chat.answer_out import (
    answer_id,
    text_field,
    written_citation,
    written_proof,
    written_signature,
)
from ds2api.dialects.chat.errors import error_object
from ds2api.dialects.chat.finish import finish_loss, finish_word, malformed_call, refusal_text
from ds2api.dialects.contract import Around, Asker
from ds2api.dialects.loss_lines import loss_lines
from ds2api.dialects.openai_usage import written_usage
from ds2api.universal import events as ev
from ds2api.universal.losses import Loss, LossCode
from ds2api.universal.parts import Citation
from ds2api.universal.usage import Usage

__all__ = ["ChatEncoder"]


@dataclass(slots=True)
class _Choice:
    calls: int = 0
    details: int = 0
    annotations: int = 0
    images: int = 0
    length: int = 0  # characters of text so far
    has_refusal: bool = False
    is_finished: bool = False
    logprobs: dict[str, Any] | None = None  # for the next delta


@dataclass(slots=True)
class _Part:
    """An open part. `head` and `tail` stand around the JSON of each of its deltas."""

    choice: int
    owner: _Choice
    kind: ev.PartKind
    head: bytes
    tail: bytes
    number: int = 0  # of a call or a thought, within its choice
    middle: bytes = b""  # of reasoning that may be proved: its text goes out twice in one chunk, around this
    summary: bool = False
    has_text: bool = False
    start: int = 0  # of a text: characters of the choice before it
    citations: list[Citation] = field(default_factory=list)


class ChatEncoder:
    """See `contract.Encoder`. One for each stream."""

    stream_type = "text/event-stream"
    tells_errors = True

    __slots__ = (
        "_asker", "_before", "_choices", "_is_old", "_over", "_parts", "_said", "_tail", "_usage", "losses",
    )  # fmt: skip

    def __init__(self, asker: Asker) -> None:
        self.losses: list[Loss] = []
        self._asker = asker
        self._is_old = asker.request is not None and asker.request.path_of("tools") == "functions"
        self._before = b""  # everything of a chunk before its choices
        self._tail = b',"usage":null}\n\n' if asker.wants_usage else b"}\n\n"
        self._parts: dict[int, _Part] = {}
        self._choices: dict[int, _Choice] = {}
        self._said: set[tuple[str, str]] = set()  # losses that were noted, once each
        self._usage: Usage | None = None
        self._over = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """See `contract.Encoder`."""
        out: list[bytes] = []
        parts, dump = self._parts, jsons.dump_text
        for event in events:
            if self._over:
                break
            if isinstance(event, ev.DELTAS):
                part = parts.get(event.part)
                if part is not None:
                    text = event.text
                    if part.kind == "text":
                        part.owner.length += len(text)
                    if part.middle or part.owner.logprobs is not None:
                        self._delta(part, text, out)
                    else:
                        out += (part.head, dump(text), part.tail)
            else:
                self._other(event, out)
        return b"".join(out)

    def around(self, delta: ev.Delta) -> Around | None:
        """See `contract.Encoder`."""
        part = self._parts.get(delta.part)
        if part is None or part.middle or part.owner.logprobs is not None or self._over:
            return None
        return Around(part.head, part.tail)

    def alive(self) -> bytes:
        """A comment, which every chat SDK skips."""
        return b": keep-alive\n\n"

    def _delta(self, part: _Part, text: str, out: list[bytes]) -> None:
        """A delta with something beside its text."""
        written = jsons.dump_text(text)
        if part.middle:
            part.has_text = True
            out += (part.head, written, part.middle, written, part.tail)
        elif part.kind == "text":
            logprobs, part.owner.logprobs = part.owner.logprobs, None
            self._chunk({"content": text}, part.choice, out, logprobs=logprobs)
        else:
            out += (part.head, written, part.tail)

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        match event:
            case ev.PartStarted():
                self._start_part(event, out)
            case ev.PartFinished():
                part = self._parts.pop(event.part, None)
                if part is not None:
                    self._cite(part, out)
            case ev.Started():
                self._start(event, out)
            case ev.UsageSeen():
                self._use(event.usage)
            case ev.Finished():
                self._finish(event, out)
            case ev.Ended():
                self._end(out)
            case ev.Failed():
                self._over = True
                out.append(loss_lines(self.losses))
                out.append(b"data: " + jsons.dump({"error": error_object(event.error)}) + b"\n\n")
            case ev.ReasoningSealed():
                self._seal(event, out)
            case ev.CitationSeen():
                part = self._parts.get(event.part)
                if part is not None:
                    part.citations.append(event.citation)
                    if event.citation.start is not None:
                        self._cite(part, out)
            case ev.Logprobs():
                _join(self._choice(event.choice, out), event.tokens)
            case ev.MediaSeen():
                self._media(event, out)
            case ev.OpaqueSeen():
                self._opaque(event, out)
            case ev.Alive():
                out.append(self.alive())
            case ev.TextDelta() | ev.ReasoningDelta() | ev.ArgumentsDelta():
                pass  # `encode` takes them
            case _:
                assert_never(event)

    def _start(self, event: ev.Started, out: list[bytes]) -> None:
        asker = self._asker
        is_chat = event.extra is not None and event.extra.dialect == "chat"
        own = event.extra.get("chat") if event.extra is not None else {}
        head = {
            "id": answer_id(event.id, event.extra, asker),
            "object": "chat.completion.chunk",
            "created": (event.created if is_chat else None) or asker.created,
            "model": asker.model,
        }
        # Words about the whole answer stand in every chunk, as chat servers do it; longer things are said once.
        head |= {name: value for name, value in own.items() if isinstance(value, str)}
        once = {name: value for name, value in own.items() if not isinstance(value, str)}
        self._before = b"data: " + jsons.dump(head)[:-1] + b',"choices":['
        if once:
            self._note(once, out)
        if event.usage is not None:
            self._use(event.usage)

    def _choice(self, index: int, out: list[bytes]) -> _Choice:
        """The choice, its role said."""
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
            if not self._before:
                self._start(ev.Started(), out)
            self._chunk({"role": "assistant", "content": ""}, index, out)
        return choice

    def _chunk(
        self,
        delta: dict[str, Any],
        index: int,
        out: list[bytes],
        *,
        word: str | None = None,
        logprobs: Any = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": word, **(more or {})}
        out += (self._before, jsons.dump(choice), b"]", self._tail)

    def _start_part(self, event: ev.PartStarted, out: list[bytes]) -> None:
        index = event.choice
        choice = self._choice(index, out)
        head = self._before + b'{"index":%d,"delta":{' % index
        tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        match event.kind:
            case "text":
                part = _Part(index, choice, "text", head + b'"content":', tail, start=choice.length)
            case "refusal":
                choice.has_refusal = True
                part = _Part(index, choice, "refusal", head + b'"refusal":', tail)
            case "reasoning":
                part = self._start_thought(event, choice, head, tail)
            case "call":
                call = self._start_call(event, choice, head, tail, out)
                if call is None:
                    return
                part = call
            case "opaque" | "media":
                return  # what they are is said by the event that follows
            case _:
                assert_never(event.kind)
        self._parts[event.part] = part

    def _start_thought(self, event: ev.PartStarted, choice: _Choice, head: bytes, tail: bytes) -> _Part:
        """Reasoning that may get a proof goes out as text and, in the same chunk, as a piece of the entry that the
        proof completes: OpenRouter's own form, which its clients put together and send back whole."""
        number = choice.details
        choice.details += 1
        head += b'"%b":' % text_field(event.extra).encode()
        part = _Part(event.choice, choice, "reasoning", head, tail, number, summary=event.summary)
        own = event.extra.get("chat") if event.extra is not None else {}
        may_be_proved = "reasoning_details" in own if own else self._asker.sealer is not None
        if may_be_proved:
            kind = b"summary" if event.summary else b"text"
            part.middle = b',"reasoning_details":[{"type":"reasoning.%b","index":%d,"%b":' % (kind, number, kind)
            part.tail = b"}]" + tail
        return part

    def _start_call(
        self, event: ev.PartStarted, choice: _Choice, head: bytes, tail: bytes, out: list[bytes]
    ) -> _Part | None:
        number = choice.calls
        choice.calls += 1
        name = event.name or ""
        if self._is_old:
            if number:
                self._lose("dropped", "tool_calls", "the old function calls come one at a time")
                return None
            self._chunk({"function_call": {"name": name, "arguments": ""}}, event.choice, out)
            return _Part(event.choice, choice, "call", head + b'"function_call":{"arguments":', b"}" + tail)
        kind, text = ("custom", "input") if event.custom else ("function", "arguments")
        call = {
            "index": number,
            "id": event.id or f"call_{self._asker.new_id()}",
            "type": kind,
            kind: {"name": name, text: ""},
        }
        self._chunk({"tool_calls": [call]}, event.choice, out)
        inner = b'"tool_calls":[{"index":%d,"%b":{"%b":' % (number, kind.encode(), text.encode())
        return _Part(event.choice, choice, "call", head + inner, b"}}]" + tail, number)

    def _cite(self, part: _Part, out: list[bytes]) -> None:
        """Citations that say no place span the whole of their text, so they wait until it is complete."""
        if not part.citations:
            return
        end = self._choices[part.choice].length
        written = [written_citation(citation, part.start, end) for citation in part.citations]
        part.citations = []
        annotations = [one for one in written if one is not None]
        if len(annotations) < len(written):
            self._lose("dropped", "citations", "chat cites web pages only")
        if annotations:
            self._annotate(annotations, part.choice, out)

    def _annotate(self, annotations: list[dict[str, Any]], index: int, out: list[bytes]) -> None:
        """Numbered, since the SDK's helper fails on a second list of a field whose entries have no `index`."""
        choice = self._choices[index]
        numbered = [{"index": choice.annotations + number, **one} for number, one in enumerate(annotations)]
        choice.annotations += len(numbered)
        self._chunk({"annotations": numbered}, index, out)

    def _seal(self, event: ev.ReasoningSealed, out: list[bytes]) -> None:
        part = self._parts.get(event.part)
        if part is None:
            return
        delta: dict[str, Any] | None = None
        if part.kind == "reasoning":
            summary, has_text = part.summary, part.has_text
            entry = written_proof(event.sealed, part.number, self._asker, summary=summary, has_text=has_text)
            delta = None if entry is None else {"reasoning_details": [entry]}
        elif part.kind == "call" and not self._is_old:
            content = written_signature(event.sealed, self._asker)
            if content is not None:  # with a `function`, which the SDK's helper takes for granted
                piece = {"index": part.number, "function": {"arguments": ""}, "extra_content": content}
                delta = {"tool_calls": [piece]}
        if delta is None:
            self._lose("dropped", "signature", "chat has no place for it here, or there is nothing to seal it with")
        else:
            self._chunk(delta, part.choice, out)

    def _media(self, event: ev.MediaSeen, out: list[bytes]) -> None:
        choice = self._choice(event.choice, out)
        own = event.extra.get("chat") if event.extra is not None else {}
        if (event.media_type or "").startswith("audio/"):
            self._chunk({"audio": {**own, "data": event.data}}, event.choice, out)
        else:
            url = own.get("url") or f"data:{event.media_type or 'image/png'};base64,{event.data}"
            image = {"index": choice.images, "type": "image_url", "image_url": {"url": url}}
            choice.images += 1
            self._chunk({"images": [image]}, event.choice, out)

    def _opaque(self, event: ev.OpaqueSeen, out: list[bytes]) -> None:
        """Chat's own notes go where they stood; another dialect's have no place."""
        fields = event.data.get("fields")
        if event.dialect != "chat" or event.part is not None or not isinstance(fields, dict):
            self._lose("dropped", event.kind, f"chat answers have no {event.kind}")
        elif event.kind == "delta":
            self._choice(event.choice, out)
            others = {name: value for name, value in fields.items() if name != "annotations"}
            if "annotations" in fields:
                self._annotate(fields["annotations"], event.choice, out)
            if others:
                self._chunk(others, event.choice, out)
        elif event.kind == "choice":
            self._choice(event.choice, out)
            self._chunk({}, event.choice, out, more=fields)
        else:
            if not self._before:
                self._start(ev.Started(), out)
            self._note(fields, out)

    def _note(self, fields: dict[str, Any], out: list[bytes]) -> None:
        """Fields of a chunk itself. Its choice says nothing, but stands there: clients read the first one (R094)."""
        empty = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":null}],'
        out += (self._before, empty, jsons.dump(fields)[1:-1], self._tail)

    def _use(self, usage: Usage) -> None:
        if self._usage is None:
            self._usage = Usage()
        self._usage.merge(usage)

    def _finish(self, event: ev.Finished, out: list[bytes]) -> None:
        if event.reason == "malformed_tool":
            self._other(ev.Failed(malformed_call(event)), out)
            return
        choice = self._choice(event.choice, out)
        if choice.is_finished:
            return
        choice.is_finished = True
        for number, part in list(self._parts.items()):
            if part.choice == event.choice:
                self._cite(self._parts.pop(number), out)
        if event.reason == "refusal" and not choice.has_refusal:
            self._chunk({"refusal": refusal_text(event)}, event.choice, out)
        loss = finish_loss(event)
        if loss is not None:
            self._lose("approximated", "finish_reason", loss)
        word = finish_word(event, is_old=self._is_old)
        own = event.extra.get("chat") if event.extra is not None else None
        self._chunk({}, event.choice, out, word=word, logprobs=choice.logprobs, more=own)

    def _end(self, out: list[bytes]) -> None:
        self._over = True
        if self._asker.wants_usage:
            self._write_usage(out)
        out.append(loss_lines(self.losses))
        out.append(b"data: [DONE]\n\n")

    def _write_usage(self, out: list[bytes]) -> None:
        """Only what was counted: a provider that said nothing gets no zeros invented (R011)."""
        usage = self._usage
        if usage is None or (usage.input_total is None and usage.output_total is None):
            self._lose("dropped", "usage", "the provider did not count")
            return
        if usage.input_total is None or usage.output_total is None:
            self._lose("estimated", "usage", "the provider counted one side only: the other is written as 0")
        elif usage.estimated:
            self._lose("estimated", "usage", "the gateway's own guess")
        written = jsons.dump(written_usage(usage, "chat"))
        out += (self._before, b'],"usage":', written, b"}\n\n")

    def _lose(self, code: LossCode, path: str, reason: str) -> None:
        if (code, path) not in self._said:
            self._said.add((code, path))
            self.losses.append(Loss(code, path, reason))


def _join(choice: _Choice, tokens: dict[str, Any]) -> None:
    if choice.logprobs is None:
        choice.logprobs = dict(tokens)
        return
    for name, value in tokens.items():
        known = choice.logprobs.get(name)
        choice.logprobs[name] = known + value if isinstance(known, list) and isinstance(value, list) else value
