"""The settings of the wire: limits in bytes and counts, timeouts in seconds, and where TLS finds its files.

Every default has its precedent above it. The name of a timeout says what resets it: `_total_s` nothing, `_idle_s`
any byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from ds2api.wire.proxies import Proxies

__all__ = ["Limits", "Proxies", "Timeouts", "TlsClient", "TlsServer"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much. Each must be at least 1."""

    # A request's body, after its content-encoding is undone. Providers take 20 to 32 MB of base64 images (Anthropic
    # documents 32 MB); nginx's 1 MB and most frameworks' 2 MB refuse them. Memory at risk: this, per request.
    body_bytes: int = 33_554_432
    # A head with its request line, either direction. nginx 4 × 8 KiB, Envoy 60 KiB, HAProxy 16 KiB.
    head_bytes: int = 32_768
    # Fields of a head. Envoy 100, Apache 100, HAProxy 101.
    header_count: int = 100
    # A request target. nginx and Apache: 8 KiB for the request line.
    target_bytes: int = 8_192
    # An upstream's answer that is read whole, after its content-encoding is undone. The largest seen is an answer
    # with several images in base64; twice what a request may be.
    answer_bytes: int = 67_108_864
    # Connections from clients at one time; beyond it idle ones are closed, then accepting waits (the kernel keeps the
    # rest in its queue). An idle connection costs about 5 KiB here. nginx 512 a worker, Caddy and Envoy none. Never
    # more than half of the descriptors that the process may have: each may need one more, for its upstream.
    connections_count: int = 16_384
    # Of these, from one client address; a further one gets a 503. Behind a proxy all clients have one address, so this
    # leaves only a quarter to others; nginx's `limit_conn` and HAProxy's stick tables are off by default, their
    # examples say 10 to 100.
    connections_per_address_count: int = 12_288
    # Connections waiting in the kernel to be accepted. nginx 511 on Linux, Go the kernel's own limit, which caps this.
    backlog_count: int = 1_024
    # Unused connections kept open per origin. Go 100 in all, nginx's examples 16 to 32, HAProxy no limit. One gateway
    # has few origins and many exchanges, and each connection saved is a TLS handshake of 1 to 2 ms CPU.
    upstream_idle_count: int = 128
    # Interim answers (1xx) before the final one. Go's client takes 5.
    interim_count: int = 8
    # Where a side that writes faster than the other reads is paused and resumed. asyncio 64 KiB and a quarter of it,
    # nginx 2 × 32 KiB of busy buffers. Memory of a slow stream: this and one read.
    high_water_bytes: int = 65_536
    low_water_bytes: int = 16_384
    # Bytes of a further request that are read while one is being answered; then reading pauses.
    read_ahead_bytes: int = 65_536
    # What is left unread of a request's body when it was answered: up to this it is read and dropped to keep the
    # connection, beyond it the connection closes. Go 256 KiB, nginx reads for `lingering_time`.
    leftover_bytes: int = 262_144
    # How often larger than its compressed form a stream may become, beyond its first MiB. Deflate cannot pass
    # 1,032, real JSON and event streams stay below 30.
    inflate_ratio: int = 200


@dataclass(frozen=True, slots=True)
class Timeouts:
    """What is too long, in seconds. Each must be above 0."""

    # From a connection (or the first byte of a further request) to the end of the head. Apache 20–40, HAProxy's
    # examples 5–10, nginx 60: a head of 2 KB that takes longer is an attack (slowloris) or a dead line.
    head_total_s: float = 10
    # Between two reads of a request's body. nginx 60, Apache 20 (and 500 bytes a second, see below).
    body_idle_s: float = 30
    # Below this rate a body is refused even if it never stands still: Apache `RequestReadTimeout body=20,MinRate=500`.
    body_rate_bytes_s: float = 500
    # An unused client connection. nginx 75.
    keepalive_idle_s: float = 75
    # Name lookup, TCP, TLS and a proxy's CONNECT together. Envoy 5, httpx 5, HAProxy's examples 5–10, nginx 60.
    connect_total_s: float = 10
    # From the request to the first byte of its answer, and between two reads of a body that is read whole. Reasoning
    # models are silent for minutes; the official SDKs wait 600.
    first_byte_idle_s: float = 300
    # A client that takes nothing of what waits for it. nginx `send_timeout` 60.
    write_idle_s: float = 60
    # An unused upstream connection. Below the 60 of AWS's and the 75 of nginx's own keep-alive, so that it is mostly
    # this side that closes.
    upstream_keepalive_idle_s: float = 55
    # How long a closing connection may still take in what the other side sends, so that it can read its answer.
    # nginx `lingering_timeout` 5.
    close_linger_s: float = 5


@dataclass(frozen=True, slots=True)
class TlsClient:
    """How to prove an upstream's identity, and ours. Without `ca_file` the system's trust store alone."""

    ca_file: str | None = None  # PEM, trusted beside the system's
    certificate_file: str | None = None  # PEM, ours, with its chain
    key_file: str | None = None  # PEM; None where it stands in `certificate_file`


@dataclass(frozen=True, slots=True)
class TlsServer:
    """A listener's certificate, PEM with its chain, and its key."""

    certificate_file: str
    key_file: str | None = None
