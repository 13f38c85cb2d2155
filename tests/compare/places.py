"""Places to compare that do wrong in one way each, and what a comparison tells of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from ds2api.compare.asking import probe
from ds2api.compare.document import document
from ds2api.compare.mock import MODEL, MockUpstream
from ds2api.compare.places import Place
from ds2api.compare.question import WORKS, Script, Work
from ds2api.compare.running import Budget, Plan, Run
from ds2api.compare.worker import measure
from ds2api.dialects.contract import Dialect
from ds2api.universal.errors import Error, Fault, Kind, Problem

ABOUT: Mapping[str, Any] = {
    "made_at": "2026-01-01T00:00:00+00:00", "command": "ds2api bench", "ds2api": "0", "python": "3", "system": "Linux",
    "cores": 2,
}  # fmt: skip
PACED = replace(WORKS["paced"], script=Script(12, 10, 8))


class Bent:
    """An `Incoming` whose answer goes through `edit`; `closing` ends the connection behind it, `held` keeps a stream
    until it is whole."""

    def __init__(self, incoming: Any, edit: Callable[[bytes], bytes], *, closing: bool, held: bool) -> None:
        self._incoming, self._edit, self._closing = incoming, edit, closing
        self._held: list[bytes] | None = [] if held else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._incoming, name)

    def respond(self, status: int, headers: Any, body: bytes = b"") -> None:
        self._incoming.respond(status, headers, self._edit(body), close=self._closing)

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._incoming.write(self._edit(data))
        else:
            self._held.append(data)

    def finish(self) -> None:
        if self._held is not None:
            self._incoming.write(b"".join(self._held))
        self._incoming.finish()


class BentUpstream(MockUpstream):
    """The mock, but: `edit` its bytes, close each connection, hold streams back, fail `failing` of ten requests."""

    def __init__(
        self,
        edit: Callable[[bytes], bytes] = lambda body: body,
        *,
        closing: bool = False,
        held: bool = False,
        failing: int = 0,
    ) -> None:
        super().__init__()
        self._edit, self._closing, self._held, self._failing = edit, closing, held, failing
        self.asked = 0

    async def answer(self, incoming: Any, dialect: Dialect, raw: bytes, request_id: str) -> None:
        self.asked += 1
        if self.asked % 10 >= 10 - self._failing:
            raise Problem(Error(Fault.PROVIDER, Kind.OVERLOADED, "Overloaded, key sk-secret-0001"))
        bent = Bent(incoming, self._edit, closing=self._closing, held=self._held)
        await super().answer(bent, dialect, raw, request_id)  # type: ignore[arg-type]


async def compared(
    work: Work, rounds: int = 2, step: int = 2, requests: int = 12, *, by_rate: bool = False, **upstreams: MockUpstream
) -> dict[str, Any]:
    """The document of a comparison of `upstreams` by their names, measured in this process."""
    async with AsyncExitStack() as stack:
        places = []
        for name, upstream in upstreams.items():
            await stack.enter_async_context(upstream)
            places.append(await probe(Place(name, upstream.base_url, "", MODEL), {}, 10))
        plan = Plan(tuple(place for place, _ in places), (work,), (step,), by_rate, rounds, requests, 10, 10)
        run = Run(plan, Budget(None, None))
        for turn in plan.turns():
            found = await measure(plan.job(turn), {})
            run.rounds.setdefault((turn[0].name, turn[1], turn[2].name), []).append(found)
        return document(run, places, ABOUT)


def doubts_of(told: Mapping[str, Any], place: str = "") -> set[str]:
    """The kinds of doubt about `place`, of those that the place itself gives rise to: how busy this machine is while
    tests run is no matter here."""
    return {one["kind"] for one in told["doubts"] if one["place"] == place}
