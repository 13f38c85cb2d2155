"""Messages on other hosts: what Bedrock, Vertex AI, DeepSeek and local engines want otherwise than Anthropic, as data.

A host that wants another body gets its requests written anew, never relayed. What a host refuses is taken out together
with what depends on it: a beta that is not known there goes, and so does the body's field which that beta brought
(R073); each is reported. A name that is not here is Anthropic's own API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ds2api.dialects.contract import Target
from ds2api.universal.losses import Losses

__all__ = ["PATH", "Host", "adapted", "host_of"]

PATH = "/messages"

# anthropic SDK, lib/vertex/_client.py: the body's version, and nothing else is taken.
_VERTEX_VERSION = "vertex-2023-10-16"

# platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai and …-on-amazon-bedrock: betas offered there.
_CLOUD_BETAS = frozenset({
    "claude-code-20250219", "computer-use-2025-01-24", "computer-use-2025-11-24", "context-1m-2025-08-07",
    "context-management-2025-06-27", "fine-grained-tool-streaming-2025-05-14", "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19", "token-efficient-tools-2025-02-19", "tool-search-tool-2025-10-19",
})  # fmt: skip

# Which beta brought a field of the body; a host that does not know the beta refuses the field.
_BETA_OF: Mapping[str, str] = {
    "context_management": "context-management-",
    "mcp_servers": "mcp-client-",
    "container": "code-execution-",
    "speed": "fast-mode-",
    "thread": "threads-",
    "fallbacks": "fallbacks-",
}


@dataclass(frozen=True, slots=True)
class Host:
    """`betas` None: all. `model_in_path`: the model leaves the body, which holds `version` instead.
    `thinking_with_calls`: a turn with calls must begin with thinking, if only empty (R067). `capabilities`: what its
    models take though their names do not tell; what the target says wins."""

    betas: frozenset[str] | None = None
    model_in_path: bool = False
    version: str | None = None
    thinking_with_calls: bool = False
    capabilities: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_own_body(self) -> bool:
        return self.betas is not None or self.model_in_path or self.thinking_with_calls


_ANTHROPIC = Host()
# Whatever the model: temperature, top_p and top_k are the engine's (vllm/entrypoints/anthropic/protocol.py;
# docs.ollama.com/api/anthropic-compatibility).
_LOCAL = Host(capabilities={"sampling": "all"})
_HOSTS: Mapping[str, Host] = {
    "bedrock": Host(betas=_CLOUD_BETAS),
    "vertex": Host(betas=_CLOUD_BETAS, model_in_path=True, version=_VERTEX_VERSION),
    "deepseek": Host(thinking_with_calls=True),  # api-docs.deepseek.com/guides/anthropic_api
    # As `test --engine` shows: sampling is taken; a schema is passed over without a word, so it is not sent.
    "llamacpp": Host(capabilities={"sampling": "all", "structured": False}),
    **dict.fromkeys(("lmstudio", "ollama", "sglang", "vllm"), _LOCAL),
}


def host_of(flavour: str) -> Host:
    """The row called `flavour`; Anthropic itself if there is none."""
    return _HOSTS.get(flavour, _ANTHROPIC)


def adapted(
    body: dict[str, Any], headers: list[tuple[str, str]], target: Target, losses: Losses
) -> tuple[str, list[tuple[str, str]]]:
    """Path and headers for the target's host; `body` is changed in place."""
    host = host_of(target.flavour)
    if host.betas is not None:
        headers = [_allowed(one, host.betas, losses) if one[0] == "anthropic-beta" else one for one in headers]
        _drop_orphans(body, headers, losses)
        headers = [one for one in headers if one[1]]
    if host.thinking_with_calls:
        _think(body["messages"])
    if not host.model_in_path:
        return PATH, headers
    del body["model"]
    body["anthropic_version"] = host.version
    verb = "streamRawPredict" if body.get("stream") else "rawPredict"
    return f"/models/{target.model}:{verb}", [one for one in headers if one[0] != "anthropic-version"]


def _allowed(header: tuple[str, str], betas: frozenset[str], losses: Losses) -> tuple[str, str]:
    named = [beta.strip() for beta in header[1].split(",") if beta.strip()]
    for beta in named:
        if beta not in betas:
            losses.report("dropped", f"anthropic-beta.{beta}", "this host does not offer the beta")
    return header[0], ",".join(beta for beta in named if beta in betas)


def _drop_orphans(body: dict[str, Any], headers: list[tuple[str, str]], losses: Losses) -> None:
    kept = ",".join(value for name, value in headers if name == "anthropic-beta")
    for name, beta in _BETA_OF.items():
        if name in body and beta not in kept:
            del body[name]
            losses.report("dropped", name, "this host does not offer the beta that it belongs to")


def _think(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        content = message.get("content")
        if message.get("role") != "assistant" or not isinstance(content, list):
            continue
        kinds = {block.get("type") for block in content}
        if "tool_use" in kinds and "thinking" not in kinds:
            content.insert(0, {"type": "thinking", "thinking": "", "signature": ""})
