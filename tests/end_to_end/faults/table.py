"""All faults."""

from __future__ import annotations

from tests.end_to_end.faults import in_what_is_said, on_the_wire
from tests.end_to_end.faults.rows import Fault

__all__ = ["TABLE"]

TABLE: list[Fault] = [*on_the_wire.FAULTS, *in_what_is_said.FAULTS]
