"""Prompted tools go in words to every protocol, also to the client's own, whose writer else sends back what came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ds2api.dialects.contract import Target
from ds2api.dialects.registry import DIALECTS
from ds2api.prompted import format_for, with_prompted_tools
from ds2api.universal.losses import Losses

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"at": {"type": "string"}}}
FUNCTION: dict[str, Any] = {"name": "look", "parameters": SCHEMA}
ARGUMENTS = {"at": "this"}
# A tool, a call of it, its result, and a field that only this dialect knows.
ASKED: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": json.dumps(ARGUMENTS)}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "nothing"},
        ],
        "tools": [{"type": "function", "function": FUNCTION}],
    },
    "messages": {
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": ARGUMENTS}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "nothing"}]},
        ],
        "tools": [{"name": "look", "input_schema": SCHEMA}],
    },
    "responses": {
        "input": [
            {"role": "user", "content": "Look."},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": json.dumps(ARGUMENTS)},
            {"type": "function_call_output", "call_id": "c1", "output": "nothing"},
        ],
        "tools": [{"type": "function", **FUNCTION}],
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "Look."}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": ARGUMENTS}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "nothing"}}}]},
        ],
        "tools": [{"functionDeclarations": [FUNCTION]}],
    },
    "ollama": {
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": ARGUMENTS}}]},
            {"role": "tool", "tool_name": "look", "content": "nothing"},
        ],
        "tools": [{"type": "function", "function": FUNCTION}],
    },
}  # fmt: skip
PATHS = {"gemini": "/v1beta/models/m:generateContent", "ollama": "/api/chat"}


@pytest.mark.parametrize("upstream", ASKED)
@pytest.mark.parametrize("client", ASKED)
def test_tools_calls_and_results_are_told_in_words(client: str, upstream: str) -> None:
    asked = {**ASKED[client], "model": "m", "tomorrow": 1}
    request = DIALECTS[client].read_request(asked, {}, PATHS.get(client, "/v1"))
    worded = with_prompted_tools(request, format_for("mixtral"), Losses("report"))
    sent = json.loads(DIALECTS[upstream].write_request(worded, Target("p", "mixtral")).body)
    assert "tools" not in sent
    text = json.dumps(sent).replace('\\"', '"')
    assert '[TOOL_CALLS] [{"name": "look", "arguments": {"at":' in text
    assert "[TOOL_RESULTS]" in text
    assert "nothing" in text
    assert "You may call these tools" in text
    assert (sent.get("tomorrow") == 1) == (client == upstream)
