"""Every recording of the two protocols through the gateway, as an SDK's user sees it.

An *answer* is replayed to both SDKs, whole and streamed, from an upstream of its own dialect: text, calls, finish
and usage must be what the recording says. A *request* is sent by its own SDK to an upstream of the other dialect,
which checks it strictly. What could not be carried is written in `losses.json`, and nothing else may be lost:

    DS2API_WRITE_LOSSES=1 python -m pytest tests/end_to_end/test_recordings.py -p no:xdist

writes the file anew. A diff in it is a change of what users lose, and is read as one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.dialects.chat import strict as chat_strict
from tests.dialects.messages import strict as messages_strict
from tests.end_to_end.answers import serve
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Mock, Received, Reply, mock_upstream
from tests.end_to_end.recorded import ANSWERS, REQUESTS, Recorded
from tests.end_to_end.sdk import Mode, Seen, ask_chat, ask_messages
from tests.end_to_end.tables import provider, table

_FILE = Path(__file__).with_name("losses.json")
_WRITES = bool(os.environ.get("DS2API_WRITE_LOSSES"))
LOSSES: dict[str, dict[str, list[str]]] = json.loads(_FILE.read_text()) if _FILE.exists() else {}

# The names that the translated requests carry: plain models of the other side.
CHAT_MODEL, MESSAGES_MODEL = "gpt-4.1", "claude-sonnet-4-5"
_FINISH_FOR_MESSAGES = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_FINISH_FOR_CHAT = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
}


class Replay:
    """One gateway and one mock for all recordings. `now` is what the mock answers with."""

    def __init__(self, mock: Mock, gateway: Running) -> None:
        self.mock = mock
        self.url = gateway.url
        self.now: Recorded | None = None
        self.gateway = gateway

    def forget(self) -> None:
        """A recorded failure made the account rest; the next recording needs it."""
        for account_id in ("c/a", "n/a"):
            self.gateway.call(self.gateway.account(account_id).revive)

    def script(self, received: Received) -> Reply:
        if self.now is None:
            return serve(received)
        if self.now.is_stream:
            return Reply.sse(self.now.body)
        return Reply.json(self.now.body, self.now.status)


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    box: list[Replay] = []
    with mock_upstream(lambda received: box[0].script(received), is_strict=False) as mock:  # noqa: PLW0108 (box is empty yet)
        providers = {"c": provider(mock.url, "chat"), "n": provider(mock.url, "messages")}
        models = {"over-chat": f"c/{CHAT_MODEL}", "over-messages": f"n/{MESSAGES_MODEL}"}
        settings = {"retries": {"max": 0, "patience_s": 0.001}}
        with gateway_for({**table(providers, models), **settings}) as gateway:
            box.append(Replay(mock, gateway))
            yield box[0]
            assert gateway.leases() == 0
    if _WRITES:
        _FILE.write_text(json.dumps(LOSSES, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def hold_losses(kind: str, name: str, warnings: list[str]) -> None:
    """`warnings` are exactly what is written down for this recording."""
    found = sorted(warnings)
    if _WRITES:
        LOSSES.setdefault(kind, {})[name] = found
    assert found == LOSSES.get(kind, {}).get(name, []), f"{kind} {name}"


def ask(replay: Replay, client: str, model: str, mode: Mode) -> Seen:
    hello = [{"role": "user", "content": "Hello"}]
    door = ask_chat if client == "chat" else ask_messages
    return door(replay.url, mode, model=model, messages=hello)


@pytest.mark.parametrize("client", ["chat", "messages"])
@pytest.mark.parametrize(
    "recorded", ANSWERS, ids=lambda one: f"{one.dialect}-{one.name}-{'sse' if one.is_stream else 'json'}"
)
def test_an_answer_means_the_same_to_either_client(replay: Replay, recorded: Recorded, client: str) -> None:
    replay.now = recorded
    model = f"over-{recorded.dialect}"
    modes: list[Mode] = [("sync", False), ("async", True)]
    if recorded.told is None:
        for mode in modes:
            with pytest.raises((openai.APIError, anthropic.APIError)):
                ask(replay, client, model, mode)
            replay.forget()
        return
    for mode in modes:
        seen = ask(replay, client, model, mode)
        hold_answer(recorded, client, seen)
        if not mode[1]:
            form = "sse" if recorded.is_stream else "json"
            hold_losses("answers", f"{recorded.dialect}→{client} {recorded.name} {form}", seen.warnings)


def hold_answer(recorded: Recorded, client: str, seen: Seen) -> None:
    told = recorded.told
    assert told is not None
    assert seen.text == told.text
    assert seen.calls == told.calls
    expected = told.finish or ("stop" if recorded.dialect == "chat" else "end_turn")
    if client != recorded.dialect:
        words = _FINISH_FOR_CHAT if client == "chat" else _FINISH_FOR_MESSAGES
        expected = words[expected]
    if told.calls and expected in ("stop", "end_turn"):
        expected = "tool_calls" if client == "chat" else "tool_use"
    # A provider that says nothing is relayed so; wherever the answer is written anew it says why it ended.
    assert seen.finish == expected or (client == recorded.dialect and seen.finish == told.finish)
    if told.input_total is None:
        return
    usage = seen.usage
    if client == "chat":
        assert usage["prompt_tokens"] == told.input_total
        assert usage["completion_tokens"] in told.outputs
    else:
        read = [
            usage.get(name) or 0 for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        ]
        assert sum(read) == told.input_total
        assert usage["output_tokens"] in told.outputs


@pytest.mark.parametrize("dialect,name,request_", REQUESTS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_request_is_right_for_the_other_provider(
    replay: Replay, dialect: str, name: str, request_: dict[str, Any]
) -> None:
    replay.now = None
    before = len(replay.mock.received)
    own = {
        key: value
        for key, value in request_.items()
        if key not in ("model", "messages", "stream", "max_tokens", "stream_options")
    }
    if dialect == "chat" and "max_tokens" in request_:
        own["max_tokens"] = request_["max_tokens"]
    sent: dict[str, Any] = {"messages": request_["messages"], "extra_body": own}
    if dialect == "messages":
        sent["max_tokens"] = request_["max_tokens"]
    where = f"{dialect} {name}"
    try:
        if dialect == "chat":
            seen = ask_chat(replay.url, ("sync", False), model="over-messages", **sent)
        else:
            seen = ask_messages(replay.url, ("sync", False), model="over-chat", **sent)
    except (openai.BadRequestError, anthropic.BadRequestError) as error:
        body: Any = error.body
        message = body["error"]["message"] if dialect == "messages" else body["message"]
        assert message
        assert len(replay.mock.received) == before, f"the gateway's own request was wrong: {message}"
        hold_losses("requests", where, [f"refused: {message}"])
        return
    assert seen.text == "Hello"
    received = replay.mock.received[-1]
    if dialect == "chat":
        faults = messages_strict.check(
            received.json,
            version=received.header("anthropic-version") or "",
            beta=received.header("anthropic-beta") is not None,
        )
    else:
        faults = chat_strict.check(received.json)
    assert faults == []
    hold_losses("requests", where, seen.warnings)
