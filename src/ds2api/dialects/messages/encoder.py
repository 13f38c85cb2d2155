"""Writes Anthropic's event stream for a client, from universal events.

What real clients choke on (`streams.md` §0, tested there against the SDK) is kept here: every event has its
`event:` line; `message_start` comes first and once; block indexes count up from 0 in order of appearance and only
one block is open (`Sequencer`); a block begins when it has something to say, so none is empty (R008); a tool's
input begins as ``{}`` and comes in deltas only (R017); a signature comes once and whole, last in its block (R016);
usage stands in `message_start` (a guess where the provider has not said, R096) and truly in `message_delta`.

The end is held back until `Ended`, since usage may come after the reason. A stream that fails ends in
`event: error` and nothing after it.

Hot path: a delta is two constant strings, made when its block opens, around the escaped text: 0.6 µs an event
(CPython 3.11, `bench/parts.py`). The plain twin in `tests/dialects/messages/test_encoder.py` writes
the same through the JSON door.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.contract import Around, Asker
from ds2api.dialects.loss_lines import loss_lines
from ds2api.dialects.messages import proofs
from ds2api.dialects.messages.citations import write_citation
from ds2api.dialects.messages.errors import error_object
from ds2api.dialects.messages.finish import write_finish
from ds2api.dialects.messages.naming import call_id, message_id
from ds2api.dialects.messages.usage import write_usage
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.estimate import BYTES_PER_TOKEN
from ds2api.universal.losses import Loss, LossCode
from ds2api.universal.parts import Sealed
from ds2api.universal.sequencer import Sequencer
from ds2api.universal.usage import Usage

__all__ = ["MessagesEncoder"]

_NAME = "messages"
_CLOSE = b"}}\n\n"
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'

# Fields of an opaque block that come in deltas; the block begins with the value beside them.
_STREAMED: dict[str, tuple[str, Any]] = {
    "server_tool_use": ("input", {}),
    "mcp_tool_use": ("input", {}),
    "compaction": ("content", None),
}


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), jsons.dump(data))


class MessagesEncoder:
    """`encode` events as they come; `losses` holds what this answer could not carry so far."""

    stream_type = "text/event-stream"
    tells_errors = True

    __slots__ = (
        "_arguments", "_asker", "_broken_call", "_custom", "_delta", "_finish", "_has_calls", "_index", "_is_held",
        "_is_open", "_is_over", "_is_started", "_kind", "_part", "_refused", "_sequencer", "_start",
        "_text_characters", "_usage", "losses",
    )  # fmt: skip

    def __init__(self, asker: Asker) -> None:
        self.losses: list[Loss] = []
        self._asker = asker
        self._sequencer = Sequencer()
        self._is_started = False
        self._is_over = False
        self._index = -1  # of the last block that began
        self._part = -1  # the part that is being written
        self._kind: ev.PartKind = "text"
        self._start: ev.PartStarted | None = None  # of a part whose block has not begun
        self._is_open = False  # a block has begun and not stopped
        self._delta = b""  # what stands before the text of a delta in the open block
        self._arguments: list[str] | None = None  # of the open call
        self._is_held = False  # the open call's arguments are not written as they come
        self._custom = False
        self._broken_call = False  # the last call's arguments were no JSON
        self._has_calls = False
        self._refused = False
        self._finish: ev.Finished | None = None
        self._usage: Usage | None = None
        self._text_characters = 0

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        if self._is_over:
            return b""
        out: list[bytes] = []
        for event in self._sequencer.order(list(events)):
            kind = type(event)
            if kind is ev.TextDelta or kind is ev.ReasoningDelta:
                text = event.text  # type: ignore[union-attr]
                if text:
                    if not self._is_open:
                        self._begin(out)
                    if self._delta:
                        self._text_characters += len(text)
                        out += (self._delta, jsons.dump_text(text), _CLOSE)
            else:
                self._other(event, out)
        return b"".join(out)

    def around(self, delta: ev.Delta) -> Around | None:
        """See `contract.Encoder`."""
        is_open = self._is_open and self._sequencer.current == delta.part and not self._is_over
        is_held = self._kind == "call" and (self._is_held or not self._arguments)
        if not is_open or is_held or not self._delta:
            return None
        return Around(self._delta, _CLOSE)

    def alive(self) -> bytes:
        """A ping; before the message began a comment, since a client expects `message_start` first."""
        if self._is_over:
            return b""
        return _PING if self._is_started else b": keep-alive\n\n"

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        if self._is_over:
            return
        if getattr(event, "choice", 0):
            self._lose("dropped", "choices", "this protocol has one choice; the others are left out", once=True)
            return
        match event:
            case ev.ArgumentsDelta():
                self._add_arguments(event.text, out)
            case ev.PartStarted():
                self._part_started(event, out)
            case ev.PartFinished():
                self._part_finished(out)
            case ev.ReasoningSealed():
                self._sealed(event.sealed, out)
            case ev.Started():
                self._message_start(event, out)
            case ev.CitationSeen():
                wire = write_citation(event.citation)
                if wire is None:
                    self._lose("dropped", "citations", "citations of another protocol have no form here", once=True)
                else:
                    if not self._is_open:
                        self._begin(out)
                    out.append(self._block_delta({"type": "citations_delta", "citation": wire}))
            case ev.OpaqueSeen():
                self._opaque(event, out)
            case ev.UsageSeen():
                if self._usage is None:
                    self._usage = Usage()
                self._usage.merge(event.usage)
            case ev.Finished():
                self._finish = event
            case ev.Ended():
                self._end(out)
            case ev.Failed():
                self._fail(event.error, out)
            case ev.MediaSeen():
                self._lose("dropped", "media", "generated media has no form in this protocol", once=True)
            case ev.Logprobs():
                self._lose("dropped", "logprobs", "log-probabilities have no form in this protocol", once=True)
            case ev.Alive():
                if self._is_started:
                    out.append(_PING)

    def _message_start(self, event: ev.Started, out: list[bytes]) -> None:
        if self._is_started:
            return
        self._is_started = True
        if event.usage is not None:
            self._usage = Usage()
            self._usage.merge(event.usage)
        extra = event.extra.get(_NAME) if event.extra is not None else {}
        message = {
            "id": message_id(event.id, self._asker),
            "type": "message",
            "role": "assistant",
            "model": self._asker.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(event.usage, self._asker.input_estimate),
            **extra,
        }
        out.append(_event("message_start", {"type": "message_start", "message": message}))

    def _part_started(self, event: ev.PartStarted, out: list[bytes]) -> None:
        self._start = event
        self._kind = event.kind
        self._is_open = False
        self._delta = b""
        if self._broken_call:  # another part follows, so no limit cut it
            self._broken_call = False
            self._lose("approximated", "input", RAW_REASON)
        if event.kind == "refusal":
            self._refused = True
        elif event.kind == "call":
            self._has_calls = True
            self._custom = event.custom
            self._is_held = event.custom
            self._arguments = []
            self._begin(out)

    def _begin(self, out: list[bytes]) -> None:
        """Open the block of the part that has something to say now."""
        start = self._start
        if start is None or self._kind in ("opaque", "media"):
            return
        extra = start.extra.get(_NAME) if start.extra is not None else {}
        if self._kind == "call":
            given = {"id": call_id(start.id, self._asker), "name": start.name or ""}
            self._open({"type": "tool_use", **given, "input": {}, **extra}, out)
            self._delta = self._frame("input_json_delta", "partial_json")
        elif self._kind == "reasoning":
            self._open({"type": "thinking", "thinking": "", "signature": "", **extra}, out)
            self._delta = self._frame("thinking_delta", "thinking")
        else:
            self._open({"type": "text", "text": "", **extra}, out)
            self._delta = self._frame("text_delta", "text")

    def _open(self, block: dict[str, Any], out: list[bytes]) -> None:
        if not self._is_started:  # a decoder that skipped `Started`
            self._message_start(ev.Started(), out)
        self._index += 1
        self._is_open = True
        data = {"type": "content_block_start", "index": self._index, "content_block": block}
        out.append(_event("content_block_start", data))

    def _frame(self, kind: str, field: str) -> bytes:
        head = f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{self._index},'
        return f'{head}"delta":{{"type":"{kind}","{field}":'.encode()

    def _block_delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _add_arguments(self, text: str, out: list[bytes]) -> None:
        pieces = self._arguments
        if pieces is None or not text:
            return
        self._text_characters += len(text)
        if not pieces and not self._is_held:
            text = text.lstrip()
            if not text:
                return
            self._is_held = text[0] != "{"  # no object: it must be wrapped, so it is written as one piece
        pieces.append(text)
        if not self._is_held:
            out += (self._delta, jsons.dump_text(text), _CLOSE)

    def _part_finished(self, out: list[bytes]) -> None:
        if self._kind == "call" and self._arguments is not None:
            self._finish_arguments("".join(self._arguments), out)
        if self._is_open:
            out.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index)
        self._start = None
        self._is_open = False
        self._delta = b""
        self._arguments = None

    def _finish_arguments(self, text: str, out: list[bytes]) -> None:
        """What was held back, now that it is whole. Text that began as an object and turns out to be broken has
        left already; it is reported unless the token limit cut it (`_end`)."""
        value, is_faithful = as_object(text, custom=self._custom)
        self._broken_call = not is_faithful
        if self._is_held or not text:
            out += (self._delta, jsons.dump(jsons.dump(value).decode()), _CLOSE)

    def _sealed(self, sealed: Sealed, out: list[bytes]) -> None:
        if self._kind != "reasoning":
            return  # of a call or a text: the gateway keeps it for this client, as for those that can carry none
        data = proofs.for_client(sealed, self._asker)
        if data is None:
            self._lose("dropped", "signature", "this proof of reasoning has no form in this protocol", once=True)
        elif sealed.kind == "anthropic_redacted" and not self._is_open:
            self._open({"type": "redacted_thinking", "data": data}, out)
        else:
            if not self._is_open:
                self._begin(out)
            out.append(self._block_delta({"type": "signature_delta", "signature": data}))

    def _opaque(self, event: ev.OpaqueSeen, out: list[bytes]) -> None:
        if event.dialect != _NAME:
            self._lose("dropped", event.kind, f"{event.kind} of {event.dialect} has no form in this protocol")
        elif event.part is None:
            if self._is_started:
                out.append(_event(event.kind, event.data))
        elif event.kind in _STREAMED:
            field, empty = _STREAMED[event.kind]
            self._open({**event.data, field: empty} if field in event.data else event.data, out)
            if field == "input":
                delta = {"type": "input_json_delta", "partial_json": jsons.dump(event.data.get("input")).decode()}
                out.append(self._block_delta(delta))
            elif event.data.get(field) is not None:
                out.append(self._block_delta({"type": "compaction_delta", field: event.data[field]}))
        else:
            self._open(event.data, out)

    def _end(self, out: list[bytes]) -> None:
        finish = self._finish
        if finish is not None and finish.reason == "malformed_tool":
            message = "the model made a tool call that cannot be read"
            self._fail(Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, message), out)
            return
        if not self._is_started:
            self._message_start(ev.Started(), out)
        if self._broken_call and (finish is None or finish.reason not in ("length", "context_full")):
            self._lose("approximated", "input", RAW_REASON)
        wire, lost = write_finish(finish, has_calls=self._has_calls, refused=self._refused)
        self.losses += lost
        guess = -(-self._text_characters // BYTES_PER_TOKEN)
        if self._usage is None or self._usage.output_total is None:
            self._lose("estimated", "usage", "the provider did not say how many tokens it used")
        usage = write_usage(self._usage, self._asker.input_estimate, guess)
        extra = dict(finish.extra.get(_NAME)) if finish is not None and finish.extra is not None else {}
        if "container" in extra:
            wire["container"] = extra.pop("container")
        self._warn(out)
        out.append(_event("message_delta", {"type": "message_delta", "delta": wire, "usage": usage, **extra}))
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        self._is_over = True

    def _fail(self, error: Error, out: list[bytes]) -> None:
        self._warn(out)
        out.append(_event("error", error_object(error, self._asker.request_id)))
        self._is_over = True

    def _warn(self, out: list[bytes]) -> None:
        out.append(loss_lines(self.losses))

    def _lose(self, code: LossCode, path: str, reason: str, *, once: bool = False) -> None:
        loss = Loss(code, path, reason)
        if not once or loss not in self.losses:
            self.losses.append(loss)
