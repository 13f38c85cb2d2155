"""The kit that every dialect in the registry must pass, whoever wrote it: what `contract.Dialect` promises."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.dialects.contract import Asker, Dialect
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.parts import Call, Text
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.usage import Usage

each = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda one: one.name)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(lambda text: text.strip())


def asker() -> Asker:
    numbers = itertools.count()
    return Asker("m", "req_1", 1, lambda: f"id{next(numbers)}", stream=True, wants_usage=True)


def answer(text: str, has_call: bool) -> Response:
    parts: list[Text | Call] = [Text(text)]
    if has_call:
        parts.append(Call("call_1", "look", '{"at":"it"}'))
    finish = ev.Finished("tool_use" if has_call else "stop")
    return Response("id", "m", 1, [Choice(0, list(parts), finish)], Usage(input_uncached=9, output_text=4))


@each
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fault", list(Fault))
def test_every_error_has_a_shape(dialect: Dialect, kind: Kind, fault: Fault) -> None:
    written = dialect.write_error(Error(fault, kind, "what went wrong", "a.path", 7.0), "req_1")
    assert 400 <= written.status <= 599
    body = json.loads(written.body)  # Mistral: flat, and a list of details for what fails its validation
    assert "error" in body or body.get("object") == "error" or "detail" in body
    read = dialect.read_error(written.status, dict(written.headers), written.body)
    assert isinstance(read.fault, Fault), "and its own errors can be read again"


@each
@given(status=st.integers(300, 599), body=st.binary(max_size=200))
def test_no_error_answer_breaks_the_reader(dialect: Dialect, status: int, body: bytes) -> None:
    error = dialect.read_error(status, {}, body)
    assert error.status == status
    assert error.message


@each
@given(text=PLAIN, has_call=st.booleans(), cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_what_it_writes_it_reads(dialect: Dialect, text: str, has_call: bool, cuts: list[int]) -> None:
    """Universal events → the client's stream → the same dialect as a provider → the same answer, for any cut."""
    stream = dialect.encoder(asker()).encode(play(answer(text, has_call)))
    decoder = dialect.decoder()
    events: list[ev.Event] = []
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    for start, end in itertools.pairwise([0, *places, len(stream)]):
        events += decoder.feed(stream[start:end])
    events += decoder.end()
    assert isinstance(events[-1], ev.Ended)
    read = fold(events)
    parts = read.choices[0].parts
    assert "".join(part.text for part in parts if isinstance(part, Text)) == text
    calls = [(part.id, part.name, json.loads(part.arguments)) for part in parts if isinstance(part, Call)]
    assert calls == ([("call_1", "look", {"at": "it"})] if has_call else [])
    assert read.choices[0].finish is not None
    assert read.choices[0].finish.reason == ("tool_use" if has_call else "stop")
    assert read.usage is not None
    assert (read.usage.input_total, read.usage.output_total) == (9, 4)


@each
@given(text=PLAIN, at=st.integers(0, 4000))
def test_every_prefix_of_a_stream_ends_in_so_many_words(dialect: Dialect, text: str, at: int) -> None:
    """Never a silent end: a decoder says `Ended` or `Failed`, and a tap agrees with it."""
    stream = dialect.encoder(asker()).encode(play(answer(text, has_call=True)))
    prefix = stream[: at % len(stream)]
    decoder, tap = dialect.decoder(), dialect.tap(strip_usage=False)
    events = [*decoder.feed(prefix), *decoder.end()]
    tap.forward(prefix)
    tap.end()
    assert isinstance(events[-1], ev.Ended | ev.Failed)
    assert tap.ended is isinstance(events[-1], ev.Ended)
    assert decoder.end() == []


@each
@given(noise=st.binary(max_size=300))
def test_no_bytes_break_decoder_or_tap(dialect: Dialect, noise: bytes) -> None:
    decoder, tap = dialect.decoder(), dialect.tap(strip_usage=True)
    events = [*decoder.feed(noise), *decoder.end()]
    assert isinstance(events[-1], ev.Ended | ev.Failed)
    tap.forward(noise)
    tap.end()


@each
def test_a_keep_alive_may_stand_between_any_two_writes(dialect: Dialect) -> None:
    encoder = dialect.encoder(asker())
    stream = encoder.alive()
    for event in play(answer("Hello", has_call=True)):
        written = encoder.encode([event])
        stream += written + (b"" if isinstance(event, ev.Ended) else encoder.alive())
    decoder = dialect.decoder()
    events = [*decoder.feed(stream), *decoder.end()]
    assert isinstance(events[-1], ev.Ended)
    assert any(isinstance(event, ev.Alive) for event in events)


@each
def test_nothing_is_written_behind_the_end(dialect: Dialect) -> None:
    for last in (ev.Ended(), ev.Failed(Error(Fault.PROVIDER, Kind.OVERLOADED, "busy"))):
        encoder = dialect.encoder(asker())
        assert encoder.encode([ev.Started("id", "m", 1), last])
        assert encoder.encode([ev.PartStarted(0, "text"), ev.TextDelta(0, "late"), ev.Ended()]) == b""
