"""Counts lines of code by room: lines that hold a token. Comments, docstrings and blank lines cost nothing, so that
explaining never makes the number worse.

    python3 tools/dev.py size
"""

import io
import sys
import token
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "ds2api"
PROSE = {token.NEWLINE, token.INDENT, token.DEDENT, token.ENDMARKER, tokenize.COMMENT, tokenize.NL, token.ENCODING}


def code_lines(text: str) -> int:
    """How many lines of `text` hold code."""
    lines: set[int] = set()
    begins_statement = True
    for one in tokenize.generate_tokens(io.StringIO(text).readline):
        if one.type in PROSE:
            begins_statement = begins_statement or one.type in (token.NEWLINE, token.INDENT, token.DEDENT)
            continue
        if one.type == token.STRING and begins_statement:
            begins_statement = False  # a docstring
            continue
        begins_statement = False
        lines.update(range(one.start[0], one.end[0] + 1))
    return len(lines)


def main() -> int:
    rooms: Counter[str] = Counter()
    files: Counter[str] = Counter()
    longest = []
    for path in sorted(SOURCE.rglob("*.py")):
        count = code_lines(path.read_text(encoding="utf-8"))
        parts = path.relative_to(SOURCE).parts
        room = "/".join(parts[:2]) if parts[0] == "dialects" and len(parts) > 2 else parts[0]
        rooms[room] += count
        files[room] += 1
        longest.append((count, str(path.relative_to(SOURCE))))
    for room, count in sorted(rooms.items(), key=lambda pair: -pair[1]):
        print(f"{count:6}  {files[room]:3} files  {room}")
    print(f"{sum(rooms.values()):6}  {sum(files.values()):3} files  in all")
    print("longest:", ", ".join(f"{name} {count}" for count, name in sorted(longest, reverse=True)[:5]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
