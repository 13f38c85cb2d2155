"""Reads a client's Messages request into a universal one.

`system` becomes the first turn; `system` turns in the middle stay where they stood. Nothing is moved, joined or
dropped here: a request that goes back to Anthropic must come out with the same meaning, and caches and the proofs
in thinking blocks are bound to what stood before them. Fields without a universal word are `extra`; those that
nobody could do without (`mapping.md` §3, messages→chat) are marked grave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds2api import jsons
from ds2api.dialects.messages.fields import BlockFields
from ds2api.dialects.messages.parts_in import extra_of, read_cache, read_content
from ds2api.dialects.messages.token_count import PATH as COUNT_PATH
from ds2api.dialects.reading import at, kind_of, shown, text_of
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Extra
from ds2api.universal.request import OutputFormat, ReasoningControl, Request, Sampling, Tool, ToolChoice, Turn

__all__ = ["read_request"]

_NAME = "messages"
_ROLES = ("user", "assistant", "system")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_HEADERS = ("anthropic-beta",)

# Without these the model would work without its tools, its files or its past.
_GRAVE = frozenset(
    {"container", "mcp_servers", "context_management", "compaction", "thread", "fallbacks", "fallback_credit_token"}
)
_PATHS = {
    "max_output_tokens": "max_tokens",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "cache": "cache_control",
    "parallel_calls": "tool_choice.disable_parallel_tool_use",
    "output": "output_config.format",
}


def read_request(body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
    """Raises `Problem` naming the field. The body of a token count (by its path) has no output limit."""
    counts_only = path.partition("?")[0].endswith(COUNT_PATH)
    twice = jsons.first_duplicate(body, levels=3)
    if twice is not None:
        raise Problem.bad_request(f"{twice}: this key stands twice in its object; once is accepted", twice)
    fields = BlockFields(body)
    model = fields.text("model")
    limit = None
    if not counts_only:
        if "max_tokens" not in body:
            raise Problem.bad_request("max_tokens: required, an integer of at least 0", "max_tokens")
        limit = fields.maybe_integer("max_tokens", lowest=0)
    turns = _system(fields)
    turns += [_turn(one, at("messages", index)) for index, one in enumerate(fields.array("messages"))]
    stop = fields.maybe_array("stop_sequences") or []
    request = Request(
        _NAME,
        model,
        turns,
        stream=fields.maybe_boolean("stream") or False,
        tools=[_tool(one, at("tools", index)) for index, one in enumerate(fields.maybe_array("tools") or [])],
        max_output_tokens=limit,
        stop=[text_of(one, at("stop_sequences", index)) for index, one in enumerate(stop)],
        sampling=Sampling(
            temperature=fields.maybe_number("temperature"),
            top_p=fields.maybe_number("top_p"),
            top_k=fields.maybe_integer("top_k"),
        ),
        service_tier=fields.maybe_text("service_tier"),
        paths=_PATHS,
        headers=[(name, value) for name, value in headers.items() if name.lower() in _HEADERS],
    )
    if fields.is_empty:  # as many small requests are
        return request
    request.cache = read_cache(fields)
    _tool_choice(fields, request)
    _output_config(fields, request)
    _thinking(fields, request)
    _metadata(fields, request)
    rest = fields.rest()
    if rest:
        grave = _GRAVE & rest.keys()
        if _only_clears_thinking(rest.get("context_management")):
            grave -= {"context_management"}
        request.extra = Extra(_NAME, rest, grave)
    return request


def _only_clears_thinking(management: Any) -> bool:
    """Whether it says no more than how much of the old thinking the model sees. Claude Code says so in every request
    (2.1: ``clear_thinking_20251015``, keep ``all``), and elsewhere the model works without."""
    edits = management.get("edits") if isinstance(management, dict) and len(management) == 1 else None
    kinds = [one.get("type") if isinstance(one, dict) else None for one in edits] if isinstance(edits, list) else [None]
    return all(isinstance(kind, str) and kind.startswith("clear_thinking_") for kind in kinds)


def _system(fields: BlockFields) -> list[Turn]:
    value = fields.take("system")
    if value is None:
        return []
    parts, is_plain = read_content(value, "system")
    return [Turn("system", parts, path="system", plain=is_plain)]


def _turn(value: Any, path: str) -> Turn:
    fields = BlockFields(value, path)
    role = fields.text("role")
    if role not in _ROLES:
        words = ", ".join(f'"{one}"' for one in _ROLES)
        raise Problem.bad_request(f"{path}.role: expected one of {words}, found {shown(role)}", f"{path}.role")
    if "content" not in fields:
        raise Problem.bad_request(
            f"{path}.content: required, a string or an array of content blocks", f"{path}.content"
        )
    parts, is_plain = read_content(fields.take("content"), f"{path}.content")
    return Turn(role, parts, path=path, extra=extra_of(fields), plain=is_plain)  # type: ignore[arg-type]


def _tool(value: Any, path: str) -> Tool:
    fields = BlockFields(value, path)
    kind = fields.maybe_text("type")
    cache = read_cache(fields)
    if kind not in (None, "custom"):  # run by Anthropic, or known to the model by its type
        name = fields.maybe_text("name") or ""
        return Tool(name, hosted=True, kind=kind, cache=cache, path=path, extra=extra_of(fields))
    return Tool(
        fields.text("name"),
        fields.maybe_text("description"),
        fields.object("input_schema"),
        fields.maybe_boolean("strict"),
        cache=cache,
        path=path,
        extra=extra_of(fields),
    )


def _tool_choice(fields: BlockFields, request: Request) -> None:
    wire = fields.maybe_object("tool_choice")
    if wire is None:
        return
    choice = BlockFields(wire, "tool_choice")
    kind = choice.text("type")
    sequential = choice.maybe_boolean("disable_parallel_tool_use")
    if sequential is not None:
        request.parallel_calls = not sequential
    match kind:
        case "auto" | "none":
            request.tool_choice = ToolChoice(kind, extra=extra_of(choice))
        case "any":
            request.tool_choice = ToolChoice("required", extra=extra_of(choice))
        case "tool":
            request.tool_choice = ToolChoice("named", choice.text("name"), extra=extra_of(choice))
        case _:
            words = '"auto", "any", "tool", "none"'
            raise Problem.bad_request(
                f"tool_choice.type: expected one of {words}, found {shown(kind)}", "tool_choice.type"
            )


def _output_config(fields: BlockFields, request: Request) -> None:
    wire = fields.maybe_object("output_config")
    if wire is None:
        return
    config = BlockFields(wire, "output_config")
    effort = config.maybe_one_of("effort", _EFFORTS)
    if effort is not None:
        request.reasoning = ReasoningControl(effort=effort, path="output_config.effort")  # type: ignore[arg-type]
    form = config.maybe_object("format")
    if form is not None:
        format_fields = BlockFields(form, "output_config.format")
        kind = format_fields.text("type")
        if kind == "json_schema":
            schema = format_fields.object("schema")
            request.output = OutputFormat("schema", schema, path=format_fields.path, extra=extra_of(format_fields))
        else:
            config.put_back("format", form)
    rest = config.rest()
    if rest:
        fields.put_back("output_config", rest)


def _thinking(fields: BlockFields, request: Request) -> None:
    wire = fields.maybe_object("thinking")
    if wire is None:
        return
    thinking = BlockFields(wire, "thinking")
    kind = thinking.text("type")
    control = request.reasoning or ReasoningControl()
    control.path = "thinking"
    if kind == "enabled":
        control.mode = "enabled"
        control.budget_tokens = thinking.maybe_integer("budget_tokens", lowest=0)
    elif kind in ("adaptive", "disabled"):
        control.mode = kind  # type: ignore[assignment]
    else:  # "between_tools", or a word that came later: thinking is wanted, the rest is Anthropic's affair
        control.mode = "adaptive"
        thinking.put_back("type", kind)
    display = thinking.maybe_text("display")
    if display == "summarized":
        control.show = "summary"
    elif display == "omitted":
        control.show = "none"
    elif display is not None:
        thinking.put_back("display", display)
    control.extra = extra_of(thinking)
    request.reasoning = control


def _metadata(fields: BlockFields, request: Request) -> None:
    wire = fields.maybe_object("metadata")
    if wire is None:
        return
    user = wire.get("user_id")
    if user is not None:
        if not isinstance(user, str):
            raise Problem.bad_request(f"metadata.user_id: expected a string, found {kind_of(user)}", "metadata.user_id")
        request.user = user
    rest = {name: value for name, value in wire.items() if name != "user_id" or value is None}
    if rest or not wire:
        fields.put_back("metadata", rest)
