"""Six SDKs, seven clients (Gemini's speaks two versions): one question, asked in each one's own words.

`CLIENTS[name](url, ask, stream=…)` gives a `Seen` of `end_to_end/sdk.py` whose `usage` is {"in", "out"}: all tokens
that were read, cached or not, and all that were written. A second turn (`Ask.earlier`) puts back the calls that the
first one brought, and a result for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ollama
import openai
from google import genai
from google.genai import types
from mistralai.client import Mistral
from tests.end_to_end.sdk import Seen, ask_chat, ask_messages
from tests.engine.llamacpp import CITY

__all__ = ["CLIENTS", "LIMIT_WORDS", "STOP_WORDS", "TOOL_WORDS", "Ask"]

TOOL = "get_weather"
RESULT = "sunny"


@dataclass(frozen=True)
class Ask:
    """What is wanted, in nobody's words. `choice` "" leaves it to the model; `schema` wants JSON that fits `CITY`."""

    model: str
    text: str = "Hello"
    max_tokens: int = 24
    stop: str = ""
    schema: bool = False
    tools: bool = False
    choice: str = ""  # "any", or the tool's name
    earlier: Seen | None = None


LIMIT_WORDS = {
    "chat": "length", "responses": "max_output_tokens", "messages": "max_tokens", "gemini": "MAX_TOKENS",
    "gemini-v1": "MAX_TOKENS", "mistral": "length", "ollama": "length",
}  # fmt: skip
STOP_WORDS = {
    "chat": "stop", "responses": "completed", "messages": "end_turn", "gemini": "STOP", "gemini-v1": "STOP",
    "mistral": "stop", "ollama": "stop",
}  # fmt: skip
# Responses, Gemini and Ollama have no word of its own for an answer that ends in calls.
TOOL_WORDS = {**STOP_WORDS, "chat": "tool_calls", "messages": "tool_use", "mistral": "tool_calls"}


def _function(**more: Any) -> dict[str, Any]:
    return {"name": TOOL, "description": "Tells the weather.", "parameters": CITY, **more}


def _calls(earlier: Seen) -> list[tuple[str, str, dict[str, Any]]]:
    return [(id_, name, given) for id_, (name, given) in zip(earlier.call_ids, earlier.calls, strict=True)]


def _openai_history(ask: Ask) -> list[Any]:
    """As chat and Mistral have it."""
    history: list[Any] = [{"role": "user", "content": ask.text}]
    if ask.earlier is not None:
        calls = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for id_, name, given in _calls(ask.earlier)
        ]
        history.append({"role": "assistant", "content": "", "tool_calls": calls})
        history += [{"role": "tool", "tool_call_id": call["id"], "content": RESULT} for call in calls]
    return history


def _openai_options(ask: Ask) -> dict[str, Any]:
    options: dict[str, Any] = {"max_tokens": ask.max_tokens, "temperature": 0}
    if ask.stop:
        options["stop"] = [ask.stop]
    if ask.schema:
        options["response_format"] = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
    if ask.tools:
        options["tools"] = [{"type": "function", "function": _function()}]
    return options


def _named(ask: Ask, any_word: str) -> Any:
    return any_word if ask.choice == "any" else {"type": "function", "function": {"name": ask.choice}}


def _chat(url: str, ask: Ask, *, stream: bool) -> Seen:
    options = _openai_options(ask)
    if ask.choice:
        options["tool_choice"] = _named(ask, "required")
    seen = ask_chat(url, ("sync", stream), model=ask.model, messages=_openai_history(ask), **options)
    seen.usage = {"in": seen.usage["prompt_tokens"], "out": seen.usage["completion_tokens"]}
    return seen


def _messages(url: str, ask: Ask, *, stream: bool) -> Seen:
    options: dict[str, Any] = {
        "max_tokens": ask.max_tokens,
        "extra_body": {"temperature": 0},
    }  # this SDK has no field for it any more
    if ask.stop:
        options["stop_sequences"] = [ask.stop]
    if ask.schema:
        options["output_config"] = {"format": {"type": "json_schema", "schema": CITY}}
    if ask.tools:
        options["tools"] = [{"name": TOOL, "description": "Tells the weather.", "input_schema": CITY}]
    if ask.choice:
        options["tool_choice"] = {"type": "any"} if ask.choice == "any" else {"type": "tool", "name": ask.choice}
    history: list[Any] = [{"role": "user", "content": ask.text}]
    if ask.earlier is not None:
        calls = _calls(ask.earlier)
        used = [{"type": "tool_use", "id": id_, "name": name, "input": given} for id_, name, given in calls]
        results = [{"type": "tool_result", "tool_use_id": id_, "content": RESULT} for id_, _, _ in calls]
        history += [{"role": "assistant", "content": used}, {"role": "user", "content": results}]
    seen = ask_messages(url, ("sync", stream), model=ask.model, messages=history, **options)
    cached = sum(seen.usage.get(f"cache_{kind}_input_tokens") or 0 for kind in ("read", "creation"))
    seen.usage = {"in": seen.usage["input_tokens"] + cached, "out": seen.usage["output_tokens"]}
    return seen


def _responses(url: str, ask: Ask, *, stream: bool) -> Seen:
    options: dict[str, Any] = {"max_output_tokens": ask.max_tokens, "temperature": 0}
    if ask.schema:
        options["text"] = {"format": {"type": "json_schema", "name": "place", "schema": CITY}}
    if ask.tools:
        options["tools"] = [{"type": "function", **_function(strict=False)}]
    if ask.choice:
        options["tool_choice"] = "required" if ask.choice == "any" else {"type": "function", "name": ask.choice}
    history: list[Any] = [{"role": "user", "content": ask.text}]
    calls = _calls(ask.earlier) if ask.earlier is not None else []
    for id_, name, given in calls:
        history.append({"type": "function_call", "call_id": id_, "name": name, "arguments": json.dumps(given)})
    history += [{"type": "function_call_output", "call_id": id_, "output": RESULT} for id_, _, _ in calls]
    with openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as client:
        told = ""
        if stream:
            answer: Any = None
            for event in client.responses.create(model=ask.model, input=history, stream=True, **options):
                if event.type == "response.output_text.delta":
                    told += event.delta
                answer = getattr(event, "response", answer)
            assert told == answer.output_text
        else:
            answer = client.responses.create(model=ask.model, input=history, **options)
    made = [item for item in answer.output if item.type == "function_call"]
    return Seen(
        answer.output_text,
        [(call.name, json.loads(call.arguments)) for call in made],
        answer.incomplete_details.reason if answer.status == "incomplete" else answer.status,
        {"in": answer.usage.input_tokens, "out": answer.usage.output_tokens},
        call_ids=[call.call_id for call in made],
    )


def _gemini(version: str) -> Callable[..., Seen]:
    def ask_gemini(url: str, ask: Ask, *, stream: bool) -> Seen:
        parts = [types.Part(text=ask.text)]
        history = [types.Content(role="user", parts=parts)]
        if ask.earlier is not None:
            calls = _calls(ask.earlier)
            made = [types.FunctionCall(id=id_ or None, name=name, args=given) for id_, name, given in calls]
            history.append(types.Content(role="model", parts=[types.Part(function_call=one) for one in made]))
            results = [
                types.FunctionResponse(id=id_ or None, name=name, response={"output": RESULT}) for id_, name, _ in calls
            ]
            history.append(types.Content(role="user", parts=[types.Part(function_response=one) for one in results]))
        mode = types.FunctionCallingConfigMode.ANY if ask.choice else types.FunctionCallingConfigMode.AUTO
        names = [ask.choice] if ask.choice not in ("", "any") else None
        declared = types.FunctionDeclaration(name=TOOL, description="Tells the weather.", parameters_json_schema=CITY)
        config = types.GenerateContentConfig(
            temperature=0,
            max_output_tokens=ask.max_tokens,
            stop_sequences=[ask.stop] if ask.stop else None,
            response_mime_type="application/json" if ask.schema else None,
            response_json_schema=CITY if ask.schema else None,
            tools=[types.Tool(function_declarations=[declared])] if ask.tools else None,
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(mode=mode, allowed_function_names=names)
            )
            if ask.tools
            else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=url, api_version=version))
        try:
            if stream:
                chunks = list(
                    client.models.generate_content_stream(model=ask.model, contents=list(history), config=config)
                )
            else:
                chunks = [client.models.generate_content(model=ask.model, contents=list(history), config=config)]
        finally:
            client.close()
        seen = Seen()
        for chunk in chunks:
            candidate = (chunk.candidates or [types.Candidate()])[0]
            for part in (candidate.content and candidate.content.parts) or []:
                seen.text += part.text or ""
                if part.function_call is not None:
                    seen.calls.append((part.function_call.name or "", part.function_call.args))
                    seen.call_ids.append(part.function_call.id or "")
            seen.finish = candidate.finish_reason.value if candidate.finish_reason else seen.finish
            if (usage := chunk.usage_metadata) is not None:
                seen.usage = {"in": usage.prompt_token_count, "out": usage.candidates_token_count}
        return seen

    return ask_gemini


def _mistral(url: str, ask: Ask, *, stream: bool) -> Seen:
    options = _openai_options(ask)
    if ask.choice:
        options["tool_choice"] = _named(ask, "any")
    with Mistral(api_key="x", server_url=url) as client:
        if stream:
            with client.chat.stream(model=ask.model, messages=_openai_history(ask), **options) as streamed:
                answers: list[Any] = [event.data for event in streamed]
        else:
            answers = [client.chat.complete(model=ask.model, messages=_openai_history(ask), **options)]
    seen = Seen()
    for answer in answers:
        choice = answer.choices[0]
        said = choice.delta if stream else choice.message
        seen.text += said.content or ""
        for call in said.tool_calls or []:  # whole in one piece, streamed or not
            seen.calls.append((call.function.name, _parsed(call.function.arguments)))
            seen.call_ids.append(call.id)
        seen.finish = choice.finish_reason or seen.finish
        if answer.usage is not None and answer.usage.prompt_tokens:
            seen.usage = {"in": answer.usage.prompt_tokens, "out": answer.usage.completion_tokens}
    return seen


def _parsed(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def _ollama(url: str, ask: Ask, *, stream: bool) -> Seen:
    assert not ask.choice, "Ollama's protocol cannot force a call"
    history: list[Any] = [{"role": "user", "content": ask.text}]
    if ask.earlier is not None:
        calls = [{"function": {"name": name, "arguments": given}} for name, given in ask.earlier.calls]
        history.append({"role": "assistant", "content": "", "tool_calls": calls})
        history += [{"role": "tool", "tool_name": name, "content": RESULT} for name, _ in ask.earlier.calls]
    options: dict[str, Any] = {"temperature": 0, "num_predict": ask.max_tokens}
    if ask.stop:
        options["stop"] = [ask.stop]
    more: dict[str, Any] = {"format": CITY} if ask.schema else {}
    if ask.tools:
        more["tools"] = [{"type": "function", "function": _function()}]
    with ollama.Client(host=url) as client:
        answer = client.chat(ask.model, messages=history, options=options, stream=stream, **more)
        lines: list[Any] = list(answer) if stream else [answer]
    seen = Seen(finish=lines[-1].done_reason)
    for line in lines:
        seen.text += line.message.content or ""
        seen.calls += [(call.function.name, dict(call.function.arguments)) for call in line.message.tool_calls or []]
    seen.call_ids = [""] * len(seen.calls)
    seen.usage = {"in": lines[-1].prompt_eval_count, "out": lines[-1].eval_count}
    return seen


CLIENTS: dict[str, Callable[..., Seen]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini("v1beta"),
    "gemini-v1": _gemini("v1"),
    "mistral": _mistral,
    "ollama": _ollama,
}
