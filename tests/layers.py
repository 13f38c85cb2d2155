"""The last output of a layer that does not run by default (`tools/dev.py test --node`, `--agents`, `--engine`).

A layer needs what a plain checkout has not (npm packages, an engine), so its outcome is kept: `docs/fidelity/NAME.json`
holds the date, what ran (versions), each test's counts, and every case that failed or was skipped, with the reason;
`docs/fidelity.md` is made from it. `LayerRecord` is a pytest plugin that collects the outcomes; a layer's conftest
registers it. Case names are test names, never paths of a machine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

__all__ = ["FOLDER", "LayerRecord", "locked_versions", "record_layer"]

FOLDER = Path(__file__).parent.parent / "docs" / "fidelity"


def record_layer(name: str, versions: Mapping[str, str], cases: Mapping[str, str]) -> Path:
    """Write `docs/fidelity/<name>.json`. `cases` maps a case to "passed", "failed" or "skipped" (or "skipped: why")."""
    counts = Counter(outcome.partition(":")[0] for outcome in cases.values())
    tests: dict[str, Counter[str]] = {}
    others: dict[str, list[str]] = {}  # what else was said than "passed", and of which cases
    for case, outcome in sorted(cases.items()):
        tests.setdefault(case.partition("[")[0], Counter())[outcome.partition(":")[0]] += 1
        if outcome != "passed":
            others.setdefault(outcome, []).append(case)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": dict(sorted(versions.items())),
        **{outcome: counts[outcome] for outcome in ("passed", "failed", "skipped")},
        "tests": tests,
        "others": others,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def locked_versions(package_file: Path) -> dict[str, str]:
    """The exact versions that a `package.json` names."""
    versions: dict[str, str] = json.loads(package_file.read_text(encoding="utf-8"))["dependencies"]
    return versions


class LayerRecord:
    """Writes the layer's last output when a session has run whole: not when somebody picked tests (`-k`, one file's
    test), since a part is no outcome of the layer."""

    def __init__(self, name: str, versions: Mapping[str, str]) -> None:
        self._name = name
        self._versions = versions
        self._cases: dict[str, str] = {}
        self._is_whole = True

    def pytest_collection_modifyitems(self, config: pytest.Config) -> None:
        self._is_whole = not config.option.keyword and not any("::" in argument for argument in config.args)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = report.nodeid.rpartition("/")[2]
        if report.failed:
            self._cases[case] = "failed"
        elif report.skipped:
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._cases[case] = "skipped: " + why.removeprefix("Skipped: ")
        elif report.when == "call":
            self._cases.setdefault(case, "passed")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_whole and self._cases and not hasattr(session.config, "workerinput"):
            record_layer(self._name, self._versions, self._cases)
