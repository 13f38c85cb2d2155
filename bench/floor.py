"""The floor: a relay on uvloop that looks at nothing but lengths. No h11, no JSON, no safety: the least that Python
can cost. Frozen: the bench prints its hash.    usage: python bench/floor.py PORT UPSTREAM_PORT
"""

import asyncio
import sys

import uvloop

IDLE: list["Upstream"] = []


class Upstream(asyncio.Protocol):
    client: "Client | None" = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        client = self.client
        client.transport.write(data)
        if client.left is None:  # the head of an answer
            end = data.find(b"\r\n\r\n") + 4
            at = data.find(b"content-length: ", 0, end)
            client.left = int(data[at + 16 : data.find(b"\r", at)]) + end if at >= 0 else -1
        if client.left >= 0:
            client.left -= len(data)
        if client.left == 0 or (client.left < 0 and data.endswith(b"0\r\n\r\n")):
            self.client = client.upstream = None
            IDLE.append(self)


class Client(asyncio.Protocol):
    upstream: Upstream | None = None
    left: int | None = None

    def connection_made(self, transport):
        self.transport = transport
        self.waiting = b""

    def data_received(self, data):
        if self.upstream is not None:
            self.upstream.transport.write(data)
        elif IDLE:
            self.send(IDLE.pop(), data)
        elif self.waiting:
            self.waiting += data
        else:
            self.waiting = data
            self.connecting = asyncio.ensure_future(self.connect())

    async def connect(self):
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", int(sys.argv[2]))
        self.send(upstream, self.waiting)
        self.waiting = b""

    def send(self, upstream, data):
        self.left, self.upstream, upstream.client = None, upstream, self
        upstream.transport.write(data)


async def main():
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
