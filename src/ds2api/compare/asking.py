"""One request, sent and measured, its answer read and checked.

The stream is read by the dialect's own decoder in the callback that its bytes came in, so an answer counts as good only
if it is one: the right status, the right form, some text, an end, and of the mock every letter. What fails is counted
by its kind and has no part in any latency. A provider's words are never kept: some repeat the key.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ds2api import jsons
from ds2api.compare.places import TRIED, Place
from ds2api.compare.question import MARK, WORKS, Question, Work, is_of_mock, pieces
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Text
from ds2api.universal.response import Folder, Response
from ds2api.wire.errors import ConnectFailed, PeerError
from ds2api.wire.settings import Limits, Proxies, Timeouts
from ds2api.wire.upstream import Answer, Client

__all__ = ["Asking", "NotUsable", "Sample", "client_for", "probe"]

_ERROR_BYTES = 65_536  # of an error's body that are read: what it says fits, and the connection is kept
_PROBE_TOKENS = 16
# The pieces of an answer that count as events.
_CONTENT = (ev.TextDelta, ev.ReasoningDelta, ev.ArgumentsDelta)


class NotUsable(Exception):
    """A place that cannot be compared; the text is for a person."""


@dataclass(slots=True)
class Sample:
    """One request. Times are seconds from when it was due: sent, or (at a fixed rate) to be sent.

    `error` is "" for a good answer. `reads` are those that brought content, `span_s` is the time from the first to the
    last of them, `gap_s` the longest between two. `digest` is of the text without its id: equal answers have one.
    """

    error: str = ""
    total_s: float = 0.0
    first_s: float = 0.0
    events: int = 0
    reads: int = 0
    span_s: float = 0.0
    gap_s: float = 0.0
    digest: str = ""
    characters: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    of_mock: bool = False


class Asking:
    """Asks one place for one work. For one loop."""

    ids = 10**8  # so many different ones, then the same again

    def __init__(
        self, place: Place, work: Work, client: Client, environment: Mapping[str, str], timeout_s: float
    ) -> None:
        """Raises `ValueError` and `Problem` for what cannot be asked."""
        self._dialect = DIALECTS[place.dialect]
        self._work, self._client, self._timeout_s = work, client, timeout_s
        self._question = Question(place.dialect, place.model, place.flavour, work)
        at = place.endpoint()
        self._origin, self._target = at.origin, at.target(self._question.path, place.model)
        self._headers = [*self._question.headers, *at.headers, *place.credential(environment)]
        # Ids of several processes differ in their first half, those of one in the second.
        self._prefix, self._count = os.urandom(4).hex(), 0

    async def ask(self, due_at: float | None = None) -> Sample:
        """Ask once. Never raises for what comes of it. `due_at` is by `time.perf_counter`: a uvloop's own clock tells
        whole milliseconds."""
        self._count = (self._count + 1) % self.ids
        id_, sample = f"{self._prefix}{self._count:08}", Sample()
        began, body = time.perf_counter() if due_at is None else due_at, self._question.fill(id_)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.send(self._origin, "POST", self._target, self._headers, body)
                try:
                    response = await self._read(answer, sample, began)
                finally:
                    answer.close()
            sample.total_s = time.perf_counter() - began
            if response is not None:
                self._judge(response, sample, id_)
        except TimeoutError:
            sample.error = "time limit"
        except ConnectFailed as error:
            sample.error = f"not reached ({error.phase})"
        except PeerError as error:
            sample.error = f"cut off ({error.phase})"
        except (Problem, jsons.JsonError):
            sample.error = "no answer of this dialect"
        sample.total_s = sample.total_s or time.perf_counter() - began
        return sample

    async def _read(self, answer: Answer, sample: Sample, began: float) -> Response | None:
        if answer.status != 200:
            error = self._dialect.read_error(answer.status, answer.headers, await answer.read(_ERROR_BYTES))
            sample.error = f"status {answer.status} ({error.kind.value})"
            return None
        if not self._work.stream:
            return self._dialect.read_response(jsons.parse_object(await answer.read()))
        decoder, folder = self._dialect.decoder(), Folder()
        over: asyncio.Future[PeerError | None] = asyncio.get_running_loop().create_future()
        last_at = 0.0

        def add(events: Sequence[ev.Event]) -> int:
            for event in events:
                if isinstance(event, ev.Failed):
                    sample.error = f"error in the stream ({event.error.kind.value})"
                else:
                    folder.add(event)
            return sum(isinstance(event, _CONTENT) for event in events)

        def take(data: bytes) -> None:
            nonlocal last_at
            at = time.perf_counter()
            count = add(decoder.feed(data))
            if not count:
                return
            if sample.reads:
                sample.span_s += at - last_at
                sample.gap_s = max(sample.gap_s, at - last_at)
            else:
                sample.first_s = at - began
            sample.reads, sample.events, last_at = sample.reads + 1, sample.events + count, at

        answer.stream(take, lambda error: None if over.done() else over.set_result(error))
        error_at_end = await over
        if error_at_end is not None:
            raise error_at_end
        add(decoder.end())
        if not folder.ended:
            sample.error = sample.error or "stream without an end"
        return folder.finish()

    def _judge(self, response: Response, sample: Sample, id_: str) -> None:
        parts = response.choices[0].parts if response.choices else []
        text = "".join(part.text for part in parts if isinstance(part, Text))
        if response.usage is not None:
            sample.input_tokens, sample.output_tokens = response.usage.input_total, response.usage.output_total
        sample.characters, sample.of_mock = len(text), is_of_mock(text)
        sample.digest = hashlib.blake2b(text.replace(id_, MARK).encode(), digest_size=8).hexdigest()
        if sample.error:
            return
        if not parts:
            sample.error = "empty answer"
        elif sample.of_mock and id_ not in text:
            sample.error = "somebody else's answer"
        elif sample.of_mock and text != "".join(pieces(self._work.script, id_)):
            sample.error = "altered answer"


async def probe(place: Place, environment: Mapping[str, str], timeout_s: float) -> tuple[Place, bool]:
    """Ask `place` once, shortly, in each dialect that it may speak until one is answered. Gives it with its dialect,
    and whether the mock stands behind it. Raises `NotUsable`."""
    client, refused = client_for(place, environment, timeout_s), ""
    try:
        for dialect in (place.dialect,) if place.dialect else TRIED:
            one = replace(place, dialect=dialect)
            work = replace(WORKS["json"], max_tokens=_PROBE_TOKENS)
            sample = await Asking(one, work, client, environment, timeout_s).ask()
            if not sample.error or sample.error == "empty answer":  # so few tokens can go by in thought
                return one, sample.of_mock
            refused = (
                refused or f"{sample.error}, asked in {dialect} for the model {one.model!r} (--model names another)"
            )
            if not sample.error.startswith(("status 404", "status 405")):
                break
    finally:
        client.close()
    raise NotUsable(f"{place.name} gives no answer that could be measured: {refused}")


def client_for(place: Place, environment: Mapping[str, str], timeout_s: float, connections: int = 1) -> Client:
    """A client that keeps so many connections, and leaves this machine by the proxy that the environment names."""
    timeouts = Timeouts(connect_total_s=min(timeout_s, 10), first_byte_idle_s=timeout_s)
    limits, proxies = Limits(upstream_idle_count=connections), Proxies()
    if not place.is_local:
        proxies = Proxies.from_environment(environment)
    return Client(limits=limits, timeouts=timeouts, proxies=proxies)
