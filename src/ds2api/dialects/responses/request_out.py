"""A request: universal → wire.

From a client of this dialect everything goes out as it came (`own_request`). From any other it is translated: `model`
and `stream` first (R080), the conversation, tools and controls in a fixed order, so that equal requests give equal
bytes. The server is told to keep nothing (`store`), and is asked for the proofs of its reasoning, without which the
next turn could not have it. What cannot be carried is refused with the client's path or reported (`mapping.md` §1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.effort import effort_of, nearest
from ds2api.dialects.responses.origin import NAME
from ds2api.dialects.responses.own_request import own_fields, own_input
from ds2api.dialects.responses.tools_out import write_tools
from ds2api.dialects.responses.turns_out import written_items
from ds2api.dialects.responses.writing import Writing
from ds2api.universal.losses import Losses
from ds2api.universal.request import Effort, Request

__all__ = ["PATH", "write_request"]

PATH = "/responses"
_LEAST_OUTPUT = 16  # openapi.yaml: `max_output_tokens`
_USER_LIMIT = 128  # SDK, `safety_identifier`
_TIERS = {"standard_only": "default", "standard": "default"}  # Anthropic's and Gemini's words
_KNOWN_TIERS = ("default", "flex", "scale", "priority", "fast", "ultrafast")
_COMMON: tuple[Effort, ...] = ("low", "medium", "high")  # what every server with efforts took from its first day

# Fields of chat that mean the same here.
_OF_CHAT = ("prompt_cache_options", "prompt_cache_retention", "web_search_options")

# Hints that this protocol has no word for, with the value that steers nothing.
_HINTS: Mapping[str, Any] = {
    "top_k": None, "min_p": 0, "frequency_penalty": 0, "presence_penalty": 0, "repeat_penalty": 1, "seed": None,
    "logit_bias": {},
}  # fmt: skip


def write_request(request: Request, target: Target) -> Outgoing:
    """The request for `target`. Raises `Problem` for what cannot be carried."""
    body: dict[str, Any] = {"model": target.model, "stream": request.stream}
    if request.is_own(NAME):
        losses = Losses(target.losses)
        given = own_input(request, target, losses)
        fields = own_fields(request)
        body |= {name: fields.pop(name) for name in ("instructions",) if name in fields}
        if given is not None:
            body["input"] = given
        return Outgoing(PATH, jsons.dump(body | fields), losses=losses.items)
    writing = Writing(request, target)
    _refuse_what_cannot_be(writing)
    carried = _OF_CHAT if request.dialect == "chat" else ()
    writing.report_extra(request.extra, "", carried)
    body["input"] = written_items(request.turns, writing)
    write_tools(body, writing)
    _write_limit(body, writing)
    _write_reasoning(body, writing)
    _write_text(body, writing)
    _write_sampling(body, writing)
    _write_stop(writing)
    _write_logprobs(body, writing)
    _write_hints(body, writing)
    if request.extra is not None:
        own = request.extra.get("chat")
        body |= {name: own[name] for name in carried if name in own and name != "web_search_options"}
    body["store"] = bool(request.state is not None and request.state.store)
    writing.restore.tool_names = writing.names.changed
    body = {**request.own_extra(NAME), **body}
    return Outgoing(PATH, jsons.dump(body), losses=writing.losses.items, restore=writing.restore)


def _refuse_what_cannot_be(writing: Writing) -> None:
    request, losses = writing.request, writing.losses
    if request.choices is not None and request.choices > 1:
        raise losses.refuse(request.path_of("choices"), "a responses server gives one answer only")
    if request.modalities is not None and any(one.lower() != "text" for one in request.modalities):
        raise losses.refuse(request.path_of("modalities"), "a responses server answers in text only")
    for name in ("previous_response_id", "conversation", "background", "thread"):
        if getattr(request.state, name, None):
            raise losses.refuse(request.path_of(name), "this refers to what another kind of server remembers")


def _write_limit(body: dict[str, Any], writing: Writing) -> None:
    limit, losses = writing.request.max_output_tokens, writing.losses
    path = writing.request.path_of("max_output_tokens")
    if limit is None:
        return
    if limit < 1:  # Anthropic's way to warm a cache
        losses.report("approximated", path, "sent as prompt_cache_options.prewarm")
        body["prompt_cache_options"] = {"prewarm": True}
        return
    if limit < _LEAST_OUTPUT:
        losses.report("clamped", path, f"{limit} became {_LEAST_OUTPUT}, the least that this server takes")
    body["max_output_tokens"] = max(limit, _LEAST_OUTPUT)


def _write_reasoning(body: dict[str, Any], writing: Writing) -> None:
    """How much to think, and whether to tell. Proofs are asked for wherever the model may think at all: it is a 400
    for one that cannot."""
    efforts = writing.capabilities.efforts
    if efforts != ():
        body["include"] = ["reasoning.encrypted_content"]
    control = writing.request.reasoning
    if control is None:
        return
    writing.report_extra(control.extra, control.path)
    wanted: dict[str, Any] = {}
    effort = _effort(writing)
    if effort is not None:
        wanted["effort"] = effort
    # Anthropic's clients are shown what was thought unless they say otherwise.
    shows = control.mode in ("enabled", "adaptive") if control.show is None else control.show != "none"
    if shows and efforts != () and effort != "none":
        wanted["summary"] = "auto"
    if wanted:
        body["reasoning"] = wanted


def _effort(writing: Writing) -> Effort | None:
    """The word that the model takes; None where it is to decide, or cannot be told."""
    request, losses, accepted = writing.request, writing.losses, writing.capabilities.efforts
    control = request.reasoning
    assert control is not None
    effort = control.effort
    if control.mode == "disabled":
        effort = "none"
    elif effort is None and control.budget_tokens is not None and control.budget_tokens >= 0:
        effort = effort_of(control.budget_tokens, request.max_output_tokens)
    if effort is None:
        return None
    if accepted is None and effort == "none":
        losses.report("dropped", control.path, "how to turn thinking off is not known of this model")
        return None
    if accepted == ():
        if effort != "none":
            losses.report("dropped", control.path, "this model does not reason on request")
        return None
    sent = nearest(effort, accepted or _COMMON)
    if sent != effort:
        losses.report("clamped", control.path, f'"{effort}" became "{sent}", the nearest that this model takes')
    return sent


def _write_text(body: dict[str, Any], writing: Writing) -> None:
    request, output = writing.request, writing.request.output
    text: dict[str, Any] = {}
    if output is not None and output.kind != "text":
        writing.report_extra(output.extra, output.path)
        if output.kind == "json":
            text["format"] = {"type": "json_object"}
        else:
            form = {"type": "json_schema", "name": output.name or "response", "schema": output.schema or {}}
            described = {} if output.description is None else {"description": output.description}
            text["format"] = {**form, **described, "strict": bool(output.strict)}
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text


def _write_sampling(body: dict[str, Any], writing: Writing) -> None:
    request, losses = writing.request, writing.losses
    for name in ("temperature", "top_p"):
        value = getattr(request.sampling, name)
        if value is not None and writing.capabilities.sampling:
            body[name] = value
        elif value is not None and value != 1:
            losses.report("dropped", request.path_of(name), "this model takes no sampling settings")
    for name, neutral in _HINTS.items():
        value = getattr(request.sampling, name)
        if value is not None and value != neutral:
            losses.report("dropped", request.path_of(name), "a responses server has no such setting")


def _write_stop(writing: Writing) -> None:
    """There is no such field: the gateway watches for the words itself."""
    request = writing.request
    if request.stop:
        writing.restore.stop = list(request.stop)
        writing.losses.report("emulated", request.path_of("stop"), "the gateway cuts the answer at these words")


def _write_logprobs(body: dict[str, Any], writing: Writing) -> None:
    request = writing.request
    if request.logprobs:
        body["include"] = [*body.get("include", ()), "message.output_text.logprobs"]
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs


def _write_hints(body: dict[str, Any], writing: Writing) -> None:
    request, losses = writing.request, writing.losses
    user = request.user
    if user is not None:
        if len(user) > _USER_LIMIT:
            user = hashlib.sha256(user.encode(errors="replace")).hexdigest()
            reason = f"longer than the {_USER_LIMIT} characters that are taken: its hash was sent"
            losses.report("approximated", request.path_of("user"), reason)
        body["safety_identifier"] = user
    if request.metadata and all(isinstance(value, str) for value in request.metadata.values()):
        body["metadata"] = request.metadata
    elif request.metadata:
        losses.report("dropped", request.path_of("metadata"), "metadata is strings by name here")
    if request.cache_key is not None:
        body["prompt_cache_key"] = request.cache_key
    if request.service_tier not in {None, "auto"}:
        tier = _TIERS.get(request.service_tier or "", request.service_tier)
        if tier in _KNOWN_TIERS:
            body["service_tier"] = tier
        else:
            losses.report("dropped", request.path_of("service_tier"), "this server has no such service tier")
    if request.moderation is not None and request.dialect == "chat":
        body["moderation"] = request.moderation
    for name in ("prediction", "audio_output", *(() if request.dialect == "chat" else ("moderation",))):
        if getattr(request, name) is not None:
            losses.report("dropped", request.path_of(name), "a responses server has no such setting")
