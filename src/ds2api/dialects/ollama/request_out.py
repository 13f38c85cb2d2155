"""Writes a universal request for an Ollama server.

`model` and `stream` come first (R080); `stream` is always said, since here it is true by default. What an Ollama client
sent goes back as it came, in the form in which it came (`/api/chat` or `/api/generate`). Everything of another dialect
is translated, refused or reported under the client's path (`mapping.md` §1, §2).
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.dialects.effort import effort_of
from ds2api.dialects.ollama.extras import OPTIONS, own_fields
from ds2api.dialects.ollama.tools_out import write_tools
from ds2api.dialects.ollama.turns_out import TurnsWriter
from ds2api.dialects.ollama.writing import Writing
from ds2api.universal.request import Effort, ReasoningControl, Request

__all__ = ["write_request"]

_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty", "seed",
)  # fmt: skip
# `mapping.md` §2: effort. What is not here is the same word.
_EFFORTS: dict[Effort, str] = {"minimal": "low", "xhigh": "max"}
_USUAL_TIERS = (None, "auto", "default")


def write_request(request: Request, target: Target) -> Outgoing:
    """The request for `target`. Raises `Problem` for what cannot be carried."""
    writing = Writing(request, target)
    if not writing.is_own:
        _refuse_what_cannot_be(request, writing)
        _report_hints(request, writing)
    is_prompt = writing.is_own and request.path_of("turns") == "prompt"
    body: dict[str, Any] = {"model": target.model, "stream": request.stream}
    body |= _prompt(request, writing) if is_prompt else {"messages": TurnsWriter(writing).write(request.turns)}
    wants_logprobs = request.logprobs
    if request.top_logprobs and not writing.is_own:
        wants_logprobs = True  # the Responses API asks for them so
    fields = {
        "tools": write_tools(request, writing),
        "format": _format(request, writing),
        "think": None if request.reasoning is None else _think(request.reasoning, request, writing),
        "logprobs": wants_logprobs,
        "top_logprobs": request.top_logprobs,
        "options": _options(request),
    }
    body |= {name: value for name, value in fields.items() if value is not None and value not in ([], {})}
    if fields["format"] == {}:  # the schema of anything
        body["format"] = {}
    body |= {name: value for name, value in own_fields(request.extra).items() if not name.startswith(OPTIONS)}
    path = "/generate" if is_prompt else "/chat"
    return Outgoing(path, jsons.dump(body), losses=writing.losses.items, restore=writing.restore)


def _prompt(request: Request, writing: Writing) -> dict[str, Any]:
    written = TurnsWriter(writing)
    body: dict[str, Any] = {}
    for turn in request.turns:
        content = written.content(turn.parts, turn.role)
        body |= {"system" if turn.role == "system" else "prompt": content.pop("content"), **content}
    return body


def _refuse_what_cannot_be(request: Request, writing: Writing) -> None:
    """What callers read or rely on, and what Ollama has no word for."""
    losses, path = writing.losses, request.path_of
    if request.choices is not None and request.choices > 1:
        raise losses.refuse(path("choices"), "Ollama gives one answer only")
    if request.modalities is not None and any(one.lower() != "text" for one in request.modalities):
        raise losses.refuse(path("modalities"), "Ollama answers in text only")
    state = request.state
    if state is None:
        return
    for name in ("previous_response_id", "conversation", "background", "thread"):
        if getattr(state, name):
            raise losses.refuse(path(name), "Ollama remembers nothing between requests: send the whole conversation")
    if state.store and request.dialect != "responses":  # there it is the default, and means nothing by itself
        losses.refuse_soft(path("store"), "Ollama stores no answers")


def _report_hints(request: Request, writing: Writing) -> None:
    """What only steers, counts or saves money: left out with a loss."""
    writing.lose_extra(request.extra, "")
    writing.lose_mark(request.cache, request.path_of("cache"))
    hints: dict[str, Any] = {
        name: getattr(request, name)
        for name in ("verbosity", "prediction", "audio_output", "moderation", "cache_key", "metadata", "user")
    }
    hints["logit_bias"] = request.sampling.logit_bias
    hints["service_tier"] = None if request.service_tier in _USUAL_TIERS else request.service_tier
    for name, value in hints.items():
        if value not in (None, {}, []):
            writing.drop(request.path_of(name))


def _format(request: Request, writing: Writing) -> Any:
    output = request.output
    if output is None or output.kind == "text":
        return None
    writing.lose_extra(output.extra, output.path)
    return "json" if output.kind == "json" else output.schema or {}


def _think(control: ReasoningControl, request: Request, writing: Writing) -> bool | str | None:
    """A boolean, or a word for how much."""
    writing.lose_extra(control.extra, control.path)
    effort = control.effort
    if effort is None and control.budget_tokens is not None and control.budget_tokens >= 0:
        effort = effort_of(control.budget_tokens, request.max_output_tokens)
    if control.mode == "disabled" or effort == "none":
        return False
    if writing.target.capabilities.get("thinking") is False:
        writing.drop(control.path, f"{writing.target.model} does not think")
        return None
    if effort is None:
        # Nothing but whether the thoughts are to be shown: the model decides whether it thinks.
        return True if control.mode is not None or control.budget_tokens is not None else None
    word = _EFFORTS.get(effort, effort)
    if word != effort and control.effort is not None:
        writing.losses.report("clamped", control.path, f'"{effort}" became "{word}", the nearest that Ollama takes')
    return word


def _options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {name: getattr(request.sampling, name) for name in _SAMPLING}
    options |= {"stop": request.stop or None, "num_predict": request.max_output_tokens}
    options = {name: value for name, value in options.items() if value is not None}
    own = own_fields(request.extra)
    return options | {name.removeprefix(OPTIONS): value for name, value in own.items() if name.startswith(OPTIONS)}
