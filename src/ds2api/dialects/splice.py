"""Finds and exchanges a top-level value in the bytes of a JSON object, touching no other byte.

Relaying must not re-serialise a body (providers bind caches and reasoning to its exact bytes), so the model's
name is exchanged in place. All functions expect bytes that were parsed before: one well-formed object in which
no top-level key stands twice; what they give for anything else is unspecified, but they always end.

Exact, never a guess: keys may be spelled with escapes, equal keys may stand deeper, and text may hold what
looks like the key. The usual case is cheap: where the key's text stands near the beginning or the end, only the way
there is walked to prove that it is at the top, and since no key stands twice there, what lies between need not be
looked at. The walk knows strings and brackets and nothing else; strings are skipped by the regular expression engine
(a possessive group, so that a long one cannot make it backtrack).
"""

from __future__ import annotations

import re
from typing import Any

from ds2api import jsons

__all__ = ["append_member", "replace_value", "top_level_span", "with_model"]

# Where a client's library puts its short fields: all before the conversation or all behind it.
_NEAR_BYTES = 4096

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_string = re.compile(_STRING, re.DOTALL)
_token = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_scalar = re.compile(rb"[^\s,}\]]+")
_colon = re.compile(rb"[ \t\n\r]*+:[ \t\n\r]*+")
_OPENERS, _CLOSERS = b"{[", b"}]"
_BACKSLASH, _SPACES = 0x5C, b" \t\n\r"


def with_model(raw: bytes, body: dict[str, Any], model: str) -> bytes:
    """`raw`, which was read as `body`, with `model` as its model."""
    return raw if body.get("model") == model else replace_value(raw, "model", jsons.dump(model))


def top_level_span(raw: bytes, key: str) -> tuple[int, int] | None:
    """Where the value of the top-level `key` begins and ends in `raw`; None where there is no such key."""
    written, behind = jsons.dump(key), max(0, len(raw) - _NEAR_BYTES)
    for at in (raw.find(written, 0, _NEAR_BYTES), raw.rfind(written, behind)):
        # A quote that is not escaped begins a string here, for inside of one it would have ended it.
        colon = _colon.match(raw, at + len(written)) if at > 0 and raw[at - 1] != _BACKSLASH else None
        if colon is None:
            continue
        depth = _depth(raw, 0, at) if at < behind else -_depth(raw, colon.end(), len(raw))
        if depth == 1:
            return colon.end(), _value_end(raw, colon.end())
    return _walk(raw, key)


def replace_value(raw: bytes, key: str, value: bytes) -> bytes:
    """`raw` with `value` (JSON) in place of what top-level `key` has; appended as a last member where it has none."""
    span = top_level_span(raw, key)
    if span is None:
        return append_member(raw, key, value)
    view = memoryview(raw)  # a slice of bytes would be one more copy of what may be megabytes
    return b"".join((view[: span[0]], value, view[span[1] :]))


def append_member(raw: bytes, key: str, value: bytes) -> bytes:
    """`raw` with one more member before its final brace."""
    brace = raw.rindex(b"}")
    before = raw[max(0, brace - _NEAR_BYTES) : brace].rstrip(_SPACES) or raw[:brace].rstrip(_SPACES)
    is_empty = before.endswith(b"{")
    view = memoryview(raw)
    return b"".join((view[:brace], b"" if is_empty else b",", jsons.dump(key), b":", value, view[brace:]))


def _depth(raw: bytes, start: int, end: int) -> int:
    """Brackets opened less brackets closed between two places outside of strings."""
    depth = 0
    for found in _token.finditer(raw, start, end):
        first = raw[found.start()]
        if first in _OPENERS:
            depth += 1
        elif first in _CLOSERS:
            depth -= 1
    return depth


def _walk(raw: bytes, key: str) -> tuple[int, int] | None:
    depth = 0
    for found in _token.finditer(raw):
        start = found.start()
        first = raw[start]
        if first in _OPENERS:
            depth += 1
        elif first in _CLOSERS:
            depth -= 1
        elif depth == 1:
            colon = _colon.match(raw, found.end())
            if colon is not None and jsons.parse(found.group()) == key:
                return colon.end(), _value_end(raw, colon.end())
    return None


def _value_end(raw: bytes, start: int) -> int:
    first = raw[start : start + 1]
    if first == b'"':
        found = _string.match(raw, start)
    elif first in {b"{", b"["}:
        depth = 0
        for token in _token.finditer(raw, start):
            bracket = raw[token.start()]
            depth += (bracket in _OPENERS) - (bracket in _CLOSERS)
            if depth == 0:
                return token.end()
        return len(raw)
    else:
        found = _scalar.match(raw, start)
    return found.end() if found is not None else len(raw)
