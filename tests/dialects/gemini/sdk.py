"""Puts bytes in front of the real `google-genai` SDK, without a socket."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from google import genai
from google.genai import types

__all__ = ["answer_of", "body_sent", "chunks_of", "client"]


def client(status: int, kind: str, body: bytes, sent: list[Any] | None = None) -> genai.Client:
    """A client to whom every request is answered so."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if sent is not None:
            sent.append(request)
        return httpx2.Response(status, headers={"content-type": kind}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    options = types.HttpOptions(base_url="http://127.0.0.1:9", api_version="v1beta", httpx_client=http)
    return genai.Client(api_key="k", http_options=options)


def answer_of(body: bytes) -> types.GenerateContentResponse:
    """The whole answer as the SDK reads it. Raises what the SDK raises."""
    return client(200, "application/json", body).models.generate_content(model="alias", contents="x")


def chunks_of(stream: bytes) -> list[types.GenerateContentResponse]:
    """The responses of a stream as the SDK reads them."""
    models = client(200, "text/event-stream", stream).models
    return list(models.generate_content_stream(model="alias", contents="x"))


def body_sent(contents: list[Any], config: types.GenerateContentConfig | None = None) -> tuple[str, dict[str, Any]]:
    """The request target and the body that the SDK sends."""
    sent: list[Any] = []
    body = b'{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP"}]}'
    client(200, "application/json", body, sent).models.generate_content(model="m", contents=contents, config=config)
    return sent[0].url.raw_path.decode(), json.loads(sent[0].content)
