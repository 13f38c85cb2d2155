"""The floor with TLS towards its upstream: `floor.py` as it stands, but for how it connects.

python -m bench.floor_tls PORT UPSTREAM_PORT CA_FILE
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop

from bench import floor  # type: ignore[attr-defined]

__all__ = ["Client"]


class Client(floor.Client):  # type: ignore[misc]
    """See `floor.Client`."""

    async def connect(self) -> None:
        loop, context = asyncio.get_running_loop(), ssl.create_default_context(cafile=sys.argv[3])
        _, upstream = await loop.create_connection(
            floor.Upstream, "127.0.0.1", int(sys.argv[2]), ssl=context, server_hostname="localhost"
        )
        self.send(upstream, self.waiting)
        self.waiting = b""


if __name__ == "__main__":
    floor.Client = Client
    uvloop.run(floor.main())
