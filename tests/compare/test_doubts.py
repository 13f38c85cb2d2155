"""Mistakes in a comparison are found: each by a place that makes it, over sockets, and a place that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.compare.places import PACED, BentUpstream, compared, doubts_of

from ds2api.compare.doubts import doubts
from ds2api.compare.question import MOCK_WORD, WORKS

JSON, STREAM = WORKS["json"], WORKS["stream"]


def unlike(body: bytes) -> bytes:
    """The answer of a model that is no mock."""
    return body.replace(MOCK_WORD.encode(), b"Certainly, here")


def longer(body: bytes) -> bytes:
    return unlike(body).replace(b"Certainly", b"Certainly, certainly" * 30)


async def test_two_sound_places_raise_no_doubt_about_either() -> None:
    told = await compared(JSON, one=BentUpstream(), other=BentUpstream())
    assert (doubts_of(told, "one") | doubts_of(told, "other")) <= {"cold start"}
    assert {cell["answers"] for cell in told["cells"]} == {24}
    assert {cell["seen"]["opened"] for cell in told["cells"]} == {0}
    assert "few answers" in doubts_of(told)


async def test_a_place_that_closes_each_connection() -> None:
    told = await compared(JSON, sound=BentUpstream(), closing=BentUpstream(closing=True))
    assert "keep-alive" in doubts_of(told, "closing")
    assert "keep-alive" not in doubts_of(told, "sound")


async def test_a_place_that_holds_streams_back() -> None:
    told = await compared(PACED, rounds=1, requests=4, sound=BentUpstream(), held=BentUpstream(held=True))
    assert "stream buffered" in doubts_of(told, "held")
    assert "stream buffered" not in doubts_of(told, "sound")


async def test_a_model_that_holds_streams_back_is_seen_beside_one_that_does_not() -> None:
    upstreams = {"sound": BentUpstream(unlike), "held": BentUpstream(unlike, held=True)}
    upstreams["held"]._edit = lambda body: body
    told = await compared(PACED, rounds=1, requests=4, **upstreams)
    found = [cell for cell in told["cells"] if cell["place"] == "held"]
    assert found[0]["seen"]["span_s"] == 0
    assert "stream buffered" in doubts_of(told, "held")


async def test_a_place_that_fails_quickly_is_not_a_fast_one() -> None:
    told = await compared(JSON, sound=BentUpstream(), failing=BentUpstream(failing=3))
    cell = next(one for one in told["cells"] if one["place"] == "failing")
    assert cell["errors"]
    assert list(cell["errors"]) == ["status 503 (overloaded)"]
    assert cell["answers"] + sum(cell["errors"].values()) == 24
    assert "errors" in doubts_of(told, "failing")
    assert "sk-secret" not in str(told)


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda body: body.replace(b"w00003", b"w00004"), "altered answer"),
        (lambda body: b"<html>busy</html>", "no answer of this dialect"),
    ],
)
async def test_a_wrong_answer_is_a_failure(edit: Callable[[bytes], bytes], error: str) -> None:
    told = await compared(JSON, rounds=1, wrong=_after_the_probe(edit))
    assert set(told["cells"][0]["errors"]) == {error}
    assert told["cells"][0]["total_s"] is None


async def test_a_cache_is_found_by_the_ids() -> None:
    first: list[bytes] = []

    def cached(body: bytes) -> bytes:
        first.append(body)
        return first[min(len(first) - 1, 1)]

    told = await compared(JSON, sound=BentUpstream(), cached=BentUpstream(cached))
    assert "cache" in doubts_of(told, "cached")
    assert "cache" not in doubts_of(told, "sound")


async def test_a_stream_that_is_cut_has_no_part_in_the_figures() -> None:
    told = await compared(STREAM, rounds=1, cut=_after_the_probe(lambda body: body[: len(body) // 2]))
    assert told["cells"][0]["answers"] == 0
    (error,) = told["cells"][0]["errors"]
    assert error in ("error in the stream (upstream_truncated)", "stream without an end")


async def test_answers_of_different_length_are_different_work() -> None:
    told = await compared(JSON, short=BentUpstream(unlike), long=BentUpstream(longer))
    assert "different lengths" in doubts_of(told, "long")
    assert not any(place["of_mock"] for place in told["places"])


async def test_a_mock_and_a_model_are_not_one_thing() -> None:
    told = await compared(JSON, mock=BentUpstream(), model=BentUpstream(unlike))
    assert "different upstreams" in doubts_of(told)


async def test_by_the_clock_every_request_leaves() -> None:
    told = await compared(JSON, rounds=1, step=400, requests=40, by_rate=True, one=BentUpstream())
    assert told["loop"] == "open"
    assert told["cells"][0]["answers"] == 40


def cell(place: str = "a", **more: Any) -> dict[str, Any]:
    seen = {
        "client_cpu": 0.2, "late_p99_s": 0.0, "idle": 0.5, "opened": 0, "cold_s": 0.01, "total_s_by_round": [0.01] * 5,
        "error_s": None, "digests": 1, "events": 100, "reads": 100, "characters": 800, "span_s": 0.5,
    }  # fmt: skip
    times = {"p50": 0.01, "p95": 0.02, "p99": 0.03, "middle": 0.01, "low": 0.01, "high": 0.01}
    known: dict[str, Any] = {
        "work": "json", "step": 8, "place": place, "answers": 500, "errors": {}, "unsent": 0, "total_s": times,
        "answers_per_s": {"middle": 8.0, "low": 8.0, "high": 8.0}, "first_s": None,
    }  # fmt: skip
    return {**known, "seen": {**seen, **more.pop("seen", {})}, **more}


def told_of(*cells: dict[str, Any], **more: Any) -> dict[str, Any]:
    names = dict.fromkeys(one["place"] for one in cells)
    place = {"url": "http://h", "dialect": "chat", "model": "m", "of_mock": True, "is_local": True}
    work = {"name": "json", "stream": False, "script": {"events": 25, "pace_ms": 0, "event_bytes": 8}}
    known = {"loop": "closed", "clients": 1, "cores": 2, "rounds": 5, "works": [work], "cells": list(cells)}
    return {**known, "places": [{**place, "name": name} for name in names], **more}


@pytest.mark.parametrize(
    ("kind", "changed", "is_grave"),
    [
        ("client saturated", {"seen": {"client_cpu": 0.97}}, True),
        ("client's clock", {"seen": {"late_p99_s": 0.02}}, False),
        ("machine full", {"seen": {"idle": 0.02}}, False),
        ("cold start", {"seen": {"cold_s": 4.0}}, False),
        ("cold start", {"seen": {"total_s_by_round": [0.1, 0.01, 0.01, 0.01, 0.01]}}, False),
        ("few answers", {"answers": 60}, False),
    ],
)
def test_what_only_figures_can_show(kind: str, changed: dict[str, Any], is_grave: bool) -> None:
    assert doubts(told_of(cell())) == []
    found = doubts(told_of(cell(**changed)))
    assert [(one.kind, one.is_grave) for one in found] == [(kind, is_grave)]


def test_a_place_that_cannot_keep_up_with_the_clock() -> None:
    slow = {"answers_per_s": {"middle": 5.0, "low": 5.0, "high": 5.0}}
    assert doubts(told_of(cell(), loop="open")) == []
    assert [one.kind for one in doubts(told_of(cell(**slow), loop="open"))] == ["not kept up"]
    assert [one.kind for one in doubts(told_of(cell(unsent=9), loop="open"))] == ["not kept up"]


def test_a_place_here_and_one_far_away() -> None:
    told = told_of(cell("here"), cell("far"))
    told["places"][1] |= {"url": "https://far", "is_local": False, "dialect": "messages"}
    assert [one.kind for one in doubts(told)] == ["different dialects", "different ways"]


def test_a_doubt_of_many_rows_is_said_once() -> None:
    cells = [cell(step=step, seen={"opened": 500}) for step in (1, 2, 4, 8, 16, 32)]
    (doubt,) = doubts(told_of(*cells))
    assert doubt.text.endswith("(Likewise: json at 2; json at 4; json at 8 and 2 more.)")


def _after_the_probe(edit: Callable[[bytes], bytes]) -> BentUpstream:
    """The first answer is right."""
    seen: list[bytes] = []

    def edited(body: bytes) -> bytes:
        seen.append(body)
        return body if len(seen) == 1 else edit(body)

    return BentUpstream(edited)
