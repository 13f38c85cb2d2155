"""The gateway that is soaked: its own command line, and beside it a socket for what only a soak wants to know or do.

    python -m bench.soak_gateway SOCKET serve --config FILE

A line "count" is answered with tasks, descriptors, resident bytes and the process id; "clock SECONDS" sets the wall
clock off by so much from then on, as after a wrong battery or a step of NTP (the monotonic clock never jumps; stopping
the process does that to it).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import ds2api.cli
from ds2api.event_loop import run_loop

__all__ = ["main"]


def _process() -> dict[str, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return {"pid": os.getpid(), "descriptors": descriptors, "rss_bytes": pages * os.sysconf("SC_PAGE_SIZE")}


def main() -> int:
    """See the opening of this file."""
    socket_path, arguments = sys.argv[1], sys.argv[2:]
    true_time, off_s = time.time, 0.0
    time.time = lambda: true_time() + off_s

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal off_s
        word, _, value = (await reader.readline()).decode().partition(" ")
        if word == "clock":
            off_s = float(value)
        writer.write(json.dumps({"tasks": len(asyncio.all_tasks()), **_process()}).encode() + b"\n")
        writer.close()

    async def controlled(serving: Coroutine[Any, Any, Any]) -> Any:
        async with await asyncio.start_unix_server(control, socket_path):
            return await serving

    vars(ds2api.cli)["run_loop"] = lambda serving: run_loop(controlled(serving))  # the command line's own
    return ds2api.cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
