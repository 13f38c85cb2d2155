"""What the writers of one foreign request share while they work: the target, its abilities, names, ids, losses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Any

from ds2api.dialects.contract import Target
from ds2api.dialects.naming import ToolNames
from ds2api.dialects.responses.capabilities import capabilities_of
from ds2api.dialects.responses.origin import NAME
from ds2api.universal.losses import Losses
from ds2api.universal.parts import CacheMark, Extra
from ds2api.universal.request import Request
from ds2api.universal.restore import Restore

__all__ = ["Writing"]

# `openai/types/shared_params/function_definition.py`.
_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME_LIMIT = 64
_ID_LIMIT = 64  # openapi.yaml: `call_id` of an output
_TTLS = ("30m", "12h")


class Writing:
    """One request of another dialect on its way to a responses server."""

    def __init__(self, request: Request, target: Target) -> None:
        self.request = request
        self.target = target
        self.capabilities = capabilities_of(target.model, target.capabilities)
        self.losses = Losses(target.losses)
        self.restore = Restore()
        self.names = ToolNames(_LEGAL_NAME, _NAME_LIMIT)

    def call_id(self, identity: str) -> str:
        """`identity` as the server takes it, the same for a call and its result."""
        if 0 < len(identity) <= _ID_LIMIT:
            return identity
        return "call_" + hashlib.sha256(identity.encode(errors="replace")).hexdigest()[:24]

    def report_extra(self, extra: Extra | None, path: str, carried: Collection[str] = ()) -> None:
        """Fields that only another dialect knows, but for those `carried` here: each is a loss of its own."""
        if extra is None or extra.dialect == NAME:
            return
        for name in extra.fields:
            where = f"{path}.{name}" if path else name
            if name in carried:
                continue
            if name in extra.grave:
                self.losses.refuse_soft(where, "a responses server has nothing like it")
            else:
                self.losses.report("dropped", where, "a responses server has nothing like it")

    def mark(self, written: dict[str, Any], cache: CacheMark | None) -> dict[str, Any]:
        """`written` with its cache mark where the model knows marks; elsewhere it only costs money. Lifetimes that
        are not OpenAI's words become the request's own."""
        if cache is not None and self.capabilities.cache_breakpoints:
            ttl = {} if cache.ttl not in _TTLS else {"ttl": cache.ttl}
            written["prompt_cache_breakpoint"] = {"mode": "explicit", **ttl}
        return written
