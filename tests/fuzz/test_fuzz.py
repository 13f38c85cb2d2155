"""The fuzzer's targets in the suite: their corpus, everything that ever broke one, and some mutations of it.

`tools/dev.py fuzz` is the search; this only sees that what was found stays mended.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.targets import CORPUS, TARGETS, corpus_of

each = pytest.mark.parametrize("name", TARGETS)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """As fuzzers do it: a few bytes changed, cut out, doubled, or exchanged for one that means something."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randrange(len(out) + 1), chance.randint(1, 12)
        match chance.randrange(5):
            case 0 if at < len(out):
                out[at] = chance.randrange(256)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length]
            case 3:
                out[at:at] = chance.choice((b"\r\n", b"\n\n", b'"', b"{", b"]", b"null", b"-1e999", b"\x00", b"\xff"))
            case _:
                del out[at:]
    return bytes(out)


@each
def test_every_seed_passes(name: str) -> None:
    seeds = list(corpus_of(name))
    assert seeds
    for seed in seeds:
        TARGETS[name](seed)


@each
@given(data=st.binary(max_size=300), number=st.integers(0, 1 << 32))
def test_nothing_breaks_a_parser(name: str, data: bytes, number: int) -> None:
    chance = random.Random(number)
    TARGETS[name](data)
    seeds = list(corpus_of(name))
    TARGETS[name](mutated(chance.choice(seeds), chance))


def test_the_corpus_holds_only_targets() -> None:
    names = {name.replace(" ", "-") for name in TARGETS}
    assert {folder.name for folder in CORPUS.iterdir() if folder.is_dir()} <= names
