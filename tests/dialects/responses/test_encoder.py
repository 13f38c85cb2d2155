"""Streams and whole answers for clients: the real SDK reads every one, each event by its own strict type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.messages import recordings as messages
from tests.dialects.responses.recordings import STREAMS, asker, decoded, streams_of
from tests.dialects.responses.sdk import events_of, response_of, streamed_response_of, typed_response

from ds2api.dialects.contract import Target
from ds2api.dialects.registry import DIALECTS
from ds2api.dialects.responses import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.envelope import PREFIX, Sealer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.events import FinishReason
from ds2api.universal.parts import Call, Citation, Reasoning, Sealed, Text
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.restore import Restore, Restorer
from ds2api.universal.usage import Usage
from ds2api.wire.sse import SseParser

SEALER = Sealer(b"s" * 32)
USAGE = Usage(input_uncached=10, cache_read=900, cache_write=90, output_text=5)
PREFIXES = {"reasoning": "rs_", "message": "msg_", "function_call": "fc_", "custom_tool_call": "ctc_"}


def encoded(events: Sequence[ev.Event], **changes: Any) -> bytes:
    return DIALECT.encoder(asker(**changes)).encode(events)


def datas(stream: bytes) -> list[dict[str, Any]]:
    found = [event for event in SseParser().feed(stream) if not event.comment]
    values = [json.loads(event.data) for event in found]
    assert [event.name.decode() for event in found] == [value["type"] for value in values]
    assert [value["sequence_number"] for value in values] == list(range(len(values)))
    return values


def comments(stream: bytes) -> list[str]:
    return [event.data.decode() for event in SseParser().feed(stream) if event.comment]


def text(part: int, *pieces: str) -> list[ev.Event]:
    return [ev.PartStarted(part, "text"), *(ev.TextDelta(part, one) for one in pieces), ev.PartFinished(part)]


def thought(part: int, *pieces: str, proof: Sealed | None = None) -> list[ev.Event]:
    sealed: list[ev.Event] = [] if proof is None else [ev.ReasoningSealed(part, proof)]
    deltas: list[ev.Event] = [ev.ReasoningDelta(part, one) for one in pieces]
    return [ev.PartStarted(part, "reasoning"), *deltas, *sealed, ev.PartFinished(part)]


def call(part: int, name: str, *pieces: str, custom: bool = False) -> list[ev.Event]:
    deltas: list[ev.Event] = [ev.ArgumentsDelta(part, piece) for piece in pieces]
    start = ev.PartStarted(part, "call", id=f"call_{part}", name=name, custom=custom)
    return [start, *deltas, ev.PartFinished(part)]


def answer(*parts: list[ev.Event], reason: FinishReason = "stop", usage: Usage | None = USAGE) -> list[ev.Event]:
    events: list[ev.Event] = [ev.Started("x", "m", 1), *(event for part in parts for event in part)]
    events.append(ev.Finished(reason))
    return [*events, *([] if usage is None else [ev.UsageSeen(usage)]), ev.Ended()]


def test_r022_r023_the_full_grammar_of_every_item() -> None:
    events = answer(
        thought(0, "I ", "see", proof=Sealed("anthropic_signature", "SIG")),
        text(1, "Hel", "lo"),
        call(2, "look", '{"a"', ":1}"),
        call(3, "patch", "*** Begin\n", custom=True),
        reason="tool_use",
    )
    stream = encoded(events, sealer=SEALER)
    kinds = [one["type"].removeprefix("response.") for one in datas(stream)]
    assert kinds == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    events_of(stream)
    values = datas(stream)
    items = [one["item"] for one in values if one["type"] == "response.output_item.done"]
    assert values[-1]["response"]["output"] == items
    assert all(item["id"].startswith(PREFIXES[item["type"]]) for item in items)
    assert items[0]["encrypted_content"].startswith(PREFIX)
    assert [item.get("call_id") for item in items] == [None, None, "call_2", "call_3"]
    assert (items[2]["arguments"], items[3]["input"]) == ('{"a":1}', "*** Begin\n")
    assert len({one["response"]["id"] for one in values if "response" in one}) == 1
    final = streamed_response_of(stream)
    typed_response(final)
    assert final.output_text == "Hello"
    assert final.usage.input_tokens == 1000


def test_r002_interleaved_calls_come_one_after_the_other() -> None:
    first, second = call(0, "f", '{"a"', ":1}"), call(1, "g", '{"b"', ":2}")
    mixed = [one for pair in zip(first, second, strict=True) for one in pair]
    final = streamed_response_of(encoded(answer(mixed, reason="tool_use")))
    assert [(item.name, item.arguments) for item in final.output] == [("f", '{"a":1}'), ("g", '{"b":2}')]


@pytest.mark.parametrize("arguments", [["{}"], [""], []], ids=["object", "empty", "none"])
def test_r022_arguments_done_is_always_sent(arguments: list[str]) -> None:
    values = datas(encoded(answer(call(0, "f", *arguments), reason="tool_use")))
    deltas = [one["delta"] for one in values if one["type"] == "response.function_call_arguments.delta"]
    done = [one["arguments"] for one in values if one["type"] == "response.function_call_arguments.done"]
    assert ("".join(deltas), done) == ("{}", ["{}"])


@pytest.mark.parametrize(("reason", "status"), [("length", "incomplete"), ("stop", "completed")])
def test_r007_a_cut_call_is_incomplete(reason: FinishReason, status: str) -> None:
    stream = encoded(answer(call(0, "f", '{"path":"x'), reason=reason))
    values = datas(stream)
    items = [one["item"] for one in values if one["type"] == "response.output_item.done"]
    assert [item["status"] for item in items] == [status]
    assert values[-1]["response"]["output"] == items
    assert values[-1]["type"] == f"response.{status}"
    events_of(stream)


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None), ("stop_sequence", "completed", None), ("tool_use", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("context_full", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("pause", "incomplete", None), ("other", "completed", None), ("continuation", "completed", None),
    ],
)  # fmt: skip
def test_r041_every_ending_is_a_legal_one(reason: FinishReason, status: str, details: Any) -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode(answer(text(0, "x"), reason=reason))
    last = datas(stream)[-1]
    assert last["type"] == f"response.{status}"
    assert (last["response"]["status"], last["response"]["incomplete_details"]) == (status, details)
    assert bool(encoder.losses) is (reason in {"pause", "other", "continuation"})
    assert len(comments(stream)) == len(encoder.losses)
    events_of(stream)


@pytest.mark.parametrize("has_words", [True, False])
def test_r013_a_refusal_is_a_part(has_words: bool) -> None:
    parts: list[ev.Event] = [ev.PartStarted(0, "refusal"), ev.TextDelta(0, "I can't"), ev.PartFinished(0)]
    stream = encoded(answer(parts if has_words else [], reason="refusal"))
    kinds = [one["type"] for one in datas(stream)]
    assert "response.refusal.delta" in kinds
    assert "response.refusal.done" in kinds
    content = streamed_response_of(stream).output[0].content[0]
    assert content.refusal == ("I can't" if has_words else "The model refused to answer.")


@pytest.mark.parametrize("kind", [Kind.UPSTREAM_TRUNCATED, Kind.RATE_LIMITED, Kind.CONTEXT_TOO_LONG, Kind.INTERNAL])
@pytest.mark.parametrize("has_begun", [True, False])
def test_r031_a_failure_is_the_last_event_and_never_a_silent_end(kind: Kind, has_begun: bool) -> None:
    failed = ev.Failed(Error(Fault.PROVIDER, kind, "it broke"))
    begun = [ev.Started("x", "m", 1), *text(0, "Hello")[:2]] if has_begun else []
    stream = encoded([*begun, failed])
    values = datas(stream)
    assert values[0]["type"] == "response.created"
    assert values[-1]["type"] == "response.failed"
    assert values[-1]["response"]["error"]["message"] == "it broke"
    assert [one["type"] for one in values if one["type"] in {"response.completed", "response.incomplete"}] == []
    if kind is Kind.CONTEXT_TOO_LONG:  # no word of the SDK's type, but the one that Codex compacts upon
        assert values[-1]["response"]["error"]["code"] == "context_length_exceeded"
    else:
        assert events_of(stream)[-1].response.error.message == "it broke"
    with pytest.raises(RuntimeError):  # `streams.md` §0: the SDK's helper says so
        streamed_response_of(stream)


def test_r028_a_malformed_call_is_no_success() -> None:
    events = answer(text(0, "x"), reason="malformed_tool")
    assert datas(encoded(events))[-1]["type"] == "response.failed"
    with pytest.raises(Problem, match="malformed"):
        DIALECT.write_response(fold(events), asker())


def test_r008_no_item_that_says_nothing() -> None:
    values = datas(encoded(answer(text(0), thought(1), call(2, "f", "{}"), reason="tool_use")))
    assert [item["type"] for item in values[-1]["response"]["output"]] == ["function_call"]


def test_r011_usage_that_nobody_counted_is_null() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode(answer(text(0, "x"), usage=None))
    assert datas(stream)[-1]["response"]["usage"] is None
    assert [loss.path for loss in encoder.losses] == ["usage"]
    zero = Usage(input_uncached=0, output_text=0)
    assert datas(encoded(answer(text(0, "x"), usage=zero)))[-1]["response"]["usage"]["total_tokens"] == 0


def test_r088_usage_adds_up() -> None:
    assert datas(encoded(answer(text(0, "x"))))[-1]["response"]["usage"] == {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 90},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1005,
    }


def test_r062_a_wrapped_custom_tool_is_called_as_custom_again() -> None:
    restorer = Restorer(Restore(custom_tools={"apply_patch"}))
    events = restorer.events(answer(call(0, "apply_patch", '{"input":', '"*** Begin\\n"}'), reason="tool_use"))
    item = streamed_response_of(encoded(events)).output[0]
    assert (item.type, item.call_id, item.input) == ("custom_tool_call", "call_0", "*** Begin\n")


def test_r086_a_namespaces_function_is_called_in_its_namespace() -> None:
    body = {"model": "m", "input": "x", "tools": [
        {"type": "namespace", "name": "crm", "description": "d", "tools": [{"type": "function", "name": "find"}]}]}  # fmt: skip
    request = DIALECT.read_request(body, {}, "/v1/responses")
    assert [tool.name for tool in request.tools] == ["crm__find"]
    stream = encoded(answer(call(0, "crm__find", "{}"), reason="tool_use"), request=request)
    item = streamed_response_of(stream).output[0]
    assert (item.namespace, item.name) == ("crm", "find")


def test_citations_and_log_probabilities() -> None:
    events = answer([
        ev.PartStarted(0, "text"),
        ev.Logprobs({"content": [{"token": "hé", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}),
        ev.TextDelta(0, "hé"),
        ev.CitationSeen(0, Citation("url", "https://a", "A")),
        ev.PartFinished(0),
    ])  # fmt: skip
    stream = encoded(events)
    events_of(stream)
    content = streamed_response_of(stream).output[0].content[0]
    assert [(one.url, one.start_index, one.end_index) for one in content.annotations] == [("https://a", 0, 2)]
    assert content.logprobs[0].bytes == list("hé".encode())
    encoder = DIALECT.encoder(asker())
    encoder.encode(answer([ev.PartStarted(0, "text"), ev.TextDelta(0, "x"), ev.CitationSeen(0, Citation("document"))]))
    assert [loss.path for loss in encoder.losses] == ["citations"]


def test_what_has_no_form_is_said_once() -> None:
    encoder = DIALECT.encoder(asker())
    opaque: list[ev.Event] = [
        ev.PartStarted(0, "opaque"), ev.OpaqueSeen("messages", "server_tool_use", {}, 0), ev.PartFinished(0),
        ev.PartStarted(1, "media"), ev.MediaSeen(1, "image/png", "AA"), ev.PartFinished(1),
        ev.PartStarted(2, "text", 1), ev.TextDelta(2, "other choice", 1), ev.PartFinished(2, 1),
        *thought(3, proof=Sealed("gemini_signature", "G")),
    ]  # fmt: skip
    stream = encoder.encode(answer(opaque, text(4, "x")))
    assert sorted(loss.path for loss in encoder.losses) == ["choices", "media", "server_tool_use", "signature"]
    assert len(comments(stream)) == 4
    assert streamed_response_of(stream).output_text == "x"


def request_from(output: list[dict[str, Any]], results: list[dict[str, Any]]) -> Any:
    body = {"model": "m", "input": [{"role": "user", "content": "x"}, *output, *results]}
    return DIALECT.read_request(body, {}, "/v1/responses")


@pytest.mark.parametrize("proof", [Sealed("anthropic_signature", "SIG=="), Sealed("anthropic_redacted", "DATA")])
def test_another_providers_proof_comes_back_to_it_byte_for_byte(proof: Sealed) -> None:
    pieces = ["I ", "see"] if proof.kind == "anthropic_signature" else []
    made = {"provider": "anthropic", "upstream_model": "claude-sonnet-4-5", "account": "a1"}
    events = answer(thought(0, *pieces, proof=proof), call(1, "f", "{}"), reason="tool_use")
    output = datas(encoded(events, sealer=SEALER, **made))[-1]["response"]["output"]
    request = request_from(output, [{"type": "function_call_output", "call_id": "call_1", "output": "ok"}])
    peeked = DIALECT.peek({"model": "m", "input": output}, "/v1/responses")
    assert peeked.pins == (output[0]["encrypted_content"],)
    target = Target("anthropic", "claude-sonnet-4-5", account="a1", sealer=SEALER)
    body = json.loads(DIALECTS["messages"].write_request(request, target).body)
    block = body["messages"][1]["content"][0]
    assert block.get("signature", block.get("data")) == proof.data
    assert block.get("thinking", "") == "".join(pieces)
    elsewhere = DIALECTS["messages"].write_request(request, Target("anthropic", "claude-opus-4-1", sealer=SEALER))
    assert b"SIG" not in elsewhere.body
    assert [loss.path for loss in elsewhere.losses] == ["input[1]"]


def test_a_signature_on_a_call_comes_back_on_the_call() -> None:
    """Gemini's proofs belong to calls: they travel in an item of their own right behind it."""
    signed = [*call(0, "f", "{}")[:-1], ev.ReasoningSealed(0, Sealed("gemini_signature", "G==")), ev.PartFinished(0)]
    stream = encoded(answer(signed, text(1, "x"), reason="tool_use"), sealer=SEALER, provider="g", upstream_model="m")
    events_of(stream)
    output = datas(stream)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["function_call", "reasoning", "message"]
    request = request_from(output, [{"type": "function_call_output", "call_id": "call_0", "output": "ok"}])
    made, said = request.turns[1].parts
    assert isinstance(made, Call)
    assert isinstance(said, Text)
    assert made.signature is not None
    opened = SEALER.open(made.signature.data)
    assert opened is not None
    assert (opened.kind, opened.data, opened.provider) == ("gemini_signature", "G==", "g")


def test_openais_own_proof_goes_through_other_clients_and_back() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I see"}]}
    body = {"id": "resp_1", "output": [{**item, "encrypted_content": "ENC=="}, {
        "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}]}  # fmt: skip
    response = DIALECT.read_response(body)
    made = {"sealer": SEALER, "provider": "openai", "upstream_model": "gpt-5.4"}
    message = json.loads(DIALECTS["messages"].write_response(response, asker(**made))[0])
    question = {"model": "m", "max_tokens": 99, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "ok"}]}]}  # fmt: skip
    request = DIALECTS["messages"].read_request(question, {}, "/v1/messages")
    written = json.loads(DIALECT.write_request(request, Target("openai", "gpt-5.4", sealer=SEALER)).body)
    assert written["input"][1] == {**item, "encrypted_content": "ENC=="}
    elsewhere = DIALECT.write_request(request, Target("azure", "gpt-5.4", sealer=SEALER))
    assert b"ENC" not in elsewhere.body
    assert [loss.path for loss in elsewhere.losses] == ["messages[1].content[0]"]


def test_an_answer_repeats_its_request_and_is_kept() -> None:
    body = {
        "model": "alias", "input": "x", "instructions": "Be brief.", "temperature": 0.2, "metadata": {"a": "b"},
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}], "tool_choice": "required",
        "text": {"format": {"type": "json_object"}, "verbosity": "low"}, "reasoning": {"effort": "low"},
        "parallel_tool_calls": False, "max_output_tokens": 99, "prompt_cache_key": "k", "truncation": "auto",
        "safety_identifier": "u",
    }  # fmt: skip
    kept: list[dict[str, Any]] = []
    asking = asker(request=DIALECT.read_request(body, {}, "/v1/responses"), keep=kept.append)
    written, losses = DIALECT.write_response(fold(answer(text(0, "x"))), asking)
    value = json.loads(written)
    assert {name: value[name] for name in body if name != "input"} == {
        name: one for name, one in body.items() if name != "input"
    }
    assert losses == []
    assert value["store"] is True
    assert kept == [value]
    assert response_of(written).output_text == "x"
    assert json.loads(DIALECT.write_response(fold(answer(text(0, "x"))), asker())[0])["store"] is False


def test_every_recorded_stream_is_read_by_the_sdk_again() -> None:
    for recording in STREAMS:
        for stream in streams_of(recording):
            events = decoded(stream)
            if isinstance(events[-1], ev.Failed) or recording.name == "openai-openai-phase.1":
                continue
            response = fold(events)
            final = streamed_response_of(DIALECT.encoder(asker(response.model or "m")).encode(events))
            texts = [part.text for part in response.choices[0].parts if isinstance(part, Text)]
            assert final.output_text == "".join(texts), recording.name
            assert final.id == response.id


def test_every_recorded_stream_of_messages_reaches_the_sdk_of_responses() -> None:
    for recording in messages.STREAMS:
        for stream in messages.streams_of(recording):
            decoder = DIALECTS["messages"].decoder()
            events = [*decoder.feed(stream), *decoder.end()]
            if isinstance(events[-1], ev.Failed):
                continue
            written = DIALECT.encoder(asker(sealer=SEALER)).encode(events)
            events_of(written)
            final = datas(written)[-1]["response"]
            texts = [part.text for part in fold(events).choices[0].parts if isinstance(part, Text)]
            said = [
                part["text"]
                for item in final["output"]
                if item["type"] == "message"
                for part in item["content"]
                if "text" in part
            ]
            assert "".join(said) == "".join(texts), recording.name


def test_keep_alive_may_stand_between_any_two_writes() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.alive()
    for event in answer(text(0, "Hello"), call(1, "f", "{}"), reason="tool_use"):
        stream += encoder.encode([event]) + encoder.alive()
    assert streamed_response_of(stream).output_text == "Hello"
    assert encoder.alive() == b""
    assert encoder.encode([ev.Ended()]) == b""


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
PARTS = st.lists(
    st.one_of(
        st.builds(Text, PLAIN),
        st.builds(lambda one: Reasoning(one, summary=True), PLAIN),
        st.builds(
            lambda one, name: Call(f"call_{name}", name, json.dumps({"a": one})), PLAIN, st.sampled_from(["f", "g"])
        ),
        st.builds(lambda one, name: Call(f"call_{name}", name, one, custom=True), PLAIN, st.sampled_from(["h", "i"])),
    ),
    max_size=5,
)


@given(parts=PARTS)
def test_what_it_writes_means_the_same_to_its_own_decoder_and_as_a_whole(parts: list[Any]) -> None:
    reason: FinishReason = "tool_use" if any(isinstance(one, Call) for one in parts) else "stop"
    response = Response("x", "m", 1, [Choice(0, parts, ev.Finished(reason))], Usage(input_uncached=1, output_text=2))
    streamed = fold(decoded(encoded(play(response))))
    whole = DIALECT.read_response(json.loads(DIALECT.write_response(response, asker())[0]))

    def said(one: Response) -> list[Any]:
        found = [part for choice in one.choices for part in choice.parts]
        return [
            (type(part).__name__, part.text) if not isinstance(part, Call) else (part.id, part.name, part.arguments, part.custom)
            for part in found
        ]  # fmt: skip

    assert said(streamed) == said(whole) == said(response)
    assert streamed.choices[0].finish is not None
    assert streamed.choices[0].finish.reason == reason


def test_delta_is_what_the_json_door_would_write() -> None:
    """The plain twin of the hot path."""
    tricky = 'a"\\\n\u2028é😀%d'
    delta = next(one for one in datas(encoded(answer(text(0, tricky)))) if one["type"] == "response.output_text.delta")
    assert delta == {
        "type": "response.output_text.delta", "item_id": "msg_new1", "output_index": 0, "content_index": 0,
        "delta": tricky, "logprobs": [], "sequence_number": 4,
    }  # fmt: skip
