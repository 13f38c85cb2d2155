"""What every test shares: hypothesis profiles, and the loops that socket tests run on."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# `deep` is for a night; `fast` keeps the suite within its five minutes on two cores. Deadlines of single examples
# are off: the machines are shared, and a slow moment is no failure.
settings.register_profile(
    "fast", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("DS2API_HYPOTHESIS", "fast"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
