"""What the agents share: their versions, and the proxy that leads nowhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests.agents.agents import HERE
from tests.agents.trap import Trap
from tests.end_to_end.harness import Thread
from tests.layers import LayerRecord, locked_versions


def pytest_configure(config: pytest.Config) -> None:
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = {"node": node.removeprefix("v"), **locked_versions(HERE / "package.json")}
    config.pluginmanager.register(LayerRecord("agents", versions))


@pytest.fixture
def trap() -> Iterator[Trap]:
    thread = Thread()
    try:
        yield thread.enter(Trap())
    finally:
        thread.close()
