"""What clients send is read strictly: the right type, or an error that names field, found and accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ds2api import jsons
from ds2api.dialects.chat import DIALECT
from ds2api.dialects.contract import Target
from ds2api.universal.errors import Kind, Problem
from ds2api.universal.parts import Audio, Call, File, Image, Reasoning, Refusal, Result, Source, Text
from ds2api.universal.request import Request

USER = {"role": "user", "content": "hi"}


def read(*messages: dict[str, Any], **fields: Any) -> Request:
    return DIALECT.read_request(
        {"model": "m", "messages": list(messages) or [USER], **fields}, {}, "/v1/chat/completions"
    )


def refused(body: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Problem) as raised:
        DIALECT.read_request(body, {}, "/v1/chat/completions")
    error = raised.value.error
    assert error.kind is Kind.BAD_REQUEST
    assert error.param is not None
    return error.param, error.message


def part(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "a"}, fields]}


def user_with(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [part(**fields)]}


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"messages": [USER]}, "model", "required"),
        ({"model": 3, "messages": [USER]}, "model", "expected a string, found a number"),
        ({"model": "", "messages": [USER]}, "model", "empty"),
        ({"model": "m"}, "messages", "required"),
        ({"model": "m", "messages": "hi"}, "messages", "expected an array, found a string"),
        ({"model": "m", "messages": []}, "messages", "at least one"),
        ({"model": "m", "messages": ["hi"]}, "messages[0]", "expected an object, found a string"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role", "required"),
        ({"model": "m", "messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", '"robot"; accepted are "system"'),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content", "required"),
        ({"model": "m", "messages": [{"role": "user", "content": None}]}, "messages[0].content", "found null"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages[0].content", "a string or an array of parts, found a number"),
        ({"model": "m", "messages": [USER, part(type="text", text=3)]}, "messages[1].content[1].text", "expected a string, found a number"),
        (user_with(type="smell"), "messages[0].content[1].type", 'unknown part type "smell"; accepted are "text"'),
        (user_with(type="image_url"), "messages[0].content[1].image_url", "found null"),
        (user_with(type="image_url", image_url={"url": ""}), "messages[0].content[1].image_url.url", "empty"),
        (user_with(type="image_url", image_url={"url": "u", "detail": 1}), "messages[0].content[1].image_url.detail", "found a number"),
        (user_with(type="input_audio", input_audio={"format": "wav"}), "messages[0].content[1].input_audio.data", "required"),
        (user_with(type="file", file={}), "messages[0].content[1].file", '"file_data" or "file_id"'),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls", "expected an array, found an object"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": None}]}]}, "messages[0].tool_calls[0].id", "found null"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "magic"}]}]}, "messages[0].tool_calls[0].type", '"magic"'),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "required"),
        ({"model": "m", "messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "required"),
        ({"model": "m", "messages": [{"role": "assistant", "content": "", "reasoning_details": [3]}]}, "messages[0].reasoning_details[0]", "expected an object"),
        ({"model": "m", "messages": [USER], "stream": "yes"}, "stream", "expected a boolean, found a string"),
        ({"model": "m", "messages": [USER], "stream_options": {"include_usage": 1}}, "stream_options.include_usage", "expected a boolean"),
        ({"model": "m", "messages": [USER], "temperature": "hot"}, "temperature", "expected a number, found a string"),
        ({"model": "m", "messages": [USER], "temperature": True}, "temperature", "expected a number, found a boolean"),
        ({"model": "m", "messages": [USER], "max_tokens": 0}, "max_tokens", "at least 1, found 0"),
        ({"model": "m", "messages": [USER], "max_completion_tokens": 1.5}, "max_completion_tokens", "expected an integer, found 1.5"),
        ({"model": "m", "messages": [USER], "n": -1}, "n", "at least 1"),
        ({"model": "m", "messages": [USER], "stop": ["a", 3]}, "stop[1]", "expected a string"),
        ({"model": "m", "messages": [USER], "stop": 3}, "stop", "a string or an array of strings"),
        ({"model": "m", "messages": [USER], "tools": [{"type": "function"}]}, "tools[0].function", "required"),
        ({"model": "m", "messages": [USER], "tools": [{"type": "function", "function": {"name": "f", "parameters": "{}"}}]}, "tools[0].function.parameters", "expected an object"),
        ({"model": "m", "messages": [USER], "tool_choice": "maybe"}, "tool_choice", '"auto", "none", "required"'),
        ({"model": "m", "messages": [USER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x", "tools": []}}}, "tool_choice.allowed_tools.mode", '"auto", "required"'),
        ({"model": "m", "messages": [USER], "response_format": {"type": "xml"}}, "response_format.type", '"text", "json_object", "json_schema"'),
        ({"model": "m", "messages": [USER], "response_format": {"type": "json_schema"}}, "response_format.json_schema", "required"),
        ({"model": "m", "messages": [USER], "modalities": ["text", 1]}, "modalities[1]", "expected a string"),
        ({"model": "m", "messages": [USER], "reasoning": {"max_tokens": -1}}, "reasoning.max_tokens", "at least 0"),
    ],
)  # fmt: skip
def test_wrong_field_is_named_with_what_came_and_what_is_accepted(body: dict[str, Any], param: str, words: str) -> None:
    assert refused(body)[0] == param
    assert words in refused(body)[1]
    assert refused(body)[1].startswith(param)


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"model":"a","messages":[],"model":"b"}', "model"),
        (b'{"model":"a","messages":[{"role":"user","content":"x","role":"system"}]}', "messages[0].role"),
        (
            b'{"model":"a","messages":[{"role":"user","content":"x"}],"tools":[{"type":"x","type":"y"}]}',
            "tools[0].type",
        ),
    ],
)
def test_key_that_stands_twice_is_refused(raw: bytes, param: str) -> None:
    assert refused(jsons.parse_object(raw))[0] == param


def test_parts_arrive_in_order() -> None:
    """R046: a list of parts is a message like any other."""
    content = [{"type": "text", "text": "A"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    turn = read({"role": "user", "content": content}).turns[0]
    assert turn.parts == [
        Text("A", path="messages[0].content[0]"),
        Image(Source(data="AAAA", media_type="image/png"), path="messages[0].content[1]"),
    ]
    assert not turn.plain


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://a.example/x.png", Source(url="https://a.example/x.png")),
        ("data:image/PNG;base64,AA==", Source(data="AA==", media_type="image/png")),
        ("data:text/plain;charset=utf-8;base64,AA==", Source(data="AA==", media_type="text/plain")),
        ("data:;base64,AA==", Source(data="AA==")),
        ("data:text/plain,h%C3%A9", Source(data="aMOp", media_type="text/plain")),
        ("DATA:image/gif;BASE64,A\nA\r\n==", Source(data="AA==", media_type="image/gif")),
    ],
)
def test_url_is_taken_apart(url: str, source: Source) -> None:
    image = read(part(type="image_url", image_url={"url": url})).turns[0].parts[1]
    assert isinstance(image, Image)
    assert image.source == source


def test_every_kind_of_media_is_read() -> None:
    turn = read({"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "input_audio", "input_audio": "AAAA"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document_url", "document_url": "https://a.example/a.pdf"},
        {"type": "image_url", "image_url": "https://a.example/a.png"},
    ]}).turns[0]  # fmt: skip
    audio, bare, pdf, known, linked, picture = turn.parts
    assert isinstance(audio, Audio)
    assert (audio.source.media_type, audio.format) == ("audio/mpeg", "mp3")
    assert isinstance(bare, Audio)
    assert isinstance(pdf, File)
    assert (pdf.name, pdf.source) == ("a.pdf", Source(data="JVBE", media_type="application/pdf"))
    assert isinstance(known, File)
    assert known.source.file_id == "file-1"
    assert isinstance(linked, File)
    assert linked.source.url == "https://a.example/a.pdf"
    assert isinstance(picture, Image)


def test_assistant_is_read_with_all_that_it_said() -> None:
    turn = read(
        {
            "role": "assistant",
            "content": "text",
            "refusal": "no",
            "name": "bob",
            "reasoning_content": "hm",
            "tool_calls": [CALL],
        }
    ).turns[0]
    assert [type(one) for one in turn.parts] == [Reasoning, Text, Refusal, Call]
    assert turn.name == "bob"


def test_tools_message_is_a_result() -> None:
    turn = read({"role": "tool", "tool_call_id": "c", "content": "done"}).turns[0]
    assert turn.role == "tool"
    assert isinstance(turn.parts[0], Result)
    assert turn.parts[0].call_id == "c"


def test_arguments_keep_their_text_even_broken() -> None:
    broken = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.10, '}}
    call = read({"role": "assistant", "tool_calls": [broken]}).turns[0].parts[0]
    assert isinstance(call, Call)
    assert call.arguments == '{"a": 1.10, '


def test_r082_thinking_stands_once_and_at_its_place() -> None:
    """R082: `thinking_blocks` beside a content that has them already adds nothing."""
    block = {"type": "thinking", "thinking": "hm", "signature": "S"}
    content = [{"type": "text", "text": "a"}, block, {"type": "text", "text": "b"}]
    turn = read({"role": "assistant", "content": content, "thinking_blocks": [block]}).turns[0]
    assert [type(one) for one in turn.parts] == [Text, Reasoning, Text]
    alone = read({"role": "assistant", "content": "a", "thinking_blocks": [block]}).turns[0]
    assert [type(one) for one in alone.parts] == [Reasoning, Text]


def test_details_that_a_client_collected_in_pieces_are_one_thought() -> None:
    details = [
        {"type": "reasoning.text", "text": "a ", "index": 0}, {"type": "reasoning.text", "text": "b", "index": 0},
        {"type": "reasoning.text", "signature": "S", "index": 0}, {"type": "reasoning.encrypted", "data": "D", "index": 1},
    ]  # fmt: skip
    parts = read({"role": "assistant", "content": "x", "reasoning": "a b", "reasoning_details": details}).turns[0].parts
    thoughts = [one for one in parts if isinstance(one, Reasoning)]
    assert [(one.text, one.redacted, one.sealed is not None) for one in thoughts] == [
        ("a b", False, True),
        ("", True, True),
    ]
    assert [one.path for one in thoughts] == ["messages[0].reasoning_details[0]", "messages[0].reasoning_details[3]"]


def test_new_limit_wins_over_its_old_name() -> None:
    """R070."""
    both = read(max_tokens=5, max_completion_tokens=9)
    assert (both.max_output_tokens, both.path_of("max_output_tokens")) == (9, "max_completion_tokens")
    assert "max_tokens" not in (both.extra.fields if both.extra else {})
    assert read(max_tokens=5).path_of("max_output_tokens") == "max_tokens"


def test_unknown_fields_are_kept_where_they_stood() -> None:
    request = read(
        {"role": "user", "content": [{"type": "text", "text": "x", "z": 1}], "y": 2},
        tools=[{"type": "function", "function": {"name": "f", "w": 3}, "v": 4}], u=5, nothing=None,
    )  # fmt: skip
    assert request.extra is not None
    assert request.extra.fields == {"u": 5}
    turn = request.turns[0]
    assert turn.extra is not None
    assert turn.extra.fields == {"y": 2}
    assert turn.parts[0].extra is not None  # type: ignore[union-attr]
    tool = request.tools[0]
    assert tool.extra is not None
    assert tool.extra.fields == {"v": 4, "function": {"w": 3}}


@pytest.mark.parametrize(
    ("fields", "effort", "mode", "budget", "path"),
    [
        ({"reasoning_effort": "high"}, "high", None, None, "reasoning_effort"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, None, "enabled", 9, "thinking"),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "low"}, "low", "disabled", None, "thinking"),
        ({"reasoning": {"effort": "low", "enabled": True, "max_tokens": 7}}, "low", "enabled", 7, "reasoning"),
    ],
)
def test_reasoning_is_read_in_every_spelling(fields: Any, effort: Any, mode: Any, budget: Any, path: str) -> None:
    control = read(**fields).reasoning
    assert control is not None
    assert (control.effort, control.mode, control.budget_tokens, control.path) == (effort, mode, budget, path)


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_effort": "default"}, {"thinking": {"type": "auto"}}, {"reasoning": {"effort": "ultra", "exclude": True}},
        {"thinking": {"type": "enabled", "clear_thinking": False}, "reasoning_effort": "max"},
        {"reasoning": {"enabled": True}, "reasoning_effort": "low"},
    ],
)  # fmt: skip
def test_words_that_only_one_server_knows_go_back_to_it(fields: dict[str, Any]) -> None:
    written = json.loads(DIALECT.write_request(read(**fields), Target("p", "m")).body)
    assert {name: written[name] for name in fields} == fields


def test_old_functions_are_tools_and_go_back_as_functions() -> None:
    body = {
        "model": "m", "stream": False,
        "messages": [
            USER, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
        "functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": {"name": "f"},
    }  # fmt: skip
    request = DIALECT.read_request(body, {}, "")
    assert [tool.name for tool in request.tools] == ["f"]
    call, result = request.turns[1].parts[0], request.turns[2].parts[0]
    assert isinstance(call, Call)
    assert isinstance(result, Result)
    assert call.id == result.call_id
    assert json.loads(DIALECT.write_request(request, Target("p", "m")).body) == body
