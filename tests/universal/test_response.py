"""`fold` and `play` are inverse; the sequencer loses nothing; restoring undoes what a translation changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ds2api import jsons
from ds2api.universal import events as ev
from ds2api.universal.envelope import Sealer
from ds2api.universal.parts import Call, Opaque, Part, Reasoning, Refusal, Sealed, Text
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.restore import Restore, Restorer
from ds2api.universal.sequencer import Sequencer
from ds2api.universal.usage import Usage

SEALED = st.builds(Sealed, st.just("anthropic_signature"), st.text(min_size=1, max_size=9))
COUNTERS = st.none() | st.integers(0, 10**6)
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, st.text(max_size=20)),
    st.builds(Refusal, st.text(max_size=20)),
    st.builds(Reasoning, st.text(min_size=1, max_size=20), st.none() | SEALED),
    st.builds(Call, st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9), st.text(max_size=20)),
    st.builds(Opaque, st.just("messages"), st.just("server_tool_use"), st.just({"a": 1})),
)
CHOICES = st.lists(PARTS, max_size=5).map(lambda parts: Choice(0, parts, ev.Finished("stop")))
RESPONSES = st.builds(
    lambda first, others, usage: Response(
        "id",
        "m",
        1,
        [first, *(Choice(n + 1, c.parts, ev.Finished("stop", n + 1)) for n, c in enumerate(others))],
        usage,
    ),
    CHOICES,
    st.lists(CHOICES, max_size=2),
    st.builds(Usage, COUNTERS, COUNTERS, COUNTERS, output_text=COUNTERS, output_reasoning=COUNTERS),
)


@given(RESPONSES)
def test_folding_what_was_played_gives_the_response_back(response: Response) -> None:
    assert fold(play(response)) == response


@given(RESPONSES, st.randoms(use_true_random=False))
def test_interleaved_parts_come_out_one_after_the_other_and_whole(response: Response, random: object) -> None:
    """Whatever order the parts' events are mixed in, the sequencer keeps one part open at a time and loses nothing."""
    events = play(response)
    lanes: dict[int, list[ev.Event]] = {}
    rest = []
    for event in events:
        part = getattr(event, "part", None)
        if part is None:
            rest.append(event)
        else:
            lanes.setdefault(part, []).append(event)
    mixed: list[ev.Event] = []
    while lanes:
        part = random.choice(list(lanes))  # type: ignore[attr-defined]
        mixed.append(lanes[part].pop(0))
        if not lanes[part]:
            del lanes[part]
    sequencer = Sequencer()
    ordered = [event for one in [*mixed, *rest] for event in sequencer.order([one])]
    open_part = None
    for event in ordered:
        part = getattr(event, "part", None)
        if part is None:
            continue
        if isinstance(event, ev.PartStarted):
            assert open_part is None
            open_part = part
        assert part == open_part
        if isinstance(event, ev.PartFinished):
            open_part = None
    assert open_part is None
    by_number = sorted((e for e in ordered if getattr(e, "part", None) is not None), key=lambda e: e.part)  # type: ignore[union-attr]
    assert by_number == sorted((e for e in mixed), key=lambda e: e.part)  # type: ignore[union-attr]


@given(st.text(alphabet="ab!", max_size=30), st.lists(st.text(alphabet="ab!", min_size=1, max_size=4), min_size=1, max_size=3),
       st.lists(st.integers(1, 5), max_size=20))  # fmt: skip
def test_stop_sequence_is_cut_exactly_for_any_cut_of_the_text(text: str, stops: list[str], cuts: list[int]) -> None:
    pieces, rest = [], text
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    restorer = Restorer(Restore(stop=stops))
    seen: list[ev.Event] = restorer.events([ev.PartStarted(0, "text")])
    for piece in pieces:
        seen += restorer.events([ev.TextDelta(0, piece)])
    seen += restorer.events([ev.PartFinished(0), ev.Finished("stop"), ev.Ended()])
    shown = "".join(event.text for event in seen if isinstance(event, ev.TextDelta))
    # The oracle: the text up to the place where the first stop sequence is complete in it.
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    if not ends:
        assert shown == text
        assert not restorer.stopped
    else:
        assert restorer.stopped
        assert not any(stop in shown for stop in stops)
        assert text.startswith(shown)
        finish = next(event for event in seen if isinstance(event, ev.Finished))
        assert finish.reason == "stop_sequence"
        assert finish.stop_sequence in stops
        assert isinstance(seen[-1], ev.Ended)


def test_shortened_tool_name_and_wrapped_custom_tool_come_back_as_the_client_knows_them() -> None:
    restorer = Restorer(Restore(tool_names={"long_abc": "a very long name"}, custom_tools={"patch"}))
    events = restorer.events(
        [
            ev.PartStarted(0, "call", id="1", name="long_abc"),
            ev.ArgumentsDelta(0, "{}"),
            ev.PartFinished(0),
            ev.PartStarted(1, "call", id="2", name="patch"),
            ev.ArgumentsDelta(1, '{"input":"*** Be'),
            ev.ArgumentsDelta(1, 'gin\\n"}'),
            ev.PartFinished(1),
        ]
    )
    assert events[0] == ev.PartStarted(0, "call", id="1", name="a very long name")
    assert events[3] == ev.PartStarted(1, "call", id="2", name="patch", custom=True)
    assert events[4] == ev.ArgumentsDelta(1, "*** Begin\n")


@given(st.text(max_size=50), st.text(max_size=9), st.text(max_size=9))
def test_sealed_proof_comes_back_byte_exact_and_bound(data: str, provider: str, model: str) -> None:
    data = jsons.parse(jsons.dump(data))
    sealer = Sealer(b"s" * 32)
    opened = sealer.open(sealer.seal(Sealed("anthropic_signature", data), provider, model, "tag"))
    assert opened == Sealed("anthropic_signature", data, provider, model, "tag")


@given(st.text(max_size=60), st.integers(0, 200))
def test_foreign_and_broken_envelopes_open_to_nothing(noise: str, at: int) -> None:
    sealer = Sealer(b"s" * 32)
    whole = sealer.seal(Sealed("anthropic_signature", "sig"), "p", "m", "a")
    assert Sealer(b"t" * 32).open(whole) is None
    assert sealer.open("ds2.1." + noise) is None
    assert sealer.open(noise) is None
    at = 6 + at % (len(whole) - 6)
    broken = whole[:at] + ("A" if whole[at] != "A" else "B") + whole[at + 1 :]
    opened = sealer.open(broken)
    # The last base64 digit holds unused bits: a change there alone reads the same.
    assert opened is None or (at >= len(whole) - 3 and opened.data == "sig")


def test_unknown_counters_stay_unknown_and_later_values_win() -> None:
    usage = Usage(input_uncached=100, output_text=1)
    usage.merge(Usage(output_text=20))
    usage.merge(Usage(input_uncached=100, output_text=50))
    assert (usage.input_total, usage.output_total, usage.cache_read) == (100, 50, None)
    assert Usage().input_total is None
