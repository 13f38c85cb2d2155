"""Listening sockets: an address as people write it, to a bound socket, and back.

`127.0.0.1:8787`, `[::1]:0`, `localhost:8787`, `unix:/run/ds2api.sock`, and `fd:3` for a socket that was inherited
(systemd, or the process before this one). Nothing here accepts a connection.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Listener", "bind", "descriptors_most", "inherited_descriptors"]

_MANY = 1_000_000
# The first descriptor that is handed over (sd_listen_fds(3)).
_FIRST_DESCRIPTOR = 3


@dataclass(slots=True)
class Listener:
    """A socket that listens. `address` is where, in the form that `bind` takes."""

    socket: socket.socket
    address: str
    unix_path: str | None = None  # a path that this side made, to be removed at the end

    def close(self) -> None:
        """Stop listening. Twice is fine."""
        self.socket.close()
        if self.unix_path is not None:
            Path(self.unix_path).unlink(missing_ok=True)
            self.unix_path = None


def descriptors_most() -> int:
    """How many descriptors this process may have; where that is unlimited or unknown, more than anybody needs."""
    if sys.platform == "win32":
        return _MANY
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY if soft == resource.RLIM_INFINITY else soft


def inherited_descriptors(environment: Mapping[str, str], pid: int) -> list[int]:
    """The descriptors handed over by LISTEN_FDS, if LISTEN_PID says that they are meant for `pid`; else none."""
    if environment.get("LISTEN_PID") != str(pid):
        return []
    count = environment.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()):
        return []
    return list(range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)))


def bind(address: str, backlog_count: int, descriptor: int | None = None) -> Listener:
    """Bind and listen; `descriptor` is the socket that the process before this one had bound there, if it did. Raises
    `ValueError` for an address that is none, `OSError` for one that cannot be had."""
    if descriptor is not None:
        listener = _adopt(str(descriptor), backlog_count)
        listener.unix_path = address.removeprefix("unix:") if address.startswith("unix:") else None
        return listener
    if address.startswith("unix:"):
        return _bind_unix(address.removeprefix("unix:"), backlog_count)
    if address.startswith("fd:"):
        return _adopt(address.removeprefix("fd:"), backlog_count)
    host, colon, port_text = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port_text.isascii() and port_text.isdigit()) or int(port_text) > 65_535:
        raise ValueError(f"{address!r} is no address to listen on; expected host:port, [v6]:port, unix:/path or fd:3")
    family, kind, protocol, _, where = socket.getaddrinfo(
        host, int(port_text), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let a second process take the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(where)
        listening.listen(backlog_count)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return Listener(listening, _written(listening))


def _bind_unix(path: str, backlog_count: int) -> Listener:
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        listening.listen(backlog_count)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return Listener(listening, f"unix:{path}", path)


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more. Raises `OSError` if somebody does."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(errno.EEXIST, "exists and is no socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "somebody listens on it", path)


def _adopt(text: str, backlog_count: int) -> Listener:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"'fd:{text}' is no address to listen on; expected a descriptor's number, as in fd:3")
    listening = socket.socket(fileno=int(text))
    try:
        if listening.type != socket.SOCK_STREAM:
            raise ValueError(f"descriptor {text} is no stream socket")
        listening.listen(backlog_count)
        listening.setblocking(False)
    except BaseException:
        listening.detach()  # not ours to close
        raise
    return Listener(listening, _written(listening))


def _written(listening: socket.socket) -> str:
    name = listening.getsockname()
    if isinstance(name, (str, bytes)):
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if listening.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"
