"""Whole chat answers, on their way in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.dialects.chat import DIALECT, response_in

EMPTY = st.sampled_from([None, "", [], {}, 0, False])
MESSAGES = st.fixed_dictionaries(
    {"content": st.sampled_from(["", "a", None, [], [{"type": "text", "text": "b"}]])},
    optional={
        "role": st.just("assistant"),
        **dict.fromkeys(("refusal", "tool_calls", "annotations", "audio", "images", "unknown"), EMPTY),
        "reasoning_content": st.sampled_from(["", "t", None]),
        "function_call": st.sampled_from([None, {"name": "f", "arguments": "{}"}]),
    },
)


@given(st.lists(MESSAGES, min_size=1, max_size=2))
def test_a_message_of_plain_text_is_read_at_once_as_any_other_is(messages: list[dict[str, Any]]) -> None:
    choices = [{"index": index, "message": one, "finish_reason": "stop"} for index, one in enumerate(messages)]
    body = {"id": "c", "model": "m", "created": 1, "choices": choices}
    at_once = DIALECT.read_response(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response_in, "_PLAIN", frozenset({"nothing"}))
        assert DIALECT.read_response(body) == at_once
