"""No key of a test run may stand in what the run prints: a leak fails the test in whose output it stands."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.end_to_end.keys import leaked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for name, text in report.sections:
        if leaked(text):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: there is a key in {name}"
            report.sections = []
            break
    return report
