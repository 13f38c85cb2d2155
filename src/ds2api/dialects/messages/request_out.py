"""Writes a universal request for Anthropic.

A request of Anthropic's own dialect goes back as it came (`own_request`). One of another dialect is translated:
turns, tools and controls each by their own writer, which share one `Writing`. What cannot be carried is refused
with the client's path or reported as a loss, never dropped in silence (`mapping.md` §1, §2).
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.messages.foreign_controls import (
    refuse_what_cannot_be,
    report_hints,
    write_output,
    write_sampling,
    write_thinking,
)
from ds2api.dialects.messages.foreign_tools import write_tools
from ds2api.dialects.messages.foreign_turns import ForeignTurns
from ds2api.dialects.messages.hosts import adapted
from ds2api.dialects.messages.own_request import own_body
from ds2api.dialects.messages.writing import Writing
from ds2api.universal.losses import Losses
from ds2api.universal.request import Request

__all__ = ["write_request"]

_NAME = "messages"
_TIERS = {"auto": "auto", "default": "standard_only", "standard": "standard_only"}
_USER_CHARACTERS = 256  # `anthropic/types/metadata_param.py`: longer ones are refused


def write_request(request: Request, target: Target) -> Outgoing:
    """The request for `target`. Raises `Problem` for what cannot be carried."""
    headers = [("anthropic-version", target.anthropic_version)]
    if request.is_own(_NAME):
        losses = Losses(target.losses)
        body = own_body(request, target, losses)
        path, headers = adapted(body, [*headers, *request.headers], target, losses)
        return Outgoing(path, jsons.dump(body), headers, losses.items)
    writing = Writing(target)
    body = {**request.own_extra(_NAME), **_body(request, writing)}
    writing.limit_marks()
    writing.restore.tool_names = writing.names.changed
    own_headers = request.headers if request.dialect == _NAME else []
    path, headers = adapted(body, [*headers, *own_headers], target, writing.losses)
    return Outgoing(path, jsons.dump(body), headers, writing.losses.items, writing.restore)


def _body(request: Request, writing: Writing) -> dict[str, Any]:
    refuse_what_cannot_be(request, writing)
    if request.extra is not None:
        writing.report_extra(request.extra, "")
    tools, choice = write_tools(request, writing)
    turns = ForeignTurns(writing)
    turns.write(request.turns)
    max_tokens = _max_tokens(request, writing)
    form, sentence = write_output(request, writing)
    thinking, effort = write_thinking(
        request,
        writing,
        max_tokens,
        forced=choice is not None and choice["type"] in ("any", "tool"),
        unproven=turns.ends_unproven or turns.is_prefilled,
    )
    thinks = thinking is not None and thinking["type"] != "disabled"
    sampling = write_sampling(request, writing, thinks=thinks)
    report_hints(request, writing)
    if sentence is not None:
        turns.system.append({"type": "text", "text": sentence})
    config: dict[str, Any] = {}
    if effort is not None:
        config["effort"] = effort
    if form is not None:
        config["format"] = form

    body: dict[str, Any] = {"model": writing.target.model, "stream": request.stream, "max_tokens": max_tokens}
    # In the order of Anthropic's prompt, which is also the order of its caches: tools, system, messages.
    optional = {
        "tools": tools,
        "tool_choice": choice,
        "system": turns.system,
        "messages": turns.messages,
        "thinking": thinking,
        "output_config": config,
        **sampling,
        "stop_sequences": _stop(request, writing),
        "metadata": _metadata(request, writing),
        "service_tier": _tier(request, writing),
    }
    body |= {name: value for name, value in optional.items() if value not in (None, [], {})}
    return body if request.cache is None else writing.mark(body, request.cache, request.path_of("cache"))


def _max_tokens(request: Request, writing: Writing) -> int:
    """Required there; the model's own maximum where the client named none, so that nothing is cut that the client
    did not want cut (Anthropic counts what is generated, not what is allowed: `pool-model.md` §3)."""
    capabilities, given = writing.capabilities, request.max_output_tokens
    if given is None:
        return writing.target.default_max_output_tokens or capabilities.max_output_tokens
    if capabilities.is_known and given > capabilities.max_output_tokens:
        most = capabilities.max_output_tokens
        reason = f"{writing.target.model} writes at most {most} tokens"
        writing.losses.report("clamped", request.path_of("max_output_tokens"), reason)
        return most
    return given


def _stop(request: Request, writing: Writing) -> list[str]:
    """Stop sequences; one of white space alone is a 400 there, so the gateway watches for it itself."""
    if not request.stop:
        return []
    blank = [one for one in request.stop if not one.strip()]
    if blank:
        writing.restore.stop += [one for one in blank if one]
        reason = "a stop sequence of white space is not taken; the gateway stops there by itself"
        writing.losses.report("emulated", request.path_of("stop"), reason)
    return [one for one in request.stop if one.strip()]


def _metadata(request: Request, writing: Writing) -> dict[str, str]:
    if request.user is None:
        return {}
    if len(request.user) > _USER_CHARACTERS:
        reason = f"the user's id is longer than {_USER_CHARACTERS} characters"
        writing.losses.report("dropped", request.path_of("user"), reason)
        return {}
    return {"user_id": request.user}


def _tier(request: Request, writing: Writing) -> str | None:
    if request.service_tier is None:
        return None
    tier = _TIERS.get(request.service_tier)
    if tier is None:
        reason = f"this provider has no service tier {request.service_tier!r}"
        writing.losses.report("dropped", request.path_of("service_tier"), reason)
    return tier
