"""The mock upstream: answers whatever `question` says, in every dialect, and costs little.

An answer is encoded once for all requests that differ by their id only, and then filled in; a stream without pace
leaves in one write. So it is several times cheaper than what it helps to measure. Runs as a process of its own:

    python -m ds2api.compare.mock ADDRESS EVENTS PACE_MS BYTES
"""

from __future__ import annotations

import asyncio
import functools
import sys

from ds2api import jsons
from ds2api.compare.question import MARK, WORKS, Script, find_script, pieces
from ds2api.demo import Upstream
from ds2api.dialects.contract import Asker, Dialect
from ds2api.dialects.registry import DIALECTS
from ds2api.event_loop import run_loop
from ds2api.universal import events as ev
from ds2api.universal.response import fold
from ds2api.universal.usage import Usage
from ds2api.wire.server import Incoming

__all__ = ["MODEL", "MockUpstream", "main", "serve"]

MODEL = "mock"


class MockUpstream(Upstream):
    """Takes any key and any model. `script` is what it answers to requests that say none."""

    models = (MODEL,)

    def __init__(self, address: str = "127.0.0.1:0", script: Script = WORKS["paced"].script) -> None:
        super().__init__(address)
        self._script = script

    async def answer(self, incoming: Incoming, dialect: Dialect, raw: bytes, request_id: str) -> None:
        peek = dialect.peek(jsons.parse_object(raw), incoming.target)
        id_, script = find_script(raw) or (f"{self._count:016}", self._script)
        kind, written = _written(dialect.name, peek.model, peek.stream, peek.wants_usage, peek.form, script)
        mark, own = MARK.encode(), id_.encode()
        headers = [("content-type", kind), (dialect.request_id_header, request_id)]
        if not peek.stream:
            incoming.respond(200, headers, written[0].replace(mark, own))
            return
        incoming.start(200, headers)
        if not script.pace_ms:
            incoming.write(b"".join(written).replace(mark, own))
        else:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for number, piece in enumerate(written):
                await asyncio.sleep(max(began + number * script.pace_ms / 1000 - loop.time(), 0))
                incoming.write(piece.replace(mark, own))
        incoming.finish()


@functools.lru_cache(64)
def _written(
    dialect: str, model: str, stream: bool, wants_usage: bool, form: str, script: Script
) -> tuple[str, list[bytes]]:
    """The content-type and the body, in the pieces that leave one by one, with `MARK` where an id will stand."""
    asker = Asker(model, f"req_{MARK}", 1_760_000_000, lambda: MARK, stream, wants_usage, form=form)
    usage = Usage(input_uncached=32, cache_read=0, output_text=script.events)
    bursts: list[list[ev.Event]] = [[ev.TextDelta(0, text)] for text in pieces(script, MARK)]
    bursts[0][:0] = [ev.Started(f"mock-{MARK}", model, asker.created), ev.PartStarted(0, "text")]
    bursts.append([ev.PartFinished(0), ev.Finished("stop"), ev.UsageSeen(usage), ev.Ended()])
    if not stream:
        answer, _ = DIALECTS[dialect].write_response(fold(event for burst in bursts for event in burst), asker)
        return "application/json", [answer]
    encoder = DIALECTS[dialect].encoder(asker)
    return encoder.stream_type, [encoder.encode(burst) for burst in bursts]


async def serve(address: str, script: Script = WORKS["paced"].script) -> None:
    """Until it is cancelled. The first line says where. Raises `OSError` where it cannot listen."""
    async with MockUpstream(address, script) as mock:
        print(mock.base_url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """See the opening of this file."""
    run_loop(serve(sys.argv[1], Script(*map(int, sys.argv[2:5]))))


if __name__ == "__main__":
    main()
