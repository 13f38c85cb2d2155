"""Puts bytes in front of the real `openai` SDK, without a socket, and holds what it reads to its own strict types."""

from __future__ import annotations

import warnings
from typing import Any

import httpx2
import openai
import pydantic
from openai.types.responses import Response, ResponseStreamEvent

__all__ = ["client", "error_of", "events_of", "response_of", "streamed_response_of", "typed_response"]

_ASKED: dict[str, Any] = {"model": "alias", "input": "x"}
_EVENTS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)


def client(status: int, headers: dict[str, str], body: bytes) -> openai.OpenAI:
    """A client to whom every request is answered so. It tries once."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, content=body)

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport))


def events_of(stream: bytes) -> list[Any]:
    """The events that the SDK reads, each checked strictly against the type that it is said to be."""
    with client(200, {"content-type": "text/event-stream"}, stream) as sdk:
        events = list(sdk.responses.create(**_ASKED, stream=True))
    for event in events:
        _EVENTS.validate_python(_plain(event))
    return events


def streamed_response_of(stream: bytes) -> Any:
    """The response that the SDK's helper puts together. Raises what the SDK raises."""
    with (
        client(200, {"content-type": "text/event-stream"}, stream) as sdk,
        sdk.responses.stream(**_ASKED) as events,
    ):
        return events.get_final_response()


def response_of(body: bytes) -> Response:
    with client(200, {"content-type": "application/json"}, body) as sdk:
        response: Response = sdk.responses.create(**_ASKED)
    return typed_response(response)


def typed_response(response: Any) -> Response:
    """`response`, checked strictly: the SDK itself takes anything."""
    Response.model_validate(_plain(response))
    checked: Response = response
    return checked


def error_of(status: int, headers: dict[str, str], body: bytes) -> openai.APIStatusError:
    """The error that the SDK makes of an answer."""
    with client(status, {"content-type": "application/json", **headers}, body) as sdk:
        try:
            sdk.responses.create(**_ASKED)
        except openai.APIStatusError as error:
            return error
    raise AssertionError("the SDK took it for an answer")


def _plain(model: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of fields of another type than the model says: the check that follows names them
        return model.model_dump(by_alias=True, exclude_unset=True)
