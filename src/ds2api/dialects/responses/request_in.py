"""A request: wire → universal.

Strict in types, open in names: a field that is known is checked, one that is not lands in `extra`, which goes back to
this dialect and is reported by every other. `instructions` is the first turn. What only says again how things are
anyway (`truncation` "disabled", encrypted reasoning in `include`) is `quiet`: nobody loses anything without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from ds2api import jsons
from ds2api.dialects.reading import Fields, texts_of
from ds2api.dialects.responses.items_in import read_input
from ds2api.dialects.responses.origin import NAME, came_from
from ds2api.dialects.responses.token_count import PATH as COUNT_PATH
from ds2api.dialects.responses.tools_in import namespaces_of, read_choice, read_tools
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Extra, Text
from ds2api.universal.request import Effort, OutputFormat, ReasoningControl, Request, Sampling, State, Turn

__all__ = ["read_request"]

_EFFORTS: tuple[str, ...] = get_args(Effort)
_LOGPROBS = "message.output_text.logprobs"

# Without these the model would answer something else than was asked.
_GRAVE = frozenset({"prompt"})

# Values that ask for what happens anyway.
_DEFAULTS: Mapping[str, Any] = {"truncation": "disabled", "context_management": []}
_ALWAYS_QUIET = frozenset({"stream_options"})  # padding: what a gateway writes anew has other sizes anyway
_REASONING_DEFAULTS = {"mode": "standard", "context": "auto"}

_PATHS = {
    "parallel_calls": "parallel_tool_calls",
    "cache_key": "prompt_cache_key",
    "output": "text.format",
    "verbosity": "text.verbosity",
}


def read_request(body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
    """Raises `Problem` naming the field. The body of a token count (by its path) may have no input."""
    counts_only = path.partition("?")[0].endswith(COUNT_PATH)
    twice = jsons.first_duplicate(body, levels=3)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: stands twice in the same object; send it once", twice)
    fields = Fields(body)
    model = fields.text("model")
    if not model:
        raise Problem.bad_request("model: expected a model's name, found an empty string", "model")
    paths, quiet = dict(_PATHS), dict[str, Any]()
    request = Request(NAME, model, [], paths=paths)
    request.stream = fields.maybe_boolean("stream") or False
    tools = fields.take("tools")
    request.tools = [] if tools is None else read_tools(tools)
    if tools == []:
        quiet["tools"] = tools
    choice = fields.take("tool_choice")
    request.tool_choice = None if choice is None else read_choice(choice)
    request.parallel_calls = fields.maybe_boolean("parallel_tool_calls")
    _read_turns(fields, request, quiet, counts_only=counts_only)
    request.sampling = Sampling(fields.maybe_number("temperature"), fields.maybe_number("top_p"))
    request.max_output_tokens = fields.maybe_integer("max_output_tokens", 1)
    _read_text(fields, request)
    _read_reasoning(fields, request)
    _read_logprobs(fields, request, paths, quiet)
    identifier = fields.maybe_text("safety_identifier")
    if identifier is not None:
        paths["user"] = "safety_identifier"
    request.user = identifier if identifier is not None else fields.maybe_text("user")
    metadata = fields.maybe_object("metadata")
    if metadata == {}:
        quiet["metadata"] = metadata
    request.metadata = metadata or None
    request.service_tier = fields.maybe_text("service_tier")
    request.cache_key = fields.maybe_text("prompt_cache_key")
    request.moderation = fields.maybe_object("moderation")
    state = State(
        fields.maybe_text("previous_response_id"),
        fields.take("conversation"),
        fields.maybe_boolean("background"),
        fields.maybe_boolean("store"),
    )
    request.state = None if state == State() else state
    rest = fields.said()
    for name, value in list(rest.items()):
        if name in _ALWAYS_QUIET or (name in _DEFAULTS and value == _DEFAULTS[name]):
            quiet[name] = rest.pop(name)
    if rest or quiet:
        request.extra = Extra(NAME, rest, _GRAVE & rest.keys(), quiet)
    return request


def _read_turns(fields: Fields, request: Request, quiet: dict[str, Any], *, counts_only: bool) -> None:
    instructions = fields.maybe_text("instructions")
    if instructions:
        parts = [Text(instructions, path="instructions")]
        request.turns.append(Turn("system", [*parts], path="instructions", plain=True))
    elif instructions is not None:
        quiet["instructions"] = instructions
    value = fields.take("input")
    if value is not None:
        request.turns += read_input(value, namespaces_of(request))
    elif not counts_only and not any(map(fields.holds, ("previous_response_id", "conversation", "prompt"))):
        raise Problem.bad_request("input: required, a string or an array of items", "input")


def _read_text(fields: Fields, request: Request) -> None:
    value = fields.maybe_object("text")
    if value is None:
        return
    text = Fields(value, "text")
    request.verbosity = text.maybe_text("verbosity")
    form = text.maybe_object("format")
    if form is not None:
        inner = Fields(form, "text.format")
        kind = inner.maybe_one_of("type", ("text", "json_object", "json_schema", "grammar", "python"))
        if kind in ("grammar", "python"):
            text.keep("format", form)
        elif kind == "json_schema":
            output = OutputFormat("schema", inner.object("schema"), inner.text("name"), inner.maybe_text("description"))
            output.strict = inner.maybe_boolean("strict")
            request.output = output
        else:
            request.output = OutputFormat("json" if kind == "json_object" else "text")
        if request.output is not None:
            request.output.path, request.output.extra = inner.path, came_from(form, inner.said())
    if rest := text.said():
        fields.keep("text", rest)


def _read_reasoning(fields: Fields, request: Request) -> None:
    value = fields.maybe_object("reasoning")
    if value is None:
        return
    inner = Fields(value, "reasoning")
    effort = inner.maybe_one_of("effort", _EFFORTS)
    summary = inner.maybe_text("summary") or inner.maybe_text("generate_summary")
    inner.take("generate_summary")
    rest = {name: one for name, one in inner.said().items() if _REASONING_DEFAULTS.get(name) != one}
    request.reasoning = ReasoningControl(
        effort,  # type: ignore[arg-type]
        show="summary" if summary is not None else None,
        path="reasoning",
        extra=came_from(value, rest),
    )


def _read_logprobs(fields: Fields, request: Request, paths: dict[str, str], quiet: dict[str, Any]) -> None:
    """`top_logprobs` above 0 and the word in `include` both ask for them. The list itself is kept whole."""
    top = fields.maybe_integer("top_logprobs", 0)
    if top:
        request.logprobs, request.top_logprobs = True, top
        paths["logprobs"] = "top_logprobs"
    elif top is not None:
        quiet["top_logprobs"] = top
    value = fields.take("include")
    if value is None:
        return
    include = texts_of(value, "include")
    quiet["include"] = include
    if _LOGPROBS in include:
        request.logprobs = True
        paths.setdefault("logprobs", "include")
    # What hosted tools found is asked for together with them, and said with them; images are the client's own.
    rest = [one for one in include if one not in {_LOGPROBS, "reasoning.encrypted_content"}]
    if rest:
        fields.keep("include", rest)
