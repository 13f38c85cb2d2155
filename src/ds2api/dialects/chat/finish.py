"""Why an answer ended: chat's words and the universal ones.

The word alone does not decide (`streams.md` §9.7): some servers say "stop" after tool calls, some say nothing at
all before ``[DONE]``. Calls make it `tool_use`, unless the output was cut: then nobody may run them (R007).
"""

from __future__ import annotations

from typing import Any

from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.events import Finished, FinishReason

__all__ = ["failure_of", "finish_loss", "finish_word", "malformed_call", "read_finish", "refusal_text"]

# Words that mean a cut, whatever the answer holds. `model_length`: Mistral, the context is full.
_CUT: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "context_full",
    "content_filter": "content_filter",
}
_NATURAL = frozenset({"stop", "tool_calls", "function_call", "", "eos", "end_turn", "stop_sequence"})

_WORDS: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_full": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
    "content_filter": "content_filter",
    "pause": "stop",
    "malformed_tool": "stop",
    "compaction": "stop",
    "continuation": "stop",
    "other": "stop",
}
_APPROXIMATED = frozenset({"pause", "compaction", "continuation", "other"})


def failure_of(word: str | None) -> Error | None:
    """The error that a finish word stands for. DeepSeek stops with `insufficient_system_resource` when its servers
    are full; OpenRouter and Mistral finish with "error"."""
    if word == "insufficient_system_resource":
        return Error(Fault.PROVIDER, Kind.OVERLOADED, "The provider ran out of capacity while it answered.", code=word)
    if word == "error":
        return Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, "The provider failed while it answered.", code=word)
    return None


def read_finish(
    word: str | None, choice: dict[str, Any], *, index: int, has_calls: bool, has_refusal: bool
) -> Finished:
    """The ending of one choice. `choice` holds what else was said of it: vLLM puts the stop sequence that was met
    into `stop_reason`, SGLang into `matched_stop`."""
    reason: FinishReason
    stop_sequence = None
    if word is not None and word in _CUT:
        reason = _CUT[word]
    elif has_calls:
        reason = "tool_use"
    elif has_refusal:
        reason = "refusal"
    elif word is None or word in _NATURAL:
        reason = "stop"
        met = choice.get("stop_reason", choice.get("matched_stop"))
        if isinstance(met, str) and met:
            reason, stop_sequence = "stop_sequence", met
    else:
        reason = "other"
    return Finished(reason, index, stop_sequence, native=word or None)


def finish_word(finished: Finished, *, is_old: bool = False) -> str:
    """Chat's word for it; never one that its clients do not know (R041)."""
    return "function_call" if is_old and finished.reason == "tool_use" else _WORDS[finished.reason]


def finish_loss(finished: Finished) -> str | None:
    """Why the word is only the nearest one; None where it says all."""
    if finished.reason in _APPROXIMATED:
        return f'chat has no word for "{finished.native or finished.reason}": "stop" was said'
    return None


def malformed_call(finished: Finished) -> Error:
    """A call that the provider itself could not finish: an error that may be tried again, never an empty success
    (R028)."""
    said = f" ({finished.native})" if finished.native else ""
    return Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, f"The model made a malformed tool call{said}.")


def refusal_text(finished: Finished) -> str:
    """What a client reads in `refusal` where the provider refused without a text of its own."""
    details = finished.details
    if isinstance(details, dict):
        for name in ("explanation", "category"):
            if isinstance(details.get(name), str) and details[name]:
                text: str = details[name]
                return text
    return "The model refused to answer."
