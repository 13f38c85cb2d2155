"""Puts bytes in front of the real `mistralai` SDK, without a socket, and takes what it sends."""

from __future__ import annotations

from typing import Any

import httpx2
from mistralai.client import Mistral
from mistralai.client.errors import MistralError
from mistralai.client.models import ChatCompletionResponse, CompletionChunk

__all__ = ["answered", "chunks_of", "completion_of", "error_of"]

_ASKED: dict[str, Any] = {"model": "alias", "messages": [{"role": "user", "content": "x"}]}


def answered(status: int, kind: str, body: bytes, taken: list[httpx2.Request] | None = None) -> Mistral:
    """A client to whom every request is answered so; `taken` collects the requests."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if taken is not None:
            taken.append(request)
        return httpx2.Response(status, headers={"content-type": kind}, content=body)

    return Mistral(api_key="k", client=httpx2.Client(transport=httpx2.MockTransport(answer)))


def chunks_of(stream: bytes) -> list[CompletionChunk]:
    """The chunks that the SDK reads. Raises what the SDK raises."""
    with answered(200, "text/event-stream", stream) as sdk, sdk.chat.stream(**_ASKED) as events:
        return [event.data for event in events]


def completion_of(body: bytes) -> ChatCompletionResponse:
    with answered(200, "application/json", body) as sdk:
        completion: ChatCompletionResponse = sdk.chat.complete(**_ASKED)
        return completion


def error_of(status: int, body: bytes) -> MistralError:
    with answered(status, "application/json", body) as sdk:
        try:
            sdk.chat.complete(**_ASKED)
        except MistralError as error:
            return error
    raise AssertionError("the SDK took it for an answer")
