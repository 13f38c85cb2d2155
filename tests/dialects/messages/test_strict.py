"""The validator refuses each thing that it is there to refuse."""

from __future__ import annotations

from typing import Any

import pytest
from tests.dialects.messages.strict import check

USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
TEXT = {"type": "text", "text": "hi"}


def body(*turns: Any, **changes: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": one} for at, one in enumerate(turns or ("hi",))]
    return {"model": "claude-sonnet-4-5", "max_tokens": 2000, "messages": messages, **changes}


@pytest.mark.parametrize(
    "good",
    [
        body(),
        body("hi", [USE], [RESULT, TEXT], tools=TOOLS, tool_choice={"type": "tool", "name": "f"}),
        body("hi", "The answer is ("),
        body(temperature=1, stream=True, thinking={"type": "enabled", "budget_tokens": 1024}),
        body(
            output_config={
                "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
            }
        ),
    ],
)
def test_what_anthropic_takes_is_taken(good: dict[str, Any]) -> None:
    assert check(good) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "no object"),
        (body(unknown=1), "unknown: Extra inputs are not permitted"),
        (body([{**TEXT, "name": "x"}]), "name: Extra inputs are not permitted"),
        (body([{"type": "input_audio"}]), "messages[0].content"),
        ({"model": "m", "messages": []}, "max_tokens: Field required"),
        (body(max_tokens=True), "max_tokens: expected int"),
        (body(stop_sequences="x"), "stop_sequences: expected an array"),
        (body(messages=[]), "at least one message"),
        (body(messages=[{"role": "tool", "content": "x"}]), "messages[0]"),
        (body(messages=[{"role": "assistant", "content": "x"}]), "first message"),
        (
            body(messages=[{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]),
            "'system' is not supported",
        ),
        (body("hi", [USE]), "without tool_result"),
        (body("hi", [USE], "no result"), "single result"),
        (body("hi", [USE], [TEXT, RESULT]), "must come first"),
        (body("hi", [USE], [RESULT, RESULT]), "single result"),
        (body([RESULT]), "unexpected `tool_use_id`"),
        (body("hi", [USE, USE], [RESULT]), "must be unique"),
        (body("hi", [{**USE, "id": "a b"}], [{**RESULT, "tool_use_id": "a b"}]), "should match pattern"),
        (body("hi", [{"type": "image", "source": {"type": "url", "url": "u"}}], "x"), "not allowed in an assistant"),
        (body([{"type": "text", "text": " "}]), "non-whitespace"),
        (body([]), "non-empty content"),
        (body(system=[{"type": "text", "text": ""}]), "non-whitespace"),
        (body("hi", "x "), "trailing whitespace"),
        (body("hi", "x", model="claude-opus-4-6"), "prefill"),
        (body(stop_sequences=[" "]), "non-whitespace"),
        (body(temperature=0.5, model="claude-opus-4-7"), "deprecated"),
        (body(temperature=0.5, top_p=0.5), "cannot both"),
        (body(temperature=2), "range"),
        (body(temperature=0.5, thinking={"type": "enabled", "budget_tokens": 1024}), "may only be set to 1"),
        (body(thinking={"type": "enabled", "budget_tokens": 10}), "1024"),
        (body(thinking={"type": "enabled", "budget_tokens": 2000}), "must be greater"),
        (body(thinking={"type": "adaptive"}), "not supported for this model"),
        (body(output_config={"effort": "low"}), "does not support effort"),
        (body(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}}), "additionalProperties"),
        (body(tools=[{"name": "a b", "input_schema": {"type": "object"}}]), "should match pattern"),
        (body(tools=[{"name": "f", "input_schema": {}}]), "input_schema"),
        (body(tools=[*TOOLS, *TOOLS]), "unique"),
        (body(tool_choice={"type": "auto"}), "while providing tools"),
        (body(tools=TOOLS, tool_choice={"type": "tool", "name": "g"}), "not found"),
        (
            body(tools=TOOLS, tool_choice={"type": "any"}, thinking={"type": "enabled", "budget_tokens": 1024}),
            "forces tool use",
        ),
        (body([{**TEXT, "cache_control": {"type": "ephemeral"}}] * 5), "maximum of 4"),
    ],
)
def test_what_anthropic_refuses_is_refused(bad: Any, words: str) -> None:
    faults = check(bad)
    assert any(words in fault for fault in faults), faults


def test_sampling_is_gone_from_the_newer_version() -> None:
    assert check(body(temperature=0.5)) == []
    assert check(body(temperature=0.5), version="2026-10-21") == ["temperature: Extra inputs are not permitted"]
