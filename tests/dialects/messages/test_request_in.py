"""Requests of clients: read strictly, every fault named with its path, nothing lost on the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.messages.strict import check

from ds2api import jsons
from ds2api.dialects.contract import Target
from ds2api.dialects.messages import DIALECT
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Fault, Kind, Problem
from ds2api.universal.parts import Call, File, Image, Opaque, Reasoning, Result, Sealed, Source, Text
from ds2api.universal.request import Request

BASE: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def read(**changes: Any) -> Request:
    return DIALECT.read_request({**BASE, **changes}, {}, "/v1/messages")


def content(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


def back(request: Request, **target: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(DIALECT.write_request(request, Target("p", "m", **target)).body)
    return body


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"model": 1}, "model", "expected a string, found a number"),
        ({"max_tokens": None}, "max_tokens", ""),
        ({"max_tokens": "9"}, "max_tokens", "expected an integer, found a string"),
        ({"max_tokens": -1}, "max_tokens", "at least 0"),
        ({"messages": {}}, "messages", "expected an array, found an object"),
        ({"messages": ["x"]}, "messages[0]", "expected an object, found a string"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "required"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", '"user", "assistant", "system", found "tool"'),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "required, a string or an array"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "a string or an array of content blocks, found a number"),
        (content("x"), "messages[0].content[0]", "expected an object, found a string"),
        (content({}), "messages[0].content[0].type", "required"),
        (content({"type": 1}), "messages[0].content[0].type", "expected a string"),
        (content({"type": "text", "text": 1}), "messages[0].content[0].text", "expected a string, found a number"),
        (content({"type": "text"}), "messages[0].content[0].text", "required"),
        (content({"type": "text", "text": "x", "cache_control": {"type": "x"}}), "messages[0].content[0].cache_control.type", '"ephemeral"'),
        (content({"type": "image"}), "messages[0].content[0].source", "required"),
        (content({"type": "image", "source": {"type": "base64", "data": "x"}}), "messages[0].content[0].source.media_type", "required"),
        (content({"type": "image", "source": {"type": "url", "url": 1}}), "messages[0].content[0].source.url", "expected a string"),
        (content({"type": "tool_use", "id": "a", "name": "b", "input": "{}"}), "messages[0].content[0].input", "expected an object"),
        (content({"type": "tool_result", "content": "x"}), "messages[0].content[0].tool_use_id", "required"),
        (content({"type": "tool_result", "tool_use_id": "x", "is_error": 1}), "messages[0].content[0].is_error", "expected a boolean"),
        (
            content({"type": "tool_result", "tool_use_id": "x", "content": [{"type": "text", "text": None}]}),
            "messages[0].content[0].content[0].text",
            "found null",
        ),
        (content({"type": "thinking"}), "messages[0].content[0].thinking", "required"),
        ({"system": 1}, "system", "a string or an array of content blocks"),
        ({"stream": "yes"}, "stream", "expected a boolean"),
        ({"tools": {}}, "tools", "expected an array"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "required"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name", "required"),
        ({"tool_choice": "auto"}, "tool_choice", "expected an object"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type", '"auto", "any", "tool", "none", found "maybe"'),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "required"),
        ({"stop_sequences": "x"}, "stop_sequences", "expected an array"),
        ({"stop_sequences": [1]}, "stop_sequences[0]", "expected a string"),
        ({"temperature": "1"}, "temperature", "expected a number"),
        ({"thinking": {}}, "thinking.type", "required"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens", "expected an integer"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort", 'found "huge"'),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema", "required"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id", "expected a string, found a number"),
    ],
)  # fmt: skip
def test_fault_is_named_with_its_path(changes: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(Problem) as raised:
        if changes == {"max_tokens": None}:
            DIALECT.read_request({"model": "m", "messages": []}, {}, "/v1/messages")
        read(**changes)
    error = raised.value.error
    assert (error.fault, error.kind, error.param) == (Fault.REQUEST, Kind.BAD_REQUEST, path)
    assert error.message.startswith(path)
    assert words in error.message


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"model":"a","model":"b","max_tokens":1,"messages":[]}', "model"),
        (b'{"model":"a","max_tokens":1,"messages":[{"role":"user","role":"user","content":"x"}]}', "messages[0].role"),
        (
            b'{"model":"a","max_tokens":1,"messages":[],"tools":[{"name":"a","name":"b","input_schema":{}}]}',
            "tools[0].name",
        ),
    ],
)
def test_key_that_stands_twice_is_refused(raw: bytes, path: str) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.read_request(jsons.parse_object(raw), {}, "/v1/messages")
    assert raised.value.error.param == path


def test_token_count_needs_no_output_limit() -> None:
    body = {name: value for name, value in BASE.items() if name != "max_tokens"}
    assert DIALECT.read_request(body, {}, "/v1/messages/count_tokens?beta=true").max_output_tokens is None


def test_parts_are_read_into_their_own_words() -> None:
    blocks = [
        {"type": "text", "text": "a"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "d"},
            "title": "t",
            "citations": {"enabled": True},
        },
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
        },
        {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}},
        {"type": "tool_result", "tool_use_id": "i", "content": "r", "is_error": True},
        {"type": "thinking", "thinking": "h", "signature": "S"},
        {"type": "redacted_thinking", "data": "D"},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
    ]
    parts = read(**content(*blocks)).turns[0].parts
    assert isinstance(parts[0], Text)
    assert isinstance(parts[1], Image)
    assert parts[1].source == Source("AA", media_type="image/png")
    assert parts[1].path == "messages[0].content[1]"
    assert isinstance(parts[3], File)
    assert (parts[3].text, parts[3].name, parts[3].citations) == ("d", "t", True)
    assert isinstance(parts[4], File)
    assert parts[4].text == "x\ny"
    assert isinstance(parts[5], Call)
    assert parts[5].arguments == '{"a":1}'
    assert isinstance(parts[6], Result)
    assert (parts[6].call_id, parts[6].is_error, parts[6].plain) == ("i", True, True)
    assert parts[7:9] == [
        Reasoning("h", Sealed("anthropic_signature", "S"), path="messages[0].content[7]"),
        Reasoning("", Sealed("anthropic_redacted", "D"), redacted=True, path="messages[0].content[8]"),
    ]
    assert isinstance(parts[9], Opaque)
    assert back(read(**content(*blocks)))["messages"][0]["content"] == blocks


ODD: dict[str, Any] = {
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "x"}}],
    "cache_control": {"type": "ephemeral"},
    "temperature": 0.5,
    "top_p": 1,
    "top_k": 4,
    "service_tier": "auto",
    "stop_sequences": ["x"],
    "metadata": {"user_id": "u", "other": 1},
    "thinking": {"type": "between_tools", "new": 1},
    "output_config": {
        "effort": "high",
        "task_budget": {"total": 5},
        "format": {"type": "json_schema", "schema": {}, "new": 2},
    },
    "tool_choice": {"type": "any", "disable_parallel_tool_use": False, "new": 3},
    "tools": [
        {"name": "f", "input_schema": {"type": "object"}, "strict": False, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "mcp_toolset", "mcp_server_name": "s"},
    ],
    "mcp_servers": [],
    "container": "c",
    "future": {"a": [1]},
    "messages": [
        {"role": "user", "content": "hi", "future": 1},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "z"}]}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a"},
                {"type": "tool_result", "tool_use_id": "b", "content": [], "toolset_name": None},
                {"type": "image", "source": {"type": "url", "url": "u", "new": 1}, "transformations": {}},
                {
                    "type": "document",
                    "source": {"type": "url", "url": "u"},
                    "citations": {"enabled": True, "new": 1},
                    "context": "c",
                },
                {"type": "image", "source": {"type": "brand_new"}},
            ],
        },
        {"role": "system", "content": [{"type": "tool_addition", "tool": {}}]},
    ],
}


def test_fields_without_a_word_go_back_as_they_came() -> None:
    given_ = {**BASE, **ODD, "stream": True}
    assert back(DIALECT.read_request(given_, {}, "/v1/messages")) == given_


@pytest.mark.parametrize("name", ODD)
def test_each_field_goes_back_alone(name: str) -> None:
    given_ = {**BASE, name: ODD[name], "stream": False}
    assert back(DIALECT.read_request(given_, {}, "/v1/messages")) == given_


def test_what_nobody_could_do_without_is_marked_grave() -> None:
    extra = read(container="c", mcp_servers=[], context_management={}, future=1).extra
    assert extra is not None
    assert extra.grave == {"container", "mcp_servers", "context_management"}
    assert extra.fields.keys() == extra.grave | {"future"}


@pytest.mark.parametrize(
    ("edits", "is_grave"),
    [
        ([{"type": "clear_thinking_20251015", "keep": "all"}], False),
        ([{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}], True),
        ("x", True),
    ],
)
def test_clearing_old_thoughts_is_no_reason_to_refuse(edits: Any, is_grave: bool) -> None:
    """Claude Code asks for it in every request, and other models work without."""
    extra = read(context_management={"edits": edits}).extra
    assert extra is not None and ("context_management" in extra.grave) is is_grave


def test_betas_go_with_the_request_to_its_own_provider_only() -> None:  # R073
    headers = {"anthropic-beta": "a-1,b-2", "anthropic-version": "2026-10-21", "x-api-key": "k", "cookie": "c"}
    request = DIALECT.read_request({**BASE, "context_management": {"edits": []}}, headers, "/v1/messages")
    outgoing = DIALECT.write_request(request, Target("p", "m"))
    assert outgoing.headers == [("anthropic-version", "2023-06-01"), ("anthropic-beta", "a-1,b-2")]
    assert DIALECT.relay_headers(headers, Target("p", "m")) == [
        ("anthropic-beta", "a-1,b-2"),
        ("anthropic-version", "2026-10-21"),
    ]
    assert DIALECT.relay_headers({}, Target("p", "m")) == [("anthropic-version", "2023-06-01")]


def test_envelope_goes_only_to_whoever_made_it() -> None:
    sealer = Sealer(b"s" * 32)
    own = sealer.seal(Sealed("anthropic_signature", "S"), "p", "m", "")
    foreign = sealer.seal(Sealed("openrouter", "S"), "q", "m", "")
    blocks = [
        {"type": "thinking", "thinking": str(at), "signature": one} for at, one in enumerate((own, foreign, "RAW"))
    ]
    request = read(**content(*blocks, {"type": "text", "text": "x"}, role="assistant"))
    outgoing = DIALECT.write_request(request, Target("p", "m", sealer=sealer))
    written = json.loads(outgoing.body)["messages"][0]["content"]
    assert [block.get("signature") for block in written] == ["S", "RAW", None]
    assert [(loss.code, loss.path) for loss in outgoing.losses] == [("dropped", "messages[0].content[1]")]


# --- any request ---

marks = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)
words = st.text(min_size=1, max_size=8).filter(str.strip).map(lambda text: text.encode("utf-8", "replace").decode())


def block(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    made = {name: one if isinstance(one, st.SearchStrategy) else st.just(one) for name, one in fields.items()}
    return st.builds(lambda base, mark: {**base, **mark}, st.fixed_dictionaries(made), marks)


source = st.fixed_dictionaries(
    {"type": st.just("base64"), "media_type": st.just("image/png"), "data": st.just("AA==")}
) | st.just({"type": "url", "url": "https://x"})
text_blocks = block(type="text", text=words)
image_blocks = block(type="image", source=source)
user_blocks = st.lists(
    text_blocks
    | image_blocks
    | block(
        type="tool_result",
        tool_use_id=words,
        content=words | st.lists(text_blocks | image_blocks, min_size=1, max_size=2),
    )
    | st.just({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}),
    min_size=1,
    max_size=3,
)
assistant_blocks = st.lists(
    text_blocks
    | block(type="tool_use", id=words, name=words, input=st.dictionaries(words, st.integers() | words, max_size=2))
    | st.builds(lambda text, proof: {"type": "thinking", "thinking": text, "signature": proof}, words, words),
    min_size=1,
    max_size=3,
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": words | user_blocks})
    | st.fixed_dictionaries({"role": st.just("assistant"), "content": words | assistant_blocks}),
    min_size=1,
    max_size=4,
)
bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "max_tokens": st.integers(0, 99), "stream": st.booleans(), "messages": messages},
    optional={
        "system": words | st.lists(text_blocks, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "stop_sequences": st.lists(words, min_size=1, max_size=2),
        "tool_choice": st.sampled_from(
            [{"type": "auto"}, {"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "f"}]
        ),
        "thinking": st.sampled_from(
            [
                {"type": "adaptive", "display": "omitted"},
                {"type": "enabled", "budget_tokens": 2000},
                {"type": "disabled"},
            ]
        ),
        "metadata": st.just({"user_id": "u"}),
        "unknown_field": words,
    },
)


@given(body=bodies)
def test_any_request_goes_back_with_equal_json(body: dict[str, Any]) -> None:
    assert back(DIALECT.read_request(body, {}, "/v1/messages")) == body


@given(body=bodies)
def test_reading_twice_gives_equal_requests(body: dict[str, Any]) -> None:
    request = DIALECT.read_request(body, {}, "/v1/messages")
    assert DIALECT.read_request(back(request), {}, "/v1/messages") == request


@given(body=bodies)
def test_generated_requests_have_the_types_of_the_sdk(body: dict[str, Any]) -> None:
    known = {name: value for name, value in body.items() if name not in ("unknown_field", "temperature")}
    typed = [
        fault for fault in check(known) if any(word in fault for word in (": expected ", "permitted", "Field required"))
    ]
    assert typed == []
