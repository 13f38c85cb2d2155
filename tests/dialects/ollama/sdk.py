"""Puts bytes in front of the real `ollama` SDK, without a socket, and takes what it sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import ollama

__all__ = ["answered", "sent"]


def answered(status: int, body: bytes) -> ollama.Client:
    """A client to whom every request is answered so."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    return ollama.Client(host="http://upstream", transport=httpx.MockTransport(answer))


def sent(ask: Callable[[ollama.Client], Any], answer: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Path, headers and body of the request that `ask` makes."""
    taken: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        taken.append(request)
        return httpx.Response(200, content=json.dumps(answer))

    ask(ollama.Client(host="http://upstream", transport=httpx.MockTransport(take)))
    request = taken[0]
    return request.url.path, dict(request.headers), json.loads(request.content or b"{}")
