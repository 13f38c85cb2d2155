"""A request of this dialect back to its own wire: what came, as it came.

Every item, tool and format goes out as the object it came in; simple fields are put together again from the universal
request, so that whatever the gateway changed there (`stream`, a turn less) holds. The same fields are what an answer
repeats of its request (`answer`). One thing is not the client's own: a proof in our envelope, which goes only to
whoever made it; where it must be left out its item goes, and the ids of the calls that follow, which only mean
something beside it (400 otherwise).
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.contract import Target
from ds2api.dialects.responses import proofs
from ds2api.dialects.responses.origin import NAME, came_as
from ds2api.universal.envelope import PREFIX
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Opaque, Part, Reasoning, Result, Text
from ds2api.universal.request import OutputFormat, Request, Tool, Turn

__all__ = ["own_fields", "own_input"]


def own_fields(request: Request) -> dict[str, Any]:
    """All fields but `model`, `stream` and `input`."""
    extra = request.extra
    fields: dict[str, Any] = dict(extra.get(NAME)) if extra is not None else {}
    quiet = extra.quiet if extra is not None and extra.dialect == NAME else {}
    text = fields.pop("text", {})
    if request.output is not None:
        text = {"format": _format(request.output), **text}
    if request.verbosity is not None:
        text = {**text, "verbosity": request.verbosity}
    state = request.state
    said = {
        "instructions": _instructions(request),
        "tools": own_tools(request.tools) or None,
        "tool_choice": _choice(request),
        "parallel_tool_calls": request.parallel_calls,
        "text": text or None,
        "reasoning": came_as(request.reasoning.extra) if request.reasoning is not None else None,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "max_output_tokens": request.max_output_tokens,
        "top_logprobs": request.top_logprobs,
        request.path_of("user"): request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
        "prompt_cache_key": request.cache_key,
        "moderation": request.moderation,
        "previous_response_id": state.previous_response_id if state is not None else None,
        "conversation": state.conversation if state is not None else None,
        "background": state.background if state is not None else None,
        "store": state.store if state is not None else None,
    }
    return {**{name: value for name, value in said.items() if value is not None}, **fields, **quiet}


def own_input(request: Request, target: Target, losses: Losses) -> str | list[dict[str, Any]] | None:
    """`input`; None where there was none."""
    turns = [turn for turn in request.turns if turn.path != "instructions"]
    if len(turns) == 1 and turns[0].path == "input" and turns[0].plain:
        return _text(turns[0])
    items: list[dict[str, Any]] = []
    for turn in turns:
        whole = came_as(turn.extra)
        if whole is not None:
            items.append(whole)
            continue
        is_unproved = False  # a thought of this turn had to be left out
        for part in turn.parts:
            item = _item(part)
            if item is None or (items and items[-1] is item):
                continue
            if isinstance(part, Reasoning) and part.sealed is not None and part.sealed.data.startswith(PREFIX):
                opened, reason = proofs.for_provider(part.sealed, target)
                if opened is None:
                    losses.report("dropped", part.path, reason)
                    is_unproved = True
                    continue
                identity, encrypted = proofs.unbound(opened)
                item = {**item, "encrypted_content": encrypted, **({"id": identity} if identity else {})}
            signature = getattr(part, "signature", None)
            if signature is not None:
                losses.report("dropped", part.path, "this signature was made by another provider")
            if is_unproved and item.get("type") in ("function_call", "custom_tool_call"):
                item = {name: value for name, value in item.items() if name != "id"}
            items.append(item)
    return items if turns else None


def own_tools(tools: list[Tool]) -> list[dict[str, Any]]:
    """The tools as they came, a namespace once."""
    written: list[dict[str, Any]] = []
    for tool in tools:
        wire = came_as(tool.extra)
        if wire is not None and not (written and written[-1] is wire):
            written.append(wire)
    return written


def _item(part: Part) -> dict[str, Any] | None:
    if isinstance(part, Opaque):
        return part.data
    if isinstance(part, Result) and came_as(part.extra) is None:
        return None
    return came_as(getattr(part, "extra", None))


def _instructions(request: Request) -> str | None:
    for turn in request.turns:
        if turn.path == "instructions":
            return _text(turn)
    return None


def _text(turn: Turn) -> str:
    return "".join(part.text for part in turn.parts if isinstance(part, Text))


def _choice(request: Request) -> str | dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None:
        return None
    return came_as(choice.extra) or choice.mode


def _format(output: OutputFormat) -> dict[str, Any]:
    own = came_as(output.extra)
    return own if own is not None else {"type": {"json": "json_object"}.get(output.kind, "text")}
