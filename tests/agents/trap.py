"""A proxy that leads nowhere: it notes who wanted to go where, and hangs up."""

from __future__ import annotations

import asyncio

__all__ = ["Trap"]


class Trap:
    """Enter on a loop. `wanted` are the targets that were asked for, each as often as it was."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Trap:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("latin-1").split()
        self.wanted.append(line[1] if len(line) > 1 else "")
        writer.close()
