"""An object of a request that is read field by field, some of which turn out to say more than a universal word."""

from __future__ import annotations

from typing import Any

from ds2api.dialects.reading import Fields

__all__ = ["BlockFields"]


class BlockFields(Fields):
    """`Fields` that can take a field back, so that it goes into `extra` as it came."""

    __slots__ = ()

    def put_back(self, name: str, value: Any) -> None:
        self._rest[name] = value
