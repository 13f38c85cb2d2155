"""From a name to a connected socket: all addresses of the name, raced (RFC 8305).

asyncio has such a race in `create_connection`, uvloop has not; this one serves both. The families are interleaved,
attempts start 250 ms apart or as soon as the one before failed, the first that connects wins, the others are closed.
A single address, the usual case, is no race and makes no task.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["Address", "connect_first", "interleave", "resolve"]

# (family, socket address), as `getaddrinfo` has them
Address = tuple[socket.AddressFamily, Any]

# RFC 8305 §5 recommends 250 ms; asyncio's documentation and curl (200 ms) are near.
_STAGGER_S = 0.25


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host`, in the order in which they should be tried. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:  # nothing to look up, so nothing to wait for
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return interleave([(socket.AddressFamily(entry[0]), entry[4]) for entry in found])


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Take the families in turn, beginning with the first one's (RFC 8305 §4), each in its own order."""
    families: dict[socket.AddressFamily, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    mixed: list[Address] = []
    for place in range(max(map(len, families.values()), default=0)):
        mixed += [of_family[place] for of_family in families.values() if place < len(of_family)]
    return mixed


async def connect_first(addresses: Sequence[Address], stagger_s: float = _STAGGER_S) -> socket.socket:
    """A connected socket, not blocking. Raises the `OSError` of the first address if none connects.

    Cancelled, it leaves nothing open.
    """
    if not addresses:
        raise OSError("the name has no address")
    if len(addresses) == 1:
        return await _connect(addresses[0])
    loop = asyncio.get_running_loop()
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    order: list[asyncio.Task[socket.socket]] = []
    try:
        while waiting or running:
            if waiting:
                task = loop.create_task(_connect(waiting.pop()))
                running.add(task)
                order.append(task)
            done, running = await asyncio.wait(
                running, timeout=stagger_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            # In order of start, so that of two that connect in one turn of the loop the preferred one wins.
            for task in order:
                if task in done and task.exception() is None:
                    order.remove(task)
                    return task.result()
    finally:
        _abandon(order)
    failure = order[0].exception()
    assert failure is not None
    raise failure


def _abandon(tasks: Sequence[asyncio.Task[socket.socket]]) -> None:
    """Stop attempts that are not wanted any more, and close what they reached meanwhile."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(_close_result)


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(address: Address) -> socket.socket:
    family, where = address
    # With the protocol named, asyncio switches Nagle's algorithm off; with the default of 0 it does not.
    connecting = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(connecting.close)
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, where)
        on_failure.pop_all()
    return connecting
