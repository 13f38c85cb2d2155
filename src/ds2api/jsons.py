"""JSON in and out: the one module between ds2api and orjson.

Everything else calls `parse`, `parse_object` and `dump`; where orjson has no build for the running Python
the standard `json` answers in its place, and the tests hold both to the same answers.

What orjson does that a gateway must not (all tried with 3.13), and what happens here instead:

* integers beyond 64 bit become floats: such a document is read again with `json`, which keeps them exact;
* a lone surrogate (``"\\ud83d"``, which JavaScript clients do send) is refused: read again with `json`, and
  each one becomes U+FFFD, since no provider takes it;
* of two equal keys the last one wins in silence: an object with such a pair is a `Twice`, so that whoever
  cares (`first_duplicate`) can refuse it. A request in which a filter reads the first `model` and we the
  second is how limits are walked around;
* it gives up near depth 1,024 without naming the reason: `MAX_DEPTH` is checked here, with words.

That none of it happened is proved in the cheapest way that holds. Most clients write compact JSON, as we do: where
what was read is written back to the very same bytes, no key was lost, no number changed, and it is no deeper than
orjson writes (30 µs for 200 KB). Else the keys in the bytes (a quote before a colon) are counted and compared with
the keys in the result (250 µs), and only where they differ is the document read again, slowly and exactly.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

_native: Any = None
try:
    import orjson

    _native = orjson
except ImportError:  # no native part for this Python: the same answers from the standard library
    pass

__all__ = [
    "MAX_DEPTH", "JsonError", "Twice", "dump", "dump_text", "first_duplicate", "kind_of", "parse", "parse_event",
    "parse_event_object", "parse_object",
]  # fmt: skip

# Deeper than any schema seen in the recordings (31), far below where parsers run out of stack (orjson 1,024,
# json about 1,000): as deep as orjson writes.
MAX_DEPTH = 254
# A conversation of a million tokens. Beyond, a second copy of the document is worth more than the time.
_COMPARED_BYTES = 4_000_000

_BIGGEST_EXACT = 2.0**63
_SPECIAL = re.compile(r'["\\\x00-\x1f]').search
_QUOTE, _BACKSLASH, _SPACES = 0x22, 0x5C, b" \t\n\r"


class JsonError(ValueError):
    """The bytes are no JSON document that this gateway takes.

    `position` is the byte offset where reading stopped, None where the whole document is at fault.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"{message} at byte {position}")
        self.position = position


class Twice(dict[str, Any]):
    """An object in which at least one key stood more than once; the last value won. The outermost object of a
    document is one, with no key of its own, where that happened deeper: so a plain one is free of it."""

    __slots__ = ("key",)

    def __init__(self, fields: dict[str, Any], key: str | None = None) -> None:
        super().__init__(fields)
        self.key = key


def parse(data: bytes | bytearray | memoryview | str) -> Any:
    """Read one JSON document.

    Raises `JsonError` for anything that is not exactly one well-formed document in UTF-8, for ``NaN`` and
    ``Infinity`` (RFC 8259 §6) and beyond `MAX_DEPTH`. Keys keep their order.
    """
    raw = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else bytes(data)
    if _native is None:
        return _parse_exactly(raw)
    try:
        value = _native.loads(raw)
    except ValueError:
        return _parse_exactly(raw)  # names the place, or mends what orjson is stricter about
    if len(raw) <= _COMPARED_BYTES and _is_written_as(value, raw):
        return value
    keys, needs_exact = _survey(value)
    if needs_exact or keys != _keys_written(raw):
        return _parse_exactly(raw)
    return value


def parse_event(data: bytes) -> Any:
    """Read one JSON document of a provider's stream, fast: about 1 µs for 300 bytes where `parse` takes 6.

    Not for what a client sends: two equal keys pass (the last one wins), integers beyond 64 bit become floats,
    and depth is bounded by the native parser alone. Raises `JsonError` like `parse`.
    """
    if _native is not None:
        try:
            return _native.loads(data)
        except ValueError:
            pass  # names the place, or mends what orjson is stricter about
    return _parse_exactly(data)


def parse_event_object(data: bytes) -> dict[str, Any]:
    """Like `parse_event`, and the document must be an object. Raises `JsonError` otherwise."""
    return _object(parse_event(data))


def parse_object(data: bytes | bytearray | memoryview | str) -> dict[str, Any]:
    """Like `parse`, and the document must be an object. Raises `JsonError` otherwise."""
    return _object(parse(data))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JsonError(f"expected a JSON object, found {kind_of(value)}")
    return value


def dump(value: Any) -> bytes:
    """Write `value` compactly as UTF-8, keys in their order.

    Lone surrogates become U+FFFD and integers of any size are written out, so nothing that `parse` gave
    can fail here. Raises `TypeError` for what JSON has no word for (a bug of the caller).
    """
    if _native is not None:
        try:
            written: bytes = _native.dumps(value)
            return written
        except TypeError:  # a lone surrogate, or an integer beyond 64 bit
            value = _without_surrogates(value)
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except UnicodeEncodeError:
        text = json.dumps(_without_surrogates(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except ValueError as error:  # NaN and infinity, which orjson writes as null
        if _native is None and "Out of range" in str(error):
            return json.dumps(_without_nan(value), ensure_ascii=False, separators=(",", ":")).encode()
        raise


def dump_text(text: str) -> bytes:
    """Like `dump`, for a string: for the deltas of a stream, of which one read can bring hundreds.

    Most need no escape, and then this takes 0.3 µs where orjson takes 0.4 alone and 0.9 in long runs: it shrinks a
    buffer of 1 KB to each result, which fragments the heap.
    """
    if _SPECIAL(text) is None:
        try:
            return b'"%b"' % text.encode()
        except UnicodeEncodeError:  # a lone surrogate
            pass
    return dump(text)


def first_duplicate(value: Any, levels: int) -> str | None:
    """The path of the first key that stands twice in the document `value`, looking at most `levels` objects deep; None
    if there is none.

    `levels=1` looks at the top level only, which is all that relaying may refuse.
    """
    return None if type(value) is dict else _first_duplicate(value, levels)


def _first_duplicate(value: Any, levels: int) -> str | None:
    if levels <= 0:
        return None
    if isinstance(value, Twice) and value.key is not None:
        return value.key
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, (dict, list)):
                found = _first_duplicate(inner, levels - (1 if isinstance(inner, dict) else 0))
                if found is not None and (levels > 1 or isinstance(inner, dict)):
                    return f"{key}{'' if found.startswith('[') else '.'}{found}"
    elif isinstance(value, list) and levels > 1:
        for index, inner in enumerate(value):
            if isinstance(inner, (dict, list)):
                found = _first_duplicate(inner, levels - 1)
                if found is not None:
                    return f"[{index}]{'' if found.startswith('[') else '.'}{found}"
    return None


def _is_written_as(value: Any, raw: bytes) -> bool:
    try:
        return bool(_native.dumps(value) == raw)
    except TypeError:  # too deep
        return False


def _survey(value: Any) -> tuple[int, bool]:
    """Count the keys of all objects; tell whether the document must be read exactly (huge numbers)."""
    keys, exact, depth = 0, False, 0
    level: list[Any] = [value]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise JsonError(f"nested deeper than {MAX_DEPTH} levels")
        deeper: list[Any] = []
        for container in level:
            kind = type(container)
            if kind is dict or kind is Twice:
                keys += len(container)
                members = container.values()
            elif kind is list:
                members = container
            else:
                members = (container,)
            for member in members:
                kind = type(member)
                if kind is dict or kind is list or kind is Twice:
                    deeper.append(member)
                elif kind is float and not -_BIGGEST_EXACT < member < _BIGGEST_EXACT:
                    exact = True
        level = deeper
    return keys, exact


def _keys_written(raw: bytes) -> int:
    """Count the keys in well-formed JSON, or more than there are (never fewer): a string that begins with a
    colon, or a key that ends in a backslash, only sends the document to the exact reader."""
    count = 0
    at = raw.find(b":")
    while at > 0:
        last = at - 1
        while raw[last] in _SPACES and last > 0:
            last -= 1
        # Inside a string a quote stands behind a backslash, so a bare quote here ends a key.
        if raw[last] == _QUOTE and (raw[last - 1] != _BACKSLASH or raw[last - 2] == _BACKSLASH):
            count += 1
        at = raw.find(b":", at + 1)
    return count


def _parse_exactly(raw: bytes) -> Any:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise JsonError("not valid UTF-8", error.start) from None
    doubled: list[Twice] = []

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        times = Counter(key for key, _ in pairs)
        doubled.append(Twice(plain, next(key for key in times if times[key] > 1)))
        return doubled[-1]

    try:
        value = json.loads(
            text, object_pairs_hook=read_object, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        raise JsonError(
            f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})",
            len(text[: error.pos].encode()),
        ) from None
    except RecursionError:
        raise JsonError(f"nested deeper than {MAX_DEPTH} levels") from None
    _survey(value)
    if doubled and type(value) is dict:
        value = Twice(value)
    return _without_surrogates(value) if "\\u" in text or "\\U" in text else value


def _no_constant(name: str) -> Any:
    raise JsonError(f"{name} is not a JSON number")


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise JsonError(f"the number {literal[:40]} is too large")
    return number


def _integer(literal: str) -> int:
    try:
        return int(literal)
    except ValueError:  # beyond 4,300 digits: Python's own guard against quadratic parsing
        raise JsonError(f"a number of {len(literal)} digits is too large") from None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Twice):
        mended = {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
        return Twice(mended, _without_surrogates(value.key))
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(v) for v in value]
    return value


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return value


def kind_of(value: Any) -> str:
    """What `value` is, in words of JSON, with its article: "a string", "null"."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
    return type(value).__name__
