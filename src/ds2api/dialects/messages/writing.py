"""What the writers of one foreign request share while they work: the target, its abilities, names, ids, losses."""

from __future__ import annotations

from typing import Any

from ds2api.dialects.contract import Target
from ds2api.dialects.messages.capabilities import Capabilities, capabilities_of
from ds2api.dialects.messages.hosts import host_of
from ds2api.dialects.messages.naming import CallIds, tool_names
from ds2api.universal.losses import Losses
from ds2api.universal.parts import CacheMark, Extra
from ds2api.universal.restore import Restore

__all__ = ["Writing"]

_NAME = "messages"
_TTLS = ("5m", "1h")
_MOST_MARKS = 4  # platform.claude.com, prompt caching: up to four breakpoints, a fifth is a 400


class Writing:
    """One request of another dialect on its way to Anthropic."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.capabilities: Capabilities = capabilities_of(
            target.model, {**host_of(target.flavour).capabilities, **target.capabilities}
        )
        self.losses = Losses(target.losses)
        self.restore = Restore()
        self.names = tool_names()
        self.ids = CallIds()
        self._marks: list[tuple[dict[str, Any], str]] = []

    def report_extra(self, extra: Extra | None, path: str) -> None:
        """Fields that only another dialect knows: each is a loss of its own."""
        if extra is None or extra.dialect == _NAME:
            return
        for name in extra.fields:
            field = f"{path}.{name}" if path else name
            reason = f"{name} of {extra.dialect} has no form at this provider"
            if name in extra.grave:
                self.losses.refuse_soft(field, reason)
            else:
                self.losses.report("dropped", field, reason)

    def mark(self, block: dict[str, Any], cache: CacheMark | None, path: str) -> dict[str, Any]:
        """`block` with its cache mark, if it has one. Another lifetime than Anthropic's becomes the longer one."""
        if cache is None:
            return block
        control: dict[str, Any] = {"type": "ephemeral"}
        if cache.ttl is not None:
            control["ttl"] = cache.ttl if cache.ttl in _TTLS else "1h"
            if cache.ttl not in _TTLS:
                reason = f"a cache lifetime of {cache.ttl} is not offered; 1h was sent"
                self.losses.report("approximated", cache.path or path, reason)
        block["cache_control"] = control
        self._marks.append((block, cache.path or path))
        return block

    def limit_marks(self) -> None:
        """Keep the last marks that Anthropic takes: each covers all before it."""
        for block, path in self._marks[:-_MOST_MARKS]:
            del block["cache_control"]
            self.losses.report(
                "dropped", path, f"at most {_MOST_MARKS} cache marks are taken; the later ones were kept"
            )
