"""One try of one request on one account: build it, send it, bring what comes to the client.

The lane is chosen here, once: *relay* where the provider speaks the client's dialect and nothing must be rewritten,
else *translate*; and where one side streams and the other does not, *gather* (the provider's content-type decides,
not what was asked for: some answer JSON to a stream request, and the other way round).

`run` gives the usage of an answer that is complete and raises `AttemptFailed` for whatever the provider did wrong.
The provider's connection is closed on every way out, a cancellation included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ds2api import jsons
from ds2api.accounts import Lease, read_announced
from ds2api.dialects.contract import Asker, Dialect, Encoder, Outgoing, Target
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.failures import (
    AttemptFailed,
    attempt_failed,
    connection_failed,
    idle_error,
    redirect_error,
)
from ds2api.gateway.house import House
from ds2api.gateway.lanes import Lane, Relay, Translate
from ds2api.gateway.pump import Pump
from ds2api.gateway.routes import ResolvedTarget
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.events import Event
from ds2api.universal.response import Folder, Response, fold, play
from ds2api.universal.restore import Restorer
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming
from ds2api.wire.upstream import Answer

__all__ = ["Attempt"]

# Of an error answer: enough for any JSON error seen (Azure's content filter, 6 KB), not for a page of HTML.
_ERROR_BODY_BYTES = 256 * 1024
_STREAM_TYPES = ("text/event-stream", "application/x-ndjson")


class Attempt:
    """One try of `request` at `place`, on the account of `lease`."""

    def __init__(
        self,
        house: House,
        incoming: Incoming,
        request: ClientRequest,
        answer: ClientAnswer,
        place: ResolvedTarget,
        lease: Lease,
    ) -> None:
        self._house = house
        self._incoming = incoming
        self._request = request
        self._answer = answer
        self._place = place
        self._provider = place.provider
        self._lease = lease
        self._endpoint = place.provider.endpoint_for(request.dialect.name)
        self._dialect: Dialect = DIALECTS[self._endpoint.dialect]
        self._target = Target(
            provider=place.provider.name,
            model=place.model,
            flavour=self._endpoint.flavour,
            account=lease.account.tag,
            losses=place.losses,
            default_max_output_tokens=place.provider.default_max_output_tokens,
            anthropic_version=place.provider.anthropic_version,
            sealer=house.sealer,
        )
        peek = request.peek
        self._streams = place.provider.streams(peek.stream)
        # A request that carries an envelope of ours must be opened first: no provider knows what to do with one.
        self._is_relay = self._dialect is request.dialect and self._streams == peek.stream and not peek.pins
        # The gateway alone wants it: what comes of it is taken out again.
        self._asks_usage = peek.stream and not peek.wants_usage and self._dialect.must_ask_usage(self._endpoint.flavour)
        record = answer.record
        record.lane = "relay" if self._is_relay else "translate"
        record.account = lease.account.id
        record.upstream_dialect = self._dialect.name
        record.target = f"{place.provider.name}/{place.model}"

    async def run(self) -> Usage | None:
        """Bring the answer to the client. Raises `AttemptFailed`, and `Problem` where the request itself cannot
        be carried to this target."""
        outgoing = self._outgoing()
        self._answer.losses = list(outgoing.losses)
        answer = await self._send(outgoing.path, outgoing.headers, outgoing.body)
        restorer = Restorer(outgoing.restore) if outgoing.restore else None
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_stream = media_type in _STREAM_TYPES
        if answer.status < 300 and is_stream and self._request.peek.stream:
            try:
                return await self._stream(answer, restorer)
            except BaseException:
                answer.close()
                raise
        try:
            if answer.status >= 300:
                raise await self._failure_of(answer)
            return await (self._gather(answer, restorer) if is_stream else self._whole(answer, restorer))
        finally:
            answer.close()

    async def count_tokens(self) -> bytes | None:
        """The provider's own count of a request of its dialect. None if it has none: a 404 here says nothing about
        the model (R125). Raises `AttemptFailed`."""
        request = self._request
        body = self._dialect.rewrite(request.raw, request.body, self._place.model, ask_usage=False)
        headers = self._dialect.relay_headers(request.headers, self._target)
        answer = await self._send(self._dialect.generate_path + "/count_tokens", headers, body)
        try:
            if answer.status in (404, 405, 501):
                return None
            if answer.status >= 300:
                raise await self._failure_of(answer)
            return await answer.read(_ERROR_BODY_BYTES)
        except PeerError as error:
            raise connection_failed(error, self._provider.name) from None
        finally:
            answer.close()

    def _outgoing(self) -> Outgoing:
        request, dialect = self._request, self._dialect
        if self._is_relay:
            body = dialect.rewrite(request.raw, request.body, self._place.model, ask_usage=self._asks_usage)
            return Outgoing(dialect.generate_path, body, dialect.relay_headers(request.headers, self._target))
        universal = request.universal
        if self._streams != universal.stream:
            universal = replace(universal, stream=self._streams)
        return dialect.write_request(universal, self._target)

    def _asker(self) -> Asker:
        request, house = self._request, self._house
        return Asker(
            model=request.peek.model,
            request_id=self._answer.record.id,
            created=int(house.wall()),
            new_id=house.new_id,
            stream=request.peek.stream,
            wants_usage=request.peek.wants_usage,
            input_estimate=request.input_estimate,
            provider=self._provider.name,
            upstream_model=self._place.model,
            account=self._lease.account.tag,
            sealer=house.sealer,
            request=request.universal_if_read,
        )

    async def _send(self, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        endpoint = self._endpoint
        accept = f"{self._dialect.stream_type}, application/json" if self._streams else "application/json"
        try:
            answer = await self._house.client.send(
                endpoint.origin,
                "POST",
                endpoint.base_path + path,
                [
                    ("content-type", "application/json"),
                    ("accept", accept),
                    ("accept-encoding", "identity"),
                    ("user-agent", self._house.user_agent),
                    *headers,
                    *endpoint.headers,
                    *endpoint.credential(self._provider.secrets.get(self._lease.account.id)),
                ],
                body,
                first_byte_idle_s=self._provider.first_byte_idle_s,
            )
        except PeerError as error:
            raise connection_failed(error, self._provider.name) from None
        self._answer.record.upstream_id = _upstream_id(answer)
        return answer

    async def _failure_of(self, answer: Answer) -> AttemptFailed:
        """What the provider's error answer says."""
        if answer.status < 400:
            return AttemptFailed(redirect_error(answer.status, self._provider.name))
        try:
            body = await answer.read(_ERROR_BODY_BYTES)
        except PeerError:
            body = b""  # the status says enough
        announced = read_announced(answer.headers, self._house.wall())
        error = self._dialect.read_error(answer.status, answer.headers, body)
        if error.retry_after_s is None:
            error = error.with_(retry_after_s=announced.retry_after_s)
        return AttemptFailed(error, announced)

    async def _stream(self, answer: Answer, restorer: Restorer | None) -> Usage | None:
        """A stream for a stream: relay or translate. The pump owns `answer` and ends it."""
        house, client = self._house, self._answer
        assert client.stream is not None
        encoder = self._request.dialect.encoder(self._asker())
        if client.stream.committed:
            encoder.losses.extend(client.losses)  # the head has left without them
        lane = self._lane(encoder, restorer)
        pump = Pump(answer, lane, self._incoming, client.stream, house.wheel, self._event_idle_s)
        try:
            pump.start()
            await pump.opened
            if pump.error is not None and not lane.content_seen:
                raise attempt_failed(pump.error, self._provider.name)
            client.commit(encoder, house.now())
            pump.commit()
            await pump.done
        finally:
            pump.close()
        if pump.error is not None:
            raise attempt_failed(pump.error, self._provider.name)
        return lane.usage

    def _lane(self, encoder: Encoder, restorer: Restorer | None) -> Lane:
        if self._is_relay:
            return Relay(self._dialect.tap(strip_usage=self._asks_usage), encoder)
        return Translate(self._dialect.decoder(self._endpoint.flavour), encoder, restorer)

    async def _gather(self, answer: Answer, restorer: Restorer | None) -> Usage | None:
        """The client wants one piece, the provider streams."""
        self._answer.record.lane = "gather"
        gathered = _Gathered(restorer)
        decoder = self._dialect.decoder(self._endpoint.flavour)
        idle = self._house.wheel.after(self._event_idle_s, lambda: gathered.fail(idle_error(self._event_idle_s)))

        def on_data(data: bytes) -> None:
            idle.touch()
            gathered.take(decoder.feed(data))

        def on_end(error: PeerError | None) -> None:
            gathered.take(decoder.end())
            gathered.close()

        try:
            answer.stream(on_data, on_end)
            response = await gathered.response
        except Problem as problem:
            raise attempt_failed(problem.error, self._provider.name) from None
        finally:
            idle.cancel()
        return self._respond(response)

    async def _whole(self, answer: Answer, restorer: Restorer | None) -> Usage | None:
        """The provider answers in one piece: pass it, translate it, or play it as a stream."""
        name = self._provider.name
        try:
            raw = await answer.read()
        except PeerError as error:
            raise connection_failed(error, name) from None
        try:
            if self._is_relay and not self._request.peek.stream:
                usage = self._dialect.read_usage(jsons.parse_event_object(raw))
                self._answer.send_whole(raw)
                return usage
            response = self._dialect.read_response(jsons.parse_object(raw))
        except jsons.JsonError as error:
            kind = answer.headers.get("content-type", "no content-type")[:100]
            message = f"provider {name!r} answered {answer.status} with {kind}, {error}"
            raise AttemptFailed(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message)) from None
        except Problem as problem:
            raise attempt_failed(problem.error, name) from None
        if self._request.peek.stream:
            return self._play(response, restorer)
        if restorer is not None:
            response = fold(restorer.events(play(response)))
        return self._respond(response)

    def _respond(self, response: Response) -> Usage | None:
        body, losses = self._request.dialect.write_response(response, self._asker())
        self._answer.losses += losses
        self._answer.send_whole(body)
        return response.usage

    def _play(self, response: Response, restorer: Restorer | None) -> Usage | None:
        """The provider answered in one piece, the client wants a stream."""
        client = self._answer
        assert client.stream is not None
        client.record.lane = "gather"
        events = play(response)
        if restorer is not None:
            events = restorer.events(events)
        encoder = self._request.dialect.encoder(self._asker())
        client.commit(encoder, self._house.now())
        client.stream.write(encoder.encode(events))
        client.stream.finish()
        return response.usage

    @property
    def _event_idle_s(self) -> float:
        return self._provider.event_idle_s or self._house.deadlines.event_idle_s


class _Gathered:
    """Folds a stream into one response, which `response` is the future of."""

    def __init__(self, restorer: Restorer | None) -> None:
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._restorer = restorer
        self._folder = Folder()

    def take(self, events: list[Event]) -> None:
        if self.response.done():
            return
        try:
            for event in events if self._restorer is None else self._restorer.events(events):
                self._folder.add(event)
        except Problem as problem:
            self.response.set_exception(problem)
            return
        if self._folder.ended:
            self.close()

    def fail(self, error: Error) -> None:
        if not self.response.done():
            self.response.set_exception(Problem(error))

    def close(self) -> None:
        if not self.response.done():
            self.response.set_result(self._folder.finish())


def _upstream_id(answer: Answer) -> str:
    """The provider's own request id, for its support and for the client's log; only if it is plain text."""
    headers: Any = answer.headers
    found = headers.get("x-request-id") or headers.get("request-id") or headers.get("x-generation-id") or ""
    return found[:200] if found.isascii() and found.isprintable() else ""
