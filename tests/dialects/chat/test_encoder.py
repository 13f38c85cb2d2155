"""Whatever upstream speaks, the real SDK puts the stream together without a complaint."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.chat.recordings import asker, decoded
from tests.dialects.chat.sdk import chunks_of, completion_of, streamed_completion_of

from ds2api.dialects.chat import DIALECT
from ds2api.dialects.contract import Asker
from ds2api.universal import events as ev
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.parts import Call, Citation, Extra, Reasoning, Sealed, Text
from ds2api.universal.request import Request
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.usage import Usage

SEALER = Sealer(b"s" * 32)
ENDING = [ev.Finished("stop"), ev.Ended()]


def text(part: int, *pieces: str, choice: int = 0) -> list[ev.Event]:
    deltas = [ev.TextDelta(part, piece, choice) for piece in pieces]
    return [ev.PartStarted(part, "text", choice), *deltas, ev.PartFinished(part, choice)]


def encoded(events: list[ev.Event], who: Asker | None = None) -> bytes:
    encoder = DIALECT.encoder(who or asker())
    return b"".join(encoder.encode([event]) for event in events)


def chunks(stream: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def deltas(stream: bytes) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(stream) if chunk["choices"]]


def test_role_is_said_once_and_first() -> None:
    stream = encoded([ev.Started("msg_1", "claude"), *text(0, "a", "b"), *ENDING])
    assert [("role" in delta) for delta in deltas(stream)] == [True, False, False, False]
    assert streamed_completion_of(stream).choices[0].message.role == "assistant"


def test_id_created_and_model_are_the_gateways_and_never_change() -> None:
    stream = encoded([ev.Started("msg_1", "claude-9", 7), *text(0, "a"), *ENDING])
    heads = {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks(stream)}
    assert heads == {("chatcmpl-new0", 1_700_000_000, "alias")}


def test_id_of_a_chat_server_is_kept() -> None:
    stream = encoded(
        [ev.Started("gen-1", "x", 7, extra=Extra("chat", {"system_fingerprint": "fp"})), *text(0, "a"), *ENDING]
    )
    head = chunks(stream)[0]
    assert (head["id"], head["created"], head["system_fingerprint"]) == ("gen-1", 7, "fp")


def test_r014_calls_are_numbered_from_zero_without_gaps() -> None:
    """R014: a text block before them takes no number."""
    events: list[ev.Event] = [ev.Started(), *text(0, "hm")]
    for part in (1, 2, 3):
        events += [
            ev.PartStarted(part, "call", id=f"c{part}", name=f"f{part}"),
            ev.ArgumentsDelta(part, '{"n":'),
            ev.ArgumentsDelta(part, f"{part}}}"),
            ev.PartFinished(part),
        ]
    completion = streamed_completion_of(encoded([*events, ev.Finished("tool_use"), ev.Ended()]))
    assert len(completion.choices) == 1
    called = completion.choices[0].message.tool_calls
    assert [(one.id, one.function.name, one.function.arguments) for one in called] == [
        ("c1", "f1", '{"n":1}'), ("c2", "f2", '{"n":2}'), ("c3", "f3", '{"n":3}')
    ]  # fmt: skip
    assert completion.choices[0].finish_reason == "tool_calls"


def test_interleaved_calls_reach_the_client_as_they_come() -> None:
    events = [
        ev.PartStarted(0, "call", id="a", name="f"), ev.PartStarted(1, "call", id="b", name="g"),
        ev.ArgumentsDelta(0, '{"x"'), ev.ArgumentsDelta(1, '{"y"'), ev.ArgumentsDelta(0, ":1}"), ev.ArgumentsDelta(1, ":2}"),
        ev.PartFinished(0), ev.PartFinished(1), ev.Finished("tool_use"), ev.Ended(),
    ]  # fmt: skip
    message = streamed_completion_of(encoded(events)).choices[0].message
    assert [one.function.arguments for one in message.tool_calls] == ['{"x":1}', '{"y":2}']


def test_id_and_name_of_a_call_are_said_once() -> None:
    stream = encoded([ev.PartStarted(0, "call", id="a", name="f"), ev.ArgumentsDelta(0, "{}"), *ENDING])
    said = [piece for delta in deltas(stream) for piece in delta.get("tool_calls", [])]
    assert [("id" in piece, "name" in piece["function"]) for piece in said] == [(True, True), (False, False)]


def test_choices_are_told_apart() -> None:
    events = [*text(0, "a"), *text(1, "b", choice=1), ev.Finished("stop"), ev.Finished("length", 1), ev.Ended()]
    read = [(one.index, one.message.content) for one in fold_sdk(encoded(events))]
    assert read == [(0, "a"), (1, "b")]


def fold_sdk(stream: bytes) -> list[Any]:
    choices: list[Any] = streamed_completion_of(stream).choices
    return choices


@pytest.mark.parametrize("wanted", [True, False])
def test_r093_r094_usage_comes_last_and_only_to_who_asked(wanted: bool) -> None:
    """R093, R094."""
    usage = Usage(input_uncached=10, cache_read=900, cache_write=90, output_text=5)
    events = [
        ev.Started(usage=Usage(input_uncached=10)),
        *text(0, "a"),
        ev.Finished("stop"),
        ev.UsageSeen(usage),
        ev.Ended(),
    ]
    read = chunks_of(encoded(events, asker(wants_usage=wanted)))
    with_usage = [one for one in read if one.usage is not None]
    assert [one.choices for one in with_usage] == ([[]] if wanted else [])
    if wanted:
        told = read[-1].usage
        assert told is not None
        assert told.prompt_tokens_details is not None
        # R088: the total holds the caches, and total = prompt + completion.
        assert (told.prompt_tokens, told.completion_tokens, told.total_tokens) == (1000, 5, 1005)
        assert told.prompt_tokens_details.cached_tokens == 900
    else:
        assert all(one.choices for one in read)
        assert b"usage" not in encoded(events, asker(wants_usage=False))


def test_usage_that_nobody_counted_is_not_invented() -> None:
    """R011."""
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.Started(), *text(0, "a"), *ENDING])
    assert all(one.usage is None for one in chunks_of(stream))
    assert [(loss.code, loss.path) for loss in encoder.losses] == [("dropped", "usage")]
    assert b"\n: x-ds2api-warning dropped field=usage\n" in stream


@pytest.mark.parametrize("usage", [Usage(output_text=3), Usage(input_uncached=3, output_text=4, estimated=True)])
def test_usage_that_is_a_guess_says_so(usage: Usage) -> None:
    """R011."""
    encoder = DIALECT.encoder(asker())
    encoder.encode([ev.Started(), *text(0, "a"), ev.Finished("stop"), ev.UsageSeen(usage), ev.Ended()])
    response = Response(choices=[Choice(0, [Text("a")], ev.Finished("stop"))], usage=usage)
    for found in (encoder.losses, DIALECT.write_response(response, asker())[1]):
        assert [(loss.code, loss.path) for loss in found] == [("estimated", "usage")]


def test_r097_counters_are_taken_over_not_added_up() -> None:
    """R097."""
    events = [
        ev.Started(usage=Usage(input_uncached=100, output_text=1)), *text(0, "a"), ev.UsageSeen(Usage(output_text=20)),
        ev.UsageSeen(Usage(output_text=50, input_uncached=100)), *ENDING,
    ]  # fmt: skip
    told = chunks_of(encoded(events))[-1].usage
    assert told is not None
    assert (told.prompt_tokens, told.completion_tokens) == (100, 50)


def test_finish_comes_once_and_only_usage_follows() -> None:
    """R010."""
    stream = encoded(
        [ev.Started(), *text(0, "end"), ev.Finished("length"), ev.UsageSeen(Usage(output_text=1)), ev.Ended()]
    )
    words = [chunk["choices"][0]["finish_reason"] if chunk["choices"] else "usage" for chunk in chunks(stream)]
    assert words == [None, None, "length", "usage"]
    assert stream.endswith(b"data: [DONE]\n\n")


REASONS: dict[ev.FinishReason, str] = {
    "stop": "stop", "stop_sequence": "stop", "length": "length", "context_full": "length", "tool_use": "tool_calls",
    "refusal": "stop", "content_filter": "content_filter", "pause": "stop", "compaction": "stop",
    "continuation": "stop", "other": "stop",
}  # fmt: skip


@pytest.mark.parametrize(("reason", "word"), REASONS.items())
def test_every_reason_has_a_legal_word(reason: ev.FinishReason, word: str) -> None:
    """R041: never a word that chat clients do not know."""
    finished = ev.Finished(reason, native="xyz")
    encoder = DIALECT.encoder(asker(wants_usage=False))
    stream = encoder.encode([ev.Started(), *text(0, "a"), finished, ev.Ended()])
    assert [one.choices[0].finish_reason for one in chunks_of(stream)][-1] == word
    body, losses = DIALECT.write_response(Response(choices=[Choice(0, [Text("a")], finished)]), asker())
    assert completion_of(body).choices[0].finish_reason == word
    assert bool(losses) == bool(encoder.losses) == (reason in {"pause", "compaction", "continuation", "other"})


def test_malformed_call_is_an_error_and_no_success() -> None:
    """R028."""
    finished = ev.Finished("malformed_tool", native="MALFORMED_FUNCTION_CALL")
    stream = encoded([ev.Started(), *text(0, "a"), finished, ev.Ended()])
    assert b"[DONE]" not in stream
    with pytest.raises(openai.APIError, match="MALFORMED_FUNCTION_CALL"):
        chunks_of(stream)
    with pytest.raises(Problem, match="malformed"):
        DIALECT.write_response(Response(choices=[Choice(0, [], finished)]), asker())


def test_refusal_of_the_provider_is_read_as_a_refusal() -> None:
    """R013: also where only the reason says it, with text before it."""
    finished = ev.Finished("refusal", details={"category": "bio", "explanation": "not this"})
    stream = encoded([ev.Started(), *text(0, "I "), finished, ev.Ended()])
    message = streamed_completion_of(stream).choices[0].message
    assert (message.content, message.refusal) == ("I ", "not this")
    body, _ = DIALECT.write_response(Response(choices=[Choice(0, [Text("I ")], finished)]), asker())
    assert completion_of(body).choices[0].message.refusal == "not this"


def test_failure_is_an_error_event_and_the_end() -> None:
    """R031: no marker of success behind it, nothing else either."""
    failed = ev.Failed(Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "The provider stopped."))
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([ev.Started(), *text(0, "a"), failed, *text(1, "b"), *ENDING])
    assert encoder.encode(text(2, "c")) == b""
    assert b"[DONE]" not in stream
    assert b'finish_reason":"' not in stream
    with pytest.raises(openai.APIError, match="The provider stopped") as raised:
        chunks_of(stream)
    assert raised.value.code == "upstream_truncated"


def test_words_of_the_provider_stay_out_of_the_error_event() -> None:
    """R156."""
    failed = ev.Failed(Error(Fault.PROVIDER, Kind.OVERLOADED, "host db-7.internal is down", status=503))
    assert b"db-7" not in encoded([ev.Started(), failed])


def test_keep_alive_is_legal_between_any_two_writes() -> None:
    encoder = DIALECT.encoder(asker())
    pieces = [encoder.encode([event]) for event in [ev.Started(), *text(0, "a", "b"), *ENDING]]
    stream = encoder.alive() + encoder.alive().join(pieces)
    assert streamed_completion_of(stream).choices[0].message.content == "ab"


def test_text_is_escaped_whatever_it_holds() -> None:
    odd = 'a"b\\c\n\u2028\u0085 \U0001f600 </s> data: [DONE]\n\n'
    assert streamed_completion_of(encoded([*text(0, *odd), *ENDING])).choices[0].message.content == odd


def test_citation_spans_its_text_where_it_says_no_place() -> None:
    citation = Citation("url", "https://a.example", "A")
    events = [
        *text(0, "Before. "), ev.PartStarted(1, "text"), ev.CitationSeen(1, citation), ev.TextDelta(1, "Cited."),
        ev.PartFinished(1), *ENDING,
    ]  # fmt: skip
    message = streamed_completion_of(encoded(events)).choices[0].message
    told = message.annotations[0].url_citation
    assert (told.start_index, told.end_index) == (8, 14)
    body, _ = DIALECT.write_response(fold(events), asker())
    whole = completion_of(body).choices[0].message.annotations
    assert whole is not None
    assert (whole[0].url_citation.start_index, whole[0].url_citation.end_index) == (8, 14)


def test_many_citations_are_put_together_by_the_sdk() -> None:
    citations = [Citation("url", f"https://{name}.example", name) for name in "abc"]
    events = [ev.PartStarted(0, "text"), ev.TextDelta(0, "x")]
    for citation in citations:
        events += [ev.CitationSeen(0, Citation("url", citation.url, citation.title, start=0, end=1))]
    message = streamed_completion_of(encoded([*events, ev.PartFinished(0), *ENDING])).choices[0].message
    assert [one.url_citation.title for one in message.annotations] == ["a", "b", "c"]


def test_citation_of_a_document_is_a_loss() -> None:
    encoder = DIALECT.encoder(asker(wants_usage=False))
    encoder.encode([ev.PartStarted(0, "text"), ev.CitationSeen(0, Citation("document", title="d")), ev.PartFinished(0)])
    assert [(loss.code, loss.path) for loss in encoder.losses] == [("dropped", "citations")]


def test_reasoning_reaches_the_field_that_clients_know() -> None:
    events = [
        ev.PartStarted(0, "reasoning"),
        ev.ReasoningDelta(0, "hm "),
        ev.ReasoningDelta(0, "yes"),
        ev.PartFinished(0),
        *text(1, "x"),
        *ENDING,
    ]
    message = streamed_completion_of(encoded(events)).choices[0].message
    assert message.reasoning_content == "hm yes"


def test_reasoning_of_a_chat_server_keeps_its_field() -> None:
    events = [
        ev.PartStarted(0, "reasoning", extra=Extra("chat", {"reasoning": ""})),
        ev.ReasoningDelta(0, "hm"),
        ev.PartFinished(0),
        *ENDING,
    ]
    assert streamed_completion_of(encoded(events)).choices[0].message.reasoning == "hm"


def sealing(**changes: Any) -> Asker:
    return asker(sealer=SEALER, provider="anthropic", upstream_model="claude-x", account="acc", **changes)


def test_signature_travels_through_a_chat_client_and_back() -> None:
    """The carrier of `mapping.md` §4: put together by the SDK, sent back unread, opened for its maker."""
    sealed = Sealed("anthropic_signature", "SIG+/=")
    events = [
        ev.PartStarted(0, "reasoning"), ev.ReasoningDelta(0, "one "), ev.ReasoningDelta(0, "two"), ev.ReasoningSealed(0, sealed),
        ev.PartFinished(0), ev.PartStarted(1, "reasoning"), ev.ReasoningSealed(1, Sealed("anthropic_redacted", "RED")),
        ev.PartFinished(1), *text(2, "x"), *ENDING,
    ]  # fmt: skip
    streamed = streamed_completion_of(encoded(events, sealing())).choices[0].message
    whole = completion_of(DIALECT.write_response(fold(events), sealing())[0]).choices[0].message
    for message in (streamed, whole):
        sent_back = message.model_dump(exclude_none=True)
        body = {"model": "m", "messages": [{"role": "user", "content": "q"}, sent_back]}
        assert len(DIALECT.peek(body, "").pins) == 2
        parts = DIALECT.read_request(body, {}, "").turns[1].parts
        thoughts = [part for part in parts if isinstance(part, Reasoning)]
        assert [thought.text for thought in thoughts] == ["one two", ""]
        opened = [SEALER.open(thought.sealed.data) for thought in thoughts if thought.sealed is not None]
        assert opened == [
            Sealed("anthropic_signature", "SIG+/=", "anthropic", "claude-x", "acc"),
            Sealed("anthropic_redacted", "RED", "anthropic", "claude-x", "acc"),
        ]


def test_signature_of_a_call_travels_in_googles_carrier() -> None:
    sealed = Sealed("gemini_signature", "THOUGHT")
    events = [
        ev.PartStarted(0, "call", id="c", name="f"), ev.ArgumentsDelta(0, "{}"), ev.ReasoningSealed(0, sealed),
        ev.PartFinished(0), ev.Finished("tool_use"), ev.Ended(),
    ]  # fmt: skip
    sent_back = streamed_completion_of(encoded(events, sealing())).choices[0].message.model_dump(exclude_none=True)
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}, sent_back]}
    call = DIALECT.read_request(body, {}, "").turns[1].parts[-1]
    assert isinstance(call, Call)
    assert call.signature is not None
    assert SEALER.open(call.signature.data) == Sealed("gemini_signature", "THOUGHT", "anthropic", "claude-x", "acc")


def test_custom_call_is_free_text_in_whole_answers_and_chunks() -> None:
    """Chunks have no type for it (`streams.md` §1): the raw form is the one of whole answers, in pieces."""
    events = [
        ev.PartStarted(0, "call", id="c", name="patch", custom=True), ev.ArgumentsDelta(0, "*** Be"),
        ev.ArgumentsDelta(0, "gin"), ev.PartFinished(0), ev.Finished("tool_use"), ev.Ended(),
    ]  # fmt: skip
    stream = encoded(events)
    pieces = [piece for delta in deltas(stream) for piece in delta.get("tool_calls", [])]
    assert "".join(piece["custom"]["input"] for piece in pieces) == "*** Begin"
    assert len(chunks_of(stream)) == len(chunks(stream))
    assert fold(decoded(stream)).choices[0].parts == fold(events).choices[0].parts
    calls = completion_of(DIALECT.write_response(fold(events), asker())[0]).choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].model_dump() == {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}


def test_signature_without_a_sealer_is_a_loss() -> None:
    encoder = DIALECT.encoder(asker(wants_usage=False))
    events = [
        ev.PartStarted(0, "reasoning"),
        ev.ReasoningSealed(0, Sealed("anthropic_signature", "S")),
        ev.PartFinished(0),
        *ENDING,
    ]
    assert b"SIG" not in encoder.encode(events)
    assert encoder.losses == [Loss("dropped", "signature", encoder.losses[0].reason)]


def test_notes_of_another_protocol_are_losses_once() -> None:
    encoder = DIALECT.encoder(asker(wants_usage=False))
    for _ in range(3):
        encoder.encode([ev.OpaqueSeen("messages", "container", {"id": "c"})])
    assert [(loss.code, loss.path) for loss in encoder.losses] == [("dropped", "container")]


def test_loss_with_an_odd_path_stays_one_comment() -> None:
    encoder = DIALECT.encoder(asker(wants_usage=False))
    encoder.losses.append(Loss("dropped", "a b\n\ndata: x", "r"))
    stream = encoder.encode([ev.Started(), *text(0, "x"), *ENDING])
    assert b": x-ds2api-warning dropped field=a%20b%0A%0Adata%3A%20x\n" in stream
    assert streamed_completion_of(stream).choices[0].message.content == "x"


def old_asker() -> Asker:
    return asker(request=Request("chat", "m", [], paths={"tools": "functions"}), wants_usage=False)


def test_client_of_old_functions_gets_the_old_call() -> None:
    events = [ev.PartStarted(0, "call", id="c", name="f"), ev.ArgumentsDelta(0, '{"a"'), ev.ArgumentsDelta(0, ":1}"), ev.PartFinished(0),
              ev.PartStarted(1, "call", id="d", name="g"), ev.ArgumentsDelta(1, "{}"), ev.PartFinished(1), ev.Finished("tool_use"), ev.Ended()]  # fmt: skip
    encoder = DIALECT.encoder(old_asker())
    choice = streamed_completion_of(encoder.encode(events)).choices[0]
    assert (choice.message.function_call.name, choice.message.function_call.arguments) == ("f", '{"a":1}')
    assert choice.finish_reason == "function_call"
    body, losses = DIALECT.write_response(fold(events), old_asker())
    assert completion_of(body).choices[0].message.function_call == choice.message.function_call
    assert [loss.path for loss in losses] == [loss.path for loss in encoder.losses] == ["tool_calls"]


def test_logprobs_come_beside_their_text() -> None:
    tokens = {"content": [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}], "refusal": None}
    events = [ev.PartStarted(0, "text"), ev.Logprobs(tokens), ev.TextDelta(0, "a"), ev.PartFinished(0), *ENDING]
    logprobs = streamed_completion_of(encoded(events)).choices[0].logprobs
    assert [one.token for one in logprobs.content] == ["a"]


_PIECES = st.text(min_size=1, max_size=6)
_PARTS = st.lists(
    st.one_of(
        st.builds(Text, _PIECES),
        st.builds(Reasoning, _PIECES),
        st.builds(lambda number, name, text: Call(f"call_{number}", name, json.dumps({"x": text})), st.integers(0, 10**9), st.sampled_from("fgh"), _PIECES),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(st.lists(_PARTS, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_stream_and_whole_answer_say_the_same(choices: list[list[Any]], wants_usage: bool, sealed: bool) -> None:
    """Of any answer, by the real SDK's own reading of both."""
    given_choices = []
    for index, parts in enumerate(choices):
        reason: ev.FinishReason = "tool_use" if any(isinstance(part, Call) for part in parts) else "stop"
        given_choices.append(Choice(index, parts, ev.Finished(reason, index)))
    response = Response("msg_1", "m", 1, given_choices, Usage(input_uncached=3, output_text=4))
    who = sealing(wants_usage=wants_usage) if sealed else asker(wants_usage=wants_usage)
    stream = DIALECT.encoder(who).encode(play(response))
    whole = completion_of(DIALECT.write_response(response, who)[0])
    streamed = streamed_completion_of(stream)
    for one, other in zip(streamed.choices, whole.choices, strict=True):
        assert one.finish_reason == other.finish_reason
        assert (one.message.content or "") == (other.message.content or "")
        assert getattr(one.message, "reasoning_content", "") == getattr(other.message, "reasoning_content", "")
        calls = [(call.id, call.function.name, call.function.arguments) for call in one.message.tool_calls or []]
        assert calls == [
            (call.id, call.function.name, call.function.arguments) for call in other.message.tool_calls or []
        ]
    again = fold(decoded(stream))
    assert [choice.finish.reason for choice in again.choices if choice.finish] == [
        choice.finish.reason for choice in given_choices if choice.finish
    ]
