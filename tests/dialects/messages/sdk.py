"""Puts bytes in front of the real `anthropic` SDK, without a socket."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2

__all__ = ["client", "message_of", "raw_events_of"]


def client(status: int, headers: dict[str, str], body: bytes) -> anthropic.Anthropic:
    """A client to whom every request is answered so. It tries once."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, content=body)

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport))


def message_of(stream: bytes) -> Any:
    """The message that the SDK's helper puts together from `stream`. Raises what the SDK raises."""
    with (
        client(200, {"content-type": "text/event-stream"}, stream) as sdk,
        sdk.messages.stream(model="alias", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as events,
    ):
        return events.get_final_message()


def raw_events_of(stream: bytes) -> list[Any]:
    """The events that the SDK reads from `stream`, each as its own type."""
    with client(200, {"content-type": "text/event-stream"}, stream) as sdk:
        events = sdk.messages.create(
            model="alias", max_tokens=9, messages=[{"role": "user", "content": "x"}], stream=True
        )
        return list(events)
