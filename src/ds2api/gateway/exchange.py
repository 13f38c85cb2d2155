"""An exchange: one client request, from its first byte to its answer's last. Read it top to bottom.

    who is calling → read the body → which model, whose targets → (an account → an attempt)* → the answer

It only executes. Whom to ask is the pool's word, whether to try again is `Attempts`', what a failure means is
`judge`'s, what the bytes become is the lanes'. What belongs here is order, and that everything that was taken is
given back: the lease in one `finally`, the provider's connection in another, whatever happens in between, a
cancellation (the client left) included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ds2api import jsons
from ds2api.accounts import Ask, Candidate, Lease, Refused, Verdict, judge, read_announced
from ds2api.dialects.contract import Asker, Dialect, Encoder, Operation, Outgoing, Peek, Target
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.attempts import Attempts, GiveUp, TryAccount
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_stream import ClientStream
from ds2api.gateway.endings import Ending
from ds2api.gateway.house import House
from ds2api.gateway.lanes import Lane, Relay, Translate
from ds2api.gateway.providers import Endpoint
from ds2api.gateway.pump import Pump
from ds2api.gateway.routes import ResolvedTarget
from ds2api.records import ExchangeRecord
from ds2api.universal import estimate
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Folder, Response, fold, play
from ds2api.universal.restore import Restorer
from ds2api.universal.usage import Usage
from ds2api.wire.errors import ConnectFailed, PeerError
from ds2api.wire.server import Incoming
from ds2api.wire.upstream import Answer

__all__ = ["Exchange"]

# The header form of losses: as many as fit beside a usual head (design: "at most 16 and then more=N").
_WARNINGS_MOST = 16
# Of an error answer: enough for any JSON error seen (Azure's content filter, 6 KB), not for a page of HTML.
_ERROR_BODY_BYTES = 256 * 1024


@dataclass(slots=True)
class _Attempt:
    """One try: where it goes and what is known of it."""

    lease: Lease
    place: ResolvedTarget
    endpoint: Endpoint
    dialect: Dialect
    target: Target
    outgoing: Outgoing
    is_relay: bool
    asker: Asker


@dataclass(slots=True)
class _Failure(Exception):
    """An attempt failed with `error`; `verdict` is what that says about the account."""

    error: Error
    verdict: Verdict
    announced: Any = None


@dataclass(slots=True)
class Exchange:
    """One request of a client who speaks `dialect`. `run` is all there is to call."""

    house: House
    incoming: Incoming
    dialect: Dialect
    operation: Operation
    record: ExchangeRecord
    began_at: float
    _raw: bytes = b""
    _body: dict[str, Any] = field(default_factory=dict)
    _peek: Peek | None = None
    _request: Request | None = None
    _caller: Caller | None = None
    _client: ClientStream | None = None
    _losses: list[Loss] = field(default_factory=list)

    async def run(self) -> None:
        """Answer the request. Raises nothing but a cancellation: every failure is answered in the client's
        dialect. On return the answer is complete (or cut, where the head had left), nothing is held."""
        record = self.record
        try:
            async with asyncio.timeout(self.house.deadlines.exchange_total_s) as total:
                await self._answer()
        except Problem as problem:
            self._refuse(problem.error)
        except PeerError as error:
            self._refuse(_wire_error(error))
        except TimeoutError:
            if not total.expired():
                raise
            setting = f"`timeouts.exchange_total_s` ({self.house.deadlines.exchange_total_s:g} s)"
            self._refuse(Error(Fault.GATEWAY, Kind.TIMEOUT, f"the answer took longer than {setting}"))
        except asyncio.CancelledError:
            reading = self.incoming.started
            record.ending = Ending.CLIENT_GONE_READING if reading else Ending.CLIENT_GONE_WAITING
            raise
        except Exception as error:
            self.house.report_bug(error, record.id)
            message = f"the gateway failed; tell its operator the id {record.id}"
            self._refuse(Error(Fault.GATEWAY, Kind.INTERNAL, message))
        finally:
            if self._client is not None:
                self._client.close()

    async def _answer(self) -> None:
        """The story of a request that goes well; everything else is raised."""
        house, record = self.house, self.record
        self._caller = caller = house.callers.identify(self.incoming.headers)
        record.caller = caller.name
        self._raw = await self.incoming.read_body()
        self._body = body = self._parse()
        self._peek = peek = self.dialect.peek(body, self.incoming.path)
        record.model = peek.model[:200]
        places = house.routes.resolve(peek.model, caller)
        if self.operation == "count_tokens":
            await self._count_tokens(places)
            return
        if peek.stream:
            self._client = self._client_stream()
        patience_s = house.retries.patience_s if caller.patience_s is None else caller.patience_s
        patience_ends = house.now() + patience_s
        attempts = Attempts(house.retries, len(places), self.began_at + house.deadlines.exchange_total_s)
        step: TryAccount | GiveUp = attempts.first()
        while isinstance(step, TryAccount):
            lease = await self._acquire(step, places, attempts, patience_ends)
            attempts.begun()
            record.attempts = attempts.count
            failure = await self._try(lease, places[step.targets[lease.target]])
            if failure is None:
                return
            record.tried.append(f"{lease.account.id}: {failure.verdict.reason}")
            step = attempts.after(
                failure.error,
                failure.verdict,
                step.targets[lease.target],
                lease.account.id,
                house.now(),
                content_sent=self._content_sent,
            )
        raise Problem(step.error)

    def _parse(self) -> dict[str, Any]:
        media_type = self.incoming.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type not in ("application/json", "text/json", "") and not media_type.endswith("+json"):
            message = f"content-type {media_type[:100]!r} is not taken here; send application/json"
            raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED_MEDIA, message))
        try:
            body = jsons.parse_object(self._raw)
        except jsons.JsonError as error:
            raise Problem.bad_request(f"the request body is {error}") from None
        twice = jsons.first_duplicate(body, levels=1)
        if twice is not None:
            raise Problem.bad_request(f"{twice}: this key stands twice in the request", twice)
        return body

    async def _acquire(
        self, step: TryAccount, places: Sequence[ResolvedTarget], attempts: Attempts, patience_ends: float
    ) -> Lease:
        """An account, within the caller's patience. Raises `Problem` if nobody can serve."""
        house, peek, caller = self.house, self._peek, self._caller
        assert peek is not None
        assert caller is not None
        ask = Ask(
            [Candidate(places[index].provider.name, places[index].model) for index in step.targets],
            patience_ends,
            caller.name,
            peek.affinity,
            house.pinned_accounts(peek.pins),
            estimate.input_tokens(peek.text_bytes, peek.media_count) + (peek.output_limit or 0),
            step.avoid,
        )
        asked_at = house.now()
        answer = await house.admission.acquire(ask)
        self.record.wait_s = (self.record.wait_s or 0.0) + house.now() - asked_at
        if isinstance(answer, Lease):
            return answer
        self.record.ending = Ending.NO_ACCOUNT
        raise Problem(_no_account(answer, attempts.last, places))

    async def _try(self, lease: Lease, place: ResolvedTarget) -> _Failure | None:
        """One attempt on `lease`, which is over when this returns, whatever happens. None: the client has its
        answer."""
        admission = self.house.admission
        self.record.account = lease.account.id
        try:
            attempt = self._prepare(lease, place)
            usage = await self._send(attempt)
        except _Failure as failure:
            admission.settle(lease, failure.verdict, announced=failure.announced)
            return failure
        except BaseException:
            admission.give_back(lease)
            raise
        used = None if usage is None or usage.input_total is None else usage.input_total + (usage.output_total or 0)
        admission.settle(lease, None, used=used)
        self._served(usage)
        return None

    def _prepare(self, lease: Lease, place: ResolvedTarget) -> _Attempt:
        """Build the request for this target, from the client's own: nothing of an earlier attempt is in it."""
        peek = self._peek
        assert peek is not None
        provider, house = place.provider, self.house
        endpoint = provider.endpoint_for(self.dialect.name)
        dialect = DIALECTS[endpoint.dialect]
        target = Target(
            provider=provider.name,
            model=place.model,
            flavour=endpoint.flavour,
            account=lease.account.tag,
            losses=place.losses,
            default_max_output_tokens=provider.default_max_output_tokens,
            anthropic_version=provider.anthropic_version,
            sealer=house.sealer,
        )
        upstream_streams = provider.streams(peek.stream)
        # A request that carries an envelope of ours must be opened first: no provider knows what to do with one.
        is_relay = dialect is self.dialect and upstream_streams == peek.stream and not peek.pins
        headers = self.incoming.headers
        if is_relay:
            body = dialect.rewrite(self._raw, self._body, place.model, ask_usage=peek.stream and not peek.wants_usage)
            outgoing = Outgoing(dialect.generate_path, body, dialect.relay_headers(headers, target))
        else:
            request = self._universal()
            if upstream_streams != request.stream:
                request = replace(request, stream=upstream_streams)
            outgoing = dialect.write_request(request, target)
        self._losses = list(outgoing.losses)
        record = self.record
        record.lane = "relay" if is_relay else "translate"
        record.upstream_dialect = dialect.name
        record.target = f"{provider.name}/{place.model}"
        asker = self._asker(place, lease)
        return _Attempt(lease, place, endpoint, dialect, target, outgoing, is_relay, asker)

    def _universal(self) -> Request:
        """The request in the universal format, read once: the writers of all attempts leave it as it is."""
        if self._request is None:
            self._request = self.dialect.read_request(self._body, self.incoming.headers, self.incoming.path)
        return self._request

    def _asker(self, place: ResolvedTarget | None, lease: Lease | None) -> Asker:
        peek, house = self._peek, self.house
        assert peek is not None
        return Asker(
            model=peek.model,
            request_id=self.record.id,
            created=int(house.wall()),
            new_id=house.new_id,
            stream=peek.stream,
            wants_usage=peek.wants_usage,
            input_estimate=estimate.input_tokens(peek.text_bytes, peek.media_count),
            provider=place.provider.name if place else "",
            upstream_model=place.model if place else "",
            account=lease.account.tag if lease else "",
            sealer=house.sealer,
            request=self._request,
        )

    async def _send(self, attempt: _Attempt) -> Usage | None:
        """Send it, and bring the answer to the client. Raises `_Failure` for whatever the provider did wrong."""
        house, endpoint, outgoing = self.house, attempt.endpoint, attempt.outgoing
        peek = self._peek
        assert peek is not None
        headers = [
            ("content-type", "application/json"),
            ("accept", f"{attempt.dialect.stream_type}, application/json" if peek.stream else "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", house.user_agent),
            *outgoing.headers,
            *endpoint.headers,
            *endpoint.credential(attempt.place.provider.secrets.get(attempt.lease.account.id)),
        ]
        try:
            answer = await house.client.send(
                endpoint.origin,
                "POST",
                endpoint.base_path + outgoing.path,
                headers,
                outgoing.body,
                first_byte_idle_s=attempt.place.provider.first_byte_idle_s,
            )
        except PeerError as error:
            raise _upstream_failure(error, attempt.place.provider.name) from None
        try:
            self.record.upstream_id = _upstream_id(answer)
            if answer.status >= 300:
                raise await self._read_failure(answer, attempt)
            is_stream = answer.headers.get("content-type", "").partition(";")[0].strip().lower() in (
                "text/event-stream",
                "application/x-ndjson",
            )
            if is_stream and peek.stream:
                return await self._stream(answer, attempt)
            if is_stream:
                return await self._gather(answer, attempt)
            return await self._whole(answer, attempt)
        finally:
            answer.close()

    async def _stream(self, answer: Answer, attempt: _Attempt) -> Usage | None:
        """A stream for a stream: relay or translate."""
        house, client = self.house, self._client
        assert client is not None
        provider = attempt.place.provider
        event_idle_s = provider.event_idle_s or house.deadlines.event_idle_s
        encoder = self.dialect.encoder(attempt.asker)
        losses_known = client.committed
        if losses_known:
            encoder.losses.extend(self._losses)  # the head has left without them: they are said before the end
        lane = self._lane(attempt, encoder)
        pump = Pump(answer, lane, self.incoming, client, house.wheel, event_idle_s)
        try:
            pump.start()
            await pump.opened
            if pump.error is not None and not lane.content_seen:
                raise _stream_failure(pump.error, provider.name)
            if self.record.first_byte_s is None:
                self.record.first_byte_s = house.now() - self.began_at
            if not client.commit(self._warning_headers(answer)) and not losses_known:
                encoder.losses.extend(self._losses)
            pump.commit()
            await pump.done
        finally:
            pump.close()
        if pump.error is not None:
            raise _stream_failure(pump.error, provider.name)
        return lane.usage

    def _lane(self, attempt: _Attempt, encoder: Encoder) -> Lane:
        peek = self._peek
        assert peek is not None
        if attempt.is_relay:
            return Relay(self.dialect.tap(strip_usage=not peek.wants_usage), encoder)
        restore = attempt.outgoing.restore
        decoder = attempt.dialect.decoder(attempt.endpoint.flavour)
        return Translate(decoder, encoder, Restorer(restore) if restore else None)

    async def _gather(self, answer: Answer, attempt: _Attempt) -> Usage | None:
        """The client wants one piece, the provider streams."""
        self.record.lane = "gather"
        decoder = attempt.dialect.decoder(attempt.endpoint.flavour)
        restore = attempt.outgoing.restore
        restorer = Restorer(restore) if restore else None
        folder = Folder()
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failure: list[BaseException] = []
        idle_s = attempt.place.provider.event_idle_s or self.house.deadlines.event_idle_s

        def take(events: list[Any]) -> None:
            try:
                for event in restorer.events(events) if restorer is not None else events:
                    folder.add(event)
            except Exception as error:
                failure.append(error)
            if (failure or folder.ended) and not over.done():
                over.set_result(None)

        def on_data(data: bytes) -> None:
            idle.touch()
            if not over.done():
                take(decoder.feed(data))

        def on_end(error: PeerError | None) -> None:
            if not over.done():
                take(decoder.end())
            if not over.done():
                over.set_result(None)

        def too_long() -> None:
            message = f"the provider sent nothing for {idle_s:g} seconds (`timeouts.event_idle_s`)"
            failure.append(Problem(Error(Fault.PROVIDER, Kind.TIMEOUT, message)))
            if not over.done():
                over.set_result(None)

        idle = self.house.wheel.after(idle_s, too_long)
        try:
            answer.stream(on_data, on_end)
            await over
        finally:
            idle.cancel()
        if failure:
            if isinstance(failure[0], Problem):
                raise _stream_failure(failure[0].error, attempt.place.provider.name)
            raise failure[0]
        return self._respond(folder.finish(), answer, attempt)

    async def _whole(self, answer: Answer, attempt: _Attempt) -> Usage | None:
        """The provider answers in one piece: pass it, translate it, or play it as a stream."""
        peek = self._peek
        assert peek is not None
        try:
            raw = await answer.read()
        except PeerError as error:
            raise _upstream_failure(error, attempt.place.provider.name) from None
        provider = attempt.place.provider.name
        try:
            body = jsons.parse_object(raw)
        except jsons.JsonError as error:
            kind = answer.headers.get("content-type", "nothing")[:100]
            message = f"provider {provider!r} answered {answer.status} with {kind}, {error}"
            raise _stream_failure(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message), provider) from None
        try:
            if attempt.is_relay and not peek.stream:
                usage = attempt.dialect.read_usage(body)
                self._send_whole(200, raw, answer)
                return usage
            response = attempt.dialect.read_response(body)
        except Problem as problem:
            raise _stream_failure(problem.error, provider) from None
        if peek.stream:
            self.record.lane = "gather"
            return self._play(response, answer, attempt)
        return self._respond(response, answer, attempt)

    def _respond(self, response: Response, answer: Answer, attempt: _Attempt) -> Usage | None:
        """A universal response, in one piece."""
        restore = attempt.outgoing.restore
        if restore and self.record.lane != "gather":
            response = fold(Restorer(restore).events(play(response)))
        body, losses = self.dialect.write_response(response, attempt.asker)
        self._losses += losses
        self._send_whole(200, body, answer)
        return response.usage

    def _play(self, response: Response, answer: Answer, attempt: _Attempt) -> Usage | None:
        """The provider answered in one piece, the client wants a stream."""
        client = self._client
        assert client is not None
        restore = attempt.outgoing.restore
        events = play(response)
        if restore:
            events = Restorer(restore).events(events)
        encoder = self.dialect.encoder(attempt.asker)
        if client.committed:
            encoder.losses.extend(self._losses)
        client.commit(self._warning_headers(answer))
        client.write(encoder.encode(events))
        client.finish()
        return response.usage

    def _send_whole(self, status: int, body: bytes, answer: Answer | None) -> None:
        headers = [("content-type", "application/json"), *self._own_headers()]
        headers += self._warning_headers(answer)
        self.record.status = status
        self.incoming.respond(status, headers, body)

    def _own_headers(self) -> list[tuple[str, str]]:
        return [("x-ds2api-request-id", self.record.id)]

    def _warning_headers(self, answer: Answer | None) -> list[tuple[str, str]]:
        """What is known only now: the provider's id, and what could not be carried."""
        upstream_id = self.record.upstream_id or self.record.id
        headers = [(self.dialect.request_id_header, upstream_id)]
        self.record.losses = [f"{loss.code} {loss.path}" for loss in self._losses]
        shown = self._losses[:_WARNINGS_MOST]
        headers += [("x-ds2api-warning", warning_text(loss)) for loss in shown]
        if len(self._losses) > len(shown):
            headers.append(("x-ds2api-warning", f"more={len(self._losses) - len(shown)}"))
        return headers

    def _client_stream(self) -> ClientStream:
        deadlines = self.house.deadlines
        headers = [
            ("content-type", self.dialect.stream_type),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),  # nginx in front of us must not buffer
            *self._own_headers(),
        ]
        return ClientStream(
            self.incoming,
            self.dialect.encoder(self._asker(None, None)),
            headers,
            self.house.wheel,
            commit_after_s=deadlines.commit_after_s,
            alive_idle_s=deadlines.alive_idle_s,
        )

    async def _read_failure(self, answer: Answer, attempt: _Attempt) -> _Failure:
        """What the provider's error answer says."""
        provider = attempt.place.provider.name
        if answer.status < 400:
            message = f"provider {provider!r} answered {answer.status}, a redirect; the gateway never follows one"
            error = Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message, status=answer.status)
            return _Failure(error, judge(error))
        try:
            body = await answer.read(_ERROR_BODY_BYTES)
        except PeerError:
            body = b""  # the status says enough
        announced = read_announced(answer.headers, self.house.wall())
        error = attempt.dialect.read_error(answer.status, answer.headers, body)
        if error.retry_after_s is None and announced.retry_after_s is not None:
            error = error.with_(retry_after_s=announced.retry_after_s)
        return _Failure(error, judge(error), announced)

    async def _count_tokens(self, places: Sequence[ResolvedTarget]) -> None:
        """How many tokens a request would be: the provider's count where it has one, else the gateway's guess,
        which says that it is one."""
        place, peek = places[0], self._peek
        assert peek is not None
        count = getattr(self.dialect, "write_token_count")(  # noqa: B009 (only dialects with the route have it)
            estimate.input_tokens(peek.text_bytes, peek.media_count)
        )
        endpoint = place.provider.endpoints.get(self.dialect.name)
        if endpoint is not None:
            native = await self._native_count(place, endpoint)
            if native is not None:
                self._send_whole(200, native, None)
                self.record.ending = Ending.SERVED
                return
        self._losses = [Loss("estimated", "input_tokens", "the provider does not count; this is a guess")]
        self._send_whole(200, count, None)
        self.record.ending = Ending.SERVED

    async def _native_count(self, place: ResolvedTarget, endpoint: Endpoint) -> bytes | None:
        """The provider's own count. None if it has none: its 404 says nothing about the model (R125)."""
        house, step = self.house, TryAccount((0,))
        lease = await self._acquire(step, [place], Attempts(house.retries, 1, float("inf")), house.now())
        answer: Answer | None = None
        try:
            attempt = self._prepare(lease, place)
            self.record.lane = "relay"
            body = attempt.dialect.rewrite(self._raw, self._body, place.model, ask_usage=False)
            headers = [
                ("content-type", "application/json"),
                ("accept-encoding", "identity"),
                ("user-agent", house.user_agent),
                *attempt.dialect.relay_headers(self.incoming.headers, attempt.target),
                *endpoint.headers,
                *endpoint.credential(place.provider.secrets.get(lease.account.id)),
            ]
            path = endpoint.base_path + self.dialect.generate_path + "/count_tokens"
            answer = await house.client.send(endpoint.origin, "POST", path, headers, body)
            if answer.status in (404, 405, 501):
                return None
            if answer.status >= 300:
                raise Problem((await self._read_failure(answer, attempt)).error)
            return await answer.read(_ERROR_BODY_BYTES)
        except PeerError as error:
            raise Problem(_upstream_failure(error, place.provider.name).error) from None
        finally:
            if answer is not None:
                answer.close()
            house.admission.give_back(lease)

    @property
    def _content_sent(self) -> bool:
        if self._client is not None:
            return self._client.content_sent
        return self.incoming.started

    def _served(self, usage: Usage | None) -> None:
        record = self.record
        record.ending = Ending.SERVED
        record.status = 200
        if usage is not None:
            record.input_tokens, record.output_tokens = usage.input_total, usage.output_total

    def _refuse(self, error: Error) -> None:
        """Tell the client what went wrong, in its own form: as a status while none has left, else in the stream."""
        record, incoming = self.record, self.incoming
        record.reason = f"{error.kind} {error.param or ''}".strip()
        if not record.ending:
            record.ending = _ending(error, content_sent=self._content_sent)
        if incoming.finished:
            return
        if incoming.started:
            record.status = 200
            if self._client is not None:
                self._client.fail(error)
            else:
                incoming.abort()
            return
        written = self.dialect.write_error(error, record.id)
        record.status = written.status
        headers = [
            ("content-type", "application/json"),
            (self.dialect.request_id_header, record.upstream_id or record.id),
            *self._own_headers(),
            *written.headers,
        ]
        incoming.respond(written.status, headers, written.body)


def warning_text(loss: Loss) -> str:
    """``<code> field=<path>``, the path percent-encoded, so that nothing a client wrote can break a header."""
    return f"{loss.code} field={quote(loss.path, safe='.[]_-')}"


def _upstream_id(answer: Answer) -> str:
    headers = answer.headers
    found = headers.get("x-request-id") or headers.get("request-id") or headers.get("x-generation-id") or ""
    return found[:200] if found.isascii() and found.isprintable() else ""


def _wire_error(error: PeerError) -> Error:
    """What the wire found wrong with the client's request body."""
    kinds = {408: Kind.TOO_SLOW, 413: Kind.TOO_LARGE, 415: Kind.UNSUPPORTED_MEDIA}
    return Error(Fault.REQUEST, kinds.get(error.status_hint, Kind.BAD_REQUEST), error.message)


def _upstream_failure(error: PeerError, provider: str) -> _Failure:
    """The connection to the provider failed. Its address is the operator's affair and is not told."""
    if isinstance(error, ConnectFailed):
        problem = Error(Fault.PROVIDER, Kind.UNREACHABLE, f"provider {provider!r} cannot be reached ({error.phase})")
    elif error.status_hint == 504:
        problem = Error(Fault.PROVIDER, Kind.TIMEOUT, f"provider {provider!r}: {error.message}")
    else:
        problem = Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, f"provider {provider!r}: {error.message}")
    return _Failure(problem, judge(problem))


def _stream_failure(error: Error, provider: str) -> _Failure:
    if error.kind in (Kind.UPSTREAM_TRUNCATED, Kind.UPSTREAM_BROKEN) and provider not in error.message:
        error = error.with_(message=f"provider {provider!r}: {error.message}")
    return _Failure(error, judge(error))


def _no_account(refused: Refused, last: Error | None, places: Sequence[ResolvedTarget]) -> Error:
    """Nobody can serve within the caller's patience: why, and when it may be worth asking again."""
    providers = ", ".join(sorted({place.provider.name for place in places}))
    wait_s = refused.retry_after_s
    match refused.kind:
        case Kind.RATE_LIMITED:
            message = f"every account at {providers} has reached its rate limit"
        case Kind.QUOTA_EXHAUSTED:
            message = f"every account at {providers} has used up its quota"
        case Kind.MODEL_NOT_FOUND:
            message = f"no account at {providers} may use the model {places[0].model!r}"
            wait_s = None
        case _ if last is not None and last.fault is Fault.PROVIDER:
            return last.with_(retry_after_s=last.retry_after_s or wait_s)
        case Kind.OVERLOADED:
            message = f"{providers} is overloaded"
        case Kind.UNAUTHENTICATED | Kind.FORBIDDEN:
            message = f"{providers} refuses the accounts that this gateway has ({refused.reason})"
            return Error(Fault.PROVIDER, Kind.UPSTREAM_FAILED, message)
        case _:
            message = f"{providers} cannot serve now ({refused.reason})"
            return Error(Fault.PROVIDER, refused.kind, message, retry_after_s=wait_s)
    if wait_s is not None:
        message += f"; the next one is free in {max(1, round(wait_s + 0.5))} s"
    return Error(Fault.ACCOUNT, refused.kind, message, retry_after_s=wait_s)


def _ending(error: Error, *, content_sent: bool) -> Ending:
    if error.fault is Fault.GATEWAY:
        return Ending.TIMED_OUT if error.kind is Kind.TIMEOUT else Ending.GATEWAY_FAILED
    if error.fault is Fault.REQUEST:
        return Ending.PROVIDER_REFUSED if error.status is not None else Ending.REFUSED
    if error.kind is Kind.TIMEOUT:
        return Ending.TIMED_OUT
    return Ending.PROVIDER_CUT if content_sent else Ending.PROVIDER_FAILED
