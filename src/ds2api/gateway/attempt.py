"""One try of one request on one account: build it, send it, bring what comes to the client.

The lane is chosen here, once: *relay* where the provider speaks the client's dialect and nothing must be rewritten,
else *translate*; and where one side streams and the other does not, *gather* (the provider's content-type decides,
not what was asked for: some answer JSON to a stream request, and the other way round).

`run` gives the usage of an answer that is complete and raises `AttemptFailed` for whatever the provider did wrong.
The provider's connection is closed on every way out, a cancellation included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from ds2api import jsons
from ds2api.accounts import Lease
from ds2api.dialects.contract import Asker, Dialect, Encoder, Outgoing
from ds2api.dialects.proofs import refuses_proofs, without_proofs
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.contact import Contact
from ds2api.gateway.course import Course, Step
from ds2api.gateway.failures import AttemptFailed, attempt_failed, connection_failed, idle_error
from ds2api.gateway.house import House
from ds2api.gateway.lanes import Lane, Relay, Translate
from ds2api.gateway.pump import Pump
from ds2api.gateway.remembering import Listener, completed
from ds2api.gateway.rescue import Cut, Joint, SoFar, can_go_on, continued, echoes, wants_rescue
from ds2api.gateway.routes import ResolvedTarget
from ds2api.prompted import FORMATS, CallFinder, format_for, with_prompted_tools
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.events import Event
from ds2api.universal.losses import Loss, Losses
from ds2api.universal.request import Request
from ds2api.universal.response import Folder, Response, fold, play
from ds2api.universal.restore import Restorer
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming
from ds2api.wire.upstream import Answer

__all__ = ["Attempt", "can_continue"]

_NO_STREAM = Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, "it answered in one piece where a stream was to go on")
_STREAM_TYPES = ("text/event-stream", "application/x-ndjson")


class Attempt:
    """One try of `request` at `place`, on the account of `lease`."""

    __slots__ = (
        "_answer", "_asks_usage", "_contact", "_cut", "_dialect", "_finder", "_house", "_incoming", "_is_relay",
        "_joint", "_lease", "_listener", "_new_losses", "_place", "_provider", "_request", "_so_far", "_streams",
        "_target", "_unproved",
    )  # fmt: skip

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
        self._provider = provider = place.provider
        self._lease = lease
        endpoint = provider.endpoint_for(request.dialect.name)
        self._contact: Contact = house.contacts.find(house, place, endpoint, lease.account)
        self._dialect: Dialect = self._contact.dialect
        self._target = self._contact.target
        self._finder: CallFinder | None = None
        self._unproved: tuple[Request, list[Loss]] | None = None  # what is sent in place of a request that was refused
        self._new_losses: list[Loss] = []  # that the client has not heard of
        self._cut = answer.cut
        is_mended = self._cut is not None or (request.peek.stream and wants_rescue(request, place))
        self._so_far = SoFar(self._cut) if is_mended else None
        self._joint = None if self._cut is None else Joint(self._cut, echoes=echoes(endpoint))
        peek = request.peek
        self._streams = provider.streams(peek.stream)
        # A request that carries an envelope of ours must be opened first: no provider knows what to do with one.
        self._is_relay = (
            self._dialect is request.dialect
            and self._streams == peek.stream
            and peek.can_relay
            and not peek.pins
            and not request.is_replayed
            and self._so_far is None
            and place.tools == "native"
            and self._dialect.fits(request.outline, self._target)
        )
        self._listener: Listener | None = None
        # The gateway alone wants it: what comes of it is taken out again.
        self._asks_usage = peek.stream and not peek.wants_usage and self._dialect.must_ask_usage(endpoint.flavour)
        record = answer.record
        record.lane = "relay" if self._is_relay else "translate"
        record.account = lease.account.id
        record.upstream_dialect = self._dialect.name
        record.target = self._contact.shown_target
        answer.served_by = self._contact.served_by

    def _new_listener(self) -> Listener:
        return Listener(
            self._target,
            wants_thoughts=self._dialect.wants_thoughts(self._contact.endpoint.flavour),
            hears_text=self._dialect.proves_text,
        )

    async def run(self) -> Usage | None:
        """Bring the answer to the client. Raises `AttemptFailed`, and `Problem` where the request itself cannot
        be carried to this target."""
        request, client, dialect = self._request, self._answer, self._dialect
        outgoing: Outgoing | None = None
        if self._is_relay and self._unproved is None:
            client.losses = []
            path = dialect.relay_path(request.path, self._place.model)
            headers = dialect.relay_headers(request.headers, self._target)
            body = dialect.rewrite(request.raw, request.outline, self._place.model, ask_usage=self._asks_usage)
        else:
            outgoing = await self._written()
            known = [] if self._cut is None else client.losses
            self._new_losses = [loss for loss in outgoing.losses if loss not in known]
            client.losses = known + self._new_losses
            path, headers, body = outgoing.path, outgoing.headers, outgoing.body
        accept = f"{dialect.stream_type}, application/json" if self._streams else "application/json"
        try:
            answer = await self._contact.send(self._lease, client.record, path, headers, body, accept=accept)
            body = b""  # it has left; of a stream that is quiet for long it would be the largest part
            if outgoing is not None:
                outgoing.body = b""
            try:
                return await self._brought(answer, outgoing)
            finally:
                answer.close()
        except AttemptFailed as failure:
            if not self._is_mended(failure):
                raise
        return await self.run()

    def _brought(self, answer: Answer, outgoing: Outgoing | None) -> Coroutine[Any, Any, Usage | None]:
        """How the answer comes to the client: what it is decides, not what was asked for."""
        said = answer.headers.get("content-type", "")
        is_stream = said != "application/json" and said.partition(";")[0].strip().lower() in _STREAM_TYPES
        if answer.status >= 300:
            return self._refused(answer)
        if is_stream and self._request.peek.stream:
            return self._stream(answer, self._course(outgoing))
        if self._cut is not None:
            raise attempt_failed(_NO_STREAM, self._provider.name)
        return self._gather(answer, self._course(outgoing)) if is_stream else self._whole(answer, outgoing)

    async def _refused(self, answer: Answer) -> Usage | None:
        raise await self._contact.failure_of(answer, self._dialect)

    def _is_mended(self, failure: AttemptFailed) -> bool:
        """A provider that refuses the conversation for the proofs of reasoning in it is asked once more without them:
        the client cannot mend its history, and each later turn would fail alike (R083)."""
        is_final = self._answer.content_sent or self._cut is not None or self._unproved is not None
        if is_final or not refuses_proofs(failure.error):
            return False
        self._unproved = self._without_proofs()
        if self._unproved is not None:
            self._answer.record.tried.append(f"{self._lease.account.id}: {failure.verdict.reason}, proofs left out")
        return self._unproved is not None

    def _without_proofs(self) -> tuple[Request, list[Loss]] | None:
        """None where there are none to leave out, where that may not be, or where the request can only be relayed."""
        if self._target.losses == "refuse":
            return None
        try:
            return without_proofs(self._completed())
        except Problem:
            return None

    async def _written(self) -> Outgoing:
        """What is sent where it is not relayed; of the outline of a large request if that will do."""
        request = self._request
        if request.may_be_outlined:
            try:
                outgoing = self._outgoing()
                body = request.whole(outgoing.body)
            except Problem:
                body = None  # it is too little; if that was not why, the whole says the same
            if body is not None:
                outgoing.body = body
                return outgoing
        await request.complete()
        self._unproved = self._unproved and self._without_proofs()
        return self._outgoing()

    def _outgoing(self) -> Outgoing:
        universal, losses_so_far = self._unproved or (self._completed(), [])
        losses = Losses(self._target.losses)
        losses.items += losses_so_far
        if self._cut is not None:
            universal, losses_by_cut = continued(universal, self._cut)
            losses.items += losses_by_cut
        if self._place.tools == "prompted":
            form = FORMATS[self._place.tool_format] if self._place.tool_format else format_for(self._place.model)
            universal = with_prompted_tools(universal, form, losses)
        outgoing = self._dialect.write_request(universal, self._target)
        outgoing.losses = losses.items + outgoing.losses
        return outgoing

    def _completed(self) -> Request:
        """The universal request for this target, with the thoughts that the client could not hold."""
        request, house = self._request, self._house
        universal = completed(request.outlined, self._target, house.thoughts, request.caller, house.now())
        return universal if self._streams == universal.stream else replace(universal, stream=self._streams)

    def _course(self, outgoing: Outgoing | None) -> Course | None:
        """What the answer's events go through. The thoughts of a client that holds them itself are its own affair."""
        if self._is_relay or outgoing is None:
            return None
        self._listener = self._new_listener()
        steps: list[Step] = []
        if self._place.tools == "prompted":
            tools = [tool for tool in self._request.outlined.tools if not tool.hosted]
            custom = [tool.name for tool in tools if tool.custom]
            self._finder = CallFinder([tool.name for tool in tools], custom, self._house.new_id)
            steps.append(self._finder)
        if outgoing.restore:
            steps.append(Restorer(outgoing.restore))
        if self._joint is not None:
            steps.append(self._joint)
        steps.append(self._listener)
        if self._so_far is not None:
            steps.append(self._so_far)
        return Course(steps)

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
            form=request.peek.form,
            keep=request.keep,
            previous_id=request.previous_id,
        )

    async def _stream(self, answer: Answer, course: Course | None) -> Usage | None:
        """A stream for a stream: relay or translate. The pump owns `answer` and ends it."""
        house, client = self._house, self._answer
        assert client.stream is not None
        encoder = self._request.dialect.encoder(self._asker()) if self._cut is None else self._cut.encoder
        told = len(encoder.losses)
        if client.stream.committed:
            encoder.losses.extend(self._new_losses)  # the head has left without them
        if self._finder is not None:
            self._finder.losses = encoder.losses
        lane = self._lane(encoder, course)
        pump = Pump(answer, lane, self._incoming, client.stream, house.wheel, self._event_idle_s)
        try:
            pump.start()
            await pump.opened
            if pump.error is not None and not lane.content_seen:
                del encoder.losses[told:]
                raise attempt_failed(pump.error, self._provider.name)
            client = self._answer = client.claim()
            client.commit(encoder, house.now())
            pump.commit()
            await pump.done
        finally:
            pump.close()
        usage = lane.usage if self._joint is None else self._joint.own
        if pump.error is not None:
            failure = attempt_failed(pump.error, self._provider.name)
            failure.usage = usage
            if lane.is_cut and self._so_far is not None:
                client.cut = self._so_far.cut(encoder, failure.error, usage, self._request.input_estimate)
            raise failure
        self._remember(lane.answer_id)
        return usage

    def _remember(self, answer_id: str | None = None) -> None:
        """The answer is complete: what a later request of this conversation may want is kept."""
        house, caller = self._house, self._request.caller
        if self._listener is not None:
            self._listener.keep(house.thoughts, caller, house.now())
        elif answer_id is not None and self._dialect.answer_keeper is not None:
            house.answers.pin(caller, answer_id, self._provider.name, self._lease.account.tag, house.now())

    def _lane(self, encoder: Encoder, course: Course | None) -> Lane:
        if self._is_relay:
            return Relay(self._dialect.tap(strip_usage=self._asks_usage), encoder)
        return Translate(self._dialect.decoder(), encoder, course, self._so_far)

    async def _gather(self, answer: Answer, course: Course | None) -> Usage | None:
        """The client wants one piece, the provider streams."""
        self._answer.record.lane = "gather"
        gathered = _Gathered(course)
        decoder = self._dialect.decoder()
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

    async def _whole(self, answer: Answer, outgoing: Outgoing | None) -> Usage | None:
        """The provider answers in one piece: pass it, translate it, or play it as a stream."""
        name = self._provider.name
        raw = answer.at_hand()
        if raw is None:
            try:
                raw = await answer.read()
            except PeerError as error:
                raise connection_failed(error, name) from None
        try:
            if self._is_relay and not self._request.peek.stream:
                body = jsons.parse_event_object(raw)
                usage = self._dialect.read_usage(body)
                self._answer = self._answer.claim()
                if self._dialect.answer_keeper is not None:
                    self._remember(self._dialect.answer_keeper.id_of(body))
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
            return self._play(response, self._course(outgoing))
        course = self._course(outgoing) if outgoing and self._is_listened_to(outgoing, response) else None
        if course is not None:
            events = course.events(play(response))
            response = response if course.only_listens else fold(events)
        return self._respond(response)

    def _is_listened_to(self, outgoing: Outgoing, response: Response) -> bool:
        """Whether the events of an answer in one piece have anything for a step of the course."""
        is_changed = outgoing.restore or self._place.tools == "prompted" or self._joint is not None
        return bool(is_changed) or self._dialect.proves_text or not response.is_plain_text

    def _respond(self, response: Response) -> Usage | None:
        self._answer = self._answer.claim()
        body, losses = self._request.dialect.write_response(response, self._asker())
        self._answer.losses += losses if self._finder is None else [*losses, *self._finder.losses]
        self._remember()
        self._answer.send_whole(body)
        return response.usage

    def _play(self, response: Response, course: Course | None) -> Usage | None:
        """The provider answered in one piece, the client wants a stream."""
        client = self._answer = self._answer.claim()
        assert client.stream is not None
        client.record.lane = "gather"
        events = play(response)
        if course is not None:
            events = course.events(events)
        encoder = self._request.dialect.encoder(self._asker())
        client.commit(encoder, self._house.now())
        client.stream.write(encoder.encode(events))
        self._remember()
        client.stream.finish()
        return response.usage

    @property
    def _event_idle_s(self) -> float:
        return self._provider.event_idle_s or self._house.deadlines.event_idle_s


def can_continue(house: House, request: ClientRequest, place: ResolvedTarget, cut: Cut) -> bool:
    """Whether `place` could go on from `cut`: servers of its kind do, and its writer takes it for the model."""
    endpoint = place.provider.endpoint_for(request.dialect.name)
    if not can_go_on(endpoint) or not place.provider.streams(True):
        return False
    # With "allow" a writer sends a beginning also to who starts anew.
    target = replace(place, losses="report" if place.losses == "allow" else place.losses).target(
        endpoint.flavour, "", house.sealer
    )
    try:
        DIALECTS[endpoint.dialect].write_request(continued(request.universal, cut)[0], target)
    except Problem:
        return False
    return True


class _Gathered:
    """Folds a stream into one response, which `response` is the future of."""

    def __init__(self, course: Course | None) -> None:
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._course = course
        self._folder = Folder()

    def take(self, events: list[Event]) -> None:
        if self.response.done():
            return
        try:
            for event in events if self._course is None else self._course.events(events):
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
