"""What the gateway is made of beside itself.

    python3 tools/dev.py sbom                 a bill of materials (CycloneDX 1.6, JSON) → dist/ds2api.cdx.json
    python3 tools/dev.py audit-deps           what each dependency may do, and why it is here

The bill is made of the lock file alone, so equal locks give equal bytes. What a package may do is read from its source:
which modules of the standard library it imports that reach out of the process, whether it runs text as code, and which
native parts it brings. That it could is not that it does; of what it cannot, nothing has to be read.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "lock" / "run.txt"
BILL = ROOT / "dist" / "ds2api.cdx.json"
VERSION = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
MOST = 10  # packages at run time

# Why each is here; the table in docs/decisions.md has what was weighed.
REASONS = {
    "anyio": "lifetimes and cancellation in programs that embed the gateway",
    "backports-zstd": "request bodies that are compressed with zstd, where Python has it not yet (before 3.14)",
    "h11": "parses every HTTP head that comes from outside",
    "idna": "anyio needs it for names of hosts",
    "orjson": "JSON on the hot path",
    "typing-extensions": "anyio needs it on older Pythons",
    "uvloop": "the event loop on Linux and macOS",
}
# What reaches out of the process, by the modules that do it.
REACHES = {
    "network": {"socket", "ssl", "socketserver", "http.client", "http.server", "urllib.request", "ftplib", "smtplib"},
    "processes": {"subprocess", "multiprocessing", "pty"},
    "native calls": {"ctypes", "_ctypes"},
    "unpickling": {"pickle", "marshal", "shelve"},
}
NOTHING = ", ".join((*REACHES, "native code", "text run as code"))
NATIVE = (".so", ".pyd", ".dylib")


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    condition: str
    hashes: tuple[str, ...]


def locked(text: str) -> Iterator[Package]:
    """The packages of a lock file."""
    for entry in re.split(r"\n(?=\S)", text):
        found = re.match(r"([\w.-]+)==([\w.!+]+)\s*(?:;\s*(.+?))?\s*\\?\n", entry + "\n")
        if found is not None:
            hashes = tuple(sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)))
            yield Package(found[1], found[2], (found[3] or "").strip(), hashes)


def bill_of_materials() -> str:
    packages = list(locked(LOCK.read_text(encoding="utf-8")))
    version = VERSION[1] if VERSION is not None else "0"
    own = f"pkg:pypi/ds2api@{version}"
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
            "name": one.name,
            "version": one.version,
            "purl": f"pkg:pypi/{one.name}@{one.version}",
            "scope": "required",
            "description": REASONS[one.name],
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in one.hashes],
            "properties": [{"name": "python:condition", "value": one.condition}] if one.condition else [],
        }
        for one in packages
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + LOCK.read_text(encoding='utf-8'))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "ds2api",
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [one["bom-ref"] for one in components]}],
    }
    return json.dumps(document, indent=2) + "\n"


def abilities(files: list[Path]) -> list[str]:
    """What the source in `files` may do beyond reckoning."""
    found: dict[str, set[str]] = {}
    for path in files:
        if path.suffix in NATIVE:
            found.setdefault("native code", set()).add(path.name.partition(".")[0])
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.setdefault("text run as code", set()).add(path.name)
            names = (
                [one.name for one in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            for reach, modules in REACHES.items():
                found.setdefault(reach, set()).update(modules.intersection(names))
    return [f"{reach} ({', '.join(sorted(names))})" for reach, names in sorted(found.items()) if names]


def audit() -> str:
    """The report, for what is installed here."""
    rows = []
    for one in locked(LOCK.read_text(encoding="utf-8")):
        try:
            installed = metadata.distribution(one.name)
        except metadata.PackageNotFoundError:
            rows.append(
                f"{one.name} {one.version}: not needed on this Python ({one.condition})\n  why: {REASONS[one.name]}"
            )
            continue
        about = message_from_string(installed.read_text("METADATA") or "")
        files = [Path(str(file.locate())) for file in installed.files or [] if "tests" not in file.parts]
        pinned = "" if installed.version == one.version else f", but {installed.version} is installed"
        licence = about["License-Expression"] or about["License"] or "licence not said"
        rows.append(
            f"{one.name} {one.version}{pinned} ({licence}; {len(one.hashes)} files pinned by hash)\n"
            f"  why: {REASONS[one.name]}\n"
            f"  may: {'; '.join(abilities(files)) or f'nothing of {NOTHING}'}"
        )
    return "\n".join(rows) + f"\n{len(rows)} packages; at most {MOST} are wanted\n"


def main() -> int:
    if sys.argv[1:2] == ["sbom"]:
        BILL.parent.mkdir(exist_ok=True)
        BILL.write_text(bill_of_materials(), encoding="utf-8")
        print(f"{BILL.relative_to(ROOT)}: {len(list(locked(LOCK.read_text(encoding='utf-8'))))} packages")
    else:
        print(audit(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
