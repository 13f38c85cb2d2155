"""Reads the stream of a chat server: SSE chunks → universal events.

One decoder reads every accent (`streams.md` §1, §7; `features.md` §3): reasoning in four spellings, tool calls whole,
in pieces, interleaved, without an index or an id, the old `function_call`, usage on every chunk or only in
`x_groq`, Azure's chunks without delta, Mistral's content lists, errors in the middle, an end with or without
``[DONE]``.

What it promises beyond `contract.Decoder`: parts of one kind of a choice are one after the other, calls may be open
beside each other until the choice ends; `Finished` waits for the end of the stream, since servers were recorded
that say "length" and go on (OpenRouter), and the word is judged by all that came (R007).

Hot path: most servers' events are one text in a fixed frame, learned from the first of them (`framed_reader`): 1.3 µs
an event (`bench/parts.py`). Where they are not (OpenAI pads each event to another length) `_event` with `_is_text`,
`_is_thought` and `_is_piece` looks each key up once, copies nothing and makes one object: three times what
parsing the JSON costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.answer_in import (
    CHOICE_FIELDS,
    CHUNK_FIELDS,
    MESSAGE_FIELDS,
    call_id_for,
    read_citation,
    read_logprobs,
    rest_of,
)
from ds2api.dialects.chat.errors import read_chunk_error
from ds2api.dialects.chat.finish import failure_of, read_finish
from ds2api.dialects.chat.media_in import AUDIO_TYPE, audio_fields, images_of
from ds2api.dialects.chat.reasoning import TEXT_FIELDS, detail_key, google_proof, sealed_in
from ds2api.dialects.framed_reader import FramedReader
from ds2api.dialects.openai_usage import read_usage
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.parts import Extra, Media
from ds2api.wire.sse import EventTooLarge, SseEvent, SseParser

__all__ = ["ChatDecoder"]

# What may still be said of the whole answer after its first chunk, and matters to a reader. Others that come late are
# measurements of the server (`x_groq`, timings, fingerprints that change) or come again with every chunk.
_LATE_FIELDS = frozenset({"citations", "search_results", "moderation", "service_tier"})

# Beside a delta these say again what the finish chunk says, or that nothing was filtered (R037).
_SILENT_FIELDS = CHOICE_FIELDS | {"content_filter_results", "content_filter_offsets", "content_filter_result"}


# What a delta, and a call in it, may hold for the short ways of the hot path.
_THOUGHT = frozenset({"role", "content", "reasoning_content", "reasoning"})
_PIECE = frozenset({"role", "content", "tool_calls"})
_CALL = frozenset({"index", "id", "type", "function"})


@dataclass(slots=True)
class _Call:
    part: int | None = None  # None until its name is known
    id: str = ""
    name: str = ""
    custom: bool = False
    waiting: list[str] = field(default_factory=list)
    proof: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Choice:
    index: int
    kind: ev.PartKind | None = None  # of the open part that is no call
    part: int = -1
    key: Any = None  # of the entry of `reasoning_details` that the open part is
    proof: dict[str, Any] = field(default_factory=dict)
    calls: dict[int, _Call] = field(default_factory=dict)
    latest: _Call | None = None
    has_calls: bool = False
    has_refusal: bool = False
    is_finished: bool = False
    word: str | None = None
    last: dict[str, Any] = field(default_factory=dict)  # what else was said with the word


def _is_text(delta: dict[str, Any], state: _Choice, out: list[ev.Event]) -> bool:
    """Whether `delta` is more of the open text and nothing else; then it is in `out`."""
    if state.kind == "text" and len(delta) == 1:
        text = delta.get("content")
        if type(text) is str:
            if text:
                out.append(ev.TextDelta(state.part, text, state.index))
            return True
    return False


def _is_thought(delta: dict[str, Any], state: _Choice, out: list[ev.Event]) -> bool:
    """Whether `delta` is more of the open reasoning, told in one string; then it is in `out`."""
    if state.kind == "reasoning" and state.key is None and not delta.get("content") and delta.keys() <= _THOUGHT:
        text = delta.get("reasoning_content") or delta.get("reasoning")
        if type(text) is str:
            out.append(ev.ReasoningDelta(state.part, text, state.index))
            return True
    return False


def _is_piece(delta: dict[str, Any], state: _Choice, out: list[ev.Event]) -> bool:
    """Whether `delta` is more arguments of an open call; then they are in `out`."""
    calls = delta.get("tool_calls")
    if type(calls) is list and len(calls) == 1 and not delta.get("content") and delta.keys() <= _PIECE:
        call = calls[0]
        if type(call) is dict and not call.get("id") and call.keys() <= _CALL:
            index = call.get("index")
            known = state.calls.get(index) if type(index) is int else None
            function = call.get("function")
            if known is not None and known.part is not None and type(function) is dict and not function.get("name"):
                text = function.get("arguments")
                if type(text) is str:
                    state.latest = known
                    if text:
                        out.append(ev.ArgumentsDelta(known.part, text, state.index))
                    return True
    return False


class ChatDecoder:
    """See `contract.Decoder`. One for each stream."""

    __slots__ = (
        "_at_end",
        "_choices",
        "_done",
        "_known",
        "_parser",
        "_parts",
        "_pending",
        "_said",
        "_started",
        "_usage",
        "framed",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = SseParser()
        self.framed = FramedReader(self._read)
        self._at_end = False  # the bytes are over: what cannot be read was cut, not broken
        self._choices: dict[int, _Choice] = {}
        self._parts = 0
        self._started: ev.Started | None = None
        self._said: dict[str, Any] = {}  # chunk-level fields of chat alone, as last said
        self._pending: dict[str, Any] = {}  # such fields from before the start
        self._known = CHUNK_FIELDS
        self._usage: Any = None
        self._done = False

    def feed(self, data: bytes) -> list[ev.Event]:
        """See `contract.Decoder`."""
        out: list[ev.Event] = []
        if self._done:
            return out
        self.framed.feed(data, out)
        return out

    def end(self) -> list[ev.Event]:
        """See `contract.Decoder`. Complete without ``[DONE]`` if every choice that began has its finish reason."""
        out: list[ev.Event] = []
        if self._done:
            return out
        self._at_end = True
        if self.framed.finish(out):
            return out
        for one in self._parser.end():
            if self._event(one, out):
                return out
        if self._choices and all(choice.word for choice in self._choices.values()):
            self._finish(out)
        else:
            self._done = True
            message = "The provider's stream stopped before the answer was complete."
            out.append(ev.Failed(Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, message)))
        return out

    def _read(self, data: bytes, out: list[ev.Event]) -> bool:
        """The general way: whatever a stream may hold. Whether it is over."""
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            out += self._broken(f"The provider sent an event that is too large: {error}.")
            return True
        return any(self._event(one, out) for one in events)

    def _broken(self, message: str) -> list[ev.Event]:
        self._done = True
        return [ev.Failed(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message))]

    def _event(self, event: SseEvent, out: list[ev.Event]) -> bool:
        """Read one event. Whether the stream is over with it."""
        data = event.data
        if event.comment:
            out.append(ev.Alive())
            return False
        if data[:6] == b"[DONE]":
            self._finish(out)
            return True
        try:
            chunk = jsons.parse_event(data)
        except jsons.JsonError as error:
            if self._at_end:
                return False
            out += self._broken(f"The provider sent an event that is no JSON: {error}.")
            return True
        if type(chunk) is not dict:
            out += self._broken("The provider sent an event that is no JSON object.")
            return True
        choices = chunk.get("choices")
        if type(choices) is list and len(choices) == 1:
            choice = choices[0]
            if type(choice) is dict:
                delta = choice.get("delta")
                index = choice.get("index", 0)
                state = self._choices.get(index) if type(index) is int else None
                if (
                    state is not None
                    and type(delta) is dict
                    and choice.get("finish_reason") is None
                    and not choice.get("logprobs")
                    and not chunk.get("usage")
                    and chunk.keys() <= self._known
                    and "error" not in chunk
                    and (_is_text(delta, state, out) or _is_thought(delta, state, out) or _is_piece(delta, state, out))
                ):
                    return False
        self._chunk(chunk, event.name, out)
        return self._done

    def _chunk(self, chunk: dict[str, Any], name: bytes, out: list[ev.Event]) -> None:
        if chunk.get("error") or name == b"error" or chunk.get("object") == "error":
            self._done = True
            out.append(ev.Failed(read_chunk_error(chunk)))
            return
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else []
        rest = rest_of(chunk, CHUNK_FIELDS)
        groq = rest.get("x_groq")
        usage = chunk.get("usage")
        if not usage and isinstance(groq, dict):
            usage = groq.get("usage")
        if self._started is None:
            self._pending |= rest
            if not choices and not usage:
                return  # Azure's first chunk has neither id nor model: the start waits for the next
            self._start(chunk, out)
        elif rest.keys() & _LATE_FIELDS:
            changed = {name: rest[name] for name in _LATE_FIELDS & rest.keys() if self._said.get(name) != rest[name]}
            if changed:
                self._said |= changed
                out.append(ev.OpaqueSeen("chat", "chunk", {"fields": changed}))
        for place, choice in enumerate(choices):
            if isinstance(choice, dict):
                self._choice(choice, place, out)
                if self._done:
                    return
                usage = usage or choice.get("usage")  # Moonshot's place for it
        if isinstance(usage, dict) and usage != self._usage:
            self._usage = usage
            out.append(ev.UsageSeen(read_usage(usage, "chat")))

    def _start(self, chunk: dict[str, Any], out: list[ev.Event]) -> None:
        identity, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
        self._started = ev.Started(
            identity if isinstance(identity, str) and identity else None,
            model if isinstance(model, str) and model else None,
            created if isinstance(created, int) and created else None,
            extra=Extra("chat", dict(self._pending)),
        )
        self._said = self._pending
        self._known = CHUNK_FIELDS | chunk.keys()
        out.append(self._started)

    def _choice(self, choice: dict[str, Any], place: int, out: list[ev.Event]) -> None:
        index = choice.get("index", place)
        if not isinstance(index, int):
            index = place
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Choice(index)
        logprobs = read_logprobs(choice.get("logprobs"))
        if logprobs is not None:
            out.append(ev.Logprobs(logprobs, index))
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")  # the whole message in one chunk: some servers fake their streams
        if isinstance(delta, dict):
            self._delta(delta, state, out)
        word = choice.get("finish_reason")
        if isinstance(word, str):
            failure = failure_of(word)
            if failure is not None:
                self._done = True
                out.append(ev.Failed(read_chunk_error(choice) if choice.get("error") else failure))
                return
            state.is_finished = True
            state.word = word or state.word
            state.last |= rest_of(choice, CHOICE_FIELDS)
            self._close_all(state, out)
        elif rest := rest_of(choice, _SILENT_FIELDS):
            out.append(ev.OpaqueSeen("chat", "choice", {"index": index, "fields": rest}, choice=index))

    def _delta(self, delta: dict[str, Any], state: _Choice, out: list[ev.Event]) -> None:
        details = delta.get("reasoning_details")
        has_text = bool(details) and isinstance(details, list) and self._details(details, state, out)
        if not has_text:
            for name in TEXT_FIELDS:
                text = delta.get(name)
                if isinstance(text, str) and text:
                    if state.kind != "reasoning":
                        self._open("reasoning", state, out, extra=Extra("chat", {name: ""}))
                    out.append(ev.ReasoningDelta(state.part, text, state.index))
                    break  # two spellings in one chunk say the same (R025)
        content = delta.get("content")
        if isinstance(content, str):
            if content:
                self._text(content, state, out)
        elif isinstance(content, list):
            self._content_list(content, state, out)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            if state.kind != "refusal":
                self._open("refusal", state, out)
                state.has_refusal = True
            out.append(ev.TextDelta(state.part, refusal, state.index))
        if len(delta) > 1 or (content is None and refusal is None):
            self._rare(delta, state, out)

    def _rare(self, delta: dict[str, Any], state: _Choice, out: list[ev.Event]) -> None:
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call, state, out)
        function = delta.get("function_call")
        if isinstance(function, dict):
            self._call({"index": 0, "type": "function", "function": function}, state, out)
        rest = rest_of(delta, MESSAGE_FIELDS)
        annotations = delta.get("annotations")
        for annotation in annotations if isinstance(annotations, list) else ():
            citation = read_citation(annotation)
            if citation is None:
                rest.setdefault("annotations", []).append(annotation)
                continue
            if state.kind != "text":
                self._open("text", state, out)
            out.append(ev.CitationSeen(state.part, citation, state.index))
        audio = audio_fields(delta.get("audio"))
        if audio is not None:
            if state.kind != "media":
                self._open("media", state, out)
            out.append(ev.MediaSeen(state.part, AUDIO_TYPE, audio[0], state.index, Extra("chat", audio[1])))
        for image in images_of(delta.get("images")):
            if isinstance(image, Media):
                self._open("media", state, out)
                source = image.source
                extra = Extra("chat", {"url": source.url}) if source.url is not None else None
                out.append(ev.MediaSeen(state.part, source.media_type, source.data or "", state.index, extra))
                self._close(state, out)
        if rest:
            out.append(ev.OpaqueSeen("chat", "delta", {"index": state.index, "fields": rest}, choice=state.index))

    def _text(self, text: str, state: _Choice, out: list[ev.Event]) -> None:
        if state.kind != "text":
            self._open("text", state, out)
        out.append(ev.TextDelta(state.part, text, state.index))

    def _content_list(self, content: list[Any], state: _Choice, out: list[ev.Event]) -> None:
        """Mistral's: texts, thinking, references."""
        for chunk in content:
            if not isinstance(chunk, dict):
                continue
            if chunk.get("type") == "thinking":
                thought = chunk.get("thinking")
                pieces = thought if isinstance(thought, list) else [{"text": thought}]
                for piece in pieces:
                    text = piece.get("text") if isinstance(piece, dict) else None
                    if isinstance(text, str) and text:
                        if state.kind != "reasoning":
                            self._open("reasoning", state, out)
                        out.append(ev.ReasoningDelta(state.part, text, state.index))
                if isinstance(chunk.get("signature"), str) and state.kind == "reasoning":
                    state.proof |= {"type": "thinking", "signature": chunk["signature"]}
            elif isinstance(chunk.get("text"), str):
                if chunk["text"]:
                    self._text(chunk["text"], state, out)
            else:
                out.append(ev.OpaqueSeen("chat", str(chunk.get("type")), chunk, choice=state.index))

    def _details(self, details: list[Any], state: _Choice, out: list[ev.Event]) -> bool:
        """Entries of `reasoning_details`. Whether any of them held text, which `reasoning` then only repeats."""
        has_text = False
        for entry in details:
            if not isinstance(entry, dict):
                continue
            key = detail_key(entry)
            text = entry.get("text", entry.get("summary"))
            if state.kind != "reasoning" or key is None or state.key != key:
                if not text and not entry.get("signature") and not entry.get("data"):
                    continue  # opens with an empty entry: nothing has been said yet
                summary = entry.get("type") == "reasoning.summary"
                identity = entry.get("id")
                identity = identity if isinstance(identity, str) else None
                extra = Extra("chat", {"reasoning": "", "reasoning_details": []})
                self._open("reasoning", state, out, identity=identity, summary=summary, extra=extra)
                state.key = key
            if isinstance(text, str) and text:
                has_text = True
                out.append(ev.ReasoningDelta(state.part, text, state.index))
            for name, value in entry.items():
                if value not in (None, "") and name not in ("text", "summary"):
                    state.proof[name] = value
        return has_text

    def _call(self, call: dict[str, Any], state: _Choice, out: list[ev.Event]) -> None:
        is_custom = call.get("type") == "custom"
        inner = call.get("custom" if is_custom else "function")
        if not isinstance(inner, dict) and isinstance(call.get("custom"), dict):
            inner, is_custom = call["custom"], True
        inner = inner if isinstance(inner, dict) else {}
        identity, name = call.get("id"), inner.get("name")
        identity = identity if isinstance(identity, str) else ""
        name = name if isinstance(name, str) else ""
        known = self._call_of(call.get("index"), identity, name, state)
        known.id = known.id or identity
        known.custom = known.custom or is_custom or (known.part is None and "input" in inner)
        content = call.get("extra_content")
        if isinstance(content, dict) and content:
            known.proof = content
        arguments = inner.get("input" if "input" in inner else "arguments")
        if isinstance(arguments, dict):
            arguments = jsons.dump(arguments).decode()
        if known.part is None:
            known.name += name
            if isinstance(arguments, str) and arguments:
                known.waiting.append(arguments)
            if known.name:
                self._open_call(known, state, out)
        elif isinstance(arguments, str) and arguments:
            out.append(ev.ArgumentsDelta(known.part, arguments, state.index))

    def _call_of(self, index: Any, identity: str, name: str, state: _Choice) -> _Call:
        """Which call a piece belongs to. An index is believed, unless another id and a name say that a new call
        begins (servers that number every call 0); without an index an unknown id or a name begins one."""
        calls = state.calls
        if isinstance(index, int):
            known = calls.get(index)
            if known is not None and not (identity and name and known.id and identity != known.id):
                state.latest = known
                return known
            slot = index if known is None else max(calls) + 1
        else:
            for known in calls.values():
                if identity and known.id == identity:
                    state.latest = known
                    return known
            if state.latest is not None and not identity and not name:
                return state.latest
            slot = max(calls, default=-1) + 1
        if slot != index and isinstance(index, int):
            calls[slot] = calls.pop(index)  # the old one is complete; pieces of this index belong to the new
            slot = index
        known = calls[slot] = _Call()
        state.latest = known
        return known

    def _open_call(self, call: _Call, state: _Choice, out: list[ev.Event]) -> None:
        self._close(state, out)
        response_id = self._started.id if self._started is not None else None
        identity = call.id or call_id_for(response_id, self._parts)
        state.has_calls = True
        call.part = self._parts
        self._parts += 1
        out.append(ev.PartStarted(call.part, "call", state.index, identity, call.name, call.custom))
        out.extend(ev.ArgumentsDelta(call.part, text, state.index) for text in call.waiting)
        call.waiting.clear()

    def _open(
        self,
        kind: ev.PartKind,
        state: _Choice,
        out: list[ev.Event],
        *,
        identity: str | None = None,
        summary: bool = False,
        extra: Extra | None = None,
    ) -> None:
        self._close(state, out)
        state.kind, state.part = kind, self._parts
        self._parts += 1
        out.append(ev.PartStarted(state.part, kind, state.index, identity, summary=summary, extra=extra))

    def _close(self, state: _Choice, out: list[ev.Event]) -> None:
        """Close the open part that is no call."""
        if state.kind is None:
            return
        proof = state.proof.get("signature") or state.proof.get("data")
        if state.kind == "reasoning" and isinstance(proof, str):
            out.append(ev.ReasoningSealed(state.part, sealed_in(proof, state.proof), state.index))
        out.append(ev.PartFinished(state.part, state.index))
        state.kind, state.key, state.proof = None, None, {}

    def _close_all(self, state: _Choice, out: list[ev.Event]) -> None:
        self._close(state, out)
        for call in state.calls.values():
            if call.part is None and call.waiting:
                self._open_call(call, state, out)  # arguments without a name: the client sees what there is
            if call.part is None:
                continue
            proof = google_proof(call.proof)
            if proof:
                out.append(ev.ReasoningSealed(call.part, sealed_in(proof, call.proof), state.index))
            out.append(ev.PartFinished(call.part, state.index))
        state.calls.clear()
        state.latest = None

    def _finish(self, out: list[ev.Event]) -> None:
        """The provider says that it is done."""
        self._done = True
        if not self._choices:
            message = "The provider ended its stream without an answer."
            out.append(ev.Failed(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message)))
            return
        for state in self._choices.values():
            self._close_all(state, out)
            finished = read_finish(
                state.word, state.last, index=state.index, has_calls=state.has_calls, has_refusal=state.has_refusal
            )
            finished.extra = Extra("chat", state.last) if state.last else None
            out.append(finished)
        out.append(ev.Ended())
