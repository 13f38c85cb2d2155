"""The soak: a short one finds nothing wrong with the gateway, and what would be wrong is found."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from bench.soak import FAULTS, Soak, growth_mb_per_hour, judged, report


def told(**more: Any) -> dict[str, Any]:
    counts = {"tasks": 4, "descriptors": 17, "rss_bytes": 40e6, "leases": 0, "waiting": 0}
    known = {"minutes": 20, "growth_mb_per_hour": 0.3, "growth_after_s": 300, "exit_status": 0, "requests": 9}
    known["refused_in_handover"] = 0
    known |= {"endings": {"answered": 9}, "faults": {"none": 9}, "disturbances": {"clock": 1}}
    samples = [{"at_s": float(second), **counts} for second in range(3)]
    return {**known, "before": counts, "after": dict(counts), "samples": samples, **more}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"after": {"tasks": 4, "descriptors": 17, "leases": 1, "waiting": 0}}, "1 leases at the end"),
        ({"after": {"tasks": 4, "descriptors": 17, "leases": 0, "waiting": 2}}, "2 waiting at the end"),
        ({"after": {"tasks": 5, "descriptors": 17, "leases": 0, "waiting": 0}}, "tasks: 4 before, 5 after"),
        ({"after": {"tasks": 4, "descriptors": 18, "leases": 0, "waiting": 0}}, "descriptors: 17 before, 18 after"),
        ({"growth_mb_per_hour": 1.2}, "memory grew by 1.2 MB an hour"),
        ({"exit_status": -9}, "status -9"),
        ({"endings": {"answered": 1, "TRACEBACKS IN THE LOG": 2}}, "2 TRACEBACKS"),
        ({"endings": {"answered": 1, "somebody else's answer": 1}}, "somebody else"),
        ({"refused_in_handover": 3}, "3 were refused while the next process took over"),
        ({"endings": {"left": 1}}, "nothing was answered"),
    ],
)
def test_what_is_left_behind_is_found(changed: dict[str, Any], words: str) -> None:
    assert judged(told()) == []
    (wrong,) = judged(told(**changed))
    assert words in wrong


def test_memory_is_judged_only_where_a_run_is_long_enough() -> None:
    assert judged(told(minutes=9.9, growth_mb_per_hour=50.0)) == []
    assert "Everything is where it was" in report(told())


def test_growth_is_a_slope() -> None:
    samples = [{"at_s": at, "rss_bytes": 40e6 + (1e9 if at < 300 else at / 3600 * 2e6)} for at in range(0, 1200, 10)]
    assert growth_mb_per_hour(samples, 300) == pytest.approx(2.0)
    assert growth_mb_per_hour(samples[:1], 0) == 0.0


def test_a_short_soak_leaves_nothing_behind(tmp_path: Path) -> None:
    found = asyncio.run(Soak(0.03, tmp_path, random.Random(7)).run())
    assert judged({**found, "growth_mb_per_hour": 0.0}) == []
    assert set(found["faults"]) <= set(FAULTS)
    assert found["endings"]["answered"] > found["endings"].get("left", 0)
