"""What the taps of all event-stream dialects have in common: whole events pass as they came, few are looked at.

A tap holds back an unfinished event, so that whatever else is written to the client (a keep-alive, an error, the end)
stands between whole events. Most events are deltas in one frame, learned from the first (`delta_frame`): they are
compared, not parsed. What does not fit the frame is read and given to the dialect's `note`, which says what the event
tells and whether it is to be taken out (chat's usage chunk that only the gateway asked for).

An event that cannot be read, or is no UTF-8, is an error: passed on it would stop the client's parser in the middle of
an answer, with no word of why. (What is only compared, or known by its name, is not read: there UTF-8 and the closing
brace have to do.)

Lines may end in LF, CR LF or CR, cut anywhere; where they are not all alike, each event is read. Memory: one event, at
most `limit_bytes`; a larger one is an error, and nothing of it or behind it passes.

Cost, CPython 3.11 (`bench/parts.py`): 0.9 µs an event where a read brings eight, 0.6 for one that comes alone.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from ds2api.dialects.delta_frame import WINDOW_BYTES, DeltaFrame, last_event
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.usage import Usage
from ds2api.wire.sse import BOM, DEFAULT_LIMIT_BYTES, SseParser, is_utf8

__all__ = ["RelayTap"]

_LINE_END = rb"(?>\r\n|\n|\r)"
_BLANK = re.compile(_LINE_END + _LINE_END)
_SIZE_LINE = re.compile(rb"\r\n[0-9A-Fa-f]{1,4}\r\n")  # between two chunks


class RelayTap(ABC):
    """See `contract.Tap`. A dialect fills in `note` and `finish`."""

    removed = b""
    __slots__ = (
        "_frame", "_has_begun", "_has_cr", "_held", "_held_bytes", "_limit_bytes", "answer_id", "content_seen",
        "delta_text", "ended", "error", "latest", "usage",
    )  # fmt: skip

    marker = b""  # what ends a stream of this dialect, for an answer that was complete without it

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.content_seen = False
        self.ended = False
        self.error: Error | None = None
        self.usage: Usage | None = None
        self.answer_id: str | None = None
        self.latest = b""  # the last event that was compared only
        self.delta_text = ""  # set by `note` for an event that says nothing but this text
        self._limit_bytes = limit_bytes
        self._frame: DeltaFrame | None = None
        self._held: list[bytes] = []  # an unfinished event
        self._held_bytes = 0
        self._has_begun = self._has_cr = False

    @abstractmethod
    def note(self, data: bytes, name: bytes) -> bool:
        """Note what one event tells. Gives whether it is taken out of the stream."""

    @abstractmethod
    def finish(self) -> None:
        """The bytes are over, without an error and without the terminal marker: set `ended` or `error`."""

    def forward(self, data: bytes) -> bytes:
        """See `contract.Tap`."""
        if self.error is not None or self.ended:  # what follows means nothing, but for the rest of a line end
            return b"" if self.error is not None or data.strip(b"\r\n") else data
        held = self._held
        if not self._has_cr and b"\r" in data:
            self._has_cr = True
        # A blank line may begin in what is held: its last three bytes are looked at again.
        seam = held[-1][-3:] if held else b""
        joined = seam + data if seam else data
        cut = self._last_end(joined) - len(seam)
        if cut <= 0:
            held.append(data if len(data) > 3 or not held else held.pop() + data)
            self._held_bytes += len(data)
            if self._held_bytes > self._limit_bytes:
                self._release()
                message = f"the provider sent an event larger than {self._limit_bytes} bytes"
                self.error = Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message)
            return b""
        whole, rest = (data, b"") if cut == len(data) else (data[:cut], data[cut:])
        if held:
            held.append(whole)
            whole = self._release()
        if rest:
            held.append(rest)
            self._held_bytes = len(rest)
        return self._pass(whole)

    def shortcut(self, data: bytes) -> tuple[bytes, int]:
        """See `contract.Tap`."""
        frame = self._frame
        if frame is None or self._held or self.ended or self.error is not None:
            return b"", 0
        ending = b"\r\n\r\n" if self._has_cr else b"\n\n"
        used = frame.cutter(ending, in_chunks=True)(data)[1]
        if used and frame.has_counts:
            self.latest = last_event(data, used, ending)
        passed = data if used == len(data) else data[:used]
        if self.removed and used:
            passed = _SIZE_LINE.sub(b"", b"\r\n" + passed)[:-2].replace(self.removed, b"")
            passed = b"%x\r\n%b\r\n" % (len(passed), passed)
        return passed, used

    def end(self) -> bytes:
        """See `contract.Tap`."""
        rest = self._release()
        if rest:
            rest = self._pass(rest)
            if self.error is not None and self.error.kind is Kind.UPSTREAM_BROKEN:  # cut in the middle
                rest, self.error = b"", None
        if self.ended or self.error is not None:
            return rest
        self.finish()
        if self._is_broken():
            return b""  # of an event that never ended nothing may stand before the error
        return (rest + b"\n\n" if rest else b"") + self.marker

    def _is_broken(self) -> bool:
        return self.error is not None

    def refuse(self) -> bool:
        """An event that cannot be read. Gives that it is taken out."""
        message = "the provider sent an event that cannot be read"
        self.error = Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message)
        return True

    def _release(self) -> bytes:
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return held

    def _last_end(self, data: bytes) -> int:
        """Where the last blank line of `data` ends; 0 where there is none."""
        if not self._has_cr:
            return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
        if data.endswith(b"\r\n\r\n"):
            return len(data)
        end = 0
        for found in _BLANK.finditer(data):
            end = found.end()
        return end

    def _pass(self, whole: bytes) -> bytes:
        """Whole events: note what they tell, give them back less what is taken out."""
        if not self._has_begun:
            self._has_begun = True
            whole = whole.removeprefix(BOM)  # behind a keep-alive of ours it would be a part of its line
        if not is_utf8(whole) and not self.ended:
            self.refuse()
            return b""
        blank = b"\n\n"
        if self._has_cr:
            pairs = whole.count(b"\r\n")
            if pairs != whole.count(b"\n") or pairs != whole.count(b"\r"):
                return self._pass_any(whole)
            blank = b"\r\n\r\n"
        kept: list[bytes] = []  # unless all of it passes
        start = at = 0
        window = len(whole)
        while at < len(whole) and not self.ended:
            if self._frame is not None:
                used = self._frame.cutter(blank)(whole[at : at + window])[1]
                at, window = at + used, max(4 * used, WINDOW_BYTES)
                if used:
                    self.latest = last_event(whole, at, blank)
                    continue
            end = whole.find(blank, at)
            event = whole[at:end] if end >= 0 else whole[at:]
            if event and self._look(event):
                kept.append(whole[start:at])
                start = at + len(event) + len(blank)
                if self.error is not None:  # what follows an error means nothing
                    return b"".join(kept)
            at += len(event) + len(blank)
        # Nor does what follows the end.
        return whole if not start and at >= len(whole) else b"".join((*kept, whole[start:at]))

    def _pass_any(self, whole: bytes) -> bytes:
        kept: list[bytes] = []
        start = 0
        while start < len(whole):
            found = _BLANK.search(whole, start)
            end = found.end() if found is not None else len(whole)
            if not self._look(whole[start:end]):
                kept.append(whole[start:end])
            if self.error is not None or self.ended:
                break
            start = end
        return b"".join(kept)

    def _look(self, event: bytes) -> bool:
        """Read one event the general way. Gives whether it is taken out."""
        if self.ended or self.error is not None:
            return False
        self.delta_text = ""
        name, _, data = event.rpartition(b"\n")
        name = name.removesuffix(b"\r")
        if (
            len(data) > 6
            and data.startswith(b"data: ")
            and (not name or (name.startswith(b"event: ") and b"\n" not in name))
        ):
            is_taken_out = self.note(data[6:], name[7:])  # as nearly all are written
        else:
            is_taken_out = self._look_closely(event)
        if self.delta_text:
            self._frame = DeltaFrame.learn(event, self.delta_text) or self._frame
        return is_taken_out

    def _look_closely(self, event: bytes) -> bool:
        is_taken_out = False
        parser = SseParser(self._limit_bytes + 1)
        for one in (*parser.feed(event + b"\n\n"), *parser.end()):
            if not one.comment and one.data:
                is_taken_out = self.note(one.data, one.name) or is_taken_out
        return is_taken_out
