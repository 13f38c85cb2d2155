"""What a client wants, in the words that all protocols share.

Drawn with every column of `features.md` in view: a field exists here when at least two protocols have it, or
when losing it would change what the caller gets; the rest is `extra`, which only its own dialect writes back.
System and developer text stands in `turns` where it stood: moving it is a writer's affair, and a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ds2api.universal.parts import CacheMark, Extra, Part

__all__ = [
    "EFFORTS", "AllowedTools", "Effort", "OutputFormat", "ReasoningControl", "Request", "Role", "Sampling", "State",
    "Tool", "ToolChoice", "Turn",
]  # fmt: skip

Role = Literal["system", "developer", "user", "assistant", "tool"]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(slots=True)
class Turn:
    """One turn. Results stand in a `tool` turn (chat) or in a `user` turn (messages, gemini): writers take both."""

    role: Role
    parts: list[Part]
    name: str | None = None  # the participant's
    path: str = ""
    extra: Extra | None = None
    plain: bool = False  # the content came as one string, not as a list of parts


@dataclass(slots=True)
class Tool:
    """Something the model may call.

    `parameters` is a JSON Schema, None where the client gave none. `custom` tools take free text; `format` is
    their grammar. `hosted` tools are run by the provider: `kind` is their type word and `extra` all they are.
    `strict` None means "not said", which is not the same in every protocol (`features.md` row 11).
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    custom: bool = False
    format: dict[str, Any] | None = None
    hosted: bool = False
    kind: str = "function"
    cache: CacheMark | None = None
    path: str = ""
    extra: Extra | None = None


@dataclass(frozen=True, slots=True)
class AllowedTools:
    names: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode` "named" has `name`, "allowed" has `allowed`."""

    mode: Literal["auto", "none", "required", "named", "allowed"]
    name: str | None = None
    allowed: AllowedTools | None = None
    path: str = "tool_choice"
    extra: Extra | None = None


@dataclass(slots=True)
class OutputFormat:
    """`kind` "json" is any object; "schema" has `schema` (and `name`, `strict` where the dialect has them)."""

    kind: Literal["text", "json", "schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    path: str = "response_format"
    extra: Extra | None = None


@dataclass(slots=True)
class ReasoningControl:
    """How much to think: an effort word, a budget in tokens, or a mode. Whatever was not said is None.

    `mode`: "adaptive" lets the model decide, "enabled" wants thinking, "disabled" wants none.
    `show`: whether the thoughts (or a summary: "summary") are to be in the answer.
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    mode: Literal["adaptive", "enabled", "disabled"] | None = None
    show: Literal["text", "summary", "none"] | None = None
    path: str = "reasoning_effort"
    extra: Extra | None = None


@dataclass(slots=True)
class Sampling:
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What refers to something a provider remembers (`mapping.md` §5)."""

    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    store: bool | None = None
    thread: Any = None


@dataclass(slots=True)
class Request:
    """One request for an answer, whoever asks and whoever answers.

    `model` is the name that the client said. `paths` maps a universal field to the path it had in the client's
    request, where the two differ (``{"max_output_tokens": "max_completion_tokens"}``). `reworded`: the turns say it
    in other words than came, so not even its own dialect may write back what came.
    """

    dialect: str
    model: str
    turns: list[Turn]
    stream: bool = False
    stream_usage: bool | None = None  # chat's stream_options.include_usage; None: not said
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_calls: bool | None = None
    output: OutputFormat | None = None
    modalities: list[str] | None = None
    audio_output: dict[str, Any] | None = None
    verbosity: str | None = None
    reasoning: ReasoningControl | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_output_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    choices: int | None = None  # chat's n
    logprobs: bool | None = None
    top_logprobs: int | None = None
    prediction: Any = None
    suffix: str | None = None  # what shall follow the answer: fill in the middle. Also in `extra`, gravely
    user: str | None = None  # the end user's id, for abuse handling
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    cache_key: str | None = None
    cache: CacheMark | None = None  # for the whole request
    moderation: Any = None
    state: State | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    extra: Extra | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)  # of its own dialect, which writes them back
    reworded: bool = False

    def is_own(self, dialect: str) -> bool:
        """Whether `dialect` may write it back as it came."""
        return self.dialect == dialect and not self.reworded

    def own_extra(self, dialect: str) -> dict[str, Any]:
        """What only `dialect` knows of this request."""
        return self.extra.get(dialect) if self.extra is not None else {}

    def path_of(self, name: str) -> str:
        """How the client calls the universal field `name`."""
        return self.paths.get(name, name)
