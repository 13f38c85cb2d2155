"""Writes a Mistral client's stream: universal events → SSE chunks.

Texts leave at once as strings, thoughts as chunks of a list; a call leaves whole when it is complete, because the SDK
fails on a piece of one (`streams.md` §0). The finish chunks wait for `Ended`, since the last one holds the usage.
There is no form for an error: a failure writes nothing, and the connection is cut (`tells_errors`), so that the client
sees a broken answer and not the end of one.

Hot path: a text delta is one JSON string between two constant ones. Memory: the arguments of open calls, open media.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import KEPT, Around, Asker
from ds2api.dialects.loss_lines import loss_lines
from ds2api.dialects.mistral.chunks import (
    FAMILY,
    image_chunk,
    thinking_chunk,
    written_call,
    written_signature,
)
from ds2api.dialects.mistral.finish import finish_word
from ds2api.dialects.openai_usage import written_usage
from ds2api.universal import events as ev
from ds2api.universal.losses import Loss, LossCode
from ds2api.universal.usage import Usage

__all__ = ["MistralEncoder"]


@dataclass(slots=True)
class _Part:
    start: ev.PartStarted
    index: int = 0  # of a call among the calls of its choice
    pieces: list[str] = field(default_factory=list)  # of arguments or media
    media_type: str | None = None
    signature: str | None = None


class MistralEncoder:
    """See `contract.Encoder`. One for each stream."""

    stream_type = "text/event-stream"
    tells_errors = False

    def __init__(self, asker: Asker) -> None:
        self.losses: list[Loss] = []
        self._asker = asker
        self._head = b""  # of every chunk, up to its choices
        self._texts: dict[int, tuple[bytes, bytes]] = {}  # by choice: around the JSON of a text
        self._parts: dict[int, _Part] = {}
        self._calls: dict[int, int] = {}
        self._finished: dict[int, ev.Finished] = {}
        self._usage: Usage | None = None
        self._is_over = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """See `contract.Encoder`."""
        out: list[bytes] = []
        dump = jsons.dump_text
        for event in events:
            if self._is_over:
                break
            if type(event) is ev.TextDelta:
                frame = self._texts.get(event.choice) or self._begin(event.choice, out)
                if event.text:
                    out += (frame[0], dump(event.text), frame[1])
            else:
                self._other(event, out)
        return b"".join(out)

    def around(self, delta: ev.Delta) -> Around | None:
        """See `contract.Encoder`."""
        if isinstance(delta, ev.ArgumentsDelta) and not self._is_over:
            return KEPT
        frame = self._texts.get(0)
        return None if frame is None or self._is_over or not isinstance(delta, ev.TextDelta) else Around(*frame)

    def alive(self) -> bytes:
        """A comment."""
        return b"" if self._is_over else b": c\n\n"

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        match event:
            case ev.ReasoningDelta():
                if event.text:
                    self._delta({"content": [thinking_chunk(event.text)]}, event.choice, out)
            case ev.ArgumentsDelta():
                if event.part in self._parts:
                    self._parts[event.part].pieces.append(event.text)
            case ev.PartStarted():
                self._open(event, out)
            case ev.PartFinished():
                self._close(event, out)
            case ev.ReasoningSealed():
                self._seal(event)
            case ev.MediaSeen():
                if event.part in self._parts:
                    part = self._parts[event.part]
                    part.pieces.append(event.data)
                    part.media_type = event.media_type
            case ev.OpaqueSeen():
                if event.kind == "reference" and event.dialect in FAMILY:
                    self._delta({"content": [event.data]}, event.choice, out)
                elif event.part is not None or event.dialect not in FAMILY:
                    self._lose("dropped", event.kind, f"{event.kind} of {event.dialect} has no form in this protocol")
            case ev.CitationSeen():
                self._lose("dropped", "citations", "citations have no form in this protocol")
            case ev.Logprobs():
                self._delta({"content": ""}, event.choice, out, logprobs={"content": [], **event.tokens})
            case ev.UsageSeen():
                self._use(event.usage)
            case ev.Started():
                self._start(event, out)
            case ev.Finished():
                self._finished[event.choice] = event
            case ev.Ended():
                self._end(out)
            case ev.Failed():
                self._is_over = True
            case ev.Alive():
                out.append(self.alive())

    def _start(self, event: ev.Started, out: list[bytes]) -> None:
        if event.usage is not None:
            self._use(event.usage)
        identity = event.id or self._asker.new_id()
        chunk = {
            "id": identity,
            "object": "chat.completion.chunk",
            "created": event.created or self._asker.created,
            "model": self._asker.model,
        }
        self._head = b"data: " + jsons.dump(chunk)[:-1] + b',"choices":'
        self._begin(0, out)

    def _begin(self, choice: int, out: list[bytes]) -> tuple[bytes, bytes]:
        """Say the role, once a choice."""
        before = b'%b[{"index":%d,"delta":{"content":' % (self._head, choice)
        frame = self._texts[choice] = (before, b'},"finish_reason":null}]}\n\n')
        first = {"index": choice, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        out += (self._head, jsons.dump([first]), b"}\n\n")
        return frame

    def _delta(self, delta: dict[str, Any], choice: int, out: list[bytes], **more: Any) -> None:
        if choice not in self._texts:
            self._begin(choice, out)
        written = {"index": choice, "delta": delta, "finish_reason": None, **more}
        out += (self._head, jsons.dump([written]), b"}\n\n")

    def _open(self, event: ev.PartStarted, out: list[bytes]) -> None:
        part = self._parts[event.part] = _Part(event)
        if event.choice not in self._texts:
            self._begin(event.choice, out)
        if event.kind == "call":
            part.index = self._calls.get(event.choice, 0)
            self._calls[event.choice] = part.index + 1
        elif event.kind == "refusal":
            self._lose("approximated", "refusal", "Mistral has no refusals: it was written as text")

    def _close(self, event: ev.PartFinished, out: list[bytes]) -> None:
        part = self._parts.pop(event.part, None)
        if part is None:
            return
        start = part.start
        match start.kind:
            case "call":
                identity = start.id or self._asker.new_id()
                arguments = "".join(part.pieces)
                call = written_call(identity, start.name or "", arguments, part.index, custom=start.custom)
                self._delta({"content": "", "tool_calls": [call]}, start.choice, out)
            case "reasoning":
                said = {} if part.signature is None else {"signature": part.signature}
                self._delta({"content": [{**thinking_chunk(""), **said, "closed": True}]}, start.choice, out)
            case "media" if (part.media_type or "image/").startswith("image/") and any(part.pieces):
                self._delta({"content": [image_chunk(part.media_type, "".join(part.pieces))]}, start.choice, out)
            case "media":
                self._lose("dropped", "media", "generated media other than images has no form in this protocol")

    def _seal(self, event: ev.ReasoningSealed) -> None:
        part = self._parts.get(event.part)
        signature = written_signature(event.sealed, self._asker)
        if part is None or part.start.kind != "reasoning":
            return  # of a call or a text: the gateway keeps it for this client, as for those that can carry none
        if signature is None:
            self._lose("dropped", "signature", "nothing can carry the proof of this thought")
        part.signature = signature

    def _use(self, usage: Usage) -> None:
        if self._usage is None:
            self._usage = Usage()
        self._usage.merge(usage)

    def _end(self, out: list[bytes]) -> None:
        self._is_over = True
        if any(finished.reason == "malformed_tool" for finished in self._finished.values()):
            return  # a failure (R028), and those have no form
        words = [(choice, finish_word(self._finished.get(choice), self.losses)) for choice in sorted(self._texts)]
        if self._usage is None:
            self._lose("estimated", "usage", "the provider told no usage: 0 was written")
        for choice, word in words:
            is_last = choice == words[-1][0]
            usage = b',"usage":' + jsons.dump(written_usage(self._usage or Usage(), "chat")) if is_last else b""
            written = {"index": choice, "delta": {"content": ""}, "finish_reason": word}
            warnings = loss_lines(self.losses) if choice == words[0][0] else b""
            out += (warnings, self._head, jsons.dump([written]), usage, b"}\n\n")
        out.append(b"data: [DONE]\n\n")

    def _lose(self, code: LossCode, path: str, reason: str) -> None:
        loss = Loss(code, path, reason)
        if loss not in self.losses:
            self.losses.append(loss)
