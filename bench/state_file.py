"""What keeping and showing the pool costs: the snapshot on the event loop, the file in its thread, the operator's view.

PYTHONPATH=src python bench/state_file.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from ds2api.accounts import Account, AccountLimits, Ask, Candidate, Lease, Pool
from ds2api.records import StateFile
from ds2api.slices import Slices, at_once

MODELS = 2
TIMES = 5


def pool_of(count: int) -> Pool:
    """Accounts that have all served each model."""
    limits = AccountLimits(rpm=600, tpm=1_000_000)
    pool = Pool([Account(f"p/{number}", "p", limits, tag=f"{number}") for number in range(count)], random=Random(1))
    for number in range(MODELS * count):
        lease = pool.acquire(Ask([Candidate("p", f"m{number % MODELS}")], 10.0), 0.0)
        assert isinstance(lease, Lease)
        pool.settle(lease, None, 0.0)
    return pool


def longest_slice_ms(slices: Slices[object]) -> float:
    longest_s, began = 0.0, time.perf_counter()
    for _ in slices:
        now = time.perf_counter()
        longest_s, began = max(longest_s, now - began), now
    return 1000 * longest_s


def least_ms(run: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return 1000 * min(once() for _ in range(TIMES))


def main() -> None:
    print(f"ms, the least of {TIMES}; {MODELS} models an account; of a walk its longest slice, and all")
    print("accounts         snapshot      file              view")
    for count in (10, 300, 10_000):
        pool = pool_of(count)
        state = at_once(pool.snapshot(0.0))
        turns = iter(range(TIMES))
        with tempfile.TemporaryDirectory() as folder:
            file = StateFile(Path(folder, "state.json"), print)
            figures = (
                min(longest_slice_ms(pool.snapshot(0.0)) for _ in range(TIMES)),
                least_ms(lambda: at_once(pool.snapshot(0.0))),  # noqa: B023 (called at once)
                least_ms(lambda: file.write({**state, "turn": next(turns)})),  # noqa: B023
                min(longest_slice_ms(pool.view(0.0)) for _ in range(TIMES)),
                least_ms(lambda: at_once(pool.view(0.0))),  # noqa: B023
            )
        print(f"{count:8,}", *(f"{figure:9.2f}" for figure in figures))


if __name__ == "__main__":
    main()
