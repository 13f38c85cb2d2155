"""Writes a request of Anthropic's dialect back to Anthropic: the same fields, with another model.

Nothing is judged: what the client sent is between it and the provider. One thing is not its own: a proof of
reasoning in the gateway's envelope, given by an earlier answer of another provider, goes only to whoever made it.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.contract import Target
from ds2api.dialects.messages import proofs
from ds2api.dialects.messages.parts_out import cache_control, own_content, own_fields
from ds2api.universal.envelope import PREFIX
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Part, Reasoning
from ds2api.universal.request import ReasoningControl, Request, Tool, ToolChoice, Turn

__all__ = ["own_body"]

_NAME = "messages"
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def own_body(request: Request, target: Target, losses: Losses) -> dict[str, Any]:
    """The body. `model` comes first."""
    extra = dict(own_fields(request.extra))
    body: dict[str, Any] = {"model": target.model, "stream": request.stream}
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    turns = list(request.turns)
    if turns and turns[0].path == "system":
        system = turns.pop(0)
        body["system"] = own_content(system.parts, plain=system.plain)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = _choice(request.tool_choice, request.parallel_calls)
    body["messages"] = [_turn(turn, target, losses) for turn in turns]
    if request.reasoning is not None:
        thinking = _thinking(request.reasoning)
        if thinking:
            body["thinking"] = thinking
    config = dict(extra.pop("output_config", None) or {})
    if request.reasoning is not None and request.reasoning.effort is not None:
        config["effort"] = request.reasoning.effort
    if request.output is not None:
        config["format"] = {"type": "json_schema", "schema": request.output.schema, **own_fields(request.output.extra)}
    if config:
        body["output_config"] = config
    metadata = dict(extra.pop("metadata", None) or {})
    if request.user is not None:
        metadata["user_id"] = request.user
    if metadata:
        body["metadata"] = metadata
    if request.stop:
        body["stop_sequences"] = request.stop
    sampling = request.sampling
    hints = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "service_tier": request.service_tier,
    }
    body |= {name: value for name, value in hints.items() if value is not None}
    return {**body, **cache_control(request.cache), **extra}


def _turn(turn: Turn, target: Target, losses: Losses) -> dict[str, Any]:
    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Reasoning) and part.sealed is not None and part.sealed.data.startswith(PREFIX):
            opened, reason = proofs.for_provider(part.sealed, target)
            if opened is None:
                losses.report("dropped", part.path, reason)
                continue
            parts.append(Reasoning(part.text, opened, redacted=opened.kind == "anthropic_redacted", extra=part.extra))
        else:
            parts.append(part)
    return {"role": turn.role, "content": own_content(parts, plain=turn.plain), **own_fields(turn.extra)}


def _tool(tool: Tool) -> dict[str, Any]:
    extra = {**cache_control(tool.cache), **own_fields(tool.extra)}
    if tool.hosted:
        return {"type": tool.kind, **({"name": tool.name} if tool.name else {}), **extra}
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        wire["description"] = tool.description
    wire["input_schema"] = tool.parameters or {"type": "object"}
    if tool.strict is not None:
        wire["strict"] = tool.strict
    return {**wire, **extra}


def _choice(choice: ToolChoice, parallel: bool | None) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": _CHOICES[choice.mode]}
    if choice.name is not None:
        wire["name"] = choice.name
    if parallel is not None:
        wire["disable_parallel_tool_use"] = not parallel
    return {**wire, **own_fields(choice.extra)}


def _thinking(control: ReasoningControl) -> dict[str, Any]:
    if control.mode is None:
        return {}
    wire: dict[str, Any] = {"type": control.mode}
    if control.budget_tokens is not None:
        wire["budget_tokens"] = control.budget_tokens
    if control.show is not None:
        wire["display"] = "omitted" if control.show == "none" else "summarized"
    return {**wire, **own_fields(control.extra)}
