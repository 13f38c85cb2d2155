"""Every recording through the gateway, as an SDK's user sees it.

An *answer* is replayed to the six SDKs, whole and streamed, from an upstream of its own protocol: text, calls, finish
and usage must be what the recording says. A *request* is sent as its client sent it to an upstream of each protocol,
which checks it strictly; to its own it must arrive byte for byte. Traffic in protocols that the gateway only moves goes
through `/providers/NAME/…`, and no byte may change. What could not be carried is written in `losses.json`, and nothing
else may be lost:

    DS2API_WRITE_LOSSES=1 python -m pytest tests/end_to_end/test_recordings.py -p no:xdist

writes the file anew. A diff in it is a change of what users lose, and is read as one. Its "passed" are the counts that
`docs/fidelity.md` shows; they are of all recordings, those beside the repository included.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import openai
import pytest
from google.genai import errors as genai_errors
from mistralai.client.errors import MistralError
from tests.end_to_end import raw
from tests.end_to_end.answers import serve
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Mock, Received, Reply, faults_of, mock_upstream
from tests.end_to_end.recorded import ANSWERS, OTHERS, REQUESTS, Recorded, Told
from tests.end_to_end.sdk import CLIENTS, Clients, Seen
from tests.end_to_end.tables import provider, table

_FILE = Path(__file__).with_name("losses.json")
_WRITES = bool(os.environ.get("DS2API_WRITE_LOSSES"))
_IS_COMPLETE = (Path(__file__).parents[2].parent / "shared" / "recorded").is_dir()
KNOWN: dict[str, Any] = json.loads(_FILE.read_text()) if _FILE.exists() else {}
FOUND: dict[str, Any] = {"passed": {}, "answers": {}, "requests": {}}

# The names that the translated requests carry: plain models of each upstream.
MODELS = {
    "chat": "gpt-4.1",
    "responses": "gpt-4.1",
    "messages": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3",
    "mistral": "mistral-medium-latest",
}
# Why an answer ended, in each protocol's own word (`mapping.md` §2).
_LIMIT, _FILTER = "incomplete/max_output_tokens", "incomplete/content_filter"
_MEANINGS: dict[str, tuple[str, ...]] = {  # in the order of CLIENTS
    "stop": ("stop", "completed", "end_turn", "STOP", "stop", "stop"),
    "stop_sequence": ("stop", "completed", "stop_sequence", "STOP", "stop", "stop"),
    "length": ("length", _LIMIT, "max_tokens", "MAX_TOKENS", "length", "length"),
    "context_full": ("length", _LIMIT, "model_context_window_exceeded", "MAX_TOKENS", "length", "model_length"),
    "tool_use": ("tool_calls", "completed", "tool_use", "STOP", "stop", "tool_calls"),
    "refusal": ("stop", "completed", "refusal", "SAFETY", "stop", "stop"),
    "filter": ("content_filter", _FILTER, "refusal", "SAFETY", "stop", "error"),
    "pause": ("stop", "incomplete", "pause_turn", "OTHER", "stop", "stop"),
    "compaction": ("stop", "completed", "compaction", "CONTINUATION", "stop", "stop"),
    "other": ("stop", "completed", "end_turn", "OTHER", "stop", "stop"),
}
_TOLD = {
    **dict.fromkeys(("stop", "end_turn", "STOP", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "MAX_TOKENS", _LIMIT), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_use"),
    **dict.fromkeys(("content_filter", _FILTER, "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "RECITATION"), "filter"),
    "complete": "stop",
    "model_length": "context_full",
    "model_context_window_exceeded": "context_full",
    "pause_turn": "pause",
    **{word: word for word in ("stop_sequence", "refusal", "compaction")},
}
_USAGE = {
    "chat": (("prompt_tokens",), "completion_tokens"),
    "messages": (("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"), "output_tokens"),
}
_REFUSALS_ARE_TEXT = ("gemini", "ollama", "mistral")
FAILURES = (
    openai.APIError, anthropic.APIError, genai_errors.APIError, ollama.ResponseError, MistralError, httpx.HTTPError,
    httpx2.HTTPError,
)  # fmt: skip


class Replay:
    """One gateway and one mock for all recordings. `now` is what the mock answers with."""

    def __init__(self, mock: Mock, gateway: Running) -> None:
        self.mock = mock
        self.gateway = gateway
        self.clients = Clients(gateway.url)
        self.now: Reply | None = None

    def forget(self) -> None:
        """A recorded failure made the account rest; the next recording needs it."""
        for name in MODELS:
            self.gateway.call(partial(self.gateway.gateway.house.admission.revive, f"at-{name}/a"))

    def script(self, received: Received) -> Reply:
        return serve(received) if self.now is None else self.now


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with running() as one:
        yield one


@pytest.fixture(scope="module")
def fresh() -> Iterator[Replay]:
    """For requests: a gateway that has seen no answer, since it would remember the thoughts of some."""
    with running() as one:
        yield one


@contextmanager
def running() -> Iterator[Replay]:
    box: list[Replay] = []
    with mock_upstream(lambda received: box[0].script(received), is_strict=False) as mock:  # noqa: PLW0108 (box is empty yet)
        providers = {f"at-{name}": provider(mock.url_of(name), name) for name in MODELS}
        providers["at-chat"]["flavour"] = "openai"
        providers["at-cohere"] = provider(mock.url.removesuffix("1") + "2", "chat")
        models = {f"over-{name}": f"at-{name}/{model}" for name, model in MODELS.items()}
        # Recorded failures follow each other: no circuit may keep the next recording away.
        settings = {"retries": {"max": 0, "patience_s": 0.001}, "pool": {"circuit_failures": 1_000_000}}
        with gateway_for({**table(providers, models), **settings}) as gateway:
            box.append(Replay(mock, gateway))
            yield box[0]
            box[0].clients.close()
            assert gateway.leases() == 0
    if _WRITES:
        _FILE.write_text(json.dumps(FOUND, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def hold(kind: str, where: str, losses: dict[str, list[str]]) -> None:
    """`losses`, of each other side, are exactly what is written down for this recording."""
    told = {other: sorted(one) for other, one in losses.items() if one}
    if told:
        FOUND[kind][where] = told
    counted = FOUND["passed"].setdefault(kind, {}).setdefault(where.partition(" ")[0], {})
    for other in losses:
        counted[other] = counted.get(other, 0) + 1
    if not _WRITES:
        assert told == KNOWN[kind].get(where, {})


@pytest.mark.parametrize(
    "recorded", ANSWERS, ids=lambda one: f"{one.dialect}-{one.name}-{'sse' if one.is_stream else 'json'}"
)
def test_an_answer_means_the_same_to_every_client(replay: Replay, recorded: Recorded) -> None:
    kind = "text/event-stream" if recorded.is_stream else "application/json"
    replay.now = Reply(recorded.status, [recorded.body], [("content-type", kind)], "length")
    losses: dict[str, list[str]] = {}
    for client in CLIENTS:
        for stream in (False, True):
            if recorded.told is None:
                losses[client] = []
                if client == recorded.dialect and recorded.status == 200:
                    continue  # an answer of that protocol all the same ("queued"), and passed on as it is
                with pytest.raises((*FAILURES, AssertionError)):
                    replay.clients.ask(client, f"over-{recorded.dialect}", stream=stream)
                replay.forget()
                continue
            seen = replay.clients.ask(client, f"over-{recorded.dialect}", stream=stream)
            hold_answer(recorded.dialect, recorded.told, client, seen)
            if not stream:
                losses[client] = seen.warnings
    hold("answers", f"{recorded.dialect} {recorded.name} {'sse' if recorded.is_stream else 'json'}", losses)


def hold_answer(dialect: str, told: Told, client: str, seen: Seen) -> None:
    is_text = client in _REFUSALS_ARE_TEXT and client != dialect
    assert seen.text == told.text + (told.refusal if is_text else ""), client
    if not (client == dialect == "gemini"):  # its SDK shows calls piece by piece, as they were passed on
        assert [(name, _plain(given)) for name, given in seen.calls] == told.calls, client
    meaning = _TOLD.get(told.finish or "stop", "other")
    if told.calls and meaning == "stop":
        meaning = "tool_use"
    elif told.refusal and meaning == "stop":
        meaning = "refusal"
    expected = _MEANINGS[meaning][CLIENTS.index(client)]
    # A provider's own client gets the provider's own word, or silence; whatever is written anew says why it ended.
    assert seen.finish == expected or (client == dialect and seen.finish == told.finish), client
    if told.input_total is None:
        return
    inputs, output = _USAGE.get(client, (("input",), "output"))
    assert sum(seen.usage.get(name) or 0 for name in inputs) == told.input_total, client
    assert (seen.usage.get(output) or 0) in told.outputs, client


def _plain(given: Any) -> Any:
    """A call of a tool that takes free text is a function's with one field where there are only functions."""
    return given["input"] if isinstance(given, dict) and list(given) == ["input"] else given


_DOORS = {
    "chat": ("/v1/chat/completions", {}),
    "responses": ("/v1/responses", {}),
    "messages": ("/v1/messages", {"anthropic-version": "2023-06-01"}),
    "gemini": ("/v1beta/models/MODEL:generateContent", {"x-goog-api-key": "none"}),
    "mistral": ("/v1/chat/completions", {"user-agent": "mistral-client-python"}),
}


@pytest.mark.parametrize("client,name,body", REQUESTS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_request_is_right_for_every_provider(fresh: Replay, client: str, name: str, body: bytes) -> None:
    path, headers = _DOORS[client]
    parsed = json.loads(body)
    losses: dict[str, list[str]] = {}
    for target, model in MODELS.items():
        before = len(fresh.mock.received)
        alias = f"over-{target}"
        sent = body if client == "gemini" else json.dumps({**parsed, "model": alias}).encode()
        answer = raw.exchange(
            fresh.gateway.port, "POST", path.replace("MODEL", alias), sent,
            {"content-type": "application/json", **headers},
        )  # fmt: skip
        received = fresh.mock.received[before:]
        if answer.status == 400:
            assert received == [], f"the gateway's own request was refused: {answer.body!r}"
            message = answer.json.get("error", answer.json)["message"]
            losses[target] = [f"refused: {message}"]
            continue
        assert answer.status == 200, answer.body
        if target == client:
            assert received[0].json | {"stream_options": 0} == {
                **parsed, **({} if client == "gemini" else {"model": model}), "stream_options": 0,
            }  # fmt: skip
            plain = sent.replace(f'"{alias}"'.encode(), f'"{model}"'.encode())
            assert received[0].body.startswith(plain[:-1]), "a byte of a relayed body was changed"
        else:
            assert faults_of(received[0]) == [], target
        losses[target] = [value for key, value in answer.headers if key == "x-ds2api-warning"]
    hold("requests", f"{client} {name}", losses)


@pytest.mark.parametrize("name,sent,answered", OTHERS, ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_only_passed_on_changes_no_byte(replay: Replay, name: str, sent: bytes, answered: bytes) -> None:
    is_stream = answered.startswith((b"data:", b"event:", b"id:"))
    kind = "text/event-stream" if is_stream else "application/json"
    replay.now = Reply(200, [answered], [("content-type", kind)], "chunked")
    home, path = ("at-gemini", "/v1beta/interactions") if name.startswith("gemini") else ("at-cohere", "/v2/chat")
    answer = raw.exchange(
        replay.gateway.port, "POST", f"/providers/{home}{path}", sent, {"content-type": "application/json"}
    )
    received = replay.mock.received[-1]
    assert (received.target, received.body) == (path, sent)
    assert (answer.status, answer.body) == (200, answered)
    FOUND["passed"]["other"] = FOUND["passed"].get("other", 0) + 1


@pytest.mark.skipif(not _IS_COMPLETE or _WRITES, reason="the recordings beside the repository are not here")
def test_the_page_counts_what_there_is() -> None:
    """Each recording passed for each side or its own test failed, so the numbers of recordings are those that passed."""
    counts: dict[str, dict[str, dict[str, int]]] = {"answers": {}, "requests": {}}
    for kind, dialects in (("answers", [one.dialect for one in ANSWERS]), ("requests", [one[0] for one in REQUESTS])):
        counts[kind] = {one: dict.fromkeys(CLIENTS, dialects.count(one)) for one in dict.fromkeys(dialects)}
    assert KNOWN["passed"] == {**counts, "other": len(OTHERS)}
