"""The pictures in a large JSON document, cut out before it is parsed and put back where somebody wants them.

A picture of 10 MB is a string of base64 in a document that says little else. Parsed with the rest it is copied, and
everybody's streams wait (15 ms; orjson lets nobody else run). So the document is looked through in steps, long
stretches of base64 are replaced by a mark of a few letters, and what is left, the *outline*, is parsed. Whoever only
relays needs no more. Whoever translates may do that with the marks, and put the stretches in their places in what was
written (`whole`), if each is there exactly once; else the document gets its strings back, in steps too (`fill`).

Why the outline stands for the document: what is cut out holds neither quote nor backslash nor anything else that
means something in JSON, so that before and behind it a parser is in the same state; inside of a string a mark of
letters is as good as what it stands for, and outside of one no mark is JSON, so that an outline that parses has all
its marks in strings. A document is taken apart only where each mark is found again exactly once, in a value that is
no field of the outermost object: those are what routing reads. And only what begins as a file does is cut at all: what
proves a thought is as long and looks alike, and decides where a request goes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["LARGE_BYTES", "LongString", "LongStrings"]

# From here on a document is worth the search. Parsing as much in one go takes about a millisecond.
LARGE_BYTES = 1_000_000
# What is looked at as a whole. The search is 0.5 to 0.9 ms for a megabyte of base64, and 8 µs for one of text.
_WINDOW_BYTES = 65_536
_WINDOWS_A_STEP = 16
# What stays of a string's beginning: enough to know a file's kind, and to tell two pictures apart.
_KEPT_BYTES = 4096
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
# What files begin with, in base64: JPEG, PNG, GIF, RIFF, BMP, PDF, MP4, MP3 (twice), Ogg, Matroska; or a URL says it.
_begins_a_file = re.compile(rb"(?i:data:)|/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk0|JVBER|AAAA|SUQz|//|T2dn|GkXf").match
_mark = re.compile(r"~ds2api-(\d+)-[0-9a-f]{32}~")
_mark_in_bytes = re.compile(_mark.pattern.encode())
# Where the dialects have their files: nobody looks at more than the beginning of these.
_FILES = frozenset({"url", "data", "image_url", "file_data", "video_url", "document_url"})


class LongString(str):
    """A string whose middle is cut out. Its length is the whole string's; what it holds is not."""

    __slots__ = ("length",)
    length: int

    def __len__(self) -> int:
        return self.length


class LongStrings:
    """The long strings of the document `raw`. First `find`, then parse `outline`, then `place` the result; after that
    `fill` gives it its strings back. Where `place` says no, the document is to be parsed as it is."""

    __slots__ = ("_places", "_raw", "_stretches", "are_files")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._stretches: list[tuple[int, int]] = []
        self._places: list[tuple[Any, Any, LongString]] = []
        self.are_files = False  # all of them, and none is back in its place

    def find(self) -> Iterator[None]:
        """Look the document through. To be run to its end; others may run in between."""
        raw, begin = self._raw, -1
        for number, start in enumerate(range(0, len(raw), _WINDOW_BYTES), 1):
            window = raw[start : start + _WINDOW_BYTES]
            is_base64 = len(window) == _WINDOW_BYTES and b'"' not in window and not window.translate(None, _BASE64)
            if is_base64 and begin < 0:
                quote = raw.rfind(b'"', max(0, start - _WINDOW_BYTES), start)
                if quote >= 0 and _begins_a_file(raw, quote + 1):
                    begin = start + _KEPT_BYTES
            elif not is_base64 and begin >= 0:
                self._stretches.append((begin, start))
                begin = -1
            if number % _WINDOWS_A_STEP == 0:
                yield
        if begin >= 0:
            self._stretches.append((begin, len(raw) // _WINDOW_BYTES * _WINDOW_BYTES))

    @property
    def outline(self) -> bytes:
        """The document with a mark for each stretch."""
        raw, done = memoryview(self._raw), 0
        pieces: list[bytes | memoryview] = []
        for number, (start, end) in enumerate(self._stretches):
            # From what it stands for, so that equal requests have equal outlines.
            digest = hashlib.blake2b(raw[start : start + _WINDOW_BYTES], digest_size=16).hexdigest()
            pieces += [raw[done:start], b"~ds2api-%d-%b~" % (number, digest.encode())]
            done = end
        return b"".join([*pieces, raw[done:]])

    def place(self, document: dict[str, Any]) -> bool:
        """Find the marks in `document`, the outline parsed. False: it does not stand for the whole."""
        seen: list[int] = []
        level: list[Any] = [document]
        while level:
            deeper: list[Any] = []
            for container in level:
                for key, value in container.items() if isinstance(container, dict) else enumerate(container):
                    kind = type(value)
                    if kind is dict or kind is list:
                        deeper.append(value)
                    elif kind is str and len(value) > _KEPT_BYTES and (marks := list(_mark.finditer(value))):
                        numbers = [int(mark[1]) for mark in marks]
                        if container is document or max(numbers) >= len(self._stretches):
                            return False
                        seen += numbers
                        self._places.append((container, key, self._cut(value, marks)))
            level = deeper
        for container, key, value in self._places:
            container[key] = value
        self.are_files = all(key in _FILES for _, key, _ in self._places)
        return sorted(seen) == list(range(len(self._stretches)))

    def fill(self) -> Iterator[None]:
        """Put the strings back, one a step; what others have put back by then is left alone."""
        raw = memoryview(self._raw)
        self.are_files = False
        while self._places:
            container, key, value = self._places.pop()
            text = str(value)
            for mark in _mark.finditer(text):
                start, end = self._stretches[int(mark[1])]
                text = text.replace(mark[0], str(raw[start:end], "ascii"))
            container[key] = text
            yield

    def whole(self, written: bytes) -> bytes | None:
        """`written`, made of the document with its marks, with the stretches in their places. None: not each is there
        once."""
        marks = list(_mark_in_bytes.finditer(written))
        if sorted(int(mark[1]) for mark in marks) != list(range(len(self._stretches))):
            return None
        view, raw, done = memoryview(written), memoryview(self._raw), 0
        pieces: list[memoryview] = []
        for mark in marks:
            start, end = self._stretches[int(mark[1])]
            pieces += [view[done : mark.start()], raw[start:end]]
            done = mark.end()
        return b"".join([*pieces, view[done:]])

    def _cut(self, value: str, marks: list[re.Match[str]]) -> LongString:
        cut = LongString(value)
        cut.length = len(value)
        for mark in marks:
            start, end = self._stretches[int(mark[1])]
            cut.length += end - start - len(mark[0])
        return cut
