"""Token counters: Anthropic's usage object ⇄ disjoint counters (`features.md` §5).

`input_tokens` holds neither cache reads nor cache writes, `output_tokens` holds the thinking. The object as it
came stays in `Usage.raw`, so that what only Anthropic counts (server tools, iterations, the service tier) goes
back to its own clients. A counter that nobody named is None, never 0; writers must still give the two that every
client reads, and the gateway's guess stands in for them.
"""

from __future__ import annotations

from typing import Any

from ds2api.universal.usage import Usage

__all__ = ["read_usage", "write_usage"]

_NAME = "messages"


def read_usage(wire: Any, before: Usage | None = None) -> Usage | None:
    """The counters of a usage object; None where it is none. `before` is the usage of the same answer so far: its
    raw fields stay where `wire` does not name them (a `message_delta` may name the output only, R097)."""
    if not isinstance(wire, dict):
        return None
    short = long = None
    if isinstance(creation := wire.get("cache_creation"), dict):
        short, long = (
            _count(creation.get("ephemeral_5m_input_tokens")),
            _count(creation.get("ephemeral_1h_input_tokens")),
        )
    details = wire.get("output_tokens_details")
    thinking = _count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    output = _count(wire.get("output_tokens"))
    raw = dict(wire)
    if before is not None and before.raw is not None:
        raw = {**before.raw[1], **{name: value for name, value in wire.items() if value is not None}}
    return Usage(
        input_uncached=_count(wire.get("input_tokens")),
        cache_read=_count(wire.get("cache_read_input_tokens")),
        cache_write=_count(wire.get("cache_creation_input_tokens")),
        cache_write_5m=short,
        cache_write_1h=long,
        output_text=output if output is None or thinking is None else max(0, output - thinking),
        output_reasoning=None if output is None else thinking,
        raw=(_NAME, raw),
    )


def write_usage(usage: Usage | None, input_estimate: int | None, output_estimate: int = 0) -> dict[str, Any]:
    """The usage object. `input_tokens` and `output_tokens` are always there: a client's parser needs them, so the
    estimates stand in where the provider said nothing."""
    if usage is None:
        return {"input_tokens": input_estimate or 0, "output_tokens": output_estimate}
    if usage.raw is not None and usage.raw[0] == _NAME:
        own: dict[str, Any] = usage.raw[1]
        return {"input_tokens": input_estimate or 0, "output_tokens": output_estimate, **own}
    uncached = usage.input_uncached
    if usage.tool_prompt is not None:
        uncached = (uncached or 0) + usage.tool_prompt
    if uncached is None:
        uncached = max(0, (input_estimate or 0) - (usage.cache_read or 0) - (usage.cache_write or 0))
    wire: dict[str, Any] = {"input_tokens": uncached}
    if usage.cache_write is not None:
        wire["cache_creation_input_tokens"] = usage.cache_write
    if usage.cache_read is not None:
        wire["cache_read_input_tokens"] = usage.cache_read
    if usage.cache_write_5m is not None or usage.cache_write_1h is not None:
        wire["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m or 0,
            "ephemeral_1h_input_tokens": usage.cache_write_1h or 0,
        }
    total = usage.output_total
    wire["output_tokens"] = output_estimate if total is None else total
    if usage.output_reasoning is not None:
        wire["output_tokens_details"] = {"thinking_tokens": usage.output_reasoning}
    return wire


def _count(value: Any) -> int | None:
    """A counter as a whole number that is not negative; anything else counts as not said."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return int(value)
