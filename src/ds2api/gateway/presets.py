"""What a newcomer need not know: base URLs, header styles, flavours and key variables of known providers.

A row is chosen by the provider's name in the configuration; each names the provider's own document. A provider that
is not here is written out in the configuration and works as plain chat. Rows without a URL belong to hosts that give
every customer one of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ds2api.universal.days import PACIFIC

__all__ = ["AUTH_STYLES", "PRESETS", "AuthStyle", "Preset"]

# "foundry" shows the key twice, as its own SDK does: `x-api-key` for the model, `api-key` for the gate before it.
AuthStyle = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "foundry", "none"]
AUTH_STYLES: tuple[AuthStyle, ...] = get_args(AuthStyle)


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a provider by its name. `models` are patterns of its own model names: they decide where
    a plain name goes when several providers are configured and no `[models]` table says it."""

    base_urls: Mapping[str, str]  # dialect → base URL, the preferred dialect first; "" where only the user knows it
    auth: Mapping[str, AuthStyle] = field(default_factory=dict)  # dialect → style; "bearer" where not said
    flavour: str = ""
    models: tuple[str, ...] = ()
    environment: str = ""  # where its users keep their keys
    is_bare: bool = False  # its paths hold no version
    day_zone: str = "UTC"  # where its day begins, for limits a day


def _chat(url: str, flavour: str, environment: str, *models: str, is_bare: bool = False) -> Preset:
    return Preset({"chat": url}, {}, flavour, models, environment, is_bare)


def _local(port: int, flavour: str, *dialects: str) -> Preset:
    """A server on this machine that wants no key."""
    url = f"http://127.0.0.1:{port}/v1"
    return Preset(dict.fromkeys(dialects, url), dict.fromkeys(dialects, "none"), flavour)


PRESETS: Mapping[str, Preset] = {
    # developers.openai.com/api/reference
    "openai": Preset(
        {"chat": "https://api.openai.com/v1", "responses": "https://api.openai.com/v1"},
        flavour="openai",
        models=("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "codex-*", "text-embedding-*"),
        environment="OPENAI_API_KEY",
    ),
    # platform.claude.com/docs/en/api (x-api-key is taken by both versions)
    "anthropic": Preset(
        {"messages": "https://api.anthropic.com/v1"},
        {"messages": "x-api-key"},
        models=("claude-*",),
        environment="ANTHROPIC_API_KEY",
    ),
    # ai.google.dev/api; its own chat door is at …/v1beta/openai
    "gemini": Preset(
        {
            "gemini": "https://generativelanguage.googleapis.com/v1beta",
            "chat": "https://generativelanguage.googleapis.com/v1beta/openai",
        },
        {"gemini": "x-goog-api-key"},
        models=("gemini-*", "gemma-*"),
        environment="GEMINI_API_KEY",
        day_zone=PACIFIC,  # ai.google.dev/gemini-api/docs/rate-limits
    ),
    # docs.mistral.ai/api
    "mistral": Preset(
        {"mistral": "https://api.mistral.ai/v1"},
        models=("mistral-*", "open-mi*", "codestral-*", "ministral-*", "magistral-*", "devstral-*", "pixtral-*"),
        environment="MISTRAL_API_KEY",
    ),
    # docs.ollama.com/api, with openai-compatibility and anthropic-compatibility
    "ollama": Preset(
        {
            "ollama": "http://127.0.0.1:11434/api",
            "chat": "http://127.0.0.1:11434/v1",
            "messages": "http://127.0.0.1:11434/v1",
        },
        {"ollama": "none", "chat": "none", "messages": "none"},
        flavour="ollama",
    ),
    # api-docs.deepseek.com (guides/anthropic_api)
    "deepseek": Preset(
        {"chat": "https://api.deepseek.com", "messages": "https://api.deepseek.com/anthropic"},
        {"messages": "x-api-key"},
        flavour="deepseek",
        models=("deepseek-*",),
        environment="DEEPSEEK_API_KEY",
    ),
    # openrouter.ai/docs/api/reference/overview
    "openrouter": _chat("https://openrouter.ai/api/v1", "openrouter", "OPENROUTER_API_KEY"),
    # console.groq.com/docs/openai
    "groq": _chat("https://api.groq.com/openai/v1", "groq", "GROQ_API_KEY"),
    # docs.x.ai/docs/api-reference
    "xai": Preset(
        {"chat": "https://api.x.ai/v1", "responses": "https://api.x.ai/v1"},
        flavour="xai",
        models=("grok-*",),
        environment="XAI_API_KEY",
    ),
    # docs.together.ai/docs/openai-api-compatibility
    "together": _chat("https://api.together.xyz/v1", "together", "TOGETHER_API_KEY"),
    # docs.fireworks.ai/tools-sdks/openai-compatibility
    "fireworks": _chat(
        "https://api.fireworks.ai/inference/v1", "fireworks", "FIREWORKS_API_KEY", "accounts/fireworks/*"
    ),
    # inference-docs.cerebras.ai/resources/openai
    "cerebras": _chat("https://api.cerebras.ai/v1", "cerebras", "CEREBRAS_API_KEY"),
    # platform.moonshot.ai/docs
    "moonshot": _chat("https://api.moonshot.ai/v1", "moonshot", "MOONSHOT_API_KEY", "kimi-*", "moonshot-*"),
    # docs.z.ai/api-reference and docs.z.ai/devpack (Claude API)
    "zai": Preset(
        {"chat": "https://api.z.ai/api/paas/v4", "messages": "https://api.z.ai/api/anthropic"},
        flavour="zai",
        models=("glm-*",),
        environment="ZAI_API_KEY",
    ),
    # alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope
    "alibaba": _chat(
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "alibaba", "DASHSCOPE_API_KEY", "qwen*", "qwq-*"
    ),
    # docs.perplexity.ai/api-reference/chat-completions-post: the path has no version
    "perplexity": _chat("https://api.perplexity.ai", "perplexity", "PERPLEXITY_API_KEY", "sonar*", is_bare=True),
    # huggingface.co/docs/inference-providers
    "huggingface": _chat("https://router.huggingface.co/v1", "huggingface", "HF_TOKEN"),
    # docs.github.com/rest/models/inference
    "github": _chat("https://models.github.ai/inference", "github", "GITHUB_TOKEN", is_bare=True),
    # docs.vllm.ai (online serving); docs.sglang.ai; ggml-org/llama.cpp tools/server; lmstudio.ai/docs/developer
    "vllm": _local(8000, "vllm", "chat", "responses", "messages"),
    "sglang": _local(30000, "sglang", "chat"),
    # Without its `responses`: the stream leaves out the indexes that SDKs build on, a schema is passed over without a
    # word, and an answer cut at the limit is called completed (`test --engine`). Over chat nothing of that is lost.
    "llamacpp": _local(8080, "llamacpp", "chat", "messages"),
    "lmstudio": _local(1234, "lmstudio", "chat", "responses"),
    # learn.microsoft.com/azure/ai-foundry/openai/reference: https://NAME.openai.azure.com/openai/v1, or the dated form
    # …/openai/deployments/{model}?api-version=2024-10-21
    "azure": Preset(
        {"chat": "", "responses": ""},
        {"chat": "api-key", "responses": "api-key"},
        flavour="azure",
        environment="AZURE_OPENAI_API_KEY",
    ),
    # anthropic SDK, lib/foundry.py: https://NAME.services.ai.azure.com/anthropic
    "foundry": Preset({"messages": ""}, {"messages": "foundry"}, environment="ANTHROPIC_FOUNDRY_API_KEY"),
    # anthropic SDK, lib/bedrock/_mantle.py: https://bedrock-mantle.REGION.api.aws/anthropic
    "bedrock": Preset({"messages": ""}, flavour="bedrock", environment="AWS_BEARER_TOKEN_BEDROCK"),
    # anthropic SDK, lib/vertex: https://REGION-aiplatform.googleapis.com/v1/projects/P/locations/REGION/publishers/anthropic
    "vertex": Preset({"messages": ""}, flavour="vertex", environment="VERTEX_ACCESS_TOKEN"),
}
