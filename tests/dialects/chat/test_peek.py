"""What routing sees of a request, and the bytes that relaying may change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.dialects.chat import DIALECT
from ds2api.dialects.contract import Peek
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Sealed


def peek(*messages: Any, **fields: Any) -> Peek:
    return DIALECT.peek({"model": "m", "messages": list(messages), **fields}, "/v1/chat/completions")


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


SYSTEM = {"role": "system", "content": "You help."}
ANSWER = {"role": "assistant", "content": "Yes."}


def test_everything_that_routing_asks_for_is_seen() -> None:
    seen = peek(
        user("héllo"), stream=True, n=2, max_tokens=5, max_completion_tokens=9, stream_options={"include_usage": True}
    )
    assert (seen.model, seen.stream, seen.choices, seen.output_limit, seen.wants_usage) == ("m", True, 2, 9, True)
    assert seen.text_bytes == 6


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "model"), ({"model": None, "messages": []}, "model"), ({"model": "", "messages": []}, "model"),
        ({"model": "m"}, "messages"), ({"model": "m", "messages": {}}, "messages"), ({"model": "m", "messages": [3]}, "messages[0]"),
        ({"model": "m", "messages": [], "stream": 1}, "stream"), ({"model": "m", "messages": [], "n": 0}, "n"),
        ({"model": "m", "messages": [], "max_tokens": "9"}, "max_tokens"),
        ({"model": "m", "messages": [], "stream_options": 3}, "stream_options"),
    ],
)  # fmt: skip
def test_wrong_type_of_what_is_read_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.peek(body, "")
    assert raised.value.error.param == param


def test_everything_else_is_the_providers_to_name() -> None:
    odd = [
        {"role": 3},
        {"content": [3, {"type": []}, {"text": 1}]},
        {"role": "assistant", "tool_calls": [None, {"function": 3}]},
    ]
    assert peek(*odd, temperature="hot", tools="x").media_count == 0


def test_text_of_all_kinds_is_counted() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "12345"}}
    seen = peek(
        SYSTEM,
        user("abc"),
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        tools=[{"a": 1}],
    )
    assert seen.text_bytes == len("You help.") + 3 + 2 + 5 + len('[{"a":1}]')


def test_media_are_counted() -> None:
    kinds = ["image_url", "input_audio", "file", "video_url"]
    assert (
        peek(user([{"type": kind, kind: {"url": "x"}} for kind in kinds] + [{"type": "text", "text": "a"}])).media_count
        == 4
    )


def test_turns_of_one_conversation_have_one_affinity() -> None:
    first = peek(SYSTEM, user("a"))
    assert first.affinity == peek(SYSTEM, user("a"), ANSWER, user("more")).affinity
    assert first.affinity is not None


@pytest.mark.parametrize(
    "other",
    [
        peek(SYSTEM, user("b")), peek(user("a")), peek(SYSTEM, user("a"), user="u"), peek(SYSTEM, user("a"), prompt_cache_key="k"),
        peek(SYSTEM, user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}])),
    ],
)  # fmt: skip
def test_other_conversations_have_another(other: Peek) -> None:
    assert other.affinity != peek(SYSTEM, user("a")).affinity


def test_shared_key_or_user_does_not_gather_everybody() -> None:
    shared = {"prompt_cache_key": "k", "user": "u"}
    assert peek(SYSTEM, user("a"), **shared).affinity != peek(SYSTEM, user("b"), **shared).affinity


def test_nothing_to_go_by_is_no_affinity() -> None:
    assert peek(SYSTEM).affinity is None


def test_pictures_are_told_apart_without_reading_them_whole() -> None:
    def picture(data: str) -> Peek:
        return peek(user([{"type": "image_url", "image_url": {"url": data}}]))

    assert picture("A" * 900).affinity != picture("A" * 901).affinity
    assert picture("A" * 900).affinity == picture("A" * 900).affinity


def test_our_envelopes_are_pins_and_others_are_not() -> None:
    ours = Sealer(b"k" * 32).seal(Sealed("anthropic_signature", "S"), "p", "m", "a")
    call = {
        "id": "c",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": ours + "x"}},
    }
    details = [{"type": "reasoning.text", "signature": ours}, {"type": "reasoning.encrypted", "data": "theirs"}]
    message = {"role": "assistant", "content": "ds2.1.text", "reasoning_details": details, "tool_calls": [call]}
    assert peek(user("ds2.1.x"), message).pins == (ours, ours + "x")


# --- rewrite ---


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b'{"model":"a","messages":[]}', b'{"model":"new","messages":[]}'),
        (b' {\n "messages" : [ {"model":"a"} ] ,\t"model" : "a\\"b" }\n', b' {\n "messages" : [ {"model":"a"} ] ,\t"model" : "new" }\n'),
        (b'{"messages":["\\"model\\":\\"a\\""],"mod\\u0065l":"a","x":1.10}', b'{"messages":["\\"model\\":\\"a\\""],"mod\\u0065l":"new","x":1.10}'),
        (b'{"model":"new","z":12345678901234567890123}', b'{"model":"new","z":12345678901234567890123}'),
    ],
)  # fmt: skip
def test_only_the_models_name_is_exchanged(raw: bytes, written: bytes) -> None:
    """R079."""
    assert DIALECT.rewrite(raw, json.loads(raw), "new", ask_usage=False) == written


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b'{"model":"m","stream":true }', b'{"model":"m","stream":true ,"stream_options":{"include_usage":true}}'),
        (b'{"model":"m","stream":true,"stream_options":null}', b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":{ },"model":"m","stream":true}', b'{"stream_options":{ "include_usage":true},"model":"m","stream":true}'),
        (
            b'{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}',
            b'{"model":"m","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}',
        ),
        (
            b'{"model":"m","stream":true,"stream_options":{"include_usage": false ,"x":{"include_usage":1}}}',
            b'{"model":"m","stream":true,"stream_options":{"include_usage": true ,"x":{"include_usage":1}}}',
        ),
        (b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}', b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"model":"m","stream":false}', b'{"model":"m","stream":false}'),
    ],
)  # fmt: skip
def test_usage_is_asked_for_and_nothing_else_changes(raw: bytes, written: bytes) -> None:
    assert DIALECT.rewrite(raw, json.loads(raw), "m", ask_usage=True) == written


_KEYS = st.sampled_from(["model", "stream_options", "include_usage", "x", 'mo"del', "é", ""])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(['"model":"a"', "model", "}", "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=5), st.text(min_size=1, max_size=5), st.booleans(), st.booleans(),
    st.sampled_from([None, 0, 2]), st.booleans(),
)  # fmt: skip
def test_rewritten_body_differs_in_what_was_asked_for_only(
    body: dict[str, Any], model: str, ask_usage: bool, stream: bool, indent: int | None, ascii_only: bool
) -> None:
    """The plain twin: parse, change, compare."""
    body = {**body, "model": "before", "stream": stream}
    raw = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    body = json.loads(raw)
    expected = {**body, "model": model}
    if ask_usage and stream:
        options = body.get("stream_options")
        expected["stream_options"] = (
            {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
        )
    assert json.loads(DIALECT.rewrite(raw, body, model, ask_usage=ask_usage)) == expected
