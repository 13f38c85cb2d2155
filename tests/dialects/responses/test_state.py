"""Answers that were given before: their items, replayed and shown page by page."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from openai.types.responses import ResponseItemList
from tests.dialects.responses.recordings import asker

from ds2api.dialects.responses import DIALECT
from ds2api.dialects.responses.state import deleted, items_of, replayed, write_input_items
from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Text
from ds2api.universal.response import Choice, Response

ITEMS = [{"type": "message", "id": f"msg_{number}", "role": "user", "content": []} for number in range(30)]


def new_id() -> Any:
    numbers = itertools.count()
    return lambda: f"new{next(numbers)}"


def test_items_get_a_type_and_an_id() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    kept = {"type": "reasoning", "id": "rs_own", "summary": []}
    assert items_of({"input": "Hi"}, new_id()) == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}], "id": "msg_new0"}
    ]
    items = items_of({"input": [{"role": "assistant", "content": "x"}, call, kept]}, new_id())
    assert [item["id"] for item in items] == ["msg_new0", "fc_new1", "rs_own"]
    assert items[0]["content"] == [{"type": "output_text", "text": "x", "annotations": []}]
    assert items_of({}, new_id()) == []


def test_r085_a_conversation_goes_on_from_what_was_kept() -> None:
    first = {"model": "m", "input": "Who?", "instructions": "I"}
    answer: dict[str, Any] = {}
    made = Response("x", "m", 1, [Choice(0, [Text("You.")], ev.Finished("stop"))])
    DIALECT.write_response(made, asker(keep=answer.update))
    keeper = DIALECT.answer_keeper
    assert keeper is not None
    assert keeper.id_of(answer) == "resp_new0"
    earlier = [*keeper.items_of(first, new_id()), *keeper.output_of(answer)]
    body = keeper.replayed(
        {"model": "m", "previous_response_id": "resp_new0", "input": "Why?", "stream": True}, earlier
    )
    assert "previous_response_id" not in body
    assert "instructions" not in body, "they are not carried over (`features.md` row 1)"
    request = DIALECT.read_request(body, {}, "/v1/responses")
    assert [(turn.role, turn.parts[0].text) for turn in request.turns] == [  # type: ignore[union-attr]
        ("user", "Who?"), ("assistant", "You."), ("user", "Why?")]  # fmt: skip
    assert replayed({"previous_response_id": "r", "model": "m"}, earlier)["input"] == earlier


@pytest.mark.parametrize(
    ("body", "expected"), [({}, True), ({"store": True}, True), ({"store": None}, True), ({"store": False}, False)]
)
def test_keeping_is_the_default(body: dict[str, Any], expected: bool) -> None:
    assert DIALECT.answer_keeper is not None
    assert DIALECT.answer_keeper.wants_keeping(body) is expected


@pytest.mark.parametrize(
    ("query", "first", "last", "more"),
    [
        ({}, 29, 10, True), ({"order": "asc"}, 0, 19, True), ({"order": "asc", "limit": "100"}, 0, 29, False),
        ({"after": "msg_10"}, 9, 0, False), ({"order": "asc", "after": "msg_10", "limit": "2"}, 11, 12, True),
    ],
)  # fmt: skip
def test_pages(query: dict[str, str], first: int, last: int, more: bool) -> None:
    page = json.loads(write_input_items(ITEMS, query))
    ResponseItemList.model_validate(page)
    assert (page["first_id"], page["last_id"], page["has_more"]) == (f"msg_{first}", f"msg_{last}", more)


def test_an_empty_page() -> None:
    assert json.loads(write_input_items([], {})) == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "path"),
    [({"order": "up"}, "order"), ({"limit": "0"}, "limit"), ({"limit": "101"}, "limit"), ({"limit": "x"}, "limit"), ({"after": "no"}, "after")],
)  # fmt: skip
def test_faults_in_a_question_are_named(query: dict[str, str], path: str) -> None:
    with pytest.raises(Problem) as caught:
        write_input_items(ITEMS, query)
    assert caught.value.error.param == path


def test_deleted() -> None:
    assert json.loads(deleted("resp_1")) == {"id": "resp_1", "object": "response", "deleted": True}
