"""What is remembered: bounded, per caller, forgotten in time."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ds2api.stores import Answers, Bounded, StoredAnswer, StoreLimits, TextName, Thought, Thoughts
from ds2api.universal.parts import Call, Reasoning, Sealed, Text

STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.floats(0, 5)), max_size=40)


@given(steps=STEPS)
def test_a_bounded_map_is_never_over_its_limit_and_never_old(steps: list[tuple[str, int, float]]) -> None:
    bounded: Bounded[str, int] = Bounded(100, 10.0)
    model: dict[str, tuple[int, float]] = {}
    now = 0.0
    for key, size, pause in steps:
        now += pause
        bounded.put(key, size, size, now)
        model[key] = (size, now)
        assert bounded.size_bytes <= 100
        assert bounded.get(key, now) == size, "the newest stays"
        for other, (value, at) in model.items():
            found = bounded.get(other, now)
            assert found in (None, value)
            assert found is None or now < at + 10.0


def test_what_is_larger_than_the_whole_map_is_not_kept_and_pushes_nothing_out() -> None:
    bounded: Bounded[str, str] = Bounded(10, 1.0)
    bounded.put("a", "small", 5, 0.0)
    bounded.put("b", "large", 11, 0.0)
    assert (bounded.get("a", 0.0), bounded.get("b", 0.0)) == ("small", None)


def test_r162_answers_of_one_caller_are_nothing_to_another() -> None:
    answers = Answers(StoreLimits())
    answers.keep("alice", "resp_1", StoredAnswer([], {"id": "resp_1"}), None, 0.0)
    answers.pin("alice", "resp_2", "openai", "tag", 0.0)
    assert answers.get("alice", "resp_1", 1.0) is not None
    assert answers.get("bob", "resp_1", 1.0) is None
    assert answers.made_by("bob", "resp_2", 1.0) is None
    assert not answers.delete("bob", "resp_1")
    assert answers.delete("alice", "resp_1")
    assert answers.get("alice", "resp_1", 1.0) is None


def said(number: int) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": f"Question number {number}. " + "word " * 60}]}


def test_answers_take_no_more_memory_than_their_limit() -> None:
    """Conversations of ten turns each, until the oldest have gone many times over."""
    limit = 2_000_000
    answers = Answers(StoreLimits(answers_bytes=limit))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for conversation in range(400):
        items: list[dict[str, Any]] = []
        for turn in range(10):
            items = [*items, said(turn), {"role": "assistant", "content": [{"type": "output_text", "text": "Well."}]}]
            id_, previous = f"resp_{conversation}_{turn}", f"resp_{conversation}_{turn - 1}" if turn else None
            answers.keep("caller", id_, StoredAnswer(items, {"id": id_, "output": [said(turn)]}), previous, 0.0)
        stored = answers.get("caller", id_, 0.0)
        assert stored is not None
        assert (stored.items, stored.answer["id"]) == (items, id_)
    del items, stored
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert limit / 2 < taken <= limit


def test_an_item_counts_until_its_last_answer_goes() -> None:
    answers = Answers(StoreLimits(answers_bytes=3_000))
    items = [{"role": "user", "content": "x" * 1_500}]
    answers.keep("c", "resp_1", StoredAnswer(items, {"id": "resp_1"}), None, 0.0)
    answers.keep("c", "resp_2", StoredAnswer(items, {"id": "resp_2"}), "resp_1", 0.0)
    assert answers.delete("c", "resp_1")
    answers.keep("c", "resp_3", StoredAnswer(items, {"id": "resp_3"}), None, 0.0)  # a copy: there is no room for two
    assert answers.get("c", "resp_2", 0.0) is None
    assert answers.get("c", "resp_3", 0.0) is not None


SEALED = Sealed("anthropic_signature", "ds2.1.x")
THOUGHT = Thought("anthropic", "opus", (Reasoning("hm", SEALED),))


def test_r162_thoughts_of_one_caller_are_nothing_to_another_or_to_another_model() -> None:
    thoughts = Thoughts(StoreLimits())
    call = Call("call_1", "look", '{"a": 1}')
    thoughts.keep("alice", [call], TextName(), THOUGHT, 0.0)
    assert thoughts.find("alice", [call], "anthropic", "opus", 1.0) is THOUGHT
    assert thoughts.find("bob", [call], "anthropic", "opus", 1.0) is None
    assert thoughts.find("alice", [call], "anthropic", "haiku", 1.0) is None
    assert thoughts.find("alice", [call], "other", "opus", 1.0) is None


def test_a_call_without_an_id_is_known_by_what_it_calls_however_its_json_is_spelled() -> None:
    thoughts = Thoughts(StoreLimits())
    thoughts.keep("c", [Call("call_1", "look", '{"a":1}')], TextName(), THOUGHT, 0.0)
    assert thoughts.find("c", [Call("", "look", '{ "a" : 1 }')], "anthropic", "opus", 1.0) is THOUGHT
    assert thoughts.find("c", [Call("", "look", '{"a":2}')], "anthropic", "opus", 1.0) is None


@given(text=st.text(min_size=1).filter(lambda text: text.strip() != ""), cut=st.integers(0, 100))
def test_a_text_has_one_name_in_any_pieces(text: str, cut: int) -> None:
    whole, pieces = TextName(), TextName()
    whole.add(text)
    pieces.add(text[:cut])
    pieces.add(text[cut:] + "\n")
    assert whole.value == pieces.value is not None
    thoughts = Thoughts(StoreLimits())
    thoughts.keep("c", [], whole, THOUGHT, 0.0)
    assert thoughts.find("c", [Text(f" {text}")], "anthropic", "opus", 1.0) is THOUGHT


@given(st.text(st.characters(max_codepoint=0x3000)))
def test_blanks_say_nothing_in_any_script(text: str) -> None:
    """The quick way for ASCII and the general one agree: a text is named as it is without blanks."""
    named, bare = TextName(), TextName()
    named.add(text)
    bare.add("".join(text.split()))
    assert named.value == bare.value
