"""Writes a request of Gemini's dialect back to Gemini: the same fields, for another model.

Nothing is judged. Two things are not as they came: names are in camelCase, base64 of media in the standard alphabet.
One thing is not the client's own: a proof in the gateway's envelope goes only to whoever made it.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Target
from ds2api.dialects.gemini.capabilities import capabilities_of
from ds2api.dialects.gemini.fields import own_fields, put_extra
from ds2api.dialects.gemini.parts_in import synthetic_id
from ds2api.dialects.gemini.proofs import SENTINEL, for_provider
from ds2api.dialects.gemini.schemas import CameAsSchema
from ds2api.universal.envelope import PREFIX
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Call, File, Media, Opaque, Part, Reasoning, Result, Sealed, Text
from ds2api.universal.request import Request, Tool, ToolChoice, Turn

__all__ = ["own_body"]

_ROLES = {"user": "user", "assistant": "model", "tool": "function"}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY", "allowed": "AUTO"}


def own_body(request: Request, target: Target, losses: Losses) -> dict[str, Any]:
    writer = _Writer(target, losses)
    turns = list(request.turns)
    body: dict[str, Any] = {}
    if turns and turns[0].role == "system":
        system = turns.pop(0)
        body["systemInstruction"] = {"parts": writer.parts(system), "role": "user"}
    body["contents"] = [
        put_extra({"parts": writer.parts(turn), "role": _ROLES.get(turn.role, "user")}, turn.extra) for turn in turns
    ]
    if request.tools:
        body["tools"] = _tools(request.tools)
    if request.tool_choice is not None:
        body["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
    config = _config(request)
    if config:
        body["generationConfig"] = config
    if request.state is not None:
        body |= _said({"cachedContent": request.state.conversation, "store": request.state.store})
    body |= _said({"labels": request.metadata, "serviceTier": request.service_tier})
    return put_extra(body, request.extra)


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


class _Writer:
    def __init__(self, target: Target, losses: Losses) -> None:
        self._target = target
        self._losses = losses
        self._needs_signature = capabilities_of(target.model, target.capabilities).needs_signature

    def parts(self, turn: Turn) -> list[dict[str, Any]]:
        written = [self._part(part) for part in turn.parts]
        return [one for one in written if one is not None]

    def _part(self, part: Part) -> dict[str, Any] | None:
        written: dict[str, Any]
        match part:
            case Opaque():
                return part.data
            case Text():
                written = {"text": part.text} | self._signature(part.signature, part.path)
            case Reasoning():
                written = {"text": part.text, "thought": True} | self._signature(part.sealed, part.path)
                if part.sealed is not None and "thoughtSignature" not in written:
                    return None  # a thought without the proof that it came with is another one's
            case Call():
                written = {"functionCall": _call(part)} | self._signature(part.signature, part.path)
                if part.signature is not None and "thoughtSignature" not in written and self._needs_signature:
                    written["thoughtSignature"] = SENTINEL
            case Result():
                written = {"functionResponse": self._result(part)}
            case Media():
                written = _media(part)
            case _:
                raise self._losses.refuse(part.path, f"a {type(part).__name__.lower()} has no place in a content")
        return put_extra(written, part.extra)

    def _signature(self, sealed: Sealed | None, path: str) -> dict[str, Any]:
        if sealed is None:
            return {}
        if not sealed.data.startswith(PREFIX):
            return {"thoughtSignature": sealed.data}
        signature, reason = for_provider(sealed, self._target)
        if signature is None:
            self._losses.report("dropped", f"{path}.thoughtSignature", reason)
            return {}
        return {"thoughtSignature": signature}

    def _result(self, result: Result) -> dict[str, Any]:
        written: dict[str, Any] = {}
        # A call without an id got one by its place; its result goes back without it, too.
        if not _is_synthetic(result.call_id):
            written["id"] = result.call_id
        if result.name is not None:
            written["name"] = result.name
        content = list(result.content)
        if content and isinstance(text := content[0], Text):
            content.pop(0)
            value: Any = text.text if result.plain else jsons.parse(text.text)
            key = text.path.rpartition(".")[2]
            written["response"] = value if key == "response" else {key: value}
        if content:
            written["parts"] = [self._part(one) for one in content]
        return written


def _is_synthetic(identity: str) -> bool:
    words = identity.split("_")
    return len(words) == 3 and words[0] == "call" and words[1].isdecimal() and words[2].isdecimal()


def _call(call: Call) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if call.id != synthetic_id(call.path):
        written["id"] = call.id
    written["name"] = call.name
    if call.arguments:
        written["args"] = jsons.parse(call.arguments)
    return written


def _media(part: Media) -> dict[str, Any]:
    source = part.source
    written = {} if source.media_type is None else {"mimeType": source.media_type}
    if source.data is not None:
        name, written["data"] = "inlineData", source.data
    else:
        name, written["fileUri"] = "fileData", source.url or source.file_id or ""
    if isinstance(part, File) and part.name is not None:
        written["displayName"] = part.name
    return {name: written}


def _tools(tools: list[Tool]) -> list[dict[str, Any]]:
    """Grouped as they came."""
    entries: dict[str, dict[str, Any]] = {}
    for tool in tools:
        entry = entries.setdefault(tool.path.partition("]")[0], {})
        if tool.hosted:
            entry[tool.kind] = own_fields(tool.extra)
            continue
        function: dict[str, Any] = {"name": tool.name} | _said({"description": tool.description})
        if isinstance(tool.parameters, CameAsSchema):
            function["parameters"] = tool.parameters.came_as
        elif tool.parameters is not None:
            function["parametersJsonSchema"] = tool.parameters
        entry.setdefault("functionDeclarations", []).append(put_extra(function, tool.extra))
    return list(entries.values())


def _choice(choice: ToolChoice) -> dict[str, Any]:
    mode, names = _MODES[choice.mode], None
    if choice.mode == "named":
        names = [choice.name]
    elif choice.allowed is not None:
        names = list(choice.allowed.names)
        mode = "ANY" if choice.allowed.required else "AUTO"
    written: dict[str, Any] = {**own_fields(choice.extra)}
    written.setdefault("mode", mode)
    return written | _said({"allowedFunctionNames": names})


def _config(request: Request) -> dict[str, Any]:
    sampling, control, output = request.sampling, request.reasoning, request.output
    config = _said({
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "candidateCount": request.choices,
        "maxOutputTokens": request.max_output_tokens,
        "stopSequences": request.stop or None,
        "responseLogprobs": request.logprobs,
        "logprobs": request.top_logprobs,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "responseModalities": None if request.modalities is None else [one.upper() for one in request.modalities],
    })  # fmt: skip
    if output is not None:
        mime_type = "text/plain" if output.kind == "text" else "application/json"
        config["responseMimeType"] = own_fields(request.extra).get("generationConfig.responseMimeType", mime_type)
        if isinstance(output.schema, CameAsSchema):
            config["responseSchema"] = output.schema.came_as
        elif output.schema is not None:
            config["responseJsonSchema"] = output.schema
    if control is not None:
        thinking = _said({
            "includeThoughts": None if control.show is None else control.show != "none",
            "thinkingBudget": -1 if control.mode == "adaptive" else control.budget_tokens,
            "thinkingLevel": None if control.effort is None else control.effort.upper(),
        })  # fmt: skip
        config["thinkingConfig"] = put_extra(thinking, control.extra)
    return config
