"""The fuzzer: every target in turn, or one, for a while.

    python3 tools/dev.py fuzz [--minutes N] [--only TEXT]

Coverage-guided by atheris (libFuzzer), in an environment of its own: each target is a process, whose corpus grows in
`build/fuzz/`. What breaks a target is kept in `tests/fuzz/corpus/TARGET/`, where the suite finds it again.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "fuzz"
# One input: a head of 8 KB, a few events. Longer ones only make it slow.
MOST_BYTES = 8192
# A target that takes longer for one input hangs.
SLOW_S = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target (default 10)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the targets with TEXT in their name")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return run_one(options.one, options.minutes)
    from tests.fuzz.targets import TARGETS

    wanted = [name for name in TARGETS if options.only in name]
    broken = 0
    print("| target | inputs | a second | edges | found |\n|---|---|---|---|---|")
    for number, name in enumerate(wanted, 1):
        print(f"\r{number} of {len(wanted)}: {name}".ljust(60), end="", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--minutes", str(options.minutes)]
        done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        kept = keep(name)
        broken += bool(kept) or done.returncode != 0
        counts = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+).*?exec/s: (\d+)", text)
        inputs, edges, rate = counts[-1] if counts else ("?", "?", "?")
        found = ", ".join(kept) or ("nothing" if done.returncode == 0 else f"ended with {done.returncode}")
        print("\r".ljust(61) + f"\r| {name} | {inputs} | {rate} | {edges} | {found} |", flush=True)
        if kept or done.returncode:
            print("\n".join(text.splitlines()[-40:]), file=sys.stderr)
    print(f"{len(wanted)} targets, {options.minutes:g} minutes each: {broken} broken")
    return 1 if broken else 0


def folder_of(name: str) -> Path:
    return BUILD / name.replace(" ", "-")


def keep(name: str) -> list[str]:
    """Move what broke the target to where the suite finds it. Gives the names."""
    kept = []
    for file in sorted(folder_of(name).glob("found-*")):
        data = file.read_bytes()
        place = ROOT / "tests" / "fuzz" / "corpus" / name.replace(" ", "-") / hashlib.sha256(data).hexdigest()[:12]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        file.unlink()
        kept.append(place.name)
    return kept


def run_one(name: str, minutes: float) -> int:
    """Never returns from the fuzzer: it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["ds2api", "h11"]):
        from tests.fuzz.targets import TARGETS, corpus_of
    folder = folder_of(name)
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for seed in corpus_of(name):
        (folder / "corpus" / hashlib.sha256(seed).hexdigest()[:12]).write_bytes(seed)
    options = [
        f"-max_total_time={int(minutes * 60)}", f"-max_len={MOST_BYTES}", f"-timeout={SLOW_S}", "-print_final_stats=1",
        f"-artifact_prefix={folder}/found-", str(folder / "corpus"),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
