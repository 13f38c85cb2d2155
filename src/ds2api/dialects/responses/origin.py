"""What something was before it was read: the wire object, kept beside the universal part for its own dialect alone.

It stands in `Extra.quiet`, so other dialects neither see it nor report its loss. Parts that came in one item share one
object, which is how the writer knows that they belong together. Of an item that is still streaming only its beginning
is there (`begun_as`).
"""

from __future__ import annotations

from typing import Any

from ds2api.universal.parts import Extra

__all__ = ["NAME", "begun_as", "came_as", "came_from"]

NAME = "responses"
_KEY = "as_it_came"
_BEGUN = "as_it_began"


def came_from(wire: dict[str, Any], lost: dict[str, Any] | None = None, *, is_whole: bool = True) -> Extra:
    """The `Extra` of what `wire` was read into. `lost` is what of it no other dialect has a word for."""
    return Extra(NAME, lost or {}, quiet={_KEY if is_whole else _BEGUN: wire})


def came_as(extra: Extra | None) -> dict[str, Any] | None:
    """The object that something came as; None if it is not from this dialect, or was not whole then."""
    if extra is None or extra.dialect != NAME:
        return None
    wire: dict[str, Any] | None = extra.quiet.get(_KEY)
    return wire


def begun_as(extra: Extra | None) -> dict[str, Any] | None:
    """The object that something came as, whole or not; None if it is not from this dialect."""
    if extra is None or extra.dialect != NAME:
        return None
    wire: dict[str, Any] | None = extra.quiet.get(_KEY, extra.quiet.get(_BEGUN))
    return wire
