"""In one stream the deltas of one kind are the same bytes but for their text: learn the frame, then only compare.

A provider's model writes thousands of events like ``data: {…,"delta":{"content":"`` text ``"},…}``. The first is
parsed in full; from it a `DeltaFrame` takes what stands before and behind the text. For the next ones it is enough
that the bytes before and behind are the same and that what is between is one JSON string: no JSON is parsed and
nothing is looked up. Whatever differs in a single byte goes the general way.

Some providers number their events, count in them (Gemini), or pad them with random letters (OpenAI). Then the frame has
more than one hole (`_PorousFrame`): for the few fields of `_VOLATILE`, which mean nothing to a translation, any number
or any plain string is as good as another.

It is sound because JSON has no state: with the same bytes around it, a string without a bare quote can be nothing
but the value at the same place. What has state is the reader (which part is open), so whoever uses a frame forgets
it as soon as anything went the general way without teaching a new one.

`EventSplitter` cuts a stream into events without looking at their fields, as long as its lines end in LF or CR LF; at
the first that ends in CR it hands over to `SseParser`, whose words and results are the oracle for both (a property
test).

Measured on CPython 3.11 (`bench/parts.py`, eight events a read), whole tap and whole decoder: 0.9 and 1.3 µs an
event; parsed one by one they cost 1.4 and 2.9. Numbered ones (Responses): 1.9 and 2.2; their decoder parsed at 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from ds2api import jsons

__all__ = ["DeltaFrame", "EventSplitter"]

T = TypeVar("T")

# Some twenty times a usual event.
_LARGE_BYTES = 8 * 1024

# A JSON string as `jsons.dump_text` would write it again, byte for byte.
_AS_WRITTEN = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\["\\bfnrt])++').fullmatch
# What ends a JSON string or may not stand in one bare, and the backslash, which makes it a case for the JSON door.
_SPECIAL = re.compile(rb'["\\\x00-\x1f]').search

# Fields whose value differs from delta to delta and tells nothing: the number of an event in its stream (Responses),
# counts so far (Gemini; the last of them are read at the end), padding against guessing by size (OpenAI), and the time
# of each line (Ollama; the first is the answer's).
_NUMBER, _FILLER = rb"\d++", rb'[^"\\\x00-\x1f]*+'
_VOLATILE = re.compile(
    rb'"(?:sequence_number|[A-Za-z]*[tT]okenCount)": ?(?P<number>' + _NUMBER + rb")(?=[,}])"
    rb'|"(?:obfuscation|created_at)": ?"(?P<filler>' + _FILLER + rb')(?=")'
)


class DeltaFrame:
    """What stands before and behind the text in the deltas of one kind."""

    __slots__ = ("_after", "_after_length", "_before", "_before_length", "_ending", "_least")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._ending = after + b"\n\n"
        self._before_length = len(before)
        self._after_length = len(after)
        self._least = len(before) + len(after) + 1  # an empty text may mean something else

    @classmethod
    def learn(cls, event: bytes, text: str) -> DeltaFrame | None:
        """The frame of `event`, whose one delta is `text`; None if the place of the text is not plain to see."""
        if len(text) < 2 or not text.isascii() or _SPECIAL(text.encode()):
            return None
        quoted = b'"' + text.encode() + b'"'
        at = event.find(quoted)
        if at < 0 or event.find(quoted, at + 1) >= 0 or b"\r" in event:
            return None
        # Behind a colon it is a value; a key of the same letters would be followed by one.
        if event[at - 1 : at] not in (b":", b" ") or event[at + len(quoted) : at + len(quoted) + 1] == b":":
            return None
        holes = list(_VOLATILE.finditer(event))
        if not holes:
            return cls(event[: at + 1], event[at + len(quoted) - 1 :])
        return _PorousFrame(event, (at + 1, at + 1 + len(text)), holes)

    def is_one(self, data: bytes) -> bool:
        """Whether `data` is exactly one event of this frame with its blank line."""
        return (
            data.startswith(self._before)
            and data.endswith(self._ending)
            and data.find(b'"', self._before_length) == len(data) - self._after_length - 2
            and len(data) >= self._least + 2
        )

    def raw_texts(self, events: list[bytes]) -> list[bytes] | None:
        """The texts of the first of `events`, as far as they are of this frame, as they stand; None unless each of them
        is what `jsons.dump_text` would write between the quotes."""
        before, after = self._before, self._after
        first, last, least = self._before_length, -self._after_length, self._least
        raws = []
        # --- hot: one turn of this loop is what a spliced event costs ---
        for event in events:
            if len(event) < least or not event.startswith(before) or not event.endswith(after):
                break
            raws.append(event[first:last])
        return raws if _are_as_written(raws) else None

    def skip(self, events: list[bytes], at: int) -> int:
        """The place of the first event from `at` on that is not of this frame, or whose text is not plain."""
        before, after = self._before, self._after
        first, last, least = self._before_length, self._after_length, self._least
        # --- hot: one turn of this loop is what a relayed event costs to watch ---
        for place in range(at, len(events)):
            event = events[place]
            if (
                not event.startswith(before)
                or not event.endswith(after)
                # The first quote behind the text's first byte is the one that begins what stands behind it.
                or event.find(b'"', first) != len(event) - last
                or len(event) < least
            ):
                return place
        return len(events)

    def take(self, events: list[bytes], at: int, make: Callable[[int, str], T], part: int, out: list[T]) -> int:
        """Append ``make(part, text)`` to `out` for each event from `at` on, up to the first that is not of this
        frame; gives its place."""
        before, after = self._before, self._after
        first, last, least = self._before_length, -self._after_length, self._least
        append, special = out.append, _SPECIAL
        # --- hot: one turn of this loop is what a translated event costs to read ---
        for place in range(at, len(events)):
            event = events[place]
            if len(event) < least or not event.startswith(before) or not event.endswith(after):
                return place
            raw = event[first:last]
            try:
                if special(raw) is None:
                    append(make(part, raw.decode()))
                    continue
                text = jsons.parse(b'"' + raw + b'"')
            except ValueError:  # no UTF-8, or no string: the general way says what is wrong
                return place
            if not text:
                return place
            append(make(part, text))
        return len(events)


class _PorousFrame(DeltaFrame):
    """A frame with holes for what differs and means nothing, too: before the text, behind it, or both.

    All holes of one side, with what stands between them, are one pattern. It holds no ids, so that it is the same for
    most streams of a provider (`_pattern` remembers it; compiling one costs 0.2 ms)."""

    __slots__ = ("_behind", "_far", "_front", "_near")

    def __init__(self, event: bytes, text: tuple[int, int], holes: Sequence[re.Match[bytes]]) -> None:
        start, end = text
        front = [hole for hole in holes if hole.end() <= start]
        behind = [hole for hole in holes if hole.start() >= end]
        self._front = _pattern(*_pieces(event, front)).match if front else None
        self._near = event[_place(front[-1])[1] : start] if front else b""  # from the last hole to the text
        first = _place(behind[0])[0] if behind else len(event)
        self._behind = _pattern(*_pieces(event, behind)).fullmatch if behind else None
        self._far = event[end:first]  # from the text to the next hole
        super().__init__(
            event[: _place(front[0])[0] if front else start], event[_place(behind[-1])[1] if behind else len(event) :]
        )

    def _texts(self, events: list[bytes], at: int) -> list[bytes]:
        """What stands in the text's place, unproved, of each event from `at` on, up to the first that is not of this
        frame.

        The first place where the bytes behind the text are found ends it. If that was inside of the text (an escaped
        quote stands before them), what is cut off there is no string, and whoever parses it sees that."""
        before, after, near, far = self._before, self._after, self._near, self._far
        front, behind = self._front, self._behind
        first, last, near_length, far_length = len(before), len(after), len(near), len(far)
        texts: list[bytes] = []
        append = texts.append
        # --- hot: one turn of this loop is what finding a text in a numbered event costs ---
        for place in range(at, len(events)):
            event = events[place]
            if not event.startswith(before) or not event.endswith(after):
                break
            start = first
            if front is not None:
                hole = front(event, start)
                if hole is None:
                    break
                start = hole.end()
                if not event.startswith(near, start):
                    break
                start += near_length
            end = event.find(far, start)
            if end < 0:
                break
            if behind is not None:
                if behind(event, end + far_length, len(event) - last) is None:
                    break
            elif end + far_length != len(event) - last:
                break
            append(event[start:end])
        return texts

    def raw_texts(self, events: list[bytes]) -> list[bytes] | None:
        raws = self._texts(events, 0)
        return raws if _are_as_written(raws) else None

    def is_one(self, data: bytes) -> bool:
        if not data.endswith((b"\n\n", b"\r\n\r\n")):
            return False
        return self.skip([data[: -4 if data.endswith(b"\r\n") else -2]], 0) == 1

    def skip(self, events: list[bytes], at: int) -> int:
        for raw in self._texts(events, at):
            if not raw or _SPECIAL(raw) is not None:
                break
            at += 1
        return at

    def take(self, events: list[bytes], at: int, make: Callable[[int, str], T], part: int, out: list[T]) -> int:
        append, special = out.append, _SPECIAL
        for raw in self._texts(events, at):
            try:
                text = raw.decode() if special(raw) is None else jsons.parse(b'"' + raw + b'"')
            except ValueError:  # no UTF-8, or no string: the general way says what is wrong
                break
            if not text:
                break
            append(make(part, text))
            at += 1
        return at


def _are_as_written(raws: list[bytes]) -> bool:
    joined = b"".join(raws)
    if joined.isascii() and _SPECIAL(joined) is None:
        return all(raws)
    try:
        for raw in raws:
            raw.decode()
    except UnicodeDecodeError:
        return False
    return all(_AS_WRITTEN(raw) for raw in raws)


def _place(hole: re.Match[bytes]) -> tuple[int, int]:
    """Where the value of a hole stands."""
    return hole.span(hole.lastgroup or 0)


def _pieces(event: bytes, holes: Sequence[re.Match[bytes]]) -> tuple[bytes, ...]:
    """What may stand in each of `holes`, and between them what does."""
    pieces: list[bytes] = []
    last = None
    for hole in holes:
        start, end = _place(hole)
        if last is not None:
            pieces.append(re.escape(event[last:start]))
        pieces.append(_NUMBER if hole.lastgroup == "number" else _FILLER)
        last = end
    return tuple(pieces)


@lru_cache(256)
def _pattern(*pieces: bytes) -> re.Pattern[bytes]:
    return re.compile(b"".join(pieces))


class EventSplitter:
    """Cuts bytes into whole events, each without its `ending` (a blank line, or the line end in a stream of lines), and
    with LF alone between its lines.

    `split` gives None when the stream is not for it: a line ends in CR alone, or one event is large (looking at
    its beginning again with every read would be quadratic). Then `rest` holds what was not given out, and the caller's
    `SseParser` takes over for good.
    """

    __slots__ = ("_ending", "ending", "rest")

    def __init__(self, ending: bytes = b"\n\n") -> None:
        self.rest = b""
        self._ending = ending
        self.ending = ending  # as they came lately

    def split(self, data: bytes) -> list[bytes] | None:
        if self.rest:
            data = self.rest + data
        tail = b""
        if b"\r" in data:
            if data.endswith(b"\r"):  # the first half of a line end, perhaps
                data, tail = data[:-1], b"\r"
            lines = data.replace(b"\r\n", b"\n")
            if b"\r" in lines:
                self.rest = data + tail
                return None
            data = lines
            self.ending = self._ending.replace(b"\n", b"\r\n")
        events = data.split(self._ending)
        self.rest = events.pop() + tail
        if len(self.rest) > _LARGE_BYTES and not events:
            return None
        return events
