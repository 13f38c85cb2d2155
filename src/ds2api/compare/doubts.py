"""Mistakes in a comparison that its own figures give away. Pure: reads the document, says what is doubtful.

Each doubt is a function of a cell and all that is known; a new one is a function and a line in `_OF_CELLS` or
`_OF_ALL`. `is_grave`: the figures of that place are not what they seem; else: to be read with care.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Doubt", "doubts"]

Told = Mapping[str, Any]

# Above this share of a core a single-threaded client has no room left for a burst.
_FULL = 0.85
# Answers that differ in length by more than this are not the same work.
_APART = 0.2
_NOTICED_S = 0.001


@dataclass(frozen=True, slots=True)
class Doubt:
    kind: str
    text: str
    place: str = ""  # "" for all
    is_grave: bool = False


def doubts(told: Told) -> list[Doubt]:
    """What is doubtful in the document `told`, the grave first; the same doubt at several steps is said once."""
    found: dict[tuple[str, str], Doubt] = {}
    more: dict[tuple[str, str], list[str]] = {}
    for cell in told["cells"]:
        for doubt in (one for find in _OF_CELLS for one in find(cell, told)):
            key = doubt.kind, doubt.place
            where = f"{cell['work']} at {cell['step']}" if doubt.place else _where(cell)
            if found.setdefault(key, doubt) is not doubt:
                more.setdefault(key, []).append(where)
    for key, places in more.items():
        first = found[key]
        rest = f" and {len(places) - 3} more" if len(places) > 3 else ""
        text = f"{first.text} (Likewise: {'; '.join(places[:3])}{rest}.)"
        found[key] = Doubt(first.kind, text, first.place, first.is_grave)
    whole = [one for find in _OF_ALL for one in find(told)]
    return sorted([*found.values(), *whole], key=lambda one: not one.is_grave)


def _where(cell: Told) -> str:
    return f"{cell['place']}, {cell['work']} at {cell['step']}"


def _keep_alive(cell: Told, told: Told) -> Iterator[Doubt]:
    answers, opened = cell["answers"] + sum(cell["errors"].values()), cell["seen"]["opened"]
    if answers >= 4 and opened > answers / 2 and not cell["unsent"] and told["loop"] == "closed":
        yield Doubt(
            "keep-alive",
            f"{_where(cell)}: {opened} new connections for {answers} requests. It does not keep connections, so every "
            "request pays for a new one: what was measured is TCP (and TLS) more than the place.",
            cell["place"],
            True,
        )


def _client_full(cell: Told, told: Told) -> Iterator[Doubt]:
    share = cell["seen"]["client_cpu"]
    if share > _FULL:
        yield Doubt(
            "client saturated",
            f"{_where(cell)}: the client itself used {share:.0%} of its core. The place could do more than is shown; "
            "take more --clients, or read the CPU column.",
            is_grave=True,
        )


def _client_late(cell: Told, told: Told) -> Iterator[Doubt]:
    late_s, times = cell["seen"]["late_p99_s"], cell["first_s"] or cell["total_s"]
    tail_s = times and (times["p99"] or times["middle"])
    if times and late_s > 0.002 and late_s > tail_s / 2 and cell["seen"]["client_cpu"] <= _FULL:
        yield Doubt(
            "client's clock",
            f"{_where(cell)}: the client's own timers were late by up to {late_s * 1e3:.1f} ms (p99), beside a p99 of "
            f"{tail_s * 1e3:.1f} ms: much of the slow end is this machine's, not the place's.",
        )


def _machine_full(cell: Told, told: Told) -> Iterator[Doubt]:
    idle = cell["seen"]["idle"]
    if idle is not None and idle < 0.1 and _of(told, cell)["is_local"]:
        yield Doubt(
            "machine full",
            f"{_where(cell)}: {idle:.0%} of this machine's {told['cores']} cores was idle. Client, place, mock and "
            "whatever else runs here waited for each other: compare the CPU column, or give each a machine of its own.",
        )


def _errors(cell: Told, told: Told) -> Iterator[Doubt]:
    count, good = sum(cell["errors"].values()), cell["answers"]
    if not count:
        return
    share, error_s = count / (count + good), cell["seen"]["error_s"]
    kinds = ", ".join(f"{kind} × {times}" for kind, times in list(cell["errors"].items())[:3])
    text = f"{_where(cell)}: {count} of {count + good} requests failed ({kinds}). The figures are of the good answers."
    if cell["total_s"] and share > 0.05 and error_s < cell["total_s"]["middle"] / 2:
        text += (
            f" The failures took {error_s * 1e3:.1f} ms, the good answers {cell['total_s']['middle'] * 1e3:.1f} ms: "
            "who counts both alike sees a fast place."
        )
    yield Doubt("errors", text, cell["place"], share > 0.01)
    if "somebody else's answer" in cell["errors"]:
        text = f"{_where(cell)}: answers came that belong to other requests. A cache answers, or streams are mixed up."
        yield Doubt("cache", text, cell["place"], True)


def _buffers(cell: Told, told: Told) -> Iterator[Doubt]:
    seen, work = cell["seen"], _work(told, cell)
    if not work["stream"] or not cell["answers"] or seen["events"] < 8:
        return
    if _of(told, cell)["of_mock"]:
        expected_s = (work["script"]["events"] - 1) * work["script"]["pace_ms"] / 1e3
        is_held = expected_s > 0.02 and seen["span_s"] < expected_s / 2
    else:
        others = [one["seen"]["span_s"] / one["total_s"]["middle"] for one in _beside(told, cell) if one["answers"]]
        is_held = seen["span_s"] < 0.1 * cell["total_s"]["middle"] and (
            any(share > 0.5 for share in others) or (seen["reads"] <= 2 and cell["total_s"]["middle"] > 0.3)
        )
    if is_held:
        yield Doubt(
            "stream buffered",
            f"{_where(cell)}: the {seen['events']:.0f} events of a stream came within {seen['span_s'] * 1e3:.1f} ms, "
            f"at the end of {cell['total_s']['middle'] * 1e3:.0f} ms. It holds the stream back, so a user sees nothing "
            "until all is there, and its time per event means nothing.",
            cell["place"],
            True,
        )


def _cold(cell: Told, told: Told) -> Iterator[Doubt]:
    rounds, cold_s = cell["seen"]["total_s_by_round"], cell["seen"]["cold_s"]
    if len(rounds) >= 3 and rounds[0] > 1.5 * max(rounds[1:]):
        yield Doubt(
            "cold start",
            f"{_where(cell)}: its first round was {rounds[0] / max(rounds[1:]):.1f} times slower than any later one. "
            "The warm-up was too short for it (or a cache filled): look at the later rounds.",
            cell["place"],
        )
    elif rounds and cold_s > 0.1 and cold_s > 10 * min(rounds):
        yield Doubt(
            "cold start",
            f"{_where(cell)}: the very first request took {cold_s:.2f} s. It is not in the figures; users meet it.",
            cell["place"],
        )


def _behind(cell: Told, told: Told) -> Iterator[Doubt]:
    if told["loop"] != "open" or not cell["answers_per_s"]:
        return
    if cell["unsent"] or (cell["answers_per_s"]["middle"] < 0.9 * cell["step"] and not cell["errors"]):
        yield Doubt(
            "not kept up",
            f"{_where(cell)}: asked {cell['step']} times a second it answered {cell['answers_per_s']['middle']:.0f}. "
            "Its times grow as long as one measures and say nothing but that.",
            cell["place"],
            True,
        )


def _differing(cell: Told, told: Told) -> Iterator[Doubt]:
    """The same work?"""
    first = next((one for one in _beside(told, cell, whole=True) if one["answers"]), cell)
    if first is cell or not cell["answers"]:
        return
    for name, word, meaning in (
        ("characters", "characters", "They did not do the same work: compare times per event, not whole answers."),
        ("events", "events", "One of them joins or cuts events: their times per event are not of the same thing."),
    ):
        own, other = cell["seen"][name], first["seen"][name]
        if max(own, other) and abs(own - other) > _APART * max(own, other):
            yield Doubt(
                f"different {word}",
                f"{_where(cell)}: an answer has {own:.0f} {word}, one of {first['place']} {other:.0f}. {meaning}",
                cell["place"],
                name == "characters",
            )
    if cell["answers"] >= 5 and cell["seen"]["digests"] == 1 < first["seen"]["digests"]:
        text = (
            f"{_where(cell)}: all answers were word for word the same, and those of {first['place']} were not: a cache?"
        )
        yield Doubt("cache", text, cell["place"])


def _ways(told: Told) -> Iterator[Doubt]:
    """The same way to all?"""
    places: Sequence[Told] = told["places"]
    one, *_, other = sorted((*places, *places), key=lambda place: float(place["connect_s"]))
    if other["connect_s"] - one["connect_s"] > _NOTICED_S:
        where = "on this machine" if one["is_local"] else "nearer"
        yield Doubt(
            "different ways",
            f"{one['name']} is {where}: a connection to it takes {one['connect_s'] * 1e3:.1f} ms, one to "
            f"{other['name']} {other['connect_s'] * 1e3:.1f} ms. That much of every time is the network's.",
        )
    schemes = {place["url"].partition(":")[0] for place in places}
    if len(schemes) > 1:
        yield Doubt("different ways", "Some places are asked over TLS and some are not; TLS costs the client as well.")


def _unlike(told: Told) -> Iterator[Doubt]:
    places: Sequence[Told] = told["places"]
    for name, text in (
        ("dialect", "Places speak different protocols, whose events differ in size and number: {}."),
        ("of_mock", "Behind some places the mock answers and behind others it does not: {}."),
    ):
        if len({place[name] for place in places}) > 1:
            said = ", ".join(f"{place['name']} {place[name]}" for place in places)
            yield Doubt(f"different {name}", text.format(said), is_grave=name == "of_mock")
    models = {place["model"] for place in places}
    if len(models) > 1 and not all(place["of_mock"] for place in places):
        yield Doubt("different models", f"Different models are compared: {', '.join(sorted(models))}.")


def _few(told: Told) -> Iterator[Doubt]:
    few = [cell["answers"] for cell in told["cells"] if 0 < cell["answers"] < 100]
    if few:
        yield Doubt(
            "few answers",
            f"{len(few)} of {len(told['cells'])} rows have fewer than 100 answers (the fewest {min(few)}): their p99 "
            "is left empty, since it would be no more than the slowest answer.",
        )
    if 0 < told["rounds"] < 3:
        yield Doubt("few rounds", "With fewer than three rounds a difference cannot be told from chance.")


def _beside(told: Told, cell: Told, *, whole: bool = False) -> list[Told]:
    same = [one for one in told["cells"] if (one["work"], one["step"]) == (cell["work"], cell["step"])]
    return same if whole else [one for one in same if one is not cell]


def _of(told: Told, cell: Told) -> Told:
    place: Told = next(one for one in told["places"] if one["name"] == cell["place"])
    return place


def _work(told: Told, cell: Told) -> Told:
    work: Told = next(one for one in told["works"] if one["name"] == cell["work"])
    return work


_OF_CELLS: Sequence[Callable[[Told, Told], Iterator[Doubt]]] = (
    _errors, _keep_alive, _client_full, _client_late, _machine_full, _buffers, _cold, _behind, _differing,
)  # fmt: skip
_OF_ALL: Sequence[Callable[[Told], Iterator[Doubt]]] = (_unlike, _ways, _few)
