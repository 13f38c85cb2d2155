"""The pool on a terminal: from what ``GET /admin/pool`` answers to lines of text. Pure; `pool_command` prints them.

One row an account, the tightest of its limits as a bar; below it only what there is to see: lines in which requests
wait, circuits that are not closed, limits that several accounts share, the last choices. What does not fit the height
of a terminal is left out, what is well first, and counted. Everything that comes from outside (model names, a
provider's error codes) loses what could move a cursor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api.text_table import PLAIN, clean, cut, table

__all__ = ["explanation_text", "page", "shown_duration"]

Row = Mapping[str, Any]

_WIDE = 120
_CHOICES = 5
_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))
_COLOURS = {"ready": "32", "cooling": "33", "suspended": "31", "dead": "31", "draining": "35"}


def page(
    view: Row,
    *,
    width: int,
    height: int | None = None,
    is_coloured: bool = False,
    is_plain: bool = False,
    title: str = "",
) -> str:
    """The whole page, no line wider than `width` (of at least 60). `height` None: however long it is. `is_plain`: ASCII
    only."""
    width = max(width, 60)
    accounts: list[Row] = list(view["accounts"])
    rest = [*_lines(view, width), *_circuits(view, width), *_groups(view, width), *_choices(view, width)]
    head = [_summary(view, title, width), ""]
    if height is not None:
        room = max(height - len(head) - 1, 2)  # under the accounts' heading
        rest = rest[: max(room - max(min(len(accounts), room // 2), 2), 0)]
        while rest[-2:] and "" in rest[-2:]:  # a heading without a row
            rest.pop()
        room -= len(rest)
    else:
        room = len(accounts)
    left_out = len(accounts) - room
    if left_out > 0:
        left_out += 1  # the line that says so
        worst = sorted(range(len(accounts)), key=lambda index: _trouble(accounts[index]))[: len(accounts) - left_out]
        accounts = [accounts[index] for index in sorted(worst)]
    body = _accounts(accounts, width, is_coloured)
    if left_out > 0:
        body.append(f"… and {left_out} more that fare better (`ds2api pool --once` shows all)"[:width])
    text = "\n".join((*head, *body, *rest)).rstrip("\n")
    return text.translate(PLAIN) if is_plain else text


def explanation_text(explanation: Row, width: int, *, is_plain: bool = False) -> str:
    """Whom a request would meet, and why not each other account."""
    chosen = explanation["chosen"]
    who = f"{clean(explanation['model'])} for {clean(explanation['caller'])}"
    lines = [f"{who} → {clean(chosen or 'nobody just now')}: {clean(explanation['why'])}"]
    rows = [(clean(one["account"]), clean(one["reason"])) for one in explanation["others"]]
    lines += table([], rows, width, indent="  ")
    text = "\n".join(lines)
    return text.translate(PLAIN) if is_plain else text


def shown_duration(seconds: float) -> str:
    """``0.4s``, ``41s``, ``3m12s``, ``2h05m``, ``3d04h``."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for size, name, part, part_name in _UNITS:
        if whole >= size:
            return f"{whole // size}{name}{whole % size // part:02}{part_name}"
    return f"{whole}s"


def _summary(view: Row, title: str, width: int) -> str:
    counts: dict[str, int] = {}
    for account in view["accounts"]:
        counts[account["health"]] = counts.get(account["health"], 0) + 1
    states = ", ".join(f"{count} {health}" for health, count in counts.items())
    running = sum(account["in_flight"] for account in view["accounts"])
    waiting = sum(line["waiting"] for line in view["lines"])
    said = f"{running} running, {waiting} in line · {_counted(len(view['accounts']), 'account')}: {states or 'none'}"
    return cut(f"{said.ljust(width - len(title) - 1)} {title}" if len(said) + len(title) < width else said, width)


def _accounts(accounts: Sequence[Row], width: int, is_coloured: bool) -> list[str]:
    is_wide = width >= _WIDE
    bar = 10 if is_wide else 8
    headings = ["ACCOUNT", "HEADROOM", ">RUNS", "STATE"]
    headings += [">SERVED", ">REFUSED", "TIGHTEST LIMIT", "LAST REFUSAL"] if is_wide else []
    rows = []
    for account in accounts:
        quota, state, last = _tightest(account), _state(account), _last(account)
        row = [clean(account["id"]), _bar(account, bar), f"{account['in_flight']}"]
        if is_wide:
            row += [state, f"{account['served']:,}", f"{account['refused']:,}", _limit(quota), last]
        else:
            row.append(f"{state} · last {last}" if last and account["health"] == "ready" else state)
        rows.append(row)
    colours = [_COLOURS.get(_mood(account), "") for account in accounts] if is_coloured else None
    return table(headings, rows, width, colours=colours)


def _lines(view: Row, width: int) -> list[str]:
    rows = []
    for line in view["lines"]:
        callers = sorted(line["callers"].items(), key=lambda one: -one[1])
        tags = f" [{', '.join(line['tags'])}]" if line["tags"] else ""
        rows.append(
            (
                clean(f"{line['provider']}/{line['model']}{tags}"),
                f"{line['waiting']}",
                shown_duration(line["longest_wait_s"]),
                "when one ends" if line["next_in_s"] is None else shown_duration(line["next_in_s"]),
                clean(", ".join(f"{name or 'anonymous'} {count}" for name, count in callers)),
            )
        )
    return _section(["IN LINE FOR", ">WAIT", ">LONGEST", "NEXT IN", "CALLERS"], rows, width)


def _circuits(view: Row, width: int) -> list[str]:
    rows = [
        (
            clean(circuit["provider"] + (f"/{circuit['model']}" if circuit["model"] else "")),
            circuit["state"] + (f" {shown_duration(circuit['opens_in_s'])}" if circuit["opens_in_s"] else ""),
            f"{circuit['failures']}",
            clean(circuit["reason"]),
        )
        for circuit in view["circuits"]
        if circuit["state"] != "closed"
    ]
    return _section(["CIRCUIT OF", "STATE", ">FAILURES", "REASON"], rows, width)


def _groups(view: Row, width: int) -> list[str]:
    rows = [
        (
            clean(group["name"]),
            "found out" if group["found"] else "configured",
            clean(", ".join(group["accounts"])),
        )
        for group in view["groups"]
        if len(group["accounts"]) > 1
    ]
    return _section(["SHARED LIMIT", "HOW KNOWN", "ACCOUNTS"], rows, width)


def _choices(view: Row, width: int) -> list[str]:
    rows = [
        (
            f"{shown_duration(choice['ago_s'])} ago",
            clean(choice["caller"] or "anonymous"),
            clean(choice["model"]),
            clean(choice["account"] or "nobody"),
            clean(choice["why"]),
        )
        for choice in reversed(view["recent"][-_CHOICES:])
    ]
    return _section(["LAST CHOICES", "CALLER", "MODEL", "ACCOUNT", "WHY"], rows, width)


def _state(account: Row) -> str:
    quota = _tightest(account)
    reason = f" · {account['reason']}" if account["reason"] else ""
    if account["resting"] and account["out_for_s"] == 0:  # out for some models only
        model, seconds = max(account["resting"].items(), key=lambda one: one[1])
        more = f" +{len(account['resting']) - 1}" if len(account["resting"]) > 1 else ""
        return clean(f"{account['health']} {shown_duration(seconds)} for {model}{more}{reason}")
    if account["health"] != "ready":
        left = f" {shown_duration(account['out_for_s'])}" if account["out_for_s"] else ""
        return clean(f"{account['health']}{left}{reason}")
    if quota is not None and quota["free_in_s"]:
        return clean(f"ready · more {quota['dimension']} in {shown_duration(quota['free_in_s'])}")
    return "ready"


def _mood(account: Row) -> str:
    quota = _tightest(account)
    is_spent = account["health"] == "ready" and quota is not None and quota["free_in_s"]
    return "cooling" if is_spent else str(account["health"])


def _trouble(account: Row) -> tuple[bool, float]:
    """The worst come first."""
    quota = _tightest(account)
    return account["health"] == "ready", 1.0 if quota is None else float(quota["headroom"])


def _tightest(account: Row) -> Row | None:
    return min(account["quotas"], key=lambda quota: (quota["headroom"], -(quota["free_in_s"] or 0)), default=None)


def _bar(account: Row, size: int) -> str:
    quota = _tightest(account)
    if account["out_for_s"] != 0:
        return "out"
    if quota is None:
        return "unknown"
    headroom = min(max(float(quota["headroom"]), 0.0), 1.0)
    filled = round(headroom * size)
    return f"{'█' * filled}{'░' * (size - filled)} {headroom:4.0%}"


def _limit(quota: Row | None) -> str:
    if quota is None:
        return "none known"
    per, _, day = quota["dimension"].partition("/")
    model = f" of {quota['model']}" if quota["model"] else ""
    return clean(f"{quota['limit']:,.0f} {per}/{day or 'min'}{model}, {quota['source']}")


def _last(account: Row) -> str:
    if not account["last_verdict"]:
        return ""
    ago = "" if account["last_verdict_s"] is None else f", {shown_duration(account['last_verdict_s'])} ago"
    return clean(f"{account['last_verdict']}{ago}")


def _section(headings: list[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    return ["", *table(headings, rows, width)] if rows else []


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
