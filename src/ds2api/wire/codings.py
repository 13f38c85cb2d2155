"""Content codings undone: gzip, deflate and zstd, whole or as the bytes come, with a cap on what comes out.

The cap is checked *while* inflating, with the decompressors' own limit on their output: a deflate stream can grow a
thousandfold, so one read of 256 KB could else become 256 MB before anyone looks. A step gives at most
`STEP_BYTES`, so whoever inflates a large body can let others run in between.

Strict: bytes behind the end, an end that does not come, and anything that the decompressor dislikes are a
`CodingError`. Several gzip members or zstd frames in a row are one body, as their formats say. `deflate` is the zlib
format (RFC 9110 §8.4.1.2) or, as some clients have it, raw deflate: told apart by the first two bytes.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["ACCEPTED", "STEP_BYTES", "CodingError", "Inflater", "InflatedTooLarge", "UnknownCoding", "coding_of"]


def _find_zstd() -> Any:
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    return None


_zstd = _find_zstd()

# What a client may send, for `accept-encoding` and for messages.
ACCEPTED = ("gzip", "deflate", "zstd") if _zstd is not None else ("gzip", "deflate")

# One step of output: about 1 ms of inflating.
STEP_BYTES = 262_144
# zlib copies what it did not take yet at each step: in one piece, 32 MB would be copied a hundred times.
_SLICE_BYTES = 65_536
# The window that RFC 9659 allows a content coding, 8 MiB: a frame may else ask for 2 GiB of memory.
_ZSTD_WINDOW_LOG = 23
# A stream may become this large before its ratio counts: short texts that repeat compress extremely well.
_RATIO_FREE_BYTES = 1_048_576

_ERRORS: tuple[type[Exception], ...] = (zlib.error,) if _zstd is None else (zlib.error, _zstd.ZstdError)

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class CodingError(ValueError):
    """The bytes are not what their content-encoding says."""


class InflatedTooLarge(CodingError):
    """More came out than is taken."""


class UnknownCoding(CodingError):
    """A content-encoding that is not understood here."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def step(self, data: bytes) -> bytes: ...

    @property
    def has_more(self) -> bool: ...


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self._was_full = False

    def step(self, data: bytes) -> bytes:
        produced = self._inner.decompress(self._inner.unconsumed_tail + data, STEP_BYTES)
        # With its input used up zlib may still hold the end of a match: only a step that was not full is the last.
        self._was_full = len(produced) == STEP_BYTES
        return produced

    @property
    def has_more(self) -> bool:
        return not self._inner.eof and (self._was_full or bool(self._inner.unconsumed_tail))

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _Zstd:
    def __init__(self) -> None:
        options = {_zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._inner = _zstd.ZstdDecompressor(options=options)

    def step(self, data: bytes) -> bytes:
        produced: bytes = self._inner.decompress(data, STEP_BYTES)
        return produced

    @property
    def has_more(self) -> bool:
        return not self._inner.eof and not self._inner.needs_input

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._inner.unused_data
        return unused


def coding_of(values: list[str]) -> str:
    """The one coding in the values of `content-encoding`, "" for none.

    Raises `UnknownCoding`, which names what is accepted, for any other and for more than one.
    """
    members = [
        part for value in values for part in (member.strip(" \t").lower() for member in value.split(",")) if part
    ]
    members = [member for member in members if member != "identity"]
    if not members:
        return ""
    coding = members[0].removeprefix("x-") if members[0] == "x-gzip" else members[0]
    if len(members) > 1 or coding not in ACCEPTED:
        named = ", ".join(members)[:60]
        raise UnknownCoding(f"content-encoding {named!r} is not supported; accepted is one of {', '.join(ACCEPTED)}")
    return coding


class Inflater:
    """Undoes one coding. `coding` is what `coding_of` gave and not empty.

    `limit_bytes` bounds all that comes out, `ratio` how much larger than what went in it may be beyond the first MiB;
    None is no bound.
    """

    def __init__(self, coding: str, *, limit_bytes: int | None = None, ratio: int | None = None) -> None:
        self._coding = coding
        self._limit_bytes = limit_bytes
        self._ratio = ratio
        self._decompressor: _Decompressor | None = None
        self._held = b""  # too little to tell the kind of deflate, or whether another member follows
        self._in_bytes = 0
        self._out_bytes = 0
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Everything that `data` completes. Raises `CodingError`."""
        pieces = list(self.steps(data))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def steps(self, data: bytes) -> Iterator[bytes]:
        """The same in pieces of at most `STEP_BYTES`."""
        for start in range(0, len(data), _SLICE_BYTES):
            yield from self._steps(data[start : start + _SLICE_BYTES])

    def _steps(self, data: bytes) -> Iterator[bytes]:
        self._in_bytes += len(data)
        data = self._held + data
        self._held = b""
        while data or (self._decompressor is not None and self._decompressor.has_more):
            if self._decompressor is None:
                self._decompressor = self._begin(data)
                if self._decompressor is None:
                    self._held = data
                    return
            decompressor = self._decompressor
            try:
                piece = decompressor.step(data)
            except _ERRORS:
                raise CodingError(f"the body is no valid {self._coding}") from None
            data = b""
            if piece:
                self._out_bytes += len(piece)
                self._check_size()
                yield piece
            if decompressor.eof:
                data = decompressor.unused_data
                self._decompressor = None

    def finish(self) -> None:
        """The bytes are over. Raises `CodingError` if the coded form is not."""
        if self._decompressor is not None or self._held or not self._begun:
            raise CodingError(f"the body ends in the middle of its {self._coding}")

    def _begin(self, data: bytes) -> _Decompressor | None:
        """A decompressor for what begins with `data`, None if that is too short to tell."""
        magic = {"gzip": _GZIP_MAGIC, "zstd": _ZSTD_MAGIC}.get(self._coding)
        if self._begun:  # what stands behind an end must be another whole member
            if magic is None or not magic.startswith(data[: len(magic)]):
                raise CodingError(f"bytes behind the end of the {self._coding}")
            if len(data) < len(magic):
                return None
        elif self._coding == "deflate" and len(data) < 2:
            return None
        self._begun = True
        if self._coding == "zstd":
            return _Zstd()
        if self._coding == "gzip":
            return _Zlib(16 + zlib.MAX_WBITS)
        is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)

    def _check_size(self) -> None:
        if self._limit_bytes is not None and self._out_bytes > self._limit_bytes:
            raise InflatedTooLarge(f"the body inflates to more than {self._limit_bytes} bytes")
        if self._ratio is not None and self._out_bytes > max(_RATIO_FREE_BYTES, self._in_bytes * self._ratio):
            raise InflatedTooLarge(f"the body inflates to more than {self._ratio} times its size")
