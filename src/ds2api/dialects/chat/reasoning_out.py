"""How much to think: universal → the field that a chat server reads (`mapping.md` §2, the table of efforts).

A chat client's own spelling goes out as it came wherever the server knows that spelling. Everything else is said
in the server's words: OpenAI's `reasoning_effort`, OpenRouter's `reasoning`, `thinking` of DeepSeek, Moonshot and
Z.ai, Alibaba's `enable_thinking`.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.chat.destination import Destination
from ds2api.dialects.effort import effort_of, nearest
from ds2api.universal.request import Effort, ReasoningControl, Request

__all__ = ["write_reasoning"]

# What every server with efforts took from its first day.
_COMMON: tuple[Effort, ...] = ("low", "medium", "high")

_DEEPSEEK: dict[Effort, str] = {
    "minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "max",
}  # fmt: skip

# In which fields each kind of server reads it.
_SPELLINGS = {
    "effort": frozenset({"reasoning_effort"}),
    "openrouter": frozenset({"reasoning", "reasoning_effort"}),
    "deepseek": frozenset({"thinking"}),
    "thinking": frozenset({"thinking"}),
    "enable_thinking": frozenset({"enable_thinking"}),
}


def write_reasoning(request: Request, body: dict[str, Any], destination: Destination) -> None:
    """Put what `request.reasoning` asks for into `body`."""
    control = request.reasoning
    if control is None:
        return
    style = destination.flavour.reasoning_style
    if destination.is_same and (destination.is_verbatim or control.path in _SPELLINGS[style]):
        _write_as_said(control, body)
        return
    own = control.extra.get("chat") if control.extra is not None else {}
    for name in own:
        destination.losses.report("dropped", f"{control.path}.{name}", "this chat server has nothing like it")
    destination.lose_extra(control.extra, control.path)
    effort = _effort(control, request)
    match style:
        case "openrouter":
            _write_openrouter(control, effort, body)
        case "deepseek":
            _write_deepseek(control, effort, body, destination)
        case "thinking":
            _write_switch(control, effort, "thinking", {"type": "enabled"}, {"type": "disabled"}, body)
        case "enable_thinking":
            _write_switch(control, effort, "enable_thinking", True, False, body)
            if control.budget_tokens is not None and effort != "none":
                body["thinking_budget"] = control.budget_tokens
        case "effort":
            _write_effort(control, effort, body, destination)


def _write_as_said(control: ReasoningControl, body: dict[str, Any]) -> None:
    """In the client's own spelling."""
    own = control.extra.get("chat") if control.extra is not None else {}
    if control.path == "reasoning":
        enabled = None if control.mode is None else control.mode != "disabled"
        said = {
            "effort": control.effort,
            "max_tokens": control.budget_tokens,
            "enabled": enabled,
            "exclude": True if control.show == "none" else None,
        }
        body["reasoning"] = {name: value for name, value in said.items() if value is not None} | own
        return
    if control.path == "thinking":
        wanted: dict[str, Any] = {"type": control.mode, "budget_tokens": control.budget_tokens}
        body["thinking"] = {name: value for name, value in wanted.items() if value is not None} | own
    if control.effort is not None:
        body["reasoning_effort"] = control.effort


def _effort(control: ReasoningControl, request: Request) -> Effort | None:
    """The word, by whatever was said; None where the model is to decide."""
    if control.mode == "disabled":
        return "none"
    if control.effort is not None:
        return control.effort
    if control.budget_tokens is not None:
        return effort_of(control.budget_tokens, request.max_output_tokens)
    return None


def _write_effort(
    control: ReasoningControl, effort: Effort | None, body: dict[str, Any], destination: Destination
) -> None:
    waits = destination.flavour.thinks_when_told and "magistral" not in destination.target.model
    if effort is None and waits and control.mode == "enabled":
        effort = "high"
    if effort is None:
        return
    losses, accepted = destination.losses, destination.capabilities.efforts
    if accepted is None:
        if effort == "none" and waits:
            return
        if effort == "none":
            losses.report("dropped", control.path, "how to turn thinking off is not known of this model")
            return
        accepted = _COMMON
    if not accepted:
        if effort != "none":
            losses.report("dropped", control.path, "this model does not reason on request")
        return
    sent = nearest(effort, accepted)
    if sent is None:
        losses.report("dropped", control.path, f'this model takes none of the words near "{effort}"')
        return
    if sent != effort:
        losses.report("clamped", control.path, f'"{effort}" became "{sent}", the nearest that this model takes')
    body["reasoning_effort"] = sent


def _write_switch(
    control: ReasoningControl, effort: Effort | None, name: str, on: Any, off: Any, body: dict[str, Any]
) -> None:
    """Servers that know thinking on and off: a degree is approximated by on, which is what they do by themselves."""
    if effort is not None or control.mode == "enabled":
        body[name] = off if effort == "none" else on


def _write_openrouter(control: ReasoningControl, effort: Effort | None, body: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {}
    if effort == "none":
        wanted["enabled"] = False
    elif control.effort is None and control.budget_tokens is not None:
        wanted["max_tokens"] = control.budget_tokens
    elif effort is not None:
        wanted["effort"] = "xhigh" if effort == "max" else effort
    elif control.mode == "enabled":
        wanted["enabled"] = True
    if control.show == "none":
        wanted["exclude"] = True
    if wanted:
        body["reasoning"] = wanted


def _write_deepseek(
    control: ReasoningControl, effort: Effort | None, body: dict[str, Any], destination: Destination
) -> None:
    if effort is None:
        if control.mode == "enabled":
            body["thinking"] = {"type": "enabled"}
        return
    body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
    if effort != "none":
        body["reasoning_effort"] = _DEEPSEEK[effort]
        if effort == "xhigh":
            destination.losses.report("clamped", control.path, '"xhigh" became "high", the nearest that DeepSeek takes')
