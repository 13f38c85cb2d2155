"""What other protocols' requests become for Gemini; `strict` is the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.recordings import REQUESTS as CHAT_REQUESTS
from tests.dialects.gemini.strict import check
from tests.dialects.messages.recordings import REQUESTS as MESSAGES_REQUESTS

from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.gemini import DIALECT
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Kind, Problem
from ds2api.universal.parts import Audio, Call, File, Image, Opaque, Reasoning, Result, Sealed, Source, Text, Video
from ds2api.universal.request import OutputFormat, ReasoningControl, Request, Sampling, State, Tool, Turn

THREE, TWO_FIVE = "gemini-3-flash-preview", "gemini-2.5-flash"
SEALER = Sealer(b"s" * 32)
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def target(model: str = THREE, **changes: Any) -> Target:
    return Target("google", model, **{"account": "a1", "sealer": SEALER, **changes})


def sent(
    request: Request, model: str = THREE, **changes: Any
) -> tuple[dict[str, Any], list[tuple[str, str]], Outgoing]:
    """Body, losses, and the whole; refuses what the provider would refuse."""
    outgoing = DIALECT.write_request(request, target(model, **changes))
    body = json.loads(outgoing.body)
    assert check(body, f"/v1beta{outgoing.path}") == []
    return body, [(loss.code, loss.path) for loss in outgoing.losses], outgoing


def from_(
    dialect: str, body: dict[str, Any], model: str = THREE, **changes: Any
) -> tuple[dict[str, Any], list[tuple[str, str]], Outgoing]:
    return sent(DIALECTS[dialect].read_request({"model": "x", **body}, {}, PATHS[dialect]), model, **changes)


def refused(dialect: str, body: dict[str, Any], model: str = THREE) -> str | None:
    request = DIALECTS[dialect].read_request({"model": "x", **body}, {}, PATHS[dialect])
    with pytest.raises(Problem) as raised:
        DIALECT.write_request(request, target(model))
    assert raised.value.error.kind is Kind.UNSUPPORTED
    return raised.value.error.param


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages],
        **fields,
    }


def call(identity: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*made: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(made)}


def tool(identity: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def function(name: str = "f", **schema: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "parameters": schema or {"type": "object", "properties": {}}},
    }


RECORDED = [("chat", one) for one in CHAT_REQUESTS] + [("messages", one) for one in MESSAGES_REQUESTS]


@pytest.mark.parametrize("model", [THREE, TWO_FIVE])
@pytest.mark.parametrize(("dialect", "recording"), RECORDED, ids=lambda one: getattr(one, "name", one))
def test_every_recorded_request_is_taken_or_refused_by_name(dialect: str, recording: Any, model: str) -> None:
    request = DIALECTS[dialect].read_request({"model": "x", **recording.request}, {}, PATHS[dialect])
    try:
        body, _, _ = sent(request, model)
    except Problem as problem:
        assert problem.error.param
        return
    written = json.dumps(body, ensure_ascii=False)
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, Text) and part.text.strip():
                assert json.dumps(part.text, ensure_ascii=False)[1:-1] in written


def test_r046_every_part_of_a_message_arrives_in_its_order() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body, losses, outgoing = from_(
        "chat", chat({"role": "user", "content": [{"type": "text", "text": "A"}, image]}, stream=True)
    )
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "A"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}
    ]
    assert losses == [] and outgoing.path == f"/models/{THREE}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ("plain text", {"output": "plain text"}), ("[1,2]", {"output": "[1,2]"}), ("", {"output": ""}), ('{"a": 1}', {"a": 1}), ("{broken", {"output": "{broken"}),
        ('{"x": [{"$ref": "#"}]}', {"output": '{"x": [{"$ref": "#"}]}'}), ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"output": "a\nb"}),
    ],
)  # fmt: skip
def test_r049_a_result_is_an_object_and_named_after_its_call(content: Any, response: dict[str, Any]) -> None:
    body, losses, _ = from_("chat", chat("x", calls(call("c1", "look")), tool("c1", content)))
    assert body["contents"][2] == {
        "role": "user",
        "parts": [{"functionResponse": {"id": "c1", "name": "look", "response": response}}],
    }
    assert losses == []


def test_r050_schemas_go_as_json_schema_without_foreign_words() -> None:
    schema = {
        "$schema": "s", "type": "object", "strict": True, "cache_control": {},
        "properties": {"strict": {"type": ["string", "null"]}, "b": {"type": "object", "additionalProperties": True, "cache_control": 1},
                       "c": {"anyOf": [{"const": 1}, {"exclusiveMinimum": 2}]}},
    }  # fmt: skip
    body, losses, _ = from_(
        "chat",
        chat(
            "x",
            tools=[{"type": "function", "function": {"name": "f", "parameters": schema, "strict": False}}],
            stream=True,
            stream_options={"include_usage": True},
        ),
    )
    (declared,) = body["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"] == {
        "type": "object",
        "properties": {
            "strict": {"type": ["string", "null"]},
            "b": {"type": "object", "additionalProperties": True},
            "c": {"anyOf": [{"enum": [1]}, {"exclusiveMinimum": 2}]},
        },
    }
    assert "parameters" not in declared and losses == []
    assert b"stream_options" not in json.dumps(body).encode()


def test_r052_long_and_odd_names_stay_two_and_come_back() -> None:
    names = ["a" * 64 + f"-{letter}-" + "z" * 64 for letter in "xy"] + ["1st tool"]
    request = Request(
        "chat",
        "x",
        [Turn("user", [Text("a")]), Turn("assistant", [Call("c", names[0], "{}")]), Turn("tool", [Result("c", [])])],
        tools=[Tool(name) for name in names],
    )
    body, _, outgoing = sent(request)
    written = [one["name"] for one in body["tools"][0]["functionDeclarations"]]
    assert len(set(written)) == 3
    assert [outgoing.restore.tool_names[name] for name in written] == names
    assert (
        body["contents"][1]["parts"][0]["functionCall"]["name"]
        == written[0]
        == body["contents"][2]["parts"][0]["functionResponse"]["name"]
    )


def test_r053_blank_text_is_left_out_and_roles_still_alternate() -> None:
    body, _, _ = from_("chat", chat(
        {"role": "system", "content": "  "}, {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": " "}, " ", {**calls(call("c")), "content": ""}, tool("c", ""),
    ))  # fmt: skip
    assert "systemInstruction" not in body
    assert [(one["role"], len(one["parts"])) for one in body["contents"]] == [
        ("user", 1),
        ("user", 1),
        ("model", 1),
        ("user", 1),
    ]
    assert body["contents"][1]["parts"] == [{"text": "."}]


def test_r055_a_note_in_the_middle_comes_behind_the_results() -> None:
    body, losses, _ = from_("messages", {"max_tokens": 9, "messages": [
        {"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "system", "content": "note"}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}, {"type": "text", "text": "go"}]},
    ]})  # fmt: skip
    assert [list(part) for part in body["contents"][2]["parts"]] == [["functionResponse"], ["text"], ["text"]]
    assert body["contents"][2]["parts"][1] == {"text": "<system>note</system>"}
    assert ("approximated", "messages[2]") in losses


def test_r058_r059_r074_results_are_one_turn_in_the_order_of_the_calls() -> None:
    body, losses, _ = from_("chat", chat(
        "x", calls(call("c1"), call("c2", "g"), call("c3")), tool("c3", "3"), tool("c1", "1"), tool("c2", "2"), "and now",
    ))  # fmt: skip
    assert [one["role"] for one in body["contents"]] == ["user", "model", "user"]
    assert [list(part) for part in body["contents"][2]["parts"]] == [["functionResponse"]] * 3 + [["text"]]
    assert [part["functionResponse"]["id"] for part in body["contents"][2]["parts"][:3]] == ["c1", "c2", "c3"]
    assert losses == []
    if "responses" in DIALECTS:
        items = [{"type": "function_call", "call_id": one, "name": "f", "arguments": "{}"} for one in ("c1", "c2")]
        items += [{"type": "function_call_output", "call_id": one, "output": one} for one in ("c1", "c2")]
        body, _, _ = from_("responses", {"input": [{"role": "user", "content": "x"}, *items]})
        assert [len(one["parts"]) for one in body["contents"]] == [1, 2, 2]


def test_results_of_a_user_turn_and_equal_ids_find_their_own_calls() -> None:
    turns = [
        Turn("user", [Text("a")]), Turn("assistant", [Call("c", "f", "{}"), Call("c", "g", "{}")]), Turn("user", [Result("c", [Text("1")]), Result("c", [Text("2")])]),
        Turn("assistant", [Call("c", "h", "{}")]), Turn("tool", [Result("c", [Text("3")])]),
    ]  # fmt: skip
    body, losses, _ = sent(Request("messages", "x", turns))
    found = [
        part["functionResponse"] for one in body["contents"] for part in one["parts"] if "functionResponse" in part
    ]
    assert [(one["name"], one["response"]["output"]) for one in found] == [
        ("f", "1"),
        ("g", "2"),
        ("h", "3"),
    ] and losses == []


def test_a_call_without_a_result_and_a_result_without_a_call_are_refused_unless_allowed() -> None:
    assert refused("chat", chat("x", calls(call("c1"), call("c2")), tool("c1"), "y")) == "messages[1].tool_calls[1]"
    assert refused("chat", chat("x", tool("c9"))) == "messages[1]"
    body, losses, _ = from_("chat", chat("x", calls(call("c1")), "y"), losses="allow")
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "no result"}
    assert losses == [("approximated", "messages[1].tool_calls[0]")]
    body, losses, _ = from_("chat", chat("x", tool("c9", "text")), losses="allow")
    assert body["contents"][0]["parts"] == [{"text": "x"}, {"text": "text"}]


def test_r047_media_in_a_result_go_where_the_model_takes_them() -> None:
    block = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [
            {"type": "text", "text": "shot"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        ],
        "is_error": True,
    }
    given = {
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [block]},
        ],
    }
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    body, losses, _ = from_("messages", given)
    assert (
        body["contents"][2]["parts"][0]["functionResponse"]
        == {"id": "t", "name": "f", "response": {"error": "shot"}, "parts": [blob]}
        and losses == []
    )
    body, losses, _ = from_("messages", given, TWO_FIVE)
    assert body["contents"][2]["parts"][1] == blob and losses == [("approximated", "messages[2].content[0]")]


def test_r062_custom_tools_are_functions_with_one_string() -> None:
    custom = Tool(
        "patch",
        "Patch it.",
        custom=True,
        format={"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
        path="tools[0]",
    )
    turns = [
        Turn("user", [Text("a")]),
        Turn("assistant", [Call("c", "patch", "*** Begin", custom=True)]),
        Turn("tool", [Result("c", [Text("ok")])]),
    ]
    body, losses, outgoing = sent(Request("responses", "x", turns, tools=[custom]))
    (declared,) = body["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"]["required"] == ["input"] and "start: /.+/s" in declared["description"]
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == {"input": "*** Begin"}
    assert outgoing.restore.custom_tools == {"patch"} and losses == [("approximated", "tools[0].format")]


def test_r064_without_tools_nothing_about_tools_is_sent() -> None:
    body, losses, _ = from_("chat", chat("x", tools=[], tool_choice="auto", parallel_tool_calls=True))
    assert body.keys() == {"contents"} and losses == []
    assert refused("chat", chat("x", tool_choice="required")) == "tool_choice"


def test_r086_hosted_tools_are_only_left_out_where_nobody_needs_them() -> None:
    offered = [Tool("web_search", hosted=True, kind="web_search", path="tools[0]"), Tool("f", path="tools[1]")]
    request = Request("responses", "x", [Turn("user", [Text("a")])], tools=offered)
    body, losses, _ = sent(request)
    assert [one["name"] for one in body["tools"][0]["functionDeclarations"]] == ["f"] and losses == [
        ("dropped", "tools[0]")
    ]
    used = Request(
        "messages",
        "x",
        [Turn("user", [Text("a")]), Turn("assistant", [Opaque("messages", "server_tool_use", {}, "m[1]")])],
    )
    with pytest.raises(Problem, match=r"m\[1\]: server_tool_use"):
        DIALECT.write_request(used, target())


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"}), ({"type": "function", "function": {"name": "g"}}, {"mode": "ANY", "allowedFunctionNames": ["g"]}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]}}, {"mode": "VALIDATED", "allowedFunctionNames": ["g"]}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}}, {"mode": "ANY", "allowedFunctionNames": ["g"]}),
    ],
)  # fmt: skip
def test_every_choice_of_tools_has_its_mode(choice: Any, config: dict[str, Any]) -> None:
    body, losses, _ = from_("chat", chat("x", tools=[function("f"), function("g")], tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": config} and losses == []


def test_strict_tools_are_validated_and_one_at_a_time_is_reported() -> None:
    strict = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    body, losses, _ = from_("chat", chat("x", tools=[strict], parallel_tool_calls=False))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert losses == [("dropped", "parallel_tool_calls")]


def test_the_first_call_of_each_step_has_a_signature_on_gemini_3_alone() -> None:
    history = chat("x", calls(call("a"), call("b")), tool("a"), tool("b"), calls(call("c")), tool("c"))
    body, losses, _ = from_("chat", history)
    assert [
        part.get("thoughtSignature") for one in body["contents"] if one["role"] == "model" for part in one["parts"]
    ] == ["skip_thought_signature_validator", None, "skip_thought_signature_validator"]
    assert losses == []
    assert b"thoughtSignature" not in json.dumps(from_("chat", history, TWO_FIVE)[0]).encode()


@pytest.mark.parametrize(
    ("sealed", "provider", "model", "account", "comes_back"),
    [
        (Sealed("gemini_signature", "T1dO"), "google", THREE, "a1", True), (Sealed("gemini_signature", "T1dO"), "google", THREE, "a2", False),
        (Sealed("gemini_signature", "T1dO"), "google", "gemini-2.5-pro", "a1", False), (Sealed("gemini_signature", "T1dO"), "other", THREE, "a1", False),
        (Sealed("anthropic_signature", "T1dO"), "google", THREE, "a1", False),
    ],
)  # fmt: skip
def test_a_proof_goes_back_only_to_whoever_made_it(
    sealed: Sealed, provider: str, model: str, account: str, comes_back: bool
) -> None:
    envelope = SEALER.seal(sealed, provider, model, account)
    turns = [
        Turn("user", [Text("a")]),
        Turn("assistant", [Reasoning("hm", Sealed("anthropic_signature", envelope), path="r"), Call("c", "f", "{}")]),
        Turn("tool", [Result("c", [Text("ok")])]),
    ]
    body, losses, _ = sent(Request("messages", "x", turns))
    (part,) = body["contents"][1]["parts"]
    assert part["thoughtSignature"] == ("T1dO" if comes_back else "skip_thought_signature_validator")
    assert losses == ([] if comes_back else [("dropped", "r")])
    # The same in its own place: a Gemini client that got another provider's proof.
    own = Request(
        "gemini",
        "x",
        [
            Turn("user", [Text("a")]),
            Turn(
                "assistant",
                [Call("c", "f", "{}", signature=Sealed("gemini_signature", envelope), path="contents[1].parts[0]")],
            ),
        ],
    )
    written = json.loads(DIALECT.write_request(own, target()).body)["contents"][1]["parts"][0]["thoughtSignature"]
    assert written == part["thoughtSignature"], "and never the envelope itself"


def test_a_signature_finds_the_part_behind_its_thought() -> None:
    proofs = [
        Sealed("openrouter", SEALER.seal(Sealed("gemini_signature", data), "google", THREE, "a1"))
        for data in ("T25l", "VHdv")
    ]
    turns = [
        Turn("user", [Text("a")]),
        Turn("assistant", [Reasoning("", proofs[0]), Text("b"), Reasoning("", proofs[1])]),
        Turn("user", [Text("c")]),
    ]
    body, losses, _ = sent(Request("chat", "x", turns))
    assert (
        body["contents"][1]["parts"]
        == [{"text": "b", "thoughtSignature": "T25l"}, {"text": "", "thoughtSignature": "VHdv"}]
        and losses == []
    )


def test_a_thought_whose_proof_stands_on_its_call_is_no_loss() -> None:
    proof = Sealed("openrouter", SEALER.seal(Sealed("gemini_signature", "T1dO"), "google", THREE, "a1"))
    turns = [Turn("user", [Text("a")]), Turn("assistant", [Reasoning("hm", path="r"), Call("c", "f", "{}", signature=proof)]), Turn("tool", [Result("c", [Text("ok")])])]  # fmt: skip
    body, losses, _ = sent(Request("chat", "x", turns))
    assert body["contents"][1]["parts"][0]["thoughtSignature"] == "T1dO" and losses == []


def test_raw_proofs_and_thoughts_without_any_are_left_out_and_reported() -> None:
    turns = [
        Turn("user", [Text("a")]),
        Turn(
            "assistant",
            [Reasoning("hm", path="r1"), Reasoning("", Sealed("openai_encrypted", "x"), path="r2"), Text("b")],
        ),
        Turn("user", [Text("c")]),
    ]
    body, losses, _ = sent(Request("chat", "x", turns))
    assert body["contents"][1]["parts"] == [{"text": "b"}] and set(losses) == {("dropped", "r1"), ("dropped", "r2")}


@pytest.mark.parametrize(
    ("control", "model", "thinking", "lost"),
    [
        (ReasoningControl(effort="high"), THREE, {"thinkingLevel": "HIGH", "includeThoughts": True}, None),
        (ReasoningControl(effort="xhigh"), THREE, {"thinkingLevel": "XHIGH", "includeThoughts": True}, None),
        (ReasoningControl(effort="max"), THREE, {"thinkingLevel": "XHIGH", "includeThoughts": True}, "clamped"),
        (ReasoningControl(effort="none"), THREE, {"thinkingLevel": "MINIMAL"}, None),
        (ReasoningControl(effort="minimal"), "gemini-3.1-pro-preview", {"thinkingLevel": "LOW", "includeThoughts": True}, "clamped"),
        (ReasoningControl(budget_tokens=20_000, mode="enabled"), THREE, {"thinkingLevel": "MEDIUM", "includeThoughts": True}, "approximated"),
        (ReasoningControl(mode="adaptive", show="none"), THREE, {"includeThoughts": False}, None),
        (ReasoningControl(effort="none"), TWO_FIVE, {"thinkingBudget": 0}, None),
        (ReasoningControl(mode="disabled"), "gemini-2.5-pro", {"thinkingBudget": 128}, "clamped"),
        (ReasoningControl(effort="minimal"), TWO_FIVE, {"thinkingBudget": 512, "includeThoughts": True}, None),
        (ReasoningControl(effort="high", show="summary"), TWO_FIVE, {"thinkingBudget": 24576, "includeThoughts": True}, None),
        (ReasoningControl(budget_tokens=2000), TWO_FIVE, {"thinkingBudget": 2000, "includeThoughts": True}, None),
        (ReasoningControl(budget_tokens=90_000), TWO_FIVE, {"thinkingBudget": 24576, "includeThoughts": True}, "clamped"),
        (ReasoningControl(mode="adaptive"), TWO_FIVE, {"thinkingBudget": -1, "includeThoughts": True}, None),
        (ReasoningControl(effort="high"), "gemini-2.0-flash", None, "dropped"),
        (ReasoningControl(effort="none"), "gemini-2.0-flash", None, None),
    ],
)  # fmt: skip
def test_thinking_is_said_in_the_models_own_way(
    control: ReasoningControl, model: str, thinking: Any, lost: str | None
) -> None:
    body, losses, _ = sent(Request("chat", "x", [Turn("user", [Text("a")])], reasoning=control), model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == thinking
    assert [code for code, _ in losses] == ([lost] if lost else [])


def test_whoever_asks_for_no_summary_gets_none() -> None:
    request = Request("responses", "x", [Turn("user", [Text("a")])], reasoning=ReasoningControl(effort="low"))
    assert sent(request)[0]["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "LOW", "includeThoughts": False}


def test_sampling_and_limits_and_what_gemini_3_takes_of_them() -> None:
    fields = {
        "temperature": 0.2,
        "top_p": 0.9,
        "seed": 3,
        "frequency_penalty": 0.5,
        "max_completion_tokens": 7,
        "stop": ["a", "b"],
        "logprobs": True,
        "top_logprobs": 2,
    }
    common = {
        "seed": 3,
        "frequencyPenalty": 0.5,
        "maxOutputTokens": 7,
        "stopSequences": ["a", "b"],
        "responseLogprobs": True,
        "logprobs": 2,
    }
    body, losses, _ = from_("chat", chat("x", n=2, **fields), TWO_FIVE)
    assert body["generationConfig"] == {"temperature": 0.2, "topP": 0.9, "candidateCount": 2, **common} and losses == []
    body, losses, _ = from_("chat", chat("x", **fields))
    assert body["generationConfig"] == common and losses == [("dropped", "temperature"), ("dropped", "top_p")]
    assert refused("chat", chat("x", n=2)) == "n"


def test_r043_more_stop_sequences_than_gemini_takes_are_the_gateways_affair() -> None:
    request = Request("messages", "x", [Turn("user", [Text("a")])], stop=list("abcdef"))
    body, losses, outgoing = sent(request)
    assert (
        "generationConfig" not in body and outgoing.restore.stop == list("abcdef") and losses == [("emulated", "stop")]
    )


@pytest.mark.parametrize(
    ("output", "config"),
    [
        (OutputFormat("json"), {"responseMimeType": "application/json"}), (OutputFormat("text"), None),
        (OutputFormat("schema", {"type": "object", "strict": True}, "n", strict=True), {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}),
    ],
)  # fmt: skip
def test_output_forms(output: OutputFormat, config: Any) -> None:
    body, losses, _ = sent(Request("chat", "x", [Turn("user", [Text("a")])], output=output))
    assert body.get("generationConfig") == config and losses == []


def test_hints_that_gemini_lacks_are_reported_under_the_clients_names() -> None:
    request = Request(
        "chat", "x", [Turn("user", [Text("a")], name="bob", path="messages[0]")], sampling=Sampling(logit_bias={"1": 2}, min_p=0.1, repeat_penalty=1),
        verbosity="low", prediction={}, user="u", metadata={"K": "v"}, service_tier="scale", cache_key="k", paths={"user": "safety_identifier", "cache_key": "prompt_cache_key"},
    )  # fmt: skip
    _, losses, _ = sent(request)
    assert {path for _, path in losses} == {
        "messages[0].name",
        "min_p",
        "logit_bias",
        "verbosity",
        "prediction",
        "prompt_cache_key",
        "safety_identifier",
        "metadata",
        "service_tier",
    }
    with pytest.raises(Problem):
        DIALECT.write_request(request, target(losses="refuse"))
    body, losses, _ = sent(
        Request(
            "messages", "x", [Turn("user", [Text("a")])], user="u", metadata={"k": "v"}, service_tier="standard_only"
        )
    )
    assert (body["labels"], body["serviceTier"], losses) == ({"k": "v"}, "standard", [])


@pytest.mark.parametrize(
    "state",
    [State(previous_response_id="r"), State(background=True), State(conversation="c"), State(thread={"create": {}})],
)
def test_r085_what_another_provider_remembers_is_refused(state: State) -> None:
    with pytest.raises(Problem):
        DIALECT.write_request(
            Request("responses", "x", [Turn("user", [Text("a")])], state=state), target(losses="allow")
        )


def test_media_of_every_kind() -> None:
    parts: list[Any] = [
        Image(Source(data="iVBORw0KGgoAAA==")), Image(Source(url="https://x/a.webp?b"), path="u"), Audio(Source(data="AAAA"), format="wav"), Video(Source(data="AAAA", media_type="video/webm")),
        File(Source(data="JVBERi0x"), name="d.pdf"), File(Source(), text="the text", name="n", citations=True, path="t"), Image(Source(data="AAAA", media_type="image/png"), detail="high", path="d"),
    ]  # fmt: skip
    body, losses, _ = sent(Request("chat", "x", [Turn("user", parts)]))
    kinds = [next(iter(one.values()))["mimeType"] for one in body["contents"][0]["parts"] if "text" not in one]
    assert kinds == ["image/png", "image/webp", "audio/wav", "video/webm", "application/pdf", "image/png"]
    assert {"text": "n\n\nthe text"} in body["contents"][0]["parts"]
    assert losses == [("approximated", "u"), ("dropped", "t.citations"), ("dropped", "d.detail")]
    with pytest.raises(Problem, match="f: this file is known to another provider only"):
        sent(Request("chat", "x", [Turn("user", [File(Source(file_id="file-1"), path="f")])]))


def test_roles_are_merged_and_a_conversation_begins_with_the_user() -> None:
    body, losses, _ = from_("chat", chat(
        {"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, "x", "y",
    ))  # fmt: skip
    assert body["systemInstruction"]["parts"] == [{"text": "s"}, {"text": "d"}]
    assert [(one["role"], [part["text"] for part in one["parts"]]) for one in body["contents"]] == [
        ("user", ["."]),
        ("model", ["a", "b"]),
        ("user", ["x", "y"]),
    ]
    assert losses == [("approximated", "messages[2]")]
    assert refused("chat", chat({"role": "system", "content": "s"})) == "messages[0]"


def test_arguments_that_are_no_object_stand_in_raw() -> None:
    body, losses, _ = from_("chat", chat("x", calls(call("c", arguments="{oops")), tool("c")))
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == {"_raw": "{oops"}
    assert losses == [("approximated", "messages[1].tool_calls[0]")]


def test_r079_equal_requests_give_equal_bytes_and_keys_keep_their_order() -> None:
    schema = {"type": "object", "properties": {"zebra": {}, "apple": {}, "mango": {"maximum": 12345678901234567890123}}}
    given = chat(
        "x", calls(call("c", arguments='{"z":1,"a":2}')), tool("c", '{"q":1,"b":2}'), tools=[function("f", **schema)]
    )
    first, second = from_("chat", given)[2].body, from_("chat", given)[2].body
    assert first == second
    assert first.index(b"zebra") < first.index(b"apple") < first.index(b"mango") and b"12345678901234567890123" in first
    assert b'{"z":1,"a":2}' in first and b'{"q":1,"b":2}' in first


WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> Request:
    turns = [Turn("user", [Text(draw(WORD))])]
    for number in range(draw(st.integers(0, 3))):
        made = [
            Call(f"c{number}_{index}", "f", json.dumps({"k": draw(WORD)})) for index in range(draw(st.integers(0, 3)))
        ]
        turns.append(Turn("assistant", [Text(draw(WORD)), *made]))
        results = [Result(one.id, [Text(draw(WORD))]) for one in draw(st.permutations(made))]
        turns += [Turn("tool", [one]) for one in results] + (
            [Turn("user", [Text(draw(WORD))])] if draw(st.booleans()) or not made else []
        )
    return Request(
        "chat",
        "x",
        turns,
        tools=[Tool("f", "d", {"type": "object"})],
        max_output_tokens=draw(st.none() | st.integers(1, 99)),
    )


@given(conversations())
def test_what_is_written_is_read_again(request: Request) -> None:
    body, losses, outgoing = sent(request)
    read = DIALECT.read_request(body, {}, f"/v1beta{outgoing.path}")
    assert losses == []

    def said(turns: list[Turn]) -> list[Any]:
        found: list[Any] = []
        for turn in turns:
            for part in turn.parts:
                if isinstance(part, Text):
                    found.append(("text", part.text))
                elif isinstance(part, Call):
                    found.append((part.id, json.loads(part.arguments)))
        return found

    def results(turns: list[Turn]) -> dict[str, str]:
        return {part.call_id: part.content[0].text for turn in turns for part in turn.parts if isinstance(part, Result)}  # type: ignore[union-attr]

    assert said(read.turns) == said(request.turns)
    assert results(read.turns) == results(request.turns)
    assert (read.max_output_tokens, read.tools[0].parameters) == (request.max_output_tokens, {"type": "object"})


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "not specified"), ({"contents": [{"role": "user", "parts": [{"text": ""}]}]}, "empty"), ({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "valid role"),
        ({"contents": [{"parts": [{"txt": "a"}]}]}, "Unknown name"), ({"contents": [{"parts": [{"text": "a"}]}], "stream": True}, "Unknown name"),
        ({"contents": [{"parts": [{"text": "a"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "QQ=="}]}]}, "not equal"),
        ({"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, "not equal"), ({"contents": [{"parts": [{"text": "a", "thoughtSignature": "ds2.1.x"}]}]}, "Base64"),
        ({"contents": [{"parts": [{"text": "a"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}, {"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, "thought_signature"),
        ({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}}, "only one"),
        ({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"candidateCount": 2}}, "Multiple candidates"), ({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"n": 2}}, "Unknown name"),
        ({"contents": [{"parts": [{"text": "a"}]}], "tools": [{"functionDeclarations": [{"name": "1 f", "strict": True}]}]}, "Unknown name"),
    ],
)  # fmt: skip
def test_the_judge_refuses_what_gemini_refuses(body: dict[str, Any], fault: str) -> None:
    assert any(fault in one for one in check(body, f"/v1beta/models/{THREE}:generateContent"))
