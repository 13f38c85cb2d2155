"""Hostile JSON, with the structure of the real thing: fields gone, doubled, of another type, lists that hold what they
like, in any request, answer or event. Whatever comes, a reader raises `Problem` or makes something that every writer
can write; nothing else may leave it, since on the data plane that would be an answer that never ends.

The seeds are the golden cases' requests and streams. Each mutation is made from its number, so a failure is its number.
`DS2API_HYPOTHESIS=deep` makes a hundred times as many.
"""

from __future__ import annotations

import json
import os
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.faults.speech import pieces_of, whole_of

from ds2api import jsons
from ds2api.dialects.contract import Asker, Target
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Problem
from ds2api.universal.response import fold, play

CASES = Path(__file__).parent.parent / "cases"
COUNT = 200_000 if os.environ.get("DS2API_HYPOTHESIS") == "deep" else 1_500
SEALER = Sealer(b"s" * 32)
every_dialect = pytest.mark.parametrize("dialect", list(DIALECTS))
# What takes the place of a value.
ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**18, "", "x", "\u2028", [], {}, [None], [[]], [{}], ["x"], {"type": "text"}, {"type": None},
    {"x": {"x": []}},
]  # fmt: skip
# Fields that decide, put where they do not belong.
NAMES = ("type", "role", "index", "id", "name", "delta", "content", "text", "parts", "usage", "error", "finish_reason",
         "finishReason", "item", "part", "tool_calls", "arguments", "input", "signature", "stop_reason")  # fmt: skip


def mutated(chance: random.Random, value: Any) -> Any:
    """`value` with one thing in it changed."""
    if isinstance(value, dict) and value and chance.random() > 0.1:
        copy, name = dict(value), chance.choice(list(value))
        match chance.randrange(6):
            case 0:
                del copy[name]
            case 1:
                copy[name] = chance.choice(ODD)
            case 2:
                copy[chance.choice(NAMES)] = chance.choice(ODD)
            case _:
                copy[name] = mutated(chance, copy[name])
        return copy
    if isinstance(value, list) and value and chance.random() > 0.1:
        copied, place = list(value), chance.randrange(len(value))
        match chance.randrange(6):
            case 0:
                del copied[place]
            case 1:
                copied.insert(place, chance.choice(ODD))
            case 2:
                copied.append(copied[place])
            case _:
                copied[place] = mutated(chance, copied[place])
        return copied
    return chance.choice(ODD)


def several(chance: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    for _ in range(chance.randint(1, 3)):
        changed = mutated(chance, value)
        value = changed if isinstance(changed, dict) else {"x": changed}
    return jsons.parse_object(json.dumps(value).encode())  # as it would come


@lru_cache
def requests_of(dialect: str) -> list[dict[str, Any]]:
    files = sorted((CASES / "requests" / dialect).glob("*.json"))
    return [json.loads(file.read_text())["request"]["body"] for file in files]


@lru_cache
def streams_of(dialect: str) -> list[bytes]:
    files = sorted((CASES / "streams").glob(f"{dialect}-*.json"))
    recorded = [json.loads(file.read_text())["stream"] for file in files]
    return [b"".join(pieces_of(dialect, "Hello there")), *(_joined(dialect, one) for one in recorded)]


def _joined(dialect: str, events: list[str]) -> bytes:
    return "".join(f"{event}\n" if dialect == "ollama" else f"{event.strip()}\n\n" for event in events).encode()


def asker(*, stream: bool) -> Asker:
    return Asker("m", "req_1", 1, lambda: "abc", stream=stream, wants_usage=True, input_estimate=3, provider="p",
                 upstream_model="m", account="t", sealer=SEALER)  # fmt: skip


@every_dialect
def test_a_stream_of_hostile_events_is_read_and_written_or_refused(dialect: str) -> None:
    separator = b"\n" if dialect == "ollama" else b"\n\n"
    reader = DIALECTS[dialect]
    for number in range(COUNT):
        chance = random.Random(number)
        events = chance.choice(streams_of(dialect)).split(separator)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(events))
            name, mark, data = events[place].rpartition(b"data: ")
            try:
                changed = mutated(chance, json.loads(data))
            except ValueError:
                events.insert(place, events[chance.randrange(len(events))])
            else:
                events[place] = name + mark + json.dumps(changed).encode()
        raw = separator.join(events)
        cut = chance.randrange(len(raw) + 1)
        try:
            decoder, encoder = reader.decoder(), DIALECTS[chance.choice(list(DIALECTS))].encoder(asker(stream=True))
            made = []
            for found in (decoder.feed(raw[:cut]), decoder.feed(raw[cut:]), decoder.end()):
                encoder.encode(found)
                made += found
            tap = reader.tap(strip_usage=chance.random() < 0.5)
            _ = tap.forward(raw[:cut]), tap.forward(raw[cut:]), tap.end(), tap.usage
            try:
                fold(made)
            except Problem:
                pass  # an answer that failed
        except Exception as error:
            pytest.fail(f"mutation {number}: {error!r}")


@every_dialect
def test_a_hostile_answer_is_read_and_written_or_refused(dialect: str) -> None:
    reader = DIALECTS[dialect]
    for number in range(COUNT):
        chance = random.Random(number)
        body = several(chance, json.loads(whole_of(dialect, "Hello there")))
        writer = DIALECTS[chance.choice(list(DIALECTS))]
        try:
            reader.read_usage(body)
            response = reader.read_response(body)
            writer.write_response(response, asker(stream=False))
            writer.encoder(asker(stream=True)).encode(play(response))
        except Problem:
            continue
        except Exception as error:
            pytest.fail(f"mutation {number}: {error!r}")


@every_dialect
def test_a_hostile_request_is_read_and_written_or_refused(dialect: str) -> None:
    reader = DIALECTS[dialect]
    for number in range(COUNT):
        chance = random.Random(number)
        body = several(chance, chance.choice(requests_of(dialect)))
        path = "/v1beta/models/m:generateContent" if dialect == "gemini" else "/"
        other = chance.choice(list(DIALECTS))
        target = Target(
            "p", "m", losses=chance.choice(["report", "allow", "refuse"]), default_max_output_tokens=99, sealer=SEALER
        )
        try:
            reader.peek(body, path)
            reader.fits(body, target)
            DIALECTS[other].write_request(reader.read_request(body, {}, path), target)
        except Problem:
            continue
        except Exception as error:
            pytest.fail(f"mutation {number}: {error!r}")
