"""An upstream on a loopback port that speaks every dialect with the dialects' own writers, and the demo's.

The demo's three accounts behave as real ones do on a bad day: ``plenty`` serves, ``limited`` answers 429 with a
`retry-after` every time, ``busy`` is overloaded on every third request. A client of the gateway sees none of it.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ds2api import jsons
from ds2api.demo.script import pieces, reply
from ds2api.dialects.contract import Asker, Dialect, ModelInfo
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.doors import Doors
from ds2api.universal import estimate
from ds2api.universal import events as ev
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.parts import Call, Part, Text
from ds2api.universal.response import fold
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming, Server
from ds2api.wire.settings import Limits, Timeouts

__all__ = ["DEMO_KEYS", "MODELS", "DemoUpstream", "Upstream", "demo_table"]

DEMO_KEYS: Mapping[str, str] = {
    "plenty": "demo-key-of-plenty-0001",
    "limited": "demo-key-limited-0002",
    "busy": "demo-key-sometimes-busy-0003",
}
MODELS = ("demo", "demo-mini")
# A fast reader reads about 6 words a second, current models write 30 to 80: a pace at which a person sees it run.
PACE_S = 0.03
_BUSY_EVERY = 3
# What stands before a path tells dialects apart that share it (`gateway.doors`).
_PREFIXES: Mapping[str, str] = {
    "chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini", "ollama": "ollama",
    "mistral": "mistral",
}  # fmt: skip
_RETRY_AFTER_S = 20.0


def demo_table(base_url: str) -> dict[str, Any]:
    """The configuration (as `config.from_mapping` takes it) of a gateway in front of the demo at `base_url`.

    Besides the pool of three accounts that speaks all dialects there is one provider for each dialect alone, so
    that translation can be watched: a chat client that asks for ``demo-over-messages`` is translated.
    """
    urls = {dialect: f"{base_url}/{_PREFIXES[dialect]}" for dialect in DIALECTS}
    three = [{"name": name, "key": key} for name, key in DEMO_KEYS.items()]
    table: dict[str, Any] = {
        "providers": {"demo": {"base_url": urls, "auth": "bearer", "accounts": three}},
        "models": dict.fromkeys(MODELS, "demo"),
    }
    for dialect in DIALECTS:
        name = f"demo-{dialect}"
        one = {"name": "plenty", "key": f"{DEMO_KEYS['plenty']}-{dialect}"}  # one key is one account
        table["providers"][name] = {"base_url": {dialect: urls[dialect]}, "auth": "bearer", "accounts": [one]}
        table["models"][f"demo-over-{dialect}"] = f"{name}/demo"
    return table


class Upstream(ABC):
    """A server on a loopback port that speaks every dialect; `answer` and `judge_key` say what it is.

    Enter with ``async with``; `base_url` is where it listens."""

    models: tuple[str, ...] = MODELS

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self._address = address
        self._count = 0
        self._server = Server(self._handle, self._refuse, limits=Limits(), timeouts=Timeouts())
        self._doors = Doors(DIALECTS.values())
        self.base_url = ""

    async def __aenter__(self) -> Self:
        self.base_url = "http://" + await self._server.listen(self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.drain(0.0)

    @abstractmethod
    async def answer(self, incoming: Incoming, dialect: Dialect, raw: bytes, request_id: str) -> None:
        """Answer a request for an answer. Raises `Problem` or `JsonError` for what is wrong with it."""

    def judge_key(self, authorization: str) -> None:  # noqa: B027 - most take any key
        """Raises `Problem` for a key that is not served."""

    async def _handle(self, incoming: Incoming) -> None:
        try:
            door = self._doors.find(incoming.method, incoming.path, incoming.headers, incoming.query)
        except Problem:
            incoming.respond(404, [], b"")
            return
        dialect, operation = door.dialect, door.operation
        self._count += 1
        request_id = f"req_demo{self._count:06}"
        try:
            if operation == "models":
                models = [ModelInfo(model, "ds2api-demo", 1_760_000_000, model) for model in self.models]
                listed = dialect.write_models(models, {}, incoming.target)
                incoming.respond(200, [("content-type", "application/json")], listed)
                return
            raw = await incoming.read_body()
            if operation == "count_tokens":
                count = estimate.input_tokens(len(raw))
                assert dialect.token_counter is not None
                incoming.respond(200, [("content-type", "application/json")], dialect.token_counter.write_count(count))
                return
            self.judge_key(incoming.headers.get("authorization", ""))
            await self.answer(incoming, dialect, raw, request_id)
        except (Problem, jsons.JsonError) as problem:
            error = problem.error if isinstance(problem, Problem) else Problem.bad_request(str(problem)).error
            written = dialect.write_error(error, request_id)
            headers = [("content-type", "application/json"), *written.headers]
            incoming.respond(written.status, [*headers, (dialect.request_id_header, request_id)], written.body)

    @staticmethod
    def _refuse(method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
        return error.status_hint, [("content-type", "text/plain")], error.message.encode()


class DemoUpstream(Upstream):
    """The demo's model and its three accounts. `pace_s` is the pause between two words."""

    def __init__(self, pace_s: float = PACE_S) -> None:
        super().__init__()
        self._pace_s = pace_s
        self._busy_count = 0

    def judge_key(self, authorization: str) -> None:
        key = authorization.removeprefix("Bearer ")
        if key == DEMO_KEYS["limited"]:
            message = "Rate limit reached for this demo account."
            raise Problem(Error(Fault.ACCOUNT, Kind.RATE_LIMITED, message, retry_after_s=_RETRY_AFTER_S))
        if key == DEMO_KEYS["busy"]:
            self._busy_count += 1
            if self._busy_count % _BUSY_EVERY == 0:
                raise Problem(Error(Fault.PROVIDER, Kind.OVERLOADED, "Overloaded"))
        elif not key.startswith(DEMO_KEYS["plenty"]):
            raise Problem(Error(Fault.REQUEST, Kind.UNAUTHENTICATED, "Incorrect API key provided."))

    async def answer(self, incoming: Incoming, dialect: Dialect, raw: bytes, request_id: str) -> None:
        body = jsons.parse_object(raw)
        request = dialect.read_request(body, incoming.headers, incoming.target)
        peek = dialect.peek(body, incoming.target)
        if request.model not in MODELS:
            message = f"The model `{request.model[:100]}` does not exist."
            raise Problem(Error(Fault.REQUEST, Kind.MODEL_NOT_FOUND, message, "model", code="model_not_found"))
        number = self._count
        asker = Asker(
            request.model,
            request_id,
            int(time.time()),
            lambda: f"demo{number:06}",
            peek.stream,
            peek.wants_usage,
            request=request,
            form=peek.form,
        )
        parts = reply(request, f"call_demo{number:06}")
        text_bytes = sum(len(part.text if isinstance(part, Text) else getattr(part, "arguments", "")) for part in parts)
        usage = Usage(
            input_uncached=estimate.input_tokens(peek.text_bytes, peek.media_count),
            cache_read=0,
            output_text=estimate.input_tokens(text_bytes),
        )
        script = _events(parts, request.model, asker, usage)
        headers = [(dialect.request_id_header, request_id)]
        if not peek.stream:
            answer, _ = dialect.write_response(fold(event for burst in script for event in burst), asker)
            incoming.respond(200, [("content-type", "application/json"), *headers], answer)
            return
        encoder = dialect.encoder(asker)
        incoming.start(200, [("content-type", encoder.stream_type), *headers])
        for burst in script:
            incoming.write(encoder.encode(burst))
            if self._pace_s:
                await asyncio.sleep(self._pace_s)
        incoming.finish()


def _events(parts: Sequence[Part], model: str, asker: Asker, usage: Usage) -> list[list[ev.Event]]:
    """The answer in bursts: what is written at once, with a pause after each."""
    start = Usage(input_uncached=usage.input_uncached, cache_read=0, output_text=1)
    bursts: list[list[ev.Event]] = [[ev.Started(f"demo-{asker.new_id()}", model, asker.created, start)]]
    for number, part in enumerate(parts):
        if isinstance(part, Text):
            bursts[-1].append(ev.PartStarted(number, "text"))
            bursts += [[ev.TextDelta(number, piece)] for piece in pieces(part.text)]
        elif isinstance(part, Call):
            bursts[-1].append(ev.PartStarted(number, "call", id=part.id, name=part.name))
            half = len(part.arguments) // 2
            bursts += [[ev.ArgumentsDelta(number, piece)] for piece in (part.arguments[:half], part.arguments[half:])]
        bursts[-1].append(ev.PartFinished(number))
    reason: ev.FinishReason = "tool_use" if any(isinstance(part, Call) for part in parts) else "stop"
    bursts.append([ev.Finished(reason), ev.UsageSeen(usage), ev.Ended()])
    return bursts
