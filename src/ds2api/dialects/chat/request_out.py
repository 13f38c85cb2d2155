"""A chat request: universal → wire.

`model` and `stream` come first (R080), then the conversation, tools and controls in a fixed order, so that equal
requests give equal bytes. From a chat client to plain chat everything goes out as it came, unknown fields too.
To a flavour, and from another dialect, each field is sent only where the server takes it; what it refuses is left
out and reported under the client's path.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ds2api import jsons
from ds2api.dialects.chat.destination import Destination, destination_of
from ds2api.dialects.chat.reasoning_out import write_reasoning
from ds2api.dialects.chat.tools_out import write_tools
from ds2api.dialects.chat.turns_out import written_messages
from ds2api.dialects.contract import Outgoing, Target
from ds2api.universal.request import OutputFormat, Request

__all__ = ["write_request"]

# (universal, wire): what every chat server is sent, by whichever dialect it was said.
_COMMON = (
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("seed", "seed"),
    ("logit_bias", "logit_bias"),
)

# What only some servers take; the others would answer 400 or ignore it.
_OPTIONAL = (
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("repeat_penalty", "repetition_penalty"),
)

# SDK, `safety_identifier`: at most 128 characters.
_USER_LIMIT = 128


def write_request(request: Request, target: Target) -> Outgoing:
    """The request for `target`. Raises `Problem` for what cannot be carried."""
    destination = destination_of(request, target)
    _refuse_state(request, destination)
    body: dict[str, Any] = {"model": target.model, "stream": request.stream}
    _write_stream_options(request, body, destination)
    body["messages"] = written_messages(request, destination)
    _write_prefill(body, destination)
    write_tools(request, body, destination)
    _write_limit(request, body, destination)
    write_reasoning(request, body, destination)
    _write_format(request.output, body, destination)
    _write_sampling(request, body, destination)
    _write_stop(request, body, destination)
    _write_logprobs(request, body, destination)
    _write_user(request, body, destination)
    _write_modalities(request, body, destination)
    _write_hints(request, body, destination)
    _write_rest(request, body, destination)
    return Outgoing(
        "/chat/completions",
        jsons.dump(body),
        losses=destination.losses.items,
        restore=destination.restore,
    )


def _write_prefill(body: dict[str, Any], destination: Destination) -> None:
    """vLLM and SGLang close the last turn and begin another, unless they are told to go on with it (vLLM refuses the
    one field without the other)."""
    is_open = body["messages"][-1:] and body["messages"][-1]["role"] == "assistant"
    if is_open and destination.flavour.prefill == "continue" and not destination.is_same:
        body |= {"add_generation_prompt": False, "continue_final_message": True}


def _put(body: dict[str, Any], name: str, value: Any, path: str, destination: Destination) -> None:
    """Send `value`, unless the server refuses the field."""
    if value is None:
        return
    if destination.flavour.takes(name):
        body[name] = value
    else:
        destination.losses.report("dropped", path, "this chat server does not take it")


def _put_hint(body: dict[str, Any], name: str, value: Any, path: str, destination: Destination) -> None:
    """Send `value` to a chat client's server, and to others only where it is understood."""
    if value is None:
        return
    if destination.is_same or name in destination.flavour.understood:
        _put(body, name, value, path, destination)
    else:
        destination.losses.report("dropped", path, "this chat server is not known to take it")


def _refuse_state(request: Request, destination: Destination) -> None:
    state = request.state
    if state is None:
        return
    for name in ("previous_response_id", "conversation", "background", "thread"):
        if getattr(state, name):
            raise destination.losses.refuse(
                request.path_of(name), "chat completions remembers nothing between requests"
            )


def _write_stream_options(request: Request, body: dict[str, Any], destination: Destination) -> None:
    """Usage is always asked for: the gateway counts it, and the encoder keeps it from clients that did not ask."""
    options = request.extra.get("chat").get("stream_options", {}) if request.extra is not None else {}
    if request.stream and destination.flavour.stream_options:
        body["stream_options"] = {"include_usage": True, **options}


def _write_limit(request: Request, body: dict[str, Any], destination: Destination) -> None:
    limit = request.max_output_tokens
    if limit is None:
        return
    path = request.path_of("max_output_tokens")
    if limit < 1:
        raise destination.losses.refuse(path, "chat completions cannot warm a cache without an answer: send at least 1")
    name = destination.flavour.max_tokens_field
    if destination.capabilities.max_completion_tokens and not destination.is_verbatim:
        name = "max_completion_tokens"
    elif name == "as_said":
        name = "max_completion_tokens" if path == "max_completion_tokens" else "max_tokens"
    body[name] = limit


def _write_format(output: OutputFormat | None, body: dict[str, Any], destination: Destination) -> None:
    if output is None:
        return
    destination.lose_extra(output.extra, output.path)
    extra = output.extra.get("chat") if output.extra is not None else {}
    if output.kind != "schema":
        if output.kind == "json" or destination.is_same:
            body["response_format"] = {"type": "json_object" if output.kind == "json" else "text", **extra}
        return
    if not destination.flavour.json_schema:
        destination.losses.refuse_soft(output.path, "this chat server takes no schema for its output", "approximated")
        body["response_format"] = {"type": "json_object"}
        return
    schema: dict[str, Any] = {"name": output.name or "response"}
    if output.description is not None:
        schema["description"] = output.description
    if output.schema is not None:
        schema["schema"] = output.schema
    if output.strict is not None:
        schema["strict"] = output.strict
    left = extra.get("json_schema")
    written: dict[str, Any] = {"type": "json_schema", **extra}
    written["json_schema"] = {**schema, **left} if isinstance(left, dict) else schema
    body["response_format"] = written


def _write_sampling(request: Request, body: dict[str, Any], destination: Destination) -> None:
    sampling = request.sampling
    refuses_sampling = not destination.capabilities.sampling and not destination.is_same
    for name, default in (("temperature", 1), ("top_p", 1)):
        value = getattr(sampling, name)
        if value is None:
            continue
        if refuses_sampling:
            if value != default:
                destination.losses.report("dropped", request.path_of(name), "this model takes no sampling settings")
        else:
            _put(body, name, value, request.path_of(name), destination)
    for name, wire in _COMMON:
        value = getattr(sampling, name)
        if value is None:
            continue
        if refuses_sampling and value and name in ("frequency_penalty", "presence_penalty", "logit_bias"):
            destination.losses.report("dropped", request.path_of(name), "this model takes no sampling settings")
            continue
        wire = destination.flavour.seed_field if wire == "seed" else wire
        _put(body, wire, value, request.path_of(name), destination)
    for name, wire in _OPTIONAL:
        if (value := getattr(sampling, name)) is not None:
            _put_hint(body, wire, value, request.path_of(name), destination)
    if request.choices is not None and (request.choices > 1 or destination.is_same):
        if not destination.flavour.takes("n") and request.choices > 1:
            raise destination.losses.refuse(request.path_of("choices"), "this chat server gives one answer only")
        if destination.flavour.takes("n"):
            body["n"] = request.choices


def _write_stop(request: Request, body: dict[str, Any], destination: Destination) -> None:
    """More than the server takes, or any where the model takes none: the gateway watches for them itself."""
    stop = request.stop
    if not stop:
        return
    if destination.is_verbatim:
        body["stop"] = stop
        return
    limit = destination.flavour.stop_limit
    if not destination.capabilities.stop or (limit is not None and len(stop) > limit):
        destination.restore.stop = list(stop)
        destination.losses.report("emulated", request.path_of("stop"), "the gateway cuts the answer at these words")
        return
    body["stop"] = stop


def _write_logprobs(request: Request, body: dict[str, Any], destination: Destination) -> None:
    if request.logprobs and not destination.flavour.takes("logprobs"):
        destination.losses.refuse_soft(request.path_of("logprobs"), "this chat server gives no log-probabilities")
        return
    for name in ("logprobs", "top_logprobs"):
        value = getattr(request, name)
        if value is not None and destination.flavour.takes(name):
            body[name] = value


def _write_user(request: Request, body: dict[str, Any], destination: Destination) -> None:
    user, path = request.user, request.path_of("user")
    if user is None:
        return
    if destination.is_same and destination.flavour.takes(path):
        body[path] = user
        return
    name = destination.flavour.user_field
    if name is None:
        destination.losses.report("dropped", path, "this chat server takes no end user's id")
        return
    if len(user) > _USER_LIMIT:
        user = hashlib.sha256(user.encode()).hexdigest()
        reason = f"longer than the {_USER_LIMIT} characters that chat takes: its hash was sent"
        destination.losses.report("approximated", path, reason)
    body[name] = user


def _write_modalities(request: Request, body: dict[str, Any], destination: Destination) -> None:
    """What else than text is to come out: for chat clients alone (`mapping.md` §3), where the server gives it."""
    if request.modalities is not None and not (destination.is_same and destination.flavour.takes("modalities")):
        odd = [one for one in request.modalities if one.lower() != "text"]
        if odd:
            raise destination.losses.refuse(request.path_of("modalities"), f"this chat server gives text, not {odd[0]}")
    if request.modalities is not None and (destination.is_same or request.modalities != ["text"]):
        _put(body, "modalities", request.modalities, request.path_of("modalities"), destination)
    if request.audio_output is not None:
        _put(body, "audio", request.audio_output, request.path_of("audio_output"), destination)


def _write_hints(request: Request, body: dict[str, Any], destination: Destination) -> None:
    for name, wire in (
        ("verbosity", "verbosity"),
        ("prediction", "prediction"),
        ("metadata", "metadata"),
        ("cache_key", "prompt_cache_key"),
        ("moderation", "moderation"),
    ):
        if (value := getattr(request, name)) is not None:
            _put_hint(body, wire, value, request.path_of(name), destination)
    tier = request.service_tier
    if not destination.is_same:
        # Anthropic's words: "auto" is everybody's default, "standard_only" is chat's "default".
        tier = {"auto": None, "standard_only": "default"}.get(tier or "auto", tier)
    if tier is not None:
        _put_hint(body, "service_tier", tier, request.path_of("service_tier"), destination)
    store = request.state.store if request.state is not None and destination.is_same else None
    if store is not None and destination.flavour.takes("store"):
        body["store"] = store
    elif store:
        raise destination.losses.refuse(request.path_of("store"), "this chat server stores no answers")


def _write_rest(request: Request, body: dict[str, Any], destination: Destination) -> None:
    if request.extra is None:
        return
    destination.lose_extra(request.extra, "")
    for name, value in request.extra.get("chat").items():
        if name != "stream_options":
            _put(body, name, value, name, destination)
