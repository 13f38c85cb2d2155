"""The connections to upstreams that are open, and which of them are unused.

For each origin a stack: the connection used last is used next, so that a load that shrinks lets the others grow old
and close. `take` reserves in the same call, so between "free" and "used" there is no moment in which a timer or a
second caller could have it. What idles beyond the limit closes, the oldest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds2api.wire.origin import Origin

if TYPE_CHECKING:
    from ds2api.wire.upstream_connection import UpstreamConnection

__all__ = ["Pool"]


class Pool:
    """All connections of one client. Invariants: every stacked connection is IDLE, and no stack is above the limit."""

    def __init__(self, idle_count: int) -> None:
        self._idle_count = idle_count
        self._stacks: dict[Origin, list[UpstreamConnection]] = {}
        self._open: set[UpstreamConnection] = set()
        self._closed = False
        self.opened = 0
        self.reused = 0
        self.spoke = 0  # connections closed for bytes that nobody asked for

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def idle_count(self) -> int:
        return sum(map(len, self._stacks.values()))

    def idle_of(self, origin: Origin) -> int:
        """How many connections to `origin` are unused."""
        return len(self._stacks.get(origin, ()))

    def take(self, origin: Origin) -> UpstreamConnection | None:
        """An unused connection to `origin`, reserved for the caller; None if there is none."""
        stack = self._stacks.get(origin)
        while stack:
            connection = stack.pop()
            if connection.reserve():
                self.reused += 1
                return connection
            connection.close()
        return None

    def put(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose answer was read to its end."""
        if self._closed:
            connection.close()
            return
        stack = self._stacks.setdefault(connection.origin, [])
        connection.idle()
        stack.append(connection)
        if len(stack) > self._idle_count:
            stack[0].close()

    def forget(self, connection: UpstreamConnection) -> None:
        """An unused connection has closed."""
        stack = self._stacks.get(connection.origin, [])
        if connection in stack:
            stack.remove(connection)

    def close(self) -> None:
        """Close every connection, used or not; nothing is taken back any more. Twice is fine."""
        self._closed = True
        for connection in list(self._open):
            connection.close()
        self._stacks.clear()

    # --- what connections tell ---

    def connection_opened(self, connection: UpstreamConnection) -> None:
        self.opened += 1
        self._open.add(connection)
        if self._closed:
            connection.close()

    def connection_closed(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        if not self._stacks.get(connection.origin, True):
            del self._stacks[connection.origin]

    def connection_spoke(self, connection: UpstreamConnection) -> None:
        self.spoke += 1
