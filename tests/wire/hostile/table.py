"""All rows, each with its kind."""

from __future__ import annotations

from dataclasses import replace

from tests.wire.hostile import chunks, conversations, framing, hosts_and_fields, request_lines
from tests.wire.hostile.rows import Row

__all__ = ["TABLE"]

_KINDS = {
    "request line": request_lines.ROWS,
    "field": hosts_and_fields.ROWS,
    "framing": framing.ROWS,
    "chunk": chunks.ROWS,
    "conversation": conversations.ROWS,
}
TABLE: list[Row] = [replace(row, kind=kind) for kind, rows in _KINDS.items() for row in rows]
