"""A client made of a socket: for what no SDK would send, and for leaving at the wrong moment."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "connected", "exchange", "post_bytes", "read_head", "reset"]


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """All of it, for a search."""
        return "\n".join([*(f"{name}: {value}" for name, value in self.headers), self.body.decode("utf-8", "replace")])


def exchange(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request by the standard library, and its answer, whatever it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(
            response.status, [(name.lower(), value) for name, value in response.getheaders()], response.read()
        )
    finally:
        connection.close()


def post_bytes(path: str, body: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """A request as bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "content-length": str(len(raw)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + raw


@contextmanager
def connected(port: int, data: bytes = b"", *, receive_buffer_bytes: int = 0) -> Iterator[socket.socket]:
    """A connection on which `data` has been sent."""
    with socket.socket() as client:
        if receive_buffer_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(data)
        yield client


def read_head(client: socket.socket) -> tuple[str, bytes]:
    """Until the head of an answer is there: the head, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(4096)
        assert more, f"closed in the head: {data!r}"
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode(), rest


def reset(client: socket.socket) -> None:
    """Leave as a killed process does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
