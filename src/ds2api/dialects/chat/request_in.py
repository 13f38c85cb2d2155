"""A chat request: wire → universal.

Strict in types, open in names: a field that is known is checked, one that is not lands in `extra`, which a chat
server gets back and every other one is reported to have lost. `paths` keeps the client's spelling where chat has
two (`max_tokens` and `max_completion_tokens`, `user` and `safety_identifier`, tools and functions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from ds2api import jsons
from ds2api.dialects.chat.tools_in import read_choice, read_function_choice, read_functions, read_tools
from ds2api.dialects.chat.turns_in import read_messages
from ds2api.dialects.reading import Fields, at, one_of, text_of, texts_of, wrong_type
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Extra
from ds2api.universal.request import EFFORTS, Effort, OutputFormat, ReasoningControl, Request, Sampling, State

__all__ = ["read_request"]

_EFFORTS: tuple[str, ...] = get_args(Effort)

_SAMPLING = frozenset({
    "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed",
    "random_seed", "logit_bias",
})  # fmt: skip


def read_request(body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
    """The whole request. Raises `Problem` naming the field; two equal keys are refused down to the third level."""
    twice = jsons.first_duplicate(body, levels=3)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: stands twice in the same object; send it once", twice)
    fields = Fields(body)
    model = fields.text("model")
    if not model:
        raise Problem.bad_request("model: expected a model's name, found an empty string", "model")
    if "messages" not in fields:
        raise Problem.bad_request("messages: required, an array", "messages")
    conversation = read_messages(fields.take("messages"))
    request = Request("chat", model, conversation.turns)
    paths = {"repeat_penalty": "repetition_penalty"}
    request.stream = fields.maybe_boolean("stream") or False
    request.paths = paths
    if conversation.is_old:
        paths["tools"] = "functions"
    if fields.is_empty:  # as many small requests are
        return request
    _read_stream_options(fields, request)
    _read_tools(fields, request, paths)
    request.parallel_calls = fields.maybe_boolean("parallel_tool_calls")
    paths["parallel_calls"] = "parallel_tool_calls"
    request.output = _read_format(fields)
    paths["output"] = "response_format"
    modalities = fields.take("modalities")
    request.modalities = None if modalities is None else texts_of(modalities, "modalities")
    request.audio_output = fields.maybe_object("audio")
    paths["audio_output"] = "audio"
    request.verbosity = fields.maybe_text("verbosity")
    request.reasoning = _read_reasoning(fields)
    _read_sampling(fields, request)
    _read_limit(fields, request, paths)
    request.stop = _read_stop(fields)
    request.choices = fields.maybe_integer("n", 1)
    paths["choices"] = "n"
    request.logprobs = fields.maybe_boolean("logprobs")
    request.top_logprobs = fields.maybe_integer("top_logprobs", 0)
    request.prediction = fields.maybe_object("prediction")
    _read_user(fields, request, paths)
    request.metadata = fields.maybe_object("metadata")
    request.service_tier = fields.maybe_text("service_tier")
    request.cache_key = fields.maybe_text("prompt_cache_key")
    paths["cache_key"] = "prompt_cache_key"
    request.moderation = fields.take("moderation")
    store = fields.maybe_boolean("store")
    request.state = None if store is None else State(store=store)
    request.extra = _extra(fields)
    return request


def _read_stream_options(fields: Fields, request: Request) -> None:
    options = fields.maybe_object("stream_options")
    if options is None:
        return
    inner = Fields(options, "stream_options")
    request.stream_usage = inner.maybe_boolean("include_usage")
    # Padding against readers of sizes: what a gateway writes anew has other sizes anyway.
    inner.take("include_obfuscation")
    if rest := inner.said():
        fields.keep("stream_options", rest)


def _read_tools(fields: Fields, request: Request, paths: dict[str, str]) -> None:
    tools = fields.take("tools")
    functions = fields.take("functions")
    if tools is not None:
        request.tools = read_tools(tools)
    elif functions is not None:
        request.tools = read_functions(functions)
        paths["tools"] = "functions"
    choice = fields.take("tool_choice")
    function_call = fields.take("function_call")
    if choice is not None:
        request.tool_choice = read_choice(choice)
    elif function_call is not None:
        request.tool_choice = read_function_choice(function_call)


def _read_format(fields: Fields) -> OutputFormat | None:
    value = fields.maybe_object("response_format")
    if value is None:
        return None
    outer = Fields(value, "response_format")
    kind = one_of(outer.take("type"), outer.at("type"), ("text", "json_object", "json_schema"))
    if kind != "json_schema":
        output = OutputFormat("text" if kind == "text" else "json")
    else:
        inner = Fields(outer.object("json_schema"), outer.at("json_schema"))
        output = OutputFormat(
            "schema",
            inner.maybe_object("schema"),
            inner.text("name"),
            inner.maybe_text("description"),
            inner.maybe_boolean("strict"),
        )
        if left := inner.said():
            outer.keep("json_schema", left)
    output.extra = _extra(outer)
    return output


def _read_reasoning(fields: Fields) -> ReasoningControl | None:
    """OpenRouter's `reasoning` object, `thinking` of DeepSeek and Z.ai, OpenAI's word: the first that came decides
    the path, and with it the spelling in which a chat server gets it back. What of it is one server's own (a word
    that nobody else knows, `clear_thinking`) stays: in the object's `extra`, or as a field of the request."""
    if fields.holds("reasoning"):
        return _read_routed(Fields(fields.object("reasoning"), "reasoning"))
    control = None
    if fields.holds("thinking"):
        control = _read_thinking(Fields(fields.object("thinking"), "thinking"))
    word = fields.maybe_text("reasoning_effort")
    if word is not None and word in _EFFORTS:
        control = control or ReasoningControl()
        control.effort = EFFORTS[_EFFORTS.index(word)]
    elif word is not None:
        fields.keep("reasoning_effort", word)
    return control


def _read_thinking(inner: Fields) -> ReasoningControl:
    control = ReasoningControl(path=inner.path)
    match inner.maybe_text("type"):
        case ("enabled" | "disabled" | "adaptive") as mode:
            control.mode = mode
        case None:
            pass
        case other:
            inner.keep("type", other)
    control.budget_tokens = inner.maybe_integer("budget_tokens", 0)
    control.extra = _extra(inner)
    return control


def _read_routed(inner: Fields) -> ReasoningControl:
    control = ReasoningControl(path=inner.path)
    effort = inner.maybe_text("effort")
    if effort is not None and effort in _EFFORTS:
        control.effort = EFFORTS[_EFFORTS.index(effort)]
    elif effort is not None:
        inner.keep("effort", effort)
    control.budget_tokens = inner.maybe_integer("max_tokens", 0)
    enabled = inner.maybe_boolean("enabled")
    if enabled is not None:
        control.mode = "enabled" if enabled else "disabled"
    if inner.maybe_boolean("exclude"):
        control.show = "none"
    control.extra = _extra(inner)
    return control


def _extra(fields: Fields) -> Extra | None:
    rest = fields.said()
    return Extra("chat", rest) if rest else None


def _read_sampling(fields: Fields, request: Request) -> None:
    if not fields.has_any(_SAMPLING):
        return
    seed = fields.maybe_integer("seed")
    request.sampling = Sampling(
        temperature=fields.maybe_number("temperature"),
        top_p=fields.maybe_number("top_p"),
        top_k=fields.maybe_integer("top_k"),
        min_p=fields.maybe_number("min_p"),
        frequency_penalty=fields.maybe_number("frequency_penalty"),
        presence_penalty=fields.maybe_number("presence_penalty"),
        repeat_penalty=fields.maybe_number("repetition_penalty"),
        seed=fields.maybe_integer("random_seed") if seed is None else seed,
        logit_bias=fields.maybe_object("logit_bias"),
    )


def _read_limit(fields: Fields, request: Request, paths: dict[str, str]) -> None:
    """Both given: the new one wins, since the old one is its deprecated name (R070)."""
    new, old = fields.maybe_integer("max_completion_tokens", 1), fields.maybe_integer("max_tokens", 1)
    request.max_output_tokens = old if new is None else new
    paths["max_output_tokens"] = "max_tokens" if new is None else "max_completion_tokens"


def _read_stop(fields: Fields) -> list[str]:
    value = fields.take("stop")
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong_type(value, "stop", "a string or an array of strings")
    return [text_of(one, at("stop", index)) for index, one in enumerate(value)]


def _read_user(fields: Fields, request: Request, paths: dict[str, str]) -> None:
    """The newer `safety_identifier` says who the end user is; a `user` beside it stays chat's own."""
    identifier = fields.maybe_text("safety_identifier")
    if identifier is not None:
        request.user = identifier
        paths["user"] = "safety_identifier"
    else:
        request.user = fields.maybe_text("user")
