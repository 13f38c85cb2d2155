"""Requests of other dialects, written for chat servers: a strict one takes them, and every loss is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.strict import check

from ds2api.dialects.chat import DIALECT
from ds2api.dialects.contract import Outgoing, Target
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Kind, Problem
from ds2api.universal.parts import (
    Audio,
    CacheMark,
    Call,
    Citation,
    Extra,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Result,
    Sealed,
    Source,
    Text,
    Video,
)
from ds2api.universal.request import (
    AllowedTools,
    OutputFormat,
    ReasoningControl,
    Request,
    Sampling,
    State,
    Tool,
    ToolChoice,
    Turn,
)

SEALER = Sealer(b"s" * 32)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "string"}}}
F = Tool("f", "does f", SCHEMA)


def target(flavour: str = "openai", model: str = "gpt-4.1", **changes: Any) -> Target:
    return Target("openai", model, flavour, sealer=SEALER, **changes)


def request(*turns: Turn, dialect: str = "messages", **fields: Any) -> Request:
    return Request(dialect, "m", list(turns) or [user(Text("hi"))], **fields)


def user(*parts: Part, path: str = "messages[0]") -> Turn:
    return Turn("user", list(parts), path=path)


def assistant(*parts: Part, path: str = "messages[1]") -> Turn:
    return Turn("assistant", list(parts), path=path)


def write(asked: Request, place: Target | None = None) -> tuple[dict[str, Any], Outgoing]:
    place = place or target()
    outgoing = DIALECT.write_request(asked, place)
    body: dict[str, Any] = json.loads(outgoing.body)
    if place.flavour == "openai":
        assert check(body) == []
    return body, outgoing


def losses(outgoing: Outgoing) -> list[tuple[str, str]]:
    return [(loss.code, loss.path) for loss in outgoing.losses]


def refusal(asked: Request, place: Target | None = None) -> str:
    with pytest.raises(Problem) as raised:
        DIALECT.write_request(asked, place or target())
    error = raised.value.error
    assert error.kind is Kind.UNSUPPORTED
    assert error.param is not None
    return error.param


# --- the conversation ---


def test_model_and_stream_come_first_and_equal_requests_give_equal_bytes() -> None:
    """R080, R079: and a schema's keys keep their order."""
    schema = {"type": "object", "properties": {"zebra": {}, "apple": {}, "mango": {}}}
    first = DIALECT.write_request(request(tools=[Tool("f", None, schema)], stream=True), target()).body
    assert first.startswith(b'{"model":"gpt-4.1","stream":true,')
    assert b'{"zebra":{},"apple":{},"mango":{}}' in first
    assert first == DIALECT.write_request(request(tools=[Tool("f", None, schema)], stream=True), target()).body


def test_writing_leaves_the_request_as_it_is() -> None:
    """The same request is written again for the next account or target."""
    result = Result("t1", [Text("a"), Image(Source(data="AA", media_type="image/png"))], path="messages[2].content[0]")
    asked = request(
        user(Text("q")), assistant(Call("t1", "f", "{}")), user(result, Text("b"), path="messages[2]"), tools=[F]
    )
    once = DIALECT.write_request(asked, target()).body
    assert DIALECT.write_request(asked, target()).body == once


def test_system_blocks_are_one_message_and_stay_apart() -> None:
    turns = (Turn("system", [Text("a", cache=CacheMark("5m")), Text("b")], path="system"), user(Text("q")))
    body, _ = write(request(*turns))
    assert body["messages"][0] == {
        "role": "system",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }
    body, _ = write(request(*turns), target(model="o3-2025-04-16"))
    assert body["messages"][0]["role"] == "developer"


def test_picture_in_a_result_follows_in_a_user_message() -> None:
    """R047: behind all tool messages of that turn, with a warning."""
    image = Image(Source(data="AAAA", media_type="image/png"), path="messages[2].content[0].content[1]")
    turns = (
        user(Text("q")), assistant(Call("t1", "f", "{}"), Call("t2", "f", "{}")),
        user(Result("t1", [Text("shot"), image], path="messages[2].content[0]"), Result("t2", [Text("b")]), Text("and?"), path="messages[2]"),
    )  # fmt: skip
    body, outgoing = write(request(*turns, tools=[F]))
    assert body["messages"][2:] == [
        {"role": "tool", "tool_call_id": "t1", "content": "shot\n(image follows)"},
        {"role": "tool", "tool_call_id": "t2", "content": "b"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "text", "text": "and?"}
        ]},
    ]  # fmt: skip
    assert losses(outgoing) == [("approximated", "messages[2].content[0].content[1]")]


def test_results_stand_behind_their_calls_in_the_order_of_the_calls() -> None:
    """R074, R058, R055: one turn or many, in any order, with a note between."""
    turns = (
        user(Text("q")), assistant(Call("c1", "f", "{}"), Call("c2", "f", "{}"), Call("c3", "f", "{}")),
        Turn("system", [Text("note")], path="messages[2]"),
        Turn("tool", [Result("c3", [Text("3")])]), Turn("tool", [Result("c1", [Text("1")])]), Turn("tool", [Result("c2", [Text("2")])]),
        user(Text("go on")),
    )  # fmt: skip
    body, outgoing = write(request(*turns, tools=[F], dialect="responses"))
    told = [(message["role"], message.get("tool_call_id")) for message in body["messages"]]
    assert told == [
        ("user", None),
        ("assistant", None),
        ("tool", "c1"),
        ("tool", "c2"),
        ("tool", "c3"),
        ("system", None),
        ("user", None),
    ]
    assert losses(outgoing) == []


def test_call_without_a_result_is_refused_by_its_path() -> None:
    turns = (user(Text("q")), assistant(Call("c1", "f", "{}")), user(Text("so?")))
    assert refusal(request(*turns, tools=[F])) == "messages[1]"
    body, outgoing = write(request(*turns, tools=[F]), target(losses="allow"))
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "ERROR: no result"}
    assert losses(outgoing) == [("approximated", "messages[1]")]


def test_result_without_a_call_is_refused_by_its_path() -> None:
    assert (
        refusal(request(user(Result("nope", [Text("x")], path="messages[0].content[0]")))) == "messages[0].content[0]"
    )


def test_failed_result_says_so_in_words() -> None:
    turns = (
        user(Text("q")),
        assistant(Call("t1", "f", "{}")),
        user(Result("t1", [Text("boom")], is_error=True, path="messages[2].content[0]")),
    )
    body, outgoing = write(request(*turns, tools=[F]))
    assert body["messages"][2]["content"] == "ERROR: boom"
    assert losses(outgoing) == [("approximated", "messages[2].content[0].is_error")]


def test_no_empty_text_is_sent() -> None:
    """R053; a result may be empty."""
    turns = (
        Turn("system", [Text("")], path="system"), user(Text("hi"), Text("")), assistant(Text(""), Call("t1", "f", "")),
        user(Result("t1", [])), assistant(Text("")), user(Text("x")),
    )  # fmt: skip
    body, _ = write(request(*turns, tools=[F]))
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "t1", "content": ""},
        {"role": "user", "content": "x"},
    ]  # fmt: skip


def test_trailing_assistant_is_a_prefill_only_where_it_can_be_one() -> None:
    turns = (user(Text("q")), assistant(Text("The answer is")))
    assert refusal(request(*turns)) == "messages[1]"
    body, outgoing = write(request(*turns), target("mistral", "mistral-large"))
    assert body["messages"][-1] == {"role": "assistant", "content": "The answer is", "prefix": True}
    assert losses(outgoing) == []
    body, outgoing = write(request(*turns), target("vllm", "qwen3"))
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
    assert losses(outgoing) == []
    assert "continue_final_message" not in write(request(turns[0]), target("vllm", "qwen3"))[0]


def test_empty_assistant_stands_between_tool_and_user_for_mistral_models() -> None:
    """R076: whoever hosts them."""
    turns = (
        user(Text("q")),
        assistant(Call("call_abc_1", "f", "{}")),
        user(Result("call_abc_1", [Text("r")]), Text("so?"), path="messages[2]"),
    )
    for place in (
        target("mistral", "mistral-large"),
        target("vllm", "mistralai/Mistral-Large-3"),
        target("", "x", capabilities={"strict_order": True}),
    ):
        body, outgoing = write(request(*turns, tools=[F]), place)
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "assistant", "user"]
        assert ("approximated", "messages[2]") in losses(outgoing)
    chat = request(
        user(Text("q")),
        assistant(Call("abcdefghi", "f", "{}")),
        Turn("tool", [Result("abcdefghi", [Text("r")])]),
        user(Text("x")),
        dialect="chat",
        tools=[F],
    )
    assert [message["role"] for message in write(chat, target("vllm", "mixtral-8x22b"))[0]["messages"]][
        3
    ] == "assistant"


def test_mistrals_ids_have_nine_letters() -> None:
    """R077: the same for call and result, different for different ones; legal ones pass."""
    ids = ["call_PTLP8xhu3uwZk4l3", "call_PTLP8yyyyyyyyyyy", "abcDEF123"]
    calls = [Call(identity, "f", "{}") for identity in ids]
    results = [Result(identity, [Text("r")]) for identity in ids]
    body, _ = write(
        request(user(Text("q")), assistant(*calls), user(*results), tools=[F]), target("mistral", "mistral-large")
    )
    sent = [call["id"] for call in body["messages"][1]["tool_calls"]]
    assert all(len(identity) == 9 and identity.isalnum() for identity in sent)
    assert len(set(sent)) == 3
    assert sent[2] == "abcDEF123"
    assert [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"] == sent


def test_a_server_that_refuses_what_it_does_not_know_gets_nothing_of_the_kind() -> None:
    """Mistral answers 422 to any field that is not its own: what other chat servers have is left out and reported."""
    body = {
        "model": "m", "messages": [{"role": "user", "content": "q"}], "provider": {"order": ["x"]}, "logprobs": True,
        "reasoning_format": "parsed", "service_tier": "flex", "store": False, "top_k": 5, "metadata": {"a": "b"},
    }  # fmt: skip
    place = target("mistral", "mistral-large")
    assert not DIALECT.fits(body, place)
    assert DIALECT.fits({"model": "m", "messages": body["messages"], "top_k": 5, "provider": None}, place)
    written, outgoing = write(DIALECT.read_request(body, {}, ""), place)
    assert sorted(path for _, path in losses(outgoing)) == ["provider", "reasoning_format", "service_tier"]
    assert written.keys() == {"model", "messages", "stream", "logprobs", "top_k", "metadata"}
    with pytest.raises(Problem) as caught:
        write(DIALECT.read_request({**body, "store": True}, {}, ""), place)
    assert caught.value.error.param == "store"


def test_part_of_another_protocol_alone_is_refused_by_name() -> None:
    opaque = Opaque("messages", "server_tool_use", {}, "messages[0].content[1]")
    assert refusal(request(user(Text("q"), opaque))) == "messages[0].content[1]"
    _, outgoing = write(request(user(Text("q"), opaque)), target(losses="allow"))
    assert losses(outgoing) == [("dropped", "messages[0].content[1]")]


@pytest.mark.parametrize(
    "part",
    [
        Video(Source(url="https://a.example/x.mp4"), path="p"), Image(Source(file_id="file_1"), path="p"),
        Audio(Source(url="https://a.example/x.mp3"), path="p"), Audio(Source(data="AA", media_type="audio/flac"), path="p"),
        File(Source(file_id="file_1"), path="p"), File(Source(url="https://a.example/x.pdf"), path="p"),
    ],
)  # fmt: skip
def test_input_that_chat_cannot_take_is_refused_never_dropped(part: Part) -> None:
    assert refusal(request(user(Text("q"), part))) == "p"


def test_documents_are_files_or_text() -> None:
    body, _ = write(request(user(
        File(Source(data="JVBE", media_type="application/pdf"), name="a.pdf"), File(Source(data="JVBE", media_type="application/pdf")),
        File(Source(), text="plain words", name="Title"),
    )))  # fmt: skip
    assert body["messages"][0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "document.pdf"}},
        {"type": "text", "text": "Title\n\nplain words"},
    ]


def test_image_without_a_type_gets_the_one_that_it_is() -> None:
    body, _ = write(request(user(Image(Source(data="iVBORw0")), Image(Source(data="/9j/4AA"))), dialect="ollama"))
    urls = [part["image_url"]["url"] for part in body["messages"][0]["content"]]
    assert urls == ["data:image/png;base64,iVBORw0", "data:image/jpeg;base64,/9j/4AA"]


def test_citations_and_contexts_are_said_to_be_lost() -> None:
    cited = Text("x", [Citation("document", title="d")], path="messages[1].content[0]")
    document = File(
        Source(data="AA", media_type="application/pdf"), context="c", citations=True, path="messages[0].content[0]"
    )
    _, outgoing = write(request(user(document), assistant(cited), user(Text("q"))))
    assert losses(outgoing) == [
        ("dropped", "messages[0].content[0].citations"), ("dropped", "messages[0].content[0].context"), ("dropped", "messages[1].content[0].citations")
    ]  # fmt: skip


# --- tools ---


def test_without_tools_nothing_about_tools_is_sent() -> None:
    """R064."""
    body, outgoing = write(request(tool_choice=ToolChoice("auto"), parallel_calls=True))
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}
    assert losses(outgoing) == []
    chat = write(request(dialect="chat", tools=[], tool_choice=ToolChoice("none"), parallel_calls=True))[0]
    assert not chat.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_long_names_of_tools_stay_apart_and_come_back() -> None:
    """R052."""
    names = [f"{'a' * 32}{letter * 16}{'z' * 32}" for letter in "xy"]
    tools = [Tool(name, None, SCHEMA) for name in names]
    turns = (user(Text("q")), assistant(Call("c", names[0], "{}")), user(Result("c", [Text("r")])))
    body, outgoing = write(request(*turns, tools=tools, tool_choice=ToolChoice("named", names[1])))
    short = [tool["function"]["name"] for tool in body["tools"]]
    assert len(set(short)) == 2
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == short[0]
    assert body["tool_choice"]["function"]["name"] == short[1]
    assert outgoing.restore.tool_names == dict(zip(short, names, strict=True))


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"), (ToolChoice("none"), "none"), (ToolChoice("required"), "required"),
        (ToolChoice("named", "f"), {"type": "function", "function": {"name": "f"}}),
        (
            ToolChoice("allowed", allowed=AllowedTools(("f",), required=True)),
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
        ),
    ],
)  # fmt: skip
def test_choice_is_carried(choice: ToolChoice, written: Any) -> None:
    body, outgoing = write(request(tools=[F, Tool("g", None, SCHEMA)], tool_choice=choice, parallel_calls=False))
    assert body["tool_choice"] == written
    assert body["parallel_tool_calls"] is False
    assert losses(outgoing) == []


def test_allowed_tools_become_a_shorter_list_where_the_server_has_none() -> None:
    choice = ToolChoice("allowed", allowed=AllowedTools(("f",), required=True))
    body, outgoing = write(request(tools=[F, Tool("g", None, SCHEMA)], tool_choice=choice), target("groq", "x"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == "required"
    assert losses(outgoing) == [("approximated", "tool_choice")]


def test_mistral_says_any() -> None:
    assert (
        write(request(tools=[F], tool_choice=ToolChoice("required")), target("mistral", "x"))[0]["tool_choice"] == "any"
    )


def test_server_without_a_choice_refuses_what_it_cannot_be_told() -> None:
    assert refusal(request(tools=[F], tool_choice=ToolChoice("required")), target("ollama", "x")) == "tool_choice"
    body, _ = write(request(tools=[F], tool_choice=ToolChoice("none")), target("ollama", "x"))
    assert "tools" not in body
    _, outgoing = write(
        request(tools=[F], parallel_calls=False, paths={"parallel_calls": "tool_choice.disable_parallel_tool_use"}),
        target("ollama", "x"),
    )
    assert losses(outgoing) == [("dropped", "tool_choice.disable_parallel_tool_use")]


def test_custom_tool_is_a_function_where_the_server_has_none() -> None:
    """R062."""
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/s"}}
    patch = Tool("apply_patch", "Patches.", custom=True, kind="custom", format=grammar, path="tools[0]")
    turns = (
        user(Text("q")),
        assistant(Call("c", "apply_patch", "*** Begin\n", custom=True)),
        user(Result("c", [Text("ok")])),
    )
    body, outgoing = write(
        request(*turns, tools=[patch], tool_choice=ToolChoice("named", "apply_patch"), dialect="responses"),
        target("", "x"),
    )
    function = body["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert "start: /.+/s" in function["description"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}
    assert json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** Begin\n"}
    assert outgoing.restore.custom_tools == {"apply_patch"}
    assert losses(outgoing) == [("approximated", "tools[0].format")]
    body, outgoing = write(request(*turns, tools=[patch], dialect="responses"))
    assert body["tools"][0] == {
        "type": "custom",
        "custom": {"name": "apply_patch", "description": "Patches.", "format": grammar},
    }
    assert body["messages"][1]["tool_calls"][0]["custom"] == {"name": "apply_patch", "input": "*** Begin\n"}
    assert losses(outgoing) == []


def test_hosted_tool_is_left_out_if_it_is_only_offered() -> None:
    """R086."""
    hosted = Tool("web_search", hosted=True, kind="web_search_20250305", path="tools[1]")
    body, outgoing = write(request(tools=[F, hosted], tool_choice=ToolChoice("auto")))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert losses(outgoing) == [("dropped", "tools[1]")]
    assert refusal(request(tools=[F, hosted], tool_choice=ToolChoice("named", "web_search"))) == "tool_choice"
    assert refusal(request(tools=[hosted], tool_choice=ToolChoice("required"))) == "tool_choice"


def test_strict_tools_need_a_server_that_is_strict() -> None:
    strict = Tool("f", None, SCHEMA, strict=True, path="tools[0]")
    assert write(request(tools=[strict]))[0]["tools"][0]["function"]["strict"] is True
    assert refusal(request(tools=[strict]), target("deepseek", "deepseek-chat")) == "tools[0].strict"


def test_tools_own_fields_of_another_protocol_are_losses() -> None:
    extra = Extra("messages", {"defer_loading": True, "eager_input_streaming": True})
    _, outgoing = write(request(tools=[Tool("f", None, SCHEMA, path="tools[0]", extra=extra)]))
    assert losses(outgoing) == [("dropped", "tools[0].defer_loading")]


# --- reasoning ---


def sealed_thought(
    provider: str = "openai", model: str = "gpt-4.1", account: str = "", kind: Any = "openrouter"
) -> Reasoning:
    data = '{"type":"reasoning.text","signature":"SIG","index":0}'
    envelope = SEALER.seal(Sealed(kind, data), provider, model, account)
    return Reasoning("hm", Sealed("anthropic_signature", envelope), path="messages[1].content[0]")


def test_proof_goes_back_to_who_made_it_in_the_shape_it_came_in() -> None:
    place = Target("openai", "x", "openrouter", sealer=SEALER)
    turns = (user(Text("q")), assistant(sealed_thought(model="x"), Text("a")), user(Text("b")))
    body, outgoing = write(request(*turns), place)
    assert body["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "signature": "SIG", "index": 0, "text": "hm"}
    ]
    assert losses(outgoing) == []


@pytest.mark.parametrize(
    "thought",
    [
        sealed_thought(provider="other"), sealed_thought(model="other"), sealed_thought(account="other"),
        sealed_thought(kind="anthropic_signature"),
        Reasoning("hm", Sealed("anthropic_signature", "ds2.1.broken"), path="messages[1].content[0]"),
        Reasoning("hm", Sealed("anthropic_signature", "raw"), path="messages[1].content[0]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("flavour", ["openrouter", "vllm", "", "openai", "mistral"])
def test_foreign_proof_is_dropped_whole_with_a_loss(thought: Reasoning, flavour: str) -> None:
    """`mapping.md` §4: and no wrapped signature ever leaves."""
    turns = (user(Text("q")), assistant(thought, Text("a")), user(Text("b")))
    place = Target("openai", "gpt-4.1", flavour, account="mine", sealer=SEALER)
    outgoing = DIALECT.write_request(request(*turns), place)
    assert losses(outgoing) == [("dropped", "messages[1].content[0]")]
    assert b"hm" not in outgoing.body
    assert b"ds2.1" not in outgoing.body


def test_a_proof_in_a_thinking_chunk_goes_back_to_mistral_as_mistral_gave_it() -> None:
    """From a chat client that keeps the chunk, with the proof in our envelope."""
    carrier = '{"type":"thinking","signature":"SIG"}'
    place = target("mistral", "mistral-large")
    for model, expected in (("mistral-large", "SIG"), ("another", None)):
        envelope = SEALER.seal(Sealed("openrouter", carrier), "openai", model, "")
        chunk = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": envelope}
        content = [chunk, {"type": "text", "text": "a"}]
        messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": content},
                    {"role": "user", "content": "b"}]  # fmt: skip
        outgoing = DIALECT.write_request(DIALECT.read_request({"model": "m", "messages": messages}, {}, ""), place)
        sent = json.loads(outgoing.body)["messages"][1]["content"]
        if expected is None:
            assert sent == "a" or [one["type"] for one in sent] == ["text"]
            assert losses(outgoing) == [("dropped", "messages[1].content[0]")]
        else:
            assert sent[0] == {**chunk, "signature": expected}
            assert losses(outgoing) == []


@pytest.mark.parametrize("field", ["signature", "data"])
def test_wrapped_proof_in_a_chat_clients_history_never_reaches_a_chat_server(field: str) -> None:
    envelope = SEALER.seal(Sealed("anthropic_signature", "S"), "anthropic", "claude", "a")
    details = [{"type": "reasoning.text", field: envelope, "text": "hm"}]
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_details": details}]
    asked = DIALECT.read_request({"model": "m", "messages": messages}, {}, "")
    for flavour in ("", "openai", "openrouter"):
        outgoing = DIALECT.write_request(asked, target(flavour))
        assert b"ds2.1" not in outgoing.body
        assert losses(outgoing) == [("dropped", "messages[1].reasoning_details[0]")]


@pytest.mark.parametrize(
    ("flavour", "written"),
    [
        ("deepseek", {"reasoning_content": "hm"}), ("vllm", {"reasoning": "hm"}), ("groq", {"reasoning": "hm"}),
        ("openrouter", {"reasoning": "hm"}),
    ],
)  # fmt: skip
def test_plain_thoughts_go_into_the_servers_own_field(flavour: str, written: dict[str, str]) -> None:
    body, outgoing = write(
        request(user(Text("q")), assistant(Reasoning("hm"), Text("a")), user(Text("b"))), target(flavour, "x")
    )
    message = body["messages"][1]
    assert {name: message[name] for name in written} == written
    assert losses(outgoing) == []


def test_openai_takes_no_thoughts_and_it_is_said() -> None:
    thought = Reasoning("hm", path="messages[1].content[0]")
    body, outgoing = write(request(user(Text("q")), assistant(thought, Text("a")), user(Text("b"))))
    assert body["messages"][1] == {"role": "assistant", "content": "a"}
    assert losses(outgoing) == [("dropped", "messages[1].content[0]")]


def test_deepseek_finds_the_field_on_every_turn_with_calls() -> None:
    """R067: in translated requests and in those of a chat client that dropped it."""
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]  # fmt: skip
    place = target("deepseek", "deepseek-chat")
    chat = DIALECT.read_request({"model": "m", "messages": messages}, {}, "")
    other = request(user(Text("q")), assistant(Call("c", "f", "{}")), user(Result("c", [Text("r")])), tools=[F])
    for asked in (chat, other):
        assert write(asked, place)[0]["messages"][1]["reasoning_content"] == ""


@pytest.mark.parametrize(
    ("flavour", "model", "control", "written", "lost"),
    [
        ("openai", "gpt-5", ReasoningControl("high"), {"reasoning_effort": "high"}, []),
        ("openai", "gpt-5-mini-2025-08-07", ReasoningControl("max"), {"reasoning_effort": "high"}, ["clamped"]),
        ("openai", "openai/gpt-5", ReasoningControl(mode="disabled"), {"reasoning_effort": "minimal"}, ["clamped"]),
        ("openai", "gpt-5.1", ReasoningControl(mode="disabled"), {"reasoning_effort": "none"}, []),
        ("openai", "gpt-5.2", ReasoningControl("xhigh"), {"reasoning_effort": "xhigh"}, []),
        ("openai", "o3", ReasoningControl("minimal"), {"reasoning_effort": "low"}, ["clamped"]),
        ("openai", "gpt-5", ReasoningControl(budget_tokens=1024), {"reasoning_effort": "low"}, []),
        ("openai", "gpt-5", ReasoningControl(mode="adaptive"), {}, []),
        ("openai", "gpt-4.1", ReasoningControl("high"), {}, ["dropped"]),
        ("openai", "gpt-4.1", ReasoningControl(mode="disabled"), {}, []),
        ("vllm", "x", ReasoningControl("xhigh"), {"reasoning_effort": "high"}, ["clamped"]),
        ("vllm", "x", ReasoningControl(mode="disabled"), {}, ["dropped"]),
        ("openrouter", "x", ReasoningControl("high"), {"reasoning": {"effort": "high"}}, []),
        ("openrouter", "x", ReasoningControl(budget_tokens=2000, show="none"), {"reasoning": {"max_tokens": 2000, "exclude": True}}, []),
        ("openrouter", "x", ReasoningControl(mode="disabled"), {"reasoning": {"enabled": False}}, []),
        ("deepseek", "x", ReasoningControl("none"), {"thinking": {"type": "disabled"}}, []),
        ("deepseek", "x", ReasoningControl("minimal"), {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, []),
        ("deepseek", "x", ReasoningControl("medium"), {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, []),
        ("deepseek", "x", ReasoningControl("xhigh"), {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, ["clamped"]),
        ("deepseek", "x", ReasoningControl("max"), {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, []),
    ],
)  # fmt: skip
def test_effort_is_said_in_the_servers_words(
    flavour: str, model: str, control: ReasoningControl, written: dict[str, Any], lost: list[str]
) -> None:
    control.path = "thinking"
    body, outgoing = write(request(reasoning=control, max_output_tokens=6000), target(flavour, model))
    names = ("reasoning_effort", "reasoning", "thinking")
    assert {name: body[name] for name in names if name in body} == written
    assert losses(outgoing) == [(code, "thinking") for code in lost]


# --- limits, format, hints ---


@pytest.mark.parametrize(
    ("flavour", "model", "field"),
    [
        ("openai", "gpt-4.1", "max_completion_tokens"), ("azure", "my-deployment", "max_completion_tokens"), ("", "llama-3", "max_tokens"),
        ("", "openai/o3-mini-2025-01-31", "max_completion_tokens"), ("", "gpt-5", "max_completion_tokens"),
        ("deepseek", "x", "max_tokens"), ("mistral", "x", "max_tokens"), ("ollama", "x", "max_tokens"),
    ],
)  # fmt: skip
def test_one_limit_is_sent_under_the_name_that_the_server_knows(flavour: str, model: str, field: str) -> None:
    """R070."""
    asked = request(max_output_tokens=2000, paths={"max_output_tokens": "max_tokens"})
    body, _ = write(asked, target(flavour, model))
    assert {name: body[name] for name in body if name.startswith("max_")} == {field: 2000}


def test_cache_warming_without_an_answer_is_refused() -> None:
    assert refusal(request(max_output_tokens=0, paths={"max_output_tokens": "max_tokens"})) == "max_tokens"


def test_sampling_is_dropped_where_the_model_has_none() -> None:
    sampling = Sampling(temperature=0.2, top_p=0.9, top_k=5)
    _, outgoing = write(request(sampling=sampling, max_output_tokens=9), target(model="gpt-5"))
    assert losses(outgoing) == [("dropped", "temperature"), ("dropped", "top_p"), ("dropped", "top_k")]
    _, outgoing = write(request(sampling=Sampling(temperature=1.0)), target(model="gpt-5"))
    assert losses(outgoing) == []
    body, outgoing = write(request(sampling=sampling), target("vllm", "x"))
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.2, 0.9, 5)
    assert losses(outgoing) == []


def test_more_stop_words_than_the_server_takes_are_watched_for_by_the_gateway() -> None:
    asked = request(stop=list("abcde"), paths={"stop": "stop_sequences"})
    body, outgoing = write(asked)
    assert "stop" not in body
    assert outgoing.restore.stop == list("abcde")
    assert losses(outgoing) == [("emulated", "stop_sequences")]
    assert write(request(stop=["a"]))[0]["stop"] == ["a"]
    assert write(request(stop=["a"]), target(model="o4-mini"))[1].restore.stop == ["a"]


def test_output_formats_are_carried_or_refused() -> None:
    schema = OutputFormat("schema", SCHEMA, path="output_config.format")
    body, _ = write(request(output=schema))
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}
    assert write(request(output=OutputFormat("json")))[0]["response_format"] == {"type": "json_object"}
    assert refusal(request(output=schema), target("deepseek", "x")) == "output_config.format"


def test_user_goes_into_the_servers_field() -> None:
    paths = {"user": "metadata.user_id"}
    assert write(request(user="u", paths=paths))[0]["safety_identifier"] == "u"
    assert write(request(user="u", paths=paths), target("", "x"))[0]["user"] == "u"
    assert losses(write(request(user="u", paths=paths), target("mistral", "x"))[1]) == [("dropped", "metadata.user_id")]
    body, outgoing = write(request(user="u" * 200, paths=paths))
    assert len(body["safety_identifier"]) == 64
    assert losses(outgoing) == [("approximated", "metadata.user_id")]


def test_hints_go_only_where_they_are_understood() -> None:
    """R068. The protocol has them, so a server without a row gets them, too."""
    hints: dict[str, Any] = {"metadata": {"k": "v"}, "verbosity": "low", "cache_key": "k", "service_tier": "flex"}
    sent = {"metadata": {"k": "v"}, "verbosity": "low", "prompt_cache_key": "k", "service_tier": "flex"}
    for flavour in ("openai", ""):
        body, outgoing = write(request(**hints), target(flavour, "x"))
        assert {name: body[name] for name in sent} == sent
        assert losses(outgoing) == []
    _, outgoing = write(request(**hints), target("vllm", "x"))
    assert losses(outgoing) == [("dropped", name) for name in ("verbosity", "metadata", "cache_key", "service_tier")]


@pytest.mark.parametrize(("tier", "written"), [("auto", None), ("standard_only", "default"), ("priority", "priority")])
def test_service_tier_is_translated(tier: str, written: str | None) -> None:
    assert write(request(service_tier=tier))[0].get("service_tier") == written


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "background", "thread"])
def test_what_needs_a_memory_is_refused(name: str) -> None:
    """R085."""
    assert refusal(request(state=State(**{name: "x"}))) == name


def test_default_of_storing_is_no_loss() -> None:
    body, outgoing = write(request(state=State(store=True), dialect="responses"))
    assert "store" not in body
    assert losses(outgoing) == []


def test_unknown_fields_of_another_protocol_are_losses_by_their_weight() -> None:
    extra = Extra("messages", {"container": "c", "speed": "fast"}, grave=frozenset({"container"}))
    assert refusal(request(extra=extra)) == "container"
    _, outgoing = write(request(extra=Extra("messages", {"speed": "fast"})))
    assert losses(outgoing) == [("dropped", "speed")]


def test_refusing_target_refuses_every_loss() -> None:
    asked = request(sampling=Sampling(top_k=3))
    assert refusal(asked, target(losses="refuse")) == "top_k"


def test_cache_marks_cost_nothing_but_money() -> None:
    marked = request(user(Text("a", cache=CacheMark("5m", "messages[0].content[0].cache_control"))))
    body, outgoing = write(marked)
    assert body["messages"][0]["content"] == "a"
    assert losses(outgoing) == []
    body, _ = write(marked, target(model="gpt-5.6"))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]
    body, _ = write(marked, target("openrouter", "x"))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    ]


def test_usage_of_streams_is_always_asked_for_where_it_can_be() -> None:
    assert write(request(stream=True))[0]["stream_options"] == {"include_usage": True}
    assert "stream_options" not in write(request(stream=True), target("mistral", "x"))[0]
    assert "stream_options" not in write(request())[0]


# --- chat clients at servers with an accent ---


def chat(**fields: Any) -> Request:
    return DIALECT.read_request({"model": "m", "messages": [{"role": "user", "content": "q"}], **fields}, {}, "")


def test_server_gets_nothing_that_it_is_known_to_refuse() -> None:
    _, outgoing = write(chat(logit_bias={"1": 2}, verbosity="low", n=1, user="u"), target("mistral", "x"))
    assert losses(outgoing) == [("dropped", "logit_bias"), ("dropped", "user"), ("dropped", "verbosity")]
    assert refusal(chat(n=2), target("groq", "x")) == "n"
    assert refusal(chat(logprobs=True), target("groq", "x")) == "logprobs"


def test_mistral_gets_its_own_name_for_the_seed() -> None:
    body, _ = write(chat(seed=3), target("mistral", "x"))
    assert (body.get("seed"), body["random_seed"]) == (None, 3)


def test_developer_is_the_system_where_there_are_no_developers() -> None:
    asked = DIALECT.read_request(
        {"model": "m", "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": "q"}]}, {}, ""
    )
    assert write(asked, target("deepseek", "x"))[0]["messages"][0]["role"] == "system"
    assert write(asked)[0]["messages"][0]["role"] == "developer"
    assert write(asked, target("", "x"))[0]["messages"][0]["role"] == "developer"


def test_names_of_participants_go_where_they_are_known() -> None:
    asked = DIALECT.read_request({"model": "m", "messages": [{"role": "user", "content": "q", "name": "bob"}]}, {}, "")
    assert write(asked)[0]["messages"][0]["name"] == "bob"
    body, outgoing = write(asked, target("groq", "x"))
    assert "name" not in body["messages"][0]
    assert losses(outgoing) == [("dropped", "messages[0].name")]


# --- properties ---

_TEXTS = st.text(min_size=1, max_size=8)
_USER_PARTS = st.one_of(
    st.builds(Text, _TEXTS),
    st.builds(lambda data: Image(Source(data=data, media_type="image/png")), st.sampled_from(["AAAA", "BBBB"])),
    st.builds(lambda name: Image(Source(url=f"https://a.example/{name}")), st.sampled_from("abc")),
    st.builds(lambda name: File(Source(data="JVBE", media_type="application/pdf"), name=name), _TEXTS),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Rounds of a user, an assistant that may call tools, and their results in one user turn or in tool turns."""
    turns: list[Turn] = [Turn("system", [Text(draw(_TEXTS))])] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        turns.append(Turn("user", draw(st.lists(_USER_PARTS, min_size=1, max_size=3))))
        parts: list[Part] = [Text(draw(_TEXTS))]
        if draw(st.booleans()):
            parts.append(Refusal(draw(_TEXTS)))
        ids = [f"call_{number}_{index}" for index in range(draw(st.integers(0, 3)))]
        parts += [Call(identity, "f", '{"x":1}') for identity in ids]
        turns.append(Turn("assistant", parts))
        results: list[Part] = [Result(identity, [Text(draw(_TEXTS))]) for identity in draw(st.permutations(ids))]
        if draw(st.booleans()):
            turns += [Turn("tool", [result]) for result in results]
        elif results:
            turns.append(Turn("user", results))
    turns.append(Turn("user", [Text(draw(_TEXTS))]))
    return turns


@given(conversations(), st.booleans(), st.sampled_from(["messages", "responses"]))
def test_any_conversation_is_taken_by_a_strict_server(turns: list[Turn], stream: bool, dialect: str) -> None:
    body, outgoing = write(request(*turns, tools=[F], stream=stream, dialect=dialect))
    assert losses(outgoing) == []
    said = [part.text for turn in turns for part in turn.parts if isinstance(part, Text)]
    written = json.dumps(body["messages"], ensure_ascii=False)
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in written for text in said)


@given(conversations(), st.booleans(), st.one_of(st.none(), st.integers(1, 9)), st.lists(_TEXTS, max_size=4))
def test_what_is_written_reads_back_as_the_same_request(
    turns: list[Turn], stream: bool, limit: int | None, stop: list[str]
) -> None:
    """For what chat can express: same text, media, calls, results and controls."""
    asked = request(
        *turns, tools=[F], stream=stream, max_output_tokens=limit, stop=stop, sampling=Sampling(temperature=0.5)
    )
    again = DIALECT.read_request(write(asked)[0], {}, "")
    assert (again.stream, again.max_output_tokens, again.stop, again.sampling) == (stream, limit, stop, asked.sampling)
    assert [(tool.name, tool.description, tool.parameters) for tool in again.tools] == [("f", "does f", SCHEMA)]

    def told(one: Request) -> list[Any]:
        seen: list[Any] = []
        for turn in one.turns:
            for part in turn.parts:
                match part:
                    case Text() | Refusal():
                        seen.append((turn.role, part.text))
                    case Image() | File():
                        seen.append((turn.role, part.source))
                    case Call():
                        seen.append((part.id, part.name, part.arguments))
                    case Result():
                        seen.append((part.call_id, [inner.text for inner in part.content if isinstance(inner, Text)]))
        return sorted(seen, key=repr)

    assert told(again) == told(asked)
