"""How families of models write tool calls, as data: one row a family.

A row says what a call looks like (`opener` … `closer`, and what stands between), and how tools, calls and results are
put into the prompt. The reader of answers knows all rows at once, since a model falls back into what it was trained
on whatever it is told; the row of the model decides what it is told.

Sources: mistral-common (`tokens/instruct`, v1 to v11), the chat templates of Hermes 2 Pro and Qwen 2.5, Meta's model
card of Llama 3.1 (JSON based tool calling), the templates of DeepSeek V3 and V3.1, Moonshot's tool call guidance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["FORMATS", "Format", "format_for"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write calls.

    A section begins with `opener` and ends with `closer` ("": with its last call). A call in it stands between
    `item_opener` and `item_closer` (both may be ""). `body` "object": a JSON object with the name and the arguments,
    or a list of such; "named": the name, `separator`, and the arguments. `opener` "" is a call without any mark, which
    must be the whole answer.
    """

    name: str
    models: tuple[str, ...]
    opener: str
    closer: str = ""
    item_opener: str = ""
    item_closer: str = ""
    separator: str = ""
    body: Literal["object", "named"] = "object"
    arguments_key: str = "arguments"
    tools_opener: str = "<tools>"
    tools_closer: str = "</tools>"
    result_opener: str = "<tool_response>"
    result_closer: str = "</tool_response>"
    example: str = ""  # a call as the model is shown it


_OURS = Format(
    "plain",
    (),
    "<tool_call>",
    "</tool_call>",
    example='<tool_call>{"name": "NAME", "arguments": {"PARAMETER": "VALUE"}}</tool_call>',
)

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format(
            "mistral",
            ("mistral", "mixtral", "codestral", "ministral", "magistral", "devstral", "pixtral"),
            "[TOOL_CALLS]",
            tools_opener="[AVAILABLE_TOOLS]",
            tools_closer="[/AVAILABLE_TOOLS]",
            result_opener="[TOOL_RESULTS]",
            result_closer="[/TOOL_RESULTS]",
            example='[TOOL_CALLS] [{"name": "NAME", "arguments": {"PARAMETER": "VALUE"}}]',
        ),
        Format(
            "hermes",
            ("hermes", "qwen", "qwq"),
            "<tool_call>",
            "</tool_call>",
            example='<tool_call>\n{"name": "NAME", "arguments": {"PARAMETER": "VALUE"}}\n</tool_call>',
        ),
        Format(
            "llama3",
            ("llama",),
            "<|python_tag|>",
            arguments_key="parameters",
            example='{"name": "NAME", "parameters": {"PARAMETER": "VALUE"}}',
        ),
        Format(
            "deepseek",
            ("deepseek",),
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁end｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁call▁end｜>",
            "<｜tool▁sep｜>",
            "named",
            result_opener="<｜tool▁output▁begin｜>",
            result_closer="<｜tool▁output▁end｜>",
            example="<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>"
            '{"PARAMETER": "VALUE"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        ),
        Format(
            "kimi",
            ("kimi", "moonshot"),
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
            "<|tool_call_begin|>",
            "<|tool_call_end|>",
            "<|tool_call_argument_begin|>",
            "named",
            example="<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>"
            '{"PARAMETER": "VALUE"}<|tool_call_end|><|tool_calls_section_end|>',
        ),
        _OURS,
    )
}


def format_for(model: str) -> Format:
    """The format of the family that `model`'s name tells; our own where it tells none."""
    words = set(re.findall(r"[a-z]+", model.lower()))
    for one in FORMATS.values():
        if any(any(word.startswith(family) for word in words) for family in one.models):
            return one
    return _OURS
