"""Fill in the middle: a prompt and what shall follow the answer, for ``/fim/completions`` (`FIMCompletionRequest`).

Its answers are chat's, whole and streamed, so only the request has a form of its own: one prompt, no conversation, no
tools. Who asks so is an editor that completes code.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Outgoing, Target
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Text
from ds2api.universal.request import Request

__all__ = ["write_fill_in"]

_REASON = "Mistral's fill-in-the-middle has nothing like it"
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "seed": "random_seed"}
_HINTS = ("top_k", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty", "logit_bias")


def write_fill_in(request: Request, target: Target) -> Outgoing:
    """Raises `Problem` for what is more than a prompt and its suffix."""
    losses, path = Losses(target.losses), request.path_of
    body: dict[str, Any] = {"model": target.model, "stream": request.stream, "prompt": _prompt(request, losses)}
    body["suffix"] = request.suffix
    for name, value in (("tools", request.tools), ("output", request.output), ("logprobs", request.logprobs)):
        if value:
            losses.refuse_soft(path(name), _REASON)
    sampling = request.sampling
    given = {wire: getattr(sampling, name) for name, wire in _SAMPLING.items()}
    given |= {"max_tokens": request.max_output_tokens, "stop": request.stop or None, "metadata": request.metadata}
    body |= {name: value for name, value in given.items() if value is not None}
    for name in _HINTS:
        if getattr(sampling, name) is not None:
            losses.report("dropped", path(name), _REASON)
    if request.reasoning is not None and request.reasoning.mode != "disabled":
        losses.report("dropped", request.reasoning.path, _REASON)
    extra = request.extra
    for name in extra.fields if extra is not None else ():
        if extra is not None and name in extra.grave and name != path("suffix"):
            losses.refuse_soft(name, _REASON)
        elif name != path("suffix"):
            losses.report("dropped", name, _REASON)
    return Outgoing("/fim/completions", jsons.dump(body), losses=losses.items)


def _prompt(request: Request, losses: Losses) -> str:
    texts: list[str] = []
    for turn in request.turns:
        for part in turn.parts:
            if turn.role != "user" or not isinstance(part, Text):
                losses.refuse_soft(part.path or turn.path, "beside a suffix Mistral takes a prompt of text only")
            else:
                texts.append(part.text)
    return "".join(texts)
