"""The first file that `python3 ds2api.pyz` runs: finds the parts inside the file and starts the command line.

Standard library only. What it promises:

* `manifest.json` says for which Python the native parts are (`soabi`) and the hash of every file;
* the first start unpacks once into a private folder (0700, ours, named by the hash of the file), with compiled
  bytecode; later starts check the folder's owner and mode and the hash of every native part, and use it;
* where nothing can be written, Python code runs straight from the file and native parts are loaded from memory
  (`memfd`), so a read-only container needs no setting;
* on another Python or system than the one named in the file it runs wholly in pure Python, and says so in a line.

`DS2API_CACHE` names another folder to unpack into; empty means "unpack nowhere".
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import sysconfig
import zipfile
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from typing import Any

OLDEST = (3, 11)


def main() -> int:
    if sys.version_info < OLDEST:
        print("ds2api needs Python 3.11 or newer; this is %d.%d" % sys.version_info[:2], file=sys.stderr)
        return 1
    archive = os.path.dirname(os.path.abspath(__file__))
    with zipfile.ZipFile(archive) as content:
        manifest = json.loads(content.read("manifest.json"))
        rooms = ["pure"]
        if sysconfig.get_config_var("SOABI") == manifest["soabi"]:
            rooms.append("native")
        else:
            print(
                f"ds2api: this file has native parts for {manifest['soabi']}, this Python is "
                f"{sysconfig.get_config_var('SOABI')}: running in pure Python, slower but otherwise the same",
                file=sys.stderr,
            )
        folder = unpacked(archive, content, manifest, rooms)
    if folder is not None:
        sys.path[:0] = [os.path.join(folder, room) for room in rooms]
    else:
        sys.path[:0] = [os.path.join(archive, room) for room in rooms]
        if "native" in rooms and hasattr(os, "memfd_create"):
            sys.meta_path.insert(0, FromMemory(archive, manifest))
    from ds2api.cli import main as command_line

    return command_line()


def unpacked(archive: str, content: zipfile.ZipFile, manifest: dict[str, Any], rooms: list[str]) -> str | None:
    """The folder with everything in it, made if need be; None if there is no place to make it."""
    root = os.environ.get("DS2API_CACHE")
    if root is None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        root = os.path.join(base, "ds2api")
    if not root:
        return None
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = os.path.join(root, f"{digest[:32]}-{sysconfig.get_config_var('SOABI')}")
    if is_ours(folder, manifest, rooms):
        return folder
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        return unpack(content, manifest, rooms, folder)
    except OSError:
        return None


def is_ours(folder: str, manifest: dict[str, Any], rooms: list[str]) -> bool:
    """It is there, a folder of ours that nobody else can write to, and its native parts are those of the file."""
    try:
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.getuid():
            return False
        for name, digest in manifest["files"].items():
            if name.startswith("native/") and "native" in rooms:
                with open(os.path.join(folder, name), "rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        return False
        return os.path.exists(os.path.join(folder, "complete"))
    except OSError:
        return False


def unpack(content: zipfile.ZipFile, manifest: dict[str, Any], rooms: list[str], folder: str) -> str:
    """Unpack beside `folder`, compile, and move into its place in one step: two first starts at once both win."""
    import py_compile
    import shutil
    import tempfile

    print("ds2api: first start of this file, unpacking once", file=sys.stderr)
    fresh = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(folder))  # 0700
    try:
        for name in manifest["files"]:
            if name.split("/", 1)[0] not in rooms:
                continue
            path = os.path.join(fresh, name)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.read(name))
            if name.endswith(".py"):
                # Checked by nothing at import: the folder is private and named by the hash of the file.
                py_compile.compile(path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        with open(os.path.join(fresh, "complete"), "wb"):
            pass
        if os.path.lexists(folder) and not is_ours(folder, manifest, rooms):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(fresh, folder)
        except OSError:
            if not is_ours(folder, manifest, rooms):
                raise
        return folder
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class FromMemory(MetaPathFinder):
    """Finds the native modules of the file and loads each from a memory file."""

    def __init__(self, archive: str, manifest: dict[str, Any]) -> None:
        suffix = f".{manifest['soabi']}.so"
        self._archive = archive
        self._members = {
            name[len("native/") : -len(suffix)].replace("/", "."): name
            for name in manifest["files"]
            if name.startswith("native/") and name.endswith(suffix)
        }
        self._descriptors: list[int] = []  # open as long as the process: /proc/self/fd names them

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        member = self._members.get(name)
        if member is None:
            return None
        with zipfile.ZipFile(self._archive) as content:
            data = content.read(member)
        descriptor = os.memfd_create(name)
        self._descriptors.append(descriptor)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        place = f"/proc/self/fd/{descriptor}"
        return spec_from_file_location(name, place, loader=ExtensionFileLoader(name, place))


if __name__ == "__main__":
    sys.exit(main())
