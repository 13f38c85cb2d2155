"""The one-file build: it starts unpacked, from memory and in pure Python, and answers the same in each."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMIT_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "ds2api.pyz"
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "zipapp.py"), "--output", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return path


def for_another_python(archive: Path, folder: Path) -> Path:
    """The same file, made for a Python that this one is not."""
    other = folder / "other.pyz"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "manifest.json":
                data = json.dumps({**json.loads(data), "soabi": "cpython-399-none"}).encode()
            target.writestr(name, data)
    return other


@contextmanager
def serving(archive: Path, cache: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its demo, on a free port; gives the URL."""
    process = subprocess.Popen(
        [sys.executable, "-I", str(archive), "serve", "--demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"DS2API_CACHE": cache, "PATH": os.environ["PATH"]},
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found, process.stderr.read() if process.stderr else ""
        yield found[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def ask(url: str, model: str) -> str:
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps({"model": model, "messages": [{"role": "user", "content": "Grüße 😀"}]}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = json.load(answer)["choices"][0]["message"]["content"]
    return text


def test_size(archive: Path) -> None:
    assert archive.stat().st_size <= LIMIT_BYTES


def test_two_builds_in_two_folders_are_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    for name in ("src", "tools", "pyproject.toml", "LICENSE"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)  # with other times
    done = subprocess.run([sys.executable, str(tmp_path / "tools" / "zipapp.py")], capture_output=True, check=True)
    assert b"dist/ds2api.pyz" in done.stdout
    assert (tmp_path / "dist" / "ds2api.pyz").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("way", ["unpacked", "from memory", "pure Python", "pure Python, from the file"])
def test_it_serves_from_a_bare_python(archive: Path, tmp_path: Path, way: str) -> None:
    if way.startswith("pure"):
        archive = for_another_python(archive, tmp_path)
    cache = str(tmp_path / "cache") if way in ("unpacked", "pure Python") else ""
    with serving(archive, cache) as (url, process):
        for model in ("demo-over-chat", "demo-over-messages"):
            assert "Grüße 😀" in ask(url, model)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(30) == 0
    assert ("running in pure Python" in said) == way.startswith("pure")


def test_cache_is_private_and_checked_before_use(archive: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-I", str(archive), "version"], capture_output=True, text=True,
                              env={"DS2API_CACHE": str(cache)}, check=True)  # fmt: skip

    assert "unpacking once" in run().stderr
    (folder,) = (path for path in cache.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert run().stderr == "", "the second start uses what the first unpacked"
    (native,) = folder.glob("native/uvloop/loop*.so")
    native.chmod(0o600)
    native.write_bytes(b"not what was unpacked")
    assert "unpacking once" in run().stderr, "a native part that is not the file's own is never loaded"
    folder.chmod(0o755)
    assert "unpacking once" in run().stderr, "a folder that others can read is not used"
