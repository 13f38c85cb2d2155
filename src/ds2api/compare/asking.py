"""One request, sent and measured, its answer read and checked.

The stream is read by the dialect's own decoder in the callback that its bytes came in, so an answer counts as good only
if it is one: the right status, the right form, some text, an end, and of the mock every letter. What fails is
counted by its kind and has no part in any latency. A provider's words are never kept: some repeat the key.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ds2api import jsons
from ds2api.compare.places import Place
from ds2api.compare.question import MARK, Question, Work, is_of_mock, pieces
from ds2api.dialects.contract import Decoder
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Text
from ds2api.universal.response import Folder, Response
from ds2api.wire.errors import ConnectFailed, PeerError
from ds2api.wire.upstream import Answer, Client

__all__ = ["Asking", "Sample"]

_ERROR_BYTES = 65_536  # of an error's body that are read: what it says fits, and a connection is kept
# The pieces of an answer that count as events.
_CONTENT = (ev.TextDelta, ev.ReasoningDelta, ev.ArgumentsDelta)


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

    def __init__(
        self,
        place: Place,
        work: Work,
        client: Client,
        environment: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        """Raises `ValueError` and `Problem` for what cannot be asked."""
        self._dialect = DIALECTS[place.dialect]
        self._place, self._work, self._client = place, work, client
        self._question = Question(place.dialect, place.model, place.flavour, work)
        at = place.endpoint()
        self._origin, self._target = at.origin, at.target(self._question.path, place.model)
        self._headers = [*self._question.headers, *at.headers, *place.credential(environment)]
        self._timeout_s = timeout_s
        # Ids of several processes differ in their first half, those of one in the second.
        self._prefix, self._count = os.urandom(4).hex(), 0
        self._now = time.perf_counter  # a uvloop tells whole milliseconds

    async def ask(self, due_at: float | None = None) -> Sample:
        """Ask once. Never raises for what comes of it."""
        self._count += 1
        id_ = f"{self._prefix}{self._count:08}"
        sample = Sample()
        began = self._now() if due_at is None else due_at
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.send(
                    self._origin, "POST", self._target, self._headers, self._question.fill(id_)
                )
                try:
                    await self._read(answer, sample, began, id_)
                finally:
                    answer.close()
        except TimeoutError:
            sample.error = "time limit"
        except ConnectFailed as error:
            sample.error = f"not reached ({error.phase})"
        except PeerError as error:
            sample.error = f"cut off ({error.phase})"
        except (Problem, jsons.JsonError):
            sample.error = "no answer of this dialect"
        if not sample.total_s:
            sample.total_s = self._now() - began
        return sample

    async def _read(self, answer: Answer, sample: Sample, began: float, id_: str) -> None:
        if answer.status != 200:
            body = await answer.read(_ERROR_BYTES)
            error = self._dialect.read_error(answer.status, answer.headers, body)
            sample.error = f"status {answer.status} ({error.kind.value})"
            return
        folder = Folder()
        if self._work.stream:
            reader = _StreamReader(self._dialect.decoder(self._place.flavour), folder, sample, began, self._now)
            over: asyncio.Future[PeerError | None] = asyncio.get_running_loop().create_future()
            answer.stream(reader.take, lambda error: None if over.done() else over.set_result(error))
            error_at_end = await over
            if error_at_end is not None:
                raise error_at_end
            reader.end()
            response = folder.finish()
        else:
            response = self._dialect.read_response(jsons.parse_object(await answer.read()))
        sample.total_s = self._now() - began
        self._judge(response, sample, id_)
        if not sample.error and self._work.stream and not folder.ended:
            sample.error = "stream without an end"

    def _judge(self, response: Response, sample: Sample, id_: str) -> None:
        choice = response.choices[0] if response.choices else None
        text = "".join(part.text for part in choice.parts if isinstance(part, Text)) if choice is not None else ""
        if response.usage is not None:
            sample.input_tokens = response.usage.input_total
            sample.output_tokens = response.usage.output_total
        sample.characters = len(text)
        sample.digest = hashlib.blake2b(text.replace(id_, MARK).encode(), digest_size=8).hexdigest()
        sample.of_mock = is_of_mock(text)
        if sample.error:
            return
        if choice is None or not choice.parts:
            sample.error = "empty answer"
        elif sample.of_mock and id_ not in text:
            sample.error = "somebody else's answer"
        elif sample.of_mock and text != "".join(pieces(self._work.script, id_)):
            sample.error = "altered answer"


class _StreamReader:
    """Takes a stream's bytes as they come."""

    def __init__(
        self, decoder: Decoder, folder: Folder, sample: Sample, began: float, now: Callable[[], float]
    ) -> None:
        self._decoder, self._folder, self._sample = decoder, folder, sample
        self._began, self._now = began, now
        self._last_at = 0.0

    def take(self, data: bytes) -> None:
        at = self._now()
        count = self._add(self._decoder.feed(data))
        if not count:
            return
        sample = self._sample
        if not sample.reads:
            sample.first_s = at - self._began
        else:
            gap_s = at - self._last_at
            sample.span_s += gap_s
            sample.gap_s = max(sample.gap_s, gap_s)
        sample.reads += 1
        sample.events += count
        self._last_at = at

    def end(self) -> None:
        self._add(self._decoder.end())

    def _add(self, events: Sequence[ev.Event]) -> int:
        count = 0
        for event in events:
            if isinstance(event, ev.Failed):
                self._sample.error = f"error in the stream ({event.error.kind.value})"
                continue
            count += isinstance(event, _CONTENT)
            self._folder.add(event)
        return count
