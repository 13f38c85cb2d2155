"""Every setting with its default and its reason, made from the settings classes themselves.

The reasons are the comments above the fields: written once, where the number is, and read from the source here.
Where there is no source (a stripped build) the settings are listed without them.
"""

from __future__ import annotations

import inspect
import re

from ds2api.config import SETTINGS, setting_names

__all__ = ["as_toml"]

_HEAD = """\
# Every setting of ds2api with its default. Copy what you want to change; what is left out keeps its default.
# Times are seconds: `_total_s` runs from the beginning, `_idle_s` begins anew with every sign of life.

listen = "127.0.0.1:8787"   # or a list; "unix:/run/ds2api.sock"; "fd:3" for an inherited socket
log = "text"                # or "json", "off"
"""


def as_toml() -> str:
    """A configuration file that says what is true without it."""
    blocks = [_HEAD]
    for table, kinds in SETTINGS.items():
        lines = [f"[{table}]"]
        reasons = {name: reason for kind in kinds for name, reason in _reasons(kind).items()}
        for name, default in setting_names(table).items():
            lines += [f"# {line}" for line in reasons.get(name, [])]
            lines.append(f"{name} = {_literal(default)}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _literal(value: float | str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:_}" if isinstance(value, int) else f"{value:g}" if value < 1e6 else f"{value:_.1f}"


def _reasons(kind: type) -> dict[str, list[str]]:
    """The comment lines above (or beside) each field."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return {}
    reasons: dict[str, list[str]] = {}
    waiting: list[str] = []
    for line in source.splitlines():
        text = line.strip()
        named = re.match(r"(\w+): [\w.|, \[\]]+ = [^#]*(?:# (.*))?$", text)
        if text.startswith("# "):
            waiting.append(text[2:])
        elif named:
            reasons[named[1]] = waiting + ([named[2]] if named[2] else [])
            waiting = []
        else:
            waiting = []
    return reasons
