"""Writes how the answer is to be made: sampling, limits, thinking, output form, and what other protocols hint at.

The model's capabilities decide (`capabilities`): Gemini 3 ignores or refuses sampling and takes a thinking level, 2.5
takes a budget (`mapping.md` §2).
"""

from __future__ import annotations

import re
from typing import Any

from ds2api.dialects.effort import effort_of, nearest
from ds2api.dialects.gemini.schemas import for_gemini
from ds2api.dialects.gemini.writing import Writing
from ds2api.universal.request import Effort, ReasoningControl, Request

__all__ = ["refuse_what_cannot_be", "report_hints", "written_config", "written_rest"]

# Budgets for 2.5 by word: Google's own for its chat layer (ai.google.dev/gemini-api/docs/openai, "Thinking"), minimal
# from `mapping.md` §2. What is more than the model's most is the most.
_BUDGETS: dict[Effort, int] = {
    "none": 0, "minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 32_768,
}  # fmt: skip

_STOP_LIMIT = 5  # ai.google.dev/api/generate-content, GenerationConfig.stopSequences
_TIERS = {"auto": None, "default": "standard", "standard_only": "standard"}
_OWN_TIERS = ("flex", "standard", "priority")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")  # cloud.google.com, labels: both keys and values


def refuse_what_cannot_be(request: Request, writing: Writing) -> None:
    """What callers rely on, and what Gemini has no word for (`mapping.md` §1)."""
    losses, path = writing.losses, request.path_of
    if request.choices is not None and request.choices > 1 and not writing.capabilities.choices:
        raise losses.refuse(path("choices"), f"{writing.target.model} gives one answer only")
    state = request.state
    if state is None:
        return
    for name in ("previous_response_id", "conversation", "background", "thread"):
        if getattr(state, name):
            raise losses.refuse(path(name), "the gateway keeps no state for this provider: send the whole conversation")
    if state.store and request.dialect != "responses":  # there it is the default, and means nothing by itself
        losses.refuse_soft(path("store"), "this provider stores no answers")


def report_hints(request: Request, writing: Writing) -> None:
    """Fields that only steer: each is left out with a loss, unless its value steers nothing."""
    sampling = request.sampling
    hints: dict[str, tuple[Any, Any]] = {
        "repeat_penalty": (sampling.repeat_penalty, 1),
        "min_p": (sampling.min_p, 0),
        "logit_bias": (sampling.logit_bias or None, None),
        "verbosity": (request.verbosity, None),
        "prediction": (request.prediction, None),
        "audio_output": (request.audio_output, None),
        "moderation": (request.moderation, None),
        "cache_key": (request.cache_key, None),
        # Anthropic's `metadata.user_id` means nothing to anybody else (`mapping.md` §3, messages→gemini).
        "user": (None if request.dialect == "messages" else request.user, None),
    }
    for name, (value, neutral) in hints.items():
        if value not in (None, neutral):
            writing.losses.report("dropped", request.path_of(name), "this provider has no such setting")
    writing.report_mark(request.cache, request.path_of("cache"))


def written_config(request: Request, writing: Writing) -> dict[str, Any]:
    """`generationConfig`."""
    sampling, losses = request.sampling, writing.losses
    config: dict[str, Any] = {}
    for name, wire in (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK")):
        value = getattr(sampling, name)
        if value is None:
            continue
        if writing.capabilities.sampling:
            config[wire] = value
        else:
            losses.report("dropped", request.path_of(name), f"{writing.target.model} takes no {name}")
    limit = request.max_output_tokens
    if limit is not None and limit < 1:
        raise losses.refuse(request.path_of("max_output_tokens"), "this provider cannot warm a cache: send at least 1")
    config |= {
        "candidateCount": request.choices if (request.choices or 1) > 1 else None,
        "maxOutputTokens": limit,
        "stopSequences": _stop(request, writing),
        "responseLogprobs": request.logprobs or None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "responseModalities": None if request.modalities is None else [one.upper() for one in request.modalities],
        "thinkingConfig": _thinking(request, writing),
    }
    output = request.output
    if output is not None and output.kind != "text":
        writing.report_extra(output.extra, output.path)
        config["responseMimeType"] = "application/json"
        if output.kind == "schema" and output.schema:
            config["responseJsonSchema"] = for_gemini(output.schema)
    return {name: value for name, value in config.items() if value is not None}


def written_rest(request: Request, writing: Writing) -> dict[str, Any]:
    """`labels` and `serviceTier`."""
    body: dict[str, Any] = {}
    if request.metadata:
        pairs = [one for pair in request.metadata.items() for one in pair]
        if all(isinstance(one, str) and _LABEL.fullmatch(one) for one in pairs):
            body["labels"] = request.metadata
        else:
            reason = "labels are lower-case letters, digits, dashes and underscores here, at most 63"
            writing.losses.report("dropped", request.path_of("metadata"), reason)
    tier = _TIERS.get(request.service_tier or "auto", request.service_tier)
    if tier in _OWN_TIERS:
        body["serviceTier"] = tier
    elif tier is not None:
        reason = f"this provider has no service tier {tier!r}"
        writing.losses.report("dropped", request.path_of("service_tier"), reason)
    return body


def _stop(request: Request, writing: Writing) -> list[str] | None:
    stop = [one for one in request.stop if one]
    if len(stop) <= _STOP_LIMIT:
        return stop or None
    writing.restore.stop = stop
    reason = f"more than {_STOP_LIMIT} stop sequences are not taken; the gateway stops there by itself"
    writing.losses.report("emulated", request.path_of("stop"), reason)
    return None


def _thinking(request: Request, writing: Writing) -> dict[str, Any] | None:
    control, capabilities, losses = request.reasoning, writing.capabilities, writing.losses
    if control is None:
        return None
    writing.report_extra(control.extra, control.path)
    is_off = control.mode == "disabled" or control.effort == "none" or control.budget_tokens == 0
    if not capabilities.levels and capabilities.budget is None:
        if not is_off:
            losses.report("dropped", control.path, f"{writing.target.model} does not think")
        return None
    thinking: dict[str, Any] = {}
    if capabilities.levels:
        level = _level(control, request, writing, is_off=is_off)
        if level is not None:
            thinking["thinkingLevel"] = level.upper()
    elif capabilities.budget is not None:
        thinking["thinkingBudget"] = _budget(control, capabilities.budget, writing, is_off=is_off)
    # Only Responses hides thoughts unless they are asked for; elsewhere whoever wants thinking sees it.
    shows = control.show in ("text", "summary") or (control.show is None and request.dialect != "responses")
    if not is_off:
        thinking["includeThoughts"] = shows
    return thinking or None


def _level(control: ReasoningControl, request: Request, writing: Writing, *, is_off: bool) -> Effort | None:
    losses, levels = writing.losses, writing.capabilities.levels
    effort: Effort | None = "none" if is_off else control.effort
    if effort is None and control.budget_tokens is not None:
        effort = effort_of(control.budget_tokens, request.max_output_tokens)
        losses.report("approximated", control.path, f"this model takes no thinking budget: sent as level {effort}")
    if effort is None:
        return None
    sent = nearest(effort, levels)
    if sent not in (effort, None) and (effort, sent) != ("none", "minimal"):
        losses.report("clamped", control.path, f'"{effort}" became "{sent}", the nearest that this model takes')
    return sent


def _budget(control: ReasoningControl, bounds: tuple[int, int], writing: Writing, *, is_off: bool) -> int:
    """-1: the model decides."""
    if is_off:
        wanted = 0
    elif control.budget_tokens is not None and control.effort is None:
        wanted = control.budget_tokens
    elif control.effort is not None:
        wanted = _BUDGETS[control.effort]
    else:
        return -1
    sent = min(max(wanted, bounds[0]), bounds[1])
    if sent != wanted:
        reason = f"a thinking budget of {wanted} was moved to {sent}, the nearest that this model takes"
        writing.losses.report("clamped", control.path, reason)
    return sent
