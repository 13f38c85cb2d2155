"""Answers that were given before: what the gateway keeps of them, replays, and shows again (`contract.AnswerKeeper`).

An item that is kept has an id, since clients page through items and point at them; what is replayed is the item as it
was, less nothing: a provider that checks ids sees the ids that it, or the client, gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ds2api import jsons
from ds2api.dialects.responses.errors import previous_not_found
from ds2api.universal.errors import Error, Problem

__all__ = ["ResponsesAnswerKeeper", "deleted", "items_of", "replayed", "write_input_items"]

Item = dict[str, Any]

# Prefixes that OpenAI gives, and checks where an item comes back with an id.
_PREFIXES = {
    "message": "msg", "function_call": "fc", "function_call_output": "fc", "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco", "reasoning": "rs",
}  # fmt: skip

# openapi.yaml, listInputItems: between 1 and 100, 20 where nothing is said, the newest first.
_LARGEST_PAGE = 100
_USUAL_PAGE = 20


def items_of(body: Mapping[str, Any], new_id: Callable[[], str]) -> list[Item]:
    """The `input` of a request as items, each with a type and an id."""
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": [{"type": "input_text", "text": given}]}]
    return [_with_id(item, new_id) for item in given or () if isinstance(item, dict)]


def replayed(body: Mapping[str, Any], earlier_items: Sequence[Item]) -> dict[str, Any]:
    """`body` with `earlier_items` in front of its own input, and no word of an earlier answer."""
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    request = {name: value for name, value in body.items() if name != "previous_response_id"}
    return {**request, "input": [*earlier_items, *(given or ())]}


def write_input_items(items: Sequence[Item], query: Mapping[str, str]) -> bytes:
    """One page of `items`: `order` ("desc" or "asc"), `after` (an id), `limit`. Raises `Problem` naming the field."""
    order = query.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise Problem.bad_request(f'order: expected "asc" or "desc", found "{order[:20]}"', "order")
    said = query.get("limit") or str(_USUAL_PAGE)
    if not (said.isascii() and said.isdigit() and 1 <= int(said[:9]) <= _LARGEST_PAGE):
        raise Problem.bad_request(f"limit: expected 1 to {_LARGEST_PAGE}, found {said[:20]}", "limit")
    ordered = list(items if order == "asc" else reversed(items))
    after = query.get("after")
    if after:
        places = [place for place, item in enumerate(ordered) if item.get("id") == after]
        if not places:
            raise Problem.bad_request(f"after: no item has the id {after[:80]!r}", "after")
        ordered = ordered[places[0] + 1 :]
    page = ordered[: int(said)]
    ids = [item.get("id") for item in page] or [None]
    listed = {"object": "list", "data": page, "first_id": ids[0], "last_id": ids[-1]}
    return jsons.dump({**listed, "has_more": len(ordered) > len(page)})


def deleted(identity: str) -> bytes:
    return jsons.dump({"id": identity, "object": "response", "deleted": True})


class ResponsesAnswerKeeper:
    """See `contract.AnswerKeeper`."""

    def wants_keeping(self, body: dict[str, Any]) -> bool:
        """It is the default of this protocol."""
        return body.get("store") is not False

    def items_of(self, body: dict[str, Any], new_id: Callable[[], str]) -> list[Item]:
        return items_of(body, new_id)

    def output_of(self, answer: dict[str, Any]) -> list[Item]:
        output: list[Item] = answer["output"]
        return output

    def id_of(self, answer: dict[str, Any]) -> str:
        identity: str = answer["id"]
        return identity

    def replayed(self, body: dict[str, Any], items: Sequence[Item]) -> dict[str, Any]:
        return replayed(body, items)

    def write_items(self, items: Sequence[Item], query: Mapping[str, str]) -> bytes:
        return write_input_items(items, query)

    def write_deleted(self, id_: str) -> bytes:
        return deleted(id_)

    def unknown_previous(self, id_: str) -> Error:
        return previous_not_found(id_)


def _with_id(item: Item, new_id: Callable[[], str]) -> Item:
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    whole = {"type": kind, **item}
    if not isinstance(whole.get("id"), str):
        whole["id"] = f"{_PREFIXES.get(str(kind), 'item')}_{new_id()}"
    if kind == "message" and isinstance(whole.get("content"), str):
        part = "output_text" if whole.get("role") == "assistant" else "input_text"
        text = {"type": part, "text": whole["content"]}
        whole["content"] = [text if part == "input_text" else {**text, "annotations": []}]
    return whole
