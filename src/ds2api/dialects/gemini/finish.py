"""Why an answer ended: `finishReason` ⇄ the universal reason (`mapping.md` §2, Finish).

Gemini has no word for tool calls: STOP with calls is `tool_use`. Some words mean that the model itself failed; they are
errors that may be tried again, never an empty success (R028). A word that is not known is `other`, and the nearest one
goes out, never one that a client's enum does not have (R041).
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.gemini.fields import NAME
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.events import Finished, FinishReason
from ds2api.universal.parts import Extra

__all__ = ["blocked", "failure_of", "finish_word", "read_finish"]

_FILTERED = (
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION", "MODEL_ARMOR", "ESCALATION", "PUP_LIMITED_DISABLED",
)  # fmt: skip
_READ: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "continuation",
    **dict.fromkeys(_FILTERED, "content_filter"),
}  # fmt: skip
_FAILURES = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"})

_WORDS: dict[FinishReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "context_full": "MAX_TOKENS",
    "tool_use": "STOP",
    "refusal": "SAFETY",
    "content_filter": "SAFETY",
    "pause": "OTHER",
    "malformed_tool": "MALFORMED_FUNCTION_CALL",
    "compaction": "OTHER",
    "continuation": "CONTINUATION",
    "other": "OTHER",
}
_APPROXIMATED = frozenset({"pause", "compaction", "other"})


def failure_of(word: Any, message: Any = None) -> Error | None:
    """The error that a finish word stands for."""
    said = f": {message}" if isinstance(message, str) and message else ""
    if word == "MISSING_THOUGHT_SIGNATURE":
        text = f"The history lacks a thought signature that the model needs{said}"
        return Error(Fault.REQUEST, Kind.BAD_REQUEST, text, status=200, code=word)
    if isinstance(word, str) and word in _FAILURES:
        text = f"The model made a malformed tool call or answer ({word}){said}"
        return Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, text, code=word)
    return None


def read_finish(word: str, index: int, *, has_calls: bool, rest: dict[str, Any]) -> Finished:
    """The ending of one candidate; `rest` is what else was said of it."""
    reason = _READ.get(word, "other") if word else "stop"
    if reason == "stop" and has_calls:
        reason = "tool_use"
    details = None
    if reason == "content_filter":
        details = {"category": word, "explanation": rest.get("finishMessage")}
    return Finished(reason, index, details=details, native=word or None, extra=Extra(NAME, rest))


def blocked(feedback: dict[str, Any]) -> Finished:
    """The ending of a prompt that was blocked: there is no candidate at all."""
    word = str(feedback["blockReason"])
    details = {"category": word, "explanation": feedback.get("blockReasonMessage")}
    extra = Extra(NAME, {"promptFeedback": feedback})
    return Finished("content_filter", 0, details=details, native=word, extra=extra)


def finish_word(finished: Finished, *, is_refused: bool) -> tuple[str, str | None]:
    """Gemini's word, and why it is only the nearest one."""
    if finished.extra is not None and finished.extra.dialect == NAME and finished.native is not None:
        return finished.native, None
    if is_refused and finished.reason == "stop":
        return "SAFETY", None
    word, reason = _WORDS[finished.reason], None
    if finished.reason in _APPROXIMATED:
        reason = f'Gemini has no word for "{finished.native or finished.reason}": "{word}" was said'
    return word, reason
