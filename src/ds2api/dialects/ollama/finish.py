"""Why an answer ended: Ollama's `done_reason` ⇄ the universal reason (`mapping.md` §2, finish).

It has two words, stop and length; calls end with "stop" like everything else. `load` and `unload` end an answer to a
request without a prompt, and some models say nothing at all.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.ollama.extras import NAME
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.events import Finished, FinishReason
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Extra

__all__ = ["malformed_call", "read_finish", "write_finish"]

_READ: dict[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop", "": "stop"}
_CUT: dict[FinishReason, str] = {"length": "length", "context_full": "length"}
_SAID_ALL = frozenset({"stop", "stop_sequence", "tool_use", "length", "context_full"})


def read_finish(native: Any, rest: dict[str, Any], *, has_calls: bool) -> Finished:
    """`rest` is what else stood in the last object."""
    word = native if isinstance(native, str) else ""
    reason = _READ.get(word, "other")
    if has_calls and reason == "stop":
        reason = "tool_use"
    return Finished(reason, native=word or None, extra=Extra(NAME, rest))


def write_finish(finish: Finished | None) -> tuple[str, list[Loss]]:
    """The word, never one that clients do not know (R041), and what it does not say."""
    if finish is None:
        return "stop", []
    if finish.extra is not None and finish.extra.dialect == NAME and finish.native is not None:
        return finish.native, []
    if finish.reason in _SAID_ALL:
        return _CUT.get(finish.reason, "stop"), []
    reason = f"Ollama has no word for {finish.native or finish.reason!r}: stop was said"
    return "stop", [Loss("approximated", "done_reason", reason)]


def malformed_call(finish: Finished) -> Error:
    """A call that the provider itself could not finish: an error, never an empty success (R028)."""
    said = f" ({finish.native})" if finish.native else ""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, f"the model made a tool call that cannot be read{said}")
