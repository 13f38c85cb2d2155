"""Every test of the wire that is a coroutine runs twice: on asyncio's own loop and on uvloop."""

from __future__ import annotations

from typing import Any

import pytest

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio")]
try:
    import uvloop  # noqa: F401
except ImportError:
    pass
else:
    LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param
