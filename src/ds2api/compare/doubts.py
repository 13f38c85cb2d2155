"""Mistakes in a comparison that its own figures give away. Pure: reads the document, says what is doubtful.

Each doubt is a function that says a sentence or nothing; a new one is a function and a line in `_OF_CELLS` or
`_OF_ALL`. Grave: the figures are not what they seem; else: to be read with care.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Doubt", "doubts"]

Told = Mapping[str, Any]

_FULL = 0.85  # of a core, above which a single-threaded client has no room left for a burst
_APART = 0.2  # answers that differ in length by more are not the same work


@dataclass(frozen=True, slots=True)
class Doubt:
    """`place` is "" where it is about all."""

    kind: str
    text: str
    place: str = ""
    is_grave: bool = False


def doubts(told: Told) -> list[Doubt]:
    """What is doubtful in the document `told`, the grave first; the same doubt in several rows is said once."""
    found: list[Doubt] = []
    for kind, (find, is_grave, is_of_place) in _OF_CELLS.items():
        by_place: dict[str, list[tuple[str, str]]] = {}
        for cell in told["cells"]:
            if text := find(cell, told):
                row = f"{cell['work']} at {cell['step']}"
                key = cell["place"] if is_of_place else ""
                by_place.setdefault(key, []).append((text, row if is_of_place else f"{cell['place']}, {row}"))
        for place, said in by_place.items():
            (first, at), others = said[0], [where for _, where in said[1:]]
            rest = f" and {len(others) - 3} more" if len(others) > 3 else ""
            likewise = f" (Likewise: {'; '.join(others[:3])}{rest}.)" if others else ""
            found.append(Doubt(kind, f"{place}{', ' * bool(place)}{at}: {first}{likewise}", place, is_grave))
    found += [Doubt(kind, text, "", is_grave) for kind, (say, is_grave) in _OF_ALL.items() if (text := say(told))]
    return sorted(found, key=lambda one: not one.is_grave)


def _errors(cell: Told, told: Told) -> str:
    count, good, seen = sum(cell["errors"].values()), cell["answers"], cell["seen"]
    if not count:
        return ""
    kinds = ", ".join(f"{kind} × {times}" for kind, times in list(cell["errors"].items())[:3])
    text = f"{count} of {count + good} requests failed ({kinds}). The figures are of the good answers."
    if good and count > 0.05 * good and seen["error_s"] < cell["total_s"]["middle"] / 2:
        text += f" Failures took {_ms(seen['error_s'])}, good answers {_ms(cell['total_s']['middle'])}: who counts both"
        text += " alike sees a fast place."
    return text


def _cache(cell: Told, told: Told) -> str:
    if "somebody else's answer" in cell["errors"]:
        return "answers came that belong to other requests. A cache answers, or streams are mixed up."
    varied = [one["place"] for one in _beside(cell, told) if one["seen"]["digests"] > 1]
    is_fixed = cell["answers"] >= 5 and cell["seen"]["digests"] == 1 and varied
    return f"all answers were word for word the same, and those of {varied[0]} were not: a cache?" if is_fixed else ""


def _keep_alive(cell: Told, told: Told) -> str:
    asked, opened = cell["answers"] + sum(cell["errors"].values()), cell["seen"]["opened"]
    if told["loop"] == "open" or asked < 4 or opened <= asked / 2:
        return ""
    return (
        f"{opened} new connections for {asked} requests. It does not keep connections, so every request pays for a new "
        "one: what was measured is TCP (and TLS) more than the place."
    )


def _client_full(cell: Told, told: Told) -> str:
    share = cell["seen"]["client_cpu"]
    more = "The place could do more than is shown: take more --clients, or read the CPU column."
    return f"the client itself used {share:.0%} of its core. {more}" if share > _FULL else ""


def _client_late(cell: Told, told: Told) -> str:
    late_s, times = cell["seen"]["late_p99_s"], cell["first_s"] or cell["total_s"] or {"p99": None, "middle": 1e9}
    tail_s = times["p99"] or times["middle"]
    if late_s <= max(tail_s / 2, 0.002) or cell["seen"]["client_cpu"] > _FULL:
        return ""
    late = f"the client's own timers were late by up to {_ms(late_s)} (p99), beside a p99 of {_ms(tail_s)}"
    return f"{late}: much of the slow end is this machine's, not the place's."


def _machine_full(cell: Told, told: Told) -> str:
    idle = cell["seen"]["idle"]
    if idle is None or idle >= 0.1 or not _place(cell, told)["is_local"]:
        return ""
    return (
        f"{idle:.0%} of this machine's {told['cores']} cores was idle. Client, place, mock and whatever else runs here "
        "waited for each other: compare the CPU column, or give each a machine of its own."
    )


def _buffers(cell: Told, told: Told) -> str:
    work, seen = next(one for one in told["works"] if one["name"] == cell["work"]), cell["seen"]
    if not work["stream"] or not cell["answers"] or seen["events"] < 8:
        return ""
    total_s, span_s = cell["total_s"]["middle"], seen["span_s"]
    if _place(cell, told)["of_mock"]:
        expected_s = (work["script"]["events"] - 1) * work["script"]["pace_ms"] / 1e3
        is_held = expected_s > 0.02 and span_s < expected_s / 2
    else:  # what a model's pace is only another place can show, or a long wait that ends at once
        shares = [one["seen"]["span_s"] / one["total_s"]["middle"] for one in _beside(cell, told) if one["answers"]]
        is_held = span_s < 0.1 * total_s and (max(shares) > 0.5 or (seen["reads"] <= 2 and total_s > 0.3))
    if not is_held:
        return ""
    return (
        f"the {seen['events']:.0f} events of a stream came within {_ms(span_s)}, at the end of {_ms(total_s)}. It "
        "holds the stream back: a user sees nothing until all is there, and its time per event means nothing."
    )


def _cold(cell: Told, told: Told) -> str:
    rounds, cold_s = cell["seen"]["total_s_by_round"], cell["seen"]["cold_s"]
    if len(rounds) >= 3 and rounds[0] > 1.5 * max(rounds[1:]):
        times = f"{rounds[0] / max(rounds[1:]):.1f} times slower than any later one"
        return f"the first round was {times}. The warm-up was too short (or a cache filled): look at the later rounds."
    if rounds and cold_s > max(0.1, 10 * min(rounds)):
        return f"the very first request took {cold_s:.2f} s. It is not in the figures; users meet it."
    return ""


def _behind(cell: Told, told: Told) -> str:
    rate = cell["answers_per_s"]["middle"] if cell["answers_per_s"] else 0.0
    is_behind = cell["unsent"] or (rate < 0.9 * cell["step"] and not cell["errors"])
    if told["loop"] != "open" or not is_behind:
        return ""
    return f"it answered {rate:.0f} times a second. Its times grow as long as one measures and say nothing but that."


def _different(name: str, words: str) -> Callable[[Told, Told], str]:
    def say(cell: Told, told: Told) -> str:
        first = next((one for one in _beside(cell, told) if one["answers"]), cell)
        own, other = cell["seen"][name] or 0, first["seen"][name] or 0
        if not cell["answers"] or abs(own - other) <= _APART * max(own, other):
            return ""
        return f"an answer has {own:.0f} {name}, one of {first['place']} {other:.0f}. {words}"

    return say


def _ways(told: Told) -> str:
    near = [place["name"] for place in told["places"] if place["is_local"]]
    far = [place["name"] for place in told["places"] if not place["is_local"]]
    schemes = {place["url"].partition(":")[0] for place in told["places"]}
    text = f"{', '.join(near)} on this machine, {', '.join(far)} over the network: much of the difference is the way. "
    return (text if near and far else "") + ("Some are asked over TLS and some are not." if len(schemes) > 1 else "")


def _unlike(name: str, words: str) -> Callable[[Told], str]:
    def say(told: Told) -> str:
        values = {place["name"]: place[name] for place in told["places"]}
        said = "; ".join(f"{place}: {value or 'no'}" for place, value in values.items())
        is_of_no_matter = name == "model" and all(place["of_mock"] for place in told["places"])
        return f"{words} {said}." if len(set(values.values())) > 1 and not is_of_no_matter else ""

    return say


def _few(told: Told) -> str:
    few = [cell["answers"] for cell in told["cells"] if 0 < cell["answers"] < 100]
    rows = f"{len(few)} of {len(told['cells'])} rows have fewer than 100 answers (the fewest {min(few, default=0)})"
    text = f"{rows}: their p99 is left empty, since it would be no more than the slowest answer. " if few else ""
    chance = "With fewer than three rounds a difference cannot be told from chance."
    return text + (chance if told["rounds"] < 3 else "")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _place(cell: Told, told: Told) -> Told:
    place: Told = next(one for one in told["places"] if one["name"] == cell["place"])
    return place


def _beside(cell: Told, told: Told) -> list[Told]:
    """All rows of this work at this step."""
    return [one for one in told["cells"] if (one["work"], one["step"]) == (cell["work"], cell["step"])]


# Kind → who finds it, whether it is grave, whether it is the place's own (else the client's, or the machine's).
_OF_CELLS: Mapping[str, tuple[Callable[[Told, Told], str], bool, bool]] = {
    "errors": (_errors, True, True),
    "cache": (_cache, True, True),
    "keep-alive": (_keep_alive, True, True),
    "stream buffered": (_buffers, True, True),
    "not kept up": (_behind, True, True),
    "client saturated": (_client_full, True, False),
    "different lengths": (_different("characters", "It was not the same work: compare times per event."), True, True),
    "different pieces": (
        _different("events", "One joins or cuts events: times per event differ in kind."),
        False,
        True,
    ),
    "cold start": (_cold, False, True),
    "client's clock": (_client_late, False, False),
    "machine full": (_machine_full, False, False),
}
_OF_ALL: Mapping[str, tuple[Callable[[Told], str], bool]] = {
    "different upstreams": (_unlike("of_mock", "Behind some the mock answers, behind others it does not."), True),
    "different dialects": (_unlike("dialect", "Protocols differ, and so size and number of events."), False),
    "different models": (_unlike("model", "Different models are compared."), False),
    "different ways": (_ways, False),
    "few answers": (_few, False),
}
