"""Reads Anthropic's event stream into universal events.

    stream := message_start ping? block* message_delta+ message_stop        (`streams.md` §3)

Total: whatever comes, the answer is events, the last of them `Ended` or `Failed`. Known oddities of real streams,
each from a recording:

* a `message_start` that holds the whole message already (programmatic tool calls), with no block events after it;
* a `tool_use` whose input stands in its `content_block_start`, with no delta;
* the same `message_start` twice: the second is skipped. One with another id while the first message is open is a
  second generation spliced in by a proxy that retried: what came so far can be neither finished nor replayed,
  so it is a failure (vercel/ai#18331);
* spaces between the closing braces (padding against traffic analysis).

Blocks that only Anthropic knows (server tools and their results, compaction) are collected whole and given as one
`OpaqueSeen` when they close; everything else goes through delta by delta. A thinking block's signature is given
when the block closes, since a later `signature_delta` replaces an earlier one.

Hot path: nearly all events are one text in a fixed frame, learned from the first of them (`framed_reader`): 1.3 µs an
event where a read brings eight, instead of 2.9 through event reader and JSON door (CPython 3.11, `bench/parts.py`).
`tests/dialects/messages/test_decoder.py` holds both ways to the same events.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.framed_reader import FramedReader
from ds2api.dialects.messages.citations import read_citation
from ds2api.dialects.messages.errors import broken, read_stream_error, truncated
from ds2api.dialects.messages.finish import read_finish
from ds2api.dialects.messages.usage import read_usage
from ds2api.universal import events as ev
from ds2api.universal.errors import Error
from ds2api.universal.parts import Extra, Sealed
from ds2api.universal.usage import Usage
from ds2api.wire.sse import EventTooLarge, SseEvent, SseParser

__all__ = ["MESSAGE_FIELDS", "MessagesDecoder"]

_NAME = "messages"

# What `message_start` says of a message that is said again elsewhere, or by its place.
MESSAGE_FIELDS = frozenset({"type", "role", "content", "id", "model", "usage", "stop_reason", "stop_sequence"})
_TEXT_FIELDS = frozenset({"type", "text"})
_CALL_FIELDS = frozenset({"type", "id", "name", "input"})


class _Block:
    """An open content block. `signature` and `pieces` wait for its end; so does a call's whole `input` in `data`,
    until a delta shows that it comes in pieces."""

    __slots__ = ("data", "kind", "part", "pieces", "signature")

    def __init__(self, part: int, kind: ev.PartKind, data: dict[str, Any]) -> None:
        self.part = part
        self.kind = kind
        self.data = data
        self.pieces: list[str] | None = None
        self.signature: str | None = None


class MessagesDecoder:
    """Feed bytes, get events; `end` when the bytes are over. The same events for any cut."""

    __slots__ = (
        "_at_end", "_blocks", "_finish", "_has_calls", "_is_finished", "_is_over", "_is_started", "_message_id",
        "_next_part", "_parser", "_usage", "framed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.framed = FramedReader(self._read)
        self._parser = SseParser()
        self._is_over = False
        self._at_end = False  # the bytes are over: what cannot be read was cut, not broken
        self._message_id: str | None = None
        self._is_started = False
        self._finish: dict[str, Any] | None = None  # of a message that was complete at its start
        self._is_finished = False
        self._blocks: dict[int, _Block] = {}
        self._next_part = 0
        self._has_calls = False
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> list[ev.Event]:
        out: list[ev.Event] = []
        if self._is_over:
            return out
        self.framed.feed(data, out)
        return out

    def _read(self, data: bytes, out: list[ev.Event]) -> bool:
        """The general way: whatever a stream may hold. Whether it is over."""
        try:
            received = self._parser.feed(data)
        except EventTooLarge as error:
            self._fail(broken(str(error)), out)
        else:
            self._take(received, out)
        return self._is_over

    def end(self) -> list[ev.Event]:
        out: list[ev.Event] = []
        if self._is_over:
            return out
        self._at_end = True
        if not self.framed.finish(out):
            try:
                self._take(self._parser.end(), out)
            except EventTooLarge as error:
                self._fail(broken(str(error)), out)
        self._close_stream(out)
        return out

    def _close_stream(self, out: list[ev.Event]) -> None:
        if self._is_over:
            return
        if self._is_finished:
            self._is_over = True
            out.append(ev.Ended())
        else:
            self._fail(truncated(), out)

    def whole(self, message: dict[str, Any]) -> list[ev.Event]:
        """The events of an answer that came in one piece: a stream whose start holds the whole message."""
        out: list[ev.Event] = []
        self._start(message, out)
        self._finish = message
        self._stop(out)
        return out

    def _take(self, received: list[SseEvent], out: list[ev.Event]) -> None:
        for event in received:
            if event.comment:
                out.append(ev.Alive())
                continue
            self._general(event, out)
            if self._is_over:
                return

    def _general(self, event: SseEvent, out: list[ev.Event]) -> None:
        if event.data == b"[DONE]":
            return
        try:
            data = jsons.parse(event.data)
        except jsons.JsonError as error:
            if event.name == b"error":
                self._fail(read_stream_error(event.data.decode(errors="replace")), out)
            elif event.name == b"ping":
                out.append(ev.Alive())
            else:
                self._fail(truncated() if self._at_end else broken(f"an event is {error}"), out)
            return
        kind = data.get("type") if isinstance(data, dict) else None
        if event.name == b"error" or kind == "error":
            self._fail(read_stream_error(data), out)
        elif not isinstance(kind, str):
            self._fail(broken("an event has no type"), out)
        else:
            self._event(kind, data, out)

    def _event(self, kind: str, data: dict[str, Any], out: list[ev.Event]) -> None:
        match kind:
            case "ping":
                out.append(ev.Alive())
            case "message_start":
                self._start(data.get("message"), out)
            case "content_block_start":
                self._block_start(data, out)
            case "content_block_delta":
                self._block_delta(data, out)
            case "content_block_stop":
                block = self._block(data, kind, out)
                if block is not None:
                    del self._blocks[data["index"]]
                    self._close(block, out)
            case "message_delta":
                self._message_delta(data, out)
            case "message_stop":
                self._stop(out)
            case _:
                self._ensure_started(out)
                if not self._is_finished:
                    out.append(ev.OpaqueSeen(_NAME, kind, data))

    def _start(self, message: Any, out: list[ev.Event]) -> None:
        if not isinstance(message, dict):
            self._fail(broken("message_start has no message"), out)
            return
        name = message.get("id")
        if self._is_started:
            if name != self._message_id:
                self._fail(broken("a second message began while the first was open"), out)
            return
        self._is_started = True
        self._message_id = name if isinstance(name, str) else None
        model = message.get("model")
        self._usage = read_usage(message.get("usage"))
        extra = {field: value for field, value in message.items() if field not in MESSAGE_FIELDS}
        if extra.get("stop_details") is not None:
            del extra["stop_details"]  # said with the reason
        model = model if isinstance(model, str) else None
        out.append(ev.Started(self._message_id, model, None, self._usage, Extra(_NAME, extra)))
        content = message.get("content")
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict):
                self._close(self._open(block, out), out)
        if isinstance(message.get("stop_reason"), str):
            self._finish = message

    def _ensure_started(self, out: list[ev.Event]) -> None:
        if not self._is_started:
            self._is_started = True
            out.append(ev.Started())

    def _block_start(self, data: dict[str, Any], out: list[ev.Event]) -> None:
        index, wire = data.get("index"), data.get("content_block")
        if not isinstance(index, int) or not isinstance(wire, dict) or not isinstance(wire.get("type"), str):
            self._fail(broken("content_block_start has no index or no block"), out)
        elif index in self._blocks:
            self._fail(broken(f"content_block_start for block {index}, which is open already"), out)
        elif self._is_finished:
            self._fail(broken("a block began after the message was complete"), out)
        else:
            self._ensure_started(out)
            self._blocks[index] = self._open(wire, out)

    def _open(self, wire: dict[str, Any], out: list[ev.Event]) -> _Block:
        part = self._next_part
        self._next_part += 1
        match wire.get("type"):
            case "text":
                extra = {name: value for name, value in wire.items() if name not in _TEXT_FIELDS}
                cited = extra.get("citations")
                if cited and isinstance(cited, list):
                    extra["citations"] = []
                out.append(ev.PartStarted(part, "text", extra=Extra(_NAME, extra) if extra else None))
                if isinstance(text := wire.get("text"), str) and text:
                    out.append(ev.TextDelta(part, text))
                known = [read_citation(one) for one in cited] if isinstance(cited, list) else []
                out += [ev.CitationSeen(part, citation) for citation in known if citation is not None]
                return _Block(part, "text", {})
            case "thinking":
                out.append(ev.PartStarted(part, "reasoning"))
                if isinstance(text := wire.get("thinking"), str) and text:
                    out.append(ev.ReasoningDelta(part, text))
                block = _Block(part, "reasoning", {})
                block.signature = signature if isinstance(signature := wire.get("signature"), str) else None
                return block
            case "redacted_thinking" if isinstance(proof := wire.get("data"), str):
                out.append(ev.PartStarted(part, "reasoning"))
                out.append(ev.ReasoningSealed(part, Sealed("anthropic_redacted", proof)))
                return _Block(part, "reasoning", {})
            case "tool_use":
                self._has_calls = True
                extra = {name: value for name, value in wire.items() if name not in _CALL_FIELDS}
                id_, name = wire.get("id"), wire.get("name")
                out.append(
                    ev.PartStarted(
                        part,
                        "call",
                        id=id_ if isinstance(id_, str) else None,
                        name=name if isinstance(name, str) else None,
                        extra=Extra(_NAME, extra) if extra else None,
                    )
                )
                return _Block(part, "call", {"input": wire.get("input") or {}})
        out.append(ev.PartStarted(part, "opaque"))
        return _Block(part, "opaque", dict(wire))

    def _block_delta(self, data: dict[str, Any], out: list[ev.Event]) -> None:
        block = self._block(data, "content_block_delta", out)
        delta = data.get("delta")
        if block is None or not isinstance(delta, dict):
            return
        match block.kind, delta.get("type"):
            case "opaque", _:
                _collect(block, delta)
            case "text", "text_delta" if isinstance(text := delta.get("text"), str):
                out.append(ev.TextDelta(block.part, text))
            case "text", "citations_delta":
                if (citation := read_citation(delta.get("citation"))) is not None:
                    out.append(ev.CitationSeen(block.part, citation))
            case "reasoning", "thinking_delta" if isinstance(text := delta.get("thinking"), str):
                out.append(ev.ReasoningDelta(block.part, text))
            case "reasoning", "signature_delta" if isinstance(text := delta.get("signature"), str):
                block.signature = text
            case "call", "input_json_delta" if isinstance(text := delta.get("partial_json"), str):
                if text:
                    block.data = {}
                    out.append(ev.ArgumentsDelta(block.part, text))
            # A delta of a kind that is not known yet says nothing that a reader could rely on (`streams.md` §3).

    def _close(self, block: _Block, out: list[ev.Event]) -> None:
        part = block.part
        if block.kind == "call":
            if "input" in block.data:
                out.append(ev.ArgumentsDelta(part, jsons.dump(block.data["input"]).decode()))
        elif block.kind == "reasoning":
            if block.signature:
                out.append(ev.ReasoningSealed(part, Sealed("anthropic_signature", block.signature)))
        elif block.kind == "opaque":
            if block.pieces is not None:
                block.data["input"] = _input("".join(block.pieces))
            out.append(ev.OpaqueSeen(_NAME, str(block.data.get("type")), block.data, part))
        out.append(ev.PartFinished(part))

    def _message_delta(self, data: dict[str, Any], out: list[ev.Event]) -> None:
        self._ensure_started(out)
        delta = data.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        usage = read_usage(data.get("usage"), self._usage)
        if usage is not None:
            self._usage = usage
        if isinstance(delta.get("stop_reason"), str) and not self._is_finished:
            extra = {name: value for name, value in data.items() if name not in ("type", "delta", "usage")}
            if "container" in delta:
                extra["container"] = delta["container"]
            self._finished(delta, extra, out)
        if usage is not None:
            out.append(ev.UsageSeen(usage))

    def _finished(self, wire: dict[str, Any], extra: dict[str, Any], out: list[ev.Event]) -> None:
        for index in list(self._blocks):
            self._close(self._blocks.pop(index), out)
        self._is_finished = True
        out.append(read_finish(wire, has_calls=self._has_calls, extra=extra))

    def _stop(self, out: list[ev.Event]) -> None:
        if not self._is_started:
            self._fail(broken("message_stop came before any message"), out)
            return
        if not self._is_finished:
            self._finished(self._finish or {}, {}, out)
        self._is_over = True
        out.append(ev.Ended())

    def _block(self, data: dict[str, Any], kind: str, out: list[ev.Event]) -> _Block | None:
        index = data.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            self._fail(broken(f"{kind} for block {index!r:.20}, which is not open"), out)
        return block

    def _fail(self, error: Error, out: list[ev.Event]) -> list[ev.Event]:
        self._is_over = True
        out.append(ev.Failed(error))
        return out


def _collect(block: _Block, delta: dict[str, Any]) -> None:
    """Add a delta to a block that only Anthropic knows: its input is JSON text in pieces, its other fields are
    texts that grow or values that come once (`compaction_delta`)."""
    if delta.get("type") == "input_json_delta":
        if block.pieces is None:
            block.pieces = []
        if isinstance(piece := delta.get("partial_json"), str):
            block.pieces.append(piece)
        return
    for name, value in delta.items():
        if name != "type":
            before = block.data.get(name)
            block.data[name] = before + value if isinstance(before, str) and isinstance(value, str) else value


def _input(text: str) -> Any:
    if not text.strip():
        return {}
    try:
        return jsons.parse(text)
    except jsons.JsonError:
        return {"_raw": text}
