"""Relay changes exactly what the design lists: the request's head (an allow-list, the account's credential, our own
accept-encoding), the value of `model`, and `include_usage` where usage would else be unknown, whose chunk is taken out
again; of the answer the head. Every other byte arrives as it was sent, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.end_to_end.answers import CHAT_USAGE, chat_events, chat_whole, messages_events, messages_whole
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.keys import upstream_key
from tests.end_to_end.mock import Mock, Reply, mock_upstream
from tests.end_to_end.raw import Answer, exchange
from tests.end_to_end.tables import provider, table

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
dialects = pytest.mark.parametrize("dialect", list(PATHS))

# Everything that a re-serialisation would change: spaces, escapes, number forms, order, unknown and odd fields.
ODD = """ {\r\n "z_unknown" : {"b":1,"a":[1.0, 1e3,-0.0 ,12345678901234567890]},
  "model"\t:  "alias\\u002dname" ,"messages": [ {"role":"user","content":"caf\\u00e9 \\ud83d\\ude00 \u2028 \\/ "} ],
  "max_tokens":16  , "metadata":{"model":"not this one","\\u006dodel":"nor this"}%s
}\n """
# R147 of the field reports: the client's own affairs, which are no provider's business.
PRIVATE = {
    "cookie": "session=1",
    "x-forwarded-for": "10.0.0.1",
    "forwarded": "for=10.0.0.1",
    "cf-connecting-ip": "10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "connection": "x-foo, keep-alive",
    "x-foo": "1",
    "x-api-key": "sk-of-the-client",
    "x-goog-api-key": "of-the-client",
    "authorization": "Bearer of-the-client",
    "api-key": "of-the-client",
    "accept-encoding": "gzip, br, zstd",
    "origin": "http://localhost:3000",
    "referer": "https://page.example/",
    "te": "trailers",
    "proxy-authorization": "Basic eA==",
    "x-stainless-lang": "python",
    "user-agent": "OpenAI/Python 9",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
LEAKY = [
    ("set-cookie", "a=1"),
    ("server", "cloudflare"),
    ("alt-svc", 'h3=":443"'),
    ("location", "https://elsewhere.example"),
    ("x-ratelimit-remaining-requests", "1"),
    ("anthropic-ratelimit-requests-remaining", "1"),
    ("openai-organization", "org-of-the-operator"),
    ("anthropic-organization-id", "org-of-the-operator"),
    ("openai-processing-ms", "5"),
    ("cf-ray", "1"),
    ("strict-transport-security", "max-age=1"),
    ("access-control-allow-origin", "*"),
    ("via", "1.1 x"),
    ("connection", "x-bar"),
    ("x-bar", "1"),
]
SENT_ON = {
    "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "authorization", "x-api-key",
    "anthropic-version", "anthropic-beta",
}  # fmt: skip
ANSWERED = {
    "date", "content-type", "content-length", "transfer-encoding", "cache-control", "x-accel-buffering", "request-id",
    "x-request-id", "x-ds2api-request-id", "x-ds2api-served-by", "connection",
}  # fmt: skip


def ask(gateway: Running, dialect: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    fields = {"content-type": "application/json", **(headers or {})}
    if dialect == "messages":
        fields = {"anthropic-version": "2023-06-01", **fields}
    return exchange(gateway.port, "POST", PATHS[dialect], body, fields)


def start(mock: Mock, dialect: str) -> dict[str, Any]:
    return table({"p": provider(mock.url, dialect)}, {"alias-name": 'p/the model/of "p"', "same": "p/same"})


@dialects
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_request_bodies_keep_every_byte_but_the_models_name(dialect: str, stream: bool) -> None:
    body = (ODD % (',"stream" :true' if stream else "")).encode()
    with mock_upstream(is_strict=False) as mock, gateway_for(start(mock, dialect)) as gateway:
        if stream:
            mock.then(Reply.sse(*(messages_events() if dialect == "messages" else chat_events())))
        else:
            mock.then(Reply.json(messages_whole() if dialect == "messages" else chat_whole()))
        assert ask(gateway, dialect, body).status == 200
        got = mock.received[0].body
        expected = body.replace(b'"alias\\u002dname"', b'"the model/of \\"p\\""')
        if stream and dialect == "chat":
            assert mock.received[0].json["stream_options"] == {"include_usage": True}
            added = got.replace(b'"stream_options":{"include_usage":true}', b"")
            before, after = expected[: expected.rindex(b"}")], expected[expected.rindex(b"}") :]
            assert added.replace(b",", b"") == (before + after).replace(b",", b"")
            assert got.startswith(before.rstrip())
        else:
            assert got == expected
        assert gateway.leases() == 0


@dialects
def test_answers_keep_every_byte(dialect: str) -> None:
    whole = b' {"id" : "x\\u002d1", "object":"chat.completion","type":"message","role":"assistant","created":1.0,"model":"m",\n"content":[{"type":"text","text":"caf\\u00e9"}],"choices":[{"index":0,"message":{"role":"assistant","content":"caf\\u00e9 "},"finish_reason":"stop"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2,"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},"zz":1e3}\n'
    with mock_upstream(is_strict=False) as mock, gateway_for(start(mock, dialect)) as gateway:
        mock.then(Reply.json(whole))
        assert ask(gateway, dialect, ODD.replace("%s", "").encode()).body == whole


@dialects
def test_streams_keep_every_byte(dialect: str) -> None:
    """Comments, odd line ends, unknown events and fields, and any cut of it all."""
    events = messages_events() if dialect == "messages" else chat_events()
    sent = b"".join(
        [
            b": hello\n\n",
            events[0],
            b'event: ping\r\ndata: {"type": "ping"}\r\n\r\n' if dialect == "messages" else b": ping\r\n\r\n",
            *events[1:],
        ]
    )
    body = json.dumps(
        {
            "model": "same",
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 9,
            "stream": True,
            **({"stream_options": {"include_usage": True}} if dialect == "chat" else {}),
        }
    ).encode()
    for size in (len(sent), 7, 1):
        with mock_upstream() as mock, gateway_for(start(mock, dialect)) as gateway:
            mock.then(Reply.sse(*(sent[at : at + size] for at in range(0, len(sent), size))))
            answer = ask(gateway, dialect, body)
            assert answer.body == sent
            assert mock.received[0].body == body


@pytest.mark.parametrize("wanted", [None, False, True])
def test_the_usage_chunk_is_seen_only_by_who_asked_for_it(wanted: bool | None) -> None:
    """R094: the gateway asks for usage for its own log; a client that did not ask indexes `choices[0]` of each chunk."""
    body: dict[str, Any] = {"model": "same", "messages": [{"role": "user", "content": "x"}], "stream": True}
    if wanted is not None:
        body["stream_options"] = {"include_usage": wanted}
    with mock_upstream() as mock, gateway_for(start(mock, "chat")) as gateway:
        mock.then(Reply.sse(*chat_events()))
        answer = ask(gateway, "chat", json.dumps(body).encode())
        assert mock.received[0].json["stream_options"]["include_usage"] is True
        datas = [
            line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"
        ]
        chunks = [json.loads(data) for data in datas]
        assert [chunk["usage"] for chunk in chunks if chunk.get("usage")] == ([CHAT_USAGE] if wanted else [])
        assert sum(chunk["choices"] == [] for chunk in chunks) == (1 if wanted else 0)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert "tokens=11+5" in gateway.log()


@dialects
@pytest.mark.parametrize("upstream", list(PATHS))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_no_private_header_passes_in_either_direction(dialect: str, upstream: str, stream: bool) -> None:
    body = {"model": "same", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "stream": stream}
    with mock_upstream() as mock, gateway_for(start(mock, upstream)) as gateway:
        if stream:
            mock.then(Reply.sse(*(messages_events() if upstream == "messages" else chat_events()), headers=LEAKY))
        else:
            mock.then(Reply.json(messages_whole() if upstream == "messages" else chat_whole(), headers=LEAKY))
        answer = ask(gateway, dialect, json.dumps(body).encode(), PRIVATE)
        assert answer.status == 200, answer.text
        received = mock.received[0]
        assert {name for name, _ in received.headers} <= SENT_ON
        assert "of-the-client" not in str(received.headers)
        assert received.key == upstream_key("a")
        assert received.header("accept-encoding") == "identity"
        assert (received.header("user-agent") or "").startswith("ds2api/")
        assert {name for name, _ in answer.headers} <= ANSWERED


def test_a_messages_clients_version_and_betas_are_its_own() -> None:
    body = json.dumps({"model": "same", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}).encode()
    with mock_upstream() as mock, gateway_for(start(mock, "messages")) as gateway:
        mock.then(Reply.json(messages_whole()))
        headers = {"anthropic-version": "2023-01-01", "anthropic-beta": "files-api-2025-04-14,context-1m-2025-08-07"}
        assert ask(gateway, "messages", body, headers).status == 200
        assert mock.received[0].header("anthropic-version") == "2023-01-01"
        assert mock.received[0].header("anthropic-beta") == headers["anthropic-beta"]


@dialects
def test_the_providers_request_id_is_told_beside_our_own(dialect: str) -> None:
    name = "request-id" if dialect == "messages" else "x-request-id"
    body = json.dumps({"model": "same", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}).encode()
    with mock_upstream() as mock, gateway_for(start(mock, dialect)) as gateway:
        whole = messages_whole() if dialect == "messages" else chat_whole()
        mock.then(Reply.json(whole, headers=[(name, "req_theirs")]), Reply.json(whole))
        first, second = ask(gateway, dialect, body), ask(gateway, dialect, body)
        assert first.header(name) == "req_theirs"
        assert (first.header("x-ds2api-request-id") or "").startswith("req_")
        assert second.header(name) == second.header("x-ds2api-request-id")
