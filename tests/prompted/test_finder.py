"""Calls found in text: each family's form, at any cut; ordinary text never held back for long; nothing ever lost."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.prompted import CallFinder
from ds2api.prompted.formats import FORMATS
from ds2api.universal import events as ev
from ds2api.universal.parts import Call, Text
from ds2api.universal.response import fold

TOOLS = ("look", "patch")

# (name, what the model writes, the text before, the calls, the text behind)
WRITTEN: list[tuple[str, str, str, list[tuple[str, object]], str]] = [
    ("mistral", '[TOOL_CALLS] [{"name": "look", "arguments": {"at": "it"}}]', "", [("look", {"at": "it"})], ""),
    (
        "mistral, two with ids",
        'So. [TOOL_CALLS] [{"name":"look","arguments":{"a":1},"id":"abcdefghi"},{"name":"look","arguments":{"a":2}}]',
        "So. ",
        [("look", {"a": 1}), ("look", {"a": 2})],
        "",
    ),
    (
        "mistral v11",
        '[TOOL_CALLS]look[ARGS]{"a":"]}"}[TOOL_CALLS]look[CALL_ID]abcdefghi[ARGS]{}',
        "",
        [("look", {"a": "]}"}), ("look", {})],
        "",
    ),
    (
        "hermes",
        (
            'I look.\n<tool_call>\n{"name": "look", "arguments": {"s": "\\"</tool_call>\\""}}\n</tool_call>\n'
            '<tool_call>\n{"arguments": {}, "name": "look"}\n</tool_call>\nDone'
        ),
        "I look.\n",
        [("look", {"s": '"</tool_call>"'}), ("look", {})],
        "Done",
    ),
    ("hermes without its end", '<tool_call>{"name": "look", "arguments": {}}', "", [("look", {})], ""),
    ("llama 3", '{"name": "look", "parameters": {"at": "it"}}', "", [("look", {"at": "it"})], ""),
    (
        "llama 3, several, typed",
        '{"type": "function", "name": "look", "parameters": {}}; {"name": "look", "parameters": {"b": 2}}',
        "",
        [("look", {}), ("look", {"b": 2})],
        "",
    ),
    ("llama 3, marked", '<|python_tag|>{"name": "look", "parameters": {}}', "", [("look", {})], ""),
    (
        "deepseek v3",
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n```json\n"
            '{"at": "it"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n```json\n{}\n```'
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        "",
        [("look", {"at": "it"}), ("look", {})],
        "",
    ),
    (
        "deepseek v3.1",
        'Well<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{"at":{"b":[1]}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        "Well",
        [("look", {"at": {"b": [1]}})],
        "",
    ),
    (
        "kimi",
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.look:0<|tool_call_argument_begin|>"
            '{"at": "it"}<|tool_call_end|><|tool_call_begin|>functions.patch:1<|tool_call_argument_begin|>'
            '{"input": "*** Begin"}<|tool_call_end|><|tool_calls_section_end|>'
        ),
        "",
        [("look", {"at": "it"}), ("patch", "*** Begin")],
        "",
    ),
]

# What looks like a call and is none: it comes out as it went in.
NO_CALLS = [
    "a [TOOL_CALLS] in a sentence",
    '[TOOL_CALLS] [{"name": "look", "arguments": {"at": ',
    '<tool_call>{"name": "look", "arguments": "no object"}</tool_call> and on',
    "<tool_call>{broken}</tool_call>",
    '<tool_call><tool_call>{"nam',
    '{"name": "Bob", "age": 3}',
    '{"name": "look", "parameters": {"at"',
    '{"name": "look", "parameters": [1]} tail',
    "<｜tool▁calls▁begin｜>nothing<｜tool▁calls▁end｜>",
    "[TOOL_CALLS]" + "x" * 400 + "{}",
    "[TOOL_CALLS] []",
    "< [ <| <tool_cal [TOOL_CALL",
    "  \n {",
]


def finder(tools: Iterable[str] = TOOLS) -> CallFinder:
    numbers = itertools.count()
    return CallFinder(tools, ("patch",), lambda: f"id{next(numbers)}")


def streamed(pieces: Iterable[str], reason: ev.FinishReason = "stop") -> tuple[list[ev.Event], CallFinder]:
    found = finder()
    out = found.events([ev.Started("id", "m", 1), ev.PartStarted(0, "text")])
    for piece in pieces:
        out += found.events([ev.TextDelta(0, piece)])
    out += found.events([ev.PartFinished(0), ev.Finished(reason), ev.Ended()])
    return out, found


def said(events: list[ev.Event]) -> list[object]:
    """Texts and calls in order."""
    said: list[object] = []
    for part in fold(events).choices[0].parts:
        if isinstance(part, Text):
            said.append(part.text)
        elif isinstance(part, Call):
            said.append((part.name, part.arguments if part.custom else json.loads(part.arguments)))
    return said


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted(place % (len(text) + 1) for place in places)
    return [text[start:end] for start, end in itertools.pairwise([0, *ends, len(text)])]


@pytest.mark.parametrize(
    ("written", "before", "calls", "behind"), [w[1:] for w in WRITTEN], ids=[w[0] for w in WRITTEN]
)
@given(places=st.lists(st.integers(0, 1000), max_size=12))
def test_calls_are_found_at_any_cut(
    written: str, before: str, calls: list[tuple[str, object]], behind: str, places: list[int]
) -> None:
    events, found = streamed(cut(written, places))
    assert said(events) == [*([before] if before else []), *calls, *([behind] if behind else [])]
    assert found.losses == []
    finished = next(event for event in events if isinstance(event, ev.Finished))
    assert finished.reason == "tool_use"
    ids = [event.id for event in events if isinstance(event, ev.PartStarted) and event.kind == "call"]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("written", [one[1] for one in WRITTEN], ids=[one[0] for one in WRITTEN])
def test_calls_are_found_letter_by_letter_as_at_once(written: str) -> None:
    assert said(streamed(written)[0]) == said(streamed([written])[0])


@pytest.mark.parametrize("written", NO_CALLS)
@given(places=st.lists(st.integers(0, 1000), max_size=12))
def test_what_is_no_call_stays_text_whole(written: str, places: list[int]) -> None:
    events, _ = streamed(cut(written, places), "length")
    assert said(events) == [written]
    assert next(event for event in events if isinstance(event, ev.Finished)).reason == "length"


def test_what_began_like_a_call_is_reported() -> None:
    _, found = streamed(['<tool_call>{"name": ', "oh"])
    assert [loss.path for loss in found.losses] == ["tool_calls"]


@given(text=st.text(max_size=300), places=st.lists(st.integers(0, 1000), max_size=12))
def test_ordinary_text_is_never_changed(text: str, places: list[int]) -> None:
    assert "".join(str(one) for one in said(streamed(cut(text, places))[0])) == text


@given(marks=st.lists(st.sampled_from([f.opener for f in FORMATS.values()] + ["{", "}", "[", '"', "\\", "name", "x"])))
def test_no_salad_of_marks_loses_a_letter_without_a_call(marks: list[str]) -> None:
    text = "".join(marks)
    events, _ = streamed(marks)
    if not any(isinstance(event, ev.PartStarted) and event.kind == "call" for event in events):
        assert "".join(str(one) for one in said(events)) == text


@given(text=st.text(st.characters(codec="ascii", exclude_characters="<[{"), min_size=1, max_size=60))
def test_text_without_a_marks_beginning_is_not_held_back(text: str) -> None:
    found = finder()
    found.events([ev.PartStarted(0, "text"), ev.TextDelta(0, "So: ")])
    out = found.events([ev.TextDelta(0, text)])
    assert "".join(event.text for event in out if isinstance(event, ev.TextDelta)) == text


def test_what_is_held_back_is_shorter_than_a_mark() -> None:
    found = finder()
    found.events([ev.PartStarted(0, "text"), ev.TextDelta(0, "So ")])
    longest = max(len(form.opener) for form in FORMATS.values())
    given_out = ""
    text = "<tool_calm> [TOOL_CALM] <|tool_calls_section_began|> <｜tool▁calls▁began｜> " * 3
    for number, letter in enumerate(text, 1):
        for event in found.events([ev.TextDelta(0, letter)]):
            given_out += event.text if isinstance(event, ev.TextDelta) else ""
        assert number - len(given_out) < longest
    assert text.startswith(given_out)


def test_structured_output_is_let_go_once_it_names_no_tool() -> None:
    found = finder()
    found.events([ev.PartStarted(0, "text")])
    assert found.events([ev.TextDelta(0, '{"name": "l')]) == []
    out = found.events([ev.TextDelta(0, "isa")])
    assert [event.text for event in out if isinstance(event, ev.TextDelta)] == ['{"name": "lisa']


def test_other_parts_keep_their_order_and_get_numbers_of_their_own() -> None:
    found = finder()
    events = found.events([
        ev.PartStarted(0, "reasoning"), ev.ReasoningDelta(0, "hm"), ev.PartFinished(0), ev.PartStarted(1, "text"),
        ev.TextDelta(1, 'a<tool_call>{"name":"look"}</tool_call>b'), ev.PartFinished(1), ev.Finished("stop"), ev.Ended(),
    ])  # fmt: skip
    started = [(event.part, event.kind) for event in events if isinstance(event, ev.PartStarted)]
    assert started == [(0, "reasoning"), (1, "text"), (2, "call"), (3, "text")]


def test_long_arguments_in_small_pieces_take_linear_work() -> None:
    """A hundred thousand pieces: quadratic work would not end within the test's time."""
    found = finder()
    found.events([ev.PartStarted(0, "text"), ev.TextDelta(0, '<tool_call>{"name":"look","arguments":{"s":"')])
    for _ in range(100_000):
        assert found.events([ev.TextDelta(0, "abcd")]) == []
    out = found.events([ev.TextDelta(0, '"}}</tool_call>')])
    assert any(isinstance(event, ev.ArgumentsDelta) and len(event.text) > 400_000 for event in out)
