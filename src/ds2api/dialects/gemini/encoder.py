"""Writes a Gemini client's stream: universal events → GenerateContentResponses.

What the SDKs choke on (`streams.md` §0, R038): every line that is not blank begins with ``data: ``, one blank line
stands between events, no comment, no event name, no end marker; an error's first key is ``error`` and its code a
number. The keep-alive is an empty response. Without ``alt=sse`` (`Asker.form` "array") the same objects are one JSON
array, and the keep-alive is white space.

Text and thoughts leave at once, all of one read in one response. Calls are whole here, so their arguments are held
until the part ends; those that are no JSON wait until it is known whether the token limit cut them (then there is no
call). Finish reasons, usage, grounding and losses (`ds2api_warnings`) stand in the last object.

Hot path: a delta is two constant strings, made when its part opens, around the escaped text; one join a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from ds2api import jsons
from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.contract import KEPT, Around, Asker
from ds2api.dialects.gemini.errors import error_object
from ds2api.dialects.gemini.fields import NAME, own_fields
from ds2api.dialects.gemini.finish import finish_word
from ds2api.dialects.gemini.grounding import is_own, written_grounding
from ds2api.dialects.gemini.ids import call_id
from ds2api.dialects.gemini.logprobs import written_logprobs
from ds2api.dialects.gemini.offsets import Offsets
from ds2api.dialects.gemini.proofs import for_client
from ds2api.dialects.gemini.usage import written_usage
from ds2api.universal import events as ev
from ds2api.universal.losses import Loss, LossCode
from ds2api.universal.parts import Citation
from ds2api.universal.usage import Usage

__all__ = ["GeminiEncoder"]

_CUT = ("length", "context_full")


class _Choice:
    __slots__ = ("citations", "finish", "index", "is_refused", "offsets", "unreadable")

    def __init__(self, index: int) -> None:
        self.index = index
        self.is_refused = False
        self.finish: ev.Finished | None = None
        self.unreadable: list[dict[str, Any]] = []  # calls whose arguments are no JSON
        self.citations: list[Citation] = []
        self.offsets = Offsets()


class _Part:
    """An open part. `head` and `tail` stand around the JSON of its text's pieces."""

    __slots__ = ("choice", "head", "pieces", "signature", "start", "started", "tail")

    def __init__(self, started: ev.PartStarted, choice: _Choice, head: bytes, tail: bytes) -> None:
        self.started = started
        self.choice = choice
        self.head = head
        self.tail = tail
        self.start = choice.offsets.characters
        self.pieces: list[str] = []  # of arguments, or of media
        self.signature: str | None = None  # of a call


class GeminiEncoder:
    """See `contract.Encoder`. One for each stream."""

    tells_errors = True

    def __init__(self, asker: Asker) -> None:
        self.losses: list[Loss] = []
        self._asker = asker
        self._is_array = asker.form == "array"
        self.stream_type = "application/json" if self._is_array else "text/event-stream"
        self._before = b"[" if self._is_array else b"data: "
        self._after = b"" if self._is_array else b"\n\n"
        self._id: str | None = None  # the provider's, where it speaks Gemini too
        self._head: dict[str, Any] = {}  # what every response says
        self._tail = b""  # the same, behind its candidates
        self._choices: dict[int, _Choice] = {}
        self._parts: dict[int, _Part] = {}
        self._pending: int | None = None  # the part whose text waits for the end of this read
        self._pieces: list[str] = []
        self._usage: Usage | None = None
        self._is_over = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """See `contract.Encoder`."""
        out: list[bytes] = []
        for event in events:
            if self._is_over:
                break
            kind = type(event)
            if kind is ev.TextDelta or kind is ev.ReasoningDelta:
                if event.part != self._pending:  # type: ignore[union-attr]
                    self._flush(out)
                    self._pending = event.part  # type: ignore[union-attr]
                self._pieces.append(event.text)  # type: ignore[union-attr]
            else:
                self._flush(out)
                self._other(event, out)
        self._flush(out)
        return b"".join(out)

    def around(self, delta: ev.Delta) -> Around | None:
        """See `contract.Encoder`."""
        part = self._parts.get(delta.part)
        if part is None or self._is_array or self._is_over:
            return None
        if isinstance(delta, ev.ArgumentsDelta):
            return KEPT
        return Around(self._before + part.head, part.tail + self._after, joins=True)

    def alive(self) -> bytes:
        """See `contract.Encoder`."""
        if self._is_over:
            return b""
        return b"\n" if self._is_array else b"data: {}\n\n"

    def _flush(self, out: list[bytes]) -> None:
        """Write the text that waits."""
        if self._pending is None:
            return
        part = self._parts.get(self._pending)
        text = "".join(self._pieces)
        self._pending = None
        self._pieces.clear()
        if part is not None and text:
            if part.started.kind != "reasoning":
                part.choice.offsets.add(text)
            self._write_text(part, text, out)

    def _write_text(self, part: _Part, text: str, out: list[bytes]) -> None:
        self._write(out, part.head, jsons.dump_text(text), part.tail)

    def _write(self, out: list[bytes], *pieces: bytes) -> None:
        out.append(self._before)
        out += pieces
        out.append(self._after)
        if self._is_array:
            self._before = b",\r\n"

    def _write_part(self, part: dict[str, Any], choice: _Choice, out: list[bytes]) -> None:
        candidate = {"content": {"parts": [part], "role": "model"}, "index": choice.index}
        self._write(out, b'{"candidates":[', jsons.dump(candidate), b"]", self._tail)

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        match event:
            case ev.PartStarted():
                self._start_part(event, out)
            case ev.ArgumentsDelta():
                if (part := self._parts.get(event.part)) is not None:
                    part.pieces.append(event.text)
            case ev.PartFinished():
                part = self._parts.pop(event.part, None)
                if part is not None:
                    self._finish_part(part, out)
            case ev.ReasoningSealed():
                self._seal(event, out)
            case ev.Started():
                self._start(event)
            case ev.UsageSeen():
                self._use(event.usage)
            case ev.CitationSeen():
                self._cite(event)
            case ev.Logprobs():
                choice = self._choice(event.choice)
                candidate = {"logprobsResult": written_logprobs(event.tokens), "index": choice.index}
                self._write(out, b'{"candidates":[', jsons.dump(candidate), b"]", self._tail)
            case ev.MediaSeen():
                if (part := self._parts.get(event.part)) is not None:
                    part.pieces.append(event.data)
                    part.started.name = event.media_type or part.started.name
                    part.started.extra = event.extra or part.started.extra
            case ev.OpaqueSeen():
                if event.dialect == NAME and event.part is not None:
                    self._write_part(event.data, self._choice(event.choice), out)
                elif event.dialect != NAME:
                    self._lose("dropped", event.kind, f"Gemini's answers have no {event.kind}")
            case ev.Finished():
                self._choice(event.choice).finish = event
            case ev.Ended():
                self._end(out)
            case ev.Failed():
                self._is_over = True
                body = {"error": error_object(event.error, self._asker.request_id)} | self._warnings()
                self._write(out, jsons.dump(body), b"]" if self._is_array else b"")
            case ev.Alive():
                out.append(self.alive())
            case ev.TextDelta() | ev.ReasoningDelta():
                pass  # `encode` takes them
            case _:
                assert_never(event)

    def _start(self, event: ev.Started) -> None:
        is_own = event.extra is not None and event.extra.dialect == NAME
        self._id = event.id if is_own else None
        self._head = {"modelVersion": self._asker.model, "responseId": self._id or self._asker.new_id()}
        self._head |= own_fields(event.extra)
        self._tail = b"," + jsons.dump(self._head)[1:]
        if event.usage is not None:
            self._use(event.usage)

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if not self._head:  # a decoder that skipped `Started`
                self._start(ev.Started())
            choice = self._choices[index] = _Choice(index)
        return choice

    def _start_part(self, event: ev.PartStarted, out: list[bytes]) -> None:
        choice = self._choice(event.choice)
        if choice.unreadable:  # another part follows, so no limit cut it
            self._write_unreadable(choice, out)
        if event.kind == "refusal":
            choice.is_refused = True
        thought = b'"thought":true,' if event.kind == "reasoning" else b""
        head = b'{"candidates":[{"content":{"parts":[{%b"text":' % thought
        own = own_fields(event.extra)
        more = b"," + jsons.dump(own)[1:-1] if own else b""
        tail = b'%b}],"role":"model"},"index":%d}]%b' % (more, choice.index, self._tail)
        self._parts[event.part] = _Part(event, choice, head, tail)

    def _finish_part(self, part: _Part, out: list[bytes]) -> None:
        started = part.started
        if started.kind == "media":
            if part.pieces:
                blob = {"mimeType": started.name or "image/png", "data": "".join(part.pieces)}
                self._write_part({"inlineData": blob, **own_fields(started.extra)}, part.choice, out)
        elif started.kind == "call":
            value, is_faithful = as_object("".join(part.pieces), custom=started.custom)
            call: dict[str, Any] = {}
            if not (self._id and started.id == call_id(self._id, started.part)):  # else it came without one
                call["id"] = started.id or f"call_{self._asker.new_id()}"
            written = {"functionCall": call | {"name": started.name or "", "args": value}, **own_fields(started.extra)}
            if part.signature is not None:
                written["thoughtSignature"] = part.signature
            if is_faithful:
                self._write_part(written, part.choice, out)
            else:
                part.choice.unreadable.append(written)

    def _write_unreadable(self, choice: _Choice, out: list[bytes]) -> None:
        calls, choice.unreadable = choice.unreadable, []
        for call in calls:
            self._lose("approximated", "functionCall.args", RAW_REASON)
            self._write_part(call, choice, out)

    def _seal(self, event: ev.ReasoningSealed, out: list[bytes]) -> None:
        part = self._parts.get(event.part)
        if part is None:
            return
        signature = for_client(event.sealed, self._asker)
        if signature is None:
            self._lose("dropped", "thoughtSignature", "there is nothing to seal this proof of reasoning with")
        elif part.started.kind == "call":
            part.signature = signature
        else:
            thought = {"thought": True} if part.started.kind == "reasoning" else {}
            self._write_part({"text": "", **thought, "thoughtSignature": signature}, part.choice, out)

    def _cite(self, event: ev.CitationSeen) -> None:
        citation, part = event.citation, self._parts.get(event.part)
        if is_own(citation):
            return  # stands in what was said with the ending
        choice = self._choice(event.choice)
        if citation.start is None and part is not None:  # all of its text, which is complete
            start, end = part.start, choice.offsets.characters
            citation = Citation(citation.kind, citation.url, citation.title, citation.cited_text, start, end)
        choice.citations.append(citation)

    def _use(self, usage: Usage) -> None:
        if self._usage is None:
            self._usage = Usage()
        self._usage.merge(usage)

    def _end(self, out: list[bytes]) -> None:
        self._is_over = True
        for number in list(self._parts):
            self._finish_part(self._parts.pop(number), out)
        if not self._choices:
            self._choice(0)
        body: dict[str, Any] = {"candidates": []}
        for choice in self._choices.values():
            self._write_last(choice, body, out)
        if not body["candidates"]:  # a blocked prompt
            del body["candidates"]
        if self._usage is not None:
            body["usageMetadata"] = written_usage(self._usage)
        if not body.get("usageMetadata"):
            body.pop("usageMetadata", None)
            self._lose("dropped", "usage", "the provider did not count")
        elif self._usage is not None and self._usage.estimated:
            self._lose("estimated", "usage", "the gateway's own guess")
        self._write_end(body | self._head | self._warnings(), out)

    def _write_end(self, body: dict[str, Any], out: list[bytes]) -> None:
        self._write(out, jsons.dump(body), b"]" if self._is_array else b"")

    def _write_last(self, choice: _Choice, body: dict[str, Any], out: list[bytes]) -> None:
        """The candidate that says why it ended."""
        finish = choice.finish or ev.Finished("stop", choice.index)
        if choice.unreadable and finish.reason not in _CUT:
            self._write_unreadable(choice, out)
        own = own_fields(finish.extra)
        if "promptFeedback" in own:
            body["promptFeedback"] = own["promptFeedback"]
            return
        word, reason = finish_word(finish, is_refused=choice.is_refused)
        if reason is not None:
            self._lose("approximated", "finishReason", reason)
        candidate: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": word}
        candidate["index"] = choice.index
        grounding, is_lost = written_grounding(choice.citations, choice.offsets)
        if grounding is not None:
            candidate["groundingMetadata"] = grounding
        if is_lost:
            self._lose("dropped", "citations", "Gemini cites web pages only")
        details = finish.details if isinstance(finish.details, dict) else {}
        if isinstance(details.get("explanation"), str) and details["explanation"]:
            candidate["finishMessage"] = details["explanation"]
        body["candidates"].append(candidate | own)

    def _warnings(self) -> dict[str, Any]:
        warnings = [loss.warning for loss in self.losses]
        return {"ds2api_warnings": warnings} if warnings else {}

    def _lose(self, code: LossCode, path: str, reason: str) -> None:
        loss = Loss(code, path, reason)
        if loss not in self.losses:
            self.losses.append(loss)
