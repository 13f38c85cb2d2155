"""Writes an Ollama client's stream: universal events → lines.

Texts and thoughts leave at once, each delta a line of its own; a call leaves whole, since clients take its arguments as
an object, and in the order in which the calls began. A call whose arguments cannot be read waits until it is known that
no limit cut it: then there is no call to run (R007). The end waits for `Ended`, since usage may come after the reason.
A failure is a line with `error`, and nothing after it. Kept alive by a delta without text: a blank line is an error to
the SDK (`streams.md` §0).

There is no place for proofs of reasoning, so none is written; whoever keeps them for clients of this dialect does so
elsewhere. `created_at` is the time of the answer's beginning in every line, and durations are 0: no clock is here.

Hot path: a delta is the text as JSON between two constant strings, 0.5 µs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.arguments import RAW_REASON, as_object
from ds2api.dialects.contract import KEPT, Around, Asker
from ds2api.dialects.ollama.answer_lines import warnings, write_logprobs, written_created, written_message
from ds2api.dialects.ollama.errors import message_for
from ds2api.dialects.ollama.extras import own_fields
from ds2api.dialects.ollama.figures import write_figures
from ds2api.dialects.ollama.finish import malformed_call, write_finish
from ds2api.universal import events as ev
from ds2api.universal.errors import Error
from ds2api.universal.losses import Loss, LossCode
from ds2api.universal.usage import Usage

__all__ = ["OllamaEncoder", "written_call"]

_CUT = ("length", "context_full")


class _Call:
    """A call that has begun and not left."""

    __slots__ = ("is_complete", "pieces", "start")

    def __init__(self, start: ev.PartStarted) -> None:
        self.start = start
        self.pieces: list[str] = []
        self.is_complete = False


class OllamaEncoder:
    """See `contract.Encoder`. One for each stream."""

    stream_type = "application/x-ndjson"
    tells_errors = True

    def __init__(self, asker: Asker) -> None:
        self.losses: list[Loss] = []
        self._asker = asker
        head = {"model": asker.model, "created_at": written_created(asker.created)}
        self._head = jsons.dump(head)[:-1] + b","
        said = b'"response":' if asker.form == "generate" else b'"message":{"role":"assistant","content":'
        closed = b"" if asker.form == "generate" else b"}"
        tail = closed + b',"done":false}\n'
        self._text = (self._head + said, tail)
        self._thought = (self._head + said + b'"","thinking":', tail)
        self._calls: dict[int, _Call] = {}  # in the order in which they began
        self._call_count = 0
        self._logprobs: list[dict[str, Any]] = []  # for the next text
        self._usage: Usage | None = None
        self._finish: ev.Finished | None = None
        self._is_over = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """See `contract.Encoder`."""
        out: list[bytes] = []
        dump = jsons.dump_text
        text_head, text_tail = self._text
        for event in events:
            if self._is_over:
                break
            if getattr(event, "choice", 0):
                self._lose("dropped", "choices", "this protocol has one choice; the others are left out")
            elif type(event) is ev.TextDelta and not self._logprobs:
                if event.text:
                    out += (text_head, dump(event.text), text_tail)
            elif type(event) is ev.ReasoningDelta:
                if event.text:
                    out += (self._thought[0], dump(event.text), self._thought[1])
            else:
                self._other(event, out)
        return b"".join(out)

    def around(self, delta: ev.Delta) -> Around | None:
        """See `contract.Encoder`."""
        if self._is_over or self._logprobs:
            return None
        if isinstance(delta, ev.ArgumentsDelta):
            return KEPT
        return Around(*(self._text if isinstance(delta, ev.TextDelta) else self._thought))

    def alive(self) -> bytes:
        """A delta of no text."""
        return b"" if self._is_over else b'""'.join(self._text)

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        match event:
            case ev.TextDelta():
                self._line({"content": event.text}, out)
            case ev.PartStarted(kind="call"):
                self._leave(out)
                self._calls[event.part] = _Call(event)
            case ev.ArgumentsDelta():
                if event.part in self._calls:
                    self._calls[event.part].pieces.append(event.text)
            case ev.PartFinished():
                if event.part in self._calls:
                    self._calls[event.part].is_complete = True
                    self._leave(out)
            case ev.UsageSeen():
                self._use(event.usage)
            case ev.Started():
                if event.usage is not None:
                    self._use(event.usage)
            case ev.Logprobs():
                self._logprobs += write_logprobs(event.tokens)
            case ev.Finished():
                self._finish = event
            case ev.Ended():
                self._end(out)
            case ev.Failed():
                self._fail(event.error, out)
            case ev.Alive():
                out.append(self.alive())
            case ev.CitationSeen():
                self._lose("dropped", "citations", "citations have no form in this protocol")
            case ev.MediaSeen():
                self._lose("dropped", "media", "generated media has no form in this protocol")
            case ev.OpaqueSeen():
                self._lose("dropped", event.kind, f"{event.kind} of {event.dialect} has no form in this protocol")

    def _leave(self, out: list[bytes], *, at_end: bool = False) -> None:
        """Write the calls that are complete, up to the first that is not, or that may have been cut."""
        for part, call in list(self._calls.items()):
            if not call.is_complete and not at_end:
                return
            value, is_faithful = as_object("".join(call.pieces), custom=call.start.custom)
            if not is_faithful:
                is_last = len(self._calls) == 1
                if is_last and not at_end:
                    return
                if at_end and self._finish is not None and self._finish.reason in _CUT:
                    del self._calls[part]
                    continue
                self._lose("approximated", "tool_calls", RAW_REASON)
            del self._calls[part]
            written = written_call(call.start.id, call.start.name or "", value, self._call_count, self._asker)
            self._call_count += 1
            self._line({"content": "", "tool_calls": [written]}, out)

    def _line(self, message: dict[str, Any], out: list[bytes], last: dict[str, Any] | None = None) -> None:
        line = written_message(message, self._asker.form)
        if self._logprobs:
            line["logprobs"], self._logprobs = self._logprobs, []
        line |= {"done": False} if last is None else {"done": True, **last}
        out += (self._head, jsons.dump(line)[1:], b"\n")

    def _use(self, usage: Usage) -> None:
        if self._usage is None:
            self._usage = Usage()
        self._usage.merge(usage)

    def _end(self, out: list[bytes]) -> None:
        finish = self._finish
        if finish is not None and finish.reason == "malformed_tool":
            self._fail(malformed_call(finish), out)
            return
        self._leave(out, at_end=True)
        word, lost = write_finish(finish)
        figures, guessed = write_figures(self._usage)
        self.losses += [*lost, *guessed]
        own = own_fields(finish.extra) if finish is not None else {}
        self._line({"content": ""}, out, {"done_reason": word, **figures, **own, **warnings(self.losses)})
        self._is_over = True

    def _fail(self, error: Error, out: list[bytes]) -> None:
        out += (jsons.dump({"error": message_for(error), **warnings(self.losses)}), b"\n")
        self._is_over = True

    def _lose(self, code: LossCode, path: str, reason: str) -> None:
        loss = Loss(code, path, reason)
        if loss not in self.losses:
            self.losses.append(loss)


def written_call(call_id: str | None, name: str, arguments: dict[str, Any], index: int, asker: Asker) -> dict[str, Any]:
    """A call as clients read it, with the id that its result may name."""
    function = {"index": index, "name": name, "arguments": arguments}
    return {"id": call_id or f"call_{asker.new_id()}", "function": function}
