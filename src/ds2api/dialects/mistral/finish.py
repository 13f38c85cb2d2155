"""Why an answer ended, in Mistral's words: stop, length, tool_calls, error, model_length (`mistralai` 3.7)."""

from __future__ import annotations

from ds2api.universal.events import Finished, FinishReason
from ds2api.universal.losses import Loss

__all__ = ["finish_word"]

# "error" for a cut by a filter: "stop" would pass half an answer off as a whole one.
_WORDS: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_full": "model_length",
    "tool_use": "tool_calls",
    "refusal": "stop",
    "content_filter": "error",
    "pause": "stop",
    "malformed_tool": "error",
    "compaction": "stop",
    "continuation": "stop",
    "other": "stop",
}
_EXACT = frozenset({"stop", "stop_sequence", "length", "context_full", "tool_use"})


def finish_word(finished: Finished | None, losses: list[Loss]) -> str:
    """The word for a choice; says in `losses` where it is only the nearest."""
    if finished is None:
        return "stop"
    word = _WORDS[finished.reason]
    is_told = finished.reason == "refusal" and any(loss.path == "refusal" for loss in losses)
    if finished.reason not in _EXACT and not is_told:
        reason = f'Mistral has no word for "{finished.native or finished.reason}": "{word}" was said'
        losses.append(Loss("approximated", "finish_reason", reason))
    return word
