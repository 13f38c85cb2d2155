"""Field reports of translation and streaming that no room's own tests tell: each through sockets, gateway and mock, as
the reporter saw it. The id in a name is the report's; what went wrong elsewhere stands in the docstring."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.end_to_end.answers import chat_events, chat_whole, messages_events, sse
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Hold, Mock, Reply, mock_upstream
from tests.end_to_end.raw import Answer, connected, exchange, post_bytes, read_head
from tests.end_to_end.tables import provider, table

USER = [{"role": "user", "content": "Hi"}]
WEATHER = {
    "type": "function",
    "function": {"name": "w", "description": "It", "parameters": {"type": "object", "properties": {}}},
}
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/m:generateContent",
}


def ask(gateway: Running, dialect: str, **body: Any) -> Answer:
    fields = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    path = PATHS[dialect]
    if dialect == "messages":
        body = {"max_tokens": 100, **body}
    if dialect == "gemini":
        path = path.replace("generateContent", "streamGenerateContent?alt=sse") if body.pop("stream", False) else path
    else:
        body = {"model": "m", **body}
    return exchange(gateway.port, "POST", path, json.dumps(body).encode(), fields)


def events_of(answer: Answer) -> list[dict[str, Any]]:
    """The JSON of an event stream, in order."""
    lines = [line.removeprefix("data: ") for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def response_object(output: list[dict[str, Any]] | None, status: str = "completed", **more: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "up", "error": None,
        "incomplete_details": None, "usage": {
            "input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10}, **more,
    }  # fmt: skip
    return whole if output is None else {**whole, "output": output}


CALL_ITEM = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "w", "arguments": '{"q":1}',
             "status": "completed"}  # fmt: skip
TEXT_ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]}  # fmt: skip


def responses_stream(*events: dict[str, Any]) -> Reply:
    return Reply.sse(sse(*({"sequence_number": number, **event} for number, event in enumerate(events)), named=True))


def created() -> dict[str, Any]:
    return {"type": "response.created", "response": response_object([], "in_progress", usage=None)}


def calls_in(client: str, answer: Answer) -> list[tuple[str, str]]:
    """Name and arguments of the calls of a streamed answer, as its client gathers them."""
    events = events_of(answer)
    if client == "chat":
        deltas = [call for event in events for choice in event["choices"]
                  for call in choice["delta"].get("tool_calls") or []]  # fmt: skip
        names = {one["index"]: one["function"]["name"] for one in deltas if one["function"].get("name")}
        return [(name, "".join(one["function"].get("arguments") or "" for one in deltas if one["index"] == index))
                for index, name in names.items()]  # fmt: skip
    names = {event["index"]: event["content_block"]["name"] for event in events
             if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use"}  # fmt: skip
    return [(name, "".join(event["delta"].get("partial_json", "") for event in events
                           if event["type"] == "content_block_delta" and event["index"] == index))
            for index, name in names.items()]  # fmt: skip


@pytest.mark.parametrize("client", ["chat", "messages"])
@pytest.mark.parametrize("deltas", [[], ['{"q"', ":1}"]])
def test_R005_arguments_without_deltas_arrive_once(client: str, deltas: list[str]) -> None:
    """Only the deltas were read, and a call came with empty input."""
    pieces = [{"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": one}
              for one in deltas]  # fmt: skip
    reply = responses_stream(
        created(),
        {"type": "response.output_item.added", "output_index": 0,
         "item": {**CALL_ITEM, "arguments": "", "status": "in_progress"}},
        *pieces,
        {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0,
         "arguments": CALL_ITEM["arguments"], "name": "w"},
        {"type": "response.output_item.done", "output_index": 0, "item": CALL_ITEM},
        {"type": "response.completed", "response": response_object([CALL_ITEM])},
    )  # fmt: skip
    tools = [WEATHER] if client == "chat" else [{"name": "w", "input_schema": {"type": "object"}}]
    with mock_upstream() as mock, gateway_for(table({"r": provider(mock.url, "responses")})) as gateway:
        mock.then(reply)
        answer = ask(gateway, client, messages=USER, stream=True, tools=tools)
        assert calls_in(client, answer) == [("w", '{"q":1}')]


@pytest.mark.parametrize("output", [[], None])
@pytest.mark.parametrize("client", ["chat", "responses", "messages"])
def test_R019_items_that_only_the_done_events_hold_are_the_answer(client: str, output: Any) -> None:
    """Only the last event's `output` was read: empty answers, or a 500. `streaming = "always"` makes the upstream stream
    where the client wants one piece."""
    reply = responses_stream(
        created(),
        {"type": "response.output_item.done", "output_index": 0, "item": TEXT_ITEM},
        {"type": "response.output_item.done", "output_index": 1, "item": CALL_ITEM},
        {"type": "response.completed", "response": response_object(output)},
    )
    always = provider("", "responses", streaming="always")
    with mock_upstream() as mock, gateway_for(table({"r": {**always, "base_url": mock.url}})) as gateway:
        mock.then(reply)
        said = {"input": "Hi"} if client == "responses" else {"messages": USER}
        body = ask(gateway, client, **said).json
        if client == "chat":
            message = body["choices"][0]["message"]
            assert message["content"] == "Hello"
            assert [call["function"] for call in message["tool_calls"]] == [{"name": "w", "arguments": '{"q":1}'}]
        elif client == "messages":
            text, call = body["content"]
            assert (text["text"], call["name"], call["input"]) == ("Hello", "w", {"q": 1})
        else:
            assert [item["type"] for item in body["output"]] == ["message", "function_call"]
            assert body["output"][1]["arguments"] == '{"q":1}'


@pytest.mark.parametrize("client", ["chat", "messages", "responses", "gemini"])
@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_R020_the_content_type_decides_what_an_answer_is(client: str, upstream: str) -> None:
    """A stream that answers a request for one piece was parsed as JSON."""
    with mock_upstream() as mock, gateway_for(table({"p": provider(mock.url, upstream)})) as gateway:
        said: dict[str, Any] = {"messages": USER}
        if client == "responses":
            said = {"input": "Hi"}
        elif client == "gemini":
            said = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
        mock.then(Reply.sse(*(chat_events() if upstream == "chat" else messages_events())))
        answer = ask(gateway, client, **said)
        assert answer.status == 200 and answer.header("content-type") == "application/json"
        assert "Hello" in json.dumps(answer.json)
        if upstream == "chat":
            mock.then(Reply.json(chat_whole()))
            answer = ask(gateway, client, stream=True, **said)
            assert (answer.header("content-type") or "").startswith("text/event-stream")
            assert "Hello" in answer.text


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "u", "choices": [choice]})


def chat_stream(*deltas: dict[str, Any], finish: str = "stop") -> Reply:
    return Reply.sse(*(chat_chunk(one) for one in deltas), chat_chunk({}, finish), b"data: [DONE]\n\n")


def test_R022_R023_a_responses_client_gets_the_whole_grammar() -> None:
    """Text deltas without their items: the client showed the text and never ran the call. And items whose ids differed
    between the stream and its last event."""
    call = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "w", "arguments": '{"q":1}'}}
    reply = chat_stream(
        {"role": "assistant", "reasoning_content": "Hm."}, {"content": "Hello"}, {"tool_calls": [call]},
        finish="tool_calls",
    )  # fmt: skip
    with mock_upstream() as mock, gateway_for(table({"c": provider(mock.url, "chat")})) as gateway:
        mock.then(reply)
        events = events_of(ask(gateway, "responses", input="Hi", stream=True, tools=[
            {"type": "function", "name": "w", "parameters": {"type": "object", "properties": {}}, "strict": False}]))  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"] and kinds[-1] == "completed"
    for index, (kind, prefix, lifecycle) in enumerate([
        ("reasoning", "rs_", None),
        ("message", "msg_", ["output_item.added", "content_part.added", "output_text.delta", "output_text.done",
                             "content_part.done", "output_item.done"]),
        ("function_call", "fc_", ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
                                  "output_item.done"]),
    ]):  # fmt: skip
        own = [event for event in events if event.get("output_index") == index]
        seen = [event["type"].removeprefix("response.") for event in own]
        assert seen[0] == "output_item.added" and seen[-1] == "output_item.done"
        assert lifecycle is None or seen == lifecycle
        done = own[-1]["item"]
        assert done["type"] == kind and done["id"].startswith(prefix)
        assert {event.get("item_id", done["id"]) for event in own} == {done["id"]}
        assert own[0]["item"]["id"] == done["id"]
        assert events[-1]["response"]["output"][index] == done
    assert events[-1]["response"]["output"][2]["call_id"] == "call_a"


@pytest.mark.parametrize("upstream", ["messages", "chat"])
def test_R029_pings_of_an_upstream_keep_a_client_alive(upstream: str) -> None:
    """Pings were swallowed, and the client or a load balancer cut the stream. The hold stands after the ping: what the
    client has read by then cannot have come from anything later."""
    hold = Hold()
    events = messages_events() if upstream == "messages" else chat_events(usage=False)
    ping = b'event: ping\ndata: {"type": "ping"}\n\n' if upstream == "messages" else b": ping\n\n"
    at = 3 if upstream == "messages" else 2  # behind the first half of the text
    more = {"timeouts": {"alive_idle_s": 0.05}} if upstream == "chat" else {}
    with mock_upstream() as mock, gateway_for(table({"p": provider(mock.url, upstream)}, **more)) as gateway:
        mock.then(Reply.sse(*events[:at], ping, hold, *events[at:]))
        request = {"model": "m", "max_tokens": 9, "messages": USER, "stream": True}
        with connected(
            gateway.port, post_bytes("/v1/messages", request, {"anthropic-version": "2023-06-01"})
        ) as client:
            _, data = read_head(client)
            while b"event: ping" not in data:
                more_bytes = client.recv(4096)
                assert more_bytes, data
                data += more_bytes
            hold.release()
            while b"message_stop" not in data:
                data += client.recv(4096)
    assert data.index(b"message_start") < data.index(b"event: ping") < data.index(b"message_stop")


def test_R038_a_gemini_stream_holds_nothing_but_data_lines() -> None:
    """Comments as keep-alives: both SDKs of Gemini abort on them."""
    hold = Hold()
    events = messages_events()
    with (
        mock_upstream() as mock,
        gateway_for(table({"n": provider(mock.url, "messages")}, timeouts={"alive_idle_s": 0.05})) as gateway,
    ):
        mock.then(Reply.sse(*events[:3], hold, *events[3:]))
        path = "/v1beta/models/m:streamGenerateContent?alt=sse"
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
        with connected(gateway.port, post_bytes(path, body, {"connection": "close"})) as client:
            _, data = read_head(client)
            while data.count(b"data: {}") < 2:
                data += client.recv(4096)
            hold.release()
            while more := client.recv(4096):
                data += more
    # The chunked framing around each write is taken off line by line: sizes are bare hex.
    lines = [line for line in data.decode().split("\r\n") if line]
    text = "".join(line for line in lines if not all(digit in "0123456789abcdef" for digit in line))
    for block in text.split("\n\n")[:-1]:
        assert block.startswith("data: {") and "\n" not in block
        if block == "data: {}":
            continue
        assert json.loads(block.removeprefix("data: "))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_R040_an_answer_that_is_all_reasoning_ends_by_its_limit(stream: bool, reason: str) -> None:
    """A 500, or `stop` without usage in the stream."""
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    whole = response_object([item], "incomplete", incomplete_details={"reason": reason})
    with mock_upstream() as mock, gateway_for(table({"r": provider(mock.url, "responses")})) as gateway:
        if stream:
            mock.then(responses_stream(
                created(),
                {"type": "response.output_item.added", "output_index": 0, "item": item},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.incomplete", "response": whole},
            ))  # fmt: skip
        else:
            mock.then(Reply.json(whole))
        answer = ask(gateway, "chat", messages=USER, **(
            {"stream": True, "stream_options": {"include_usage": True}} if stream else {}))  # fmt: skip
        assert answer.status == 200
        chunks = events_of(answer) if stream else [answer.json]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        said = "".join((choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in choices)
        assert said == ""
        expected = "length" if reason == "max_output_tokens" else "content_filter"
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [expected]
        usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
        assert [(one["prompt_tokens"], one["completion_tokens"], one["total_tokens"]) for one in usage] == [(7, 3, 10)]


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_R043_a_stop_that_the_upstream_does_not_know_is_kept(client: str) -> None:
    """The stop was ignored, or its first half leaked. The upstream holds after it: what ends the answer is the stop, and
    the upstream is left in the middle of its own."""
    hold = Hold()
    deltas = [{"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
               "delta": one, "logprobs": []} for one in ("abc ST", "OP def", "never")]  # fmt: skip
    empty = {**TEXT_ITEM, "content": [], "status": "in_progress"}
    first = responses_stream(
        created(),
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
         "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []}},
        *deltas[:2],
    )  # fmt: skip
    field = "stop" if client == "chat" else "stop_sequences"
    with mock_upstream() as mock, gateway_for(table({"r": provider(mock.url, "responses")})) as gateway:
        mock.then(Reply.sse(*first.steps, hold, sse({"sequence_number": 5, **deltas[2]}, named=True)))
        answer = ask(gateway, client, messages=USER, stream=True, **{field: ["STOP"]})
        (received,) = mock.wait_for(1)
        received.wait_gone()
        events = events_of(answer)
        if client == "chat":
            choices = [choice for event in events for choice in event["choices"]]
            assert "".join(choice["delta"].get("content") or "" for choice in choices) == "abc "
            assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
            assert answer.body.rstrip().endswith(b"data: [DONE]")
        else:
            texts = [event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"]
            assert "".join(texts) == "abc "
            (end,) = [event["delta"] for event in events if event["type"] == "message_delta"]
            assert (end["stop_reason"], end["stop_sequence"]) == ("stop_sequence", "STOP")
            assert events[-1]["type"] == "message_stop"
        assert answer.header("x-ds2api-warning") == f"emulated field={field}"


def gemini_answer(*parts: dict[str, Any], finish: str = "STOP") -> dict[str, Any]:
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": list(parts)}, "finishReason": finish}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8},
        "modelVersion": "up",
        "responseId": "r1",
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["chat", "messages", "responses"])
def test_R044_calls_of_one_chunk_are_calls_of_their_own(client: str, stream: bool) -> None:
    """One id for all calls of a chunk: merged arguments, the last name won. Two of the three calls here are equal."""
    answer_ = gemini_answer(
        {"functionCall": {"name": "a", "args": {"x": 1}}},
        {"text": "and"},
        {"functionCall": {"name": "b", "args": {}}},
        {"functionCall": {"name": "b", "args": {}}},
    )
    with (
        mock_upstream() as mock,
        gateway_for(table({"g": provider(mock.url_of("gemini"), "gemini")})) as gateway,
    ):
        mock.then(Reply.sse(sse(answer_)) if stream else Reply.json(answer_))
        said = {"input": "Hi"} if client == "responses" else {"messages": USER}
        answer = ask(gateway, client, stream=stream, **said)
        if client == "responses":
            whole = events_of(answer)[-1]["response"] if stream else answer.json
            calls = [item for item in whole["output"] if item["type"] == "function_call"]
            found = [(one["call_id"], one["name"], json.loads(one["arguments"])) for one in calls]
            assert [item["type"] for item in whole["output"]].index("message") == 1
        elif client == "chat" and stream:
            parts = [call for event in events_of(answer) for choice in event["choices"]
                     for call in choice["delta"].get("tool_calls") or []]  # fmt: skip
            assert {one["index"] for one in parts} == {0, 1, 2}
            ids = {one["index"]: one["id"] for one in parts if one.get("id")}
            found = [(ids[index], name, json.loads(arguments))
                     for index, (name, arguments) in enumerate(calls_in("chat", answer))]  # fmt: skip
        elif client == "chat":
            found = [(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
                     for one in answer.json["choices"][0]["message"]["tool_calls"]]  # fmt: skip
        elif stream:
            ids = {number: event["content_block"]["id"] for number, event in enumerate(
                one for one in events_of(answer)
                if one["type"] == "content_block_start" and one["content_block"]["type"] == "tool_use")}  # fmt: skip
            found = [(ids[index], name, json.loads(arguments))
                     for index, (name, arguments) in enumerate(calls_in("messages", answer))]  # fmt: skip
        else:
            found = [
                (one["id"], one["name"], one["input"]) for one in answer.json["content"] if one["type"] == "tool_use"
            ]
        assert [(name, arguments) for _, name, arguments in found] == [("a", {"x": 1}), ("b", {}), ("b", {})]
        assert len({id_ for id_, _, _ in found}) == 3


def gemini_request(mock: Mock) -> dict[str, Any]:
    (received,) = mock.wait_for(1)
    return received.json


@pytest.mark.parametrize("content", ["plain text", "[1,2]", "", '{"a":1}'])
def test_R049_a_result_for_gemini_is_an_object_with_the_name_of_its_call(content: str) -> None:
    """A string where an object is needed, or an empty name: a 400."""
    call = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
    turns = [*USER, {"role": "assistant", "content": None, "tool_calls": [call]},
             {"role": "tool", "tool_call_id": "c1", "content": content}]  # fmt: skip
    with (
        mock_upstream(lambda _: Reply.json(gemini_answer({"text": "Hi"}))) as mock,
        gateway_for(table({"g": provider(mock.url_of("gemini"), "gemini")})) as gateway,
    ):
        assert ask(gateway, "chat", messages=turns, tools=[WEATHER]).status == 200
        (part,) = gemini_request(mock)["contents"][-1]["parts"]
        result = part["functionResponse"]
        assert result["name"] == "w" and isinstance(result["response"], dict)
        said = {"plain text": "plain text", "[1,2]": "[1,2]", "": "", '{"a":1}': {"a": 1}}[content]
        assert result["response"] in ({"output": said}, said)


def test_R050_a_schema_reaches_gemini_in_the_form_that_it_takes() -> None:
    """Copied as it was: a 400 for each request with tools."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "n": {"type": "number", "exclusiveMinimum": 0},
            "o": {"type": "object", "additionalProperties": True},
            "s": {"type": ["string", "null"]},
            "u": {"anyOf": [{"type": "string"}, {"const": 3}]},
        },
        "required": ["n"],
    }
    function = {"name": "w", "description": "It", "strict": True, "parameters": schema, "cache_control": {"type": "e"}}
    with (
        mock_upstream(lambda _: Reply.sse(sse(gemini_answer({"text": "Hi"})))) as mock,
        gateway_for(table({"g": provider(mock.url_of("gemini"), "gemini")})) as gateway,
    ):
        tools = [{"type": "function", "function": function}]
        answer = ask(gateway, "chat", messages=USER, tools=tools, stream=True, stream_options={"include_usage": True})
        assert answer.status == 200
        body = gemini_request(mock)
        ((declared,),) = [tool["functionDeclarations"] for tool in body["tools"]]
        assert declared["name"] == "w" and "parameters" not in declared
        carried = declared["parametersJsonSchema"]
        assert carried["properties"]["s"] == schema["properties"]["s"] and carried["required"] == ["n"]
        assert carried["properties"]["n"] == schema["properties"]["n"]
        assert not {"strict", "cache_control", "stream_options"} & set(json.dumps(body).replace('"', " ").split())


def test_R059_results_for_gemini_stand_in_one_turn_in_the_order_of_their_calls() -> None:
    """Two user turns with one result each: a 400."""
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
             for n, name in enumerate("ab")]  # fmt: skip
    turns = [*USER, {"role": "assistant", "content": None, "tool_calls": calls},
             {"role": "tool", "tool_call_id": "c1", "content": "of b"},
             {"role": "tool", "tool_call_id": "c0", "content": "of a"}]  # fmt: skip
    tools = [{"type": "function", "function": {**WEATHER["function"], "name": name}} for name in "ab"]  # type: ignore[dict-item]
    with (
        mock_upstream(lambda _: Reply.json(gemini_answer({"text": "Hi"}))) as mock,
        gateway_for(table({"g": provider(mock.url_of("gemini"), "gemini")})) as gateway,
    ):
        assert ask(gateway, "chat", messages=turns, tools=tools).status == 200
        contents = gemini_request(mock)["contents"]
        assert [one["role"] for one in contents] == ["user", "model", "user"]
        results = [part["functionResponse"] for part in contents[2]["parts"]]
        assert [(one["name"], one["response"]) for one in results] == [
            ("a", {"output": "of a"}), ("b", {"output": "of b"}),
        ]  # fmt: skip


def test_R061_a_call_id_of_chat_is_the_call_id_of_responses_and_no_item_id() -> None:
    """It was put into the item's `id`: a 400."""
    call = {"id": "call_1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
    turns = [*USER, {"role": "assistant", "content": None, "tool_calls": [call]},
             {"role": "tool", "tool_call_id": "call_1", "content": "sun"}]  # fmt: skip
    with (
        mock_upstream() as mock,
        gateway_for(table({"r": provider(mock.url, "responses")})) as gateway,
    ):
        mock.then(Reply.json(response_object([CALL_ITEM])))
        body = ask(gateway, "chat", messages=turns, tools=[WEATHER]).json
        sent = mock.received[0].json["input"]
        (item,) = [one for one in sent if one.get("type") == "function_call"]
        assert (item["call_id"], item["name"], item["arguments"]) == ("call_1", "w", "{}")
        assert item.get("id", "fc_").startswith("fc_")
        (output,) = [one for one in sent if one.get("type") == "function_call_output"]
        assert output["call_id"] == "call_1"
        assert body["choices"][0]["message"]["tool_calls"][0]["id"] == "call_1"


@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize("client", ["chat", "messages"])
def test_R071_strict_is_written_out_for_responses(client: str, said: bool | None) -> None:
    """Left out, OpenAI takes it for true there: a 400, or every optional field filled with nothing."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}
    if said:
        schema = {**schema, "required": ["a", "b"], "additionalProperties": False}
    told = {} if said is None else {"strict": said}
    tools: list[Any] = [{"name": "w", "input_schema": schema, **told}]
    more: dict[str, Any] = {}
    if client == "chat":
        tools = [{"type": "function", "function": {"name": "w", "parameters": schema, **told}}]
        more = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **told}}}
    with mock_upstream() as mock, gateway_for(table({"r": provider(mock.url, "responses")})) as gateway:
        mock.then(Reply.json(response_object([TEXT_ITEM])))
        assert ask(gateway, client, messages=USER, tools=tools, **more).status == 200
        body = mock.received[0].json
        assert body["tools"][0]["strict"] is bool(said)
        assert not more or body["text"]["format"]["strict"] is bool(said)
