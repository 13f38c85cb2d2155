"""One process after the other, without a gap: SIGUSR2 starts the next, which takes over the listening sockets.

The next one is started as this one was (the same program, arguments and environment), so that a new version or a new
configuration comes into use. It inherits the sockets themselves: the kernel's queue of connections goes on, and none is
refused. When it serves, it says so through a pipe; then this one accepts no more, finishes what runs and ends. If the
next one does not come up, this one goes on as if nothing had been asked. (nginx does the same by USR2 and QUIT.)

A service manager is told by the protocol of sd_notify(3) where it asks for it: `READY=1`, and which process is the main
one now.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, MutableMapping

__all__ = ["HandoverFailed", "say_ready", "start_next", "take_over"]

# The sockets by the address that the configuration gives them, and the pipe's end: {"127.0.0.1:8787": 5}, 6.
_SOCKETS, _READY = "DS2API_SOCKETS", "DS2API_READY"
# Reading a configuration may run key commands (10 s each).
_WAIT_S = 60.0


class HandoverFailed(Exception):
    """The next process does not serve. In a sentence for the operator."""


def take_over(environment: MutableMapping[str, str]) -> dict[str, int]:
    """The sockets that the process before this one hands over; {} without one. Taken out of `environment`, since
    nobody else's child is to think that they are meant for it."""
    try:
        given = json.loads(environment.pop(_SOCKETS, "{}"))
        return {str(address): int(number) for address, number in given.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def say_ready(environment: MutableMapping[str, str]) -> None:
    """This process serves: tell the one before it, and the service manager. Each is told once; neither has to be
    there."""
    number = environment.pop(_READY, "")
    if number.isdecimal():
        with contextlib.suppress(OSError):
            os.write(int(number), b"1")
            os.close(int(number))
    _notify(environment, f"MAINPID={os.getpid()}\nREADY=1")


async def start_next(sockets: Mapping[str, int], environment: Mapping[str, str]) -> int:
    """Start the next process with `sockets` and wait until it serves. Gives its process id. Raises `HandoverFailed`; a
    cancellation ends the next process."""
    if os.getpid() == 1:
        raise HandoverFailed("this is process 1 of its container, which ends with it: start another container instead")
    heard, told = os.pipe()
    next_one = {**environment, _SOCKETS: json.dumps(dict(sockets)), _READY: str(told)}
    try:
        process = _start([*sockets.values(), told], next_one)
    except OSError as error:
        os.close(heard)
        raise HandoverFailed(f"the next process cannot be started: {error.strerror}") from None
    finally:
        os.close(told)
    serves = False
    try:
        async with asyncio.timeout(_WAIT_S):
            serves = bool(await _byte_of(heard))
    except TimeoutError:
        raise HandoverFailed(f"the next process did not serve within {_WAIT_S:g} s, and was ended") from None
    finally:
        os.close(heard)
        if not serves:
            process.kill()
            status = await asyncio.to_thread(process.wait)
    if not serves:
        raise HandoverFailed(f"the next process ended with status {status}, its words stand above")
    return process.pid


def _start(descriptors: list[int], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """As this process was started itself."""
    return subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env=environment, pass_fds=descriptors)  # noqa: S603


async def _byte_of(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: None if readable.done() else readable.set_result(None))
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 1)


def _notify(environment: Mapping[str, str], text: str) -> None:
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(text.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
