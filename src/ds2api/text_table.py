"""Columns of text for a terminal. What comes from outside goes through `clean` first: it might move a cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["PLAIN", "clean", "cut", "table"]

# `str.translate` with this for terminals without UTF-8.
PLAIN = str.maketrans(
    {"█": "#", "░": ".", "…": "~", "·": "-", "→": ">", "—": "-", "–": "-", "×": "x", "±": "~", "≈": "~", "µ": "u"}
)


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    indent: str = "",
    colours: Sequence[str] | None = None,
) -> list[str]:
    """Columns as wide as their cells; where that is too much, the widest are cut. ``>`` before a heading: numbers."""
    aligned: list[Callable[[str, int], str]] = [str.rjust if one.startswith(">") else str.ljust for one in headings]
    titles = [one.removeprefix(">") for one in headings]
    cells = [titles, *rows] if titles else list(rows)
    if not cells:
        return []
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    while sum(widths) + 2 * (len(widths) - 1) + len(indent) > width:
        # The last of the widest: what tells rows apart stands first.
        widest = max(range(len(widths)), key=lambda column: (widths[column] - (12 if column == 0 else 0), column))
        widths[widest] -= 1
    lines = []
    for number, row in enumerate(cells):
        padded = [
            (aligned[column] if aligned else str.ljust)(cut(cell, size), size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        line = indent + "  ".join(padded).rstrip()
        is_row = not titles or number > 0
        colour = colours[number - 1] if colours and is_row else "1" if colours is not None and not is_row else ""
        lines.append(f"\x1b[{colour}m{line}\x1b[0m" if colour else line)
    return lines


def cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(size - 1, 0)] + "…"


def clean(text: object) -> str:
    return "".join(character if character.isprintable() else "?" for character in str(text))
