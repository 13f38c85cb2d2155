"""Requests: what a client sends goes back as it came; what other clients send passes the strict validator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat import recordings as chat_recordings
from tests.dialects.messages import recordings as messages_recordings
from tests.dialects.ollama.samples import PNG, REQUESTS, TARGET, read, written
from tests.dialects.ollama.sdk import sent
from tests.dialects.ollama.strict import check

from ds2api.dialects.chat import DIALECT as CHAT
from ds2api.dialects.contract import Dialect, Target
from ds2api.dialects.messages import DIALECT as MESSAGES
from ds2api.dialects.ollama import DIALECT
from ds2api.universal.errors import Kind, Problem
from ds2api.universal.parts import (
    Audio,
    CacheMark,
    Call,
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

each_sample = pytest.mark.parametrize("name", REQUESTS)
LOOK = Tool("look", "Looks", {"type": "object", "properties": {"a": {"type": "string"}}}, path="tools[0]")


def foreign(*turns: Turn, **changes: Any) -> Request:
    return Request("chat", "m", list(turns) or [Turn("user", [Text("Hi")])], **changes)


def problem(request: Request, target: Target = TARGET) -> str:
    with pytest.raises(Problem) as raised:
        DIALECT.write_request(request, target)
    assert raised.value.error.kind is Kind.UNSUPPORTED
    return raised.value.error.param or ""


def asked(*parts: Part) -> Turn:
    return Turn("user", list(parts), path="messages[0]")


# --- its own ---


@each_sample
def test_its_own_request_comes_back_with_equal_json(name: str) -> None:
    path, body = REQUESTS[name]
    request = read(body, path)
    again, losses = written(request, Target("home", body["model"]))
    assert again == {"stream": True, **body}, "the only equivalence: streaming is said"
    assert losses == []
    assert DIALECT.write_request(request, TARGET).path == path.removeprefix("/api")
    assert check(again, path) == []


@each_sample
def test_r080_model_and_stream_come_first_and_equal_requests_give_equal_bytes(name: str) -> None:
    path, body = REQUESTS[name]
    first, second = (DIALECT.write_request(read(body, path), TARGET).body for _ in range(2))
    assert first == second
    assert first.startswith(b'{"model":"qwen3:8b","stream":')


def test_what_the_sdk_sends_is_read() -> None:
    def look(city: str) -> str:
        """Looks.

        Args:
          city: where
        """
        return city

    answer = {"message": {"role": "assistant", "content": ""}}
    path, headers, body = sent(
        lambda sdk: sdk.chat(
            "llama3.2",
            [{"role": "user", "content": "Hi", "images": [PNG]}],
            tools=[look],
            think=True,
            options={"temperature": 0},
        ),
        answer,
    )
    assert DIALECT.claims(headers, "")
    assert not DIALECT.claims({"user-agent": "curl/8"}, "")
    request = read(body, path)
    assert request.stream is False
    assert request.tools[0].name == "look"
    assert request.sampling.temperature == 0
    assert request.extra is None
    path, _, body = sent(lambda sdk: sdk.generate("llama3.2", "Why?", stream=False), {})
    request = read(body, path)
    assert [turn.role for turn in request.turns] == ["user"]
    assert request.extra is None, "what was not said is sent as an empty string"


def test_everything_lands_in_universal_fields() -> None:
    request = read(REQUESTS["options"][1])
    assert request.max_output_tokens is None
    assert request.stop == ["END"]
    assert request.sampling == Sampling(0.5, 0.9, 40, 0.1, 0.2, 0.1, 1.1, 7)
    assert request.output == OutputFormat("schema", REQUESTS["options"][1]["format"], path="format")
    assert request.reasoning == ReasoningControl(effort="high", mode="enabled", show="text", path="think")
    assert (request.logprobs, request.top_logprobs, request.stream) == (True, 3, False)
    assert request.path_of("temperature") == "options.temperature"
    assert request.extra == Extra(
        "ollama",
        {"options.mirostat": 1},
        frozenset(),
        {"keep_alive": "5m", "options.num_ctx": 8192, "options.num_predict": -1},
    )


def test_only_what_matters_elsewhere_is_lost_elsewhere() -> None:
    """`mapping.md` §3: num_ctx and keep_alive are silent; raw, template, context, suffix are refused."""
    outgoing = CHAT.write_request(read(REQUESTS["options"][1]), Target("p", "gpt-4.1"))
    assert {loss.path for loss in outgoing.losses} >= {"options.mirostat"}
    assert not {loss.path for loss in outgoing.losses} & {"keep_alive", "options.num_ctx", "options.num_predict"}
    for name in ("raw", "fill"):
        path, body = REQUESTS[name]
        with pytest.raises(Problem):
            CHAT.write_request(read(body, path), Target("p", "gpt-4.1"))


def test_results_find_their_calls_by_name_in_order() -> None:
    request = read(REQUESTS["tools"][1])
    calls = [part for part in request.turns[1].parts if isinstance(part, Call)]
    results = [part for turn in request.turns for part in turn.parts if isinstance(part, Result)]
    assert [call.id for call in calls] == ["call_1_0", "call_1_1"]
    assert [result.call_id for result in results] == ["call_1_0", "call_1_1"]
    body = json.loads(CHAT.write_request(request, Target("p", "gpt-4.1")).body)
    assert [message.get("tool_call_id") for message in body["messages"]][2:] == ["call_1_0", "call_1_1"]
    assert json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}


def test_a_result_by_another_name_answers_nothing() -> None:
    body = REQUESTS["tools"][1]
    other = {**body, "messages": [*body["messages"][:2], {"role": "tool", "content": "x", "tool_name": "other"}]}
    part = read(other).turns[2].parts[0]
    assert isinstance(part, Result)
    assert (part.call_id, part.name) == ("call_2", "other")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"), ("/9j/4AAQSkZJRg==", "image/jpeg"), ("R0lGODlhAQAB", "image/gif"), ("UklGRgAA", "image/webp"),
        ("AAAA", None), (f"data:image/webp;base64,{PNG}", "image/webp"), (f"data:;base64,{PNG}", "image/png"),
    ],
)  # fmt: skip
def test_an_image_says_its_type_by_its_first_bytes(data: str, media_type: str | None) -> None:
    request = read({"model": "m", "messages": [{"role": "user", "content": "x", "images": [data]}]})
    part = request.turns[0].parts[1]
    assert isinstance(part, Image)
    assert part.source == Source(data=data.rpartition(",")[2], media_type=media_type)
    assert part.path == "messages[0].images[0]"


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": []}, "model"),
        ({"model": 1}, "model"),
        ({"model": "m", "messages": {}}, "messages"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "ai", "content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"model": "m", "messages": [USER | {"images": ["http://x/y.png"]}]}, "messages[0].images[0]"),
        ({"model": "m", "messages": [USER | {"tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"model": "m", "messages": [USER | {"tool_calls": [{"function": {"name": "a", "arguments": [1]}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"model": "m", "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"model": "m", "options": {"temperature": "hot"}}, "options.temperature"),
        ({"model": "m", "options": {"stop": "END"}}, "options.stop"),
        ({"model": "m", "options": {"top_k": 1.5}}, "options.top_k"),
        ({"model": "m", "format": "yaml"}, "format"),
        ({"model": "m", "format": 3}, "format"),
        ({"model": "m", "think": "very"}, "think"),
        ({"model": "m", "think": 3}, "think"),
        ({"model": "m", "stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as raised:
        read(body)
    assert raised.value.error.param == path
    assert path in raised.value.error.message


def test_two_equal_keys_are_refused() -> None:
    from ds2api import jsons

    with pytest.raises(Problem, match="twice"):
        read(jsons.parse_object(b'{"model":"a","model":"b","messages":[]}'))


# --- from clients of other dialects ---

RECORDED = [
    *((CHAT, one.name, one.request, "/v1/chat/completions") for one in chat_recordings.REQUESTS),
    *((MESSAGES, one.name, one.request, "/v1/messages") for one in messages_recordings.REQUESTS),
]


@pytest.mark.parametrize(
    ("dialect", "name", "body", "path"), RECORDED, ids=lambda one: one if isinstance(one, str) else ""
)
def test_recorded_requests_of_others_pass_the_validator(
    dialect: Dialect, name: str, body: dict[str, Any], path: str
) -> None:
    try:
        request = dialect.read_request(body, {}, path)
        outgoing = DIALECT.write_request(request, TARGET)
    except Problem as raised:
        assert raised.error.param is not None
        return
    assert check(json.loads(outgoing.body)) == []
    assert outgoing.body.startswith(b'{"model":"qwen3:8b","stream":')


def test_most_recorded_requests_are_not_refused() -> None:
    """So that refusing all would pass nothing."""
    passed = 0
    for dialect, _, body, path in RECORDED:
        try:
            DIALECT.write_request(dialect.read_request(body, {}, path), TARGET)
        except Problem:
            continue
        passed += 1
    assert passed > len(RECORDED) * 0.6


def test_r058_calls_of_one_answer_are_one_message() -> None:
    request = foreign(
        asked(Text("Go")),
        Turn("assistant", [Reasoning("Hm")]),
        Turn("assistant", [Call("c1", "look", "{}")]),
        Turn("assistant", [Call("c2", "look", '{"a":1}')]),
        Turn("tool", [Result("c1", [Text("one")])]),
        Turn("tool", [Result("c2", [Text("two")])]),
    )
    body, _ = written(request)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in body["messages"][1]["tool_calls"]] == ["c1", "c2"]
    assert body["messages"][1]["thinking"] == "Hm"
    assert body["messages"][2] == {"role": "tool", "content": "one", "tool_call_id": "c1", "tool_name": "look"}
    assert check(body) == []


def test_r074_results_stand_in_the_order_of_their_calls_and_r047_pictures_follow() -> None:
    calls: list[Part] = [Call(f"c{index}", f"t{index}", "{}") for index in (1, 2, 3)]
    picture = Image(Source(data=PNG, media_type="image/png"), path="messages[3].content[1]")
    request = foreign(
        asked(Text("Go")),
        Turn("assistant", calls),
        Turn("tool", [Result("c3", [Text("three")])]),
        Turn("tool", [Result("c1", [Text("one"), picture], is_error=True, path="messages[3]")]),
        Turn("user", [Result("c2", []), Text("and now?")]),
    )
    body, losses = written(request)
    said = [(message["role"], message["content"]) for message in body["messages"][2:]]
    assert said == [
        ("tool", "ERROR: one\n(image follows)"), ("tool", ""), ("tool", "three"), ("user", ""), ("user", "and now?"),
    ]  # fmt: skip
    assert body["messages"][5]["images"] == [PNG]
    assert losses == ["approximated messages[3].content[1]", "approximated messages[3].is_error"]


def test_r055_a_note_between_call_and_result_comes_after_the_result() -> None:
    request = foreign(
        Turn("assistant", [Call("c1", "look", "{}")]),
        Turn("system", [Text("note")]),
        Turn("tool", [Result("c1", [Text("one")])]),
    )
    assert [message["role"] for message in written(request)[0]["messages"]] == ["assistant", "tool", "system"]


def test_r046_every_part_arrives() -> None:
    data = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "A"}, data]}]}
    assert written(CHAT.read_request(body, {}, ""))[0]["messages"] == [
        {"role": "user", "content": "A", "images": [PNG]}
    ]


def test_r053_blank_system_text_is_left_out() -> None:
    request = foreign(Turn("system", [Text("  ")]), asked(Text("hi"), Text("")), Turn("assistant", [Text("")]))
    assert written(request)[0]["messages"] == [{"role": "user", "content": "hi"}]


def test_system_text_stays_where_it_stood() -> None:
    request = foreign(
        Turn("developer", [Text("a"), Text("b")]), asked(Text("hi")), Turn("system", [Text("c")]), asked(Text("more"))
    )
    assert [(one["role"], one["content"]) for one in written(request)[0]["messages"]] == [
        ("system", "a\nb"), ("user", "hi"), ("system", "c"), ("user", "more"),
    ]  # fmt: skip


def test_a_trailing_assistant_is_continued() -> None:
    request = foreign(asked(Text("hi")), Turn("assistant", [Text("I th"), Text("ink")]))
    body, losses = written(request)
    assert body["messages"][-1] == {"role": "assistant", "content": "I think"}
    assert losses == []


def test_r062_a_custom_tool_is_a_function_with_one_text() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/s"}}
    tool = Tool("apply_patch", custom=True, format=grammar, path="tools[0]")
    request = foreign(
        asked(Text("hi")), Turn("assistant", [Call("c1", "apply_patch", "*** Begin\n", custom=True)]), tools=[tool]
    )
    outgoing = DIALECT.write_request(request, TARGET)
    body = json.loads(outgoing.body)
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert "lark" in body["tools"][0]["function"]["description"]
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"input": "*** Begin\n"}
    assert outgoing.restore.custom_tools == {"apply_patch"}
    assert [loss.path for loss in outgoing.losses] == ["tools[0].format"]


def test_r064_without_tools_nothing_is_said_of_them() -> None:
    body, losses = written(foreign(tool_choice=ToolChoice("auto"), parallel_calls=False))
    assert "tools" not in body
    assert losses == []


def test_r086_hosted_tools_that_are_offered_are_left_out() -> None:
    hosted = Tool("web_search", hosted=True, kind="web_search", path="tools[0]")
    body, losses = written(foreign(tools=[hosted, LOOK]))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert losses == ["dropped tools[0]"]
    assert problem(foreign(tools=[hosted], tool_choice=ToolChoice("named", "web_search"))) == "tool_choice"


def test_tool_choice() -> None:
    two = [LOOK, Tool("other", path="tools[1]")]
    assert "tools" not in written(foreign(tools=two, tool_choice=ToolChoice("none")))[0]
    allowed = ToolChoice("allowed", allowed=AllowedTools(("other",), required=False))
    body, losses = written(foreign(tools=two, tool_choice=allowed))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["other"]
    assert losses == ["approximated tool_choice"]
    must = ToolChoice("allowed", allowed=AllowedTools(("other",), required=True))
    for choice in (ToolChoice("required"), ToolChoice("named", "look"), must):
        request = foreign(tools=two, tool_choice=choice)
        assert problem(request) == "tool_choice"
        assert written(request, Target("home", "m", losses="allow"))[1] == ["dropped tool_choice"]


def test_r050_schemas_are_in_a_form_that_the_server_reads() -> None:
    odd = {"$schema": "x", "type": ["object", "null"], "properties": {"a": True, "b": {"const": 1}}, "required": ["a"]}
    tools = [Tool("look", parameters=odd, strict=True, path="tools[0]"), Tool("bare", path="tools[1]")]
    body, losses = written(foreign(tools=tools, parallel_calls=False))
    assert check(body) == []
    parameters = body["tools"][0]["function"]["parameters"]
    assert list(parameters) == ["$schema", "type", "properties", "required"]
    assert parameters["properties"] == {"a": {}, "b": {"const": 1}}
    assert body["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert losses == ["dropped parallel_calls", "dropped tools[0].strict"]


@pytest.mark.parametrize(
    ("control", "think", "is_lost"),
    [
        (ReasoningControl("none"), False, False), (ReasoningControl("minimal"), "low", True),
        (ReasoningControl("low"), "low", False), (ReasoningControl("high"), "high", False),
        (ReasoningControl("xhigh"), "max", True), (ReasoningControl("max"), "max", False),
        (ReasoningControl(mode="adaptive"), True, False), (ReasoningControl(mode="disabled"), False, False),
        (ReasoningControl(budget_tokens=0), False, False), (ReasoningControl(budget_tokens=-1), True, False),
        (ReasoningControl(mode="enabled", budget_tokens=16_000), "medium", False),
        (ReasoningControl(show="summary"), None, False),
    ],
)  # fmt: skip
def test_effort(control: ReasoningControl, think: Any, is_lost: bool) -> None:
    body, losses = written(foreign(reasoning=control))
    assert body.get("think") == think
    assert losses == (["clamped reasoning_effort"] if is_lost else [])
    assert check(body) == []


def test_a_model_that_does_not_think_is_not_told_to() -> None:
    target = Target("home", "m", capabilities={"thinking": False})
    body, losses = written(foreign(reasoning=ReasoningControl("high")), target)
    assert "think" not in body
    assert losses == ["dropped reasoning_effort"]


def test_controls_become_options() -> None:
    request = foreign(
        sampling=Sampling(0.1, 0.2, 3, 0.4, 0.5, 0.6, 0.7, 8),
        max_output_tokens=9,
        stop=["A", "B", "C", "D", "E"],
        output=OutputFormat("schema", {"type": "object"}, "n", strict=True),
        top_logprobs=2,
        stream=True,
    )
    body, losses = written(request)
    assert body["options"] == {
        "temperature": 0.1, "top_p": 0.2, "top_k": 3, "min_p": 0.4, "frequency_penalty": 0.5, "presence_penalty": 0.6,
        "repeat_penalty": 0.7, "seed": 8, "num_predict": 9, "stop": ["A", "B", "C", "D", "E"],
    }  # fmt: skip
    assert (body["format"], body["logprobs"], body["top_logprobs"]) == ({"type": "object"}, True, 2)
    assert losses == []
    assert written(foreign(output=OutputFormat("json")))[0]["format"] == "json"
    assert "format" not in written(foreign(output=OutputFormat("text")))[0]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"choices": 2}, "choices"), ({"modalities": ["text", "audio"]}, "modalities"),
        ({"state": State(previous_response_id="r")}, "previous_response_id"), ({"state": State(store=True)}, "store"),
        ({"extra": Extra("chat", {"web_search_options": {}}, frozenset({"web_search_options"}))}, "web_search_options"),
    ],
)  # fmt: skip
def test_what_callers_rely_on_is_refused(changes: dict[str, Any], path: str) -> None:
    assert problem(foreign(**changes)) == path


@pytest.mark.parametrize(
    "part",
    [
        File(Source(data="JVBERi0="), path="p"), Audio(Source(data="AAAA"), path="p"),
        Image(Source(url="https://x/y.png"), path="p"), Image(Source(file_id="f"), path="p"),
        Opaque("messages", "server_tool_use", {}, path="p"),
    ],
)  # fmt: skip
def test_input_that_cannot_be_read_is_refused_with_its_path(part: Part) -> None:
    assert problem(foreign(asked(Text("x"), part))) == "p"


def test_hints_are_reported() -> None:
    request = foreign(
        asked(Text("x", cache=CacheMark(path="messages[0].cache_control"))),
        verbosity="low", prediction={"type": "content"}, service_tier="flex", metadata={"a": "b"}, user="u", cache_key="k",
        sampling=Sampling(logit_bias={"1": 2}), extra=Extra("chat", {"new_field": 1}), paths={"cache_key": "prompt_cache_key"},
    )  # fmt: skip
    assert sorted(written(request)[1]) == [
        "dropped logit_bias", "dropped messages[0].cache_control", "dropped metadata", "dropped new_field",
        "dropped prediction", "dropped prompt_cache_key", "dropped service_tier", "dropped user", "dropped verbosity",
    ]  # fmt: skip
    assert written(foreign(service_tier="auto", state=State(store=False)))[1] == []
    with pytest.raises(Problem, match="refuse"):
        DIALECT.write_request(request, Target("home", "m", losses="refuse"))


def test_reasoning_with_anothers_proof_is_dropped_and_without_one_sent() -> None:
    proved = Reasoning("secret", Sealed("anthropic_signature", "S"), path="r")
    body, losses = written(foreign(asked(Text("x")), Turn("assistant", [proved, Text("a"), Refusal("no", path="f")])))
    assert body["messages"][1] == {"role": "assistant", "content": "ano"}
    assert losses == ["dropped r", "approximated f"]
    body, losses = written(foreign(asked(Text("x")), Turn("assistant", [Reasoning("Hm"), Text("a")])))
    assert body["messages"][1] == {"role": "assistant", "content": "a", "thinking": "Hm"}
    assert losses == []


def test_broken_arguments_are_wrapped() -> None:
    body, losses = written(foreign(asked(Text("x")), Turn("assistant", [Call("c", "look", "{oops", path="c")])))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"_raw": "{oops"}
    assert losses == ["approximated c"]


def test_a_result_without_its_call_is_refused() -> None:
    assert (
        problem(foreign(asked(Text("x")), Turn("tool", [Result("c9", [Text("?")], path="messages[1]")])))
        == "messages[1]"
    )


# --- laws ---

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
VALUES = st.dictionaries(st.sampled_from("ab"), st.integers(-9, 9) | TEXTS, max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Turns that this dialect can express."""
    turns: list[Turn] = [Turn("system", [Text(draw(TEXTS))])] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        user: list[Part] = [Text(draw(TEXTS))]
        if draw(st.booleans()):
            user.append(Image(Source(data=PNG, media_type="image/png")))
        turns.append(Turn("user", user))
        said: list[Part] = [Reasoning(draw(TEXTS))] if draw(st.booleans()) else []
        said += [Text(draw(TEXTS))] if draw(st.booleans()) else []
        ids = [f"c{number}_{one}" for one in range(draw(st.integers(0, 2)))]
        said += [Call(one, draw(st.sampled_from(["f", "g"])), json.dumps(draw(VALUES))) for one in ids]
        if said:
            turns.append(Turn("assistant", said))
        turns += [Turn("tool", [Result(one, [Text(draw(TEXTS))])]) for one in ids]
    return turns


def meaning(turns: list[Turn]) -> list[Any]:
    def of(part: Part) -> Any:
        match part:
            case Text() | Reasoning():
                return type(part).__name__, part.text
            case Image():
                return part.source
            case Call():
                return part.id, part.name, json.loads(part.arguments)
            case Result():
                return part.call_id, [of(one) for one in part.content]
        return part

    return [(turn.role, [of(part) for part in turn.parts]) for turn in turns]


@given(conversations(), st.integers(1, 99) | st.none(), st.lists(TEXTS, max_size=2), st.booleans())
def test_what_can_be_said_is_read_back_equal(
    turns: list[Turn], limit: int | None, stop: list[str], stream: bool
) -> None:
    request = foreign(*turns, max_output_tokens=limit, stop=stop, stream=stream, tools=[LOOK])
    body, losses = written(request)
    assert losses == []
    assert check(body) == []
    back = read(body)
    assert meaning(back.turns) == meaning(turns)
    assert (back.max_output_tokens, back.stop, back.stream) == (limit, stop, stream)
    assert [(tool.name, tool.description, tool.parameters) for tool in back.tools] == [
        (LOOK.name, LOOK.description, LOOK.parameters)
    ]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"messages": []}, "model: required"),
        ({"model": "", "messages": []}, "model is required"),
        ({"model": "m", "messages": [], "n": 2}, "n: unknown field"),
        ({"model": "m", "messages": [{"role": "ai", "content": "x"}]}, "messages[0]: invalid role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content: required, a string"),
        ({"model": "m", "messages": [USER | {"images": ["http://x"]}]}, "messages[0].images[0]: illegal base64 data"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "follow the calls"),
        ({"model": "m", "options": {"seed": "x"}}, "options.seed: expected a number"),
        ({"model": "m", "options": {"logit_bias": {}}}, "options.logit_bias: unknown field"),
        ({"model": "m", "think": "xhigh"}, "think: 'xhigh'"),
        ({"model": "m", "tools": [{"type": "function", "function": {}}]}, "name: required"),
    ],
)
def test_the_validator_refuses(body: dict[str, Any], fault: str) -> None:
    assert any(fault in one for one in check(body)), check(body)
