"""The loop that commands run on: uvloop where it exists, else asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_loop"]

_T = TypeVar("_T")


def run_loop(main_coroutine: Coroutine[Any, Any, _T]) -> _T:
    """As `asyncio.run`."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main_coroutine)
    return uvloop.run(main_coroutine)
