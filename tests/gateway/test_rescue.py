"""The joint of an answer that broke off and goes on: events in, events out."""

from __future__ import annotations

from typing import Any

import pytest

from ds2api.dialects.contract import Asker
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.rescue import Cut, Joint, SoFar, continued
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.parts import Text
from ds2api.universal.request import ReasoningControl, Request, Turn
from ds2api.universal.usage import Usage

CUT_OFF = Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "stopped")
STARTED: list[ev.Event] = [ev.Started(usage=Usage(input_uncached=7, output_text=1)), ev.PartStarted(0, "text")]


def cut_after(events: list[ev.Event], usage: Usage | None = None) -> Cut:
    so_far = SoFar()
    assert so_far.events(events) == events
    assert so_far.can_go_on
    encoder = DIALECTS["chat"].encoder(Asker("m", "r", 0, lambda: "id"))
    return so_far.cut(encoder, CUT_OFF, usage, input_estimate=50)


def texts(events: list[ev.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ev.TextDelta))


def went_on(cut: Cut, *deltas: str, is_echo: bool = False) -> list[ev.Event]:
    joint = Joint(cut, echoes=is_echo)
    end = [ev.PartFinished(4), ev.Finished("stop"), ev.UsageSeen(Usage(input_uncached=9, output_text=3)), ev.Ended()]
    came = [ev.Started(), ev.PartStarted(4, "text"), *(ev.TextDelta(4, one) for one in deltas), *end]
    return [out for event in came for out in joint.events([event])]


def test_one_text_goes_on_and_the_counters_add_up() -> None:
    cut = cut_after([*STARTED, ev.TextDelta(0, "Hello wor")], Usage(input_uncached=7, output_text=5))
    joined = went_on(cut, "ld", "!")
    assert joined == [
        ev.TextDelta(0, "ld"),
        ev.TextDelta(0, "!"),
        ev.PartFinished(0),
        ev.Finished("stop"),
        ev.UsageSeen(Usage(input_uncached=16, output_text=8)),
        ev.Ended(),
    ]


def test_what_was_not_counted_is_guessed_and_says_so() -> None:
    cut = cut_after([*STARTED, ev.TextDelta(0, "x" * 400)])
    assert cut.spent == Usage(input_uncached=50, output_text=100, estimated=True)


@pytest.mark.parametrize(
    ("before", "deltas", "is_echo", "whole"),
    [
        ("Hello ", ["world"], False, "Hello world"),
        ("Hello ", [" ", "world"], False, "Hello world"),
        ("Hello\n\n", ["\nworld"], False, "Hello\n\nworld"),
        ("Hello wor", ["Hello wor", "ld"], True, "Hello world"),
        ("Hello wor", ["Hel", "lo world"], True, "Hello world"),
        ("Hello ", ["Hello wor", "ld"], True, "Hello world"),
        ("Hello wor", ["Hel", "met"], True, "Hello worHelmet"),
        ("ha", ["ha", "ha"], False, "hahaha"),
    ],
)
def test_the_seam_neither_repeats_nor_loses(before: str, deltas: list[str], is_echo: bool, whole: str) -> None:
    cut = cut_after([*STARTED, ev.TextDelta(0, before)])
    assert before + texts(went_on(cut, *deltas, is_echo=is_echo)) == whole


def test_thoughts_are_dropped_and_what_follows_gets_the_next_numbers() -> None:
    thought: list[ev.Event] = [ev.Started(), ev.PartStarted(0, "reasoning"), ev.PartFinished(0)]
    cut = cut_after([*thought, ev.PartStarted(1, "text"), ev.TextDelta(1, "Hello")])
    assert cut.has_thoughts
    joint = Joint(cut, echoes=False)
    came: list[ev.Event] = [
        ev.PartStarted(0, "reasoning"), ev.ReasoningDelta(0, "hm"), ev.PartFinished(0),
        ev.PartStarted(1, "call", id="c", name="f"), ev.ArgumentsDelta(1, "{}"), ev.PartFinished(1),
        ev.Finished("tool_use"), ev.Ended(),
    ]  # fmt: skip
    joined = joint.events(came)
    assert joined[:4] == [
        ev.PartFinished(1), ev.PartStarted(2, "call", id="c", name="f"), ev.ArgumentsDelta(2, "{}"), ev.PartFinished(2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [
        [*STARTED],
        [*STARTED, ev.TextDelta(0, " \n")],
        [*STARTED, ev.TextDelta(0, "Hi"), ev.PartFinished(0)],
        [*STARTED, ev.TextDelta(0, "Hi"), ev.PartStarted(1, "call", id="c", name="f")],
        [ev.Started(), ev.PartStarted(0, "refusal"), ev.TextDelta(0, "No")],
        [*STARTED, ev.TextDelta(0, "Hi"), ev.Finished("stop")],
        [*STARTED, *(ev.TextDelta(0, "x" * 400_000) for _ in range(3))],
    ],
)
def test_what_cannot_be_handed_on_is_not(events: list[ev.Event]) -> None:
    so_far = SoFar()
    so_far.events(events)
    assert not so_far.can_go_on


def test_a_second_break_knows_all_that_came_before() -> None:
    first = cut_after([*STARTED, ev.TextDelta(0, "One, ")], Usage(input_uncached=7, output_text=2))
    so_far = SoFar(first)
    so_far.events(Joint(first, echoes=False).events([ev.PartStarted(3, "text"), ev.TextDelta(3, "two, ")]))
    second = so_far.cut(first.encoder, CUT_OFF, Usage(input_uncached=9, output_text=2), 50)
    assert (second.text, second.part, second.parts) == ("One, two, ", 0, 1)
    assert second.spent == Usage(input_uncached=16, output_text=4)


def test_the_request_that_goes_on() -> None:
    cut = cut_after([*STARTED, ev.TextDelta(0, "x" * 40 + " ")])
    asked = Request("chat", "m", [Turn("user", [Text("Hi")])], max_output_tokens=100)
    asked.reasoning = ReasoningControl(effort="high")
    going_on, losses = continued(asked, cut)
    assert [(turn.role, turn.parts) for turn in going_on.turns[1:]] == [("assistant", [Text("x" * 40)])]
    assert (going_on.max_output_tokens, going_on.reasoning, going_on.reworded) == (89, None, True)
    assert [(loss.code, loss.path) for loss in losses] == [("rescued", "stream"), ("dropped", "reasoning_effort")]
    assert len(asked.turns) == 1, "each attempt is built from the client's own"


def test_the_clients_own_beginning_is_gone_on_from() -> None:
    cut = cut_after([*STARTED, ev.TextDelta(0, "lo")])
    asked = Request("chat", "m", [Turn("user", [Text("Hi")]), Turn("assistant", [Text("Hel")])])
    last: Any = continued(asked, cut)[0].turns[-1]
    assert [part.text for part in last.parts] == ["Hel", "lo"]
