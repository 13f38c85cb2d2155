"""`python -m tests.end_to_end.faults`: plays every fault and prints how many were passed, by kind and client dialect.

Exit status 1 if one was not; each of those is printed with what was wrong.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from tests.end_to_end.faults.play import cases_of, play
from tests.end_to_end.faults.speech import DIALECTS
from tests.end_to_end.faults.table import TABLE

__all__ = ["main"]


async def main() -> int:
    """Run and print. Returns the exit status."""
    print(f"{'faults passed':16}{'faults':>7}" + "".join(f"{dialect:>14}" for dialect in DIALECTS))
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    is_good = True
    for kind in dict.fromkeys(fault.kind for fault in TABLE):
        faults = [fault for fault in TABLE if fault.kind == kind]
        results = await play(cases_of(faults))
        for result in results:
            is_good = is_good and not result.faults
            for one in result.faults:
                print(f"  {result.case.name}: {one}")
        here = Counter(result.case.client for result in results[:-1] if not result.faults)
        of = Counter(result.case.client for result in results[:-1])
        print(f"{kind:16}{len(faults):7}" + "".join(f"{here[one]:8} /{of[one]:4}" for one in DIALECTS), flush=True)
        passed, total = passed + here, total + of
    print(f"{'in all':16}{len(TABLE):7}" + "".join(f"{passed[one]:8} /{total[one]:4}" for one in DIALECTS))
    return 0 if is_good else 1


if __name__ == "__main__":
    try:
        from uvloop import new_event_loop
    except ImportError:
        from asyncio import new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        sys.exit(runner.run(main()))
