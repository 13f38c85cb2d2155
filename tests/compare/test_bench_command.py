"""`ds2api bench` as a person runs it: what it writes, what it asks first, and that no key comes out of it."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.compare.places import ABOUT, BentUpstream, compared
from tests.end_to_end.answers import serve
from tests.end_to_end.mock import Received, Reply, mock_upstream
from tests.end_to_end.test_cli import run, serving

from ds2api.compare.asking import Sample
from ds2api.compare.document import SCHEMA
from ds2api.compare.page import write_page
from ds2api.compare.places import Place
from ds2api.compare.question import WORKS
from ds2api.compare.running import Budget, Plan
from ds2api.compare.table import shown_time, text_of

KEY = "sk-bench-secret-0123456789"
SHORT = ("--rounds", "2", "--seconds", "5", "--concurrency", "2", "--requests", "6", "--pace-ms", "1")
VOID = {"meta", "circle", "line", "rect", "polyline", "br"}


class WellFormed(HTMLParser):
    """Fails at a tag that closes what is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in VOID or (tag == "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_proxy_is_for_places_elsewhere(tmp_path: Path) -> None:
    with mock_upstream(serve) as mock, mock_upstream(lambda _: Reply.json({"error": {}}, 502)) as proxy:
        words = ("bench", mock.url, "far=http://far.example", "--model", "m", "--yes", *SHORT)
        done = run(*words, cwd=tmp_path, HTTP_PROXY=proxy.url)
        assert "far gives no answer that could be measured: status 502" in done.stderr
        assert len(mock.received) == len(proxy.received) == 1


def test_without_a_url_it_compares_itself_with_its_mock(tmp_path: Path) -> None:
    done = run("bench", *SHORT, "--json", "a.json", "--html", "a.html", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert "JSON x2" in done.stdout
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert told["schema"] == SCHEMA
    assert [place["name"] for place in told["places"]] == ["direct", "ds2api", "ds2api, translated"]
    assert all(place["of_mock"] for place in told["places"])
    assert [(cell["work"], cell["place"]) for cell in told["cells"]] == [
        (work, place["name"]) for work in ("json", "stream", "paced") for place in told["places"]
    ]
    for cell in told["cells"]:
        assert (cell["answers"], cell["errors"], cell["seen"]["opened"]) == (12, {}, 0), cell
        assert cell["total_s"]["p50"] > 0
        assert (cell["first_s"] is None) == (cell["work"] == "json")
        if sys.platform == "linux":
            assert cell["cpu_s"]["middle"] > 0
            assert cell["rss_bytes"] > 1e6
    assert told["spent"]["requests"] == 3 * 3 * 2 * (6 + 3)
    page = WellFormed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert page.seen.count("svg") == 3 + 3 + 3 if sys.platform == "linux" else 5
    assert "ds2api, translated" in done.stdout


def test_the_mock_stands_behind_whatever_it_is_put_behind(tmp_path: Path) -> None:
    with serving("--mock", "0", cwd=tmp_path, command="bench") as mock:
        url = mock.until("http://", "out")
        done = run("bench", f"a:messages={url}", f"b:gemini={url}", "--work", "stream", *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a " in done.stdout
    assert "Protocols differ" in done.stdout


def test_a_model_is_asked_only_after_a_yes(tmp_path: Path) -> None:
    with mock_upstream(serve) as mock:
        words = ("bench", mock.url, "--model", "m", "--key-env", "KEY", *SHORT, "--json", "a.json", "--html", "a.html")
        refused = run(*words, cwd=tmp_path, KEY=KEY)
        assert refused.returncode == 2
        assert "beside a short question to each, at most 36 requests" in refused.stderr
        assert "--yes" in refused.stderr
        assert len(mock.received) == 1  # the short question that tells a mock from a model
        done = run(*words, "--yes", cwd=tmp_path, KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert len(mock.received) == 2 + 36
        assert {received.key for received in mock.received} == {KEY}
    written = "".join((tmp_path / name).read_text(encoding="utf-8") for name in ("a.json", "a.html"))
    assert KEY not in done.stdout + done.stderr + refused.stdout + refused.stderr + written


def test_a_provider_that_repeats_the_key_is_not_repeated(tmp_path: Path) -> None:
    def says_the_key(received: Received) -> Reply:
        return Reply(
            401, [json.dumps({"error": {"message": f"bad key {KEY}", "code": KEY}}).encode()], framing="length"
        )

    with mock_upstream(says_the_key) as mock:
        done = run("bench", mock.url, "--model", "m", "--key-env", "KEY", "--yes", *SHORT, cwd=tmp_path, KEY=KEY)
    assert done.returncode == 1
    assert "status 401 (unauthenticated)" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_it_ends_before_it_costs_too_much(tmp_path: Path) -> None:
    with mock_upstream(serve) as mock:
        money = ("--price", "10,50", "--max-cost", "0.2", "--yes")
        done = run("bench", mock.url, "--model", "m", *SHORT, *money, "--json", "a.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert "--max-cost" in told["stopped"]
    assert 0 < told["spent"]["dollars"] <= 0.2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--work", "nothing"), "there are json, stream, paced"),
        (("http://127.0.0.1:9", "--model", "m"), "not reached (connect)"),
        (("--max-cost", "1"), "--price"),
        (("https://api.example", "--yes"), "which model of api.example"),
        (("--price", "1"), "two prices"),
        (("--concurrency", "0"), "from 1 to"),
        (("http://127.0.0.1:9", "--key-env", KEY), "never the key itself"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = run("bench", *words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stderr or "--key-env" in words
    assert done.stdout == ""


def test_help_is_for_newcomers(tmp_path: Path) -> None:
    done = run("bench", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for words in ("--mock 9000", "--max-cost", "NAME:DIALECT=URL", "docs/benchmarking.md"):
        assert words in done.stdout


async def test_names_from_outside_can_do_nothing_to_page_and_table() -> None:
    told = await compared(WORKS["json"], **{"<script>alert(1)</script>\x1b[2J": BentUpstream(), "b": BentUpstream()})
    page = write_page(told)
    assert "script" not in WellFormed(page).seen
    assert "\x1b" not in "\n".join(text_of(told, 120))
    assert max(map(len, text_of(told, 80))) <= 80
    assert ABOUT["command"] in page


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (2.7e-6, "2.70 µs"), (0.00031, "0.31 ms"), (0.0124, "12.4 ms"), (0.512, "512 ms"), (1.24, "1.24 s")],
)
def test_times_are_shown_as_people_say_them(seconds: float | None, shown: str) -> None:
    assert shown_time(seconds) == shown


def test_what_an_answer_does_not_tell_is_reckoned_at_its_worst() -> None:
    place = Place("a", "http://h", "chat", "m")
    plan = Plan((place,), (WORKS["json"],), (4,), False, 1, 10, 1.0, 10.0)
    (turn,) = plan.turns()
    budget = Budget((1.0, 2.0), 0.02)
    requests, read, written = budget.worst(plan, [turn])
    assert (requests, written) == (15, 15 * 256)
    assert budget.has_room(plan, turn)
    budget.spend(plan, turn, [Sample()] * 10)
    assert (budget.requests, budget.input_tokens, budget.output_tokens) == (requests, read, written)
    told = Budget((1.0, 2.0), 0.02)
    told.spend(plan, turn, [Sample(input_tokens=1, output_tokens=1)] * 10)
    assert told.output_tokens == 5 * 256 + 10 < budget.output_tokens
    budget.spend(plan, turn, [Sample()] * 10)
    assert not budget.has_room(plan, turn)
