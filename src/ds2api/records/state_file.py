"""The pool's state on disk, so that a restart in full load neither asks dead keys nor runs into known limits.

One JSON document, replaced whole: written beside its place, flushed to the disk, renamed over it, so that whoever
reads sees the old or the new one, also after `kill -9`. It is a convenience and never a reason to fail: what cannot be
read is told in one line and left out, what cannot be written is told once. A file that another program wrote is never
written over. It holds no key; only its owner may read it all the same.

Only the snapshot is made on the event loop, slice by slice; writing happens in a thread, and only when something
changed. Measured (`PYTHONPATH=src python bench/state_file.py`; two models an account): with 10,000 accounts the
snapshot takes 80 ms, and no stream waits for more than 3 of them; the thread takes 20 ms for 4 MB. A large pool is
asked more rarely, so that the snapshots take a twentieth of the loop's time at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2api import jsons
from ds2api.slices import Slices, one_by_one

__all__ = ["StateFile", "StateSettings", "default_path"]

# How often at most. What is lost by `kill -9` is what the pool learned in this time: a few refusals.
EVERY_S = 5.0
_LEISURE = 20
_FORMAT = "ds2api pool 1"
_OURS = b'{"format":"ds2api pool '  # whatever the number
# 10,000 accounts with some models each are about 10 MB.
_MOST_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StateSettings:
    # Where the pool's state is kept over a restart: cool-downs, dead keys, learned limits; no key. "off": nowhere;
    # "auto": for a configuration from a file $XDG_STATE_HOME/ds2api/…json (~/.local/state where that is not set), for
    # any other nowhere; else the path of the file.
    state_file: str = "auto"


def default_path(configuration: Path, environment: Mapping[str, str]) -> Path | None:
    """Where the state of the gateway that `configuration` describes is kept; None where there is no home. The path as
    it is written counts, not what links lead to: a mounted configuration changes its target with each version."""
    state_home, home = environment.get("XDG_STATE_HOME", ""), environment.get("HOME", "")
    if not Path(state_home).is_absolute():  # the XDG base directory specification: a relative one is ignored
        if not home:
            return None
        state_home = str(Path(home, ".local", "state"))
    name = hashlib.sha256(str(configuration.absolute()).encode()).hexdigest()[:16]
    return Path(state_home, "ds2api", f"{name}.json")


class StateFile:
    """The state at `path`. `note` gets sentences for the operator, on the event loop."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self._note = note
        self._told = ""
        self._is_foreign = False
        self._written = b""  # digest of what stands in the file

    def read(self) -> dict[str, Any]:
        """What was kept; {} where nothing is or nothing can be used. Before the first `keep`. Raises nothing."""
        self._sweep()
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise _Foreign("it is no regular file")
            if status.st_size > _MOST_BYTES:
                raise _Foreign(f"it has {status.st_size:,} bytes")
            data = self.path.read_bytes()
            if data and not data.startswith(_OURS):
                raise _Foreign("another program wrote it")
            document = jsons.parse_object(data)
        except FileNotFoundError:
            return {}
        except _Foreign as error:
            self._is_foreign = True
            self._tell(f"is not used and not written over: {error}")
            return {}
        except (OSError, jsons.JsonError) as error:
            self._tell(f"cannot be read, so nothing is remembered: {_reason(error)}")
            return {}
        state = document.get("pool")
        if document.get("format") != _FORMAT or not isinstance(state, dict):
            self._tell("is of another version, so nothing is remembered")
            return {}
        return state

    async def keep(
        self, snapshot: Callable[[], Slices[dict[str, Any]]], stopped: asyncio.Event, every_s: float = EVERY_S
    ) -> None:
        """Write what `snapshot` gives whenever it has changed, until `stopped`, and then a last time."""
        if self._is_foreign:
            return
        is_last, pause_s = False, every_s
        while not is_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stopped.wait()
            is_last = stopped.is_set()
            began = time.perf_counter()
            state = await one_by_one(snapshot())
            pause_s = max(every_s, (time.perf_counter() - began) * _LEISURE)
            problem = await asyncio.to_thread(self.write, state)
            if problem is not None:
                self._tell(problem)
            else:
                self._told = ""

    def write(self, state: Mapping[str, Any]) -> str | None:
        """Replace the file if `state` is another than what stands in it. Returns what went wrong, in words. For any
        thread, one at a time."""
        data = jsons.dump({"format": _FORMAT, "pool": state})
        digest = hashlib.blake2b(data).digest()
        if digest == self._written:
            return None
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            return f"cannot be written, so a restart will remember nothing: {_reason(error)}"
        self._written = digest
        return None

    def _sweep(self) -> None:
        """Remove what a killed process left half-written. Another one that is writing there in this very moment tells
        it once, and writes again."""
        with contextlib.suppress(OSError):
            for left in self.path.parent.glob(f"{self.path.name}.*.tmp"):
                left.unlink()

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            self._told = problem
            self._note(f"the pool's state file {self.path} {problem}")


class _Foreign(Exception):
    """Not ours to touch."""


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else f"it is {error}"
