"""Plays faults through one gateway: every case at once, since most of them only wait.

A case is a fault, the client's dialect, the provider's, and the form. Each has a provider entry of its own in the
configuration (an account that was refused may not serve another case), all of them one raw socket.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.end_to_end.faults.provider import Provider, Right
from tests.end_to_end.faults.rows import RIGHT, Fault
from tests.end_to_end.faults.speech import BASES, DIALECTS, read, request
from tests.end_to_end.keys import leaked, upstream_key
from tests.wire.helpers import RawClient

import ds2api

__all__ = ["Case", "Result", "cases_of", "play"]

# The gateway's own limits, beyond what a loaded machine needs for an answer that comes at once; and of a provider where a
# right outcome is an error, short, since many of those do nothing but wait.
TIMEOUTS = {
    "connect_total_s": 8, "first_byte_idle_s": 8, "event_idle_s": 8, "head_total_s": 3, "exchange_total_s": 6,
    "commit_after_s": 0.3,
}  # fmt: skip
HASTY = {"first_byte_idle_s": 1, "event_idle_s": 1}
# Beyond all of them together.
HANG_S = 25.0
# Whom a client of the first meets when the dialects differ.
_FOREIGN = {"chat": "messages", "messages": "chat", "responses": "gemini", "gemini": "responses", "ollama": "chat",
            "mistral": "messages"}  # fmt: skip
# All that an answer's head may hold.
_FIELDS = frozenset({
    "date", "content-type", "content-length", "transfer-encoding", "connection", "cache-control", "x-accel-buffering",
    "x-ds2api-request-id", "x-ds2api-served-by", "x-ds2api-warning", "x-request-id", "request-id", "retry-after",
    "retry-after-ms", "x-should-retry",
})  # fmt: skip


@dataclass(frozen=True)
class Case:
    fault: Fault
    client: str
    upstream: str
    stream: bool

    @property
    def name(self) -> str:
        form = "stream" if self.stream else "whole"
        return f"{self.fault.kind}: {self.fault.name} [{self.client} from {self.upstream}, {form}]"


@dataclass
class Result:
    case: Case
    faults: list[str]


# What happens before there is any content is the same whatever is made of it.
_OF_STREAMS = ("stream", "behind the end", "endless")
_ON_THE_WIRE = ("connection", "status line", "head", "interim", "framing", "coding", "status")


def cases_of(faults: Iterable[Fault]) -> list[Case]:
    """Each fault in every dialect, in both forms; relayed and translated, where it lies in what is said. In an order
    that mixes those who wait with those who work. (Gemini has no terminal event to stand behind; endless streams keep a core
    busy for a second each, so three clients have to do.)"""
    made = [
        Case(fault, client, upstream, stream)
        for fault in faults
        for client in DIALECTS
        for stream in (False, True)
        for upstream in (
            (_FOREIGN[client] if stream else client,) if fault.kind in _ON_THE_WIRE else (client, _FOREIGN[client])
        )
        if (stream or fault.kind not in _OF_STREAMS)
        and not (fault.kind == "behind the end" and upstream == "gemini")
        and (fault.kind != "endless" or client in ("chat", "messages", "ollama"))
    ]
    random.Random(1).shuffle(made)
    return made


async def play(cases: Sequence[Case], *, at_once: int = 100) -> list[Result]:
    """All of them, through one gateway. Nothing of them is left afterwards."""
    texts = [f"Hello number {index}, {secrets.token_hex(8)}" for index in range(len(cases))]
    trap_visits = 0

    async def trapped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal trap_visits
        trap_visits += 1
        writer.close()

    def choose(target: str) -> tuple[Fault, Right] | None:
        first = target.split("/")[1]
        if not first.startswith("case-") or target.partition("?")[0].endswith("/models"):
            return None
        case = cases[index := int(first[5:])]
        return case.fault, Right(case.upstream, case.stream, texts[index], trap=trap_url)

    trap = await asyncio.start_server(trapped, "127.0.0.1", 0)
    trap_url = f"http://127.0.0.1:{trap.sockets[0].getsockname()[1]}/v1"
    log = io.StringIO()
    async with trap, Provider(choose) as provider:
        config = ds2api.from_mapping(
            {
                "listen": "127.0.0.1:0",
                "providers": {
                    f"p{index}": {
                        "dialects": [case.upstream],
                        "base_url": f"http://127.0.0.1:{provider.port}/case-{index}{BASES.get(case.upstream, '/v1')}",
                        "accounts": [{"name": "a", "key": f"{upstream_key('a')}-{index}"}],
                        **({} if case.fault.right_outcomes(case.upstream, stream=case.stream) == (RIGHT,) else HASTY),
                    }
                    for index, case in enumerate(cases)
                },
                "models": {f"m{index}": f"p{index}/m" for index in range(len(cases))},
                "timeouts": TIMEOUTS,
                "retries": {"max": 0, "patience_s": 0.001},
                "limits": {"answer_bytes": 8_000_000},
            },
            {},
        )
        async with ds2api.Gateway(config, log_stream=log, environment={}, grace_s=0.5) as gateway:
            address = gateway.url.removeprefix("http://")
            turn = asyncio.Semaphore(at_once)
            async with asyncio.timeout(HANG_S):
                while provider.listed < len(cases):  # the gateway's own question at its start, of each
                    await asyncio.sleep(0.001)

            async def one(index: int) -> Result:
                async with turn:
                    return await _one(cases[index], index, texts, address)

            results = list(await asyncio.gather(*map(one, range(len(cases)))))
            held = gateway.house.admission.pool.in_flight
    asked = Counter(int(one.target.split("/")[1][5:]) for one in provider.asked)
    for index, result in enumerate(results):
        if asked[index] > 1:
            result.faults.append(f"the provider was asked {asked[index]} times")
    whole = Result(Case(cases[0].fault, "all", "all", False), [])
    whole.faults += ["a redirect was followed"] if trap_visits else []
    whole.faults += [f"{held} leases are held"] if held else []
    whole.faults += ["a key stands in the log"] if leaked(log.getvalue()) else []
    whole.faults += (
        ["a bug: " + log.getvalue()[at : at + 4_000]] if (at := log.getvalue().find("bug in exchange")) >= 0 else []
    )
    return [*results, whole]


async def _one(case: Case, index: int, texts: Sequence[str], address: str) -> Result:
    result = Result(case, [])
    try:
        async with asyncio.timeout(HANG_S), RawClient.to(address) as client:
            client.hang_s = HANG_S
            client.send(request(case.client, f"m{index}", stream=case.stream))
            received = await client.receive("POST")
    except TimeoutError:
        result.faults.append("it hangs")
        return result
    found = read(case.client, received, texts[index], stream=case.stream)
    if found not in case.fault.right_outcomes(case.upstream, stream=case.stream):
        result.faults.append(
            f"{found}, wanted {case.fault.wanted[case.stream]} ({received.status} {received.body[:300]!r})"
        )
    said = received.body.decode("utf-8", "replace") + str(received.headers)
    if leaked(said):
        result.faults.append("a key stands in the answer")
    if any(int(number) != index for number in re.findall(r"Hello number (\d+)", said)):
        result.faults.append("another client's bytes")
    if foreign := set(received.headers) - _FIELDS:
        result.faults.append(f"fields that nobody asked for: {', '.join(sorted(foreign))}")
    wait = received.headers.get("retry-after", "1")
    if not (wait.isascii() and wait.isdigit() and int(wait) <= 86_401):
        result.faults.append(f"retry-after: {wait}")
    if "forged" in said:
        result.faults.append("something that was forged")
    return result
