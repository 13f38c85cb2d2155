"""What every test shares: hypothesis profiles, the loops that socket tests run on, a state folder of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `deep` is for a night; `fast` keeps the suite within its five minutes on two cores. Deadlines of single examples
# are off: the machines are shared, and a slow moment is no failure.
settings.register_profile(
    "fast", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("DS2API_HYPOTHESIS", "fast"))


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where gateways that a test runs from a file keep the pool's state: never in the home of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
