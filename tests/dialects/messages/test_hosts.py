"""Messages on other hosts: path, version, betas and what depends on them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.messages import DIALECT
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Text
from ds2api.universal.request import OutputFormat, Request, Sampling, Turn

BETAS = "claude-code-20250219,context-management-2025-06-27,new-thing-2026-03-01"
BODY: dict[str, Any] = {
    "model": "alias", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}],
    "context_management": {"edits": []}, "mcp_servers": [],
}  # fmt: skip


def sent(flavour: str, *, stream: bool = False, body: dict[str, Any] = BODY) -> tuple[Outgoing, dict[str, Any]]:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": BETAS}
    request = DIALECT.read_request({**body, "stream": stream}, headers, "/v1/messages")
    outgoing = DIALECT.write_request(request, Target("p", "claude-opus-4-6", flavour))
    return outgoing, json.loads(outgoing.body)


def test_r073_anthropic_itself_gets_every_beta() -> None:
    assert DIALECT.fits(BODY, Target("p", "claude-opus-4-6"))
    outgoing, body = sent("")
    assert dict(outgoing.headers)["anthropic-beta"] == BETAS
    assert "context_management" in body
    assert outgoing.losses == []


@pytest.mark.parametrize("flavour", ["bedrock", "vertex"])
def test_r073_a_cloud_gets_the_betas_that_it_offers_and_no_field_without_its_beta(flavour: str) -> None:
    assert not DIALECT.fits(BODY, Target("p", "claude-opus-4-6", flavour))
    outgoing, body = sent(flavour)
    assert dict(outgoing.headers)["anthropic-beta"] == "claude-code-20250219,context-management-2025-06-27"
    assert "context_management" in body
    assert "mcp_servers" not in body
    assert [loss.path for loss in outgoing.losses] == ["anthropic-beta.new-thing-2026-03-01", "mcp_servers"]


@pytest.mark.parametrize(("stream", "verb"), [(False, "rawPredict"), (True, "streamRawPredict")])
def test_vertex_has_the_model_in_its_path_and_the_version_in_the_body(stream: bool, verb: str) -> None:
    outgoing, body = sent("vertex", stream=stream)
    assert outgoing.path == f"/models/claude-opus-4-6:{verb}"
    assert "model" not in body
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert "anthropic-version" not in dict(outgoing.headers)


def test_r067_deepseek_gets_a_thinking_block_before_every_call() -> None:
    history = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]},
    ]
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    _, body = sent("deepseek", body={"model": "m", "max_tokens": 9, "messages": history, "tools": tools})
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "", "signature": ""}


@pytest.mark.parametrize("flavour", ["llamacpp", "lmstudio", "ollama", "sglang", "vllm"])
def test_a_local_engine_takes_sampling_whatever_its_model_is_called(flavour: str) -> None:
    """`test --engine`: greedy answers came out random, since no name of a local model tells that it takes this."""
    target = Target("p", "open-mixtral-8x22b", flavour)
    assert DIALECT.fits(BODY, target)
    asked = Request("chat", "m", [Turn("user", [Text("Hello")])], sampling=Sampling(temperature=0.0, top_k=1))
    outgoing = DIALECT.write_request(asked, target)
    body = json.loads(outgoing.body)
    assert (body["temperature"], body["top_k"]) == (0, 1)
    assert outgoing.losses == []


def test_llamacpp_passes_a_schema_over_so_it_is_refused() -> None:
    asked = Request("chat", "m", [Turn("user", [Text("Hello")])], output=OutputFormat("schema", {"type": "object"}))
    with pytest.raises(Problem, match="JSON schema"):
        DIALECT.write_request(asked, Target("p", "m", "llamacpp"))
