"""A whole gateway in front of the recorder, with short limits: what the table runs against."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator

from tests.wire.hostile.referee import Recorder

import ds2api

__all__ = ["gateway"]

# Short, for the rows that wait for them; beyond what a loaded machine needs for a head that comes at once.
_SHORT = {"head_total_s": 0.3, "body_idle_s": 0.3, "keepalive_idle_s": 0.3, "close_linger_s": 0.3}
_LONG = {"head_total_s": 60, "body_idle_s": 60, "keepalive_idle_s": 60}


@contextlib.asynccontextmanager
async def gateway(recorder: Recorder, *, is_hasty: bool) -> AsyncIterator[tuple[str, int]]:
    """Its address. `is_hasty`: with limits that pass within a moment."""
    host, port = recorder.address
    config = ds2api.from_mapping(
        {
            "listen": "127.0.0.1:0",
            "providers": {
                "up": {
                    "dialects": ["chat"],
                    "base_url": f"http://{host}:{port}/v1",
                    "accounts": [{"name": "a", "key": "key-of-the-account"}],
                }
            },
            "models": {"m": "up/m"},
            "timeouts": _SHORT if is_hasty else _LONG,
        },
        {},
    )
    async with ds2api.Gateway(config, log_stream=io.StringIO(), environment={}, grace_s=0.1) as running:
        listening, _, at = running.url.removeprefix("http://").rpartition(":")
        yield listening, int(at)
