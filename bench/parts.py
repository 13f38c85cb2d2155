"""The parts of the hot path alone: microseconds an event, by how many events one read brings.

    PYTHONPATH=src python -m bench.parts        (in the environment that `tools/dev.py` makes)

A slow model brings one event a read, a fast one several, a replayed answer all at once.
"""

from __future__ import annotations

import itertools
import timeit
from collections.abc import Callable

from ds2api.dialects.contract import Asker
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.usage import Usage
from ds2api.wire.framing import ChunkedReader
from ds2api.wire.sse import SseParser

EVENTS = 200
READS = (1, 8, EVENTS)


def stream(name: str, kind: str = "stream") -> list[bytes]:
    """One answer of `EVENTS` deltas in the dialect `name`, an event each: text, or for "tools" a call's arguments."""
    encoder = DIALECTS[name].encoder(asker())
    bursts: list[list[ev.Event]] = [[ev.Started("id", "m", 1, Usage(input_uncached=9))]]
    if kind == "tools":
        bursts += [[ev.PartStarted(0, "call", id="call_1", name="f")], [ev.ArgumentsDelta(0, '{"a":"')]]
        bursts += [[ev.ArgumentsDelta(0, f" word number {number};")] for number in range(EVENTS)]
        bursts.append([ev.ArgumentsDelta(0, '"}')])
    else:
        bursts.append([ev.PartStarted(0, "text")])
        bursts += [[ev.TextDelta(0, f" word number {number};")] for number in range(EVENTS)]
    bursts.append([ev.PartFinished(0), ev.Finished("stop"), ev.UsageSeen(Usage(output_text=EVENTS)), ev.Ended()])
    return [encoder.encode(burst) for burst in bursts]


def asker() -> Asker:
    numbers = itertools.count()
    return Asker("m", "req_1", 1, lambda: f"id{next(numbers)}", wants_usage=True)


def measure(what: str, run: Callable[[], object]) -> None:
    best = min(timeit.repeat(run, number=20, repeat=7)) / 20 / EVENTS * 1e6
    print(f"{what:<45}{best:6.2f} µs an event")


def main() -> None:
    for name, dialect in DIALECTS.items():
        other = next(one for one in DIALECTS.values() if one is not dialect)
        events = stream(name)
        for count in READS:
            reads = [b"".join(events[at : at + count]) for at in range(0, len(events), count)]
            chunks = [
                b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[at : at + count])
                for at in range(0, len(events), count)
            ]

            def fed(make: Callable[[], object], method: str, given: list[bytes]) -> Callable[[], list[object]]:
                def run() -> list[object]:
                    feed = getattr(make(), method)
                    return [feed(one) for one in given]

                return run

            decoded = fed(dialect.decoder, "feed", reads)()
            label = f"{name}, {count} a read: "
            measure(label + "chunked reader", fed(ChunkedReader, "feed", chunks))
            measure(label + "event reader alone", fed(SseParser, "feed", reads))
            measure(label + "tap", fed(lambda: dialect.tap(strip_usage=False), "forward", reads))  # noqa: B023
            measure(label + "decoder", fed(dialect.decoder, "feed", reads))
            measure(label + f"encoder of {other.name}", fed(lambda: other.encoder(asker()), "encode", decoded))  # noqa: B023


if __name__ == "__main__":
    main()
