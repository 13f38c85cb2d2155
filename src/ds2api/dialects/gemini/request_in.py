"""A Gemini request: wire → universal.

The place says model and stream; body fields of those names are left alone, as the API does it (R146). What has no
universal word is `extra`, by its dotted place; what nobody could do without is grave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.dialects.gemini.fields import NAME, GeminiFields, extra_of
from ds2api.dialects.gemini.place import read_place
from ds2api.dialects.gemini.schemas import from_gemini
from ds2api.dialects.gemini.tools_in import read_tool_config, read_tools
from ds2api.dialects.gemini.turns_in import read_contents, read_system
from ds2api.dialects.reading import at, texts_of
from ds2api.universal.errors import Problem
from ds2api.universal.request import EFFORTS, OutputFormat, ReasoningControl, Request, Sampling, State

__all__ = ["LEVELS", "read_request"]

LEVELS = {effort.upper(): effort for effort in EFFORTS if effort not in ("none", "max")}

_PATHS = {
    name: f"generationConfig.{wire}"
    for name, wire in (
        ("max_output_tokens", "maxOutputTokens"), ("stop", "stopSequences"), ("choices", "candidateCount"),
        ("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK"), ("seed", "seed"),
        ("frequency_penalty", "frequencyPenalty"), ("presence_penalty", "presencePenalty"),
        ("logprobs", "responseLogprobs"), ("top_logprobs", "logprobs"), ("modalities", "responseModalities"),
    )
} | {"metadata": "labels", "service_tier": "serviceTier", "conversation": "cachedContent"}  # fmt: skip

# An answer that goes on from another one, or is no JSON but one word of a list.
_GRAVE = frozenset({"continuationToken", "generationConfig.responseMimeType"})
# About tools that only Google runs, whose loss is said of each.
_QUIET = frozenset({"toolConfig.includeServerSideToolInvocations"})


def read_request(body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
    """Raises `Problem` naming the field."""
    twice = jsons.first_duplicate(body, levels=3)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: stands twice in the same object; send it once", twice)
    place = read_place(path)
    fields = GeminiFields(body)
    if place.verb == "countTokens":
        fields = fields.inner("generateContentRequest") or fields
    fields.take("model")
    fields.take("stream")
    if "contents" not in fields:
        where = fields.at("contents")
        raise Problem.bad_request(f"{where}: required, an array of contents", where)
    turns = read_system(fields.take("systemInstruction"), fields.at("systemInstruction"))
    turns += read_contents(fields.take("contents"), fields.at("contents"))
    request = Request(NAME, place.model, turns, stream=place.is_stream, paths=_PATHS)
    request.tools = read_tools(fields)
    read_tool_config(fields, request)
    config = fields.inner("generationConfig")
    if config is not None:
        _read_config(config, request)
    request.metadata = fields.maybe_object("labels")
    request.service_tier = fields.maybe_text("serviceTier")
    cached, store = fields.maybe_text("cachedContent"), fields.maybe_boolean("store")
    if cached is not None or store is not None:
        request.state = State(conversation=cached, store=store)
    request.extra = extra_of(("", fields), ("generationConfig.", config), grave=_GRAVE, quiet=_QUIET)
    return request


def _read_config(config: GeminiFields, request: Request) -> None:
    request.sampling = Sampling(
        temperature=config.maybe_number("temperature"),
        top_p=config.maybe_number("topP"),
        top_k=config.maybe_integer("topK"),
        frequency_penalty=config.maybe_number("frequencyPenalty"),
        presence_penalty=config.maybe_number("presencePenalty"),
        seed=config.maybe_integer("seed"),
    )
    request.max_output_tokens = config.maybe_integer("maxOutputTokens", 1)
    request.choices = config.maybe_integer("candidateCount", 1)
    request.logprobs = config.maybe_boolean("responseLogprobs")
    request.top_logprobs = config.maybe_integer("logprobs", 0)
    stop, modalities = config.take("stopSequences"), config.take("responseModalities")
    if stop is not None:
        request.stop = texts_of(stop, config.at("stopSequences"))
    if modalities is not None:
        request.modalities = [one.lower() for one in texts_of(modalities, config.at("responseModalities"))]
    request.reasoning = _read_thinking(config)
    request.output = _read_output(config)


def _read_thinking(config: GeminiFields) -> ReasoningControl | None:
    """A budget of -1 lets the model decide, 0 is off."""
    inner = config.inner("thinkingConfig")
    if inner is None:
        return None
    control = ReasoningControl(path=inner.path)
    budget, level = inner.maybe_integer("thinkingBudget"), inner.maybe_text("thinkingLevel")
    if budget is not None and budget < 0:
        control.mode = "adaptive"
    elif budget is not None:
        control.budget_tokens = budget
        control.mode = "enabled" if budget else "disabled"
    if level is not None and level.upper() in LEVELS:
        control.effort = LEVELS[level.upper()]
    elif level is not None:
        inner.keep("thinkingLevel", level)
    show = inner.maybe_boolean("includeThoughts")
    if show is not None:
        control.show = "summary" if show else "none"
    control.extra = extra_of(("", inner))
    return control


def _read_output(config: GeminiFields) -> OutputFormat | None:
    mime_type = config.maybe_text("responseMimeType")
    schema, name = config.maybe_object("responseJsonSchema"), "responseJsonSchema"
    if schema is None:
        given, name = config.maybe_object("responseSchema"), "responseSchema"
        schema = None if given is None else from_gemini(given)
    if mime_type not in (None, "application/json", "text/plain"):
        config.keep("responseMimeType", mime_type)
    if schema is not None:
        return OutputFormat("schema", schema, path=at(config.path, name))
    if mime_type == "application/json":
        return OutputFormat("json", path=config.at("responseMimeType"))
    return OutputFormat("text", path=config.at("responseMimeType")) if mime_type == "text/plain" else None
