"""Content codings: undone for any cut, bounded while they are undone, strict about their end."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.wire import codings
from ds2api.wire.codings import (
    ACCEPTED,
    STEP_BYTES,
    CodingError,
    InflatedTooLarge,
    Inflater,
    UnknownCoding,
    coding_of,
)

zstd: Any = codings._zstd


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


# name → (coding, how to make it)
FORMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
}
if zstd is not None:
    FORMS["zstd"] = ("zstd", zstd.compress)
EVERY_FORM = pytest.mark.parametrize(("coding", "compress"), FORMS.values(), ids=FORMS.keys())


def test_zstd_is_there() -> None:
    """Codex sends it by default; the lock has what it needs for every Python."""
    assert ACCEPTED == ("gzip", "deflate", "zstd")


@EVERY_FORM
@given(data=st.binary(max_size=2_000), places=st.lists(st.integers(0, 3_000), max_size=8))
def test_the_same_for_any_cut(coding: str, compress: Callable[[bytes], bytes], data: bytes, places: list[int]) -> None:
    packed = compress(data)
    ends = sorted({place % (len(packed) + 1) for place in places} | {0, len(packed)})
    inflater = Inflater(coding)
    assert b"".join(inflater.feed(packed[a:b]) for a, b in itertools.pairwise(ends)) == data
    inflater.finish()


@EVERY_FORM
def test_byte_by_byte(coding: str, compress: Callable[[bytes], bytes]) -> None:
    data = bytes(range(256)) * 20
    inflater = Inflater(coding)
    assert b"".join(inflater.feed(bytes([byte])) for byte in compress(data)) == data
    inflater.finish()


@EVERY_FORM
def test_a_truncated_body_never_finishes(coding: str, compress: Callable[[bytes], bytes]) -> None:
    packed = compress(b"some text " * 20)
    for end in range(len(packed)):
        inflater = Inflater(coding)
        inflater.feed(packed[:end])
        with pytest.raises(CodingError, match="in the middle"):
            inflater.finish()


@EVERY_FORM
@pytest.mark.parametrize("behind", [b"x", b"\0\0\0\0", b"garbage"])
def test_garbage_behind_the_end(coding: str, compress: Callable[[bytes], bytes], behind: bytes) -> None:
    inflater = Inflater(coding)
    with pytest.raises(CodingError):
        inflater.feed(compress(b"text") + behind)
        inflater.finish()


@EVERY_FORM
def test_garbage_throughout(coding: str, compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CodingError, match=f"no valid {coding}"):
        Inflater(coding).feed(b"\xff\xfe this is no compressed body at all")


@pytest.mark.parametrize("name", [name for name in ("gzip", "zstd") if name in FORMS])
def test_members_in_a_row_are_one_body(name: str) -> None:
    coding, compress = FORMS[name]
    packed = compress(b"one ") + compress(b"two")
    for pieces in ([packed], [bytes([byte]) for byte in packed]):
        inflater = Inflater(coding)
        assert b"".join(map(inflater.feed, pieces)) == b"one two"
        inflater.finish()


@EVERY_FORM
def test_a_bomb_stops_at_the_limit_and_not_behind_it(coding: str, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(b"\0" * 20_000_000)
    inflater = Inflater(coding, limit_bytes=1_000_000)
    produced = 0
    with pytest.raises(InflatedTooLarge, match="1000000 bytes"):
        for piece in inflater.steps(bomb):
            assert len(piece) <= STEP_BYTES
            produced += len(piece)
    assert produced <= 1_000_000


@EVERY_FORM
def test_a_body_of_the_limit_passes(coding: str, compress: Callable[[bytes], bytes]) -> None:
    data = b"\0" * 1_000_000
    inflater = Inflater(coding, limit_bytes=len(data))
    assert inflater.feed(compress(data)) == data
    inflater.finish()
    with pytest.raises(InflatedTooLarge):
        Inflater(coding, limit_bytes=len(data) - 1).feed(compress(data))


@EVERY_FORM
def test_a_stream_is_bounded_by_its_ratio(coding: str, compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InflatedTooLarge, match="200 times"):
        Inflater(coding, ratio=200).feed(compress(b"\0" * 20_000_000))
    honest = random.Random(1).randbytes(20_000) * 100
    assert Inflater(coding, ratio=200).feed(compress(honest)) == honest


@pytest.mark.skipif(zstd is None, reason="no zstd for this Python")
def test_a_zstd_frame_may_not_ask_for_a_huge_window() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(b"x" * 100) + compressor.compress(b"y" * 100) + compressor.flush()
    with pytest.raises(CodingError, match="no valid zstd"):
        Inflater("zstd").feed(packed)


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], ""),
        ([""], ""),
        (["identity"], ""),
        (["GZIP"], "gzip"),
        (["x-gzip"], "gzip"),
        (["identity", "zstd"], "zstd"),
    ],
)
def test_which_coding(values: list[str], coding: str) -> None:
    assert coding_of(values) == coding


@pytest.mark.parametrize("values", [["foo"], ["br"], ["gzip, zstd"], ["gzip", "gzip"]])
def test_an_unknown_coding_is_told_what_is_accepted(values: list[str]) -> None:
    with pytest.raises(UnknownCoding, match="gzip, deflate, zstd"):
        coding_of(values)


def test_without_zstd_the_others_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codings, "ACCEPTED", ("gzip", "deflate"))
    with pytest.raises(UnknownCoding, match=r"one of gzip, deflate$"):
        coding_of(["zstd"])
