"""How many input tokens a request would be (`openai/types/responses/input_token_count_{params,response}.py`)."""

from __future__ import annotations

from dataclasses import replace

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.responses import request_out
from ds2api.dialects.responses.errors import broken
from ds2api.universal.errors import Problem
from ds2api.universal.request import Request, Sampling

__all__ = ["PATH", "ResponsesTokenCounter"]

PATH = "/responses/input_tokens"

_ASKED = (
    "model", "input", "instructions", "conversation", "previous_response_id", "parallel_tool_calls", "reasoning",
    "text", "tool_choice", "tools", "truncation",
)  # fmt: skip


class ResponsesTokenCounter:
    """See `contract.TokenCounter`."""

    def relay_path(self, path: str, model: str) -> str:
        return PATH

    def write_question(self, request: Request, target: Target) -> Outgoing:
        """The request as it would be sent, less what only generating needs; nothing of that is a loss here."""
        bare = replace(
            request, stream=False, stop=[], sampling=Sampling(), choices=None, logprobs=None, metadata=None, user=None,
            max_output_tokens=None, prediction=None, service_tier=None,
        )  # fmt: skip
        outgoing = request_out.write_request(bare, target)
        body = jsons.parse_object(outgoing.body)
        asked = {name: body[name] for name in _ASKED if name in body}
        return replace(outgoing, path=PATH, body=jsons.dump(asked))

    def read_count(self, body: dict[str, object]) -> int:
        count = body.get("input_tokens")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise Problem(broken("its token count holds no `input_tokens`"))
        return count

    def write_count(self, count: int) -> bytes:
        return jsons.dump({"object": "response.input_tokens", "input_tokens": count})
