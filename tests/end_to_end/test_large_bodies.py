"""A request with pictures of megabytes arrives as one with small ones does: byte for byte where it is relayed, whole
where it is translated, refused with the same words where it is wrong."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.end_to_end.answers import chat_whole, messages_whole
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.mock import Mock, Reply, mock_upstream
from tests.end_to_end.raw import exchange
from tests.end_to_end.tables import provider, table

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4000).decode()
SECOND = base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(255, -1, -1)) * 1000).decode()


def start(mock: Mock, upstream: str) -> dict[str, Any]:
    return table({"p": provider(mock.url, upstream)}, {"m": "p/m", "alias": "p/m"})


def reply(upstream: str) -> Reply:
    return Reply.json(messages_whole() if upstream == "messages" else chat_whole())


def chat_body(model: str = "m", **more: Any) -> dict[str, Any]:
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "text", "text": "What is the difference?"},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{SECOND}", "detail": "low"}},
    ]
    return {"model": model, "messages": [{"role": "user", "content": parts}], **more}


def sent(client: str, upstream: str, body: bytes, status: int = 200) -> Any:
    """What arrives of `body`; the error's message where nothing may."""
    headers = {"content-type": "application/json"} | (
        {"anthropic-version": "2023-06-01"} if client == "messages" else {}
    )
    with mock_upstream(is_strict=False) as mock, gateway_for(start(mock, upstream)) as gateway:
        mock.then(reply(upstream))
        answer = exchange(gateway.port, "POST", PATHS[client], body, headers)
        assert answer.status == status, answer.text[:1000]
        assert gateway.leases() == 0
        if status != 200:
            assert not mock.received
            return answer.json["error"]["message"]
        assert len(mock.received) == 1
        return mock.received[0].body


@pytest.mark.parametrize("indent", [None, 1])
def test_relayed_it_keeps_every_byte_but_the_models_name(indent: int | None) -> None:
    body = json.dumps(chat_body("alias"), indent=indent).encode()
    assert sent("chat", "chat", body) == body.replace(b'"alias"', b'"m"')


def test_translated_it_has_all_its_pictures() -> None:
    written = json.loads(sent("chat", "messages", json.dumps(chat_body(max_tokens=9)).encode()))
    assert [block.get("source") for block in written["messages"][0]["content"]] == [
        {"type": "base64", "media_type": "image/png", "data": PICTURE},
        None,
        {"type": "base64", "media_type": "image/jpeg", "data": SECOND},
    ]


@pytest.mark.parametrize("store", [True, False])
def test_from_responses_too_whether_it_is_kept_or_not(store: bool) -> None:
    content = [{"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "auto"}]
    body = {"model": "m", "store": store, "input": [{"role": "user", "content": content}]}
    written = json.loads(sent("responses", "chat", json.dumps(body).encode()))
    assert written["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{PICTURE}"


def test_a_document_of_text_is_read_for_who_takes_text() -> None:
    text = "A line of a long report.\n" * 60_000
    data = base64.b64encode(text.encode()).decode()
    file = {"filename": "a.txt", "file_data": f"data:text/plain;base64,{data}"}
    body = chat_body(max_tokens=9)
    body["messages"][0]["content"].append({"type": "file", "file": file})
    written = json.loads(sent("chat", "messages", json.dumps(body).encode()))
    assert written["messages"][0]["content"][3]["source"] == {"type": "text", "media_type": "text/plain", "data": text}
    assert written["messages"][0]["content"][0]["source"]["data"] == PICTURE


def test_a_picture_in_a_calls_arguments_comes_through() -> None:
    arguments = json.dumps({"picture": f"data:image/png;base64,{PICTURE}", "name": 'a "name"'})
    call = {"id": "call_1", "type": "function", "function": {"name": "show", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Show it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "shown"},
    ]
    body = {"model": "m", "max_tokens": 9, "messages": messages}
    written = json.loads(sent("chat", "messages", json.dumps(body).encode()))
    assert written["messages"][1]["content"][0]["input"] == json.loads(arguments)


def test_faults_are_named_as_in_a_small_one() -> None:
    whole = json.dumps(chat_body()).encode()
    assert "at byte" in sent("chat", "chat", whole[:-1], 400)
    assert "this key stands twice" in sent("chat", "chat", whole[:-1] + b',"model":"x"}', 400)
    assert "stands twice in the same object" in sent(
        "chat", "messages", whole.replace(b'"role": "user"', b'"role": "user", "role": "system"'), 400
    )
    assert "messages[0].content[0]: an image of type image/odd" in sent(
        "chat",
        "messages",
        whole.replace(b"image/png", b"image/odd").replace(b'"model"', b'"max_tokens":9,"model"'),
        400,
    )
