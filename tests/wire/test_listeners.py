"""Addresses to listen on, and descriptors that were handed over."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ds2api.wire.listeners import bind, inherited_descriptors


def test_tcp_gives_what_was_bound() -> None:
    listener = bind("127.0.0.1:0", 10)
    host, _, port = listener.address.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    with socket.create_connection((host, int(port))):
        pass
    listener.close()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_is_written_in_brackets() -> None:
    try:
        listener = bind("[::1]:0", 10)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    assert listener.address.startswith("[::1]:")
    listener.close()


def test_a_port_in_use_is_an_error() -> None:
    listener = bind("127.0.0.1:0", 10)
    with pytest.raises(OSError, match="in use"):
        bind(listener.address, 10)
    listener.close()


@pytest.mark.parametrize("address", ["", "h", ":80", "h:", "h:x", "h:99999", "fd:", "fd:x", "127.0.0.1:٣"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        bind(address, 10)


def test_a_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = bind(f"unix:{path}", 10)
    assert listener.address == f"unix:{path}"
    assert path.is_socket()
    listener.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    listener = bind(f"unix:{path}", 10)
    with pytest.raises(OSError, match="somebody listens"):
        bind(f"unix:{path}", 10)
    listener.close()


def test_a_file_is_never_removed_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        bind(f"unix:{path}", 10)
    assert path.read_text() == "precious"


def test_an_inherited_descriptor_is_taken_over() -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        descriptor = os.dup(given.fileno())
        listener = bind(f"fd:{descriptor}", 10)
        assert listener.address == f"127.0.0.1:{given.getsockname()[1]}"
        with socket.create_connection(given.getsockname()):
            pass
        listener.close()


def test_a_descriptor_that_cannot_listen_stays_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="no stream socket"):
            bind(f"fd:{datagrams.fileno()}", 10)
        datagrams.getsockname()


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, [3, 4]),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, []),
        ({"LISTEN_PID": "7"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "x"}, []),
        ({"LISTEN_FDS": "2"}, []),
    ],
)
def test_descriptors_are_for_the_named_process_only(environment: dict[str, str], found: list[int]) -> None:
    assert inherited_descriptors(environment, 7) == found
