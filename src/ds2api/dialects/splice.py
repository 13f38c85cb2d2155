"""Finds and exchanges a top-level value in the bytes of a JSON object, touching no other byte.

Relaying must not re-serialise a body (providers bind caches and reasoning to its exact bytes), so the model's
name is exchanged in place. All functions expect bytes that were parsed before: one well-formed object in which
no top-level key stands twice; what they give for anything else is unspecified, but they always end.

Exact, never a guess: keys may be spelled with escapes, equal keys may stand deeper, and text may hold what
looks like the key. The usual case is cheap: where the key's text stands once, only the shorter side of it is
walked to prove that it is at the top. The walk knows strings and brackets and nothing else; strings are
skipped by the regular expression engine (a possessive group, so that a long one cannot make it backtrack).
"""

from __future__ import annotations

import re

from ds2api import jsons

__all__ = ["append_member", "replace_value", "top_level_span"]

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_string = re.compile(_STRING, re.DOTALL)
_token = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_scalar = re.compile(rb"[^\s,}\]]+")
_colon = re.compile(rb"[ \t\n\r]*+:[ \t\n\r]*+")
_OPENERS, _CLOSERS = b"{[", b"}]"


def top_level_span(raw: bytes, key: str) -> tuple[int, int] | None:
    """Where the value of the top-level `key` begins and ends in `raw`; None where there is no such key."""
    written = jsons.dump(key)
    at = raw.find(written)
    if _may_be_escaped(raw, key):
        return _walk(raw, key)
    if at < 0:
        return None
    if raw.find(written, at + 1) < 0 and raw[at - 1] != 0x5C:
        # Once, as a string of its own (the quote before it is no escaped one), and no other spelling is
        # possible. It is the key if a colon follows and one bracket is open.
        colon = _colon.match(raw, at + len(written))
        if colon is None:
            return None
        before, behind = at, len(raw) - colon.end()
        depth = _depth(raw, 0, at) if before <= behind else -_depth(raw, colon.end(), len(raw))
        return (colon.end(), _value_end(raw, colon.end())) if depth == 1 else None
    return _walk(raw, key)


def replace_value(raw: bytes, key: str, value: bytes) -> bytes:
    """`raw` with `value` (JSON) in place of what top-level `key` has; appended as a last member where it has none."""
    span = top_level_span(raw, key)
    if span is None:
        return append_member(raw, key, value)
    return b"".join((raw[: span[0]], value, raw[span[1] :]))


def append_member(raw: bytes, key: str, value: bytes) -> bytes:
    """`raw` with one more member before its final brace."""
    brace = raw.rindex(b"}")
    is_empty = raw[:brace].rstrip(b" \t\n\r").endswith(b"{")
    return b"".join((raw[:brace], b"" if is_empty else b",", jsons.dump(key), b":", value, raw[brace:]))


def _may_be_escaped(raw: bytes, key: str) -> bool:
    """Whether a letter of `key` may stand as ``\\u00XX`` in `raw`. Looks for the first three digits only, so that
    the escaped text of other scripts, which some clients write, does not send every request to the walk."""
    return any(b"\\u00%x" % first_digit in raw for first_digit in {ord(letter) >> 4 for letter in key})


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
