"""Streams for clients: the real SDK reads every one, and the hot path writes what its plain twin writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.messages.recordings import RESPONSES, STREAMS, Recording, asker, streams_of
from tests.dialects.messages.sdk import message_of, raw_events_of

from ds2api import jsons
from ds2api.dialects.messages import DIALECT
from ds2api.universal import events as ev
from ds2api.universal.envelope import PREFIX, Sealer
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.parts import Citation, Sealed
from ds2api.universal.response import fold, play
from ds2api.universal.usage import Usage
from ds2api.wire.sse import SseParser


def encoded(events: Sequence[ev.Event], **changes: Any) -> bytes:
    return DIALECT.encoder(asker(**changes)).encode(events)


def datas(stream: bytes) -> list[dict[str, Any]]:
    found = [event for event in SseParser().feed(stream) if not event.comment]
    values = [json.loads(event.data) for event in found]
    assert [event.name.decode() for event in found] == [value["type"] for value in values]
    return values


def comments(stream: bytes) -> list[str]:
    return [event.data.decode() for event in SseParser().feed(stream) if event.comment]


def call(part: int, id_: str, name: str, *pieces: str) -> list[ev.Event]:
    deltas: list[ev.Event] = [ev.ArgumentsDelta(part, piece) for piece in pieces]
    return [ev.PartStarted(part, "call", id=id_, name=name), *deltas, ev.PartFinished(part)]


def text(part: int, *pieces: str) -> list[ev.Event]:
    deltas: list[ev.Event] = [ev.TextDelta(part, piece) for piece in pieces]
    return [ev.PartStarted(part, "text"), *deltas, ev.PartFinished(part)]


SHOWN = {
    "text": ("text",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input"),
}
END: list[ev.Event] = [ev.UsageSeen(Usage(input_uncached=3, output_text=4)), ev.Ended()]


@pytest.mark.parametrize("recording", STREAMS, ids=lambda one: one.name)
def test_sdk_reads_every_recorded_stream_after_it_was_written_again(recording: Recording) -> None:
    for stream in streams_of(recording):
        decoder = DIALECT.decoder()
        events = decoder.feed(stream)
        if isinstance(events[-1], ev.Failed):
            with pytest.raises(anthropic.APIStatusError):
                message_of(encoded(events))
            continue
        response = fold(events)
        message = message_of(encoded(events))
        assert message.id == response.id
        assert message.model == "alias"
        texts = [block.text for block in message.content if block.type == "text"]
        assert texts == [part.text for part in response.choices[0].parts if type(part).__name__ == "Text"]
        assert response.choices[0].finish is not None
        assert message.stop_reason == response.choices[0].finish.native


@pytest.mark.parametrize("recording", RESPONSES, ids=lambda one: one.name)
def test_sdk_reads_a_whole_answer_played_as_a_stream(recording: Recording) -> None:
    message = message_of(encoded(play(DIALECT.read_response(recording.response))))
    wanted = [block for block in recording.response["content"] if block["type"] in SHOWN]
    shown = [block for block in message.content if block.type in SHOWN]
    assert [{name: getattr(block, name) for name in SHOWN[block.type]} for block in shown] == [
        {name: block[name] for name in SHOWN[block["type"]]} for block in wanted
    ]


def test_interleaved_calls_become_blocks_one_after_the_other() -> None:  # R002
    events: list[ev.Event] = [
        ev.Started(),
        ev.PartStarted(0, "call", id="c0", name="f0"),
        ev.PartStarted(1, "call", id="c1", name="f1"),
        ev.ArgumentsDelta(0, '{"a"'),
        ev.ArgumentsDelta(1, '{"b"'),
        ev.ArgumentsDelta(0, ":1}"),
        ev.ArgumentsDelta(1, ":2}"),
        ev.PartFinished(0),
        ev.PartFinished(1),
        ev.Finished("tool_use"),
        *END,
    ]
    stream = encoded(events)
    order = [
        (data["type"], data["index"])
        for data in datas(stream)
        if data["type"].endswith(("_start", "_stop")) and "index" in data
    ]
    assert order == [
        ("content_block_start", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_stop", 1),
    ]
    message = message_of(stream)
    assert [(block.id, block.input) for block in message.content] == [("c0", {"a": 1}), ("c1", {"b": 2})]


def test_two_calls_are_two_blocks_with_their_own_arguments() -> None:  # R001
    stream = encoded(
        [ev.Started(), *call(0, "call_a", "t1", "{}"), *call(1, "call_b", "t2", "{}"), ev.Finished("tool_use"), *END]
    )
    message = message_of(stream)
    assert [(block.id, block.name, block.input) for block in message.content] == [
        ("call_a", "t1", {}),
        ("call_b", "t2", {}),
    ]
    assert message.stop_reason == "tool_use"


def test_usage_never_ends_the_message() -> None:  # R004
    usage = ev.UsageSeen(Usage(input_uncached=1, output_text=1))
    events: list[ev.Event] = [ev.Started(), ev.PartStarted(0, "call", id="c", name="f"), usage]
    events += [ev.ArgumentsDelta(0, '{"p":'), usage, ev.ArgumentsDelta(0, "1}"), usage, ev.PartFinished(0)]
    events += [ev.Finished("tool_use"), *END]
    stream = encoded(events)
    assert [data["type"] for data in datas(stream)].count("message_delta") == 1
    assert message_of(stream).content[0].input == {"p": 1}
    assert message_of(stream).usage.output_tokens == 4


@pytest.mark.parametrize("arguments", ["", "{}", '{"p":1}'])
def test_r017_arguments_come_in_deltas_only(arguments: str) -> None:  # R017
    stream = encoded([ev.Started(), *call(0, "c", "f", arguments), ev.Finished("tool_use"), *END])
    start = next(data for data in datas(stream) if data["type"] == "content_block_start")
    assert start["content_block"]["input"] == {}
    pieces = [data["delta"]["partial_json"] for data in datas(stream) if data["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == json.loads(arguments or "{}")


def test_no_block_is_empty() -> None:  # R008
    events = [
        ev.Started(),
        *text(0, ""),
        ev.PartStarted(1, "reasoning"),
        ev.PartFinished(1),
        *call(2, "c", "w", '{"p":1}'),
    ]
    message = message_of(encoded([*events, ev.Finished("stop"), *END]))
    assert [block.type for block in message.content] == ["tool_use"]
    assert message.stop_reason == "tool_use"


def test_call_cut_by_the_limit_is_no_tool_use() -> None:  # R007
    cut = call(0, "c", "f", '{"path":"x","text":"abc')
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.Started(), *cut, ev.Finished("length"), *END])
    assert message_of(stream).stop_reason == "max_tokens"
    assert encoder.losses == []
    failed = encoded([ev.Started(), *cut[:-1], ev.Failed(Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "cut"))])
    assert datas(failed)[-1]["type"] == "error"
    assert b"message_stop" not in failed
    assert b"tool_use" not in failed.split(b"content_block_delta", 1)[1]


@pytest.mark.parametrize(("arguments", "input_"), [("[1,2]", {"_raw": "[1,2]"}), ("plain", {"_raw": "plain"})])
def test_arguments_that_are_no_object_are_wrapped_and_reported(arguments: str, input_: dict[str, str]) -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.Started(), *call(0, "c", "f", *arguments), ev.Finished("tool_use"), *END])
    assert message_of(stream).content[0].input == input_
    assert [loss.code for loss in encoder.losses] == ["approximated"]


def test_broken_object_before_another_part_is_reported() -> None:
    encoder = DIALECT.encoder(asker())
    encoder.encode([ev.Started(), *call(0, "c", "f", '{"a":'), *text(1, "x"), ev.Finished("length"), *END])
    assert [loss.code for loss in encoder.losses] == ["approximated"]


def test_custom_call_has_its_text_as_input() -> None:
    events: list[ev.Event] = [ev.Started(), ev.PartStarted(0, "call", id="c", name="f", custom=True)]
    events += [
        ev.ArgumentsDelta(0, "*** Be"),
        ev.ArgumentsDelta(0, "gin\n"),
        ev.PartFinished(0),
        ev.Finished("tool_use"),
        *END,
    ]
    assert message_of(encoded(events)).content[0].input == {"input": "*** Begin\n"}


def test_r016_signature_is_one_delta_after_the_thinking() -> None:  # R016
    events: list[ev.Event] = [
        ev.Started(),
        ev.PartStarted(0, "reasoning"),
        ev.ReasoningDelta(0, "a"),
        ev.ReasoningDelta(0, "b"),
    ]
    events += [ev.ReasoningSealed(0, Sealed("anthropic_signature", "SIG")), ev.PartFinished(0), *text(1, "x")]
    stream = encoded([*events, ev.Finished("stop"), *END])
    kinds = [data["delta"]["type"] for data in datas(stream) if data["type"] == "content_block_delta"]
    assert kinds == ["thinking_delta", "thinking_delta", "signature_delta", "text_delta"]
    thinking = message_of(stream).content[0]
    assert (thinking.thinking, thinking.signature) == ("ab", "SIG")


def test_foreign_proof_travels_in_our_envelope() -> None:
    sealer = Sealer(b"s" * 32)
    sealed = Sealed("openrouter", '{"type":"reasoning.encrypted","data":"D"}')
    events: list[ev.Event] = [ev.Started(), ev.PartStarted(0, "reasoning"), ev.ReasoningDelta(0, "a")]
    events += [ev.ReasoningSealed(0, sealed), ev.PartFinished(0), ev.Finished("stop"), *END]
    given = {"sealer": sealer, "provider": "p", "upstream_model": "m", "account": "h"}
    signature = message_of(encoded(events, **given)).content[0].signature
    assert signature.startswith(PREFIX)
    assert sealer.open(signature) == Sealed(sealed.kind, sealed.data, "p", "m", "h")
    encoder = DIALECT.encoder(asker())
    encoder.encode(events)
    assert [loss.path for loss in encoder.losses] == ["signature"]


def test_each_delta_stands_in_a_block_of_its_kind_and_the_message_starts_once() -> None:  # R026
    events: list[ev.Event] = [ev.Started(id="chatcmpl-1"), ev.Started(id="chatcmpl-1"), ev.PartStarted(0, "reasoning")]
    events += [ev.ReasoningDelta(0, "r"), ev.PartFinished(0), *text(1, "t"), ev.Finished("stop"), *END]
    stream = datas(encoded(events))
    assert [data["type"] for data in stream].count("message_start") == 1
    assert stream[0]["message"]["id"] == "msg_new0"
    kinds = {data["index"]: data["content_block"]["type"] for data in stream if data["type"] == "content_block_start"}
    for data in stream:
        if data["type"] == "content_block_delta":
            assert {"thinking_delta": "thinking", "text_delta": "text"}[data["delta"]["type"]] == kinds[data["index"]]


def test_r096_start_has_an_estimate_and_the_end_the_truth() -> None:  # R096
    usage = Usage(input_uncached=123, output_text=45)
    stream = datas(
        encoded([ev.Started(), *text(0, "x"), ev.Finished("stop"), ev.UsageSeen(usage), ev.Ended()], input_estimate=99)
    )
    assert stream[0]["message"]["usage"]["input_tokens"] == 99
    assert stream[-2]["usage"] == {"input_tokens": 123, "output_tokens": 45}


def test_usage_that_nobody_gave_is_reported_as_estimated() -> None:  # R011
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.Started(), *text(0, "12345678"), ev.Finished("stop"), ev.Ended()])
    assert comments(stream) == [" x-ds2api-warning estimated field=usage"]
    assert datas(stream)[-2]["usage"] == {"input_tokens": 7, "output_tokens": 2}


def test_refusal_is_text_and_a_reason() -> None:  # R013
    events: list[ev.Event] = [
        ev.Started(),
        ev.PartStarted(0, "refusal"),
        ev.TextDelta(0, "I can't"),
        ev.PartFinished(0),
    ]
    message = message_of(encoded([*events, ev.Finished("stop"), *END]))
    assert (message.stop_reason, message.content[0].text) == ("refusal", "I can't")
    assert message.stop_details.type == "refusal"


REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "context_full": "model_context_window_exceeded",
    "refusal": "refusal",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "stop_sequence": "stop_sequence",
    "other": "end_turn",
    "continuation": "end_turn",
    "tool_use": "end_turn",  # without a call there is none to run
}


@pytest.mark.parametrize(("reason", "word"), REASONS.items())
def test_every_reason_is_a_word_of_the_sdk(reason: ev.FinishReason, word: str) -> None:
    events = [ev.Started(), *text(0, "x"), ev.Finished(reason, stop_sequence="S"), *END]
    encoder = DIALECT.encoder(asker())
    message = message_of(encoder.encode(events))
    assert message.stop_reason == word
    assert message.stop_sequence == ("S" if reason == "stop_sequence" else None)
    assert bool(encoder.losses) is (reason in ("other", "continuation"))


def test_call_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(anthropic.APIStatusError):
        message_of(encoded([ev.Started(), *text(0, "x"), ev.Finished("malformed_tool"), *END]))


def test_failure_is_the_last_event_and_nothing_follows() -> None:  # R031
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.Started(), ev.PartStarted(0, "text"), ev.TextDelta(0, "a")])
    stream += encoder.encode(
        [ev.Failed(Error(Fault.PROVIDER, Kind.OVERLOADED, "at 10.0.0.1", status=529, type="overloaded_error"))]
    )
    stream += encoder.encode([ev.TextDelta(0, "b"), ev.Ended()]) + encoder.alive()
    last = datas(stream)[-1]
    assert last == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "the provider is overloaded"},
        "request_id": "req_own",
    }
    with pytest.raises(anthropic.APIStatusError) as raised:
        raw_events_of(stream)
    assert raised.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]


def test_losses_stand_before_the_end_as_comments() -> None:
    events = [
        ev.Started(),
        *text(0, "x"),
        ev.CitationSeen(0, Citation("url", url="https://a")),
        ev.Logprobs({}),
        ev.Finished("stop"),
        *END,
    ]
    events[3], events[4] = events[4], events[3]  # the citation belongs into the open part
    stream = encoded(events)
    assert comments(stream) == [" x-ds2api-warning dropped field=citations", " x-ds2api-warning dropped field=logprobs"]
    assert stream.index(b": x-ds2api") < stream.index(b"event: message_delta")
    assert message_of(stream).content[0].text == "x"


def test_keep_alive_is_legal_at_any_time() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.alive() + encoder.encode([ev.Started()]) + encoder.alive()
    stream += (
        encoder.encode([*text(0, "x"), ev.Alive()]) + encoder.alive() + encoder.encode([ev.Finished("stop"), *END])
    )
    assert message_of(stream).content[0].text == "x"
    assert comments(stream) == [" keep-alive"]
    assert encoder.alive() == b""


def test_other_choices_are_left_out_and_reported() -> None:
    encoder = DIALECT.encoder(asker())
    second: list[ev.Event] = [
        ev.PartStarted(1, "text", 1),
        ev.TextDelta(1, "no", 1),
        ev.PartFinished(1, 1),
        ev.Finished("stop", 1),
    ]
    stream = encoder.encode([ev.Started(), *text(0, "yes"), *second, ev.Finished("stop"), *END])
    assert [block.text for block in message_of(stream).content] == ["yes"]
    assert [loss.path for loss in encoder.losses] == ["choices"]


# --- the plain twin of the hot path ---


def plain_deltas(events: Sequence[ev.Event]) -> list[bytes]:
    kinds = {ev.TextDelta: ("text_delta", "text"), ev.ReasoningDelta: ("thinking_delta", "thinking")}
    written = []
    for event in events:
        if type(event) in kinds:
            kind, field = kinds[type(event)]  # type: ignore[index]
            delta = {"type": kind, field: event.text}  # type: ignore[union-attr]
            data = {"type": "content_block_delta", "index": 0, "delta": delta}
            written.append(b"event: content_block_delta\ndata: " + jsons.dump(data) + b"\n\n")
    return written


@given(pieces=st.lists(st.text(min_size=1), max_size=8), thinks=st.booleans())
def test_hot_path_writes_what_the_plain_one_writes(pieces: list[str], thinks: bool) -> None:
    kind = ev.ReasoningDelta if thinks else ev.TextDelta
    events: list[ev.Event] = [kind(0, piece) for piece in pieces]
    encoder = DIALECT.encoder(asker())
    encoder.encode([ev.Started(), ev.PartStarted(0, "reasoning" if thinks else "text")])
    stream = encoder.encode(events)
    assert stream[stream.find(b"event: content_block_delta") if pieces else 0 :] == b"".join(plain_deltas(events))


@given(data=st.data())
def test_any_grouping_of_events_gives_the_same_bytes(data: st.DataObject) -> None:
    stream = next(one for one in STREAMS if one.name == "anthropic-anthropic_model_thinking_part_stream.0").stream
    events = DIALECT.decoder().feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=6)))
    encoder = DIALECT.encoder(asker())
    pieces = [encoder.encode(events[start:stop]) for start, stop in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    assert b"".join(pieces) == encoded(events)
