"""How many tokens a request would be: ``:countTokens``, asked with the whole request (`generateContentRequest`), since
`contents` alone leave out the system instruction and the tools."""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.gemini.errors import broken
from ds2api.dialects.gemini.place import place_of, relayed_place, resource_name
from ds2api.dialects.gemini.request_out import write_request
from ds2api.universal.errors import Problem
from ds2api.universal.request import Request

__all__ = ["GeminiTokenCounter"]


class GeminiTokenCounter:
    """See `contract.TokenCounter`."""

    def relay_path(self, path: str, model: str) -> str:
        return relayed_place(path, model)

    def write_question(self, request: Request, target: Target) -> Outgoing:
        outgoing = write_request(request, target)
        outgoing.path = place_of(target.model, "countTokens")
        body = {"model": resource_name(target.model)} | jsons.parse_object(outgoing.body)
        outgoing.body = jsons.dump({"generateContentRequest": body})
        return outgoing

    def read_count(self, body: dict[str, Any]) -> int:
        count = body.get("totalTokens")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise Problem(broken("its token count holds no `totalTokens`"))
        return count

    def write_count(self, count: int) -> bytes:
        return jsons.dump({"totalTokens": count})
