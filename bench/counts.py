"""The guard: what the hot path costs in counts that no clock and no neighbour can disturb.

    python3 tools/dev.py bench --check            is any path dearer than `counts.json` says? A part of the tests
    python3 tools/dev.py bench --record           what it costs now is what it may cost
    python3 tools/dev.py bench --count "stream chat→messages"       one path, function by function

Gateway, mock and client are in one loop and one thread, in lockstep: the mock sends an event when the client has the
one before, so that each comes alone, and every run counts the same. Calls are those of Python functions (ours, those
that dataclasses make for us, h11's); newer Pythons make fewer of the same code, so that what was counted on 3.11 holds
for all. `bench/parts.py` has the microseconds, `bench/ratio.py` the one guard that has to do with time.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import ds2api
from bench.parts import EVENTS, asker, stream
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.response import fold
from ds2api.universal.usage import Usage

__all__ = ["WORKLOADS", "Counts", "check", "count", "recorded"]

KEY = "ds2-counted-caller-key"
SOURCE = str(Path(ds2api.__file__).parent) + "/"
FILE = Path(__file__).with_name("counts.json")
WARM, COUNTED = 2, 3
# What a path may grow before the guard minds: nothing, but for what the collector and the timers do in between.
_SLACK = 1.01
_WRITE = asyncio.selector_events._SelectorSocketTransport.write.__code__  # type: ignore[attr-defined]
_TURNS = 20  # of the loop in which an event may reach the client; some make no bytes
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/{model}:{verb}",
    "ollama": "/api/chat",
    "mistral": "/mistral/v1/chat/completions",
}
MARKS = {"/messages": "messages", "/responses": "responses", "enerateContent": "gemini", "/api/chat": "ollama"}
# Upstreams: Mistral's is chat's.
UPSTREAMS = ("chat", "responses", "messages", "gemini", "ollama")
WORKLOADS = {
    f"{kind} {client}→{upstream}": (kind, client, upstream)
    for kind in ("JSON", "stream", "tools")
    for client in PATHS
    for upstream in UPSTREAMS
    if kind != "tools" or upstream not in ("gemini", "ollama")  # whose calls come whole
}


@dataclass
class Counts:
    """Of one request, all its events included. `by_function` is for people."""

    calls: float = 0.0
    event_calls: float = 0.0  # of one event in the middle of a stream
    parses: float = 0.0  # JSON documents that were read
    writes: float = 0.0  # to either side
    objects: int = 0  # that one open stream keeps alive, in the middle
    by_function: Counter[str] = field(default_factory=Counter)

    @property
    def figures(self) -> dict[str, float]:
        """What is recorded."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "by_function"}
        return {name: round(value, 1) for name, value in values.items()}


def body_of(client: str, model: str, *, streams: bool) -> bytes:
    said = '"content":"Question number 1"'
    match client:
        case "gemini":
            return b'{"contents":[{"role":"user","parts":[{"text":"Question number 1"}]}]}'
        case "responses":
            turns = f'"input":[{{"role":"user",{said}}}]'
        case "messages":
            turns = f'"max_tokens":1000,"messages":[{{"role":"user",{said}}}]'
        case _:
            turns = f'"messages":[{{"role":"user",{said}}}]'
    return f'{{"model":"{model}","stream":{str(streams).lower()},{turns}}}'.encode()


def request_of(client: str, model: str, *, streams: bool) -> bytes:
    body = body_of(client, model, streams=streams)
    verb = "streamGenerateContent?alt=sse" if streams else "generateContent"
    target = PATHS[client].format(model=model, verb=verb)
    head = (
        f"POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@lru_cache
def answer_of(upstream: str) -> bytes:
    """A small answer in one piece."""
    events: list[ev.Event] = [ev.Started("id", "m", 1), ev.PartStarted(0, "text"), ev.TextDelta(0, "A small answer.")]
    events += [
        ev.PartFinished(0),
        ev.Finished("stop"),
        ev.UsageSeen(Usage(input_uncached=9, output_text=4)),
        ev.Ended(),
    ]
    body, _ = DIALECTS[upstream].write_response(fold(events), asker())
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


streams_of = lru_cache(stream)


class Mock(asyncio.Protocol):
    """Answers a request at once, or with a stream whose next event leaves by `more`."""

    kind = ""  # of all streams
    streaming: Mock | None = None  # the one that has begun a stream
    began: asyncio.Event

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.held = b""
        self.events: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, found, body = self.held.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length or 0):
            return
        target = head.partition(b"\r\n")[0].decode()
        name = next((name for mark, name in MARKS.items() if mark in target), "chat")
        self.held = b""
        if b"streamG" in head or b'"stream":true' in body or b'"stream": true' in body:
            kind = DIALECTS[name].stream_type.encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind
            self.transport.write(head)
            self.events = [event for event in streams_of(name, Mock.kind) if event]
            Mock.streaming = self
            Mock.began.set()
        else:
            self.transport.write(answer_of(name))

    def more(self) -> bool:
        """Send the next event. Whether there was one."""
        if not self.events:
            return False
        event = self.events.pop(0)
        last = b"" if self.events else b"0\r\n\r\n"
        self.transport.write(b"%x\r\n%b\r\n%b" % (len(event), event, last))
        return True


class Client(asyncio.Protocol):
    """One connection to the gateway. `received` counts its reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.data = bytearray()
        self.received = 0
        self.arrived = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.received += 1
        self.arrived.set()

    async def wait(self, enough: Callable[[bytearray], bool]) -> None:
        async with asyncio.timeout(20):
            while not enough(self.data):
                self.arrived.clear()
                await self.arrived.wait()


# What the clock calls, however much is asked meanwhile: on a slow machine more of it comes between two requests.
BY_CLOCK = ("gateway/load.py:Load._", "wire/timers.py:TimerWheel._turn", "accounts/chance.py:Chance._turn")


def is_counted(code: CodeType) -> bool:
    """Ours, what dataclasses make for us, and h11."""
    return code.co_filename.startswith((SOURCE, "<string>")) or "/h11/" in code.co_filename


def is_whole(data: bytearray) -> bool:
    head, found, body = bytes(data).partition(b"\r\n\r\n")
    if not found:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not served: {bytes(data[:500])!r}")
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) == int(length) if length else body.endswith(b"0\r\n\r\n")


async def exchange(client: Client, request: bytes, *, streams: bool, on_event: Callable[[int], None]) -> None:
    """One request and its whole answer; `on_event` hears of each event before it is sent."""
    client.data.clear()
    client.transport.write(request)
    number = 0
    if streams:
        for _ in range(_TURNS * 10):
            if Mock.streaming is None:
                await asyncio.sleep(0)
        mock, Mock.streaming = Mock.streaming, None
        assert mock is not None, bytes(client.data)
        size = -1
        while mock.more():
            on_event(number)
            number += 1
            size = len(client.data)
            for _ in range(_TURNS):
                if len(client.data) > size:
                    break
                await asyncio.sleep(0)
    await client.wait(is_whole)


def config(port: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}"
    accounts = [{"name": name, "key_env": f"KEY_{name.upper()}"} for name in "abc"]
    return {
        "listen": "127.0.0.1:0",
        "log": "json",
        "providers": {f"up{one}": {"dialects": [one], "base_url": url, "accounts": accounts} for one in UPSTREAMS},
        "models": {f"{one}-*": f"up{one}/*" for one in UPSTREAMS},
        "callers": {"counted": {"key_env": "KEY_CALLER"}},
    }


ENVIRONMENT = {f"KEY_{name.upper()}": f"sk-counted-0123456789abcde{name}" for name in "abc"} | {"KEY_CALLER": KEY}


async def _count(kind: str, client_name: str, upstream: str) -> Counts:
    loop = asyncio.get_running_loop()
    counts, streams = Counts(), kind != "JSON"
    seen: Counter[CodeType] = Counter()
    at_event: list[dict[CodeType, int]] = []
    alive: list[int] = []
    Mock.kind, Mock.began = kind, asyncio.Event()

    def profiled(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            seen[frame.f_code] += 1
            if frame.f_code is _WRITE and frame.f_back is not None and is_counted(frame.f_back.f_code):
                counts.writes += 1 / COUNTED

    def on_event(number: int) -> None:
        at_event.append(dict(seen))
        if number == EVENTS // 2 and not seen:
            alive.append(_alive())

    async with AsyncExitStack() as stack:
        mock = await loop.create_server(Mock, "127.0.0.1", 0)
        stack.push_async_callback(mock.wait_closed)
        stack.callback(mock.close)
        made = ds2api.from_mapping(config(mock.sockets[0].getsockname()[1]), ENVIRONMENT)
        gateway = await stack.enter_async_context(
            ds2api.Gateway(made, log_stream=io.StringIO(), grace_s=1.0, environment={})
        )
        _, client = await loop.create_connection(Client, "127.0.0.1", int(gateway.url.rpartition(":")[2]))
        stack.callback(client.transport.close)
        request = request_of(client_name, f"{upstream}-m", streams=streams)
        for number in range(WARM + COUNTED):
            if number == WARM:
                alive.append(_alive())
                sys.setprofile(profiled)
            await exchange(client, request, streams=streams, on_event=on_event)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        sys.setprofile(None)
    for code, number in seen.items():
        name = f"{code.co_filename.removeprefix(SOURCE)}:{code.co_qualname}"
        if is_counted(code) and not name.startswith(BY_CLOCK):
            counts.by_function[name] += number
    counts.calls = counts.by_function.total() / COUNTED
    counts.parses = sum(counts.by_function[f"jsons.py:{name}"] for name in ("parse", "parse_event")) / COUNTED
    if streams:
        # Of the last stream, from its middle on; the last burst is more than one event.
        first, last = at_event[-EVENTS // 2], at_event[-EVENTS // 10]
        grown = sum(number - first.get(code, 0) for code, number in last.items() if is_counted(code))
        counts.event_calls = grown / (EVENTS // 2 - EVENTS // 10)
        counts.objects = max(0, alive[-2] - alive[-1])
    return counts


def _alive() -> int:
    gc.collect()
    return len(gc.get_objects())


def count(name: str) -> Counts:
    """The counts of one of `WORKLOADS`."""
    gc.freeze()  # what is there already (in a test run, a million objects) is not looked through for each figure
    try:
        return asyncio.run(_count(*WORKLOADS[name]))
    finally:
        gc.unfreeze()


def recorded() -> dict[str, dict[str, float]]:
    """What each path may cost."""
    known: dict[str, dict[str, float]] = json.loads(FILE.read_text(encoding="utf-8"))
    return known


def check(name: str, may: dict[str, float]) -> list[str]:
    """What of `name` is dearer than it may be, in sentences."""
    return [
        f"{name}: {figure} {value:g}, which was {may.get(figure, 0):g}"
        for figure, value in count(name).figures.items()
        if value > may.get(figure, 0) * (1.2 if figure == "objects" else _SLACK)
    ]


def check_all() -> int:
    """For the command line. 1 if any path got dearer."""
    known = recorded()
    dearer = [sentence for name in WORKLOADS for sentence in check(name, known.get(name, {}))]
    if dearer:
        dearer.append("worth it? then: python3 tools/dev.py bench --record")
    print("\n".join(dearer or ["no path is dearer"]))
    return 1 if dearer else 0


def record() -> int:
    """Write down what every path costs now, and say what changed."""
    known = recorded() if FILE.exists() else {}
    found = {name: count(name).figures for name in WORKLOADS}
    lines = ",\n".join(f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(one)}" for name, one in found.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    for name, figures in found.items():
        if figures != known.get(name):
            print(f"{name}: {known.get(name)} → {figures}")
    return 0


def show(name: str) -> int:
    """One path, function by function."""
    counts = count(name)
    print(f"{name}: {counts.figures}")
    for function, number in counts.by_function.most_common():
        print(f"{number / COUNTED:8.1f} {function}")
    return 0
