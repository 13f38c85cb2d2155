"""How servers that speak chat completions differ, as data: one row a flavour.

A row says what a *writer* must do otherwise than plain chat; decoders read every accent at once and need no row.
A provider without a row, or a name that is not here, is plain chat: what its client said in chat goes out as it
came, and translated requests keep to what every known server takes. Rules that belong to a family of models
wherever it is hosted (Mistral's order of turns, OpenAI's reasoning models) are in `models`.

Each row names its source; a recorded refusal (a 400) beats a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PLAIN", "Flavour", "flavour_of"]

MaxTokensField = Literal["as_said", "max_tokens", "max_completion_tokens"]
ReasoningStyle = Literal["effort", "openrouter", "deepseek", "thinking", "enable_thinking"]


@dataclass(frozen=True, slots=True)
class Flavour:
    """One kind of chat server.

    `refused` are top-level fields that it answers with a 400 or has no meaning for: they are left out and
    reported, never sent; where `fields` is given, so is every field that is not in it. `understood` are fields
    beyond plain chat that a translated request may use.
    """

    name: str = ""
    max_tokens_field: MaxTokensField = "as_said"
    reasoning_style: ReasoningStyle = "effort"
    reasoning_fields: tuple[str, ...] | None = None  # in which history's thoughts go back; None: as they came
    reasoning_with_calls: bool = False  # an assistant turn with calls must have the field, if only empty
    developer_role: bool = True
    stream_options: bool = True
    strict_order: bool = False  # no user turn right behind a tool's
    nine_letter_ids: bool = False
    custom_tools: bool | None = None  # None: only for clients that speak chat
    allowed_tools: bool | None = None  # likewise
    thinks_when_told: bool = False  # and not by itself
    required_word: str = "required"  # "": a call cannot be forced
    tools: bool = True
    tool_choice: bool = True
    strict_tools: bool = True
    parallel_calls: bool = True
    json_schema: bool = True
    prefill: Literal["refused", "prefix", "partial", "continue", "trailing"] = "refused"
    document_url: bool = False  # documents as `document_url` parts, which may be links
    video: bool = False
    cache_field: Literal["", "prompt_cache_breakpoint", "cache_control"] = ""
    user_field: str | None = "user"
    seed_field: str = "seed"
    participant_names: bool = True
    stop_limit: int | None = None
    refused: frozenset[str] = frozenset()
    understood: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None

    def takes(self, name: str) -> bool:
        """Whether the top-level field `name` may be sent."""
        return name not in self.refused and (self.fields is None or name in self.fields)


# What the protocol has for everybody (`mapping.md` §3, responses→chat); servers that refuse it have a row.
PLAIN = Flavour(understood=frozenset({"metadata", "prompt_cache_key", "service_tier", "verbosity"}))

_OPENAI = Flavour(
    # The SDK's own request types; 400s for `max_tokens` on reasoning models and non-text tool content recorded.
    name="openai",
    max_tokens_field="max_completion_tokens",
    reasoning_fields=(),
    custom_tools=True,
    allowed_tools=True,
    cache_field="prompt_cache_breakpoint",
    user_field="safety_identifier",
    stop_limit=4,
    understood=frozenset({"verbosity", "prediction", "service_tier", "metadata", "prompt_cache_key", "moderation"}),
)

_LOCAL_SAMPLING = frozenset({"top_k", "min_p", "repetition_penalty"})

_FLAVOURS = {
    one.name: one
    for one in (
        PLAIN,
        _OPENAI,
        Flavour(  # the same service behind another door; `safety_identifier` is younger than most api-versions
            name="azure",
            max_tokens_field="max_completion_tokens",
            reasoning_fields=(),
            custom_tools=True,
            allowed_tools=True,
            user_field="user",
            stop_limit=4,
            understood=frozenset({"verbosity", "prediction", "metadata", "prompt_cache_key"}),
        ),
        Flavour(  # api-docs.deepseek.com: thinking_mode, json_mode, chat_prefix_completion (base …/beta)
            name="deepseek",
            max_tokens_field="max_tokens",
            reasoning_style="deepseek",
            reasoning_fields=("reasoning_content",),
            reasoning_with_calls=True,
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            strict_tools=False,
            json_schema=False,
            prefill="prefix",
            stop_limit=16,
            refused=frozenset({"n", "seed", "logit_bias", "parallel_tool_calls", "verbosity", "prediction"}),
        ),
        Flavour(  # openrouter.ai/docs: parameters, reasoning tokens, prompt caching
            name="openrouter",  # both limits are recorded
            reasoning_style="openrouter",
            reasoning_fields=("reasoning", "reasoning_details"),
            custom_tools=False,
            allowed_tools=False,
            prefill="trailing",
            cache_field="cache_control",
            understood=frozenset({"top_k", "min_p", "repetition_penalty", "verbosity", "prompt_cache_key"}),
        ),
        Flavour(  # console.groq.com/docs/openai: a 400 for these and for names on messages
            name="groq",
            max_tokens_field="max_completion_tokens",
            reasoning_fields=("reasoning",),
            custom_tools=False,
            allowed_tools=False,
            participant_names=False,
            stop_limit=4,
            refused=frozenset({"n", "logit_bias", "logprobs", "top_logprobs", "verbosity", "prediction"}),
            understood=frozenset({"service_tier"}),
        ),
        Flavour(  # docs.mistral.ai/api, `mistralai` 3.7; ids and order: mistral-common#169, code 3230
            name="mistral",
            max_tokens_field="max_tokens",
            reasoning_fields=("content",),
            developer_role=False,
            stream_options=False,
            strict_order=True,
            nine_letter_ids=True,
            thinks_when_told=True,  # but for the magistral models, which always do
            custom_tools=False,
            allowed_tools=False,
            required_word="any",
            prefill="prefix",
            document_url=True,
            user_field=None,
            seed_field="random_seed",
            participant_names=False,
            refused=frozenset({"service_tier"}),  # it has other tiers
            understood=frozenset({"prediction", "prompt_cache_key", "metadata", "top_k", "repetition_penalty"}),
            fields=frozenset({  # `ChatCompletionRequest`; a 422 (extra_forbidden) for any other
                "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata",
                "response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "min_tokens",
                "repetition_penalty", "top_k", "logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs",
                "n", "prediction", "parallel_tool_calls", "reasoning_effort", "prompt_mode", "guardrails",
                "prompt_cache_key", "service_tier", "safe_prompt",
            }),
        ),
        Flavour(  # docs.x.ai: chat API, models; a 400 for these on reasoning models; recorded: reasoning_content
            name="xai",
            max_tokens_field="max_completion_tokens",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            stop_limit=4,
            refused=frozenset({"logit_bias", "verbosity", "prediction", "frequency_penalty", "presence_penalty"}),
        ),
        Flavour(  # docs.together.ai: chat completions, reasoning
            name="together",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            user_field=None,
            participant_names=False,
            refused=frozenset({"verbosity", "prediction", "service_tier", "user"}),
            understood=_LOCAL_SAMPLING,
        ),
        Flavour(  # docs.fireworks.ai: create chat completion
            name="fireworks",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            stop_limit=4,
            understood=_LOCAL_SAMPLING | {"prediction"},
        ),
        Flavour(  # inference-docs.cerebras.ai/resources/openai: "will result in a 400"; recorded: reasoning
            name="cerebras",
            max_tokens_field="max_completion_tokens",
            reasoning_fields=("reasoning",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            parallel_calls=False,
            participant_names=False,
            stop_limit=4,
            refused=frozenset({
                "frequency_penalty", "presence_penalty", "logit_bias", "parallel_tool_calls", "service_tier", "n",
                "verbosity", "prediction",
            }),
        ),
        Flavour(  # platform.moonshot.ai: chat API ("required" is refused); recorded: reasoning_content, cached_tokens
            name="moonshot",
            max_tokens_field="max_tokens",
            reasoning_style="thinking",
            reasoning_fields=("reasoning_content",),
            reasoning_with_calls=True,
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            required_word="",
            stop_limit=5,
            user_field=None,
            prefill="partial",
            refused=frozenset({"logit_bias", "logprobs", "top_logprobs", "seed", "verbosity", "prediction", "user"}),
        ),
        Flavour(  # docs.z.ai: chat completion (tool_choice is "auto" alone); recorded: thinking, reasoning_content
            name="zai",
            max_tokens_field="max_tokens",
            reasoning_style="thinking",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            tool_choice=False,
            strict_tools=False,
            parallel_calls=False,
            json_schema=False,
            stop_limit=1,
            user_field="user_id",
            refused=frozenset({
                "n", "seed", "logit_bias", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty",
                "verbosity", "prediction", "parallel_tool_calls",
            }),
        ),
        Flavour(  # alibabacloud.com/help/en/model-studio: OpenAI compatibility, thinking; recorded: reasoning_content
            name="alibaba",
            max_tokens_field="max_tokens",
            reasoning_style="enable_thinking",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            required_word="",
            strict_tools=False,
            user_field=None,
            participant_names=False,
            refused=frozenset({"logit_bias", "frequency_penalty", "verbosity", "prediction", "service_tier", "user"}),
            understood=frozenset({"top_k", "repetition_penalty"}),
        ),
        Flavour(  # docs.perplexity.ai/api-reference: no tools at all; recorded: citations beside the choices
            name="perplexity",
            max_tokens_field="max_tokens",
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            tools=False,
            user_field=None,
            participant_names=False,
            refused=frozenset({
                "n", "seed", "logit_bias", "logprobs", "top_logprobs", "stop", "tools", "tool_choice",
                "parallel_tool_calls", "verbosity", "prediction", "service_tier", "user",
            }),
        ),
        Flavour(  # huggingface.co/docs/inference-providers/tasks/chat-completion; recorded: max_tokens, reasoning
            name="huggingface",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            stop_limit=4,
            user_field=None,
            refused=frozenset({"verbosity", "prediction", "service_tier", "user", "parallel_tool_calls"}),
        ),
        Flavour(  # docs.github.com/rest/models/inference: the fields that it names, nothing else
            name="github",
            max_tokens_field="max_tokens",
            developer_role=True,
            custom_tools=False,
            allowed_tools=False,
            user_field=None,
            refused=frozenset({
                "n", "logit_bias", "logprobs", "top_logprobs", "parallel_tool_calls", "verbosity", "prediction",
                "service_tier", "user", "store", "metadata",
            }),
        ),
        Flavour(  # sgl-project: openai_api_completions; the stop that was met comes as `matched_stop`
            name="sglang",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            prefill="continue",
            video=True,
            understood=_LOCAL_SAMPLING,
        ),
        Flavour(  # ggml-org/llama.cpp tools/server/README.md
            name="llamacpp",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            prefill="trailing",
            strict_tools=False,
            user_field=None,
            participant_names=False,
            understood=_LOCAL_SAMPLING,
        ),
        Flavour(  # lmstudio.ai/docs/developer/openai-compat: supported parameters
            name="lmstudio",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning_content",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            strict_tools=False,
            parallel_calls=False,
            user_field=None,
            participant_names=False,
            refused=frozenset({"n", "verbosity", "prediction", "service_tier", "user"}),
            understood=_LOCAL_SAMPLING,
        ),
        Flavour(  # vllm/entrypoints/openai/chat_completion/protocol.py
            name="vllm",
            max_tokens_field="max_completion_tokens",
            reasoning_fields=("reasoning",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            prefill="continue",
            video=True,
            understood=_LOCAL_SAMPLING,
        ),
        Flavour(  # docs.ollama.com/api/openai-compatibility: supported fields; the same gaps in llama.cpp's
            name="ollama",
            max_tokens_field="max_tokens",
            reasoning_fields=("reasoning",),
            developer_role=False,
            custom_tools=False,
            allowed_tools=False,
            tool_choice=False,
            strict_tools=False,
            parallel_calls=False,
            user_field=None,
            participant_names=False,
            refused=frozenset({"n", "logit_bias", "verbosity", "prediction", "service_tier", "user"}),
            understood=_LOCAL_SAMPLING,
        ),
    )
}  # fmt: skip


def flavour_of(name: str) -> Flavour:
    """The row called `name`; plain chat if there is none."""
    return _FLAVOURS.get(name, PLAIN)
