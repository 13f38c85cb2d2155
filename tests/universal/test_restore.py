"""What a translation changed is undone on the way back, in a stream and in a whole answer."""

from __future__ import annotations

from ds2api.universal import events as ev
from ds2api.universal.parts import Text
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.restore import Restore, Restorer
from ds2api.universal.usage import Usage


def test_a_stop_that_is_met_in_a_whole_answer_keeps_the_usage() -> None:
    """All of it was generated, and is billed."""
    answer = Response("id", "m", 1, [Choice(0, [Text("abc STOP def")], ev.Finished("stop"))], Usage(9, output_text=4))
    restored = Restorer(Restore(stop=["STOP"])).events(play(answer))
    assert isinstance(restored[-1], ev.Ended)
    read = fold(restored)
    (text,) = read.choices[0].parts
    assert isinstance(text, Text) and text.text == "abc "
    finish = read.choices[0].finish
    assert finish is not None and (finish.reason, finish.stop_sequence) == ("stop_sequence", "STOP")
    assert read.usage is not None and (read.usage.input_total, read.usage.output_total) == (9, 4)


def test_nothing_of_a_stop_leaks_however_it_is_cut() -> None:
    whole = "abc STOP def"
    for cut in range(len(whole) + 1):
        restorer = Restorer(Restore(stop=["STOP"]))
        events = restorer.events([ev.Started("id", "m", 1), ev.PartStarted(0, "text")])
        for piece in (whole[:cut], whole[cut:]):
            events += restorer.events([ev.TextDelta(0, piece)] if piece else [])
        assert "".join(event.text for event in events if isinstance(event, ev.TextDelta)) == "abc "
        assert isinstance(events[-1], ev.Ended)
