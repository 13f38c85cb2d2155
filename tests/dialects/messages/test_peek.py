"""Peek and rewrite: what routing needs, cheaply and without touching a byte that is not the model's name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api import jsons
from ds2api.dialects.contract import Peek
from ds2api.dialects.messages import DIALECT
from ds2api.universal.errors import Problem

PATH = "/v1/messages"


def peek(**changes: Any) -> Peek:
    return DIALECT.peek({"model": "m", "messages": [{"role": "user", "content": "hi"}], **changes}, PATH)


def turn(role: str, *blocks: dict[str, Any] | str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": one} if isinstance(one, str) else one for one in blocks]}


def test_what_is_said_is_counted() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 1000}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "four"}}
    messages = [
        turn("user", "héé", image, document),
        turn(
            "assistant",
            {"type": "thinking", "thinking": "123", "signature": "S" * 99},
            {"type": "tool_use", "id": "i", "name": "n", "input": {}},
        ),
        turn("user", {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "12"}, image]}),
    ]
    found = peek(messages=messages, system="sys", max_tokens=77, stream=True)
    assert found.text_bytes == 3 + 5 + 4 + 3 + 2 + 2
    assert found.media_count == 2
    assert (found.output_limit, found.stream, found.wants_usage, found.model) == (77, True, True, "m")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "model"),
        ({"model": 1}, "model"),
        ({"model": ""}, "model"),
        ({"model": "m", "stream": 1}, "stream"),
        ({"model": "m", "messages": {}}, "messages"),
        ({"model": "m", "max_tokens": "1"}, "max_tokens"),
    ],
)
def test_wrong_types_of_what_is_read_are_refused(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.peek(body, PATH)
    assert raised.value.error.param == path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "source", "data", "input", "role", "user_id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(messages=st.lists(json_values, max_size=3), system=json_values, metadata=json_values)
def test_any_other_shape_is_the_providers_to_name(messages: Any, system: Any, metadata: Any) -> None:
    assert peek(messages=messages, system=system, metadata=metadata).text_bytes >= 0


def test_turns_of_one_conversation_have_one_affinity() -> None:
    first = peek(system="s", messages=[turn("user", "a")]).affinity
    later = [
        {"role": "user", "content": "a"},
        turn("assistant", "b"),
        turn("user", "c"),
    ]
    assert (
        peek(system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}], messages=later).affinity
        == first
    )
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert peek(system="s", messages=[turn("user", marked), *later[1:]]).affinity == first


def test_neither_system_prompt_nor_user_gathers_all_conversations() -> None:
    shared = {"system": "s", "metadata": {"user_id": "u"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}}
    affinities = {
        peek(**shared, messages=[turn("user", *blocks)]).affinity
        for blocks in (
            ["a"],
            ["b"],
            ["ab"],
            ["a", "b"],
            [image],
            [{**image, "source": {**image["source"], "data": "B"}}],
        )
    }
    assert len(affinities) == 6
    assert peek(system="s", messages=[turn("user", "a")]).affinity not in affinities
    assert peek(messages=[]).affinity is None


def test_envelopes_are_found_wherever_reasoning_is_carried() -> None:
    thinking = {"type": "thinking", "thinking": "t", "signature": "ds2.1.AA"}
    redacted = {"type": "redacted_thinking", "data": "ds2.1.BB"}
    messages = [
        turn("user", "ds2.1.no"),
        turn("assistant", thinking, redacted, {**thinking}),
        turn("assistant", {**thinking, "signature": "raw"}),
    ]
    assert peek(messages=messages).pins == ("ds2.1.AA", "ds2.1.BB")


# --- rewrite ---


def rewritten(raw: bytes, model: str) -> bytes:
    return DIALECT.rewrite(raw, jsons.parse_object(raw), model, ask_usage=True)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b'{"model":"a","x":1.10}', b'{"model":"b","x":1.10}'),
        (b'{ "x" : {"model":"a"} ,\n "model" :  "a" , "y":[{"model":"a"}]}', b'{ "x" : {"model":"a"} ,\n "model" :  "b" , "y":[{"model":"a"}]}'),
        (b'{"x":"\\"model\\":\\"a\\"","m\\u006fdel":"a"}', b'{"x":"\\"model\\":\\"a\\"","m\\u006fdel":"b"}'),
        (b'{"messages":[{"role":"user","content":"model"}],"model":"a\\"\\u00e9"}', b'{"messages":[{"role":"user","content":"model"}],"model":"b"}'),
    ],
)  # fmt: skip
def test_only_the_models_name_is_exchanged(raw: bytes, wanted: bytes) -> None:
    assert rewritten(raw, "b") == wanted


def test_equal_name_leaves_the_body_alone() -> None:
    raw = b'{"model":"a"}'
    assert rewritten(raw, "a") is raw


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(['"model"', "model", '\\"model\\":"a"']),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("model"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    before=st.dictionaries(st.text(max_size=6), values, max_size=3),
    after=st.dictionaries(st.text(max_size=6), values, max_size=3),
    name=st.text(max_size=8),
    new=st.text(max_size=8),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_every_other_byte_stays(
    before: dict[str, Any], after: dict[str, Any], name: str, new: str, indent: int | None, ascii_only: bool
) -> None:
    before.pop("model", None)
    body = {**before, "model": name, **{key: value for key, value in after.items() if key != "model"}}
    raw = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    body = jsons.parse_object(raw)
    result = DIALECT.rewrite(raw, body, new, ask_usage=False)
    assert jsons.parse_object(result) == {**body, "model": new.encode("utf-8", "replace").decode()}
    written = json.dumps(name, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert len(result) == len(raw) if name == new else len(result) - len(jsons.dump(new)) == len(raw) - len(written)
