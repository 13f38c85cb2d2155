#!/usr/bin/env python3
"""Everything that a developer or a newcomer runs. Needs Python 3.11 or newer and nothing else.

    python3 tools/dev.py serve [--port N] [--config FILE]    run the gateway (a demo, if there is no key)
    python3 tools/dev.py test                                lint, types and all tests
    python3 tools/dev.py test --node | --agents              the Node SDKs, the coding agents (npm packages, once)
    python3 tools/dev.py test --engine                       a real llama.cpp with a tiny Mixtral (200 MB, once)
    python3 tools/dev.py soak [--minutes N]                  faults, disconnects, reloads, clock jumps: nothing leaks
    python3 tools/dev.py fuzz [--minutes N] [--only TEXT]    inputs that break a parser are searched for
    python3 tools/dev.py profile "small JSON chat"           where the time goes, as a flame graph
    python3 tools/dev.py lint | bench | zipapp | docs | size | sbom | audit-deps | lock

It makes `.venv` beside it, installs the pinned packages of `tools/lock/` (every file checked by its hash), and
says what it is doing. A second run finds the environment ready and starts at once.

Written for old Pythons too, as far as its first lines: they are there to say that Python is too old.
"""

import hashlib
import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)

if sys.version_info < OLDEST:
    sys.exit(
        "ds2api needs Python 3.11 or newer, and this is %d.%d: run this command with a newer one, "
        "for example `python3.12 tools/dev.py`." % sys.version_info[:2]
    )

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "tools" / "lock"
# One test process for each core: the suite is promised to take under five minutes on two.
TEST_WORKERS = "auto"
# Lock file → what it is made of.
LOCKED = {
    "run": ["run.in"],
    "test": ["run.in", "test.in"],
    "engine": ["run.in", "test.in", "engine.in"],
    "fuzz": ["run.in", "fuzz.in"],
}
# Tests beside the suite: their folder, their environment, and what they need first (`LAYER_INSTALLERS`).
LAYERS = {
    "--node": ("tests/node", "test", "npm"),
    "--agents": ("tests/agents", "test", "npm"),
    "--engine": ("tests/engine", "engine", ""),
}


def say(text: str) -> None:
    print(f"[dev] {text}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    commands = {
        "serve": serve,
        "test": test,
        "lint": lint,
        "bench": bench,
        "soak": soak,
        "fuzz": fuzz,
        "profile": profile,
        "zipapp": zipapp,
        "docs": docs,
        "size": size,
        "sbom": sbom,
        "audit-deps": audit_deps,
        "lock": lock,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    command = commands.get(arguments[0])
    if command is None:
        say(f"there is no command {arguments[0]!r}; there are: {', '.join(commands)}")
        return 2
    return command(arguments[1:])


# -- commands


def serve(arguments: list[str]) -> int:
    """Run the gateway. Whatever else stands behind it goes to `ds2api serve` (`--help` tells)."""
    python = environment("run")
    command = [str(python), "-m", "ds2api", "serve", *arguments]
    say("starting the gateway; stop it with Ctrl-C")
    os.chdir(ROOT)
    os.execve(str(python), command, with_source())  # signals and exit status are the gateway's own


def test(arguments: list[str]) -> int:
    """Lint, types, tests. Arguments go to pytest, and then only the tests run. `--node` and the like: that layer."""
    if arguments and arguments[0] in LAYERS:
        return test_layer(*LAYERS[arguments[0]], arguments[1:])
    python = environment("test")
    if not arguments:
        status = _lint(python)
        if status:
            return status
    say("running the tests")
    workers = [] if "-n" in arguments else ["-n", TEST_WORKERS]
    return run([str(python), "-m", "pytest", *workers, *arguments])


def test_layer(folder: str, kind: str, needs: str, arguments: list[str]) -> int:
    python = environment(kind)
    status = LAYER_INSTALLERS[needs](ROOT / folder) if needs else 0
    if status:
        return status
    say(f"running {folder}")
    return run([*isolated(), str(python), "-m", "pytest", "-p", "no:xdist", folder, *arguments])


def lint(arguments: list[str]) -> int:
    """Style and types only."""
    return _lint(environment("test"))


def _lint(python: Path) -> int:
    folders = [name for name in ("src", "tests", "tools", "bench") if (ROOT / name).is_dir()]
    for what, command in (
        ("checking style", ["-m", "ruff", "check", "--quiet", *folders]),
        ("checking format", ["-m", "ruff", "format", "--check", "--quiet", *folders]),
        ("checking types", ["-m", "mypy", "--no-error-summary"]),
    ):
        say(what)
        status = run([str(python), *command])
        if status:
            say(f"{what} found something: see above")
            return status
    return 0


def bench(arguments: list[str]) -> int:
    """Measure: direct, floor, ours, and nginx where it is installed. `--help` tells more."""
    return run([str(environment("run")), "-m", "bench", *arguments])


def soak(arguments: list[str]) -> int:
    """Let a gateway run under faults for a while, and look whether anything is left behind. `--help` tells more."""
    return run([str(environment("run")), "-m", "bench.soak", *arguments])


def fuzz(arguments: list[str]) -> int:
    """Search for inputs that break a parser, in an environment of its own. `--help` tells more."""
    return run([str(environment("fuzz")), "-m", "tests.fuzz", *arguments])


def profile(arguments: list[str]) -> int:
    """Where the time goes in one case of the bench: a flame graph in profile.svg, or in --flame FILE."""
    if not arguments:
        say('name a case of the bench, as in: profile "stream, fast chat→messages"')
        return 2
    return bench(["--profile", *arguments])


def zipapp(arguments: list[str]) -> int:
    """Make dist/ds2api.pyz, the whole gateway in one file. `--help` tells more."""
    return run([str(environment("run")), "tools/zipapp.py", *arguments])


def docs(arguments: list[str]) -> int:
    """Write the pages of docs/ that are made from the source."""
    return run([str(environment("run")), "tools/docs.py", *arguments])


def size(arguments: list[str]) -> int:
    """How many lines of code each room has (comments and docstrings cost nothing)."""
    return run([sys.executable, "tools/size.py", *arguments])


def sbom(arguments: list[str]) -> int:
    """A bill of materials: dist/ds2api.cdx.json."""
    return run([str(environment("run")), "tools/supply.py", "sbom", *arguments])


def audit_deps(arguments: list[str]) -> int:
    """What each dependency may do, and why it is here."""
    return run([str(environment("run")), "tools/supply.py", "audit", *arguments])


def lock(arguments: list[str]) -> int:
    """Pin anew: write tools/lock/*.txt from *.in, for all Pythons and systems at once. Needs the network."""
    folder = VENV.with_name(".venv-lock")
    make_venv(folder)
    uv = folder / ("Scripts" if os.name == "nt" else "bin") / "uv"
    status = run([str(python_of(folder)), "-m", "pip", "install", "--quiet", "uv"])
    for name, sources in LOCKED.items():
        if status == 0:
            say(f"pinning tools/lock/{name}.txt")
            options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade", "--quiet"]
            options += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
            inputs = [str(LOCKS / source) for source in sources]
            status = run([str(uv), "pip", "compile", *options, *inputs, "-o", str(LOCKS / f"{name}.txt")])
    return status


# -- layers


def npm_packages(folder: Path) -> int:
    """The packages of `package-lock.json`, exactly those, in `node_modules` beside it. Their scripts do not run."""
    mark = folder / "node_modules" / "ds2api-lock"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return 0
    npm = shutil.which("npm")
    if npm is None:
        say("this layer needs Node 20 or newer with npm, and there is none here")
        return 2
    say(f"installing the pinned packages of {folder.name}/package-lock.json (once)")
    status = subprocess.call([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
    if status:
        say("the packages could not be installed: this machine needs to reach an npm registry; what npm said is above")
        return status
    mark.write_text(wanted)
    return 0


LAYER_INSTALLERS = {"npm": npm_packages}


def isolated() -> list[str]:
    """A prefix that runs a command in a network of its own, where only loopback is; nothing where that cannot be."""
    unshare = shutil.which("unshare")
    up = 'ip link set lo up && exec "$@"'  # in a new network even loopback is down
    command = [unshare, "--map-root-user", "--net", "sh", "-c", up, "sh"] if unshare else []
    if command and subprocess.call([*command, "true"], stderr=subprocess.DEVNULL) == 0:
        return command
    say("no network of its own here (unshare): what leaves the machine is only kept from it by closed proxies")
    return []


# -- the environment


def environment(kind: str) -> Path:
    """The Python of an environment that has everything of tools/lock/<kind>.txt, made or mended first."""
    folder = VENV.with_name(f".venv-{kind}") if kind in ("engine", "fuzz") else VENV
    mark = folder / "ds2api-lock"
    # The environment for tests has everything that running needs.
    enough = {"run": ("run", "test")}.get(kind, (kind,))
    wanted = {name: digest_of(LOCKS / f"{name}.txt") for name in {kind, *enough}}
    try:
        have = mark.read_text().split()
    except OSError:
        have = []
    if python_of(folder).exists() and any(wanted[name] in have for name in enough):
        return python_of(folder)
    if not python_of(folder).exists():
        say(f"making the environment {folder.name} (once)")
        make_venv(folder)
    say(f"installing the pinned packages of tools/lock/{kind}.txt (once; a minute at most)")
    command = [str(python_of(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCKS / f"{kind}.txt")]
    if subprocess.call(command, cwd=ROOT) != 0:
        sys.exit(
            "[dev] the packages could not be installed: this machine needs to reach a Python package index "
            "(behind a proxy set HTTPS_PROXY, for a mirror PIP_INDEX_URL); what pip said stands above."
        )
    mark.write_text(wanted[kind] + "\n")
    return python_of(folder)


def make_venv(folder: Path) -> None:
    try:
        import ensurepip  # noqa: F401 (Debian packages `venv` without it)
        import venv  # noqa: F401
    except ImportError:
        version = "%d.%d" % sys.version_info[:2]
        sys.exit(
            "[dev] this Python cannot make environments: install its `venv` part "
            f"(Debian and Ubuntu: `apt install python{version}-venv`) and run this again."
        )
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(folder)]) != 0:
        sys.exit(f"[dev] {folder.name} could not be made here: is the disk full, or the folder not yours to write?")


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def digest_of(lock_file: Path) -> str:
    version = "%d.%d" % sys.version_info[:2]
    return hashlib.sha256(version.encode() + lock_file.read_bytes()).hexdigest()


def with_source() -> dict[str, str]:
    """The process environment, with `src` to import from."""
    path = str(ROOT / "src")
    if os.environ.get("PYTHONPATH"):
        path += os.pathsep + os.environ["PYTHONPATH"]
    return {**os.environ, "PYTHONPATH": path}


def run(command: list[str]) -> int:
    try:
        return subprocess.call(command, cwd=ROOT, env=with_source())
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
