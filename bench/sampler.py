"""Where a program spends its time, a thousand times a second: `python -m bench.sampler OUT -m MODULE ARGUMENTS…`.

The kernel's timer of used CPU time interrupts it; what is running is counted, and at the end written to OUT, a line for
each stack (functions from the outermost, joined by ``;``) with its count, as flame graphs are drawn from. Costs a few
percent; a profiler that hooks every call would make what is called often look dear.
"""

from __future__ import annotations

import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

__all__ = ["main"]

_EVERY_S = 0.001


def main() -> None:
    out, flag, module, *arguments = sys.argv[1:]
    assert flag == "-m", "only modules are run"
    stacks: Counter[tuple[CodeType, ...]] = Counter()

    def sample(number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        stacks[tuple(reversed(stack))] += 1

    sys.argv = [module, *arguments]
    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = (";".join(map(_name, stack)) + f" {count}\n" for stack, count in stacks.items())
        Path(out).write_text("".join(lines), encoding="utf-8")


def _name(code: CodeType) -> str:
    folder, _, file = code.co_filename.rpartition("/")
    return f"{folder.rpartition('/')[2]}/{file}:{code.co_qualname}".replace(" ", "_")


if __name__ == "__main__":
    main()
