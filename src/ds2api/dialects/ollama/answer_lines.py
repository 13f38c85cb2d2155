"""What chat and generate answers differ in, and what they share: reading and writing one object of an answer.

An answer of `/api/chat` holds a `message`, one of `/api/generate` the same fields at the top, its text as `response`.
Log-probabilities are chat's entries without a list around them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ds2api.universal.losses import Loss

__all__ = [
    "ENVELOPE", "message_of", "read_created", "read_logprobs", "warnings", "write_logprobs", "written_created",
    "written_message",
]  # fmt: skip

# Fields of an object that are read; any other is kept for clients of this dialect.
ENVELOPE = frozenset({
    "model", "created_at", "message", "response", "thinking", "tool_calls", "done", "done_reason", "logprobs", "error",
})  # fmt: skip


def message_of(line: dict[str, Any]) -> dict[str, Any] | None:
    """What is said in `line`, in the form of a message; None where there is none."""
    message = line.get("message")
    if isinstance(message, dict):
        return message
    if isinstance(line.get("response"), str):
        return {"content": line["response"], "thinking": line.get("thinking"), "tool_calls": line.get("tool_calls")}
    return None


def written_message(message: dict[str, Any], form: str) -> dict[str, Any]:
    """`message` (its role left out) as a part of an answer of `form`."""
    if form == "generate":
        return {"response": message["content"], **{k: v for k, v in message.items() if k != "content"}}
    return {"message": {"role": "assistant", **message}}


def read_logprobs(value: Any) -> dict[str, Any] | None:
    """In chat's shape, in which `bytes` and `top_logprobs` always stand."""
    if not isinstance(value, list):
        return None
    entries = [_entry(one) | {"top_logprobs": _entries(one.get("top_logprobs"))} for one in value if _is_entry(one)]
    return {"content": entries} if entries else None


def write_logprobs(tokens: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the text; a refusal's are left out with the difference between the two."""
    entries = [one for name in ("content", "refusal") for one in tokens.get(name) or [] if isinstance(one, dict)]
    return [{name: value for name, value in one.items() if value is not None and value != []} for one in entries]


def read_created(value: Any) -> int | None:
    """RFC 3339, its fraction cut off, in seconds since the epoch."""
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def written_created(created: int) -> str:
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def warnings(losses: list[Loss]) -> dict[str, Any]:
    """Losses that are known too late for the head: a field of the last object, which every client passes over."""
    texts = [loss.warning for loss in losses]
    return {"ds2api_warnings": texts} if texts else {}


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("token"), str)


def _entry(value: dict[str, Any]) -> dict[str, Any]:
    return {"token": value["token"], "logprob": value.get("logprob"), "bytes": value.get("bytes")}


def _entries(values: Any) -> list[dict[str, Any]]:
    return [_entry(one) for one in values if _is_entry(one)] if isinstance(values, list) else []
