"""What the writers of one request share while they work: the target, where losses are said, what must be undone."""

from __future__ import annotations

from ds2api.dialects.contract import Target
from ds2api.dialects.ollama.extras import NAME
from ds2api.universal.losses import Losses
from ds2api.universal.parts import CacheMark, Extra
from ds2api.universal.request import Request
from ds2api.universal.restore import Restore

__all__ = ["Writing"]

_NOTHING_LIKE_IT = "Ollama has nothing like it"


class Writing:
    """One request on its way to an Ollama server. `is_own`: its client speaks this dialect."""

    def __init__(self, request: Request, target: Target) -> None:
        self.target = target
        self.is_own = request.dialect == NAME
        self.client = request.dialect
        self.losses = Losses(target.losses)
        self.restore = Restore()

    def drop(self, path: str, reason: str = _NOTHING_LIKE_IT) -> None:
        self.losses.report("dropped", path, reason)

    def lose_extra(self, extra: Extra | None, path: str) -> None:
        """Fields that only another dialect knows: each is a loss of its own."""
        if extra is None or extra.dialect == NAME:
            return
        for name in extra.fields:
            where = f"{path}.{name}" if path else name
            if name in extra.grave:
                self.losses.refuse_soft(where, _NOTHING_LIKE_IT)
            else:
                self.drop(where)

    def lose_mark(self, cache: CacheMark | None, path: str) -> None:
        """An Ollama server caches by itself."""
        if cache is not None:
            self.drop(cache.path or path, "Ollama caches prompts by itself: a mark changes nothing")
