"""The same scenarios through a real gateway: its own process, its own configuration file, sockets on loopback.

A mock of the provider enforces the very rules of the simulator (`rules`) for each key; a load generator plays the same
turns in the provider's own protocol. Time is compressed: limits a minute are ten times as high (less where so many
requests would come that the machine were measured, `_RATE_MOST`), and answers, patience and outages as much shorter.
What is policy is scaled with it in the gateway's configuration (`_POLICY`). Not scaled, and so as much longer here: the
five seconds that buckets hold (the provider's and the pool's), whole
seconds in headers that are dates, how often the state file is written, and the way over loopback with what the machine
is busy with. Several scenarios run at the same time, each in a process with a gateway of its own.

Every figure that has a time is written down in the scenario's own time, so that the goals are the same functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.pool.figures import Attempt, Figures
from bench.pool.rules import Admitted, Provider, Refusal, Work
from bench.pool.runs import Row, judged, run, say
from bench.pool.scenarios import SCENARIOS, Scenario, Times, World
from bench.pool.simulate import PATIENCE_S, ideal_wait_s, weight
from bench.pool.traffic import Turn
from bench.processes import free_port
from ds2api.accounts import AccountLimits
from ds2api.gateway.callers import key_hash

__all__ = ["main"]

_SPEED_MOST = 10.0
# Requests a second of one scenario: Python serves, plays and mocks them on a shared machine.
_RATE_MOST = 100.0
_AT_A_TIME = 4
_SEED = 1
_TIMES = Times(since=120.0, event=150.0, until=270.0)
# Settings of the gateway that are times, in seconds of the scenario.
_POLICY = {
    "cool_first_s": 5.0, "cool_most_s": 60.0, "announced_least_s": 0.25, "circuit_first_s": 0.5, "circuit_most_s": 2.0,
    "circuit_long_s": 30.0, "refused_key_s": 30.0, "home_wait_s": 0.3,
}  # fmt: skip
_PAUSE_FIRST_S = 0.5
_MARK = re.compile(rb"@turn=(\d+)@")
_KEY = re.compile(rb"(?im)^(?:authorization: bearer|x-api-key:|x-goog-api-key:) *sk-bench-([a-z0-9]+)-0123456789abcdef")
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
_RETRY = re.compile(rb"(?im)^retry-after(-ms)?: *([\d.]+)")
_PATHS = {
    "chat": "/v1/chat/completions",
    "mistral": "/v1/chat/completions",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:{verb}",
}


class _Play:
    """One scenario on its way, `speed` times as fast. `clock()` is in the scenario's own seconds; the `gap_s` real ones
    in which a gateway was replaced by another one are taken out: nobody comes meanwhile."""

    def __init__(self, scenario: Scenario, world: World, speed: float) -> None:
        self.scenario, self.world, self.speed = scenario, world, speed
        self.figures = Figures()
        self.began_at = 0.0
        self.gap_s = 0.0
        self.waiting: dict[int, Turn] = {}  # those that no provider has admitted yet
        self.home: dict[int, str] = {}
        self.dead: dict[str, float] = {}  # account → when its death was told

    def now(self) -> float:
        """The provider's clock: real seconds."""
        return asyncio.get_running_loop().time() - self.began_at

    def clock(self) -> float:
        return (self.now() - self.gap_s) * self.speed

    def wait_s(self, turn: Turn) -> float:
        """How long ago it came, in the scenario's own seconds."""
        gap_s = self.gap_s if turn.at * self.speed >= _TIMES.event else 0.0
        return (self.now() - turn.at - gap_s) * self.speed

    def is_measured(self, turn: Turn) -> bool:
        return _TIMES.since <= turn.at * self.speed < _TIMES.until


class _Mock(asyncio.Protocol):
    """One connection of the gateway to a provider."""

    def __init__(self, play: _Play, provider: Provider) -> None:
        self._play, self._provider = play, provider
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._running: tuple[str, Turn, Work, Admitted, float] | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._running is not None:
            key, turn, work, got, at = self._running
            share = min(1.0, (self._play.now() - at) / got.total_s)
            self._provider.finished(key, turn.model, work, self._play.now(), share)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, divider, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if divider and length is not None and len(body) >= int(length[1]):
            self._data = b""
            self._serve(head, body)

    def _serve(self, head: bytes, body: bytes) -> None:
        play, provider = self._play, self._provider
        mark, named = _MARK.search(body), _KEY.search(head)
        assert mark is not None and named is not None, (head, body[:200])
        turn, key = play.world.turns[int(mark[1])], named[1].decode()
        work, got = provider.attempt(key, turn.model, turn.conversation, turn.sizes, play.now())
        account = f"{provider.name}/{key}"
        status = got.status if isinstance(got, Refusal) else 0
        play.figures.attempts.append(
            Attempt(play.clock(), provider.name, account, status, play.is_measured(turn)),
        )
        # A twentieth of a second for what was on its way when the gateway was told.
        play.figures.late[account] += play.now() > play.dead.get(account, float("inf")) + 0.05
        loop = asyncio.get_running_loop()
        if isinstance(got, Refusal):
            if got.cause in ("revoked", "spent", "daily"):
                play.dead.setdefault(account, play.now() + got.after_s)
            headers = {"content-type": "application/json"} | got.headers
            self._timers = [loop.call_later(got.after_s, self._answer, got.status, headers, got.body)]
            return
        if play.is_measured(turn):
            play.figures.waits.append(play.wait_s(turn))
            if not turn.is_first and turn.conversation in play.home:
                play.figures.turns_after += 1
                play.figures.turns_same += play.home[turn.conversation] == account
        play.waiting.pop(int(mark[1]), None)
        play.home[turn.conversation] = account
        if _TIMES.since <= play.clock() < _TIMES.until:
            play.figures.good += weight(provider, turn)
        self._running = (key, turn, work, got, play.now())
        whole, first, last = _answers(provider.rules.speaks, turn, work)
        if turn.is_whole:
            headers = {"content-type": "application/json"} | got.headers
            self._timers = [loop.call_later(got.total_s, self._answer, 200, headers, whole)]
        else:
            self._timers = [
                loop.call_later(got.first_byte_s, self._begin, got.headers, first),
                loop.call_later(got.total_s, self._end, last),
            ]

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._finished()
        self._write(status, headers | {"content-length": str(len(body))}, body)

    def _begin(self, headers: dict[str, str], first: bytes) -> None:
        told = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        self._write(200, told | headers, _chunk(first))

    def _end(self, last: bytes) -> None:
        self._finished()
        assert self._transport is not None
        self._transport.write(_chunk(last) + b"0\r\n\r\n")

    def _finished(self) -> None:
        if self._running is not None:
            key, turn, work, _, _ = self._running
            self._running = None
            self._provider.finished(key, turn.model, work, self._play.now())

    def _write(self, status: int, headers: dict[str, str], body: bytes) -> None:
        assert self._transport is not None
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._transport.write(f"HTTP/1.1 {status} Bench\r\n{lines}\r\n".encode() + body)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _events(*values: object) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def _answers(speaks: str, turn: Turn, work: Work) -> tuple[bytes, bytes, bytes]:
    """The answer in one piece; its beginning and its end as a stream."""
    uncached = work.input_tokens - work.cached_tokens
    if speaks == "messages":
        usage = {
            "input_tokens": uncached, "cache_read_input_tokens": work.cached_tokens,
            "output_tokens": work.output_tokens,
        }  # fmt: skip
        text = {"type": "text", "text": "yes"}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": turn.model, "stop_sequence": None}
        whole = message | {"content": [text], "stop_reason": "end_turn", "usage": usage}
        begun: dict[str, Any] = message | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": text | {"text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        named = [f"event: {one['type']}\n".encode() + _events(one) for one in events]
        return json.dumps(whole).encode(), b"".join(named[:3]), b"".join(named[3:])
    if speaks == "gemini":
        counted = {
            "promptTokenCount": work.input_tokens, "cachedContentTokenCount": work.cached_tokens,
            "candidatesTokenCount": work.output_tokens, "totalTokenCount": work.input_tokens + work.output_tokens,
        }  # fmt: skip
        piece = {"content": {"role": "model", "parts": [{"text": "yes"}]}, "index": 0}
        end = {"candidates": [piece | {"finishReason": "STOP"}], "usageMetadata": counted, "modelVersion": turn.model}
        return json.dumps(end).encode(), _events({"candidates": [piece], "modelVersion": turn.model}), _events(end)
    spent = {
        "prompt_tokens": work.input_tokens, "completion_tokens": work.output_tokens,
        "total_tokens": work.input_tokens + work.output_tokens,
        "prompt_tokens_details": {"cached_tokens": work.cached_tokens},
    }  # fmt: skip
    named_chunk = {"id": "chatcmpl-1", "created": 1, "model": turn.model, "object": "chat.completion.chunk"}
    message = {"role": "assistant", "content": "yes"}
    complete = named_chunk | {
        "object": "chat.completion", "usage": spent,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }  # fmt: skip
    begin = named_chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]}
    finish = named_chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    counts = named_chunk | {"choices": [], "usage": spent}
    return json.dumps(complete).encode(), _events(begin), _events(finish, counts) + b"data: [DONE]\n\n"


def _request(speaks: str, number: int, turn: Turn) -> bytes:
    """The client's bytes: as long a prompt as the gateway's guess wants, the same first message in each turn."""
    opening = f"conversation {turn.conversation} of {turn.caller}"
    rest = f"@turn={number}@" + " word" * max(0, (turn.guess * 4 - len(opening) - 12) // 5)
    path = _PATHS[speaks].format(model=turn.model, verb="generateContent" if turn.is_whole else "streamGenerateContent")
    if speaks == "gemini":
        path += "" if turn.is_whole else "?alt=sse"
        contents = [
            {"role": role, "parts": [{"text": text}]}
            for role, text in (("user", opening), ("model", "yes"), ("user", rest))
        ]
        body: dict[str, Any] = {"contents": contents, "generationConfig": {"maxOutputTokens": turn.sizes[2]}}
    else:
        messages = [
            {"role": role, "content": text} for role, text in (("user", opening), ("assistant", "yes"), ("user", rest))
        ]
        body = {"model": turn.model, "max_tokens": turn.sizes[2], "messages": messages, "stream": not turn.is_whole}
    encoded = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {_caller_key(turn.caller)}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"content-length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


async def _client(play: _Play, gateway: _Gateway, number: int) -> None:
    turn = play.world.turns[number]
    provider = next(iter(play.world.providers.values()))
    if play.is_measured(turn):
        play.figures.asked[turn.caller] += 1
        play.figures.asked_weight[turn.caller] += weight(provider, turn)
    play.waiting[number] = turn
    try:
        async with asyncio.timeout(turn.leaves_after_s):
            answer = await _exchange(gateway, _request(provider.rules.speaks, number, turn))
    except TimeoutError:
        return
    finally:
        play.waiting.pop(number, None)
    status = answer[9:12].decode()
    is_good = status == "200" and b"yes" in answer
    if not play.is_measured(turn):
        return
    if is_good:
        play.figures.served[turn.caller] += 1
        play.figures.served_weight[turn.caller] += weight(provider, turn)
        return
    play.figures.visible[status if status != "200" else "broken stream"] += 1
    told = {one[1]: float(one[2]) for one in _RETRY.finditer(answer.partition(b"\r\n\r\n")[0])}
    if told:
        said_s = told[b"-ms"] / 1000 if b"-ms" in told else told[None]
        true_s = ideal_wait_s(provider, turn, list(play.waiting.values()), play.now())
        play.figures.told_waits.append((said_s * play.speed, true_s * play.speed))


async def _exchange(gateway: _Gateway, request: bytes) -> bytes:
    reader, writer = await gateway.connect()
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError as error:
        return f"HTTP/1.1 000 {error}".encode()
    finally:
        writer.close()


class _Gateway:
    """The process under test."""

    def __init__(self, play: _Play, folder: Path, ports: dict[str, int], *, told: bool) -> None:
        self.port = free_port()
        self._file = folder / "ds2api.toml"
        self._state = folder / "state.json"
        self._keeps_state = play.scenario.restart != "nothing"
        keys = {f"BENCH_{key}".upper(): _key(key) for one in play.world.providers.values() for key in one.keys}
        self._environment = keys | {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._file.write_text(_configuration(play, ports, str(self._state), told=told))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "ds2api", "serve", "--config", str(self._file), "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--log", "off"], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, as soon as somebody listens."""
        for _ in range(2000):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
            if self._process is not None and self._process.poll():
                assert self._process.stderr is not None
                raise RuntimeError(f"the gateway ended: {self._process.stderr.read().decode()}")
            await asyncio.sleep(0.01)
        raise RuntimeError("the gateway does not listen")

    async def again(self) -> None:
        """Another process in place of this one."""
        await self.stop()
        if not self._keeps_state:
            self._state.unlink(missing_ok=True)
        self.start()
        _, writer = await self.connect()
        writer.close()

    async def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._process.wait, 60)


def _key(name: str) -> str:
    return f"sk-bench-{name}-0123456789abcdef"


def _caller_key(caller: str) -> str:
    return f"caller-{caller.replace(' ', '-')}-0123456789abcdef"


def _configuration(play: _Play, ports: dict[str, int], state: str, *, told: bool) -> str:
    """As a user writes it."""
    lines, world, scenario, speed = [], play.world, play.scenario, play.speed
    speaks = next(iter(world.providers.values())).rules.speaks
    for name in world.providers:
        accounts = []
        for account in world.accounts(told):
            if account.provider == name:
                key = account.id.partition("/")[2]
                group = f', limit_group = "{account.group}"' if account.group != account.id else ""
                models = ", ".join(f'"{model}" = {{ {_limits(one)} }}' for model, one in account.model_limits)
                each = f", models = {{ {models} }}" if models else ""
                own = f", {_limits(account.limits)}" if account.limits != AccountLimits() else ""
                accounts.append(f'{{ name = "{key}", key_env = "BENCH_{key.upper()}"{group}{own}{each} }}')
        lines += [
            f"[providers.{name}]", f'dialects = ["{speaks}"]', f'base_url = "http://127.0.0.1:{ports[name]}"',
            "accounts = [", *(f"  {account}," for account in accounts), "]",
        ]  # fmt: skip
    lines.append("[models]")
    for model in scenario.limits:
        targets = [f'"{name}/{model}"' for name in world.providers]
        lines.append(f'"{model}" = [{", ".join(targets)}]')
    lines += ["[retries]", f"pause_first_s = {_PAUSE_FIRST_S / speed}", "[pool]", f'state_file = "{state}"']
    lines += [f"{name} = {seconds / speed}" for name, seconds in _POLICY.items()]
    for caller in dict.fromkeys(source.caller for source in scenario.sources):
        hashed = key_hash(_caller_key(caller))
        name = caller.replace(" ", "-")
        lines += [f"[callers.{name}]", f'key_hash = "{hashed}"', f"patience_s = {PATIENCE_S / speed}"]
    return "\n".join(lines) + "\n"


def _limits(limits: AccountLimits) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in asdict(limits).items() if value is not None)


async def _play(scenario: Scenario, speed: float, *, told: bool) -> Figures:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory(prefix="ds2api-bench-") as folder:
        began_at = loop.time() + 2.0
        world = scenario.world(_SEED, _TIMES, speed=speed, wall_s=time.time() - loop.time() + began_at)
        play = _Play(scenario, world, speed)
        servers = {
            name: await loop.create_server(lambda one=one: _Mock(play, one), "127.0.0.1", 0)  # type: ignore[misc]
            for name, one in world.providers.items()
        }
        ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        gateway = _Gateway(play, Path(folder), ports, told=told)
        gateway.start()
        try:
            _, writer = await gateway.connect()
            writer.close()
            play.began_at = max(began_at, loop.time())
            is_old = bool(scenario.restart)
            async with asyncio.TaskGroup() as clients:
                for number, turn in enumerate(world.turns):
                    if is_old and turn.at * speed >= _TIMES.event:
                        is_old, before = False, play.now()
                        await gateway.again()
                        play.gap_s = play.now() - before
                    await asyncio.sleep(-play.wait_s(turn) / speed)
                    clients.create_task(_client(play, gateway, number))
        finally:
            await gateway.stop()
            for server in servers.values():
                server.close()
    return play.figures


def _task(task: tuple[int, bool]) -> dict[str, Any]:
    number, told = task
    scenario = SCENARIOS[number]
    turns = scenario.world(_SEED, _TIMES).turns
    rate = sum(turn.at >= _TIMES.since for turn in turns) / (_TIMES.until - _TIMES.since)
    speed = min(_SPEED_MOST, _RATE_MOST / rate)
    ideal = run(scenario, "ideal", _SEED, _TIMES, speed)
    who = "ours, told" if told else "ours, untold"
    figures = asyncio.run(_play(scenario, speed, told=told))
    return asdict(judged(scenario, who, _SEED, figures, ideal, _TIMES)) | {"speed": speed}


def main(wanted: Sequence[int], *, check: bool) -> int:
    tasks = [(number, told) for number in wanted for told in (True, False)]
    print("| scenario | limits | time | goodput | seen | waste | affinity | wait p50 | wait p99 | honest | missed |")
    print("|---" * 11 + "|")
    missed = 0
    with get_context("spawn").Pool(_AT_A_TIME) as workers:
        for place, found in enumerate(workers.imap(_task, tasks)):
            speed = found.pop("speed")
            row = Row(**found)
            missed += bool(row.missed)
            say("")
            print(
                f"| {row.scenario} | {row.who.partition(', ')[2]} | × {speed:.1f} | {row.goodput:.3f} | {row.seen} "
                f"| {row.waste:.3f} | {row.affinity:.2f} | {row.wait_p50_s:.2f} s | {row.wait_p99_s:.2f} s "
                f"| {row.honest:.2f} | {'; '.join(row.missed)} |",
                flush=True,
            )
            say(f"{place + 1} of {len(tasks)}")
    say("")
    print(f"\nseed {_SEED}; ours missed a goal in {missed} of {len(tasks)} rows")
    return 1 if missed and check else 0
