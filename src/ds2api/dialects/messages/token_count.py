"""How many input tokens a request would be: the question, and the answer of one number
(`anthropic/types/message_count_tokens_params.py`, `message_tokens_count.py`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.messages import request_out
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.request import Request, Sampling

__all__ = ["PATH", "MessagesTokenCounter"]

PATH = "/messages/count_tokens"

# What a question has not: it generates nothing. The limit is written by `write_request` whatever is asked.
_ONLY_GENERATING = (
    "max_tokens",
    "stream",
    "stop_sequences",
    "metadata",
    "service_tier",
    "temperature",
    "top_p",
    "top_k",
)


class MessagesTokenCounter:
    """See `contract.TokenCounter`."""

    def relay_path(self, path: str, model: str) -> str:
        return PATH

    def write_question(self, request: Request, target: Target) -> Outgoing:
        """The request as it would be sent, less what only generating needs; nothing of that is a loss here."""
        bare = replace(request, stream=False, stop=[], sampling=Sampling(), choices=None, metadata=None, user=None)
        outgoing = request_out.write_request(bare, target)
        body = jsons.parse_object(outgoing.body)
        for name in _ONLY_GENERATING:
            body.pop(name, None)
        outgoing.path, outgoing.body = PATH, jsons.dump(body)
        return outgoing

    def read_count(self, body: dict[str, Any]) -> int:
        count = body.get("input_tokens")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            message = "the provider's token count holds no `input_tokens`"
            raise Problem(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message))
        return count

    def write_count(self, count: int) -> bytes:
        return jsons.dump({"input_tokens": count})
