"""Laws of translation over generated conversations and answers, for each of the 36 pairs.

A *conversation* is written by one dialect, read as its client's request, written for another one, which a strict server
of that dialect accepts, and read again: who said what, which tool was called with what, which result belongs to which
call are the same. An *answer* takes the way back, whole and as a stream in any cut: text, calls, order, finish and
usage are the same, and what a stream says piece by piece is what the whole answer says.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat import strict as chat_strict
from tests.dialects.gemini import strict as gemini_strict
from tests.dialects.messages import strict as messages_strict
from tests.dialects.mistral import strict as mistral_strict
from tests.dialects.ollama import strict as ollama_strict
from tests.dialects.responses import strict as responses_strict

from ds2api.dialects.contract import Asker, Dialect, Outgoing, Target
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.parts import Call, Part, Reasoning, Result, Text
from ds2api.universal.request import Request, Sampling, Tool, ToolChoice, Turn
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.usage import Usage

MODELS = {
    "chat": "gpt-4.1", "responses": "gpt-4.1", "messages": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash",
    "ollama": "qwen3", "mistral": "mistral-large-latest",
}  # fmt: skip
STRICT: dict[str, Any] = {
    "chat": lambda body, path: chat_strict.check(body),
    "responses": lambda body, path: responses_strict.check(body),
    "messages": lambda body, path: messages_strict.check(body),
    "gemini": gemini_strict.check,
    "ollama": lambda body, path: ollama_strict.check(body),
    "mistral": lambda body, path: mistral_strict.check(body),
}
pairs = pytest.mark.parametrize(
    ("one", "other"),
    list(itertools.product(DIALECTS.values(), DIALECTS.values())),
    ids=lambda dialect: dialect.name,
)

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
TOOLS = [
    Tool(name, f"does {name}", {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}}) for name in ("f", "g_h")
]
CALLS = st.lists(st.tuples(st.sampled_from(["f", "g_h"]), ARGUMENTS, WORDS), min_size=1, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> Request:
    """System or not; then rounds of a user's text and an assistant's answer, with calls and their results or without."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn("system", [Text(draw(WORDS))], plain=True))
    has_calls, number = False, 0
    for _ in range(draw(st.integers(0, 2))):
        turns.append(Turn("user", [Text(draw(WORDS))], plain=True))
        parts: list[Part] = [Text(draw(WORDS))] if draw(st.booleans()) else []
        calls = draw(CALLS) if not parts or draw(st.booleans()) else []
        for name, arguments, _ in calls:
            number += 1
            parts.append(
                Call(f"call_{number:020d}", name, json.dumps(arguments, separators=(",", ":"), ensure_ascii=False))
            )
        turns.append(Turn("assistant", parts))
        if calls:
            has_calls = True
            ids = [part.id for part in parts if isinstance(part, Call)]
            turns += [
                Turn("tool", [Result(id_, [Text(call[2])], plain=True)]) for id_, call in zip(ids, calls, strict=True)
            ]
            turns.append(Turn("assistant", [Text(draw(WORDS))]))
    turns.append(Turn("user", [Text(draw(WORDS))], plain=True))
    has_tools = has_calls or draw(st.booleans())
    tools = TOOLS if has_tools else []
    choice = ToolChoice("auto") if tools and draw(st.booleans()) else None
    return Request(
        "test", "m", turns, stream=draw(st.booleans()), tools=tools, tool_choice=choice,
        sampling=Sampling(temperature=draw(st.none() | st.just(0.5))),
        max_output_tokens=draw(st.none() | st.integers(20, 4000)),
    )  # fmt: skip


def told(request: Request) -> list[tuple[Any, ...]]:
    """What a conversation says, without its form. Texts of one speaker that follow each other are one."""
    names = {part.id: part.name for turn in request.turns for part in turn.parts if isinstance(part, Call)}
    items: list[tuple[Any, ...]] = []
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, Text):
                role = "system" if turn.role == "developer" else turn.role
                if items and items[-1][0] == role and role != "user":
                    items[-1] = (role, items[-1][1] + part.text)
                elif part.text:
                    items.append((role, part.text))
            elif isinstance(part, Call):
                items.append(("call", part.name, json.loads(part.arguments)))
            elif isinstance(part, Result):
                text = "".join(inner.text for inner in part.content if isinstance(inner, Text))
                items.append(("result", names[part.call_id], text))
            else:
                items.append((type(part).__name__,))
    return items


def target(dialect: Dialect) -> Target:
    return Target("p", MODELS[dialect.name], default_max_output_tokens=1000)


def sent(dialect: Dialect, outgoing: Outgoing) -> tuple[dict[str, Any], str]:
    path = dialect.version_prefix + outgoing.path
    return json.loads(outgoing.body), path


@pairs
@given(conversation=conversations())
def test_a_conversation_says_the_same_to_everybody(one: Dialect, other: Dialect, conversation: Request) -> None:
    body, path = sent(one, one.write_request(conversation, target(one)))
    assert STRICT[one.name](body, path) == []
    asked = one.read_request(body, {}, path)
    assert told(asked) == told(conversation)
    outgoing = other.write_request(asked, target(other))
    body, path = sent(other, outgoing)
    assert STRICT[other.name](body, path) == []
    again = other.read_request(body, {}, path)
    assert told(again) == told(conversation)
    assert [tool.name for tool in again.tools] == [tool.name for tool in conversation.tools]
    assert [tool.parameters for tool in again.tools] == [tool.parameters for tool in conversation.tools]
    assert again.sampling.temperature == conversation.sampling.temperature
    if conversation.max_output_tokens is not None:
        assert again.max_output_tokens == conversation.max_output_tokens
    assert again.stream == conversation.stream
    assert outgoing.losses == []


@st.composite
def answers(draw: st.DrawFn) -> Response:
    """Maybe a thought, maybe a text, and calls, at least one of the two last."""
    parts: list[Part] = [Reasoning(draw(WORDS))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        parts.append(Text(draw(WORDS)))
    calls = draw(CALLS) if not any(isinstance(part, Text) for part in parts) or draw(st.booleans()) else []
    for number, (name, arguments, _) in enumerate(calls):
        text = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
        parts.append(Call(f"call_{number:020d}", name, text))
    finish = ev.Finished("tool_use" if calls else draw(st.sampled_from(["stop", "length"])))
    counts = [draw(st.integers(0, 10**6)) for _ in range(2)]
    cached = draw(st.none() | st.integers(0, 1000))
    return Response("id", "m", 1, [Choice(0, parts, finish)], Usage(counts[0], cached, output_text=counts[1]))


def gist(response: Response) -> dict[str, Any]:
    choice, usage = response.choices[0], response.usage
    assert usage is not None and choice.finish is not None
    return {
        "text": "".join(part.text for part in choice.parts if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in choice.parts if isinstance(part, Reasoning)),
        "calls": [(part.name, json.loads(part.arguments)) for part in choice.parts if isinstance(part, Call)],
        "order": [kind for kind, _ in itertools.groupby(type(part).__name__ for part in choice.parts)],
        "finish": choice.finish.reason,
        "usage": (usage.input_total, usage.output_total),
    }


def asker() -> Asker:
    numbers = itertools.count()
    return Asker("m", "req_1", 1, lambda: f"id{next(numbers):022d}", wants_usage=True)


def streamed(dialect: Dialect, stream: bytes, cuts: list[int]) -> list[ev.Event]:
    decoder = dialect.decoder()
    events: list[ev.Event] = []
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    for start, end in itertools.pairwise([0, *places, len(stream)]):
        events += decoder.feed(stream[start:end])
    return events + decoder.end()


@pairs
@given(answer=answers(), cuts=st.lists(st.integers(0, 4000), max_size=5))
def test_an_answer_says_the_same_to_everybody(one: Dialect, other: Dialect, answer: Response, cuts: list[int]) -> None:
    """`one` is the provider's dialect, `other` the client's."""
    expected = gist(answer)
    whole, _ = one.write_response(answer, asker())
    read = one.read_response(json.loads(whole))
    assert gist(read) == expected
    translated, losses = other.write_response(read, asker())
    assert gist(other.read_response(json.loads(translated))) == expected
    assert losses == []
    encoder = one.encoder(asker())
    events = streamed(one, encoder.encode(play(answer)), cuts)
    assert gist(fold(events)) == expected
    encoder = other.encoder(asker())
    stream = b"".join(encoder.encode([event]) for event in events)
    assert gist(fold(streamed(other, stream, cuts))) == expected
    assert encoder.losses == []
