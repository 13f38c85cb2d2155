"""Makes dist/ds2api.pyz: the whole gateway in one file that a bare Python runs.

    python3 tools/dev.py zipapp                                  native parts for this Python and system
    python3 tools/dev.py zipapp --target 312-manylinux_2_28_x86_64   for another (needs the package index)

Inside: `__main__.py` (tools/zipapp_loader.py), `pure/` (ds2api and the pure packages), `native/` (uvloop, orjson,
backports.zstd) for one Python, `manifest.json` with the hash of every file. The same input makes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "lock" / "run.txt"
PURE = ("h11", "anyio", "idna", "typing_extensions.py")
NATIVE = ("uvloop", "orjson", "backports")
LIMIT_BYTES = 8 * 1024 * 1024
# uvloop ships its C and Cython sources; types and tests are not run either.
UNWANTED = (".c", ".h", ".pyx", ".pxd", ".pxi", ".pyi", ".typed", ".pyc")
# Parts of the packages that the gateway never imports.
UNUSED = ("anyio/pytest_plugin.py", "anyio/_backends/_trio.py", "uvloop/_testbase.py", "h11/tests/")
# The beginning of time for zip files, so that equal content makes equal bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py zipapp", description="Make dist/ds2api.pyz, one file.")
    parser.add_argument("--target", metavar="PY-PLATFORM", help="e.g. 312-manylinux_2_28_x86_64 (default: this one)")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "ds2api.pyz")
    options = parser.parse_args()
    if options.target is None:
        size = build(options.output, Path(sysconfig.get_path("purelib")), str(sysconfig.get_config_var("SOABI")))
    else:
        version, _, platform = options.target.partition("-")
        if not version.isdecimal() or not platform:
            parser.error(f"--target {options.target!r}: wanted for example 312-manylinux_2_28_x86_64")
        found = re.search(r"(x86_64|aarch64)$", platform)
        if found is None:
            parser.error(f"--target {options.target!r}: only Linux on x86_64 and aarch64 has native parts to carry")
        soabi = f"cpython-{version}-{found[1]}-linux-gnu"
        with tempfile.TemporaryDirectory() as folder:
            if not fetch(Path(folder), version, platform):
                print(f"the packages for {options.target} could not be had; pip says above why", file=sys.stderr)
                return 1
            size = build(options.output, Path(folder), soabi)
    print(
        f"{options.output.relative_to(ROOT) if options.output.is_relative_to(ROOT) else options.output}: {size:,} bytes"
    )
    if size > LIMIT_BYTES:
        print(f"that is more than the {LIMIT_BYTES:,} bytes it may have", file=sys.stderr)
        return 1
    return 0


def fetch(folder: Path, version: str, platform: str) -> bool:
    """Put the pinned wheels for another Python and system into `folder`, unpacked, each checked by its hash.
    Gives whether that worked."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "--require-hashes"]
    command += ["--only-binary", ":all:", "--no-compile", "--python-version", version, "--implementation", "cp"]
    for one in [platform, *older_names(platform)]:
        command += ["--platform", one]
    command += ["-r", str(LOCK)]
    return subprocess.call(command) == 0


def older_names(platform: str) -> list[str]:
    """A system of `manylinux_2_28` also runs what was built for older ones; pip wants each named."""
    found = re.fullmatch(r"manylinux_2_\d+_(\w+)", platform)
    return [f"manylinux_2_17_{found[1]}", f"manylinux2014_{found[1]}"] if found else []


def build(output: Path, packages: Path, soabi: str) -> int:
    """Write the file; returns its size in bytes."""
    members: dict[str, bytes] = {}
    for path in sorted((ROOT / "src" / "ds2api").rglob("*.py")):
        members[f"pure/ds2api/{path.relative_to(ROOT / 'src' / 'ds2api').as_posix()}"] = path.read_bytes()
    for room, names in (("pure", PURE), ("native", NATIVE)):
        for name in names:
            collect(packages, packages / name, room, members)
    manifest = {
        "soabi": soabi,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    members["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    members["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    members["__main__.py"] = (ROOT / "tools" / "zipapp_loader.py").read_bytes()
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED, 9)
    output.chmod(0o755)
    return output.stat().st_size


def collect(packages: Path, path: Path, room: str, members: dict[str, bytes]) -> None:
    """Take one package or module, without what is never run."""
    if not path.exists():
        return  # a package that this Python does not need: backports.zstd from 3.14 on
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        name = file.relative_to(packages).as_posix()
        wanted = file.is_file() and file.suffix not in UNWANTED and "__pycache__" not in name
        if wanted and not any(unused in name for unused in UNUSED):
            members[f"{room}/{name}"] = file.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
