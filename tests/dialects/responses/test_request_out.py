"""Requests for providers, from clients of other dialects: accepted by a strict server, with every loss said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.responses.strict import check

from ds2api.dialects.contract import Target
from ds2api.dialects.registry import DIALECTS
from ds2api.dialects.responses import DIALECT
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Call, Image, Result, Sealed, Source, Text
from ds2api.universal.request import Request, Turn

PNG = "data:image/png;base64,iVBORw0KGgo="
SEALER = Sealer(b"s" * 32)


def written(
    dialect: str, body: dict[str, Any], model: str = "gpt-5.4", **target: Any
) -> tuple[dict[str, Any], list[str], Any]:
    request = DIALECTS[dialect].read_request(body, {}, "/")
    outgoing = DIALECT.write_request(request, Target("p", model, **target))
    value = json.loads(outgoing.body)
    assert check(value) == []
    assert outgoing.body.startswith(b'{"model":"%b","stream":' % model.encode())
    assert outgoing.path == "/responses"
    return value, [f"{loss.code} {loss.path}" for loss in outgoing.losses], outgoing.restore


def from_chat(model: str = "gpt-5.4", **fields: Any) -> tuple[dict[str, Any], list[str], Any]:
    return written("chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}, model)


def from_messages(model: str = "gpt-5.4", **fields: Any) -> tuple[dict[str, Any], list[str], Any]:
    body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}], **fields}
    return written("messages", body, model)


CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "text"}},
]


def test_r061_a_chat_conversation_item_by_item() -> None:
    body, losses, _ = from_chat(messages=[
        {"role": "system", "content": "A."},
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "assistant", "content": "I look.", "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "developer", "content": "B."},
        {"role": "user", "content": "go on"},
    ])  # fmt: skip
    assert body["input"] == [
        {"role": "system", "content": "A."},
        {"role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG, "detail": "auto"}]},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "text"},
        {"type": "function_call_output", "call_id": "call_1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "two"},
        {"role": "developer", "content": "B."},
        {"role": "user", "content": "go on"},
    ]  # fmt: skip
    assert (body["store"], body["include"], "instructions" in body) == (False, ["reasoning.encrypted_content"], False)
    assert losses == []


def test_r047_r055_r068_a_messages_conversation_with_results() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    body, losses, _ = from_messages(
        system=[{"type": "text", "text": "A."}, {"type": "text", "text": "B."}],
        metadata={"user_id": "u"},
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"z": 1, "a": 2}}]},
            {"role": "system", "content": "note"},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "shot"}, image]},
                {"type": "text", "text": "and?"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t2", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2", "content": "bad", "is_error": True}]},
        ],
    )  # fmt: skip
    kinds = [item.get("type") or item["role"] for item in body["input"]]
    assert kinds == ["system", "user", "function_call", "function_call_output", "system", "user",
                     "function_call", "function_call_output"]  # fmt: skip
    assert body["input"][2]["arguments"] == '{"z":1,"a":2}'
    assert [part["type"] for part in body["input"][3]["output"]] == ["input_text", "input_image"]
    assert body["input"][7]["output"] == "ERROR: bad"
    assert losses == ["approximated messages[5].content[0].is_error"]
    assert (body["safety_identifier"], body["max_output_tokens"]) == ("u", 100)
    assert "metadata" not in body


@pytest.mark.parametrize("said", [None, True, False])
def test_r071_strict_is_written_out(said: bool | None) -> None:
    strict = {} if said is None else {"strict": said}
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema, **strict}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, **strict}}
    body, losses, _ = from_chat(tools=[tool], response_format=form)
    assert body["tools"] == [{"type": "function", "name": "f", "parameters": schema, "strict": bool(said)}]
    assert body["text"] == {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": bool(said)}}
    assert losses == []
    own = DIALECT.read_request({"model": "m", "input": "x", "tools": [{"type": "function", "name": "f"}]}, {}, "/")
    assert json.loads(DIALECT.write_request(own, Target("p", "m")).body)["tools"] == [{"type": "function", "name": "f"}]


def test_r052_long_names_stay_two() -> None:
    names = ["a" * 70 + "x" * 58, "a" * 70 + "y" * 58]
    body, losses, restore = from_messages(
        tools=[{"name": name, "input_schema": {"type": "object"}} for name in names],
        tool_choice={"type": "tool", "name": names[1]},
    )
    short = [tool["name"] for tool in body["tools"]]
    assert len(set(short)) == 2
    assert all(len(name) <= 64 for name in short)
    assert body["tool_choice"] == {"type": "function", "name": short[1]}
    assert restore.tool_names == dict(zip(short, names, strict=True))
    assert losses == []


def test_r043_stop_is_emulated() -> None:
    body, losses, restore = from_chat(stop=["STOP"])
    assert (restore.stop, losses, "stop" in body) == (["STOP"], ["emulated stop"], False)
    assert from_messages(stop_sequences=["A"])[1] == ["emulated stop_sequences"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"seed": 1}, ["dropped seed"]), ({"logit_bias": {"1": 2}}, ["dropped logit_bias"]),
        ({"frequency_penalty": 0}, []), ({"presence_penalty": 0.5}, ["dropped presence_penalty"]),
        ({"prediction": {"type": "content", "content": "x"}}, ["dropped prediction"]),
        ({"max_tokens": 5}, ["clamped max_tokens"]), ({"temperature": 0.2}, ["dropped temperature"]),
        ({"temperature": 1}, []), ({"unheard_of": 1}, ["dropped unheard_of"]),
        ({"reasoning_effort": "minimal"}, ["clamped reasoning_effort"]), ({"reasoning_effort": "high"}, []),
        ({"web_search_options": {"search_context_size": "low"}}, ["approximated web_search_options"]),
        ({"prompt_cache_options": {"mode": "explicit"}, "prompt_cache_retention": "24h"}, []),
        ({"metadata": {"a": "b"}, "user": "u", "service_tier": "flex", "verbosity": "low", "prompt_cache_key": "k"}, []),
        ({"messages": [{"role": "user", "name": "Bob", "content": "x"}]}, ["dropped messages[0].name"]),
        ({"logprobs": True, "top_logprobs": 2}, []), ({"n": 1}, []), ({"store": True}, []),
    ],
)  # fmt: skip
def test_each_hint_of_chat(fields: dict[str, Any], expected: list[str]) -> None:
    assert from_chat(**fields)[1] == expected


def test_sampling_goes_to_models_that_take_it() -> None:
    body, losses, _ = from_chat("gpt-4.1", temperature=0.2, top_p=0.5, reasoning_effort="high")
    assert (body["temperature"], body["top_p"], "include" in body) == (0.2, 0.5, False)
    assert losses == ["dropped reasoning_effort"]


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        ({"type": "enabled", "budget_tokens": 16000}, {"effort": "medium", "summary": "auto"}),
        ({"type": "adaptive", "display": "omitted"}, None),
        ({"type": "disabled"}, {"effort": "none"}),
    ],
)  # fmt: skip
def test_thinking_becomes_effort(thinking: dict[str, Any], expected: Any) -> None:
    body, losses, _ = from_messages(max_tokens=32000, thinking=thinking)
    assert body.get("reasoning") == expected
    assert losses == []


@pytest.mark.parametrize(
    ("dialect", "fields", "path"),
    [
        ("chat", {"n": 2}, "n"),
        ("chat", {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, "modalities"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]}]},
         "messages[0].content[0]"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages[0].content[0]"),
        ("chat", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": CALLS[:1]}]},
         "messages[1].tool_calls[0]"),
        ("chat", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "pre"}]}, "messages[1]"),
        ("chat", {"tool_choice": "required"}, "tool_choice"),
        ("messages", {"container": "c"}, "container"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]},
         "messages[0].content[0]"),
        ("messages", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]}]}, "messages[1].content[0]"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_is_refused_by_name(dialect: str, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as caught:
        (from_chat if dialect == "chat" else from_messages)(**fields)
    assert caught.value.error.param == path


def test_r053_empty_texts_are_sent_nowhere() -> None:
    body, _, _ = from_chat(messages=[
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": "", "tool_calls": CALLS[:1]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    ])  # fmt: skip
    assert [item.get("type") or item["role"] for item in body["input"]] == [
        "user",
        "function_call",
        "function_call_output",
    ]
    assert body["input"][0]["content"] == "hi"
    assert body["input"][2]["output"] == ""


def test_long_call_ids_meet_again() -> None:
    long = "x" * 90
    body, _, _ = from_chat(messages=[
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{**CALLS[0], "id": long}]},
        {"role": "tool", "tool_call_id": long, "content": "one"},
    ])  # fmt: skip
    assert body["input"][1]["call_id"] == body["input"][2]["call_id"]
    assert len(body["input"][1]["call_id"]) <= 64


def test_documents() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    body, losses, _ = from_messages(messages=[{"role": "user", "content": [
        {"type": "document", "source": pdf, "title": "a.pdf"},
        {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "T"},
    ]}])  # fmt: skip
    assert body["input"][0]["content"] == [
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        {"type": "input_file", "file_url": "https://a/b.pdf"},
        {"type": "input_text", "text": "T\n\nwords"},
    ]
    assert losses == []


def test_cache_marks_go_where_they_are_known() -> None:
    marked = {
        "role": "user",
        "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    }
    assert from_messages("gpt-5.6", messages=[marked])[0]["input"][0]["content"] == [
        {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]
    body, losses, _ = from_messages("gpt-5.1", messages=[marked])
    assert (body["input"][0]["content"], losses) == ("x", [])


def test_prewarming() -> None:
    body, losses, _ = from_messages(max_tokens=0)
    assert body["prompt_cache_options"] == {"prewarm": True}
    assert losses == ["approximated max_tokens"]


@pytest.mark.parametrize("policy", ["refuse", "report", "allow"])
def test_policy_decides(policy: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 1}
    request = DIALECTS["chat"].read_request(body, {}, "/")
    if policy == "refuse":
        with pytest.raises(Problem, match="seed"):
            DIALECT.write_request(request, Target("p", "m", losses=policy))
    else:
        assert [loss.path for loss in DIALECT.write_request(request, Target("p", "m", losses=policy)).losses] == [
            "seed"
        ]


def test_r079_equal_requests_give_equal_bytes_and_keys_keep_their_order() -> None:
    schema = {"type": "object", "properties": {"zebra": {}, "apple": {}, "mango": {}}}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [
        {"type": "function", "function": {"name": "f", "parameters": schema}}]}  # fmt: skip
    first, second = (
        DIALECT.write_request(DIALECTS["chat"].read_request(body, {}, "/"), Target("p", "m")).body for _ in range(2)
    )
    assert first == second
    assert first.index(b"zebra") < first.index(b"apple") < first.index(b"mango")


def test_r083_an_envelope_goes_only_to_whoever_made_what_is_in_it() -> None:
    """In the same dialect: opened for its maker, left out with the ids of what followed for everybody else."""
    envelope = SEALER.seal(Sealed("openai_encrypted", "rs_9 ENC"), "openai", "m", "a1")
    body = {"model": "m", "input": [
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": envelope},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r"}]}  # fmt: skip
    request = DIALECT.read_request(body, {}, "/v1/responses")
    home = json.loads(DIALECT.write_request(request, Target("openai", "m", account="a1", sealer=SEALER)).body)
    assert home["input"][1] == {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "ENC"}
    away = DIALECT.write_request(request, Target("openai", "m", account="a2", sealer=SEALER))
    assert [item.get("type") for item in json.loads(away.body)["input"]] == [
        None,
        "function_call",
        "function_call_output",
    ]
    assert "id" not in json.loads(away.body)["input"][1]
    assert [loss.path for loss in away.losses] == ["input[1]"]


def test_a_token_count_asks_no_more_than_it_may() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stop": ["a"],
        "max_tokens": 5,
        "stream": True,
    }
    assert DIALECT.token_counter is not None
    asked = DIALECT.token_counter.write_question(DIALECTS["chat"].read_request(body, {}, "/"), Target("p", "gpt-5.4"))
    assert asked.path == "/responses/input_tokens"
    assert check(json.loads(asked.body), asked.path) == []
    assert asked.losses == []
    assert DIALECT.token_counter.read_count({"input_tokens": 7}) == 7
    assert json.loads(DIALECT.token_counter.write_count(7)) == {"object": "response.input_tokens", "input_tokens": 7}
    for broken in ({}, {"input_tokens": True}, {"input_tokens": -1}):
        with pytest.raises(Problem):
            DIALECT.token_counter.read_count(broken)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SAID = st.builds(Text, WORDS)
SHOWN = st.builds(
    lambda data: Image(Source(data=data, media_type="image/png"), detail="low"), st.sampled_from(["AAAA", "BBBB"])
)
ASKED = st.builds(
    lambda role, parts: [Turn(role, parts)],
    st.sampled_from(["system", "developer", "user"]),
    st.lists(SAID | SHOWN, min_size=1, max_size=3),
)
CALLED = st.builds(
    lambda said, arguments, outputs, custom: [
        Turn("assistant", [*said, *(Call("", "f", one, custom) for one in arguments[: len(outputs)])]),
        Turn("tool", [Result("", [Text(one)]) for one in outputs[: len(arguments)]]),
    ],
    st.lists(SAID, max_size=1), st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, min_size=1, max_size=3), st.booleans(),
)  # fmt: skip


@given(groups=st.lists(ASKED | CALLED, min_size=1, max_size=5))
def test_what_it_writes_for_others_it_reads_with_equal_meaning(groups: list[list[Turn]]) -> None:
    """A conversation of another dialect → this wire → the same roles, parts and order; accepted by a strict server."""
    turns = [turn for group in groups for turn in group]
    for number, call in enumerate(part for turn in turns for part in turn.parts if isinstance(part, Call)):
        call.id = f"call_{number}"
    for number, result in enumerate(part for turn in turns for part in turn.parts if isinstance(part, Result)):
        result.call_id = f"call_{number}"
    outgoing = DIALECT.write_request(Request("chat", "m", turns), Target("p", "gpt-5.4"))
    assert outgoing.losses == []
    body = json.loads(outgoing.body)
    assert check(body) == []
    assert _meaning(DIALECT.read_request(body, {}, "/").turns) == _meaning(turns)


def _meaning(turns: list[Turn]) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    for turn in turns:
        for part in turn.parts:
            match part:
                case Text():
                    told.append((turn.role, part.text))
                case Image():
                    told.append((turn.role, part.source))
                case Call():
                    told.append((part.id, (part.name, part.arguments, part.custom)))
                case Result():
                    told.append((part.call_id, [one.text for one in part.content if isinstance(one, Text)]))
    return told
