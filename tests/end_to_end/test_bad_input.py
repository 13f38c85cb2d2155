"""What bad input gets: a clear error in the sender's own dialect, readable by its SDK. One table for both."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.end_to_end.answers import serve_text
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import assert_no_key, caller_key, caller_table, upstream_key
from tests.end_to_end.mock import Mock, mock_upstream
from tests.end_to_end.raw import Answer, exchange
from tests.end_to_end.tables import provider, table

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
KEY = caller_key("alice")
HELLO = [{"role": "user", "content": "Hello"}]
GOOD: dict[str, Any] = {"model": "gpt-4.1", "messages": HELLO, "max_tokens": 9}
BODY_LIMIT = 100_000
dialects = pytest.mark.parametrize("dialect", list(PATHS))


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(serve_text) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(mock: Mock) -> Iterator[Running]:
    names = {"gpt-4.1": "p/m", "claude-sonnet-4-5": "p/m", "over-chat": "c/m", "over-messages": "n/m"}
    providers = {
        "p": provider(mock.url, ["chat", "messages"]),
        "c": provider(mock.url, "chat", "b"),
        "n": provider(mock.url, "messages", "c"),
    }
    with gateway_for(
        {**table(providers, names), "callers": caller_table("alice"), "limits": {"body_bytes": BODY_LIMIT}}
    ) as running:
        yield running
        assert running.leases() == 0


def send(
    gateway: Running, dialect: str, body: bytes, *, method: str = "POST", path: str | None = None, **headers: str
) -> Answer:
    fields: dict[str, str] = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    if dialect == "messages":
        fields["anthropic-version"] = "2023-06-01"
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = exchange(gateway.port, method, path or PATHS[dialect], body, {k: v for k, v in fields.items() if v})
    assert_no_key(answer.text, "an answer")
    assert answer.header("x-ds2api-request-id")
    return answer


def as_sdk_error(dialect: str, answer: Answer) -> Any:
    """The exception that the dialect's SDK makes of `answer`: its own reading is the test of the shape."""
    response = httpx2.Response(
        answer.status,
        headers=answer.headers,
        content=answer.body,
        request=httpx2.Request("POST", "http://gateway/"),
    )
    if dialect == "chat":
        with openai.OpenAI(api_key="x") as client:
            chat_error = client._make_status_error_from_response(response)
        assert isinstance(chat_error.body, dict)
        assert set(chat_error.body) >= {"message", "type", "param", "code"}
        return chat_error
    with anthropic.Anthropic(api_key="x") as client_:
        error = client_._make_status_error_from_response(response)
    body: Any = error.body
    assert body["type"] == "error"
    assert isinstance(body["error"]["message"], str)
    assert body["request_id"]
    return error


def dumped(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


DEEP = b'{"model":"gpt-4.1","max_tokens":9,"messages":' + b"[" * 5000 + b"]" * 5000 + b"}"

# name → body, further headers, status, words that the message must hold
BODIES: dict[str, tuple[bytes, Mapping[str, str], int, tuple[str, ...]]] = {
    "malformed": (b'{"model": "gpt-4.1",\n "messages": [}', {}, 400, ("JSON", "line 2")),
    "cut": (b'{"model": "gpt-4.1"', {}, 400, ("JSON",)),
    "empty": (b"", {}, 400, ()),
    "bad utf-8": (b'{"model": "\xff"}', {}, 400, ()),
    "an array": (b"[1]", {}, 400, ("object",)),
    "a string": (b'"x"', {}, 400, ("object",)),
    "null": (b"null", {}, 400, ("object",)),
    "NaN": (b'{"model": NaN}', {}, 400, ()),
    "bytes behind": (dumped() + b"x", {}, 400, ()),
    "deep": (DEEP, {}, 400, ()),
    "top key twice": (b'{"model":"gpt-4.1","model":"x","messages":[],"max_tokens":9}', {}, 400, ("model", "twice")),
    "no model": (without("model"), {}, 400, ("model",)),
    "model is a number": (dumped(model=1), {}, 400, ("model",)),
    "model is null": (dumped(model=None), {}, 400, ("model",)),
    "model is empty": (dumped(model=""), {}, 400, ("model",)),
    "stream is a word": (dumped(stream="yes"), {}, 400, ("stream",)),
    "messages is an object": (dumped(messages={}), {}, 400, ("messages",)),
    "unknown model": (dumped(model="gpt-4.2"), {}, 404, ("gpt-4.2", "gpt-4.1")),
    "far unknown model": (dumped(model="zzz"), {}, 404, ("zzz", "/v1/models")),
    "media type": (dumped(), {"content_type": "text/plain"}, 415, ("text/plain", "application/json")),
    "form": (b"a=b", {"content_type": "multipart/form-data; boundary=x"}, 415, ("application/json",)),
    "coding": (dumped(), {"content_encoding": "br"}, 415, ("br",)),
    "corrupt gzip": (b"\x1f\x8bnot gzip at all", {"content_encoding": "gzip"}, 400, ("gzip",)),
    "corrupt zstd": (b"(\xb5/\xfdnope", {"content_encoding": "zstd"}, 400, ("zstd",)),
    "cut gzip": (gzip.compress(dumped() * 20)[:-12], {"content_encoding": "gzip"}, 400, ()),
    "bomb": (gzip.compress(b" " * 50_000_000), {"content_encoding": "gzip"}, 413, ()),
    "too large": (dumped(messages=[{"role": "user", "content": "x" * BODY_LIMIT}]), {}, 413, ("100000",)),
    "no key": (dumped(), {"authorization": ""}, 401, ("key",)),
    "basic": (dumped(), {"authorization": "Basic eA=="}, 401, ("key",)),
    "wrong key": (dumped(), {"authorization": "Bearer ds2-wrong"}, 401, ("authorization",)),
    "a provider's key": (dumped(), {"authorization": f"Bearer {upstream_key('a')}"}, 401, ()),
    "wrong x-api-key": (dumped(), {"authorization": "", "x_api_key": "ds2-wrong"}, 401, ("x-api-key",)),
}


@dialects
@pytest.mark.parametrize("name", BODIES)
def test_a_bad_request_is_named_in_the_senders_shape(gateway: Running, mock: Mock, dialect: str, name: str) -> None:
    body, headers, status, words = BODIES[name]
    before = len(mock.received)
    answer = send(gateway, dialect, body, **headers)
    assert answer.status == status, answer.text
    error = as_sdk_error(dialect, answer)
    assert error.status_code == status
    for word in words:
        assert word.lower().replace(",", "") in error.message.lower().replace(",", ""), error.message
    assert "ds2-wrong" not in answer.text + gateway.log()
    assert len(mock.received) == before, "it was sent on"


# In a translated request everything is read: types of every field, doubled keys further in.
TRANSLATED: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
    "role": (
        {
            "chat": dumped(messages=[{"role": "wizard", "content": "x"}]),
            "messages": dumped(messages=[{"role": "wizard", "content": "x"}]),
        },
        ("messages", "role"),
    ),
    "content": (
        {
            "chat": dumped(messages=[{"role": "user", "content": 5}]),
            "messages": dumped(messages=[{"role": "user", "content": 5}]),
        },
        ("messages", "content"),
    ),
    "part type": (
        {
            "chat": dumped(messages=[{"role": "user", "content": [{"type": "smell"}]}]),
            "messages": dumped(messages=[{"role": "user", "content": [{"type": "smell"}]}]),
        },
        ("messages", "content", "smell"),
    ),
    "temperature": ({"chat": dumped(temperature="hot"), "messages": dumped(temperature="hot")}, ("temperature",)),
    "max_tokens": ({"chat": dumped(max_tokens="many"), "messages": dumped(max_tokens="many")}, ("max_tokens",)),
    "tools": ({"chat": dumped(tools=[5]), "messages": dumped(tools=[5])}, ("tools",)),
    "a turn's key twice": (
        dict.fromkeys(
            PATHS, b'{"model":"gpt-4.1","max_tokens":9,"messages":[{"role":"user","role":"assistant","content":"x"}]}'
        ),
        ("role", "twice"),
    ),
    "a tool's key twice": (
        dict.fromkeys(
            PATHS,
            dumped()[:-1]
            + b',"tools":[{"name":"a","name":"b","input_schema":{"type":"object"},"type":"function","function":{"name":"a"}}]}',
        ),
        ("name", "twice"),
    ),
}


@dialects
@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translated_request_names_the_path(gateway: Running, mock: Mock, dialect: str, name: str) -> None:
    bodies, words = TRANSLATED[name]
    other = "over-messages" if dialect == "chat" else "over-chat"
    before = len(mock.received)
    answer = send(gateway, dialect, bodies[dialect].replace(b"gpt-4.1", other.encode()))
    assert answer.status == 400, answer.text
    message = as_sdk_error(dialect, answer).message
    for word in words:
        assert word in message or word in answer.text, message
    assert len(mock.received) == before, "it was sent on"


@dialects
@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "identity", "x-gzip", "GZIP"])
def test_compressed_bodies_are_read(gateway: Running, mock: Mock, dialect: str, coding: str) -> None:
    pack = {"deflate": zlib.compress, "zstd": zstd.compress, "identity": bytes}.get(coding, gzip.compress)
    answer = send(gateway, dialect, pack(dumped()), content_encoding=coding)
    assert answer.status == 200, answer.text
    assert mock.received[-1].json["messages"] == HELLO
    assert mock.received[-1].header("content-encoding") is None


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v2/chat/completions", "/v1/messages/batches", "/favicon.ico"])
@dialects
def test_an_unknown_path_names_the_known_ones(gateway: Running, dialect: str, path: str) -> None:
    answer = send(gateway, dialect, dumped(), path=path)
    assert answer.status == 404
    if "messages" in path:
        dialect = "messages"
    assert "/v1/chat/completions" in as_sdk_error(dialect, answer).message


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@dialects
def test_a_wrong_method_names_the_right_ones(gateway: Running, dialect: str, method: str) -> None:
    answer = send(gateway, dialect, b"", method=method)
    assert (answer.status, answer.header("allow")) == (405, "POST")
    as_sdk_error(dialect, answer)
    posted = send(gateway, dialect, dumped(), path="/v1/models")
    assert (posted.status, "GET" in (posted.header("allow") or "")) == (405, True)


@dialects
def test_paths_are_forgiving_where_users_err(gateway: Running, dialect: str) -> None:
    """With and without the version, doubled, with spare slashes: SDKs add their own `/v1` (R144)."""
    path = PATHS[dialect]
    for spelled in (path, path.removeprefix("/v1"), "/v1" + path, path + "/", "/" + path):
        assert send(gateway, dialect, dumped(), path=spelled).status == 200, spelled


def test_health_needs_no_key_and_tells_nothing(gateway: Running) -> None:
    for path in ("/healthz", "/readyz"):
        answer = exchange(gateway.port, "GET", path)
        assert answer.status == 200
        assert_no_key(answer.text, path)
        assert exchange(gateway.port, "HEAD", path).body == b""
    assert exchange(gateway.port, "POST", "/healthz").status == 405


def test_model_lists_need_a_key(gateway: Running) -> None:
    assert exchange(gateway.port, "GET", "/v1/models").status == 401
    answer = exchange(gateway.port, "GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
    assert "gpt-4.1" in [model["id"] for model in answer.json["data"]]


@dialects
def test_the_key_is_taken_from_either_header(gateway: Running, dialect: str) -> None:
    assert send(gateway, dialect, dumped()).status == 200
    assert send(gateway, dialect, dumped(), authorization="", x_api_key=KEY).status == 200
    assert send(gateway, dialect, dumped(), authorization=f"bearer {KEY}").status == 200
