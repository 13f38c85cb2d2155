"""The page of the pool's bench, made of rows that are made up: it is whole, and its figures are the rows'."""

from __future__ import annotations

from dataclasses import asdict
from html.parser import HTMLParser

from bench.pool.__main__ import LOADS
from bench.pool.report import write_report
from bench.pool.runs import WHO, Row, worst

CALLERS = {"alice": [10, 9], "<b>": [20, 5]}


def row(scenario: str, who: str, **more: object) -> dict[str, object]:
    return asdict(Row(scenario, who, 0, **more))  # type: ignore[arg-type]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count += 1
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.count += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_shows_what_was_measured() -> None:
    timeline = [[4, 1, 0]] * 240 + [[0, 5, 1]] * 30 + [[4, 1, 0]] * 180
    scenarios = [
        {"scenario": "one"} | {who: row("one", who, goodput=0.987, missed=["waste 0.5"]) for who in WHO},
        {"scenario": "down"} | {who: row("down", who, timeline=timeline, seen=7) for who in WHO},
        {"scenario": "callers"} | {who: row("callers", who, callers=CALLERS, fairness=0.25) for who in WHO},
    ]
    curves = [{"load": load} | {who: row("one", who, goodput=1.0) for who in WHO} for load in LOADS]
    page = write_report({"python": "CPython 3", "seeds": 2, "scenarios": scenarios, "curves": curves, "cost": []})
    tags = Tags()
    tags.feed(page)
    assert not tags.open and tags.count > 100
    assert "30 attempts refused during the outage; 7 clients saw an error" in page
    assert "the worst caller has 25% of its fair share" in page
    assert "0.987" in page and "waste 0.5" in page
    assert "&lt;b&gt;" in page and "<b></text>" not in page


def test_the_worst_of_several_seeds_is_shown() -> None:
    rows = [Row("one", "ideal", seed, goodput=1 - seed / 10, seen=seed, affinity=0.5 + seed / 10) for seed in range(3)]
    rows[1].missed = ["waste 0.02 > 0.01"]
    found = worst(rows)
    assert (found.goodput, found.seen, found.affinity) == (0.8, 2, 0.5)
    assert found.missed == ["waste 0.02 > 0.01 (seed 1, 1 of 3)"]
