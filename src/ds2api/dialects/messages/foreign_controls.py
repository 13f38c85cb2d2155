"""Writes how the answer is to be made: reasoning, sampling, output form, and all the hints of other protocols.

The model's capabilities decide (`capabilities`): the newest models refuse sampling and a thinking budget with a
400, even at their defaults (R056). Anthropic knows no degrees of thinking before Claude 4.6, so an effort becomes a
share of the output limit there (`dialects/effort`). Rules that are not the client's to know:

* a forced tool choice and thinking exclude each other: the choice wins (R065);
* with a thinking budget, a turn in the middle of tool calls must begin with its thinking, and no prefill may stand
  at the end: a client of another dialect that does not send the thinking back gets no thinking for that turn;
* while it thinks, temperature and top_k are fixed.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.effort import LOWEST_BUDGET_TOKENS, budget_of, effort_of, nearest
from ds2api.dialects.messages.schemas import closed
from ds2api.dialects.messages.writing import Writing
from ds2api.universal.request import Effort, ReasoningControl, Request

__all__ = ["refuse_what_cannot_be", "report_hints", "write_output", "write_sampling", "write_thinking"]

# The first version without sampling (`features.md` §0.1).
_WITHOUT_SAMPLING = "2026-10-21"
_JSON_ONLY = "Answer with one valid JSON object and nothing else: no words around it, no code fence."


def refuse_what_cannot_be(request: Request, writing: Writing) -> None:
    """What callers read or rely on, and what Anthropic has no word for (`mapping.md` §1)."""
    losses, path = writing.losses, request.path_of
    if request.choices is not None and request.choices > 1:
        raise losses.refuse(path("choices"), "more than one choice is not offered by this provider")
    if request.modalities is not None and any(one != "text" for one in request.modalities):
        raise losses.refuse(path("modalities"), "this provider answers in text only")
    if request.logprobs or request.top_logprobs:
        name = "logprobs" if request.logprobs else "top_logprobs"
        losses.refuse_soft(path(name), "log-probabilities are not given by this provider")
    state = request.state
    if state is None:
        return
    for name, value in (
        ("previous_response_id", state.previous_response_id),
        ("conversation", state.conversation),
        ("background", state.background),
        ("thread", state.thread),
    ):
        if value:
            raise losses.refuse(path(name), "the gateway keeps no state for this provider: send the whole conversation")
    if state.store and request.dialect != "responses":  # there it is the default, and means nothing by itself
        losses.refuse_soft(path("store"), "this provider stores no answers")


def report_hints(request: Request, writing: Writing) -> None:
    """Fields that only steer: each is left out with a loss, unless its value steers nothing."""
    sampling = request.sampling
    for name, value, neutral in (
        ("frequency_penalty", sampling.frequency_penalty, 0),
        ("presence_penalty", sampling.presence_penalty, 0),
        ("repeat_penalty", sampling.repeat_penalty, 1),
        ("min_p", sampling.min_p, 0),
        ("seed", sampling.seed, None),
        ("logit_bias", sampling.logit_bias or None, None),
        ("verbosity", request.verbosity, None),
        ("prediction", request.prediction, None),
        ("audio_output", request.audio_output, None),
        ("moderation", request.moderation, None),
        ("cache_key", request.cache_key, None),
        ("metadata", request.metadata or None, None),
    ):
        if value is not None and value != neutral:
            writing.losses.report("dropped", request.path_of(name), "this provider has no such setting")


def write_thinking(
    request: Request, writing: Writing, max_tokens: int, *, forced: bool, unproven: bool
) -> tuple[dict[str, Any] | None, Effort | None]:
    """`thinking` and `output_config.effort`. `unproven`: the conversation's end rules a thinking budget out."""
    control, capabilities, losses = request.reasoning, writing.capabilities, writing.losses
    if control is None:
        return None, None
    writing.report_extra(control.extra, control.path)
    types = capabilities.thinking
    is_wanted = _is_wanted(control)
    if is_wanted and not types:
        losses.report("dropped", control.path, f"{writing.target.model} does not think")
    elif is_wanted and forced:
        losses.report("dropped", control.path, "a forced tool choice and thinking exclude each other: thinking is off")
        is_wanted = False
    elif is_wanted and unproven and "adaptive" not in types:
        reason = "thinking is off: the turn to go on with came without its own thinking"
        losses.report("dropped", control.path, reason)
        is_wanted = False
    elif not is_wanted and types and "disabled" not in types and not forced:
        losses.report("approximated", control.path, f"{writing.target.model} cannot be kept from thinking: effort low")
        return None, "low" if "low" in capabilities.efforts else None
    if not is_wanted or not types:
        return ({"type": "disabled"} if "disabled" in types else None), None
    if "adaptive" in types:
        return _adaptive(control, writing, max_tokens)
    return _budget(control, writing, max_tokens), None


def write_sampling(request: Request, writing: Writing, *, thinks: bool) -> dict[str, Any]:
    """`temperature`, `top_p`, `top_k` where model and version still take them."""
    sampling, losses, capabilities = request.sampling, writing.losses, writing.capabilities
    wire: dict[str, Any] = {}
    is_taken = capabilities.sampling != "none" and writing.target.anthropic_version < _WITHOUT_SAMPLING
    values = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    for name, value in values.items():
        if value is None:
            continue
        path = request.path_of(name)
        if not is_taken:
            losses.report("dropped", path, f"{writing.target.model} takes no {name}")
        elif thinks and not (value == 1 if name == "temperature" else name == "top_p" and 0.95 <= value <= 1):
            losses.report("dropped", path, f"{name} is fixed while the model thinks")
        elif name == "temperature" and value > 1:
            losses.report("clamped", path, "the highest temperature here is 1")
            wire[name] = 1
        elif name == "top_p" and "temperature" in wire and capabilities.sampling == "one":
            losses.report("dropped", path, f"{writing.target.model} takes temperature or top_p, not both")
        else:
            wire[name] = value
    return wire


def write_output(request: Request, writing: Writing) -> tuple[dict[str, Any] | None, str | None]:
    """`output_config.format`, and a sentence for the system prompt where there is no such format."""
    output, losses = request.output, writing.losses
    if output is None or output.kind == "text":
        return None, None
    writing.report_extra(output.extra, output.path)
    if output.kind == "json":
        losses.report("approximated", output.path, "JSON without a schema is asked for in words")
        return None, _JSON_ONLY
    if not writing.capabilities.structured:
        losses.refuse_soft(output.path, f"a JSON schema is not taken by {writing.target.model}", "approximated")
        return None, _JSON_ONLY
    schema, was_open = closed(output.schema or {"type": "object"})
    if was_open:
        losses.report("approximated", output.path, "schemas are closed here: additionalProperties false was added")
    return {"type": "json_schema", "schema": schema}, None


def _is_wanted(control: ReasoningControl) -> bool:
    if control.mode == "disabled" or control.effort == "none":
        return False
    return control.budget_tokens is None or control.budget_tokens != 0 or control.effort is not None


def _adaptive(
    control: ReasoningControl, writing: Writing, max_tokens: int
) -> tuple[dict[str, Any] | None, Effort | None]:
    losses, accepted = writing.losses, writing.capabilities.efforts
    thinking: dict[str, Any] = {"type": "adaptive"}
    if control.show is not None:
        thinking["display"] = "omitted" if control.show == "none" else "summarized"
    effort = control.effort
    if effort is None and control.budget_tokens is not None and control.budget_tokens > 0:
        effort = effort_of(control.budget_tokens, max_tokens)
        losses.report("approximated", control.path, f"this model takes no thinking budget: sent as effort {effort}")
    if effort is None or effort in accepted:
        return thinking, effort
    near = nearest(effort, accepted)
    losses.report("clamped", control.path, f"{writing.target.model} takes no effort {effort}: sent as {near}")
    return thinking, near


def _budget(control: ReasoningControl, writing: Writing, max_tokens: int) -> dict[str, Any] | None:
    losses = writing.losses
    given = control.budget_tokens
    if given is None or given < 0:
        tokens = budget_of(control.effort or "medium", max_tokens)
    else:
        tokens = min(max(given, LOWEST_BUDGET_TOKENS), max_tokens - 1)
        if tokens != given and tokens >= LOWEST_BUDGET_TOKENS:
            losses.report("clamped", control.path, f"a thinking budget of {given} was moved to {tokens}")
    if tokens < LOWEST_BUDGET_TOKENS:
        reason = f"thinking needs {LOWEST_BUDGET_TOKENS} tokens below the output limit of {max_tokens}: thinking is off"
        losses.report("dropped", control.path, reason)
        return {"type": "disabled"}
    if control.show == "none":
        losses.report("dropped", control.path, f"{writing.target.model} always shows its thinking")
    return {"type": "enabled", "budget_tokens": tokens}
