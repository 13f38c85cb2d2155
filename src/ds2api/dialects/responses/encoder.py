"""Writes a responses client's stream: universal events → named events (`streams.md` §2).

It owns what clients rely on: `response.created` and `response.in_progress` first; every item whole (added, its parts,
deltas, `done` of each level), one after the other (`Sequencer`); ids with their prefixes, the same in every event; the
items of the final response equal to those of `output_item.done`, for they are the same objects (R022, R023); numbers
without gaps; a terminal event always, `response.failed` where all else failed. An item begins when it has something to
say. A call whose arguments are no JSON waits with its `done` until it is known whether the token limit cut it (R007).

The final response repeats the whole output, so what was written is kept until the end: memory grows with the answer,
as this protocol demands of every server.

Hot path: a delta is two constants, made when its part begins, around the escaped text and the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Around, Asker
from ds2api.dialects.loss_lines import loss_lines
from ds2api.dialects.responses import proofs
from ds2api.dialects.responses.answer import response_head
from ds2api.dialects.responses.errors import response_error
from ds2api.dialects.responses.finish import finish_loss, written_finish
from ds2api.dialects.responses.origin import NAME, begun_as, came_as
from ds2api.dialects.responses.tools_in import namespaces_of
from ds2api.dialects.responses.usage import written_usage
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss, LossCode
from ds2api.universal.parts import Citation
from ds2api.universal.response import Response, play
from ds2api.universal.sequencer import Sequencer
from ds2api.universal.usage import Usage

__all__ = ["ResponsesEncoder", "write_response"]

Item = dict[str, Any]

_NUMBER = b',"sequence_number":%d}\n\n'
_CUT = frozenset({"length", "context_full", "content_filter"})

# The kinds of parts in an item: the type of the part, its events' stem, the name of its text.
_CONTENT = {"text": ("output_text", "text"), "refusal": ("refusal", "refusal"), "thought": ("reasoning_text", "text")}


def write_response(response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
    """A whole answer, and what it could not carry. Raises `Problem` for one that can only be called an error."""
    encoder = ResponsesEncoder(asker)
    encoder.encode(play(response))
    if encoder.error is not None:
        raise Problem(encoder.error)
    return jsons.dump(encoder.answer), encoder.losses


class _Open:
    """The item that is being written. `own`: the provider's, of this dialect; `whole`: and all of it is known."""

    __slots__ = ("head", "index", "item", "own", "whole")

    def __init__(self, item: Item, index: int, own: Item | None, whole: Item | None) -> None:
        self.item = item
        self.index = index
        self.own = own
        self.whole = whole
        self.head = b'"item_id":%b,"output_index":%d' % (jsons.dump(item.get("id")), index)


class ResponsesEncoder:
    """See `contract.Encoder`. One for each stream. `answer` is the final response, `error` what it failed with."""

    stream_type = "text/event-stream"
    tells_errors = True

    def __init__(self, asker: Asker) -> None:
        self.losses: list[Loss] = []
        self.answer: Item = {}
        self.error: Error | None = None
        self._asker = asker
        self._sequencer = Sequencer()
        self._namespaces = namespaces_of(asker.request)
        self._number = 0  # of the next event
        self._lent: Around | None = None  # by whom events may have been written
        self._response: Item = {}  # its head; empty until it began
        self._output: list[Item] = []  # items that are done
        self._items = 0  # that began
        self._open: _Open | None = None
        self._start: ev.PartStarted | None = None  # the part that is being written
        self._content: Item | None = None  # its object, once it has begun
        self._before = b""  # around each of its deltas; empty until it has begun
        self._after = b""
        self._pieces: list[str] = []
        self._held: _Open | None = None  # a call whose arguments are no JSON
        self._signature: str | None = None  # an envelope that belongs behind the open item
        self._logprobs: list[Any] = []  # for the next delta
        self._usage: Usage | None = None
        self._finish: ev.Finished | None = None
        self._has_refusal = False
        self._is_over = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """See `contract.Encoder`."""
        if self._is_over:
            return b""
        lent, self._lent = self._lent, None
        if lent is not None and lent.number is not None and lent.number > self._number:
            self._number = lent.number - 1  # what is given now was written
        out: list[bytes] = []
        for event in self._sequencer.order(list(events)):
            if isinstance(event, ev.DELTAS):
                if not event.text or event.choice:
                    continue
                if not self._before:
                    self._begin(out)
                if self._logprobs:
                    self._delta_with_logprobs(event.text, out)
                elif self._before:
                    self._pieces.append(event.text)
                    out += (self._before, jsons.dump_text(event.text), self._after % self._number)
                    self._number += 1
            else:
                self._other(event, out)
        return b"".join(out)

    def around(self, delta: ev.Delta) -> Around | None:
        """See `contract.Encoder`."""
        if not self._before or self._logprobs or self._sequencer.current != delta.part or self._is_over:
            return None
        self._lent = Around(self._before, self._after, self._number)
        return self._lent

    def alive(self) -> bytes:
        """A comment, which every SDK skips."""
        return b"" if self._is_over else b": keep-alive\n\n"

    def _event(self, kind: str, out: list[bytes], **fields: Any) -> None:
        written = jsons.dump({"type": kind, **fields})[:-1]
        out += (b"event: %b\ndata: " % kind.encode(), written, _NUMBER % self._number)
        self._number += 1

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        if self._is_over:
            return
        if getattr(event, "choice", 0):
            self._lose("dropped", "choices", "a response holds one answer; the others are left out")
            return
        match event:
            case ev.PartStarted():
                self._part_started(event, out)
            case ev.PartFinished():
                self._part_finished(out)
            case ev.ReasoningSealed():
                self._sealed(event, out)
            case ev.CitationSeen():
                self._cite(event.citation, out)
            case ev.Logprobs():
                self._logprobs += [_logprob(one) for one in event.tokens.get("content") or ()]
            case ev.OpaqueSeen():
                self._opaque(event, out)
            case ev.Started():
                self._begin_response(event, out)
            case ev.UsageSeen():
                self._use(event.usage)
            case ev.Finished():
                self._finish = event
            case ev.Ended():
                self._end(out)
            case ev.Failed():
                self._fail(event.error, out)
            case ev.MediaSeen():
                self._lose("dropped", "media", "generated media has no form here")
            case ev.Alive():
                out.append(self.alive())

    def _begin_response(self, event: ev.Started, out: list[bytes]) -> None:
        if self._response:
            return
        self._response = response_head(event, self._asker)
        if event.usage is not None:
            self._use(event.usage)
        for kind in ("response.created", "response.in_progress"):
            self._event(kind, out, response=self._response)

    # --- parts ---

    def _part_started(self, event: ev.PartStarted, out: list[bytes]) -> None:
        if not self._response:  # a decoder that skipped `Started`
            self._begin_response(ev.Started(), out)
        self._release(out)
        own = begun_as(event.extra)
        if self._open is not None and (own is None or own is not self._open.own):
            self._close_item(out)
        self._start, self._before, self._content, self._pieces = event, b"", None, []
        self._has_refusal = self._has_refusal or event.kind == "refusal"
        if own is not None and event.kind == "reasoning":
            self._open_item("reasoning", {"summary": []}, "rs", event, out)
        elif event.kind == "call" or (own is not None and event.kind in ("text", "refusal")):
            self._begin(out)

    def _begin(self, out: list[bytes]) -> None:
        """Open what the part needs, now that it has something to say."""
        start = self._start
        if start is None or start.kind in ("opaque", "media"):
            return
        own = begun_as(start.extra)
        if start.kind == "call":
            self._begin_call(start, own, out)
            return
        if start.kind == "reasoning":
            opened = self._open or self._open_item("reasoning", {"summary": []}, "rs", start, out)
            if own is None or start.summary:
                stem, place, text = "response.reasoning_summary_text", "summary_index", {"type": "summary_text"}
                entries = opened.item["summary"]
                self._event(
                    "response.reasoning_summary_part.added", out, item_id=opened.item["id"], output_index=opened.index,
                    summary_index=len(entries), part={**text, "text": ""},
                )  # fmt: skip
                self._set_frame(stem, opened, place, len(entries))
                entries.append({**text, "text": ""})
                self._content = entries[-1]
            else:
                entries = opened.item.setdefault("content", [])
                self._add_content("thought", entries, opened, out)
            return
        if self._open is None:
            self._open_item("message", {"status": "in_progress", "role": "assistant", "content": []}, "msg", start, out)
        assert self._open is not None
        self._add_content(start.kind, self._open.item["content"], self._open, out)

    def _add_content(self, kind: str, entries: list[Item], opened: _Open, out: list[bytes]) -> None:
        word, name = _CONTENT[kind]
        more: Item = {"annotations": [], "logprobs": []} if kind == "text" else {}
        part = {"type": word, name: "", **more}
        self._event(
            "response.content_part.added", out, item_id=opened.item["id"], output_index=opened.index,
            content_index=len(entries), part=part,
        )  # fmt: skip
        self._set_frame(f"response.{word}", opened, "content_index", len(entries))
        if kind == "text":
            self._after = b',"logprobs":[]' + _NUMBER
        entries.append(part)
        self._content = part

    def _begin_call(self, start: ev.PartStarted, own: Item | None, out: list[bytes]) -> None:
        kind, text, prefix = (
            ("custom_tool_call", "input", "ctc") if start.custom else ("function_call", "arguments", "fc")
        )
        name = start.name or ""
        named = {"name": name}
        if own is None and name in self._namespaces:
            namespace, name = self._namespaces[name]
            named = {"name": name, "namespace": namespace}
        call_id = start.id or f"call_{self._asker.new_id()}"
        given = {"status": "in_progress", text: "", "call_id": call_id, **named}
        opened = self._open_item(kind, given, prefix, start, out)
        self._content = opened.item
        stem = "response.custom_tool_call_input" if start.custom else "response.function_call_arguments"
        self._set_frame(stem, opened, None, 0)

    def _set_frame(self, stem: str, opened: _Open, place: str | None, index: int) -> None:
        inner = b"" if place is None else b',"%b":%d' % (place.encode(), index)
        kind = stem.encode() + b".delta"
        self._before = b'event: %b\ndata: {"type":"%b",%b%b,"delta":' % (kind, kind, opened.head, inner)
        self._after = _NUMBER

    def _open_item(self, kind: str, fields: Item, prefix: str, start: ev.PartStarted, out: list[bytes]) -> _Open:
        """Begin an item: a new one, or the provider's own, emptied of what is to follow."""
        own = begun_as(start.extra)
        item: Item = {"id": f"{prefix}_{self._asker.new_id()}", "type": kind, **fields}
        if own is not None:
            item = {**own, **{name: one for name, one in fields.items() if name != "status" or "status" in own}}
            item["id"] = own.get("id") or f"{prefix}_{self._asker.new_id()}"
            if "content" in own:
                item["content"] = []
        opened = _Open(item, self._items, own, came_as(start.extra))
        self._items += 1
        self._open = opened
        self._event("response.output_item.added", out, output_index=opened.index, item=item)
        return opened

    def _delta_with_logprobs(self, text: str, out: list[bytes]) -> None:
        logprobs, self._logprobs = self._logprobs, []
        opened, content = self._open, self._content
        if opened is None or content is None or "annotations" not in content:
            return
        self._pieces.append(text)
        content["logprobs"] += logprobs
        self._event(
            "response.output_text.delta", out, item_id=opened.item["id"], output_index=opened.index,
            content_index=len(opened.item["content"]) - 1, delta=text, logprobs=logprobs,
        )  # fmt: skip

    def _cite(self, citation: Citation, out: list[bytes]) -> None:
        if not self._before:
            self._begin(out)
        opened, content = self._open, self._content
        annotation = self._annotation(citation)
        if opened is None or content is None or "annotations" not in content or annotation is None:
            self._lose("dropped", "citations", "a citation without a web page has no form here")
            return
        content["annotations"].append(annotation)
        self._event(
            "response.output_text.annotation.added", out, item_id=opened.item["id"], output_index=opened.index,
            content_index=len(opened.item["content"]) - 1, annotation_index=len(content["annotations"]) - 1,
            annotation=annotation,
        )  # fmt: skip

    def _annotation(self, citation: Citation) -> Item | None:
        """What names no place spans the text so far: whoever cites so does it behind the text (`mapping.md` §2)."""
        own = came_as(citation.extra)
        if own is not None or citation.url is None:
            return own
        start = 0 if citation.start is None else citation.start
        end = sum(map(len, self._pieces)) if citation.end is None else citation.end
        where = {"start_index": start, "end_index": end}
        return {"type": "url_citation", "url": citation.url, "title": citation.title or "", **where}

    def _sealed(self, event: ev.ReasoningSealed, out: list[bytes]) -> None:
        start = self._start
        proof = proofs.for_client(event.sealed, self._asker)
        if proof is None or start is None:
            self._lose("dropped", "signature", "there is nothing to seal this proof of reasoning with")
        elif start.kind == "reasoning":
            if self._open is None:  # a thought without text: the item is its proof
                self._open_item("reasoning", {"summary": []}, "rs", start, out)
            assert self._open is not None
            self._open.item["encrypted_content"] = proof
        else:
            self._signature = proof

    def _part_finished(self, out: list[bytes]) -> None:
        start, opened, content, text = self._start, self._open, self._content, "".join(self._pieces)
        self._start, self._before, self._content, self._pieces = None, b"", None, []
        if start is None:
            return
        if opened is None:
            self._sign(out)
            return
        if start.kind == "call":
            self._finish_call(start, opened, text, out)
            return
        if content is not None:
            self._finish_content(start, opened, content, text, out)
        if opened.own is None or start.kind == "reasoning":
            self._close_item(out)

    def _finish_content(self, start: ev.PartStarted, opened: _Open, content: Item, text: str, out: list[bytes]) -> None:
        word, where = content["type"], {"item_id": opened.item["id"], "output_index": opened.index}
        if word == "summary_text":
            where["summary_index"] = 0
            content["text"] = text
            self._event("response.reasoning_summary_text.done", out, **where, text=text)
            self._event("response.reasoning_summary_part.done", out, **where, part=content)
            return
        where["content_index"] = len(opened.item["content"]) - 1
        name = "refusal" if word == "refusal" else "text"
        content[name] = text
        if self._logprobs and "logprobs" in content:  # of a text that was said before them
            content["logprobs"] += self._logprobs
        self._logprobs = []
        more = {"logprobs": content["logprobs"]} if "logprobs" in content else {}
        self._event(f"response.{word}.done", out, **where, **{name: text}, **more)
        self._event("response.content_part.done", out, **where, part=content)

    def _finish_call(self, start: ev.PartStarted, opened: _Open, text: str, out: list[bytes]) -> None:
        where = {"item_id": opened.item["id"], "output_index": opened.index}
        if start.custom:
            opened.item["input"] = text
            self._event("response.custom_tool_call_input.done", out, **where, input=text)
        else:
            if not text.strip() and opened.own is None:  # a call without arguments is one with none
                text = "{}"
                self._event("response.function_call_arguments.delta", out, **where, delta=text)
            opened.item["arguments"] = text
            self._event("response.function_call_arguments.done", out, **where, arguments=text)
            if opened.own is None and not _is_json(text):
                self._held, self._open = opened, None
                return
        self._close_item(out)

    def _opaque(self, event: ev.OpaqueSeen, out: list[bytes]) -> None:
        if event.dialect != NAME or event.part is None:
            self._lose("dropped", event.kind, f"{event.kind} of {event.dialect} has no form here")
            return
        index, self._items = self._items, self._items + 1
        for kind in ("response.output_item.added", "response.output_item.done"):
            self._event(kind, out, output_index=index, item=event.data)
        self._output.append(event.data)

    # --- the ends of items ---

    def _release(self, out: list[bytes], *, is_cut: bool = False) -> None:
        """The call that waited: what follows it tells whether it was cut."""
        held, self._held = self._held, None
        if held is not None:
            self._done(held, out, status="incomplete" if is_cut else "completed")

    def _close_item(self, out: list[bytes]) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            self._done(opened, out, status="completed")

    def _done(self, opened: _Open, out: list[bytes], *, status: str) -> None:
        item = opened.item
        if "status" in item:
            item["status"] = status
        if opened.whole is not None:
            item = {**item, **opened.whole, "id": item["id"]}
            if "encrypted_content" in opened.item:
                item["encrypted_content"] = opened.item["encrypted_content"]
        self._output.append(item)
        self._event("response.output_item.done", out, output_index=opened.index, item=item)
        self._sign(out)

    def _sign(self, out: list[bytes]) -> None:
        """The proof of what was just said, in an item of its own (`proofs`)."""
        proof, self._signature = self._signature, None
        if proof is None:
            return
        identity = f"{proofs.SIGNATURE_PREFIX}{self._asker.new_id()}"
        item = {"id": identity, "type": "reasoning", "summary": [], "encrypted_content": proof}
        index, self._items = self._items, self._items + 1
        for kind in ("response.output_item.added", "response.output_item.done"):
            self._event(kind, out, output_index=index, item=item)
        self._output.append(item)

    # --- the end of all ---

    def _use(self, usage: Usage) -> None:
        if self._usage is None:
            self._usage = Usage()
        self._usage.merge(usage)

    def _end(self, out: list[bytes]) -> None:
        finish = self._finish
        if finish is not None and finish.reason == "malformed_tool":
            said = f" ({finish.native})" if finish.native else ""
            message = f"The model made a malformed tool call{said}."
            self._fail(Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, message), out)
            return
        if not self._response:
            self._begin_response(ev.Started(), out)
        self._release(out, is_cut=finish is not None and finish.reason in _CUT)
        self._close_item(out)
        if finish is not None and finish.reason == "refusal" and not self._has_refusal:
            self._write_refusal(finish, out)
        if finish is not None and (loss := finish_loss(finish)) is not None:
            self._lose("approximated", "status", loss)
        usage = written_usage(self._usage)
        self._report_usage()
        own = came_as(finish.extra) if finish is not None else None
        self.answer = self._response if own is None else {**own, "object": "response"}
        self.answer |= {name: self._response[name] for name in ("id", "created_at", "model")} | written_finish(finish)
        self.answer |= {"output": self._output, "usage": usage}
        self._is_over = True
        out.append(loss_lines(self.losses))
        kind = "response.incomplete" if self.answer.get("status") == "incomplete" else "response.completed"
        self._event(kind, out, response=self.answer)
        if self._asker.keep is not None:
            self._asker.keep(self.answer)

    def _report_usage(self) -> None:
        """A side that nobody counted stands as 0, since the type wants a number; nothing at all is null (R011)."""
        usage = self._usage
        if usage is None or (usage.input_total is None and usage.output_total is None):
            if self._response.get("status") != "queued":
                self._lose("dropped", "usage", "the provider did not count")
        elif usage.estimated:
            self._lose("estimated", "usage", "the gateway's own guess")
        elif usage.input_total is None or usage.output_total is None:
            self._lose("estimated", "usage", "the provider counted one side only: the other is written as 0")

    def _write_refusal(self, finish: ev.Finished, out: list[bytes]) -> None:
        """What a client reads where the provider refused without words of its own."""
        details = finish.details if isinstance(finish.details, dict) else {}
        said = [details[name] for name in ("explanation", "category") if isinstance(details.get(name), str)]
        self._part_started(ev.PartStarted(-1, "refusal"), out)
        self._begin(out)
        text = said[0] if said and said[0] else "The model refused to answer."
        self._pieces.append(text)
        out += (self._before, jsons.dump_text(text), self._after % self._number)
        self._number += 1
        self._part_finished(out)

    def _fail(self, error: Error, out: list[bytes]) -> None:
        """Never the end of the bytes alone: Codex calls that a lost connection, and the SDK says nothing."""
        if not self._response:
            self._begin_response(ev.Started(), out)
        self.error = error
        self._is_over = True
        failed = {"status": "failed", "error": response_error(error), "output": self._output}
        out.append(loss_lines(self.losses))
        usage = written_usage(self._usage)
        self._event("response.failed", out, response={**self._response, **failed, "usage": usage})

    def _lose(self, code: LossCode, path: str, reason: str) -> None:
        loss = Loss(code, path, reason)
        if loss not in self.losses:
            self.losses.append(loss)


def _is_json(text: str) -> bool:
    try:
        jsons.parse(text)
    except jsons.JsonError:
        return False
    return True


def _logprob(entry: Any) -> Any:
    """An entry of chat's list, with the bytes that this protocol's type wants."""
    if not isinstance(entry, dict):
        return entry
    written = {**entry}
    if written.get("bytes") is None and isinstance(written.get("token"), str):
        written["bytes"] = list(written["token"].encode(errors="replace"))
    top = written.get("top_logprobs")
    written["top_logprobs"] = [_logprob(one) for one in top] if isinstance(top, list) else []
    if "top_logprobs" not in entry:
        del written["top_logprobs"]
    return written
