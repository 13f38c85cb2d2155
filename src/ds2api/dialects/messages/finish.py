"""Why an answer stopped: Anthropic's `stop_reason` ⇄ the universal reason (`mapping.md` §2, finish).

A word that this table does not know is `other` with the word kept as `native`: its own dialect gets it back,
every other one the nearest legal value (R041). `tool_use` is decided by what the answer holds, not by the word
alone: calls were made and nothing cut them short.
"""

from __future__ import annotations

from typing import Any

from ds2api.universal.events import Finished, FinishReason
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Extra

__all__ = ["read_finish", "write_finish"]

_NAME = "messages"

_READ: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_full",
    "compaction": "compaction",
}

_WRITE: dict[FinishReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context_full": "model_context_window_exceeded",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "compaction": "compaction",
    "malformed_tool": "end_turn",  # writers give an error instead; named here to keep the table total
    "continuation": "end_turn",
    "other": "end_turn",
}


def read_finish(wire: dict[str, Any], *, has_calls: bool, extra: dict[str, Any]) -> Finished:
    """From what holds `stop_reason`, `stop_sequence` and `stop_details` (a message, or the delta of a stream)."""
    native = wire.get("stop_reason")
    native = native if isinstance(native, str) else None
    reason: FinishReason = "stop" if native is None else _READ.get(native, "other")
    if has_calls and reason == "stop":
        reason = "tool_use"
    sequence = wire.get("stop_sequence")
    return Finished(
        reason,
        stop_sequence=sequence if isinstance(sequence, str) else None,
        details=wire.get("stop_details"),
        native=native,
        extra=Extra(_NAME, extra),
    )


def write_finish(finish: Finished | None, *, has_calls: bool, refused: bool) -> tuple[dict[str, Any], list[Loss]]:
    """``{"stop_reason", "stop_sequence"}`` and, where there are any, `stop_details`; with what was lost.

    `refused`: the answer holds a refusal that the provider did not count as a reason (chat's `message.refusal`).
    """
    if finish is None:
        return {"stop_reason": "tool_use" if has_calls else "end_turn", "stop_sequence": None}, []
    if finish.extra is not None and finish.extra.dialect == _NAME and finish.native is not None:
        wire: dict[str, Any] = {"stop_reason": finish.native, "stop_sequence": finish.stop_sequence}
        if finish.details is not None:
            wire["stop_details"] = finish.details
        return wire, []
    reason, losses = finish.reason, []
    if reason == "stop" and has_calls:
        reason = "tool_use"
    elif reason == "tool_use" and not has_calls:
        reason = "stop"  # nothing that a client could run
    if refused and reason == "stop":
        reason = "refusal"
    if reason in ("other", "continuation", "malformed_tool"):
        text = f"the provider stopped for {finish.native or reason!r}, said as end_turn"
        losses.append(Loss("approximated", "stop_reason", text))
    word = _WRITE[reason]
    wire = {"stop_reason": word, "stop_sequence": finish.stop_sequence if word == "stop_sequence" else None}
    if word == "refusal":
        wire["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return wire, losses
