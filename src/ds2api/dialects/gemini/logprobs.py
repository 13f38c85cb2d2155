"""`logprobsResult` ⇄ chat's log-probabilities, the universal shape. A token's number has no place there."""

from __future__ import annotations

from typing import Any

__all__ = ["read_logprobs", "written_logprobs"]


def read_logprobs(result: Any) -> dict[str, Any] | None:
    """None where there is nothing in it. Total."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list) or not chosen:
        return None
    top = result.get("topCandidates")
    top = top if isinstance(top, list) else []
    content: list[dict[str, Any]] = []
    for place, one in enumerate(chosen):
        others = top[place].get("candidates") if place < len(top) and isinstance(top[place], dict) else None
        entry = _entry(one) | {"top_logprobs": [_entry(other) for other in _objects(others)]}
        content.append(entry)
    return {"content": content}


def written_logprobs(tokens: dict[str, Any]) -> dict[str, Any]:
    entries = _objects(tokens.get("content") or tokens.get("refusal"))
    result: dict[str, Any] = {"chosenCandidates": [_candidate(one) for one in entries]}
    if any(one.get("top_logprobs") for one in entries):
        result["topCandidates"] = [
            {"candidates": [_candidate(other) for other in _objects(one.get("top_logprobs"))]} for one in entries
        ]
    return result


def _objects(value: Any) -> list[dict[str, Any]]:
    """Providers' lists hold what they like: only the objects of one."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _entry(candidate: Any) -> dict[str, Any]:
    fields = candidate if isinstance(candidate, dict) else {}
    token = fields.get("token")
    token = token if isinstance(token, str) else ""
    return {"token": token, "logprob": fields.get("logProbability", 0.0), "bytes": list(token.encode(errors="replace"))}


def _candidate(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token", ""), "logProbability": entry.get("logprob", 0.0)}
