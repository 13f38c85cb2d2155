"""Text through the gateway is the engine's text: six SDKs over each of its protocols, whole and streamed.

The engine is asked directly first; then every client must see the same words and the same token counts.
"""

from __future__ import annotations

import json

import pytest
from tests.engine.clients import CLIENTS, LIMIT_WORDS, STOP_WORDS, Ask
from tests.engine.conftest import House
from tests.engine.llamacpp import MODEL

clients = pytest.mark.parametrize("client", CLIENTS)
upstreams = pytest.mark.parametrize("upstream", [MODEL, "chat", "messages", "responses"])
modes = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@modes
@upstreams
@clients
def test_text_usage_and_limit(house: House, client: str, upstream: str, stream: bool) -> None:
    text, read, written = house.plain.ask("Hello", max_tokens=24)
    seen = CLIENTS[client](house.url, Ask(upstream), stream=stream)
    assert seen.text == text
    assert seen.usage == {"in": read, "out": written}
    # llama.cpp's own Responses protocol calls an answer completed that ended at the limit.
    ends = STOP_WORDS if upstream == "responses" else LIMIT_WORDS
    assert seen.finish == ends[client]


@modes
@pytest.mark.parametrize("upstream", [MODEL, "chat", "messages"])
@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "responses"])  # has no stop sequences
def test_stop_sequences(house: House, client: str, upstream: str, stream: bool) -> None:
    text, _, _ = house.plain.ask("Hello", max_tokens=24)
    stop = text[12:15]
    seen = CLIENTS[client](house.url, Ask(upstream, stop=stop), stream=stream)
    assert seen.text == text[: text.index(stop)]
    ends = {STOP_WORDS[client]}
    if client == "messages" and upstream == "messages":
        ends = {"end_turn"}  # the engine names the sequence, but not as the reason
    assert seen.finish in ends


@modes
@clients
def test_json_of_a_schema(house: House, client: str, stream: bool) -> None:
    """The engine writes under a grammar. Its Messages and Responses protocols take no schema (and do not say so)."""
    model = "chat" if client == "messages" else MODEL
    seen = CLIENTS[client](house.url, Ask(model, schema=True, max_tokens=100), stream=stream)
    assert json.loads(seen.text)["city"] in ("Paris", "Rome")
    assert seen.finish == STOP_WORDS[client]
