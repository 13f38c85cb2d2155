"""Requests of another dialect for Anthropic: what is sent is what Anthropic takes, and every loss is said.

The requests are universal ones, as a chat client's reader makes them; `sent` checks every body with the strict
validator.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dialects.messages.strict import check

from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.messages import DIALECT
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

OLD, NEW, BUDGET = "claude-3-opus-20240229", "claude-opus-4-8", "claude-sonnet-4-5"
PNG = "iVBORw0KGgoAAAA"
SEALER = Sealer(b"s" * 32)


def user(*parts: Part | str, path: str = "messages[0]") -> Turn:
    return Turn("user", [Text(one, path=path) if isinstance(one, str) else one for one in parts], path=path)


def turn(role: Any, *parts: Part | str, path: str = "messages[1]") -> Turn:
    return Turn(role, [Text(one, path=path) if isinstance(one, str) else one for one in parts], path=path)


def result(id_: str, *parts: Part | str, **changes: Any) -> Turn:
    content: list[Part] = [Text(one) if isinstance(one, str) else one for one in parts]
    return Turn("tool", [Result(id_, content, path=f"tool:{id_}", **changes)], path=f"tool:{id_}")


def call(id_: str, name: str = "f", arguments: str = "{}", **changes: Any) -> Call:
    return Call(id_, name, arguments, path=f"call:{id_}", **changes)


def request(*turns: Turn, **changes: Any) -> Request:
    return Request("chat", "alias", list(turns) or [user("hi")], **changes)


def written(given_: Request, model: str = NEW, **target: Any) -> tuple[dict[str, Any], Outgoing]:
    outgoing = DIALECT.write_request(given_, Target("p", model, **target))
    body = json.loads(outgoing.body)
    assert check(body, version=target.get("anthropic_version", "2023-06-01")) == []
    return body, outgoing


def sent(given_: Request, model: str = NEW, **target: Any) -> dict[str, Any]:
    return written(given_, model, **target)[0]


def lost(outgoing: Outgoing) -> list[tuple[str, str]]:
    return [(loss.code, loss.path) for loss in outgoing.losses]


def refused(given_: Request, model: str = NEW, **target: Any) -> str:
    with pytest.raises(Problem) as raised:
        DIALECT.write_request(given_, Target("p", model, **target))
    assert raised.value.error.kind is Kind.UNSUPPORTED
    assert raised.value.error.param is not None
    return raised.value.error.param


# --- the frame ---


def test_model_and_stream_come_first_and_equal_requests_give_equal_bytes() -> None:  # R079, R080
    schema = {"type": "object", "properties": {"zebra": {}, "apple": {}, "mango": {}}}
    first = DIALECT.write_request(request(tools=[Tool("f", parameters=schema)]), Target("p", NEW))
    again = DIALECT.write_request(request(tools=[Tool("f", parameters=schema)]), Target("p", NEW))
    assert first.body == again.body
    assert first.body.startswith(b'{"model":"claude-opus-4-8","stream":false,')
    assert first.body.index(b"zebra") < first.body.index(b"apple") < first.body.index(b"mango")
    assert (first.path, first.headers) == ("/messages", [("anthropic-version", "2023-06-01")])


def test_output_limit_is_the_models_own_where_none_was_given() -> None:
    assert sent(request(), BUDGET)["max_tokens"] == 64_000
    assert sent(request(), OLD)["max_tokens"] == 4_096
    assert sent(request(), NEW, default_max_output_tokens=777)["max_tokens"] == 777
    body, outgoing = written(
        request(max_output_tokens=99_999, paths={"max_output_tokens": "max_completion_tokens"}), OLD
    )
    assert body["max_tokens"] == 4_096
    assert lost(outgoing) == [("clamped", "max_completion_tokens")]


# --- turns ---


def test_leading_system_turns_become_one_block_each() -> None:
    body = sent(request(turn("system", "a"), turn("developer", "b"), user("hi")))
    assert body["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_results_come_first_in_the_order_of_the_calls() -> None:  # R074
    image = Image(Source(data=PNG, media_type="image/png"))
    given_ = request(
        user("go"), turn("assistant", call("c1"), call("c2"), call("c3")), result("c3", "3"), result("c1", "1"),
        result("c2", "2", image), user("and now?"),
    )  # fmt: skip
    turns = sent(given_)["messages"]
    assert [one["role"] for one in turns] == ["user", "assistant", "user"]
    blocks = turns[2]["content"]
    assert [block.get("tool_use_id") for block in blocks] == ["c1", "c2", "c3", None]
    assert blocks[1]["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert blocks[3] == {"type": "text", "text": "and now?"}


def test_calls_of_two_assistant_turns_are_one_turn() -> None:  # R058
    given_ = request(
        user("go"), turn("assistant", call("c1")), turn("assistant", call("c2")), result("c1", "1"), result("c2", "2")
    )
    turns = sent(given_)["messages"]
    assert [block["id"] for block in turns[1]["content"]] == ["c1", "c2"]
    assert [block["tool_use_id"] for block in turns[2]["content"]] == ["c1", "c2"]


def test_results_inside_a_user_turn_are_taken_as_well() -> None:
    given_ = request(user("go"), turn("assistant", call("c")), turn("user", "more", Result("c", [Text("1")])))
    assert [block["type"] for block in sent(given_)["messages"][2]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize("model", [NEW, BUDGET])
def test_system_text_between_call_and_result_goes_behind_the_result(model: str) -> None:  # R055
    given_ = request(user("go"), turn("assistant", call("t1")), turn("system", "note"), result("t1", "1"))
    body, outgoing = written(given_, model)
    turns = body["messages"]
    assert turns[2]["content"][0]["type"] == "tool_result"
    if model == NEW:
        assert turns[3] == {"role": "system", "content": [{"type": "text", "text": "note"}]}
    else:
        assert turns[2]["content"][1]["text"] == "<system>note</system>"
    assert lost(outgoing) == [("approximated", "messages[1]")]


def test_system_turn_in_the_middle_keeps_its_place_where_the_model_takes_it() -> None:
    body, outgoing = written(request(user("a"), turn("system", "s"), user("b")))
    assert [one["role"] for one in body["messages"]] == ["user", "system", "user"]
    assert outgoing.losses == []
    last = sent(request(user("a"), turn("assistant", "b"), turn("system", "s")))
    assert last["messages"][2]["content"] == [{"type": "text", "text": "<system>s</system>"}]


def test_blank_text_is_never_sent() -> None:  # R053
    given_ = request(
        turn("system", "  "), turn("system", ""), user(Text("hi"), Text("")), turn("assistant", "", call("c")),
        result("c", ""), turn("assistant", " "), user(""), turn("assistant", "x"), user(" "),
    )  # fmt: skip
    body = sent(given_)
    assert "system" not in body
    assert [one["role"] for one in body["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": ""}]
    assert body["messages"][4]["content"] == [{"type": "text", "text": "."}]


def test_call_without_result_is_refused_or_answered_when_allowed() -> None:
    given_ = request(user("go"), turn("assistant", call("c1"), call("c2")), result("c1", "1"))
    assert refused(given_) == "call:c2"
    body, outgoing = written(given_, losses="allow")
    assert body["messages"][2]["content"][1] == {
        "type": "tool_result", "tool_use_id": "c2", "content": "no result", "is_error": True,
    }  # fmt: skip
    assert lost(outgoing) == [("approximated", "call:c2")]


def test_result_without_call_and_second_result_are_refused() -> None:
    assert refused(request(user("go"), result("x", "1"))) == "tool:x"
    twice = request(user("go"), turn("assistant", call("c")), result("c", "1"), result("c", "2"))
    assert refused(twice) == "tool:c"
    assert sent(twice, losses="allow")["messages"][2]["content"][0]["content"] == "1"


def test_ids_that_anthropic_refuses_are_changed_alike_for_call_and_result() -> None:
    given_ = request(
        user("go"), turn("assistant", call("a b|c")), result("a b|c", "1"), turn("assistant", call("call_0")),
        result("call_0", "2"), turn("assistant", call("call_0")), result("call_0", "3"),
    )  # fmt: skip
    turns = sent(given_)["messages"]
    ids = [turns[at]["content"][0]["id"] for at in (1, 3, 5)]
    assert [turns[at]["content"][0]["tool_use_id"] for at in (2, 4, 6)] == ids
    assert ids[1] == "call_0"
    assert len(set(ids)) == 3


def test_prefill_goes_only_to_models_that_take_it() -> None:
    given_ = request(user("go"), turn("assistant", "The answer is ( "))
    assert refused(given_) == "messages[1]"
    assert sent(given_, BUDGET)["messages"][1]["content"] == [{"type": "text", "text": "The answer is ("}]
    assert sent(given_, losses="allow")["messages"][2]["role"] == "user"


def test_conversation_that_begins_with_the_assistant_gets_a_first_turn() -> None:
    body, outgoing = written(request(turn("assistant", "hello"), user("hi")))
    assert [one["role"] for one in body["messages"]] == ["user", "assistant", "user"]
    assert lost(outgoing) == [("approximated", "messages[1]")]


def test_request_without_a_users_turn_is_refused() -> None:
    assert refused(request(turn("system", "s"))) == "messages[1]"


# --- parts ---


def test_text_and_image_arrive_in_order() -> None:  # R046
    given_ = request(user("A", Image(Source(data=PNG)), Image(Source(url="https://x/y.png"), detail="auto")))
    blocks = sent(given_)["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["text", "image", "image"]
    assert blocks[1]["source"]["media_type"] == "image/png"
    assert blocks[2]["source"] == {"type": "url", "url": "https://x/y.png"}


def test_documents_by_data_text_and_url() -> None:
    text = base64.b64encode("naïve".encode()).decode()
    given_ = request(
        user(
            File(Source(data="JVBERi0xLjQ="), name="a.pdf"),
            File(Source(data=text, media_type="text/plain; charset=utf-8")),
            File(Source(), text="plain"),
            File(Source(url="https://x/a.pdf")),
        )
    )
    blocks = sent(given_)["messages"][0]["content"]
    assert blocks[0]["source"]["media_type"] == "application/pdf"
    assert blocks[0]["title"] == "a.pdf"
    assert [block["source"].get("data") for block in blocks[1:3]] == ["naïve", "plain"]
    assert blocks[3]["source"] == {"type": "url", "url": "https://x/a.pdf"}


@pytest.mark.parametrize(
    "part",
    [
        Audio(Source(data="x"), path="P"),
        Video(Source(data="x"), path="P"),
        Image(Source(file_id="file-1"), path="P"),
        Image(Source(data="x", media_type="image/tiff"), path="P"),
        File(Source(file_id="file-1"), path="P"),
        File(Source(data="UEsDBA==", media_type="application/zip"), path="P"),
        File(Source(data="/w==", media_type="text/plain"), path="P"),
        Opaque("responses", "item_reference", {}, path="P"),
    ],
)
def test_input_that_cannot_be_carried_is_refused_whatever_the_policy(part: Part) -> None:
    assert refused(request(user(part)), losses="allow") == "P"


def test_image_of_an_assistant_is_refused() -> None:
    assert refused(request(user("a"), turn("assistant", Image(Source(data=PNG), path="P")), user("b"))) == "P"


def test_error_flag_of_a_result_is_kept() -> None:
    given_ = request(user("go"), turn("assistant", call("c")), result("c", "boom", is_error=True))
    assert sent(given_)["messages"][2]["content"][0]["is_error"] is True


@pytest.mark.parametrize(
    ("arguments", "input_", "losses"),
    [
        ('{"a":12345678901234567890123}', {"a": 12345678901234567890123}, []),
        ("", {}, []),
        ("[1]", {"_raw": "[1]"}, [("approximated", "call:c")]),
        ("{broken", {"_raw": "{broken"}, [("approximated", "call:c")]),
    ],
)
def test_arguments_become_an_object(arguments: str, input_: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    body, outgoing = written(request(user("go"), turn("assistant", call("c", arguments=arguments)), result("c", "1")))
    assert body["messages"][1]["content"][0]["input"] == input_
    assert lost(outgoing) == losses


def test_hints_of_parts_and_turns_are_reported() -> None:
    parts = [
        Text("a", citations=[Citation("url", url="https://a")], path="T"),
        Refusal("no", path="R"),
        Reasoning("hm", path="H"),
        Text("b", extra=Extra("chat", {"odd": 1}), path="X"),
    ]
    given_ = request(user("go"), Turn("assistant", parts, name="bot", path="A"), user("go on"))
    _, outgoing = written(given_)
    assert lost(outgoing) == [
        ("dropped", "A.name"),
        ("dropped", "T.annotations"),
        ("approximated", "R"),
        ("dropped", "H"),
        ("dropped", "X.odd"),
    ]
    with pytest.raises(Problem):
        DIALECT.write_request(given_, Target("p", NEW, losses="refuse"))


# --- reasoning that comes back ---


def sealed_turns(data: str) -> Request:
    return request(
        user("go"),
        turn("assistant", Reasoning("thought", Sealed("openrouter", data), path="H"), call("c")),
        result("c", "1"),
    )


@pytest.mark.parametrize("kind", ["anthropic_signature", "anthropic_redacted"])
def test_own_proof_comes_back_byte_for_byte_in_its_place(kind: Any) -> None:
    data = SEALER.seal(Sealed(kind, "SIG+/="), "p", NEW, "acc")
    body, outgoing = written(sealed_turns(data), sealer=SEALER, account="acc")
    block = body["messages"][1]["content"][0]
    if kind == "anthropic_signature":
        assert block == {"type": "thinking", "thinking": "thought", "signature": "SIG+/="}
    else:
        assert block == {"type": "redacted_thinking", "data": "SIG+/="}
    assert outgoing.losses == []


@pytest.mark.parametrize(
    "data",
    [
        "EvgFCkYI",  # a raw signature, from who knows where
        "ds2.1.AAAA",  # not ours
        SEALER.seal(Sealed("anthropic_signature", "S"), "other", NEW, "acc"),
        SEALER.seal(Sealed("anthropic_signature", "S"), "p", "claude-opus-4-6", "acc"),
        SEALER.seal(Sealed("anthropic_signature", "S"), "p", NEW, "other"),
        SEALER.seal(Sealed("openai_encrypted", "S"), "p", NEW, "acc"),
        SEALER.seal(Sealed("anthropic_signature", "S"), "p", NEW, "acc")[:-4] + "AAAA",
    ],
)
def test_foreign_proof_is_dropped_with_its_reasoning_and_reported(data: str) -> None:  # R083
    body, outgoing = written(sealed_turns(data), sealer=SEALER, account="acc")
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert lost(outgoing) == [("dropped", "H")]
    assert b"ds2.1." not in outgoing.body


# --- tools ---


def test_tools_with_their_choice() -> None:
    tools = [Tool("f", "does", {"type": "object", "properties": {}}, path="tools[0]"), Tool("g")]
    body = sent(request(tools=tools, tool_choice=ToolChoice("named", "g"), parallel_calls=False))
    assert body["tools"][0] == {
        "name": "f",
        "description": "does",
        "input_schema": {"type": "object", "properties": {}},
    }
    assert body["tools"][1]["input_schema"] == {"type": "object", "properties": {}}
    assert body["tool_choice"] == {"type": "tool", "name": "g", "disable_parallel_tool_use": True}
    words = {"auto": "auto", "none": "none", "required": "any"}
    for mode, word in words.items():
        assert sent(request(tools=tools, tool_choice=ToolChoice(mode)))["tool_choice"] == {"type": word}  # type: ignore[arg-type]
    assert sent(request(tools=tools, parallel_calls=False))["tool_choice"] == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    assert "tool_choice" not in sent(request(tools=tools, parallel_calls=True))


def test_without_tools_there_is_no_choice() -> None:  # R064
    body = sent(request(tool_choice=ToolChoice("auto"), parallel_calls=True))
    assert not {"tools", "tool_choice"} & body.keys()
    assert refused(request(tool_choice=ToolChoice("required"))) == "tool_choice"


def test_allowed_tools_are_the_only_ones_offered() -> None:
    choice = ToolChoice("allowed", allowed=AllowedTools(("g",), required=True))
    body, outgoing = written(request(tools=[Tool("f"), Tool("g")], tool_choice=choice))
    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}
    assert lost(outgoing) == [("approximated", "tool_choice")]


def test_hosted_tools_are_left_out_unless_forced() -> None:  # R086
    hosted = Tool("web_search", hosted=True, kind="web_search", path="tools[1]")
    body, outgoing = written(request(tools=[Tool("f"), hosted], tool_choice=ToolChoice("auto")))
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert lost(outgoing) == [("dropped", "tools[1]")]
    assert refused(request(tools=[Tool("f"), hosted], tool_choice=ToolChoice("named", "web_search"))) == "tool_choice"


def test_custom_tool_is_a_function_with_one_text() -> None:  # R062
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/s"}}
    tool = Tool("apply_patch", "patches", custom=True, format=grammar, path="tools[0]")
    history = turn("assistant", call("c", "apply_patch", "*** Begin\n", custom=True))
    body, outgoing = written(request(user("go"), history, result("c", "ok"), tools=[tool]))
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert "start: /.+/s" in body["tools"][0]["description"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "*** Begin\n"}
    assert outgoing.restore.custom_tools == {"apply_patch"}
    assert lost(outgoing) == [("approximated", "tools[0].format")]


def test_tool_names_that_anthropic_refuses_are_changed_everywhere_and_restored() -> None:  # R052
    long = ["a" * 140 + tail for tail in ("x", "y")]
    history = turn("assistant", call("c", long[0]))
    given_ = request(
        user("go"),
        history,
        result("c", "1"),
        tools=[Tool(one) for one in [*long, "a.b:c"]],
        tool_choice=ToolChoice("named", long[1]),
    )
    body, outgoing = written(given_)
    names = [tool["name"] for tool in body["tools"]]
    assert len(set(names)) == 3
    assert body["messages"][1]["content"][0]["name"] == names[0]
    assert body["tool_choice"]["name"] == names[1]
    assert outgoing.restore.tool_names == {names[0]: long[0], names[1]: long[1], names[2]: "a.b:c"}


def test_strict_tools_are_closed_or_refused() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}
    tool = Tool("f", parameters=schema, strict=True, path="tools[0]")
    body, outgoing = written(request(tools=[tool]))
    assert body["tools"][0]["strict"] is True
    assert body["tools"][0]["input_schema"]["properties"]["a"]["additionalProperties"] is False
    assert lost(outgoing) == [("approximated", "tools[0].strict")]
    assert refused(request(tools=[tool]), OLD) == "tools[0].strict"


# --- controls ---


@pytest.mark.parametrize(
    "model", [NEW, "anthropic/claude-opus-4-7", "us.anthropic.claude-opus-4-8-20260801-v1:0", "some-model"]
)
def test_newest_models_get_no_sampling_and_effort_instead_of_a_budget(model: str) -> None:  # R056
    given_ = request(sampling=Sampling(temperature=0.2, top_p=0.9, top_k=3), reasoning=ReasoningControl(effort="high"))
    body, outgoing = written(given_, model)
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"] == {"effort": "high"}
    assert lost(outgoing) == [("dropped", "temperature"), ("dropped", "top_p"), ("dropped", "top_k")]


def test_older_models_get_the_sampling_that_they_take() -> None:
    sampling = Sampling(temperature=1.5, top_p=0.9, top_k=3)
    body, outgoing = written(request(sampling=sampling), OLD)
    assert (body["temperature"], body["top_p"], body["top_k"]) == (1, 0.9, 3)
    assert lost(outgoing) == [("clamped", "temperature")]
    body, outgoing = written(request(sampling=sampling), BUDGET)
    assert "top_p" not in body
    assert lost(outgoing) == [("clamped", "temperature"), ("dropped", "top_p")]
    body, outgoing = written(request(sampling=sampling), OLD, anthropic_version="2026-10-21")
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert outgoing.headers == [("anthropic-version", "2026-10-21")]
    assert len(outgoing.losses) == 3


def test_sampling_is_dropped_while_the_model_thinks() -> None:
    given_ = request(sampling=Sampling(temperature=0.2, top_k=3), reasoning=ReasoningControl(effort="high"))
    body, outgoing = written(given_, BUDGET)
    assert body["thinking"]["type"] == "enabled"
    assert not {"temperature", "top_k"} & body.keys()
    assert lost(outgoing) == [("dropped", "temperature"), ("dropped", "top_k")]


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "f")])
@pytest.mark.parametrize("model", [NEW, BUDGET, "claude-fable-5"])
def test_r065_forced_choice_wins_over_thinking(choice: ToolChoice, model: str) -> None:  # R065
    given_ = request(tools=[Tool("f")], tool_choice=choice, reasoning=ReasoningControl(effort="high"))
    body, outgoing = written(given_, model)
    assert body.get("thinking", {"type": "disabled"}) == {"type": "disabled"}
    assert body["tool_choice"]["type"] in ("any", "tool")
    assert lost(outgoing) == [("dropped", "reasoning_effort")]


@pytest.mark.parametrize(
    ("model", "control", "thinking", "effort", "codes"),
    [
        (NEW, {"effort": "none"}, {"type": "disabled"}, None, []),
        (NEW, {"mode": "disabled"}, {"type": "disabled"}, None, []),
        (NEW, {"effort": "minimal"}, {"type": "adaptive"}, "low", ["clamped"]),
        (NEW, {"effort": "max", "show": "summary"}, {"type": "adaptive", "display": "summarized"}, "max", []),
        (NEW, {"mode": "adaptive", "show": "none"}, {"type": "adaptive", "display": "omitted"}, None, []),
        (NEW, {"budget_tokens": 2000}, {"type": "adaptive"}, "low", ["approximated"]),
        ("claude-opus-4-6", {"effort": "xhigh"}, {"type": "adaptive"}, "high", ["clamped"]),
        ("claude-fable-5", {"effort": "none"}, None, "low", ["approximated"]),
        (BUDGET, {"effort": "none"}, {"type": "disabled"}, None, []),
        (BUDGET, {"effort": "minimal"}, {"type": "enabled", "budget_tokens": 1024}, None, []),
        (BUDGET, {"effort": "medium"}, {"type": "enabled", "budget_tokens": 5000}, None, []),
        (BUDGET, {"mode": "enabled"}, {"type": "enabled", "budget_tokens": 5000}, None, []),
        (BUDGET, {"budget_tokens": 3000}, {"type": "enabled", "budget_tokens": 3000}, None, []),
        (BUDGET, {"budget_tokens": 99_999}, {"type": "enabled", "budget_tokens": 9_999}, None, ["clamped"]),
        (OLD, {"effort": "high"}, None, None, ["dropped"]),
        (OLD, {"effort": "none"}, None, None, []),
    ],
)
def test_effort_is_said_in_the_models_own_words(
    model: str, control: dict[str, Any], thinking: Any, effort: str | None, codes: list[str]
) -> None:
    limit = 4_000 if model == OLD else 10_000
    body, outgoing = written(request(max_output_tokens=limit, reasoning=ReasoningControl(**control)), model)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert [loss.code for loss in outgoing.losses] == codes


def test_thinking_that_does_not_fit_the_limit_is_off() -> None:
    body, outgoing = written(request(max_output_tokens=500, reasoning=ReasoningControl(effort="high")), BUDGET)
    assert body["thinking"] == {"type": "disabled"}
    assert lost(outgoing) == [("dropped", "reasoning_effort")]


def test_budget_model_in_the_middle_of_calls_without_its_thinking_does_not_think() -> None:
    given_ = request(
        user("go"), turn("assistant", call("c")), result("c", "1"), reasoning=ReasoningControl(effort="high")
    )
    body, outgoing = written(given_, BUDGET)
    assert body["thinking"] == {"type": "disabled"}
    assert lost(outgoing) == [("dropped", "reasoning_effort")]
    assert sent(given_, NEW)["thinking"] == {"type": "adaptive"}


def test_schema_is_sent_closed_and_plain_json_is_asked_for_in_words() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    body, outgoing = written(request(output=OutputFormat("schema", schema, "n", strict=True)))
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {**schema, "additionalProperties": False},
    }
    assert lost(outgoing) == [("approximated", "response_format")]
    body, outgoing = written(request(output=OutputFormat("json")))
    assert "JSON" in body["system"][0]["text"]
    assert lost(outgoing) == [("approximated", "response_format")]
    assert refused(request(output=OutputFormat("schema", schema)), OLD) == "response_format"
    assert "system" in sent(request(output=OutputFormat("schema", schema)), OLD, losses="allow")


def test_hints_without_a_form_are_reported_by_the_clients_name() -> None:
    given_ = request(
        sampling=Sampling(frequency_penalty=0.5, presence_penalty=0, seed=1, logit_bias={"1": 2}),
        verbosity="low", prediction={"type": "content"}, metadata={"a": "b"}, cache_key="k", service_tier="flex",
        paths={"cache_key": "prompt_cache_key"}, extra=Extra("chat", {"web_search_options": {}}),
    )  # fmt: skip
    _, outgoing = written(given_)
    assert sorted(lost(outgoing)) == sorted(
        ("dropped", path)
        for path in (
            "web_search_options", "frequency_penalty", "seed", "logit_bias", "verbosity", "prediction", "metadata",
            "prompt_cache_key", "service_tier",
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "path", "softly"),
    [
        ({"choices": 2}, "n", False),
        ({"modalities": ["text", "audio"]}, "modalities", False),
        ({"logprobs": True}, "logprobs", True),
        ({"top_logprobs": 3}, "top_logprobs", True),
        ({"state": State(previous_response_id="resp_1")}, "previous_response_id", False),  # R085
        ({"state": State(conversation={"id": "c"})}, "conversation", False),
        ({"state": State(background=True)}, "background", False),
        ({"state": State(store=True)}, "store", True),
        ({"extra": Extra("responses", {"grave": 1}, frozenset({"grave"}))}, "grave", True),
    ],
)
def test_what_callers_rely_on_is_refused(changes: dict[str, Any], path: str, softly: bool) -> None:
    given_ = request(paths={"choices": "n"}, **changes)
    assert refused(given_) == path
    if softly:
        assert [loss.path for loss in written(given_, losses="allow")[1].losses] == [path]
    else:
        assert refused(given_, losses="allow") == path


def test_user_tier_and_stop() -> None:
    body, outgoing = written(request(user="u1", service_tier="default", stop=["END", "\n"]))
    assert body["metadata"] == {"user_id": "u1"}
    assert body["service_tier"] == "standard_only"
    assert body["stop_sequences"] == ["END"]
    assert outgoing.restore.stop == ["\n"]
    assert lost(outgoing) == [("emulated", "stop")]
    assert "metadata" not in sent(request(user="u" * 300))


def test_cache_marks_are_kept_up_to_the_four_that_are_taken() -> None:
    parts = [Text(str(at), cache=CacheMark("30m" if at == 5 else None), path=f"P{at}") for at in range(6)]
    body, outgoing = written(request(user(*parts)))
    marks = [block.get("cache_control") for block in body["messages"][0]["content"]]
    assert marks == [None, None, *[{"type": "ephemeral"}] * 3, {"type": "ephemeral", "ttl": "1h"}]
    assert lost(outgoing) == [("approximated", "P5"), ("dropped", "P0"), ("dropped", "P1")]


# --- any request ---

texts = st.sampled_from(["", " ", "a", "b\n"])
ids = st.sampled_from(["c1", "c2", "c 3"])
user_parts = st.lists(texts.map(Text), max_size=3)
calls = st.builds(Call, ids, st.sampled_from(["f", "g.h"]), st.sampled_from(["{}", '{"a":1}', "x", ""]))
assistant_parts = st.lists(texts.map(Text) | calls | texts.map(Reasoning), max_size=3)
results = st.lists(st.builds(Result, ids, user_parts), min_size=1, max_size=3)
turns = st.lists(
    st.builds(Turn, st.sampled_from(["system", "developer", "user"]), user_parts)
    | st.builds(Turn, st.just("assistant"), assistant_parts)
    | st.builds(Turn, st.just("tool"), results),
    max_size=8,
)


@settings(max_examples=300)
@given(
    turns=turns,
    model=st.sampled_from([OLD, BUDGET, NEW, "claude-opus-4-6", "claude-fable-5", "deepseek-chat"]),
    policy=st.sampled_from(["report", "allow"]),
    effort=st.sampled_from([None, "none", "minimal", "high", "max"]),
    choice=st.sampled_from([None, "auto", "required", "none"]),
    temperature=st.sampled_from([None, 0.5, 2]),
    limit=st.sampled_from([None, 100, 5_000]),
)
def test_whatever_is_sent_is_what_anthropic_takes(
    turns: list[Turn], model: str, policy: Any, effort: Any, choice: Any, temperature: float | None, limit: int | None
) -> None:
    given_ = Request(
        "chat", "alias", turns, tools=[Tool("f"), Tool("g.h")], max_output_tokens=limit,
        reasoning=None if effort is None else ReasoningControl(effort=effort),
        tool_choice=None if choice is None else ToolChoice(choice), sampling=Sampling(temperature=temperature),
    )  # fmt: skip
    try:
        outgoing = DIALECT.write_request(given_, Target("p", model, losses=policy))
    except Problem as problem:
        assert problem.error.kind is Kind.UNSUPPORTED
        return
    assert check(json.loads(outgoing.body)) == []


@settings(max_examples=200)
@given(turns=turns, model=st.sampled_from([BUDGET, NEW]))
def test_no_text_and_no_call_is_ever_lost_in_silence(turns: list[Turn], model: str) -> None:
    try:
        outgoing = DIALECT.write_request(Request("chat", "alias", turns), Target("p", model))
    except Problem:
        return
    body = outgoing.body.decode()
    for one in turns:
        for part in one.parts:
            if isinstance(part, Text) and part.text.strip():
                assert json.dumps(part.text.rstrip())[1:-1] in body
            if isinstance(part, Reasoning) and part.text:
                assert any(loss.code == "dropped" for loss in outgoing.losses)
    count = sum(isinstance(part, Call) for one in turns for part in one.parts)
    assert body.count('"type":"tool_use"') == count
