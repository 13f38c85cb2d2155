"""Why an answer ended: a response's `status` ⇄ the universal reason (`mapping.md` §2, finish).

Calls leave the status "completed", so what the answer holds decides; a status that cuts it short beats that (R007).
An unfinished answer of the background ("queued", "in_progress") is `other` with its own word: its own dialect gets it
back. "failed" and "cancelled" are no endings but errors.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.responses.origin import came_as, came_from
from ds2api.universal.events import Finished, FinishReason

__all__ = ["FAILURES", "finish_loss", "read_finish", "written_finish"]

FAILURES = frozenset({"failed", "cancelled"})

_CUT: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
# "complete" was recorded of a compatible server; some say no status at all.
_DONE = frozenset({"completed", "complete", ""})

_WRITTEN: dict[FinishReason, tuple[str, str | None]] = {
    "length": ("incomplete", "max_output_tokens"),
    "context_full": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "pause": ("incomplete", None),
}
_APPROXIMATED = frozenset({"pause", "continuation", "other", "compaction"})


def read_finish(response: dict[str, Any], *, has_calls: bool, has_refusal: bool) -> Finished:
    """The ending of a whole response. Its own fields go along, for this dialect."""
    said = response.get("status")
    status = said if isinstance(said, str) else ""
    details = response.get("incomplete_details")
    cut = details.get("reason") if isinstance(details, dict) else None
    reason: FinishReason
    if status == "incomplete":
        reason = _CUT.get(str(cut), "other")
    elif status not in _DONE:
        reason = "other"
    elif has_calls:
        reason = "tool_use"
    else:
        reason = "refusal" if has_refusal else "stop"
    native = f"{status}: {cut}" if cut else status
    return Finished(reason, native=native or None, extra=came_from(response))


def written_finish(finished: Finished | None) -> dict[str, Any]:
    """`status` and `incomplete_details`."""
    own = came_as(finished.extra) if finished is not None else None
    if own is not None:
        return {name: own.get(name) for name in ("status", "incomplete_details") if name in own}
    status, cut = _WRITTEN.get(finished.reason, ("completed", None)) if finished is not None else ("completed", None)
    return {"status": status, "incomplete_details": None if cut is None else {"reason": cut}}


def finish_loss(finished: Finished) -> str | None:
    """Why the status is only the nearest one; None where it says all."""
    if finished.reason in _APPROXIMATED and came_as(finished.extra) is None:
        status = written_finish(finished)["status"]
        return f'a response has no word for "{finished.native or finished.reason}": "{status}" was said'
    return None
