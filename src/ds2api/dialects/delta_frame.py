"""In one stream the deltas of one kind are the same bytes but for their text: learn the frame, then only compare.

A provider's model writes thousands of events like ``data: {…,"delta":{"content":"`` text ``"},…}``. The first is
parsed in full; from it a `DeltaFrame` takes what stands around the text. For the next ones it is enough that the bytes
around are the same and that what is between is one JSON string: no JSON is parsed and nothing is looked up. Whatever
differs in a single byte goes the general way.

Some providers number their events, count in them (Gemini), or pad them with random letters (OpenAI). Then the frame has
more than one hole: for the few fields of `_VOLATILE`, which mean nothing to a translation, any number or any plain
string is as good as another.

It is sound because JSON has no state: with the same bytes around it, a string without a bare quote can be nothing
but the value at the same place. What has state is the reader (which part is open), so whoever uses a frame forgets
it as soon as anything went the general way without teaching a new one.

All events of a read are taken at once (`cutter`): one regular expression that knows of what stands around the fields
nothing but its length takes them apart; put together again they must give the same bytes. That proves every byte, at
the speed of `memcmp`, and the expression holds no id, so that compiling it is remembered for all streams of a provider.
The framing of chunks, one around each event, is put together with them and so proved as well.

`EventSplitter` cuts a stream into events without looking at their fields, as long as its lines end in LF or CR LF; at
the first that ends in CR it hands over to `SseParser`, whose words and results are the oracle for both (a property
test).

Measured on CPython 3.11, an event of chat, in chunks: 1.1 µs alone in its read, 0.4 of 180; Responses 1.3 and 0.7,
Gemini 1.5 and 0.9. Parsed one by one they cost 2.4 to 3.8 (`bench/parts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from ds2api.wire.sse import is_utf8

__all__ = ["WINDOW_BYTES", "Cutter", "DeltaFrame", "EventSplitter", "last_event"]

# Some twenty times a usual event.
_LARGE_BYTES = 8 * 1024

# What is looked at for deltas behind another event: at least this, and four times what the last look gave, so that a
# read in which they alternate costs no more than its length.
WINDOW_BYTES = 2048

# Fields whose value differs from delta to delta and tells nothing: the number of an event in its stream (Responses),
# counts so far (Gemini; the last of them are read at the end), padding against guessing by size (OpenAI), and the time
# of each line (Ollama; the first is the answer's).
_NUMBER, _BARE = rb"\d++", rb'[^"\\\x00-\x1f]*+'
_VOLATILE = re.compile(
    rb'"sequence_number": ?(?P<number>' + _NUMBER + rb")(?=[,}])"
    rb'|"[A-Za-z]*[tT]okenCount": ?(?P<count>' + _NUMBER + rb")(?=[,}])"
    rb'|"(?:obfuscation|created_at)": ?"(?P<filler>' + _BARE + rb')(?=")'
)
_MOST_FIELDS = 8
# A JSON string with something in it (an empty one may mean something else than a delta); and one with no escapes but
# those that `jsons.dump_text` writes, which says nothing in another way than that would.
_TEXT = rb'(?=[^"\x00-\x1f])%b(?:\\%b%b)*+'
_TEXTS = [_TEXT % (_BARE, escape, _BARE) for escape in (rb'(?:["\\/bfnrt]|u[0-9a-fA-F]{4})', rb'["\\bfnrt]')]
_SPECIAL = re.compile(rb'["\\\x00-\x1f]').search


class DeltaFrame:
    """What stands around the text in the deltas of one kind: `fixed` are the pieces around fields of `kinds`, of which
    one is the text. There is one piece more than fields."""

    __slots__ = ("_cutters", "_fixed", "_kinds")

    def __init__(self, fixed: Sequence[bytes], kinds: Sequence[str]) -> None:
        self._fixed = tuple(fixed)
        self._kinds = tuple(kinds)
        self._cutters: dict[tuple[bytes, bool, bool], Cutter] = {}

    @classmethod
    def learn(cls, event: bytes, text: str) -> DeltaFrame | None:
        """The frame of `event`, whose one delta is `text`; None if the place of the text is not plain to see."""
        raw = text.encode(errors="replace")
        if len(raw) < 2 or _SPECIAL(raw):
            return None
        quoted = b'"%b"' % raw
        at = event.find(quoted)
        if at < 0 or event.find(quoted, at + 1) >= 0 or b"\r" in event:
            return None
        # Behind a colon it is a value; a key of the same letters would be followed by one.
        if event[at - 1 : at] not in (b":", b" ") or event[at + len(quoted) : at + len(quoted) + 1] == b":":
            return None
        holes = [(*hole.span(hole.lastgroup or 0), str(hole.lastgroup)) for hole in _VOLATILE.finditer(event)]
        fields = sorted([*holes, (at + 1, at + 1 + len(raw), "text")])
        if len(fields) > _MOST_FIELDS:
            return None
        starts, ends = [0, *(field[1] for field in fields)], [*(field[0] for field in fields), len(event)]
        return cls([event[start:end] for start, end in zip(starts, ends, strict=True)], [field[2] for field in fields])

    @property
    def has_counts(self) -> bool:
        """Its events count what came so far."""
        return "count" in self._kinds

    def cutter(self, ending: bytes, *, as_written: bool = False, in_chunks: bool = False) -> Cutter:
        """Of events that end in `ending`. `as_written`: only of texts that `jsons.dump_text` would write so.
        `in_chunks`: where each event has a chunk of its own, framing and all."""
        made = self._cutters.get((ending, as_written, in_chunks))
        if made is None:
            pieces = [*self._fixed[:-1], self._fixed[-1] + ending + b"\r\n" * in_chunks]
            made = Cutter(pieces, self._kinds, as_written=as_written, in_chunks=in_chunks)
            self._cutters[ending, as_written, in_chunks] = made
        return made


class Cutter:
    """Gives the texts of the first events in `data`, as far as they are of the frame and each is followed by its
    ending, as they stand between their quotes; and how many bytes of `data` those events are."""

    __slots__ = ("_apart", "_first", "_has_holes", "_in_chunks", "_last", "_one", "_size", "_text")

    def __init__(self, pieces: list[bytes], kinds: tuple[str, ...], *, as_written: bool, in_chunks: bool) -> None:
        self._apart = _apart(kinds, tuple(map(len, pieces)), as_written, in_chunks)
        self._text, self._has_holes, self._in_chunks = kinds.index("text"), len(kinds) > 1, in_chunks
        self._first, self._last = b"" if in_chunks else pieces[0], pieces[-1]
        self._size = sum(map(len, pieces)) - len(b"\r\n")  # of a chunk's data, without the fields
        self._one = b"%x\r\n" * in_chunks + b"%b".join(piece.replace(b"%", b"%%") for piece in pieces)

    def __call__(self, data: bytes) -> tuple[list[bytes], int]:
        # --- hot: all the deltas of one read are taken here, without a call of Python's for any of them ---
        if not data.startswith(self._first):
            return [], 0
        if not data.endswith(self._last):
            data = data[: data.rfind(self._last) + len(self._last)]
        found: list[Any] = self._apart.findall(data)
        one = self._one
        if self._in_chunks:
            if data[:3].isupper():
                one = b"%X" + one[2:]
            if len(found) == 1:  # as a slow model sends them
                text = found[0][self._text] if self._has_holes else found[0]
                size = self._size + len(b"".join(found[0]) if self._has_holes else text)
                if one % ((size, *found[0]) if self._has_holes else (size, text)) == data:
                    return ([text], len(data)) if data.isascii() or is_utf8(data) else ([], 0)
        # Nearly always all of them are the same put together again, or all but the last few; else they are halved.
        fit, unfit, count, step, used = 0, len(found) + 1, len(found), 1, 0
        while unfit - fit > 1:
            made = self._together(found if count == len(found) else found[:count], one)
            if data.startswith(made):
                fit, used = count, len(made)
                count = (fit + unfit) // 2
            else:
                unfit, step = count, 2 * step
                count = max((fit + unfit) // 2, unfit - step)
        if not is_utf8(data if used == len(data) else data[:used]):
            return [], 0
        del found[fit:]
        return [fields[self._text] for fields in found] if self._has_holes else found, used

    def _together(self, found: list[Any], one: bytes) -> bytes:
        size = self._size
        if self._has_holes:
            every = [(size + len(b"".join(fields)), *fields) for fields in found] if self._in_chunks else found
            return one * len(found) % tuple(chain.from_iterable(every))
        if not self._in_chunks:
            return b"%b%b%b" % (self._first, (self._last + self._first).join(found), self._last)
        values: list[int | bytes] = [0] * (2 * len(found))
        values[::2], values[1::2] = [size + len(text) for text in found], found
        return one * len(found) % tuple(values)


@lru_cache(512)
def _apart(kinds: tuple[str, ...], lengths: tuple[int, ...], as_written: bool, in_chunks: bool) -> re.Pattern[bytes]:
    """Takes the fields out of events whose other pieces have these lengths. Compiled in 0.1 ms."""
    known = {"number": _NUMBER, "count": _NUMBER, "filler": _BARE, "text": _TEXTS[as_written]}
    fields = (*(b"(%b)" % known[kind] for kind in kinds), b"")
    size_line = rb"[0-9A-Fa-f]{1,4}+\r\n" if in_chunks else b""
    return re.compile(b"(?s)" + size_line + b"".join(b".{%d}%b" % pair for pair in zip(lengths, fields, strict=True)))


def last_event(data: bytes, end: int, ending: bytes) -> bytes:
    """The last of the events that `data` holds up to `end`; in chunks there may be a size line before it."""
    before = data.rfind(ending, 0, end - len(ending))
    return data[before + len(ending) if before >= 0 else 0 : end]


class EventSplitter:
    """Cuts bytes behind the last whole event, with LF alone between lines. An event ends in `ending`, a blank line (or
    the line end in a stream of lines).

    `split` gives None when the stream is not for it: a line ends in CR alone, or one event is large (looking at
    its beginning again with every read would be quadratic). Then `rest` holds what was not given out, and the caller's
    `SseParser` takes over for good.
    """

    __slots__ = ("_ending", "ending", "rest")

    def __init__(self, ending: bytes = b"\n\n") -> None:
        self.rest = b""
        self._ending = ending
        self.ending = ending  # as they came lately

    def split(self, data: bytes) -> bytes | None:
        """The whole events, with their endings."""
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
        end = data.rfind(self._ending) + len(self._ending) if self._ending in data else 0
        self.rest = data[end:] + tail
        if len(self.rest) > _LARGE_BYTES and not end:
            return None
        return data[:end]
