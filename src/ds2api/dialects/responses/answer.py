"""The response object: what an answer says of itself and repeats of its request, and whole answers both ways.

A whole answer is read by the decoder and written by the encoder, as a stream whose last event holds it: the two lanes
cannot differ. From a provider of this dialect its own fields stand as they came; else the object repeats the client's
request, with the defaults that the SDK's type (`openai/types/responses/response.py`) wants.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.contract import Asker
from ds2api.dialects.responses.decoder import ResponsesDecoder
from ds2api.dialects.responses.errors import broken, read_stream_error
from ds2api.dialects.responses.finish import FAILURES
from ds2api.dialects.responses.origin import NAME, begun_as
from ds2api.dialects.responses.own_request import own_fields
from ds2api.dialects.responses.usage import read_usage
from ds2api.universal.errors import Problem
from ds2api.universal.events import Started
from ds2api.universal.response import Response, fold
from ds2api.universal.usage import Usage

__all__ = ["read_response", "read_usage_alone", "response_head"]

# What an answer repeats of its request, with what stands there where the client said nothing.
_REPEATED: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "previous_response_id": None, "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None, "service_tier": None, "temperature": 1.0, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "user": None,
}  # fmt: skip

# What is not true yet, or not any more, when an answer begins.
_AT_START: dict[str, Any] = {"error": None, "incomplete_details": None, "output": [], "usage": None}


def response_head(event: Started, asker: Asker) -> dict[str, Any]:
    """The response as it begins, without output."""
    own = begun_as(event.extra)
    if own is not None and own.get("id"):
        status = own.get("status")
        waiting = status if status in ("queued", "in_progress") else "in_progress"
        head = {"object": "response", "created_at": asker.created, **own, "model": asker.model, "status": waiting}
        if "completed_at" in head:
            head["completed_at"] = None
        return head | _AT_START
    request = asker.request
    said = own_fields(request) if request is not None and request.dialect == NAME else {}
    if "text" in said:
        said["text"] = {**_REPEATED["text"], **said["text"]}
    return {
        "id": f"resp_{asker.new_id()}",
        "object": "response",
        "created_at": asker.created,
        "status": "in_progress",
        "background": False,
        "model": asker.model,
        **{name: said.get(name, default) for name, default in _REPEATED.items()},
        "store": asker.keep is not None,
        **({} if asker.previous_id is None else {"previous_response_id": asker.previous_id}),
        **_AT_START,
    }


def read_response(body: dict[str, Any]) -> Response:
    """A provider's whole answer. Raises `Problem`: the provider's own error under a 200, or what is no response."""
    _refuse_what_is_no_response(body)
    return fold(ResponsesDecoder().whole(body))


def read_usage_alone(body: dict[str, Any]) -> Usage | None:
    """The counters of a whole answer that is relayed. Raises `Problem` as `read_response` does. What `compact` gives
    has no status, and an answer of the background no usage yet."""
    _refuse_what_is_no_response(body)
    return read_usage(body.get("usage"))


def _refuse_what_is_no_response(body: dict[str, Any]) -> None:
    if body.get("status") in tuple(FAILURES) or (body.get("error") and not body.get("output")):
        inner = body.get("error")
        raise Problem(read_stream_error({"error": inner or {"message": "The provider gave up on this answer."}}))
    if not isinstance(body.get("output"), list):
        raise Problem(broken("it holds no `output`"))
    if not body["output"] and "status" not in body:
        raise Problem(broken("it holds nothing, not even a status"))
