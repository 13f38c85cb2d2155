"""Puts bytes in front of the real `openai` SDK, without a socket."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

__all__ = ["chunks_of", "client", "completion_of", "error_of", "streamed_completion_of"]

_ASKED: dict[str, Any] = {"model": "alias", "messages": [{"role": "user", "content": "x"}]}


def client(status: int, headers: dict[str, str], body: bytes) -> openai.OpenAI:
    """A client to whom every request is answered so. It tries once."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, content=body)

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport))


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    """The chunks that the SDK reads. Raises what the SDK raises."""
    with client(200, {"content-type": "text/event-stream"}, stream) as sdk:
        return list(sdk.chat.completions.create(**_ASKED, stream=True))


def streamed_completion_of(stream: bytes) -> Any:
    """The completion that the SDK's helper puts together from `stream`."""
    with (
        client(200, {"content-type": "text/event-stream"}, stream) as sdk,
        sdk.chat.completions.stream(**_ASKED) as events,
    ):
        try:
            return events.get_final_completion()
        except openai.LengthFinishReasonError as error:  # the helper's way to say "length"
            return error.completion


def completion_of(body: bytes) -> ChatCompletion:
    with client(200, {"content-type": "application/json"}, body) as sdk:
        completion: ChatCompletion = sdk.chat.completions.create(**_ASKED)
        return completion


def error_of(status: int, headers: dict[str, str], body: bytes) -> openai.APIStatusError:
    """The error that the SDK makes of an answer."""
    with client(status, {"content-type": "application/json", **headers}, body) as sdk:
        try:
            sdk.chat.completions.create(**_ASKED)
        except openai.APIStatusError as error:
            return error
    raise AssertionError("the SDK took it for an answer")
