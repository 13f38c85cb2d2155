"""What becomes of a connection that was accepted in the very turn in which the server is stopped."""

from __future__ import annotations

import asyncio
import gc
import socket

from tests.wire.helpers import within

from ds2api.wire.incoming import Incoming
from ds2api.wire.server import Server
from ds2api.wire.settings import Limits, Timeouts


async def test_a_connection_whose_task_never_began_is_closed() -> None:
    async def handler(incoming: Incoming) -> None:
        incoming.respond(200, [])

    server = Server(handler, lambda *_: (500, [], b""), limits=Limits(), timeouts=Timeouts())
    address = await server.listen("127.0.0.1:0")
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    with socket.create_connection((host, int(port))) as client:
        client.setblocking(False)
        async with within():
            while not (begun := asyncio.all_tasks() - before):
                await asyncio.sleep(0)
        for task in begun:
            task.cancel()  # as a loop that ends does with all of them
        async with within():
            assert await loop.sock_recv(client, 1) == b""
            await server.drain(0.0)
    gc.collect()  # an open socket that nobody has would be a warning here
