"""Reads Gemini's stream: SSE events, each a whole GenerateContentResponse, → universal events.

Text parts are increments: those of one kind that follow each other are one part, until a signature closes it, since a
signature belongs to its part. Calls come whole (Vertex may stream their arguments: `partial_args`). There is no
terminal marker: a stream is complete when every candidate has its `finishReason` and the bytes end. So the ending,
the usage (cumulative, the last one counts) and the citations are said then.

A whole answer is a stream of one event in which every part stands for itself: both read the same.

Hot path: a learned frame that leaves the counts out (`framed_reader`); the last counts are read when something else
comes. `_is_delta` takes what is only more of the open part with a few lookups. Memory: nothing that grows with the
stream but `offsets` of text in mixed scripts.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.framed_reader import FramedReader
from ds2api.dialects.gemini.errors import broken, read_stream_error, truncated
from ds2api.dialects.gemini.fields import NAME
from ds2api.dialects.gemini.finish import blocked, failure_of, read_finish
from ds2api.dialects.gemini.grounding import read_citations
from ds2api.dialects.gemini.ids import call_id
from ds2api.dialects.gemini.logprobs import read_logprobs
from ds2api.dialects.gemini.offsets import Offsets
from ds2api.dialects.gemini.partial_args import PartialArguments
from ds2api.dialects.gemini.parts_in import ATTRIBUTES, standard_base64
from ds2api.dialects.gemini.proofs import read_signature
from ds2api.dialects.gemini.usage import read_usage
from ds2api.universal import events as ev
from ds2api.universal.errors import Error
from ds2api.universal.parts import Extra
from ds2api.wire.sse import EventTooLarge, SseEvent, SseParser

__all__ = ["GeminiDecoder"]

_BODY = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_CANDIDATE = frozenset({"index", "content", "finishReason", "logprobsResult"})
_DELTA = frozenset({"index", "content"})


class _Candidate:
    __slots__ = ("has_calls", "index", "is_sealed", "kind", "offsets", "part", "partial", "rest", "word")

    def __init__(self, index: int) -> None:
        self.index = index
        self.kind: ev.PartKind | None = None  # of the open part
        self.part = -1
        self.is_sealed = False  # the open part has its signature
        self.partial: PartialArguments | None = None  # of an open call whose arguments stream
        self.has_calls = False
        self.word: str | None = None
        self.rest: dict[str, Any] = {}
        self.offsets = Offsets()


class GeminiDecoder:
    """See `contract.Decoder`. One for each stream."""

    __slots__ = (
        "_at_end",
        "_candidates",
        "_feedback",
        "_is_over",
        "_is_started",
        "_is_whole",
        "_known",
        "_latest",
        "_parser",
        "_parts",
        "_response_id",
        "_usage",
        "framed",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = SseParser()
        self.framed = FramedReader(self._read, hear=lambda delta: self._measure([delta]))
        self._candidates: dict[int, _Candidate] = {}
        self._parts = 0
        self._is_started = False
        self._is_whole = False
        self._is_over = False
        self._at_end = False  # the bytes are over: what cannot be read was cut, not broken
        self._known = _BODY
        self._response_id: str | None = None
        self._usage: dict[str, Any] = {}  # what each count was last said to be
        self._latest: dict[str, Any] = {}  # of deltas: not yet in `_usage`
        self._feedback: dict[str, Any] | None = None  # the prompt was blocked

    def feed(self, data: bytes) -> list[ev.Event]:
        """See `contract.Decoder`."""
        out: list[ev.Event] = []
        if not self._is_over:
            self.framed.feed(data, out)
            self._measure(out)
        return out

    def end(self) -> list[ev.Event]:
        """See `contract.Decoder`."""
        out: list[ev.Event] = []
        if self._is_over:
            return out
        self._at_end = True
        self._count()
        if not self.framed.finish(out):
            for event in self._parser.end():
                if self._event(event, out):
                    break
        if not self._is_over:
            self._measure(out)
            self._finish(out)
        return out

    def whole(self, body: dict[str, Any]) -> list[ev.Event]:
        """The events of an answer that came in one piece."""
        out: list[ev.Event] = []
        self._is_whole = True
        self._chunk(body, out)
        if not self._is_over:
            self._measure(out)
            self._finish(out)
        return out

    def _read(self, data: bytes, out: list[ev.Event]) -> bool:
        """The general way: whatever a stream may hold. Whether it is over."""
        self._count()
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            self._fail(broken(str(error)), out)
            return True
        return any(self._event(event, out) for event in events)

    def _event(self, event: SseEvent, out: list[ev.Event]) -> bool:
        """Read one event. Whether the stream is over with it."""
        if event.comment or event.data.startswith(b"[DONE]"):  # a proxy's habit; the end is told by the bytes
            out.append(ev.Alive())
            return False
        try:
            chunk = jsons.parse_event(event.data)
        except jsons.JsonError as error:
            if not self._at_end:
                self._fail(broken(f"an event is {error}"), out)
            return self._is_over
        if isinstance(chunk, list) and chunk:
            chunk = chunk[0]  # errors come in a list of one
        if not isinstance(chunk, dict):
            self._fail(broken("an event is no JSON object"), out)
        elif not self._is_delta(chunk, out):
            self._chunk(chunk, out)
        return self._is_over

    def _is_delta(self, chunk: dict[str, Any], out: list[ev.Event]) -> bool:
        """Whether `chunk` is more of the open text or thought and nothing else; then it is in `out`."""
        candidates = chunk.get("candidates")
        if type(candidates) is not list or len(candidates) != 1 or not chunk.keys() <= self._known:
            return False
        candidate = candidates[0]
        if type(candidate) is not dict or not candidate.keys() <= _DELTA:
            return False
        index = candidate.get("index", 0)
        state = self._candidates.get(index) if type(index) is int else None
        content = candidate.get("content")
        parts = content.get("parts") if type(content) is dict else None
        if state is None or state.is_sealed or type(parts) is not list or len(parts) != 1 or type(parts[0]) is not dict:
            return False
        part = parts[0]
        text = part.get("text")
        if type(text) is not str or not text:
            return False
        if len(part) == 1 and state.kind == "text":
            out.append(ev.TextDelta(state.part, text, state.index))
        elif len(part) == 2 and part.get("thought") is True and state.kind == "reasoning":
            out.append(ev.ReasoningDelta(state.part, text, state.index))
        else:
            return False
        usage = chunk.get("usageMetadata")
        if type(usage) is dict:
            self._latest = usage
        return True

    def _chunk(self, chunk: dict[str, Any], out: list[ev.Event]) -> None:
        if not chunk and not self._is_whole:
            out.append(ev.Alive())
            return
        if "error" in chunk:
            self._fail(read_stream_error(chunk), out)
            return
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict) and usage:
            self._usage |= {**self._latest, **usage}
            self._latest = {}
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self._feedback = feedback
        if not self._is_started:
            self._start(chunk, out)
        candidates = chunk.get("candidates")
        for place, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(candidate, dict) and not self._is_over:
                self._candidate(candidate, place, out)

    def _start(self, chunk: dict[str, Any], out: list[ev.Event]) -> None:
        self._is_started = True
        identity, model = chunk.get("responseId"), chunk.get("modelVersion")
        self._response_id = identity if isinstance(identity, str) and identity else None
        model = model if isinstance(model, str) and model else None
        left_out = _BODY | {"promptFeedback"} if self._feedback is not None else _BODY
        extra = {name: value for name, value in chunk.items() if name not in left_out}
        self._known = _BODY | chunk.keys()
        usage = None if self._is_whole else read_usage(dict(self._usage))
        out.append(ev.Started(self._response_id, model, usage=usage, extra=Extra(NAME, extra)))

    def _candidate(self, candidate: dict[str, Any], place: int, out: list[ev.Event]) -> None:
        index = candidate.get("index", place)
        index = index if isinstance(index, int) and index >= 0 else place
        state = self._candidates.get(index)
        if state is None:
            state = self._candidates[index] = _Candidate(index)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                self._part(part, state, out)
        logprobs = read_logprobs(candidate.get("logprobsResult"))
        if logprobs is not None:
            out.append(ev.Logprobs(logprobs, index))
        word = candidate.get("finishReason")
        failure = failure_of(word, candidate.get("finishMessage"))
        if failure is not None:
            self._fail(failure, out)
            return
        if isinstance(word, str) and word:
            state.word = word
        for name, value in candidate.items():
            if name not in _CANDIDATE and (value not in ({}, []) or name not in state.rest):
                state.rest[name] = value

    def _part(self, part: dict[str, Any], state: _Candidate, out: list[ev.Event]) -> None:
        text, function, media = part.get("text"), part.get("functionCall"), part.get("inlineData")
        others = [name for name in part if name not in ATTRIBUTES]
        if isinstance(text, str) or not others:
            self._text(text if isinstance(text, str) else "", part, state, out)
        elif isinstance(function, dict):
            self._call(function, part, state, out)
        elif isinstance(media, dict) and isinstance(media.get("data"), str):
            self._open("media", state, out)
            kind, data = media.get("mimeType"), standard_base64(media["data"])
            rest = {name: value for name, value in part.items() if name != "inlineData"}
            extra = Extra(NAME, rest) if rest else None
            out.append(ev.MediaSeen(state.part, kind if isinstance(kind, str) else None, data, state.index, extra))
            self._close(state, out)
        else:
            self._open("opaque", state, out)
            out.append(ev.OpaqueSeen(NAME, others[0], part, state.part, state.index))
            self._close(state, out)

    def _text(self, text: str, part: dict[str, Any], state: _Candidate, out: list[ev.Event]) -> None:
        signature = read_signature(part.get("thoughtSignature"))
        if not text and signature is None:
            return
        kind: ev.PartKind = "reasoning" if part.get("thought") is True else "text"
        rest = {name: value for name, value in part.items() if name not in ("text", "thought", "thoughtSignature")}
        if state.kind != kind or state.is_sealed or rest or self._is_whole:
            self._open(kind, state, out, extra=Extra(NAME, rest) if rest else None)
        if text:
            delta = ev.ReasoningDelta if kind == "reasoning" else ev.TextDelta
            out.append(delta(state.part, text, state.index))
        if signature is not None:
            out.append(ev.ReasoningSealed(state.part, signature, state.index))
            state.is_sealed = True

    def _call(self, call: dict[str, Any], part: dict[str, Any], state: _Candidate, out: list[ev.Event]) -> None:
        goes_on = bool(call.get("willContinue"))
        if state.partial is None or call.get("name"):
            name, identity = call.get("name"), call.get("id")
            given = identity if isinstance(identity, str) and identity else None
            rest = {one: value for one, value in part.items() if one not in ("functionCall", "thoughtSignature")}
            self._open(
                "call",
                state,
                out,
                identity=given or call_id(self._response_id, self._parts),
                name=name if isinstance(name, str) else "",
                extra=Extra(NAME, rest) if rest else None,
            )
            state.has_calls = True
            signature = read_signature(part.get("thoughtSignature"))
            if signature is not None:
                out.append(ev.ReasoningSealed(state.part, signature, state.index))
            if not goes_on and "partialArgs" not in call:
                arguments = jsons.dump(call.get("args") or {}).decode()
                out.append(ev.ArgumentsDelta(state.part, arguments, state.index))
                self._close(state, out)
                return
            state.partial = PartialArguments()
        state.partial.add(call.get("partialArgs"))
        if not goes_on:
            self._close(state, out)

    def _open(
        self,
        kind: ev.PartKind,
        state: _Candidate,
        out: list[ev.Event],
        *,
        identity: str | None = None,
        name: str | None = None,
        extra: Extra | None = None,
    ) -> None:
        self._close(state, out)
        state.kind, state.part = kind, self._parts
        self._parts += 1
        summary = kind == "reasoning"  # Gemini shows summaries of its thoughts
        out.append(ev.PartStarted(state.part, kind, state.index, identity, name, summary=summary, extra=extra))

    def _close(self, state: _Candidate, out: list[ev.Event]) -> None:
        if state.kind is None:
            return
        if state.partial is not None:
            out.append(ev.ArgumentsDelta(state.part, jsons.dump(state.partial.value).decode(), state.index))
        out.append(ev.PartFinished(state.part, state.index))
        state.kind, state.is_sealed, state.partial = None, False, None

    def _count(self) -> None:
        """Take the counts of the last event that the frame took."""
        event, self.framed.latest = self.framed.latest, b""
        if event:
            usage = jsons.parse_event(event.partition(b"data:")[2]).get("usageMetadata")
            self._latest = usage if isinstance(usage, dict) else {}

    def _measure(self, out: list[ev.Event]) -> None:
        """Count the text of one read, that of the frame too, or text that was passed unread."""
        for choice, state in self._candidates.items():
            text = "".join([one.text for one in out if type(one) is ev.TextDelta and one.choice == choice])
            if text:
                state.offsets.add(text)

    def _finish(self, out: list[ev.Event]) -> None:
        states = list(self._candidates.values())
        if self._is_whole and not states and self._feedback is None:
            self._fail(broken("its answer holds no candidates"), out)
            return
        if not self._is_whole and (any(state.word is None for state in states) or not (states or self._feedback)):
            self._fail(truncated(), out)
            return
        for state in states:
            citations = read_citations(state.rest, state.offsets)
            if citations and state.kind != "text":
                self._open("text", state, out)
            out += [ev.CitationSeen(state.part, citation, state.index) for citation in citations]
            self._close(state, out)
            out.append(read_finish(state.word or "", state.index, has_calls=state.has_calls, rest=state.rest))
        if self._feedback is not None and not states:
            out.append(blocked(self._feedback))
        usage = read_usage(self._usage | self._latest)
        if usage is not None:
            out.append(ev.UsageSeen(usage))
        self._is_over = True
        out.append(ev.Ended())

    def _fail(self, error: Error, out: list[ev.Event]) -> None:
        self._is_over = True
        out.append(ev.Failed(error))
