"""Whole answers: providers' faults under a 200, and answers of other dialects for Anthropic's clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.messages.recordings import asker

from ds2api.dialects.messages import DIALECT
from ds2api.dialects.messages.decoder import MessagesDecoder
from ds2api.universal.envelope import PREFIX, Sealer
from ds2api.universal.errors import Kind, Problem
from ds2api.universal.events import Finished
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Call, Citation, Image, Opaque, Part, Reasoning, Refusal, Sealed, Source, Text
from ds2api.universal.response import Choice, Response, fold
from ds2api.universal.usage import Usage


def written(
    *parts: Part, reason: Any = "stop", usage: Usage | None = None, **changes: Any
) -> tuple[dict[str, Any], list[Loss]]:
    response = Response(
        "chatcmpl-1", "gpt-x", 0, [Choice(0, list(parts), Finished(reason))], usage or Usage(1, output_text=2)
    )
    raw, losses = DIALECT.write_response(response, asker(**changes))
    body = json.loads(raw)
    Message.model_validate(body)
    return body, losses


def paths(losses: list[Loss]) -> list[tuple[str, str]]:
    return [(loss.code, loss.path) for loss in losses]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, Kind.OVERLOADED),
        ({"error": {"message": "x"}}, Kind.UPSTREAM_FAILED),
        ({}, Kind.UPSTREAM_BROKEN),
        ({"type": "message", "content": "text"}, Kind.UPSTREAM_BROKEN),
    ],
)
def test_answer_that_is_none_is_named(body: dict[str, Any], kind: Kind) -> None:
    with pytest.raises(Problem) as raised:
        DIALECT.read_response(body)
    assert raised.value.error.kind is kind


def test_answer_of_another_dialect_is_a_message() -> None:
    parts = [Text("hi"), Call("call_1", "f", '{"a":1}'), Call("", "g", "")]
    body, losses = written(*parts, reason="tool_use")
    assert body["id"] == "msg_new0"
    assert body["model"] == "alias"
    assert body["content"] == [
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_new0", "name": "g", "input": {}},
    ]
    assert (body["stop_reason"], body["usage"]) == ("tool_use", {"input_tokens": 1, "output_tokens": 2})
    assert losses == []


def test_blank_text_is_no_block() -> None:  # R008
    assert written(Text(""), Reasoning(""), Call("c", "f", "{}"))[0]["content"][0]["type"] == "tool_use"


def test_broken_arguments_are_wrapped_unless_the_limit_cut_them() -> None:  # R007
    body, losses = written(Call("c", "f", "{broken"), reason="tool_use")
    assert body["content"][0]["input"] == {"_raw": "{broken"}
    assert paths(losses) == [("approximated", "choices[0].parts[0].input")]
    body, losses = written(Text("t"), Call("c", "f", "{broken"), reason="length")
    assert ([block["type"] for block in body["content"]], body["stop_reason"], losses) == (["text"], "max_tokens", [])


def test_refusal_has_its_reason() -> None:  # R013
    body, _ = written(Refusal("I can't"))
    assert (body["stop_reason"], body["content"][0]["text"]) == ("refusal", "I can't")
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


def test_foreign_proof_is_sealed_and_signature_is_never_missing() -> None:
    sealer = Sealer(b"s" * 32)
    parts = [
        Reasoning("a", Sealed("openrouter", "D")),
        Reasoning("b"),
        Reasoning("c", Sealed("anthropic_signature", "SIG")),
    ]
    body, losses = written(*parts, sealer=sealer, provider="p")
    signatures = [block["signature"] for block in body["content"]]
    assert signatures[0].startswith(PREFIX)
    assert signatures[1:] == ["", "SIG"]
    assert losses == []
    assert paths(written(*parts)[1]) == [("dropped", "choices[0].parts[0].signature")]


def test_what_has_no_form_is_reported() -> None:
    """A signature on a call or a text is no loss: the gateway itself keeps it."""
    response = Response(
        choices=[
            Choice(
                0,
                [
                    Text("x", [Citation("url", url="https://a")], signature=Sealed("gemini_signature", "S")),
                    Image(Source(data="AA")),
                    Opaque("responses", "web_search_call", {}),
                    Call("c", "f", "{}", signature=Sealed("gemini_signature", "S")),
                ],
                Finished("other", native="odd"),
                logprobs={"content": []},
            ),
            Choice(1, [Text("second")]),
        ]
    )
    body, losses = DIALECT.write_response(response, asker())
    assert paths(losses) == [
        ("dropped", "choices[1]"),
        ("dropped", "logprobs"),
        ("dropped", "choices[0].parts[0].citations"),
        ("dropped", "choices[0].parts[1]"),
        ("dropped", "choices[0].parts[2]"),
        ("approximated", "stop_reason"),
        ("estimated", "usage"),
    ]
    assert json.loads(body)["usage"]["input_tokens"] == 7


def test_call_that_cannot_be_read_is_no_answer() -> None:
    with pytest.raises(Problem) as raised:
        written(Text("x"), reason="malformed_tool")
    assert raised.value.error.kind is Kind.UPSTREAM_FAILED


def test_empty_answer_is_a_message_without_content() -> None:
    body, _ = DIALECT.write_response(Response(), asker())
    assert (json.loads(body)["content"], json.loads(body)["stop_reason"]) == ([], "end_turn")


@pytest.mark.parametrize(
    ("usage", "wire"),
    [
        (
            Usage(200, cache_read=800, output_text=3, output_reasoning=2),  # R099
            {"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}},
        ),
        (Usage(1000, cache_read=0, output_text=5), {"input_tokens": 1000, "cache_read_input_tokens": 0, "output_tokens": 5}),
        (
            Usage(6, 0, 1000, 400, 600, output_text=10),
            {
                "input_tokens": 6, "cache_creation_input_tokens": 1000, "cache_read_input_tokens": 0, "output_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
            },
        ),
        (Usage(10, tool_prompt=5, output_text=1), {"input_tokens": 15, "output_tokens": 1}),
        (Usage(output_text=1), {"input_tokens": 7, "output_tokens": 1}),
    ],
)  # fmt: skip
def test_usage_counts_no_token_twice(usage: Usage, wire: dict[str, Any]) -> None:
    assert written(Text("x"), usage=usage)[0]["usage"] == wire


BLOCKS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("text"), "text": st.sampled_from(["", "a", "é\n"])}),
        st.sampled_from([{"type": "text"}, {"type": "text", "text": "x", "citations": None}, {"type": "thinking"}, 5]),
    ),
    max_size=3,
)


@given(
    BLOCKS,
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["msg_1", "", None]),
            "model": st.sampled_from(["m", 1]),
            "role": st.just("assistant"),
            "stop_reason": st.sampled_from(["end_turn", "max_tokens", "stop_sequence", "odd", None]),
            "stop_sequence": st.sampled_from(["\n", None]),
            "stop_details": st.sampled_from([None, {"a": 1}]),
            "usage": st.sampled_from([None, {"input_tokens": 3, "output_tokens": 2}, {"output_tokens": True}]),
            "container": st.just({}),
        },
    ),
)
def test_an_answer_read_at_once_is_what_its_events_are(content: list[Any], more: dict[str, Any]) -> None:
    body = {"type": "message", "content": content, **more}
    assert DIALECT.read_response(body) == fold(MessagesDecoder().whole(body))
