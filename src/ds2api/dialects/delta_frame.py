"""In one stream the deltas of one kind are the same bytes but for their text: learn the frame, then only compare.

A provider's model writes thousands of events like ``data: {…,"delta":{"content":"`` text ``"},…}``. The first is
parsed in full; from it a `DeltaFrame` takes what stands before and behind the text. For the next ones it is enough
that the bytes before and behind are the same and that what is between is one JSON string: no JSON is parsed and
nothing is looked up. Whatever differs in a single byte goes the general way.

It is sound because JSON has no state: with the same bytes around it, a string without a bare quote can be nothing
but the value at the same place. What has state is the reader (which part is open), so whoever uses a frame forgets
it as soon as anything went the general way without teaching a new one.

`EventSplitter` cuts a stream into events without looking at their fields, as long as its lines end in LF alone;
at the first CR it hands over to `SseParser`, whose words and results are the oracle for both (a property test).

Measured on CPython 3.11 (`bench/parts.py`, eight events a read), whole tap and whole decoder: 0.9 and 1.3 µs an
event; parsed one by one they cost 1.4 and 2.9.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from ds2api import jsons

__all__ = ["DeltaFrame", "EventSplitter"]

T = TypeVar("T")

# Some twenty times a usual event.
_LARGE_BYTES = 8 * 1024

# What ends a JSON string or may not stand in one bare, and the backslash, which makes it a case for the JSON door.
_SPECIAL = re.compile(rb'["\\\x00-\x1f]').search


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
        return cls(event[: at + 1], event[at + len(quoted) - 1 :])

    def is_one(self, data: bytes) -> bool:
        """Whether `data` is exactly one event of this frame with its blank line."""
        return (
            data.startswith(self._before)
            and data.endswith(self._ending)
            and data.find(b'"', self._before_length) == len(data) - self._after_length - 2
            and len(data) >= self._least + 2
        )

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


class EventSplitter:
    """Cuts bytes into whole events, each without the blank line that ends it.

    `split` gives None when the stream is not for it: a CR has come, or one event is large (looking at its beginning
    again with every read would be quadratic). Then `rest` holds what was not given out, and the caller's `SseParser`
    takes over for good.
    """

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def split(self, data: bytes) -> list[bytes] | None:
        if self.rest:
            data = self.rest + data
        if b"\r" in data:
            self.rest = data
            return None
        events = data.split(b"\n\n")
        self.rest = events.pop()
        if len(self.rest) > _LARGE_BYTES and not events:
            return None
        return events
