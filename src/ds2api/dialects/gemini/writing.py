"""What the writers of one foreign request share while they work: the target, its abilities, names, losses."""

from __future__ import annotations

import re

from ds2api.dialects.contract import Target
from ds2api.dialects.gemini.capabilities import Capabilities, capabilities_of
from ds2api.dialects.gemini.fields import NAME
from ds2api.dialects.naming import ToolNames
from ds2api.universal.losses import Losses
from ds2api.universal.parts import CacheMark, Extra
from ds2api.universal.restore import Restore

__all__ = ["Writing"]

# `google/genai/types.py`, FunctionDeclaration.name.
_LEGAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")


class Writing:
    """One request of another dialect on its way to Gemini."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.capabilities: Capabilities = capabilities_of(target.model, target.capabilities)
        self.losses = Losses(target.losses)
        self.restore = Restore()
        self.names = ToolNames(_LEGAL_NAME, 128)

    def report_extra(self, extra: Extra | None, path: str, without_meaning: frozenset[str] = frozenset()) -> None:
        """Fields that only another dialect knows: each is a loss of its own."""
        if extra is None or extra.dialect == NAME:
            return
        for name in extra.fields:
            if name in without_meaning:
                continue
            field = f"{path}.{name}" if path else name
            reason = f"{name} of {extra.dialect} has no form at this provider"
            if name in extra.grave:
                self.losses.refuse_soft(field, reason)
            else:
                self.losses.report("dropped", field, reason)

    def report_mark(self, cache: CacheMark | None, path: str) -> None:
        """Gemini caches by itself; a mark only tells what that costs."""
        if cache is not None:
            self.losses.report("dropped", cache.path or path, "this provider caches by itself and takes no marks")
