"""What a Gemini client's request means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from tests.dialects.gemini.recordings import PATH, normalised
from tests.dialects.gemini.sdk import body_sent

from ds2api import jsons
from ds2api.dialects.contract import Target
from ds2api.dialects.gemini import DIALECT
from ds2api.dialects.gemini.schemas import from_gemini
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Audio, Call, File, Image, Opaque, Reasoning, Result, Text, Video
from ds2api.universal.request import Request

USER = {"role": "user", "parts": [{"text": "Hi"}]}


def read(*contents: Any, **fields: Any) -> Request:
    return DIALECT.read_request({"contents": list(contents) or [USER], **fields}, {}, PATH)


def back(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(DIALECT.write_request(request, Target("p", "gemini-2.5-flash")).body)
    return body


def parts(*given: Any, role: str = "user") -> list[Any]:
    return read({"role": role, "parts": list(given)}).turns[0].parts


def test_every_part_has_its_kind() -> None:
    found = parts(
        {"text": "a"}, {"text": "t", "thought": True, "thoughtSignature": "QQ=="}, {"inlineData": {"mimeType": "image/png", "data": "_-8"}},
        {"inline_data": {"mime_type": "audio/mp3", "data": "QUJD"}}, {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x/v"}, "videoMetadata": {"fps": 1}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/f"}}, {"inlineData": {"mimeType": "application/pdf", "data": "QUJD", "displayName": "d"}},
        {"fileData": {"fileUri": "https://youtu.be/x"}}, {"executableCode": {"code": "1"}}, {"thoughtSignature": "QQ=="}, {"toolCall": {"id": "a"}},
    )  # fmt: skip
    assert [type(part) for part in found] == [
        Text,
        Reasoning,
        Image,
        Audio,
        Video,
        File,
        File,
        Video,
        Opaque,
        Text,
        Opaque,
    ]
    assert found[2].source.data == "/+8=", "the alphabet that everybody else reads"
    assert found[3].format == "mp3"
    assert found[4].extra.fields == {"videoMetadata": {"fps": 1}}
    assert (found[5].source.url, found[5].source.file_id) == (None, "gs://b/f"), "only Google can fetch it"
    assert found[6].name == "d"
    assert [part.path for part in found[:2]] == ["contents[0].parts[0]", "contents[0].parts[1]"]


def test_results_find_their_calls_by_id_else_by_name_and_order() -> None:
    request = read(
        USER,
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "g", "args": {}}}, {"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"output": name}}} for name in ("f", "f", "g")]},
        {"role": "model", "parts": [{"function_call": {"id": "x", "name": "f", "args": {}}}]},
        {"role": "function", "parts": [{"function_response": {"id": "x", "name": "f", "response": {"error": "bad"}}}]},
    )  # fmt: skip
    calls = [part.id for turn in request.turns for part in turn.parts if isinstance(part, Call)]
    results = [part for turn in request.turns for part in turn.parts if isinstance(part, Result)]
    assert calls == ["call_1_0", "call_1_1", "call_1_2", "x"]
    assert [one.call_id for one in results] == ["call_1_0", "call_1_2", "call_1_1", "x"]
    assert (results[-1].is_error, results[-1].content[0].text, request.turns[-1].role) == (True, "bad", "tool")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"output": "plain"}, "plain"), ({"result": "5"}, "5"), ({"output": 5}, "5"), ({"error": {"a": 1.0}}, '{"a":1.0}'), ({"output": None}, "null"),
        ({"a": 1, "b": [2]}, '{"a":1,"b":[2]}'), ({}, "{}"), ({"output": "a", "more": 1}, '{"output":"a","more":1}'), ({"name": "x"}, '{"name":"x"}'),
    ],
)  # fmt: skip
def test_a_result_is_text_and_goes_back_as_it_came(response: dict[str, Any], text: str) -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    given = {"functionResponse": {"name": "f", "response": response}}
    request = read(USER, call, {"role": "user", "parts": [given]})
    assert request.turns[2].parts[0].content[0].text == text  # type: ignore[union-attr]
    assert back(request)["contents"][2]["parts"] == [given]


def test_both_spellings_mean_the_same_and_errors_use_the_clients() -> None:
    snake = {
        "system_instruction": {"parts": [{"text": "s"}]},
        "generation_config": {"max_output_tokens": 5, "top_p": 0.5, "stop_sequences": ["x"]},
    }
    camel = {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "generationConfig": {"maxOutputTokens": 5, "topP": 0.5, "stopSequences": ["x"]},
    }
    assert back(read(**snake)) == back(read(**camel))
    with pytest.raises(Problem) as raised:
        read(generation_config={"max_output_tokens": "5"})
    assert raised.value.error.param == "generation_config.max_output_tokens"
    with pytest.raises(Problem):
        read(generationConfig={"top_p": 1, "topP": 1})


def test_the_config_has_universal_words() -> None:
    request = read(
        systemInstruction="Be brief.", labels={"a": "b"}, serviceTier="flex", cachedContent="cachedContents/x", store=False,
        generationConfig={
            "temperature": 1, "topK": 4.0, "seed": 3, "candidateCount": 2, "responseLogprobs": True, "logprobs": 3, "presencePenalty": 0.5, "frequencyPenalty": -1,
            "responseModalities": ["TEXT", "IMAGE"], "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}, "speechConfig": {"languageCode": "de"},
        },
    )  # fmt: skip
    assert [turn.role for turn in request.turns] == ["system", "user"]
    assert (request.sampling.top_k, request.sampling.seed, request.choices, request.top_logprobs) == (4, 3, 2, 3)
    assert request.modalities == ["text", "image"] and request.metadata == {"a": "b"}
    assert request.reasoning is not None and (request.reasoning.mode, request.reasoning.show) == ("adaptive", "summary")
    assert request.state is not None and request.state.conversation == "cachedContents/x"
    assert request.extra is not None and request.extra.fields == {
        "generationConfig.speechConfig": {"languageCode": "de"}
    }
    assert request.path_of("temperature") == "generationConfig.temperature"
    assert back(request)["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": -1}
    with pytest.raises(Problem, match="cachedContent"):
        DIALECTS["chat"].write_request(request, Target("p", "m"))


@pytest.mark.parametrize(
    ("given", "mode", "budget", "effort"),
    [({"thinkingBudget": 0}, "disabled", 0, None), ({"thinkingBudget": 99}, "enabled", 99, None), ({"thinkingLevel": "LOW"}, None, None, "low"),
     ({"thinkingLevel": "NEW"}, None, None, None), ({"includeThoughts": False}, None, None, None)],
)  # fmt: skip
def test_thinking_goes_back_as_it_came(given: dict[str, Any], mode: str, budget: int, effort: str) -> None:
    request = read(generationConfig={"thinkingConfig": given})
    control = request.reasoning
    assert control is not None and (control.mode, control.budget_tokens, control.effort) == (mode, budget, effort)
    assert back(request)["generationConfig"]["thinkingConfig"] == given


@pytest.mark.parametrize(
    ("given", "mode", "names"),
    [
        ({"mode": "AUTO"}, "auto", None), ({"mode": "NONE"}, "none", None), ({"mode": "ANY"}, "required", None), ({"mode": "VALIDATED"}, "auto", None),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, "named", None), ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, "allowed", ("f", "g")),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, "allowed", ("f",)),
    ],
)  # fmt: skip
def test_every_mode_of_calling_is_read_and_goes_back(given: dict[str, Any], mode: str, names: Any) -> None:
    request = read(
        tools=[{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}], toolConfig={"functionCallingConfig": given}
    )
    choice = request.tool_choice
    assert choice is not None and choice.mode == mode
    assert (choice.allowed.names if choice.allowed else None) == names
    assert back(request)["toolConfig"]["functionCallingConfig"] == given


def test_a_schema_in_capitals_becomes_json_schema_and_goes_back_in_capitals() -> None:
    given = {
        "type": "OBJECT", "required": ["a"], "propertyOrdering": ["a", "b"],
        "properties": {"a": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"}, "b": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"},
                       "type": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True}},
    }  # fmt: skip
    assert from_gemini(given) == {
        "type": "object", "required": ["a"],
        "properties": {"a": {"type": ["string", "null"], "enum": ["x", None], "format": "enum"}, "b": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
                       "type": {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "number"}]}, {"type": "null"}]}},
    }  # fmt: skip
    tools = [
        {"functionDeclarations": [{"name": "f", "parameters": given}], "googleSearch": {}},
        {"functionDeclarations": [{"name": "g", "parametersJsonSchema": {"type": "object"}}]},
    ]
    request = read(tools=tools, generationConfig={"responseMimeType": "application/json", "responseSchema": given})
    assert [tool.hosted for tool in request.tools] == [False, True, False]
    assert back(request)["tools"] == tools
    assert back(request)["generationConfig"]["responseSchema"] == given
    chat = json.loads(DIALECTS["chat"].write_request(request, Target("p", "m")).body)
    assert chat["tools"][0]["function"]["parameters"]["properties"]["b"] == {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": 2,
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": []}, "contents"), ({"contents": "Hi"}, "contents"), ({"contents": [{"role": "user"}]}, "contents[0].parts"), ({"contents": [{"role": "assistant", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0]"), ({"contents": [{"parts": [{"text": "a", "inlineData": {"data": "", "mimeType": "a"}}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 3}]}]}, "contents[0].parts[0].text"), ({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, "contents[0].parts[0].functionCall.name"),
        ({"contents": [{"parts": [{"functionCall": {"name": "f", "args": "{}"}}]}]}, "contents[0].parts[0].functionCall.args"),
        ({"contents": [USER], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"contents": [USER], "generationConfig": {"stopSequences": "x"}}, "generationConfig.stopSequences"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_with_its_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.read_request(body, {}, PATH)
    assert raised.value.error.param == param


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(Problem, match="twice"):
        DIALECT.read_request(jsons.parse_object(b'{"contents":[],"contents":[]}'), {}, PATH)


def test_what_the_real_sdk_sends_is_understood_and_goes_back() -> None:
    config = types.GenerateContentConfig(
        system_instruction="s", temperature=0.5, tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="f", parameters=types.Schema(type="OBJECT"))])],  # type: ignore[arg-type]
        thinking_config=types.ThinkingConfig(thinking_level="LOW"), safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")],  # type: ignore[arg-type]
        response_json_schema={"type": "object"}, response_mime_type="application/json",
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )  # fmt: skip
    contents: list[Any] = [
        types.UserContent([types.Part(text="a"), types.Part.from_bytes(data=b"\xff\xfe\xfd", mime_type="image/png")])
    ]
    target, body = body_sent(contents, config)
    request = DIALECT.read_request(body, {}, target)
    written = back(request)
    data = body["contents"][0]["parts"][1]["inlineData"]["data"]
    assert data == "__79" and written["contents"][0]["parts"][1]["inlineData"]["data"] == "//79"
    assert normalised(written) == normalised(body)
    losses = DIALECTS["chat"].write_request(request, Target("p", "m")).losses
    assert [loss.path for loss in losses] == ["safetySettings"]
