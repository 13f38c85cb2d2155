"""Reads the stream of a responses server: named events → universal events (`streams.md` §2).

What it promises beyond `contract.Decoder`: every text, argument and proof counts once, wherever it is said: in deltas,
in the `done` of a part, in the item's, or only in the final response (R005, R019); whichever comes first wins. A
proof is taken where its item is complete, since the one in `output_item.added` may not be. A whole answer is read as a
stream that says every item at once (`whole`), so the two cannot differ. Servers of other makers leave out indexes,
`done` events, names of events and ids: nothing of that is relied upon.

A reasoning item is one universal part: its summary, whose parts are set apart by a blank line, or the thought itself
where there is no summary.

Hot path: where events are alike but for their text (llama.cpp) the frame is learned (`framed_reader`); OpenAI numbers
and pads each, and `_event` then looks a delta's place up in one table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ds2api import jsons
from ds2api.dialects.framed_reader import FramedReader
from ds2api.dialects.responses.content_in import read_citation
from ds2api.dialects.responses.errors import broken, read_stream_error, truncated
from ds2api.dialects.responses.finish import FAILURES, read_finish
from ds2api.dialects.responses.origin import NAME, came_from
from ds2api.dialects.responses.proofs import bound
from ds2api.dialects.responses.usage import read_usage
from ds2api.universal import events as ev
from ds2api.universal.errors import Error
from ds2api.wire.sse import EventTooLarge, SseEvent, SseParser

__all__ = ["ResponsesDecoder"]

_Delta = type[ev.TextDelta | ev.ReasoningDelta | ev.ArgumentsDelta]

# Events that bring more of something: what they make, the index within the item, the kind of part that they belong to.
_DELTAS: dict[str, tuple[_Delta, str, ev.PartKind]] = {
    "response.output_text.delta": (ev.TextDelta, "content_index", "text"),
    "response.refusal.delta": (ev.TextDelta, "content_index", "refusal"),
    "response.reasoning_summary_text.delta": (ev.ReasoningDelta, "summary_index", "reasoning"),
    "response.reasoning_text.delta": (ev.ReasoningDelta, "content_index", "reasoning"),
    "response.function_call_arguments.delta": (ev.ArgumentsDelta, "", "call"),
    "response.custom_tool_call_input.delta": (ev.ArgumentsDelta, "", "call"),
}
# Events that say again, whole, what deltas brought: where they say it.
_DONE = {
    "response.output_text.done": "text",
    "response.refusal.done": "refusal",
    "response.reasoning_summary_text.done": "text",
    "response.reasoning_text.done": "text",
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}
_PARTS: dict[str, ev.PartKind] = {"output_text": "text", "text": "text", "refusal": "refusal"}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_TERMINAL = {
    "response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed",
    "response.cancelled": "cancelled", "response.done": "completed",
}  # fmt: skip
_LIFECYCLE = frozenset({"response.created", "response.in_progress", "response.queued"})


@dataclass(slots=True)
class _Part:
    number: int
    kind: ev.PartKind
    has_text: bool = False
    has_logprobs: bool = False
    has_citations: bool = False
    is_closed: bool = False


@dataclass(slots=True)
class _Item:
    kind: str
    wire: dict[str, Any]
    is_whole: bool
    parts: dict[int, _Part] = field(default_factory=dict)  # by content index; 0 for what has one part
    is_summary: bool | None = None  # of reasoning: which of its two texts is taken
    index: int = 0  # of reasoning: the summary or content part of the last delta
    is_done: bool = False


class ResponsesDecoder:
    """See `contract.Decoder`. One for each stream."""

    __slots__ = (
        "_at_end",
        "_done",
        "_has_calls",
        "_has_refusal",
        "_items",
        "_latest",
        "_parser",
        "_places",
        "_started",
        "_total",
        "framed",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = SseParser()
        self.framed = FramedReader(self._read)
        self._at_end = False  # the bytes are over: what cannot be read was cut, not broken
        self._done = False
        self._started = False
        self._items: dict[int, _Item] = {}
        self._latest = -1  # the index of the item that was opened last
        self._places: dict[tuple[str, int, int], _Part] = {}  # (event type, item, part) → where its deltas go
        self._total = 0  # parts so far
        self._has_calls = False
        self._has_refusal = False

    def feed(self, data: bytes) -> list[ev.Event]:
        """See `contract.Decoder`."""
        out: list[ev.Event] = []
        if not self._done:
            self.framed.feed(data, out)
        return out

    def end(self) -> list[ev.Event]:
        """See `contract.Decoder`. Only a terminal event is an end here."""
        out: list[ev.Event] = []
        if self._done:
            return out
        self._at_end = True
        if not self.framed.finish(out):
            for event in self._parser.end():
                if self._event(event, out):
                    return out
            self._fail(truncated(), out)
        return out

    def whole(self, response: dict[str, Any]) -> list[ev.Event]:
        """The events of an answer that came in one piece."""
        out: list[ev.Event] = []
        self._start(response, out, is_whole=True)
        self._finish(response, "completed", out)
        return out

    def _read(self, data: bytes, out: list[ev.Event]) -> bool:
        """The general way: whatever a stream may hold. Whether it is over."""
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            self._fail(broken(str(error)), out)
            return True
        return any(self._event(one, out) for one in events)

    def _event(self, event: SseEvent, out: list[ev.Event]) -> bool:
        """Read one event. Whether the stream is over with it."""
        if event.comment:
            out.append(ev.Alive())
            return False
        if event.data[:6] == b"[DONE]":
            return False
        try:
            data = jsons.parse_event(event.data)
        except jsons.JsonError as error:
            if not self._at_end:
                self._fail(broken(f"an event is {error}"), out)
            return self._done
        if type(data) is not dict:
            self._fail(broken("an event is no JSON object"), out)
            return True
        kind = data.get("type")
        known = _DELTAS.get(kind) if type(kind) is str else None
        if known is not None and type(kind) is str:
            place, text = data.get("output_index"), data.get("delta")
            inner = data.get(known[1], 0)
            part = self._places.get((kind, place, inner)) if type(place) is int and type(inner) is int else None
            if part is not None and type(text) is str and not data.get("logprobs"):
                if text:
                    part.has_text = True
                    out.append(known[0](part.number, text))
                return False
            self._delta(kind, data, out)
        else:
            self._other(kind, data, event.name, out)
        return self._done

    def _other(self, kind: Any, data: dict[str, Any], name: bytes, out: list[ev.Event]) -> None:
        if kind == "error" or name == b"error" or (not isinstance(kind, str) and data.get("error")):
            self._fail(read_stream_error(data), out)
        elif not isinstance(kind, str):
            return  # whatever it is, no event of this protocol
        elif kind in _LIFECYCLE:
            self._start(data.get("response"), out)
        elif kind in _TERMINAL:
            response = data.get("response")
            response = response if isinstance(response, dict) else {}
            self._start(response, out)
            self._finish(response, _TERMINAL[kind], out)
        elif kind == "response.output_item.added":
            self._add(data, out)
        elif kind == "response.output_item.done":
            self._item_done(self._index(data), data.get("item"), out)
        elif kind == "response.content_part.added":
            part = data.get("part")
            item = self._items.get(self._index(data))
            word = _PARTS.get(str(part.get("type"))) if isinstance(part, dict) else None
            if item is not None and item.kind == "message" and word is not None:
                self._part(item, _inner(data, "content_index"), word, out)
        elif kind == "response.content_part.done":
            item = self._items.get(self._index(data))
            if item is not None and item.kind == "message" and not item.is_done:
                index = _inner(data, "content_index")
                self._content(item, index, data.get("part"), out)
                self._close(item.parts.get(index), out)
        elif kind == "response.output_text.annotation.added":
            self._annotation(data, out)
        elif kind in _DONE:
            text = data.get(_DONE[kind])
            if isinstance(text, str) and text and not self._is_said(kind, data):
                self._delta(f"{kind[:-4]}delta", {**data, "delta": text, "logprobs": None}, out)

    def _start(self, response: Any, out: list[ev.Event], *, is_whole: bool = False) -> None:
        if self._started:
            return
        self._started = True
        response = response if isinstance(response, dict) else {}
        identity, model, created = response.get("id"), response.get("model"), response.get("created_at")
        out.append(
            ev.Started(
                identity if isinstance(identity, str) and identity else None,
                model if isinstance(model, str) and model else None,
                int(created) if isinstance(created, int | float) and created else None,
                extra=came_from(response, is_whole=is_whole),
            )
        )

    def _index(self, data: dict[str, Any]) -> int:
        """The item that an event is about; the latest where the server does not say."""
        index = data.get("output_index")
        return index if isinstance(index, int) else self._latest

    def _add(self, data: dict[str, Any], out: list[ev.Event]) -> None:
        wire = data.get("item")
        if not isinstance(wire, dict) or not isinstance(wire.get("type"), str):
            return
        index = data.get("output_index")
        index = index if isinstance(index, int) else self._latest + 1
        if index not in self._items:
            self._open(index, wire, out, is_whole=False)

    def _open(self, index: int, wire: dict[str, Any], out: list[ev.Event], *, is_whole: bool) -> _Item:
        self._start(None, out)
        self._latest = index
        item = self._items[index] = _Item(wire["type"], wire, is_whole)
        if item.kind in _CALLS and wire.get("name"):
            self._part(item, 0, "call", out)
        return item

    def _part(self, item: _Item, index: int, kind: ev.PartKind, out: list[ev.Event]) -> _Part:
        """The part of `item` at `index`, begun."""
        part = item.parts.get(index)
        if part is not None:
            return part
        part = item.parts[index] = _Part(self._total, kind)
        self._total += 1
        start = ev.PartStarted(part.number, kind, extra=came_from(item.wire, is_whole=item.is_whole))
        if kind == "call":
            self._has_calls = True
            identity = item.wire.get("call_id") or item.wire.get("id")
            start.id = str(identity) if identity else None
            start.name, start.custom = str(item.wire.get("name") or ""), item.kind == "custom_tool_call"
        elif kind == "reasoning":
            identity = item.wire.get("id")
            start.id = identity if isinstance(identity, str) else None
            start.summary = bool(item.is_summary)
        elif kind == "refusal":
            self._has_refusal = True
        out.append(start)
        return part

    def _delta(self, kind: str, data: dict[str, Any], out: list[ev.Event]) -> None:
        """The first delta of a part, or one with more than its text."""
        make, inner, word = _DELTAS[kind]
        text = data.get("delta")
        if not isinstance(text, str) or not text:
            return
        item = self._items.get(self._index(data))
        if item is None:
            wire = {"type": "message" if word in ("text", "refusal") else word, "id": data.get("item_id")}
            if word == "call":
                return  # nobody knows what it calls
            item = self._open(max(self._index(data), 0), wire, out, is_whole=False)
        index = _inner(data, inner)
        known = item.parts.get(index if item.kind == "message" else 0)
        if item.is_done or (known is not None and known.is_closed):
            return
        if word == "reasoning":
            is_summary = inner == "summary_index"
            if item.is_summary is None:
                item.is_summary, item.index = is_summary, index
            if item.is_summary is not is_summary:
                return
            part = self._part(item, 0, word, out)
            if is_summary and index != item.index:
                out.append(ev.ReasoningDelta(part.number, "\n\n"))
                self._forget(part)
            item.index = index
        else:
            part = self._part(item, 0 if word == "call" else index, word, out)
        logprobs = data.get("logprobs")
        if isinstance(logprobs, list) and logprobs:
            part.has_logprobs = True
            out.append(ev.Logprobs({"content": logprobs}))
        part.has_text = True
        place = data.get("output_index")
        if isinstance(place, int):
            self._places[kind, place, index] = part
        out.append(make(part.number, text))

    def _is_said(self, kind: str, data: dict[str, Any]) -> bool:
        """Whether the text of a `done` event came in deltas."""
        item = self._items.get(self._index(data))
        if item is None:
            return False
        inner = _DELTAS[f"{kind[:-4]}delta"][1]
        index = _inner(data, inner)
        part = item.parts.get(index if item.kind == "message" else 0)
        if item.kind == "reasoning" and part is not None and part.has_text:
            return item.is_summary is not (inner == "summary_index") or index <= item.index
        return part is not None and part.has_text

    def _annotation(self, data: dict[str, Any], out: list[ev.Event]) -> None:
        item = self._items.get(self._index(data))
        citation = read_citation(data.get("annotation"))
        if item is None or item.is_done or item.kind != "message" or citation is None:
            return
        part = self._part(item, _inner(data, "content_index"), "text", out)
        if part.is_closed:
            return
        part.has_citations = True
        out.append(ev.CitationSeen(part.number, citation))

    def _content(self, item: _Item, index: int, content: Any, out: list[ev.Event]) -> None:
        """A message's part, complete: what of it was not said before."""
        kind = _PARTS.get(str(content.get("type"))) if isinstance(content, dict) else None
        if kind is None:
            return
        part = self._part(item, index, kind, out)
        if part.is_closed:
            return
        text = content.get("refusal" if kind == "refusal" else "text")
        logprobs, annotations = content.get("logprobs"), content.get("annotations")
        if isinstance(logprobs, list) and logprobs and not part.has_logprobs:
            part.has_logprobs = True
            out.append(ev.Logprobs({"content": logprobs}))
        if isinstance(text, str) and text and not part.has_text:
            part.has_text = True
            out.append(ev.TextDelta(part.number, text))
        if isinstance(annotations, list) and annotations and not part.has_citations:
            part.has_citations = True
            citations = [read_citation(one) for one in annotations]
            out += [ev.CitationSeen(part.number, one) for one in citations if one is not None]

    def _item_done(self, index: int, wire: Any, out: list[ev.Event]) -> None:
        """An item, complete, whatever of it came before."""
        if not isinstance(wire, dict) or not isinstance(wire.get("type"), str):
            return
        item = self._items.get(index)
        if item is None:
            item = self._open(max(index, 0), wire, out, is_whole=True)
        if item.is_done or item.kind != wire["type"]:
            return
        if item.kind == "message":
            content = wire.get("content")
            for place, one in enumerate(content if isinstance(content, list) else ()):
                self._content(item, place, one, out)
        elif item.kind in _CALLS:
            item.wire = {**item.wire, **wire}
            part = self._part(item, 0, "call", out)
            text = wire.get(_CALLS[item.kind])
            if isinstance(text, dict):
                text = jsons.dump(text).decode()
            if isinstance(text, str) and text and not part.has_text:
                out.append(ev.ArgumentsDelta(part.number, text))
        elif item.kind == "reasoning":
            self._reasoning(item, wire, out)
        else:
            number, self._total = self._total, self._total + 1
            out.append(ev.PartStarted(number, "opaque"))
            out.append(ev.OpaqueSeen(NAME, item.kind, wire, number))
            out.append(ev.PartFinished(number))
        self._close_item(item, out)

    def _reasoning(self, item: _Item, wire: dict[str, Any], out: list[ev.Event]) -> None:
        summary, thought = _texts(wire.get("summary")), _texts(wire.get("content"))
        if item.is_summary is None:
            item.is_summary = bool(summary)
        part = self._part(item, 0, "reasoning", out)
        text = "\n\n".join(summary) if summary else "".join(thought)
        if text and not part.has_text:
            out.append(ev.ReasoningDelta(part.number, text))
        encrypted, identity = wire.get("encrypted_content"), wire.get("id")
        if isinstance(encrypted, str) and encrypted:
            sealed = bound(identity if isinstance(identity, str) else None, encrypted)
            out.append(ev.ReasoningSealed(part.number, sealed))

    def _close_item(self, item: _Item, out: list[ev.Event]) -> None:
        item.is_done = True
        for part in item.parts.values():
            self._close(part, out)

    def _close(self, part: _Part | None, out: list[ev.Event]) -> None:
        if part is None or part.is_closed:
            return
        part.is_closed = True
        self._forget(part)
        out.append(ev.PartFinished(part.number))

    def _forget(self, part: _Part) -> None:
        """The next delta of `part`, if any, goes the general way."""
        self._places = {place: one for place, one in self._places.items() if one is not part}

    def _finish(self, response: dict[str, Any], status: str, out: list[ev.Event]) -> None:
        said = response.get("status")
        response = response if isinstance(said, str) and said else {**response, "status": status}
        if response["status"] in FAILURES or status in FAILURES:
            self._fail(read_stream_error({"response": response}), out)
            return
        output = response.get("output")
        known = [item.wire["id"] for item in self._items.values() if item.is_done and item.wire.get("id")]
        for index, wire in enumerate(output if isinstance(output, list) else ()):
            # An item that was said before has its place here, unless the server left one out: then it has its id.
            if isinstance(wire, dict) and wire.get("id") not in known:
                self._item_done(index, wire, out)
        for index, item in self._items.items():
            if not item.is_done and item.kind not in ("message", "reasoning"):
                self._item_done(index, item.wire, out)  # said whole when it was added, and never again
            elif not item.is_done:
                self._close_item(item, out)
        usage = read_usage(response.get("usage"))
        if usage is not None:
            out.append(ev.UsageSeen(usage))
        out.append(read_finish(response, has_calls=self._has_calls, has_refusal=self._has_refusal))
        out.append(ev.Ended())
        self._done = True

    def _fail(self, error: Error, out: list[ev.Event]) -> None:
        self._done = True
        out.append(ev.Failed(error))


def _inner(data: dict[str, Any], name: str) -> int:
    index = data.get(name)
    return index if isinstance(index, int) else 0


def _texts(entries: Any) -> list[str]:
    texts = [one.get("text") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [text for text in texts if isinstance(text, str)]
