"""Writes the pages of docs/ that are made from the source: docs/settings.md and docs/fidelity.md. Tests compare.

python3 tools/dev.py docs
"""

from __future__ import annotations

import sys
from pathlib import Path

import fidelity
from ds2api.settings_page import as_toml

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
HEAD = """\
# Settings

Every setting, its default, and why. `ds2api config` prints the same, as a file to start from. (Made from the source
by `python3 tools/dev.py docs`; do not edit here.)

Times are seconds. `_total_s` runs from the beginning; `_idle_s` begins anew with every sign of life.

```toml
"""


def main() -> int:
    PAGE.write_text(f"{HEAD}{as_toml()}```\n", encoding="utf-8")
    print(f"wrote {PAGE.name}")
    return fidelity.main()


if __name__ == "__main__":
    sys.exit(main())
