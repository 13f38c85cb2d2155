"""No path got dearer: the guard of `bench/counts.py`, without a clock; and one wide ratio with the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.ratio import FLOOR_HASH, RATIO_MOST, floor_hash, measured

from bench import counts


@pytest.mark.parametrize("name", counts.WORKLOADS)
def test_no_path_is_dearer_than_recorded(name: str) -> None:
    dearer = counts.check(name, counts.recorded()[name])
    assert not dearer, "; ".join([*dearer, "worth it? then: python3 tools/dev.py bench --record"])


def test_a_dearer_path_is_named() -> None:
    may = counts.recorded()["JSON chat→chat"]
    assert counts.check("JSON chat→chat", may | {"calls": may["calls"] / 2})[0].startswith("JSON chat→chat: calls ")
    assert counts.check("JSON chat→chat", {key: one for key, one in may.items() if key != "writes"})


def test_the_floor_is_what_it_was() -> None:
    """A floor that is made slower would make every ratio better."""
    assert floor_hash() == FLOOR_HASH


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs the kernel's own count of CPU time")
def test_a_relayed_event_is_not_far_from_the_floor() -> None:
    assert measured() < RATIO_MOST
