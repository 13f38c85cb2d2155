"""What the gateway is made of: few packages, each pinned by hash, each with a reason, and told to whoever asks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import supply  # noqa: E402


def packages() -> list[supply.Package]:
    return list(supply.locked(supply.LOCK.read_text(encoding="utf-8")))


def test_there_are_at_most_ten_packages_each_pinned_by_hash_and_each_with_a_reason() -> None:
    found = packages()
    assert 4 <= len(found) <= supply.MOST
    assert {one.name for one in found} == set(supply.REASONS)
    assert all(one.hashes for one in found)
    text = supply.LOCK.read_text(encoding="utf-8")
    assert sum(len(one.hashes) for one in found) == len(re.findall("--hash", text))
    assert len(found) == len(re.findall(r"(?m)^[\w.-]+==", text))


def test_the_bill_of_materials_names_each_package_with_its_hashes_and_is_the_same_each_time() -> None:
    bill = json.loads(supply.bill_of_materials())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    purls = {f"pkg:pypi/{one.name}@{one.version}" for one in packages()}
    assert {one["purl"] for one in bill["components"]} == purls == set(bill["dependencies"][0]["dependsOn"])
    assert all(len(digest["content"]) == 64 for one in bill["components"] for digest in one["hashes"])
    assert supply.bill_of_materials() == supply.bill_of_materials()


def test_what_a_package_may_do_is_read_from_its_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os.path, socket\nfrom subprocess import run\nvalue = eval('1')\n")
    (tmp_path / "b.py").write_text("from .socket import x\nimport json\n")
    (tmp_path / "fast.cpython-311.so").write_bytes(b"")
    assert supply.abilities(sorted(tmp_path.iterdir())) == [
        "native code (fast)", "network (socket)", "processes (subprocess)", "text run as code (a.py)",
    ]  # fmt: skip
    assert supply.abilities([tmp_path / "b.py"]) == []


def test_the_audit_tells_of_each_package_why_it_is_here() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "supply.py"), "audit"], capture_output=True, text=True, check=True
    )
    for name, reason in supply.REASONS.items():
        assert f"{name} " in done.stdout and f"why: {reason}" in done.stdout
    assert done.stderr == ""


def test_no_source_file_is_longer_than_seven_hundred_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert {path.name: count for path, count in lengths.items() if count > 700} == {}
