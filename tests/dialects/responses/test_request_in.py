"""Requests of clients: every item where it stood, every fault with its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ds2api.dialects.contract import Target
from ds2api.dialects.registry import DIALECTS
from ds2api.dialects.responses import DIALECT
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Audio, CacheMark, Call, File, Image, Opaque, Reasoning, Refusal, Result, Text
from ds2api.universal.request import AllowedTools, Request

HI: dict[str, Any] = {"model": "m", "input": "Hi"}


def read(**fields: Any) -> Request:
    return DIALECT.read_request({**HI, **fields}, {}, "/v1/responses")


def to(
    dialect: str, request: Request, model: str = "claude-sonnet-4-5", **target: Any
) -> tuple[dict[str, Any], list[str]]:
    outgoing = DIALECTS[dialect].write_request(request, Target("p", model, **target))
    return json.loads(outgoing.body), [loss.path for loss in outgoing.losses]


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"c{number}", "name": "f", "arguments": "{}"}


def output(number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": f"r{number}"}


def test_items_group_into_turns() -> None:
    request = read(
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": "Rules."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "E"},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [
                {"type": "output_text", "text": "I will.", "annotations": []}, {"type": "refusal", "refusal": "No."}]},
            call(1), call(2), output(1), output(2),
            {"role": "assistant", "content": "Done."},
        ],
    )  # fmt: skip
    assert [(turn.role, turn.path) for turn in request.turns] == [
        ("system", "instructions"), ("developer", "input[0]"), ("user", "input[1]"), ("assistant", "input[2]"),
        ("tool", "input[6]"), ("assistant", "input[8]"),
    ]  # fmt: skip
    assert [type(part) for part in request.turns[3].parts] == [Reasoning, Text, Refusal, Call, Call]
    thought = request.turns[3].parts[0]
    assert isinstance(thought, Reasoning)
    assert (thought.text, thought.summary, thought.id) == ("hm", True, "rs_1")
    assert thought.sealed is not None
    assert thought.sealed.data == "E"


def test_r058_calls_that_follow_each_other_are_one_message_of_chat() -> None:
    request = read(input=[{"role": "user", "content": "x"}, call(1), call(2), output(1), output(2)])
    body, losses = to("chat", request, "gpt-4.1")
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool"]
    assert [one["id"] for one in body["messages"][1]["tool_calls"]] == ["c1", "c2"]
    assert losses == []
    body, losses = to("messages", request)
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "tool_result"]
    assert losses == []


def test_content_of_every_kind() -> None:
    mark = {"mode": "explicit", "ttl": "30m"}
    request = read(input=[{"role": "user", "content": [
        {"type": "input_text", "text": "x", "prompt_cache_breakpoint": mark},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"},
        {"type": "input_image", "file_id": "file_1", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        {"type": "input_file", "file_url": "https://a/b.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "input_new", "value": 1},
    ]}])  # fmt: skip
    text, inline, link, by_id, file, far, audio, new = request.turns[0].parts
    assert isinstance(text, Text)
    assert text.cache == CacheMark("30m", "input[0].content[0].prompt_cache_breakpoint")
    assert isinstance(inline, Image)
    assert (inline.source.data, inline.source.media_type, inline.detail) == ("AAAA", "image/png", "low")
    assert isinstance(link, Image)
    assert link.source.url == "https://a/b.png"
    assert isinstance(by_id, Image)
    assert by_id.source.file_id == "file_1"
    assert isinstance(file, File)
    assert (file.name, file.source.media_type) == ("a.pdf", "application/pdf")
    assert isinstance(far, File)
    assert far.source.url == "https://a/b.pdf"
    assert isinstance(audio, Audio)
    assert audio.format == "mp3"
    assert isinstance(new, Opaque)
    assert new.path == "input[0].content[7]"


def test_outputs_hold_text_or_parts() -> None:
    parts = [{"type": "input_text", "text": "shot"}, {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]
    request = read(input=[
        call(1), {"type": "function_call_output", "call_id": "c1", "output": parts},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": ""},
    ])  # fmt: skip
    shot, patched = (part for turn in request.turns for part in turn.parts if isinstance(part, Result))
    assert [type(part) for part in shot.content] == [Text, Image]
    assert (patched.content, patched.plain) == ([], True)
    made = request.turns[2].parts[0]
    assert isinstance(made, Call)
    assert (made.custom, made.arguments) == (True, "*** Begin")


def test_controls() -> None:
    request = read(
        stream=True, temperature=0.5, top_p=1, max_output_tokens=50, parallel_tool_calls=False, metadata={"a": "b"},
        reasoning={"effort": "high", "summary": "auto"}, service_tier="flex", prompt_cache_key="k", safety_identifier="u",
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
        include=["reasoning.encrypted_content", "message.output_text.logprobs"], top_logprobs=3, truncation="disabled",
        store=True, stream_options={"include_obfuscation": False},
    )  # fmt: skip
    assert (request.stream, request.max_output_tokens, request.parallel_calls) == (True, 50, False)
    assert (request.sampling.temperature, request.sampling.top_p) == (0.5, 1)
    assert request.reasoning is not None
    assert (request.reasoning.effort, request.reasoning.show) == ("high", "summary")
    assert request.output is not None
    assert (request.output.kind, request.output.name, request.output.strict) == ("schema", "n", True)
    assert (request.verbosity, request.logprobs, request.top_logprobs) == ("low", True, 3)
    assert request.path_of("user") == "safety_identifier"
    assert request.state is not None
    assert request.state.store is True
    assert request.extra is not None
    assert request.extra.fields == {}, "nothing of it is lost to anybody"


@pytest.mark.parametrize(
    ("given", "mode", "name", "allowed"),
    [
        ("auto", "auto", None, None),
        ("required", "required", None, None),
        ({"type": "function", "name": "f"}, "named", "f", None),
        ({"type": "custom", "name": "g"}, "named", "g", None),
        ({"type": "web_search"}, "named", "web_search", None),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]},
         "allowed", None, AllowedTools(("f", "mcp"), True)),
    ],
)  # fmt: skip
def test_choice(given: Any, mode: str, name: str | None, allowed: AllowedTools | None) -> None:
    choice = read(tool_choice=given).tool_choice
    assert choice is not None
    assert (choice.mode, choice.name, choice.allowed) == (mode, name, allowed)


AGENT_TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}, "strict": False},
    {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"}},
    {"type": "web_search"},
    {"type": "tool_search"},
    {"type": "namespace", "name": "crm", "description": "d", "tools": [
        {"type": "function", "name": "find", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "function", "name": "list", "parameters": {"type": "object", "properties": {}}, "strict": False}]},
]  # fmt: skip


@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_r086_r062_an_agents_tools_work_everywhere(upstream: str) -> None:
    request = read(tools=AGENT_TOOLS, tool_choice="auto")
    body, losses = to(upstream, request, "gpt-4.1" if upstream == "chat" else "claude-sonnet-4-5")
    names = [tool.get("name") or tool["function"]["name"] for tool in body["tools"]]
    assert names == ["shell", "apply_patch", "crm__find", "crm__list"]
    assert sorted(losses) == ["tools[1].format", "tools[2]", "tools[3]", "tools[4].tools[0].namespace"]
    with pytest.raises(Problem, match="web_search"):
        to(upstream, read(tools=AGENT_TOOLS, tool_choice={"type": "web_search"}))


def test_r086_a_call_in_a_namespace_is_named_as_its_tool() -> None:
    request = read(tools=AGENT_TOOLS, input=[{**call(1), "name": "find", "namespace": "crm"}, output(1)])
    made = request.turns[0].parts[0]
    assert isinstance(made, Call)
    assert made.name == "crm__find"
    body = json.loads(DIALECT.write_request(request, Target("p", "m")).body)
    assert body["input"][0]["namespace"] == "crm"
    assert body["tools"] == AGENT_TOOLS


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "rs_1"}]}, "input[1]"),
        ({"input": [{"role": "user", "content": "x"}, {"id": "msg_1"}]}, "input[1]"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "compaction", "encrypted_content": "E"}]}, "input[1]"),
    ],
)
def test_r085_what_a_server_remembers_is_refused_elsewhere(upstream: str, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as caught:
        to(upstream, read(**fields))
    assert caught.value.error.param == path
    assert json.loads(DIALECT.write_request(read(**fields), Target("p", "m")).body).items() >= fields.items()


@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_a_plain_request_loses_nothing(upstream: str) -> None:
    _, losses = to(upstream, read(store=True, background=False, truncation="disabled", instructions="Be brief.",
                                  include=["reasoning.encrypted_content"], reasoning={"effort": None, "summary": None},
                                  text={"format": {"type": "text"}}, top_logprobs=0, tools=[], tool_choice="auto",
                                  parallel_tool_calls=True, previous_response_id=None, metadata={}), "gpt-4.1" if
                   upstream == "chat" else "claude-sonnet-4-5")  # fmt: skip
    assert losses == []


def test_r064_no_tools_no_choice() -> None:
    body, _ = to("chat", read(tools=[], tool_choice="auto", parallel_tool_calls=True), "gpt-4.1")
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_what_steers_and_is_lost_is_said() -> None:
    fields = {"truncation": "auto", "max_tool_calls": 3, "include": ["file_search_call.results"], "new_field": 1}
    _, losses = to("chat", read(**fields), "gpt-4.1")
    assert sorted(losses) == ["include", "max_tool_calls", "new_field", "truncation"]


def test_phase_is_lost_with_its_path() -> None:
    said = {
        "type": "message",
        "role": "assistant",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "x"}],
    }
    _, losses = to(
        "chat", read(input=[{"role": "user", "content": "x"}, said, {"role": "user", "content": "y"}]), "gpt-4.1"
    )
    assert losses == ["input[1].phase"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"model": ""}, "model"), ({"model": 3}, "model"), ({"input": 3}, "input"), ({"input": None}, "input"),
        ({"input": [3]}, "input[0]"), ({"input": [{"type": 3}]}, "input[0].type"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"), ({"tools": {}}, "tools"),
        ({"tool_choice": "any"}, "tool_choice"), ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"), ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"), ({"include": [3]}, "include[0]"),
        ({"store": "yes"}, "store"), ({"metadata": []}, "metadata"),
    ],
)  # fmt: skip
def test_faults_are_named(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as caught:
        read(**fields)
    assert caught.value.error.param == path
    assert path in caught.value.error.message


def test_a_key_that_stands_twice_is_refused() -> None:
    from ds2api import jsons

    with pytest.raises(Problem, match="twice"):
        DIALECT.read_request(jsons.parse_object(b'{"model":"a","model":"b","input":"x"}'), {}, "/v1/responses")


def test_a_count_needs_no_input() -> None:
    request = DIALECT.read_request({"model": "m"}, {}, "/v1/responses/input_tokens")
    assert request.turns == []
