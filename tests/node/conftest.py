"""One gateway before six strict mocks, and one Node process per SDK, for the whole session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests.end_to_end.harness import gateway_for
from tests.layers import LayerRecord, locked_versions
from tests.node.house import House
from tests.node.program import DOORS, HERE, Program
from tests.node.provider import providers


def pytest_configure(config: pytest.Config) -> None:
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = {"node": node.removeprefix("v"), **locked_versions(HERE / "package.json")}
    config.pluginmanager.register(LayerRecord("node", versions))


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with providers() as (mocks, table), gateway_for(table) as running:
        yield House(running, mocks, table)
        assert running.leases() == 0


@pytest.fixture(autouse=True)
def relayed(house: House, request: pytest.FixtureRequest) -> None:
    given = request.node.callspec.params
    for dialect, mock in house.mocks.items():
        mock.be_relayed_to(DOORS[given["door"]] == dialect)


@pytest.fixture(scope="session")
def program() -> Iterator[Callable[[str], Program]]:
    programs: dict[str, Program] = {}

    def of(door: str) -> Program:
        if door not in programs:
            programs[door] = Program(door)
        return programs[door]

    yield of
    for one in programs.values():
        one.close()
