"""The lanes' short ways against their plain twins: deltas that go from frame to frame come out as decoder and encoder
would write them, for every pair of dialects, whatever the texts hold and however the bytes are cut."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api import jsons
from ds2api.dialects.contract import Asker
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.course import Course
from ds2api.gateway.lanes import Lane, Relay, Translate
from ds2api.gateway.rescue import SoFar
from ds2api.universal import events as ev
from ds2api.universal.usage import Usage
from ds2api.wire.framing import ChunkedReader, write_chunk

TEXT = st.text(min_size=1, max_size=8) | st.sampled_from(
    [" word", "é", '"', "\\", "\n", "\x00", "\u2028", '","x":"', "\\u00e9", "%d", "\r\n", "<|end|>", "😀", "a" * 5000]
)
KINDS = st.sampled_from(["text", "reasoning", "call", "other"])
ANSWERS = st.lists(st.tuples(KINDS, st.lists(TEXT, min_size=1, max_size=12)), min_size=1, max_size=3)
Answer = list[tuple[str, list[str]]]


def asker() -> Asker:
    numbers = itertools.count()
    return Asker("m", "req_1", 1, lambda: f"id{next(numbers)}", wants_usage=True)


def bursts(answer: Answer) -> Iterator[list[ev.Event]]:
    """`answer` as a provider's model says it, piece by piece."""
    yield [ev.Started("id", "m", 1, Usage(input_uncached=9))]
    for part, (kind, texts) in enumerate(answer):
        match kind:
            case "reasoning":
                yield [ev.PartStarted(part, "reasoning")]
                yield from ([ev.ReasoningDelta(part, text)] for text in texts)
            case "call":
                yield [ev.PartStarted(part, "call", id=f"call_{part}", name="f")]
                yield [ev.ArgumentsDelta(part, '{"a":"')]
                yield from ([ev.ArgumentsDelta(part, "plain words ")] for _ in texts)
                yield [ev.ArgumentsDelta(part, '"}')]
            case _:
                yield [ev.PartStarted(part, "text")]
                yield from ([ev.TextDelta(part, text)] for text in texts)
                if kind == "other":
                    yield [ev.Alive()]
                    yield [ev.TextDelta(part, " a lesson"), ev.TextDelta(part, " and more")]
        yield [ev.PartFinished(part)]
    yield [ev.Finished("stop"), ev.UsageSeen(Usage(output_text=5)), ev.Ended()]


def reads(name: str, answer: Answer, together: list[int]) -> list[list[bytes]]:
    """The provider's events, as many in each read as `together` says."""
    encoder = DIALECTS[name].encoder(asker())
    events = [one for burst in bursts(answer) if (one := encoder.encode(burst))]
    counts = itertools.cycle(together)
    listed = []
    while events:
        count = next(counts)
        listed.append(events[:count])
        events = events[count:]
    return listed


def plainly(lane: Lane, listed: list[list[bytes]]) -> list[bytes]:
    """Event by event would be another thing at Gemini, where the texts of a read leave together."""
    return [_plain(lane, b"".join(events)) for events in listed]


def _plain(lane: Lane, data: bytes) -> bytes:
    if isinstance(lane, Translate):
        return lane._take(lane._decoder.feed(data))
    return lane.feed(data)


def shortly(lane: Lane, listed: list[list[bytes]]) -> tuple[list[bytes], int]:
    """As the pump does it, and how many reads went the short way as a whole."""
    made, spliced = [], 0
    for events in listed:
        data = b"".join(map(write_chunk, events))
        short, used = lane.shortcut(data)
        out, rest = ChunkedReader(), ChunkedReader()
        made.append(out.feed(short))
        left = rest.feed(data[used:])
        assert out.is_between_chunks and rest.is_between_chunks
        if left:
            made[-1] += lane.feed(left)
        else:
            spliced += 1
    return made, spliced


def joined(written: bytes) -> list[Any]:
    """Gemini's responses with the texts of one kind that follow each other as one: a read may leave in two."""
    found: list[Any] = []
    for line in written.split(b"\n\n")[:-1]:
        response = json.loads(line.removeprefix(b"data: "))
        part = response.get("candidates", [{}])[0].get("content", {"parts": [{}]})["parts"][0]
        is_text = (
            "text" in part and part.keys() <= {"text", "thought"} and "finishReason" not in response["candidates"][0]
        )
        kind = ("text", part.get("thought")) if is_text else response
        if is_text and found and found[-1][0] == kind:
            found[-1][1] += part["text"]
        else:
            found.append([kind, part.get("text")])
    return found


def translate(client: str, upstream: str) -> tuple[Translate, SoFar]:
    so_far = SoFar()
    encoder = DIALECTS[client].encoder(asker())
    return Translate(DIALECTS[upstream].decoder(), encoder, Course([so_far]), so_far), so_far


PAIRS = [(one, other) for one in DIALECTS for other in DIALECTS if one != other and other != "mistral"]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(ANSWERS, st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_what_is_spliced_is_what_encoding_gives(
    client: str, upstream: str, answer: Answer, together: list[int]
) -> None:
    (plain, plain_so_far), (short, short_so_far) = translate(client, upstream), translate(client, upstream)
    listed = reads(upstream, answer, together)
    expected = plainly(plain, listed)
    made, _ = shortly(short, listed)
    if client == "gemini":
        assert joined(b"".join(made)) == joined(b"".join(expected))
    else:
        assert b"".join(made) == b"".join(expected)
    assert (short.ended, short.usage, short.error) == (plain.ended, plain.usage, plain.error)
    assert short_so_far._texts == plain_so_far._texts or "".join(short_so_far._texts) == "".join(plain_so_far._texts)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_texts_that_come_alone_are_spliced(client: str, upstream: str) -> None:
    """Where a provider's deltas have a frame, and the client's encoder nothing to hold back."""
    lane, _ = translate(client, upstream)
    listed = reads(upstream, [("text", [f" word {number}" for number in range(50)])], [1])
    _, spliced = shortly(lane, listed)
    assert spliced >= 40


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "mistral"])
@given(ANSWERS, st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_what_is_skipped_is_what_forwarding_gives(name: str, answer: Answer, together: list[int]) -> None:
    def relay() -> Relay:
        return Relay(DIALECTS[name].tap(strip_usage=True), DIALECTS[name].encoder(asker()))

    plain, short = relay(), relay()
    listed = reads(name, answer, together)
    expected = plainly(plain, listed)
    made, _ = shortly(short, listed)
    assert made == expected
    assert (short.ended, short.usage, short.error) == (plain.ended, plain.usage, plain.error)


def test_a_provider_that_says_null_of_usage_is_spliced_without_it() -> None:
    lane = Relay(DIALECTS["chat"].tap(strip_usage=True), DIALECTS["chat"].encoder(asker()))
    listed = reads("chat", [("text", [f" word {number}" for number in range(20)])], [1])
    made, spliced = shortly(lane, listed)
    assert spliced > 15
    assert b'"usage":null' in b"".join(itertools.chain(*listed))
    assert b'"usage":null' not in b"".join(made)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name not in ("mistral", "ollama")])
def test_a_byte_order_mark_does_not_pass(name: str) -> None:
    """The client may have got a keep-alive before it."""
    (first, *others) = (events[0] for events in reads(name, [("text", [" word"] * 5)], [1]))
    lane = Relay(DIALECTS[name].tap(strip_usage=False), DIALECTS[name].encoder(asker()))
    made = [lane.feed(data) for data in (b"\xef\xbb", b"\xbf" + first, *others)]
    assert b"".join(made) + lane.end() == b"".join((first, *others))
    assert lane.error is None and lane.ended


def test_an_event_that_is_not_told_is_told_before_the_next() -> None:
    """A rescue goes on from all that has left, also from what nobody has read."""
    lane, so_far = translate("chat", "messages")
    listed = reads("messages", [("text", [f" word {number}" for number in range(9)])], [1])
    shortly(lane, listed[:9])
    lane.end()
    assert lane.error is not None
    assert "".join(so_far._texts) == "".join(f" word {number}" for number in range(8))


def test_what_was_not_read_counts_for_where_a_citation_stands() -> None:
    """Gemini says places in bytes, chat in characters."""
    texts = ["un café ", *(f"{number} ça " for number in range(9)), "cited"]
    start = len("".join(texts[:-1]).encode())
    support = {"segment": {"startIndex": start, "endIndex": start + 5, "text": "cited"}, "groundingChunkIndices": [0]}
    grounding = {"groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}], "groundingSupports": [support]}
    candidates: list[dict[str, Any]] = [{"content": {"parts": [{"text": text}]}, "index": 0} for text in texts]
    candidates.append({"index": 0, "finishReason": "STOP", "groundingMetadata": grounding})
    listed = [[b"data: %b\n\n" % jsons.dump({"candidates": [one]})] for one in candidates]
    lane, _ = translate("chat", "gemini")
    made, spliced = shortly(lane, listed)
    assert spliced >= 5
    written = b"".join((*made, lane.end()))
    (place,) = {(found["start_index"], found["end_index"]) for found in _found(written, "url_citation")}
    assert "".join(texts)[place[0] : place[1]] == "cited"


def _found(written: bytes, name: str) -> Iterator[dict[str, Any]]:
    for line in written.split(b"\n\n"):
        value = json.loads(line.removeprefix(b"data: ")) if b"{" in line else {}
        for choice in value.get("choices", []):
            yield from (one[name] for one in choice["delta"].get("annotations", []))
